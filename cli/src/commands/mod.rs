//! A file for each subcommand: its flags, its `run`.

pub(crate) mod completions;
pub(crate) mod get;
pub(crate) mod lines;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod phantom;
pub(crate) mod send;
pub(crate) mod show;
pub(crate) mod simulate;
pub(crate) mod spool;
pub(crate) mod status;
pub(crate) mod watch;
