//! Where output goes, and whether a person or a program reads it.

use std::io::{self, IsTerminal, Write};

/// How to print.
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
    /// How to print.
    pub format: Format,
    /// Whether colours are shown.
    pub colour: bool,
}

impl Out {
    /// Standard output, with colours when it is a terminal and `NO_COLOR` is not set.
    pub fn stdout(format: Format) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { to: Box::new(io::stdout()), format, colour }
    }

    /// Anything else, without colours.
    pub fn to(to: impl Write + Send + 'static, format: Format) -> Self {
        Self { to: Box::new(to), format, colour: false }
    }

    /// Whether a program reads.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes one line, at once.
    ///
    /// # Errors
    /// When the reader of our output is gone.
    pub fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.to, "{}", text.as_ref())?;
        self.to.flush()
    }

    /// Writes a value as one line of JSON.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        Ok(self.line(serde_json::to_string(value)?)?)
    }

    /// A remark beside the output: never between the lines that a program reads.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn remark(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        if self.is_json() {
            eprintln!("{}", text.as_ref());
            return Ok(());
        }
        self.line(text)
    }
}

/// Whether an error only says that the reader of our output has left, as `head` does.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
