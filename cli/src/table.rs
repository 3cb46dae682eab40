//! Tables for people: aligned, without boxes, coloured only on a terminal, and never wider than it.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};

use crate::escape::escaped;
use crate::{colour, terminal};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) colour: Option<Color>,
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self { text: escaped(&text.into()).into_owned(), colour: None }
    }
}

impl Field {
    pub(crate) fn coloured(self, colour: impl Into<Option<Color>>) -> Self {
        Self { colour: colour.into(), ..self }
    }

    fn painted(&self, colour: bool) -> String {
        match self.colour {
            Some(own) if colour => colour::paint(&self.text, own),
            _ => self.text.clone(),
        }
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

/// The whole table as text, without a last line break: a line for each row, or where that is wider than `width` a line for
/// each value that is there.
pub(crate) fn render<const N: usize>(
    columns: &[Column; N],
    rows: impl IntoIterator<Item = [Field; N]>,
    colour: bool,
    width: Option<usize>,
) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let text = aligned(columns, &rows, colour);
    let fits = |width| text.lines().all(|line| terminal::visible(line) <= width);
    if rows.is_empty() || width.is_none_or(fits) { text } else { stacked(columns, &rows, colour) }
}

/// A line for each row.
fn aligned<const N: usize>(columns: &[Column; N], rows: &[[Field; N]], colour: bool) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(columns.iter().map(|c| Cell::new(c.name()).set_alignment(c.alignment())));
    for row in rows {
        table.add_row(row.iter().zip(columns).map(|(field, column)| {
            let cell = Cell::new(&field.text).set_alignment(column.alignment());
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

/// A paragraph for each row: a line for each value, behind its column's name. What is not known is left out.
fn stacked<const N: usize>(columns: &[Column; N], rows: &[[Field; N]], colour: bool) -> String {
    let longest = columns.iter().map(|column| column.name().len()).max().unwrap_or(0);
    let paragraph = |row: &[Field; N]| {
        let known = row.iter().zip(columns).filter(|(field, _)| !matches!(field.text.as_str(), "" | "-"));
        let line = |(field, column): (&Field, &Column)| {
            format!("{:<longest$}  {}", column.name(), field.painted(colour))
        };
        known.map(line).collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(paragraph).collect::<Vec<_>>().join("\n\n")
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
            render(&columns, rows.clone(), false, None),
            "name        n\n\
             a           1\n\
             longer  1,000"
        );
        assert!(render(&columns, rows, true, None).contains("\u{1b}["), "colours on a terminal");
    }

    #[test]
    fn a_table_that_is_too_wide_becomes_a_paragraph_for_each_row() {
        let rows = [["a", "-", "1"], ["much longer", "b", ""]].map(|row| row.map(Field::from));
        let columns = [Column::Text("NAME"), Column::Text("OTHER"), Column::Number("N")];
        assert_eq!(
            render(&columns, rows.clone(), false, Some(20)),
            "NAME   a\n\
             N      1\n\
             \n\
             NAME   much longer\n\
             OTHER  b"
        );
        assert_eq!(render(&columns, rows, false, Some(21)).lines().count(), 3);
    }
}
