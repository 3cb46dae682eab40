//! Stands in for inference where its speed has to be known: one call after the other, each of a fixed duration; the same scores for
//! every volume. It is a real stage in a real process; only the network in it is missing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use ovomesh_api::pb::inference::v1::inference_service_server::{InferenceService, InferenceServiceServer};
use ovomesh_api::pb::inference::v1::{InferRequest, Inferred};
use ovomesh_api::pb::scan::v1::Scores;
use ovomesh_api::stages::Infer;
use ovomesh_bootstrap::{Lifecycle, Load, PortConfig, Server, ServerArgs, TelemetryArgs};
use ovomesh_mesh::{Done, ResponseStream, ServerConfig, StageServer};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
    /// Scans a second that it does
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
}

struct Slow(StageServer<Infer>);

#[tonic::async_trait]
impl InferenceService for Slow {
    type InferStream = ResponseStream<Infer>;

    async fn infer(
        &self,
        request: Request<Streaming<InferRequest>>,
    ) -> Result<Response<Self::InferStream>, Status> {
        Ok(Response::new(self.0.accept(request)?))
    }
}

impl ovomesh_bootstrap::Status for Slow {
    fn load(&self) -> Load {
        self.0.load()
    }
}

fn main() -> Result<(), ovomesh_bootstrap::Failure> {
    let args = Args::parse();
    let work = Duration::from_secs_f64(1.0 / args.rate);
    ovomesh_bootstrap::main(
        "slow-inference",
        &args.server,
        &args.telemetry,
        || PortConfig::try_from(&args.server),
        |port, listener, lifecycle: Lifecycle| async move {
            let turn = Arc::new(Semaphore::new(1));
            let config = ServerConfig { messages: 32, ..ServerConfig::default() };
            let stage = StageServer::new(
                config,
                move |_| {
                    let (turn, arrived) = (turn.clone(), Instant::now());
                    async move {
                        let _turn = turn.acquire_owned().await;
                        let queued = arrived.elapsed();
                        tokio::time::sleep(work).await;
                        let scores = Scores { female: 0.99, male: 0.01, ..Default::default() };
                        let body = Inferred { scores: Some(scores), provenance: None };
                        Ok(Done { body, queued, worked: work })
                    }
                },
                &lifecycle,
            );
            Server::new("slow-inference", &port)
                .service(InferenceServiceServer::new(Slow(stage.clone())))
                .status(Slow(stage))
                .serve(listener, &lifecycle)
                .await
        },
    )
}
