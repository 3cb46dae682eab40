//! What the process does that decodes.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use ovomesh_imaging::dicom::{Limits, decode_samples};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{DEADLINE, WORKER};

/// Address space for the decoders themselves.
const OWN_BYTES: u64 = 32 << 20;
/// Address space for an image: the file, what is kept of it, its samples twice, and what a decoder makes of a frame.
const COPIES: u64 = 6;

/// The limits with which this process shall decode, if it shall.
pub fn asked() -> Option<Limits> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != WORKER {
        return None;
    }
    let mut number = || arguments.next()?.parse().ok();
    Some(Limits { volume_bytes: number()?, volumes: number()? })
}

/// Decodes what is asked for until the agent is gone.
pub fn work(limits: Limits) -> anyhow::Result<()> {
    // To say where it was would take memory, and a panic for want of memory would wait for itself.
    std::panic::set_hook(Box::new(|_| ()));
    limit_memory(limits)?;
    let (mut requests, mut answers) = (io::stdin().lock(), io::stdout().lock());
    let mut length = [0; 4];
    while requests.read_exact(&mut length).is_ok() {
        let mut file = Vec::new();
        requests.by_ref().take(u32::from_le_bytes(length).into()).read_to_end(&mut file)?;
        limit_time()?;
        let (is_decoded, answer) = match decode_samples(&file, limits) {
            Ok(samples) => (1, samples),
            Err(why) => (0, why.into_bytes()),
        };
        answers.write_all(&[is_decoded])?;
        answers.write_all(&u32::try_from(answer.len())?.to_le_bytes())?;
        answers.write_all(&answer)?;
        answers.flush()?;
    }
    Ok(())
}

/// What a decoder asks for beyond this it does not get, and the process ends.
fn limit_memory(limits: Limits) -> anyhow::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    let kib: u64 = size.ok_or_else(|| anyhow::anyhow!("/proc/self/status has no VmSize"))?.parse()?;
    let most = (kib << 10) + OWN_BYTES + COPIES * limits.file_bytes() as u64;
    Ok(setrlimit(Resource::As, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Nobody would end it if the agent were killed meanwhile.
fn limit_time() -> anyhow::Result<()> {
    let used = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?;
    let current = Some((used + DEADLINE).as_secs() + 1);
    Ok(setrlimit(Resource::Cpu, Rlimit { current, ..getrlimit(Resource::Cpu) })?)
}
