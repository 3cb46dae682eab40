//! Where output goes, and whether a person or a program reads it.

use std::io::{self, Write};

use crate::escape::printable;
use crate::table::{self, Column, Field};
use crate::terminal;
use ovomesh_bootstrap::terminal::has_colours;

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables and sentences for people.
    Table,
    /// One JSON object a line for programs.
    Json,
}

/// Standard output, or a buffer in tests.
pub struct Out {
    to: Box<dyn Write + Send>,
    pub format: Format,
    /// Whether colours are shown.
    pub colour: bool,
    /// Columns of the terminal; `None` when lines may be of any length.
    pub width: Option<usize>,
}

/// The reader of our output has left, as `head` does.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has left")]
struct ReaderLeft;

impl Out {
    /// Standard output: as wide as its terminal, with colours when it understands them and `NO_COLOR` is not set.
    pub fn stdout(format: Format) -> Self {
        let colour = has_colours(&io::stdout());
        let width = if format == Format::Table { terminal::width() } else { None };
        Self { to: Box::new(io::stdout()), format, colour, width }
    }

    /// Anything else, without colours and of any width.
    pub fn to(to: impl Write + Send + 'static, format: Format) -> Self {
        Self { to: Box::new(to), format, colour: false, width: None }
    }

    /// Whether a program reads.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes one line or several, at once. On a terminal that is too narrow each continues in the next line.
    ///
    /// # Errors
    /// When the reader of our output is gone.
    pub fn line(&mut self, text: impl AsRef<str>) -> anyhow::Result<()> {
        let text = match self.format {
            // JSON has escapes of its own.
            Format::Json => text.as_ref().into(),
            Format::Table => printable(text.as_ref(), self.colour),
        };
        let written = match self.width {
            Some(width) => writeln!(self.to, "{}", terminal::wrapped(&text, width)),
            None => writeln!(self.to, "{text}"),
        };
        written.and_then(|()| self.to.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => ReaderLeft.into(),
            _ => anyhow::Error::new(error).context("writing the output"),
        })
    }

    /// Writes a table.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub(crate) fn table<const N: usize>(
        &mut self,
        columns: &[Column; N],
        rows: impl IntoIterator<Item = [Field; N]>,
    ) -> anyhow::Result<()> {
        let text = table::render(columns, rows, self.colour, self.width);
        self.line(text)
    }

    /// Writes a value as one line of JSON.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    /// A remark beside the output: never between the lines that a program reads.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn remark(&mut self, text: impl AsRef<str>) -> anyhow::Result<()> {
        if self.is_json() {
            warn(text.as_ref());
            return Ok(());
        }
        self.line(text)
    }
}

/// A line on standard error. A failure to write it is no reason to stop.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text, false));
}

/// Whether an error only says that the reader of our output has left.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ReaderLeft>().is_some()
}
