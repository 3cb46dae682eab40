//! A client that speaks the stream by hand, to break its rules.

use ovomesh_mesh::proto::{Call, Control, Credit, Envelope, control, envelope};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Replica;
use super::echo::{Body, EchoRequest, EchoResponse};

pub struct Raw {
    /// None: the request side is closed.
    pub send: Option<mpsc::Sender<EchoRequest>>,
    pub answers: Streaming<EchoResponse>,
}

impl Raw {
    pub async fn open(replica: &Replica) -> Result<Self, Status> {
        Self::open_with_window(replica, 1 << 20).await
    }

    pub async fn open_with_window(replica: &Replica, window: u32) -> Result<Self, Status> {
        let endpoint = tonic::transport::Endpoint::from(replica.uri()).initial_stream_window_size(window);
        let channel = endpoint.connect().await.expect("the replica listens");
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.expect("the channel is ready");
        let (send, receive) = mpsc::channel(1_000);
        let codec = tonic_prost::ProstCodec::<EchoRequest, EchoResponse>::default();
        let path = http::uri::PathAndQuery::from_static("/ovomesh.test.EchoService/Echo");
        let request = tonic::Request::new(ReceiverStream::new(receive));
        let answers = client.streaming(request, path, codec).await?.into_inner();
        Ok(Self { send: Some(send), answers })
    }

    pub async fn send(&self, message: EchoRequest) {
        self.send.as_ref().expect("open").send(message).await.expect("the stream is open");
    }

    pub async fn credit(&mut self) -> Credit {
        match self.control().await {
            control::Kind::Credit(credit) => credit,
            other @ control::Kind::Drain(_) => panic!("{other:?} instead of a credit"),
        }
    }

    pub async fn control(&mut self) -> control::Kind {
        match self.next().await {
            envelope::Kind::Control(Control { kind: Some(kind) }) => kind,
            other => panic!("{other:?} instead of a control"),
        }
    }

    pub async fn next(&mut self) -> envelope::Kind {
        let frame = self.answers.message().await.expect("no status").expect("not the end");
        frame.envelope.and_then(|envelope| envelope.kind).expect("an envelope")
    }

    /// The status that the stream ends with, behind `answers` answers.
    pub async fn end(&mut self) -> (usize, Status) {
        let mut answers = 0;
        loop {
            match self.answers.message().await {
                Ok(Some(_)) => answers += 1,
                Ok(None) => return (answers, Status::ok("")),
                Err(status) => return (answers, status),
            }
        }
    }
}

pub fn call(id: u64, bytes: usize) -> EchoRequest {
    let call = Call { id, ..Call::default() };
    let body = Body { number: id, data: vec![1; bytes].into() };
    EchoRequest { envelope: Some(Envelope { kind: Some(envelope::Kind::Call(call)) }), body: Some(body) }
}
