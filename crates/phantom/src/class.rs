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
    /// An embryo that died in its first week.
    Dead = 3,
}

impl Class {
    /// All classes in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Female, Self::Male, Self::Infertile, Self::Dead];

    /// The number of this class, 0 to 3.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The class of a number, if there is one.
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
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

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
