//! Whose images a series has. All of them must agree: a verdict from another egg's image is worse than none.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::attribute::{Scope, name};

/// What says whose an image is. One series has one value of each.
const ATTRIBUTES: [Tag; 3] = [tags::PATIENT_ID, tags::STUDY_INSTANCE_UID, tags::FRAME_OF_REFERENCE_UID];

/// The values of one image; nothing where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Identity([Option<String>; ATTRIBUTES.len()]);

impl Identity {
    pub(super) fn read(scope: &Scope<'_>) -> Self {
        Self(ATTRIBUTES.map(|tag| scope.text(tag)))
    }

    /// PatientID: the egg.
    pub(super) fn egg_id(&self) -> Option<&str> {
        self.0[0].as_deref()
    }

    /// The first attribute in which another image differs, with both values. An image that does not name its egg
    /// differs from one that does; the UIDs are compared where both are stated.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let differs = |&i: &usize| match (&self.0[i], &other.0[i]) {
            (Some(a), Some(b)) => a != b,
            (a, b) => ATTRIBUTES[i] == tags::PATIENT_ID && a != b,
        };
        let i = (0..ATTRIBUTES.len()).find(differs)?;
        let [a, b] = [self, other].map(|of| of.0[i].as_deref().unwrap_or("none").escape_debug().to_string());
        Some(format!("{} is {a} and {b}", name(ATTRIBUTES[i])))
    }
}
