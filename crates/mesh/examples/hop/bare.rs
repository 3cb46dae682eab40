//! The same hop with nothing but tonic: a bidirectional stream, answers in order, a window of so many messages.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::echo::{Body, EchoRequest, EchoResponse};

#[derive(Clone)]
struct Bare;

impl tonic::server::NamedService for Bare {
    const NAME: &'static str = "ovomesh.test.EchoService";
}

type Answers = Pin<Box<dyn futures::Stream<Item = Result<EchoResponse, Status>> + Send>>;

impl tonic::server::StreamingService<EchoRequest> for Bare {
    type Response = EchoResponse;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<EchoRequest>>) -> Self::Future {
        let answers = request.into_inner().map(|message| {
            let body = message?.body.unwrap_or_default();
            let body = Body { number: body.number, data: body.data.slice(..body.data.len().min(100)) };
            Ok(EchoResponse { envelope: None, body: Some(body) })
        });
        std::future::ready(Ok(Response::new(Box::pin(answers) as Answers)))
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for Bare {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<EchoResponse, EchoRequest>::default());
            Ok(grpc.streaming(Bare, request).await)
        })
    }
}

pub async fn serve(listener: std::net::TcpListener, end: CancellationToken) {
    let listener = crate::incoming(listener);
    let server = crate::server().add_service(Bare);
    server.serve_with_incoming_shutdown(listener, end.cancelled_owned()).await.unwrap();
}

pub async fn load(uri: http::Uri, body: Body, in_flight: u64, time: Duration) -> u64 {
    let channel = ovomesh_mesh::Connector::default().connect(&uri).await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let (send, receive) = mpsc::channel(in_flight as usize);
    let request = || EchoRequest { envelope: None, body: Some(body.clone()) };
    for _ in 0..in_flight {
        send.send(request()).await.unwrap();
    }
    let codec = ProstCodec::<EchoRequest, EchoResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/ovomesh.test.EchoService/Echo");
    let stream = Request::new(ReceiverStream::new(receive));
    let mut answers = client.streaming(stream, path, codec).await.unwrap().into_inner();
    let (end, mut calls) = (Instant::now() + time, 0);
    while Instant::now() < end {
        answers.message().await.unwrap().unwrap();
        calls += 1;
        send.send(request()).await.unwrap();
    }
    calls
}
