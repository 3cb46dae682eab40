//! Acquisitions whose contrasts are a series each. ImagesInAcquisition counts the images of an acquisition: where a
//! scanner writes the parts of a Dixon, or magnitude and phase, as a series each, it is the sum over all of them.

use super::{contrast::Contrast, identity::Identity};

/// What an image states of its acquisition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquisition {
    identity: Identity,
    /// Images of the whole acquisition.
    stated: usize,
    contrast: String,
}

impl Acquisition {
    pub(super) fn of(identity: &Identity, stated: usize, contrast: &Contrast) -> Self {
        Self { identity: identity.clone(), stated, contrast: contrast.name() }
    }

    /// One of an egg without a name, for tests.
    pub fn example(stated: usize, contrast: &str) -> Self {
        Self { identity: Identity::default(), stated, contrast: contrast.to_owned() }
    }

    /// Whether both are of one egg and state the same count.
    pub fn is_part_of(&self, other: &Self) -> bool {
        (&self.identity, self.stated) == (&other.identity, other.stated)
    }
}

/// Whether the series that `part` stands for is a whole contrast of an acquisition: together with the `others` that are
/// of the same egg and state the same count it has as many images as they state, each of another contrast and all
/// equally long. Pairs are the acquisition of a series and how many images it has.
pub fn is_whole_acquisition<'a>(
    part: (&Acquisition, usize),
    others: impl Iterator<Item = (&'a Acquisition, usize)>,
) -> bool {
    let (own, images) = part;
    let mut contrasts = vec![own.contrast.as_str()];
    for (other, count) in others.filter(|(other, _)| other.is_part_of(own)) {
        if count != images || contrasts.contains(&other.contrast.as_str()) {
            return false;
        }
        contrasts.push(&other.contrast);
    }
    contrasts.len() > 1 && contrasts.len() * images == own.stated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_that_have_the_stated_images_together_are_each_whole() {
        let of = Acquisition::example;
        let (water, fat, again) = (of(32, "W"), of(32, "F"), of(32, "W"));
        let is_whole =
            |part, others: &[(&Acquisition, usize)]| is_whole_acquisition(part, others.iter().copied());
        assert!(is_whole((&water, 16), &[(&fat, 16), (&of(16, "F"), 16)]));
        assert!(!is_whole((&water, 16), &[]), "half of them");
        assert!(!is_whole((&water, 20), &[(&fat, 12)]), "not equally long");
        assert!(!is_whole((&water, 16), &[(&again, 16)]), "the same contrast twice is another scan");
        assert!(!is_whole((&water, 8), &[(&fat, 8)]));
    }
}
