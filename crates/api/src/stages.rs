//! The stages of the mesh: each is a bidirectional method, and the two messages that travel on its stream.

use ovomesh_mesh::stage;

use crate::pb::inference::v1::{InferRequest, InferResponse, Inferred};
use crate::pb::preprocess::v1::{PrepareRequest, PrepareResponse, Prepared, PreparedVolume};
use crate::pb::scan::v1::{Row, Volume};
use crate::pb::store::v1::{AppendRequest, AppendResponse, Appended};

/// The pool of a stage whose answers become verdicts and rows: its name in `load.v1`.
pub const MAIN_POOL: &str = "main";

stage!(
    /// Raw volume to prepared volume.
    pub Prepare, "preprocess", "/ovomesh.preprocess.v1.PreprocessService/Prepare",
    PrepareRequest { volume: Volume } => PrepareResponse { prepared: Prepared }
);

stage!(
    /// Prepared volume to scores.
    pub Infer, "inference", "/ovomesh.inference.v1.InferenceService/Infer",
    InferRequest { volume: PreparedVolume } => InferResponse { inferred: Inferred }
);

stage!(
    /// Row to durable row.
    pub Append, "results-store", "/ovomesh.store.v1.StoreService/Append",
    AppendRequest { row: Row } => AppendResponse { appended: Appended }
);
