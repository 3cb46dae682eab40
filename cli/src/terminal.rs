//! What the terminal can show: its width, and whether it understands more than plain text.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

/// Narrower than this nothing is made to fit: a terminal that says so is not drawn yet.
const NARROWEST: usize = 20;
/// From one line of progress to the next, where no bar can be drawn.
const EVERY: Duration = Duration::from_secs(5);

/// Columns of the terminal that standard output is; `None` where it is none.
pub(crate) fn width() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(&out).ok()?.ws_col;
    (usize::from(columns) >= NARROWEST).then_some(columns.into())
}

/// How far a long piece of work is: a bar on a terminal, else a line of text now and then. On standard error, so that it is
/// never among what a program reads.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Where no bar can be drawn.
    lines: Option<Mutex<Lines>>,
}

impl Progress {
    /// `doing` names the work on `count` things, such as `making phantoms`.
    pub(crate) fn new(doing: &str, count: u64) -> Self {
        let draws = io::stderr().is_terminal() && ovomesh_bootstrap::terminal::is_capable();
        let bar = ProgressBar::with_draw_target(
            Some(count),
            if draws { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(doing.to_owned());
        let lines =
            Lines { doing: doing.to_owned(), count, done: 0, began: Instant::now(), shown: Duration::ZERO };
        Self { bar, lines: (!draws).then(|| Mutex::new(lines)) }
    }

    /// One that shows nothing.
    pub(crate) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), lines: None }
    }

    /// This many more are done.
    pub(crate) fn add(&self, more: u64) {
        self.bar.inc(more);
        let Some(lines) = &self.lines else { return };
        let mut lines = lines.lock();
        let passed = lines.began.elapsed();
        if let Some(line) = lines.add(more, passed) {
            // A failure to write it is no reason to stop.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// Prints something else without disturbing the bar.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

struct Lines {
    doing: String,
    count: u64,
    done: u64,
    began: Instant,
    /// When a line was last written.
    shown: Duration,
}

impl Lines {
    /// The line that is due now.
    fn add(&mut self, more: u64, passed: Duration) -> Option<String> {
        self.done += more;
        if passed < self.shown + EVERY || self.done >= self.count {
            return None;
        }
        self.shown = passed;
        Some(format!("{}: {} of {}", self.doing, self.done, self.count))
    }
}

/// Text for a terminal of this width: a line that is longer continues below its value, or a little further in.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    text.split('\n').map(|line| wrapped_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, width: usize) -> String {
    if visible(line) <= width {
        return line.to_owned();
    }
    let indent = hanging(line, width);
    let (mut lines, mut current, mut used) = (Vec::new(), String::new(), 0);
    for word in line.split_inclusive(' ') {
        let wide = visible(word.trim_end());
        if used + wide > width && used > indent {
            lines.push(current.trim_end().to_owned());
            (current, used) = (" ".repeat(indent), indent);
        }
        if used == indent && word == " " && !lines.is_empty() {
            continue;
        }
        current += word;
        used += visible(word);
    }
    lines.push(current.trim_end().to_owned());
    lines.join("\n")
}

/// Where a line continues: below the value of `name   value`, else 4 further in than it begins.
fn hanging(line: &str, width: usize) -> usize {
    let begins = line.len() - line.trim_start().len();
    let value = line[begins..].find("  ").map(|gap| {
        let after = &line[begins + gap..];
        begins + gap + (after.len() - after.trim_start().len())
    });
    value.filter(|&at| at <= width / 3).unwrap_or((begins + 4).min(width / 3))
}

/// Characters that are seen: colours are not.
pub(crate) fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_below_their_value() {
        let line = "sent       4,000 = 4,000 verdicts + 0 rejected; 0 lost, 0 answered twice, 0 unsent";
        assert_eq!(
            wrapped(line, 40),
            "sent       4,000 = 4,000 verdicts + 0\n           rejected; 0 lost, 0 answered\n           twice, 0 unsent"
        );
        assert_eq!(wrapped("one two three four", 10), "one two\n   three\n   four");
        assert_eq!(wrapped("short\nlines", 10), "short\nlines");
        let red = "\x1b[31mfour\x1b[0m";
        assert_eq!(visible(red), 4);
        assert_eq!(wrapped(&format!("{red} {red} {red}"), 14), format!("{red} {red} {red}"));
        assert_eq!(wrapped(&"x".repeat(30), 10), "x".repeat(30), "a name is not cut");
    }

    #[test]
    fn progress_without_a_bar_is_a_line_now_and_then() {
        let (began, shown) = (Instant::now(), Duration::ZERO);
        let mut lines = Lines { doing: "making phantoms".into(), count: 100, done: 0, began, shown };
        let mut at = |seconds| lines.add(10, Duration::from_secs(seconds));
        assert_eq!(at(1), None, "what is quick needs none");
        assert_eq!(at(6).as_deref(), Some("making phantoms: 20 of 100"));
        assert_eq!(at(8), None);
        assert_eq!(at(11).as_deref(), Some("making phantoms: 40 of 100"));
    }
}
