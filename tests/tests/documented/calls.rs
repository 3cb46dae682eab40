//! What a `grpcurl` command does, done by a client of our own: the server tells by reflection what a method takes, the
//! JSON becomes that message, and the call is made.

use bytes::{Buf as _, BufMut as _};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorProto};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// Makes the call of a `grpcurl` command, or says what it would have failed with.
pub async fn grpcurl(command: &str) -> Result<(), String> {
    let (mut words, mut json) = (words(command).into_iter().skip(1), None);
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-plaintext" => {}
            "-d" => json = words.next(),
            _ => rest.push(word),
        }
    }
    let [address, target] = rest.try_into().map_err(|rest| format!("unknown words: {rest:?}"))?;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(text)?;
    let channel = endpoint.connect().await.map_err(|error| format!("{address}: {error:?}"))?;
    let mut server = Server { channel };
    if target == "list" {
        let services = server.services().await?;
        let ours = services.iter().any(|name| name.starts_with("ovomesh."));
        return if ours { Ok(()) } else { Err(format!("no service of ours among {services:?}")) };
    }
    let (service, method) = target.split_once('/').ok_or("it names no method")?;
    let json: Value = serde_json::from_str(&json.unwrap_or("{}".into())).map_err(text)?;
    server.call(service, method, &json).await
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The words of a command as a shell would split them: quotes, comments, and lines that go on.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in command.replace("\\\n", " ").chars() {
        match letter {
            '\'' => quoted = !quoted,
            '#' if !quoted && word.is_empty() => break,
            ' ' if !quoted => words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty())),
            _ => word.push(letter),
        }
    }
    words.extend(Some(word).filter(|w| !w.is_empty()));
    words
}

struct Server {
    channel: Channel,
}

impl Server {
    async fn ask(&self, question: MessageRequest) -> Result<MessageResponse, String> {
        let ask = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut client = ServerReflectionClient::new(self.channel.clone());
        let answers = client.server_reflection_info(tokio_stream::iter([ask])).await.map_err(text)?;
        let answer = answers.into_inner().message().await.map_err(text)?;
        match answer.and_then(|answer| answer.message_response).ok_or("no answer")? {
            MessageResponse::ErrorResponse(error) => Err(error.error_message),
            other => Ok(other),
        }
    }

    async fn services(&mut self) -> Result<Vec<String>, String> {
        match self.ask(MessageRequest::ListServices(String::new())).await? {
            MessageResponse::ListServicesResponse(list) => {
                Ok(list.service.into_iter().map(|service| service.name).collect())
            }
            other => Err(format!("{other:?}")),
        }
    }

    /// The file that says what `symbol` is.
    async fn file(&self, symbol: &str) -> Result<FileDescriptorProto, String> {
        match self.ask(MessageRequest::FileContainingSymbol(symbol.to_owned())).await? {
            MessageResponse::FileDescriptorResponse(files) => {
                let first = files.file_descriptor_proto.first().ok_or("no file")?;
                FileDescriptorProto::decode(&first[..]).map_err(text)
            }
            other => Err(format!("{other:?}")),
        }
    }

    async fn message(&self, name: &str) -> Result<DescriptorProto, String> {
        let name = name.trim_start_matches('.');
        let file = self.file(name).await?;
        let (_, own) = name.rsplit_once('.').ok_or("a message without a package")?;
        let found = file.message_type.into_iter().find(|message| message.name() == own);
        found.ok_or_else(|| format!("{} has no message {own}", file.name.unwrap_or_default()))
    }

    async fn call(&mut self, service: &str, method: &str, json: &Value) -> Result<(), String> {
        if !self.services().await?.iter().any(|name| name == service) {
            return Err(format!("this port has no {service}"));
        }
        let file = self.file(service).await?;
        let (_, own) = service.rsplit_once('.').ok_or("a service without a package")?;
        let methods = file.service.into_iter().find(|known| known.name() == own).ok_or("no such service")?;
        let found = methods.method.into_iter().find(|known| known.name() == method);
        let found = found.ok_or_else(|| format!("{service} has no method {method}"))?;
        let message = self.encode(json, found.input_type()).await?;
        let path = format!("/{service}/{method}").parse().map_err(text)?;
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(text)?;
        let request = Request::new(tokio_stream::iter([message]));
        // A feed may be silent for long: that it begins is all that can be waited for.
        let mut answer = client.streaming(request, path, Plain).await.map_err(text)?.into_inner();
        if found.server_streaming() {
            return Ok(());
        }
        let answer = answer.message().await.map_err(text)?.unwrap_or_default();
        if answer.is_empty() { Err("the answer holds nothing".into()) } else { Ok(()) }
    }

    /// JSON as the message `name`.
    async fn encode(&self, json: &Value, name: &str) -> Result<Vec<u8>, String> {
        let message = self.message(name).await?;
        let mut bytes = Vec::new();
        for (key, value) in json.as_object().ok_or("a message is a JSON object")? {
            let is_named = |field: &&prost_types::FieldDescriptorProto| {
                field.name() == key || camel(field.name()) == *key
            };
            let field = message.field.iter().find(is_named);
            let field = field.ok_or_else(|| format!("{name} has no field {key}"))?;
            let tag = u32::try_from(field.number()).map_err(text)?;
            let inner = match (field.r#type(), value) {
                (Type::Message, value) => Box::pin(self.encode(value, field.type_name())).await?,
                (Type::String, Value::String(value)) => value.clone().into_bytes(),
                (Type::Uint32 | Type::Uint64, Value::Number(value)) => {
                    encode_key(tag, WireType::Varint, &mut bytes);
                    encode_varint(value.as_u64().ok_or("a number of 0 or more")?, &mut bytes);
                    continue;
                }
                (kind, value) => return Err(format!("{key} is {kind:?}, and {value} is not")),
            };
            encode_key(tag, WireType::LengthDelimited, &mut bytes);
            encode_varint(inner.len() as u64, &mut bytes);
            bytes.extend(inner);
        }
        Ok(bytes)
    }
}

/// A field's name in JSON.
fn camel(name: &str) -> String {
    let (first, rest) = name.split_once('_').unwrap_or((name, ""));
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    first.to_owned() + &rest.split('_').filter(|part| !part.is_empty()).map(capital).collect::<String>()
}

/// Messages as their bytes.
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

#[test]
fn words_are_split_as_by_a_shell() {
    assert_eq!(
        words("grpcurl -d '{\"a\": 1}' \\\n  h:1 s/M   # why"),
        ["grpcurl", "-d", "{\"a\": 1}", "h:1", "s/M"]
    );
}
