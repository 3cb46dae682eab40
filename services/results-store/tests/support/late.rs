//! A scan that comes again long after, through the service over any store.

use std::sync::Arc;

use ovomesh_api::pb::scan::v1::{Call, Row};
use ovomesh_api::pb::store::v1::store_service_client::StoreServiceClient;
use ovomesh_api::pb::store::v1::{GetScanRequest, ListLineRequest};
use ovomesh_api::stages::Append;
use ovomesh_api::time;
use ovomesh_bootstrap::PortConfig;
use ovomesh_mesh::{CallError, Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use ovomesh_results_store::{Store, serve};
use tokio::net::TcpListener;
use tonic::Code;

use super::{at, read, row};

/// A row that an agent settled, acquired at second 0 and received then.
fn settled(received: i64, call: Call) -> Row {
    let mut row = Row { received_at: Some(time::to_pb(at(received))), settled: true, ..row("old", "egg", 0) };
    row.verdict.as_mut().unwrap().call = call.into();
    row
}

/// The first row stands, whatever comes later; and a retry of the same write is written.
pub async fn the_first_row_of_a_forgotten_scan_stands<S: Store>(store: S) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: tonic::transport::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (life, port) = (Lifecycle::new(), PortConfig::default());
    let own = life.clone();
    life.spawn("results-store", async move { serve(Arc::new(store), &port, listener, &own).await.unwrap() });
    let mut client = StoreServiceClient::new(Connector::default().lazy(&uri).unwrap());
    let pool = StreamPool::<Append>::start(
        PoolConfig::default(),
        Connector::default(),
        discover::fixed([uri]),
        &life,
    );
    let append = async |row: Row| {
        let request = Request { body: row, deadline: None, traceparent: String::new() };
        pool.call(request).await.map(|reply| reply.body.stored_at)
    };
    let line = ListLineRequest { site: "s".into(), line: "l".into(), ..Default::default() };
    let mut stored = async || {
        let asked = client
            .get_scan(GetScanRequest { scan_id: "old".into(), ..Default::default() })
            .await
            .unwrap()
            .into_inner();
        let rows = client.list_line(line.clone()).await.unwrap().into_inner().rows;
        assert_eq!(rows, std::slice::from_ref(&asked.row), "one row, the same everywhere");
        read(asked.row)
    };

    append(settled(400, Call::Female)).await.unwrap();
    let first = stored().await;
    // An hour later: decided alike, and otherwise.
    assert_eq!(append(settled(3_600, Call::Female)).await.unwrap(), first.stored_at);
    let refused = append(settled(3_600, Call::Undecided)).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Failed { code: Code::InvalidArgument, message, .. }
            if message.contains("another decision, which stands")),
        "{refused:?}"
    );
    assert_eq!(stored().await, first, "unchanged, to the last field");
    // A retry of a write whose answer was lost may find tables that do not have it yet: it is written.
    append(settled(400, Call::Female)).await.unwrap();
    let again = stored().await;
    assert_eq!(Row { stored_at: first.stored_at, ..again }, first);
    // Nor by a decision that no agent stands for.
    append(Row { settled: false, ..settled(3_600, Call::Male) }).await.unwrap_err();
    assert_eq!(stored().await.verdict.unwrap().call(), Call::Female);
    drop(pool);
    life.drain.cancel();
}
