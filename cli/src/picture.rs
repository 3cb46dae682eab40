//! A preview in the terminal: half blocks in 16 grey levels, or letters where there are no colours.

use ovomesh_api::pb::scan::v1::Preview;

/// Most pixels along a side, by the contract.
const MOST: u32 = 64;
/// From dark to bright, for terminals without colours: 16 letters by the ink they take.
const RAMP: [char; 16] = [' ', '.', '\'', ':', '-', '~', '+', '=', 'i', 'c', 'o', 'x', 'w', '#', 'M', '@'];
/// The mark at the gonads, where there are no colours.
const MARK: char = '\u{25ce}';

/// The pixels of a preview, 0 to 15.
pub(crate) struct Picture {
    columns: usize,
    rows: usize,
    pixels: Vec<u8>,
    /// The marked pixel, if any: column, row.
    mark: Option<(usize, usize)>,
}

impl Picture {
    /// Unpacks a preview; says what is wrong with one that breaks the contract.
    pub(crate) fn unpack(preview: &Preview) -> Result<Self, String> {
        let Preview { columns, rows, pixels, .. } = preview;
        let count = u64::from(*columns) * u64::from(*rows);
        if !(1..=MOST).contains(columns)
            || !(1..=MOST).contains(rows)
            || pixels.len() as u64 != count.div_ceil(2)
        {
            return Err(format!("the preview is broken: {columns}x{rows} pixels in {} bytes", pixels.len()));
        }
        let (columns, rows) = (*columns as usize, *rows as usize);
        let mark = preview.mark_x.zip(preview.mark_y).and_then(|(x, y)| {
            let inside = |v: f32, n: usize| (v > -0.5 && v < n as f32 - 0.5).then(|| v.round() as usize);
            inside(x, columns).zip(inside(y, rows))
        });
        let pixels = pixels.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(columns * rows).collect();
        Ok(Self { columns, rows, pixels, mark })
    }

    /// One line of text for each two rows of pixels, made smaller where there is `room` for fewer columns.
    pub(crate) fn lines(&self, colour: bool, room: Option<usize>) -> Vec<String> {
        if let Some(room) = room.filter(|room| *room < self.columns) {
            return self.every(self.columns.div_ceil(room.max(1))).lines(colour, None);
        }
        (0..self.rows).step_by(2).map(|y| if colour { self.coloured(y) } else { self.plain(y) }).collect()
    }

    /// Only each so manieth pixel of a row, and row.
    fn every(&self, step: usize) -> Self {
        let kept = |n: usize| (0..n).step_by(step);
        let pixels = kept(self.rows).flat_map(|y| kept(self.columns).map(move |x| self.at(x, y))).collect();
        let mark = self.mark.map(|(x, y)| (x / step, y / step));
        Self { columns: self.columns.div_ceil(step), rows: self.rows.div_ceil(step), pixels, mark }
    }

    /// Two pixels a character: the upper half block has the upper one's colour, the background the lower one's.
    fn coloured(&self, y: usize) -> String {
        let mut line = String::with_capacity(self.columns * 8);
        let mut before = None;
        for x in 0..self.columns {
            let pair = (self.code(x, y), self.code(x, y + 1));
            if before != Some(pair) {
                line += &format!("\x1b[38;5;{};48;5;{}m", pair.0, pair.1);
                before = Some(pair);
            }
            line.push('\u{2580}');
        }
        line + "\x1b[0m"
    }

    /// The ANSI 256 colour of a pixel: black and 15 of the 24 greys, or red where the gonads are.
    fn code(&self, x: usize, y: usize) -> u8 {
        if self.mark == Some((x, y)) {
            return 196;
        }
        match self.at(x, y) {
            0 => 16,
            // 232 is the darkest grey, 255 the brightest.
            level => 232 + (u16::from(level) * 23).div_ceil(15) as u8,
        }
    }

    fn plain(&self, y: usize) -> String {
        let letter = |x| {
            if self.mark.is_some_and(|(mx, my)| mx == x && my / 2 == y / 2) {
                return MARK;
            }
            RAMP[usize::from((self.at(x, y) + self.at(x, y + 1)).div_ceil(2))]
        };
        (0..self.columns).map(letter).collect::<String>().trim_end().to_owned()
    }

    /// The level of a pixel; the row above where there is none.
    fn at(&self, x: usize, y: usize) -> u8 {
        self.pixels[y.min(self.rows - 1) * self.columns + x]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc, brighter to the right, with a mark.
    fn disc(size: u32) -> Preview {
        let half = f64::from(size) / 2.0 - 0.5;
        let level = |x: u32, y: u32| {
            let (dx, dy) = (f64::from(x) - half, f64::from(y) - half);
            let inside = dx.hypot(dy) < half;
            if inside { (4.0 + 11.0 * f64::from(x) / f64::from(size)) as u8 } else { 0 }
        };
        let levels: Vec<u8> = (0..size).flat_map(|y| (0..size).map(move |x| level(x, y))).collect();
        let pixels: Vec<u8> = levels.chunks(2).map(|p| p[0] << 4 | p.get(1).copied().unwrap_or(0)).collect();
        let half = f32::from(u8::try_from(size / 2).unwrap());
        Preview {
            columns: size,
            rows: size,
            pixels: pixels.into(),
            mark_x: Some(half),
            mark_y: Some(half - 1.6),
        }
    }

    #[test]
    fn a_picture_without_colours_looks_like_this() {
        let lines = Picture::unpack(&disc(16)).unwrap().lines(false, None);
        assert_eq!(
            lines,
            [
                "    :---~~~+",
                "  :++=iicooxw+",
                " -~++=iicooxww#",
                " -~++=ii\u{25ce}ooxww#",
                " -~++=iicooxww#",
                " -~++=iicooxww#",
                "  :++=iicooxw+",
                "    :---~~~+",
            ]
        );
    }

    #[test]
    fn a_picture_is_made_smaller_where_there_is_less_room() {
        let picture = Picture::unpack(&disc(16)).unwrap();
        let lines = picture.lines(false, Some(15));
        assert_eq!(lines.len(), 4, "half of it: {lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 8), "{lines:?}");
        assert!(lines.concat().contains(MARK), "the mark stays");
        assert_eq!(picture.lines(false, Some(16)), picture.lines(false, None));
    }

    #[test]
    fn colours_are_sixteen_greys_and_one_red_pixel() {
        let all: Vec<u8> = (0..8u8).map(|i| (2 * i) << 4 | (2 * i + 1)).collect();
        let preview =
            Preview { columns: 16, rows: 1, pixels: all.into(), mark_x: Some(3.0), mark_y: Some(0.0) };
        let line = Picture::unpack(&preview).unwrap().lines(true, None).remove(0);
        assert_eq!(line.matches('\u{2580}').count(), 16);
        assert!(line.contains("38;5;196"), "the mark");
        assert!(
            line.starts_with("\x1b[38;5;16;48;5;16m")
                && line.contains("38;5;255;")
                && line.ends_with("\x1b[0m")
        );
    }

    #[test]
    fn a_broken_preview_is_no_picture() {
        let changes: [fn(&mut Preview); 3] =
            [|p| p.columns = 0, |p| p.rows = 65, |p| p.pixels = vec![0; 3].into()];
        for change in changes {
            let mut preview = disc(16);
            change(&mut preview);
            assert!(Picture::unpack(&preview).is_err());
        }
        let off = Preview { mark_x: Some(f32::NAN), ..disc(16) };
        assert!(Picture::unpack(&off).unwrap().mark.is_none());
    }
}
