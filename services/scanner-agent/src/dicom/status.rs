//! The DICOM statuses that a sender can get (PS3.7 annex C, PS3.4 B.2.3), with a comment for people.

/// Longest ErrorComment (VR LO).
const COMMENT: usize = 64;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: u16,
    /// Why; empty for success.
    pub comment: String,
}

impl Status {
    /// It is done, and on disk.
    pub const SUCCESS: Self = Self { code: 0x0000, comment: String::new() };

    /// There is no room now; the same may be sent again later.
    pub fn out_of_resources(why: impl Into<String>) -> Self {
        Self::new(0xA700, why)
    }

    /// The image is not what its SOP class says, or not the one that was announced.
    pub fn mismatch(why: impl Into<String>) -> Self {
        Self::new(0xA900, why)
    }

    /// The image cannot be used, now or later.
    pub fn cannot_understand(why: impl Into<String>) -> Self {
        Self::new(0xC000, why)
    }

    /// Another kind of image than MR.
    pub fn class_not_supported(class: &str) -> Self {
        Self::new(0x0122, format!("SOP class {class}: only MR images are taken"))
    }

    /// The same series came before with other images.
    pub fn duplicate(why: impl Into<String>) -> Self {
        Self::new(0x0111, why)
    }

    /// The UID of an instance that none can have.
    pub fn invalid_instance() -> Self {
        Self::new(0x0117, "SOP instance UID: 1 to 64 digits and dots are possible")
    }

    /// An operation that this agent does not do.
    pub fn unrecognized(field: u16) -> Self {
        Self::new(0x0211, format!("operation {field:#06X}: only C-STORE and C-ECHO are done"))
    }

    /// No line takes images of this sender.
    pub fn not_authorized(why: impl Into<String>) -> Self {
        Self::new(0x0124, why)
    }

    fn new(code: u16, why: impl Into<String>) -> Self {
        let mut comment: String = why
            .into()
            .chars()
            .map(|c| if c.is_ascii() && !c.is_ascii_control() && c != '\\' { c } else { '?' })
            .collect();
        comment.truncate(COMMENT);
        Self { code, comment }
    }
}
