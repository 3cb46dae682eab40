//! Starts processes from one thread that lives as long as the program: the kernel ties a child to the *thread* that
//! started it, and a test's own thread ends with the test.

use std::process::{Child, Command};
use std::sync::{LazyLock, mpsc};

use crate::signal::die_with_parent;

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (send, orders) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in orders {
            die_with_parent(&mut command);
            // Who ordered it may be gone.
            let _ = answer.send(command.spawn());
        }
    });
    send
});

/// Starts a process that dies with this program.
pub(crate) fn spawn(command: Command) -> std::io::Result<Child> {
    let (send, answer) = mpsc::channel();
    let gone = || std::io::Error::other("the thread that starts processes is gone");
    SPAWNER.send((command, send)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
