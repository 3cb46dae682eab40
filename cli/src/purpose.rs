//! What scans are for, on the command line.

use ovomesh_api::pb::scan::v1::Purpose;

/// What scans are for.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PurposeArg {
    /// A test: decided and stored, but not counted
    Test,
    /// A reference egg: decided and stored, but not counted
    Calibration,
    /// An egg on its way to the hatcher
    Production,
}

impl PurposeArg {
    pub(crate) fn code(self) -> Purpose {
        match self {
            Self::Test => Purpose::Test,
            Self::Calibration => Purpose::Calibration,
            Self::Production => Purpose::Production,
        }
    }
}
