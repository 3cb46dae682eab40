//! The size that a compressed frame states of itself. Decoders make room for it, so it must be the file's
//! own.

/// Columns and rows of a JPEG or JPEG 2000 frame; nothing when this is neither, or continues another
/// fragment.
pub(super) fn size(frame: &[u8]) -> Option<[usize; 2]> {
    match frame {
        [0xFF, 0xD8, segments @ ..] => jpeg(segments),
        _ => jpeg_2000(frame),
    }
}

/// The first frame header (SOF0 to SOF15 without DHT, JPG and DAC) among the segments after the start of
/// image.
fn jpeg(mut segments: &[u8]) -> Option<[usize; 2]> {
    loop {
        let [0xFF, marker, high, low, rest @ ..] = segments else { return None };
        if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) {
            let [_, rows_high, rows_low, columns_high, columns_low, ..] = rest else { return None };
            let number = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([*high, *low]));
            return Some([number(columns_high, columns_low), number(rows_high, rows_low)]);
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        segments = segments.get(2 + length..)?;
    }
}

/// The SIZ segment right after the start of codestream; boxes may precede it.
fn jpeg_2000(frame: &[u8]) -> Option<[usize; 2]> {
    const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
    let start = frame.windows(4).position(|w| w == START)?;
    // Length and capabilities, then the size and the offset of the image on its reference grid.
    let number = |i: usize| {
        let bytes = frame.get(start + 8 + 4 * i..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes) as usize)
    };
    let (columns, rows, left, top) = (number(0)?, number(1)?, number(2)?, number(3)?);
    Some([columns.saturating_sub(left), rows.saturating_sub(top)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_both_kinds_of_frames() {
        let jpeg = [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xC3, 0, 11, 8, 0, 64, 1, 0, 1];
        assert_eq!(size(&jpeg), Some([256, 64]));
        let jpeg_2000 =
            [0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0, 0, 0, 1, 0, 0, 0, 0, 70, 0, 0, 0, 0, 0, 0, 0, 6];
        assert_eq!(size(&jpeg_2000), Some([256, 64]));
        for cut in 0..jpeg.len() {
            let _ = size(&jpeg[..cut]);
            let _ = size(&jpeg_2000[..cut]);
        }
        assert_eq!(size(&[1, 2, 3]), None);
    }
}
