//! `ovomesh man`: manual pages, made of the same texts as `--help`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::{Out, command};

const EXAMPLES: &str = "\
Examples:
  ovomesh man /usr/local/share/man/man1
  ovomesh man pages && man -l pages/ovomesh-simulate.1";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder for the pages; it is created if it does not exist, and existing pages are replaced
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> anyhow::Result<ExitCode> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("making {folder}"))?;
    clap_mangen::generate_to(command(), &args.folder).with_context(|| format!("writing to {folder}"))?;
    out.remark(format!("ovomesh(1) and a page for each command are in {folder}"))?;
    Ok(ExitCode::SUCCESS)
}
