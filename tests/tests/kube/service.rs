//! What kube-proxy does: one address for a Service. Each new connection goes to the next endpoint that is ready, as was
//! known a second ago; connections that are there stay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::world::{Namespace, Watch};

/// How much later than the EndpointSlices new connections know.
const LAG: Duration = Duration::from_secs(1);

/// Ready endpoints, and the number of the event that told them.
type Endpoints = Arc<Mutex<(usize, Vec<SocketAddr>)>>;

/// An address for a Service, until it is dropped.
pub struct Service {
    pub url: String,
    _watch: Watch,
    accepting: tokio::task::JoinHandle<()>,
}

impl Service {
    /// For the Service `name` of a namespace, which has one EndpointSlice.
    pub fn start(here: Namespace<'_>, name: &str) -> Self {
        let label = format!("kubernetes.io/service-name={name}");
        let endpoints = Endpoints::default();
        let (learns, runtime) = (endpoints.clone(), here.world.runtime.handle().clone());
        let mut number = 0;
        let watch = here.watch(&["endpointslices", "-l", &label], move |slice| {
            let (endpoints, ready, this) = (learns.clone(), ready(&slice), number);
            number += 1;
            runtime.spawn(async move {
                tokio::time::sleep(LAG).await;
                let mut endpoints = endpoints.lock();
                if endpoints.0 <= this {
                    *endpoints = (this, ready);
                }
            });
        });
        let listener = here.world.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepting = here.world.runtime.spawn(accept(listener, endpoints));
        Self { url, _watch: watch, accepting }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn ready(slice: &Value) -> Vec<SocketAddr> {
    let port = slice["ports"][0]["port"].as_u64().unwrap_or(0);
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    ready
        .filter_map(|endpoint| format!("{}:{port}", endpoint["addresses"][0].as_str()?).parse().ok())
        .collect()
}

async fn accept(listener: TcpListener, endpoints: Endpoints) {
    let (mut connections, mut next) = (JoinSet::new(), 0);
    while let Ok((mut here, _)) = listener.accept().await {
        let endpoints = endpoints.lock().1.clone();
        let at = next;
        next += 1;
        connections.spawn(async move {
            // Nobody there: the connection is refused, by being closed.
            let Some(endpoint) = endpoints.get(at % endpoints.len().max(1)) else { return };
            let Ok(mut there) = TcpStream::connect(endpoint).await else { return };
            let _ = (here.set_nodelay(true), there.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
        });
    }
}
