//! One mesh for each test binary.

use std::sync::OnceLock;

use ovomesh_api::EncodedRow;
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_testkit::{Fleet, Programs, Shape};
use tonic::transport::{Channel, Endpoint};

/// The programs beside the tests.
pub fn programs() -> Programs {
    Programs::beside_this_one().expect("tests are beside the programs")
}

/// The fleet of this test binary, started at its first use; it ends with the binary.
pub fn fleet() -> &'static Fleet {
    static FLEET: OnceLock<Fleet> = OnceLock::new();
    FLEET.get_or_init(|| Fleet::start(&programs(), Shape::default()).expect("the fleet starts"))
}

/// Asks questions of a fleet.
pub async fn query(fleet: &Fleet) -> QueryServiceClient<Channel> {
    let url = fleet.query().expect("a fleet has query");
    let channel = Endpoint::from_shared(url).expect("a URL").connect().await.expect("query listens");
    QueryServiceClient::new(channel)
}

/// An answered row, field by field.
pub fn stored(answer: &EncodedRow) -> Row {
    answer.parse().expect("a row of the query service").to_pb()
}
