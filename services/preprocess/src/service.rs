//! The gRPC surface of preprocess.

use std::collections::BTreeMap;

use ovomesh_api::pb::preprocess::v1::PrepareRequest;
use ovomesh_api::pb::preprocess::v1::preprocess_service_server::PreprocessService;
use ovomesh_api::stages::Prepare;
use ovomesh_mesh::{Load, ResponseStream, StageServer};
use tonic::{Request, Response, Status, Streaming};

/// Takes streams and hands their calls to the workers.
#[derive(Clone)]
pub struct Service {
    /// The stage's half of the mesh.
    pub stage: StageServer<Prepare>,
}

#[tonic::async_trait]
impl PreprocessService for Service {
    type PrepareStream = ResponseStream<Prepare>;

    async fn prepare(
        &self,
        request: Request<Streaming<PrepareRequest>>,
    ) -> Result<Response<Self::PrepareStream>, Status> {
        Ok(Response::new(self.stage.accept(request)?))
    }
}

impl ovomesh_bootstrap::Status for Service {
    fn load(&self) -> Load {
        self.stage.load()
    }

    fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("streams".into(), self.stage.load().streams.to_string())])
    }
}
