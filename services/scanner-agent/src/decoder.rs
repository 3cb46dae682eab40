//! Compressed samples are decoded in a process of its own. Its address space and its time are limited, so a stranger's image
//! can end it and no more; the next image has a new one.
//!
//! It is this program again, with [`WORKER`] as its argument. A request is a file, an answer whether it was decoded and its
//! samples, or why not; each has its length before it.

mod worker;

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_imaging::dicom::{Decode, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

pub use self::worker::{asked, work};

/// What makes this program a decoder.
const WORKER: &str = "decode-samples";
/// Time for one image; the largest takes less than a second.
const DEADLINE: Duration = Duration::from_secs(5);
/// This program, also when its file was replaced by another version.
const SELF: &str = "/proc/self/exe";

/// The process that decodes. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Decoder {
    process: Arc<Mutex<Option<Process>>>,
    command: fn(Limits) -> Command,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { process: Arc::default(), command: this_program }
    }
}

fn this_program(limits: Limits) -> Command {
    let mut command = Command::new(SELF);
    command.arg(WORKER).args([limits.volume_bytes, limits.volumes].map(|number| number.to_string()));
    command
}

struct Process {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

/// On a thread of the runtime that may wait.
impl Decode for Decoder {
    fn decode(&self, file: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
        tokio::runtime::Handle::current().block_on(self.decoded(file, limits))
    }
}

impl Decoder {
    async fn decoded(&self, file: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
        let mut process = self.process.lock().await;
        loop {
            let (mut current, is_used) = match process.take() {
                Some(current) => (current, true),
                None => match Process::start((self.command)(limits)) {
                    Ok(current) => (current, false),
                    Err(error) => return Err(format!("the decoder cannot be started: {error}")),
                },
            };
            let why = match tokio::time::timeout(DEADLINE, current.exchange(file, limits)).await {
                Ok(Ok(answer)) => {
                    *process = Some(current);
                    return answer;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it took more than {} s", DEADLINE.as_secs()),
            };
            // It ends here, whatever it does.
            let _ = current.child.kill().await;
            metrics::counter!("ovomesh_agent_decoders_lost_total").increment(1);
            tracing::warn!(why, is_used, "a decoder ended over an image; the next image has a new one");
            // An earlier image may have left it little memory.
            if !is_used {
                return Err(
                    "the decoder gave up on them: they need more memory or time than an image does".into()
                );
            }
        }
    }
}

impl Process {
    fn start(mut command: Command) -> io::Result<Self> {
        // What a panic says there is a stranger's text.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(answers)) => Ok(Self { child, requests, answers }),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    async fn exchange(&mut self, file: &[u8], limits: Limits) -> io::Result<Result<Vec<u8>, String>> {
        self.requests.write_u32_le(u32::try_from(file.len()).map_err(io::Error::other)?).await?;
        self.requests.write_all(file).await?;
        let is_decoded = self.answers.read_u8().await? == 1;
        let length = self.answers.read_u32_le().await? as usize;
        if length > limits.file_bytes() {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        let mut answer = vec![0; length];
        self.answers.read_exact(&mut answer).await?;
        Ok(if is_decoded { Ok(answer) } else { Err(String::from_utf8_lossy(&answer).into_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { volume_bytes: 1 << 20, volumes: 2 };

    fn decoder(command: fn(Limits) -> Command) -> Decoder {
        Decoder { command, ..Decoder::default() }
    }

    #[tokio::test]
    async fn a_decoder_that_ends_or_cannot_start_is_an_error_and_the_next_one_is_tried() {
        let ends = decoder(|_| Command::new("/bin/false"));
        for _ in 0..2 {
            let error = ends.decoded(b"an image", LIMITS).await.unwrap_err();
            assert!(error.contains("gave up"), "{error}");
        }
        let error = decoder(|_| Command::new("/no/such")).decoded(b"", LIMITS).await.unwrap_err();
        assert!(error.contains("cannot be started"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_decoder_that_hangs_is_ended() {
        let hangs = decoder(|_| {
            let mut command = Command::new("/bin/sleep");
            command.arg("1000");
            command
        });
        let error = hangs.decoded(b"an image", LIMITS).await.unwrap_err();
        assert!(error.contains("more memory or time"), "{error}");
        assert!(hangs.process.lock().await.is_none());
    }
}
