//! Appends records until it is killed, and says which are durable:
//! `cargo run -p ovomesh-spool --example append -- DIR`.

use std::io::Write as _;
use std::path::PathBuf;

use ovomesh_spool::{Error, Log, Options};

fn main() -> Result<(), Error> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "spool".into()));
    let options = Options { segment_bytes: 256 << 10, limit_bytes: 1 << 30, keep_free_bytes: 0 };
    let (log, _) = Log::open(&folder, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        for n in 0_u32.. {
            let id = format!("record-{n}");
            log.append(1, &id, n.to_le_bytes().repeat(1_000).into()).await?;
            // Whoever reads may be gone; then so are we.
            if writeln!(std::io::stdout(), "{id}").is_err() {
                break;
            }
        }
        Ok(())
    })
}
