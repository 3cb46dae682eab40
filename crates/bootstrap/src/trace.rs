//! One trace for each sampled scan, over all stages, through the message header.
//!
//! Stream metadata is per stream, so the context of a scan travels as a W3C `traceparent` in its messages. A scan is
//! sampled where it enters the mesh; an empty `traceparent` means that it is not, and costs nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Bits of the sampled share; [`OFF`] when traces go nowhere.
static RATIO: AtomicU64 = AtomicU64::new(OFF);
const OFF: u64 = u64::MAX;

pub(crate) fn enable(ratio: f64) {
    RATIO.store(ratio.to_bits(), Relaxed);
}

/// The span of a scan that enters the mesh: a child of the source's own, or with the configured chance a new root.
/// `chance` is a random number from 0 to 1.
pub fn enter(traceparent: &str, chance: f64) -> Span {
    match RATIO.load(Relaxed) {
        OFF => Span::none(),
        _ if !traceparent.is_empty() => child(traceparent, "scan"),
        ratio if chance < f64::from_bits(ratio) => tracing::info_span!(target: "ovomesh", "scan"),
        _ => Span::none(),
    }
}

/// The span of one stage's work, a child of what the message says. None when the scan is not sampled.
pub fn child(traceparent: &str, name: &'static str) -> Span {
    if RATIO.load(Relaxed) == OFF {
        return Span::none();
    }
    let Some(parent) = parse(traceparent) else { return Span::none() };
    let span = tracing::info_span!(target: "ovomesh", "stage", otel.name = name);
    // Fails only when the layer is not there, and then there is no trace to break.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    span
}

/// What to write into the header of calls that belong to `span`; empty when it is none.
pub fn traceparent(span: &Span) -> String {
    if span.is_none() {
        return String::new();
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    if !context.is_valid() {
        return String::new();
    }
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // The library's own parser takes shorter numbers.
    if (trace.len(), span.len(), flags.len()) != (32, 16, 2) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    (sampled && context.is_valid()).then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sampled_and_valid_context_is_followed() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert!(parse(&format!("00-{trace}-00f067aa0ba902b7-01")).is_some());
        for not in
            ["", "00", &format!("00-{trace}-00f067aa0ba902b7-00"), &format!("00-{trace}-0-01x"), "a-b-c-d"]
        {
            assert!(parse(not).is_none(), "{not}");
        }
        assert!(parse(&format!("00-{trace}-0000000000000000-01")).is_none());
    }

    #[test]
    fn without_a_collector_nothing_is_traced() {
        assert!(enter("", 0.0).is_none() && traceparent(&Span::none()).is_empty());
    }
}
