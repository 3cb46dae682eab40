//! Signals to processes: the one place with `unsafe`.
#![allow(unsafe_code)]

/// Sends `signal` to the process `pid`.
pub(crate) fn send(pid: u32, signal: i32) -> std::io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(std::io::Error::other)?;
    // SAFETY: kill takes two numbers and touches no memory of ours.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Clock ticks a second, the unit of CPU times in /proc.
pub(crate) fn ticks_per_second() -> u64 {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100)
}

/// Has the kernel kill the process when the thread that starts it ends: nothing outlives a test that was killed.
pub(crate) fn die_with_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let ask = || {
        // SAFETY: prctl with these arguments only sets an attribute of the calling process.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: `ask` makes one system call and allocates nothing, which is allowed between fork and exec.
    unsafe { command.pre_exec(ask) };
}
