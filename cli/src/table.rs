//! Tables for people: aligned, without boxes, coloured only on a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) colour: Option<Color>,
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self { text: text.into(), colour: None }
    }
}

impl Field {
    pub(crate) fn coloured(self, colour: impl Into<Option<Color>>) -> Self {
        Self { colour: colour.into(), ..self }
    }
}

/// A column: its name, and whether it holds numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    fn alignment(self) -> CellAlignment {
        match self {
            Self::Text(_) => CellAlignment::Left,
            Self::Number(_) => CellAlignment::Right,
        }
    }
}

/// The whole table as text, without a last line break. Never wraps: a line is a row, whatever the terminal's width.
pub(crate) fn render<const N: usize>(
    columns: &[Column; N],
    rows: impl IntoIterator<Item = [Field; N]>,
    colour: bool,
) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(columns.iter().map(|c| Cell::new(c.name()).set_alignment(c.alignment())));
    for row in rows {
        table.add_row(row.into_iter().zip(columns).map(|(field, column)| {
            let cell = Cell::new(field.text).set_alignment(column.alignment());
            match field.colour {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_plain_text_has_no_colours() {
        let rows = [("a", "1"), ("longer", "1,000")]
            .map(|(a, b)| [Field::from(a).coloured(Color::Red), Field::from(b)]);
        let columns = [Column::Text("name"), Column::Number("n")];
        assert_eq!(
            render(&columns, rows.clone(), false),
            "name        n\n\
             a           1\n\
             longer  1,000"
        );
        assert!(render(&columns, rows, true).contains("\u{1b}["), "colours on a terminal");
    }
}
