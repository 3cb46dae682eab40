//! The gRPC surface of inference.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovomesh_api::Fault;
use ovomesh_api::pb::inference::v1::inference_service_server::InferenceService;
use ovomesh_api::pb::inference::v1::{InferRequest, Inferred};
use ovomesh_api::pb::preprocess::v1::PreparedVolume;
use ovomesh_api::pb::scan::v1::{Point, Provenance, Scores};
use ovomesh_api::stages::Infer;
use ovomesh_mesh::{Done, Load, ResponseStream, StageError, StageServer, Work};
use tonic::{Request, Response, Status, Streaming};

use ovomesh_model::{Engine, EngineError, engine, model};

/// Takes streams and hands their calls to the engine.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) stage: StageServer<Infer>,
    pub(crate) engine: Arc<Engine>,
}

#[tonic::async_trait]
impl InferenceService for Service {
    type InferStream = ResponseStream<Infer>;

    async fn infer(
        &self,
        request: Request<Streaming<InferRequest>>,
    ) -> Result<Response<Self::InferStream>, Status> {
        Ok(Response::new(self.stage.accept(request)?))
    }
}

/// Ready from the start: the engine was warmed before this was made.
impl ovomesh_bootstrap::Status for Service {
    fn load(&self) -> Load {
        self.stage.load()
    }

    fn details(&self) -> BTreeMap<String, String> {
        let engine::Provenance { model, device, cpu_capability, precision, .. } = self.engine.provenance();
        let device = format!("{device} {cpu_capability} {precision}");
        let waiting = self.engine.depth().to_string();
        [("model", model.clone()), ("device", device), ("waiting for a batch", waiting)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }
}

/// One call through the engine.
pub(crate) async fn infer(
    engine: Arc<Engine>,
    work: Work<PreparedVolume>,
) -> Result<Done<Inferred>, StageError> {
    let Work { body, deadline, alone, .. } = work;
    let deadline = deadline.map(tokio::time::Instant::into_std);
    let work = engine::Work { samples: body.samples, deadline, alone };
    let inferred = engine.infer(work).await.map_err(to_stage_error)?;
    let provenance = to_pb(engine.provenance(), inferred.batch);
    let body = Inferred { scores: Some(scores(&inferred.scores)), provenance: Some(provenance) };
    Ok(Done { body, queued: inferred.queued, worked: inferred.worked })
}

fn scores(scores: &model::Scores) -> Scores {
    let &model::Scores { female, male, infertile, dead, strangeness, gonads_mm } = scores;
    let gonads = gonads_mm.map(|[x_mm, y_mm, z_mm]| Point { x_mm, y_mm, z_mm });
    Scores { female, male, infertile, dead, strangeness, gonads }
}

fn to_pb(provenance: &engine::Provenance, batch: u32) -> Provenance {
    let engine::Provenance { model, model_sha256, device, cpu_capability, .. } = provenance.clone();
    Provenance { model, model_sha256, device, cpu_capability, batch, ..Default::default() }
}

/// The failure of a call without scores.
#[allow(clippy::needless_pass_by_value, reason = "it is what map_err wants")]
fn to_stage_error(error: EngineError) -> StageError {
    let fault = match error {
        EngineError::Size { .. } => Fault::Invalid,
        EngineError::Expired => Fault::Expired,
        EngineError::Full { .. } => Fault::NoRoom,
        EngineError::Stopped => Fault::Unavailable,
        _ => Fault::Broken,
    };
    fault.stage_error(error.to_string())
}
