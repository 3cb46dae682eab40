//! A small picture for people.

/// Steps of the prepared samples per grey level: 15 levels reach up to 180, the brightest tissue of most
/// eggs.
const PER_LEVEL: u8 = 12;

/// The middle slice of `samples`, four bits a pixel, the first pixel in the high half of each byte.
pub(crate) fn preview(samples: &[u8], grid: [usize; 3]) -> Vec<u8> {
    let plane = grid[0] * grid[1];
    let (pairs, _) = samples[grid[2] / 2 * plane..][..plane].as_chunks::<2>();
    let level = |v: u8| (v / PER_LEVEL).min(15);
    pairs.iter().map(|&[a, b]| level(a) << 4 | level(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pixel_is_in_the_high_half() {
        let mut samples = vec![0; 48 * 48 * 16];
        samples[8 * 48 * 48] = 255;
        samples[8 * 48 * 48 + 1] = 24;
        let picture = preview(&samples, [48, 48, 16]);
        assert_eq!(picture.len(), 48 * 48 / 2);
        assert_eq!(picture[..2], [0xf2, 0]);
    }
}
