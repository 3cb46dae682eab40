//! What this program is as a scanner.

use ovomesh_api::pb::scanner::v1::{Hello, Line, Scanner};

/// How this program introduces itself.
pub(crate) fn hello(model: &str, serial: String, max_volume_bytes: u64, lines: Vec<Line>) -> Hello {
    Hello {
        scanner: Some(Scanner {
            vendor: "ovomesh".into(),
            model: model.into(),
            serial,
            software: env!("CARGO_PKG_VERSION").into(),
        }),
        max_volume_bytes,
        lines,
        ..Hello::default()
    }
}
