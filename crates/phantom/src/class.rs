//! What an egg holds.

use std::fmt;

/// What an egg holds. The numbers are the order of the model's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// A living female embryo: the left gonad grows, the right one regresses.
    Female = 0,
    /// A living male embryo: two gonads of about the same size.
    Male = 1,
    /// No embryo.
    Infertile = 2,
    /// An embryo that died, early or mid-term: see [`Death`].
    Dead = 3,
}

impl Class {
    /// All classes in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Female, Self::Male, Self::Infertile, Self::Dead];

    /// The number of this class, 0 to 3.
    pub fn index(self) -> usize {
        self as usize
    }

    /// FEMALE, MALE, INFERTILE or DEAD.
    pub fn name(self) -> &'static str {
        match self {
            Self::Female => "FEMALE",
            Self::Male => "MALE",
            Self::Infertile => "INFERTILE",
            Self::Dead => "DEAD",
        }
    }

    /// Whether there is a living embryo, and so a sex to find.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Female | Self::Male)
    }
}

/// When an embryo died. The model has one output for both: what to do with the egg is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// On days 2 to 7: little of the body is left, the yolk is mottled.
    Early,
    /// On days 8 to 12: a body of nearly the size of a living one, falling to pieces.
    MidTerm,
}

impl Death {
    /// EARLY or MID-TERM.
    pub fn name(self) -> &'static str {
        match self {
            Self::Early => "EARLY",
            Self::MidTerm => "MID-TERM",
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
