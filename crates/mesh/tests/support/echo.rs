//! A stage for tests, without a proto file: it takes a body and gives one back.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use ovomesh_mesh::proto::Envelope;
use ovomesh_mesh::{ResponseStream, StageServer, stage};
use tonic::{Request, Response, Status, Streaming};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Body {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EchoRequest {
    #[prost(message, optional, tag = "1")]
    pub envelope: Option<Envelope>,
    #[prost(message, optional, tag = "2")]
    pub body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EchoResponse {
    #[prost(message, optional, tag = "1")]
    pub envelope: Option<Envelope>,
    #[prost(message, optional, tag = "2")]
    pub body: Option<Body>,
}

stage!(
    /// A body for a body.
    pub Echo, "echo", "/ovomesh.test.EchoService/Echo",
    EchoRequest { body: Body } => EchoResponse { body: Body }
);

/// What tonic-build would generate for `rpc Echo(stream EchoRequest) returns (stream EchoResponse)`.
#[derive(Clone)]
pub struct EchoService {
    pub stage: StageServer<Echo>,
    pub max_message_bytes: usize,
}

impl tonic::server::NamedService for EchoService {
    const NAME: &'static str = "ovomesh.test.EchoService";
}

impl tonic::server::StreamingService<EchoRequest> for EchoService {
    type Response = EchoResponse;
    type ResponseStream = ResponseStream<Echo>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<EchoRequest>>) -> Self::Future {
        ready(self.stage.accept(request).map(Response::new))
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for EchoService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let codec = tonic_prost::ProstCodec::<EchoResponse, EchoRequest>::default();
            let mut grpc =
                tonic::server::Grpc::new(codec).max_decoding_message_size(service.max_message_bytes);
            Ok(grpc.streaming(service, request).await)
        })
    }
}
