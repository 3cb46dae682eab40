//! Logs to the console, and traces to a collector when there is one.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::{LogFormat, TelemetryArgs, errors, terminal, trace};

/// How long the last traces may take to a collector that is slow or away.
const FLUSH: Duration = Duration::from_secs(2);

/// Holds what sends the traces.
#[must_use = "the last traces are sent by `stop`"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logs and, with an endpoint, traces. Within a Tokio runtime; once a process.
pub fn start(service: &'static str, instance: String, args: &TelemetryArgs) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&args.log).with_context(|| format!("--log {}", args.log))?;
    let console = tracing_subscriber::fmt::layer()
        .with_ansi(terminal::has_colours(&std::io::stderr()))
        .with_writer(std::io::stderr);
    let console: Box<dyn Layer<Registry> + Send + Sync> = match args.log_format {
        LogFormat::Text => console.with_filter(filter).boxed(),
        LogFormat::Json => console.json().with_filter(filter).boxed(),
    };
    let provider = exporter(service, instance, args)?;
    // The exporter's own calls must not be traced, or each trace would make another.
    let own = EnvFilter::new("off,ovomesh=info");
    let traces = provider
        .as_ref()
        .map(|p| tracing_opentelemetry::layer().with_tracer(p.tracer(service)).with_filter(own));
    // Filtered like the others: one layer that asks for everything makes each frame of HTTP/2 an event.
    let remember = errors::Remember.with_filter(LevelFilter::WARN);
    let subscriber = tracing_subscriber::registry().with(console).with(traces).with(remember);
    // Another service of this process may have been first: its console serves all.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if provider.is_some() {
        trace::enable(args.trace_ratio);
    }
    Ok(Telemetry { provider })
}

fn exporter(
    service: &'static str,
    instance: String,
    args: &TelemetryArgs,
) -> anyhow::Result<Option<SdkTracerProvider>> {
    let Some(endpoint) = &args.otlp_endpoint else { return Ok(None) };
    anyhow::ensure!(
        endpoint.starts_with("http://"),
        "--otlp-endpoint is {endpoint}; it must be http://HOST:PORT: for a collector behind TLS run one beside this \
         program that forwards"
    );
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("--otlp-endpoint {endpoint}"))?;
    let resource = opentelemetry_sdk::Resource::builder()
        .with_service_name(service)
        .with_attribute(opentelemetry::KeyValue::new("service.instance.id", instance))
        .build();
    // Whether a scan is traced is decided once, where it enters (see `trace`); here everything is kept.
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}

impl Telemetry {
    /// Sends what is not yet sent.
    pub async fn stop(self) {
        let Some(provider) = self.provider else { return };
        // It blocks until the exporter is done, which needs this runtime.
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = flush.await {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
