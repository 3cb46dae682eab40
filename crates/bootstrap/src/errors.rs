//! The last error of this process, for `GetStatus`: whatever is logged as an error or a warning.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Longest text kept.
const TEXT_BYTES: usize = 512;

static LAST: Mutex<Option<(String, SystemTime)>> = Mutex::new(None);

/// What it was, and when.
pub(crate) fn last() -> Option<(String, SystemTime)> {
    LAST.lock().clone()
}

/// Remembers warnings and errors as they are logged.
pub(crate) struct Remember;

impl<S: Subscriber> Layer<S> for Remember {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        *LAST.lock() = Some((text.0, SystemTime::now()));
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        let mut piece = String::new();
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(piece, "{gap}{value:?}"),
            name => write!(piece, "{gap}{name}={value:?}"),
        };
        let room = TEXT_BYTES.saturating_sub(self.0.len());
        self.0.extend(piece.chars().scan(0, |used, c| {
            *used += c.len_utf8();
            (*used <= room).then_some(c)
        }));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn the_last_warning_is_remembered_and_bounded() {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Remember), || {
            tracing::warn!(scan_id = "s1", "{}", "x".repeat(10_000));
            tracing::info!("not an error");
        });
        let (text, _) = last().unwrap();
        assert!(text.starts_with("xxx") && text.len() <= TEXT_BYTES, "{text}");
    }
}
