//! The source of a line's images.

use serde::{Deserialize, Serialize};

use super::MOST;

/// Longest AE title and station name: what DICOM allows (VR AE and SH).
const DICOM_NAME_BYTES: usize = 16;

/// The source of a line's images. All fields that are given must match exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// AE title of the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calling_ae: Option<String>,
    /// AE title that the sender calls this agent by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub called_ae: Option<String>,
    /// StationName (0008,1010) of the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// A watched folder, as an absolute path. The agent watches it because it is named here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// How images arrived.
pub struct Origin<'a> {
    /// AE title of the sender, if it arrived by DICOM.
    pub calling_ae: Option<&'a str>,
    /// AE title that was called.
    pub called_ae: Option<&'a str>,
    /// The watched folder, if it arrived as a file.
    pub folder: Option<&'a str>,
    /// Name of the file, or of the folder that holds the slices.
    pub file_name: Option<&'a str>,
    /// The text of an attribute, by the name that the configuration uses.
    pub attribute: &'a dyn Fn(&str) -> Option<String>,
}

impl Source {
    /// Whether images that arrived this way, from this station, are this line's.
    pub fn fits(&self, origin: &Origin<'_>) -> bool {
        let fits = |own: &Option<String>, theirs: Option<&str>| {
            own.as_ref().is_none_or(|own| theirs == Some(own.as_str()))
        };
        fits(&self.calling_ae, origin.calling_ae)
            && fits(&self.called_ae, origin.called_ae)
            && fits(&self.folder, origin.folder)
            && (self.station.is_none() || fits(&self.station, (origin.attribute)("StationName").as_deref()))
    }

    fn check(&self) -> Result<(), String> {
        let names =
            [("calling_ae", &self.calling_ae), ("called_ae", &self.called_ae), ("station", &self.station)];
        for (field, name) in names {
            let Some(name) = name else { continue };
            let is_good = (1..=DICOM_NAME_BYTES).contains(&name.len())
                && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\')
                && name.trim() == name;
            if !is_good {
                return Err(format!("{field} is {name:?}; it must be 1 to {DICOM_NAME_BYTES} letters"));
            }
        }
        if let Some(folder) = &self.folder {
            if !folder.starts_with('/') {
                return Err(format!("folder is {folder:?}; it must be an absolute path"));
            }
            if self.calling_ae.is_some() || self.called_ae.is_some() {
                return Err(
                    "a source has either a folder or AE titles, and this one has both; make two sources"
                        .into(),
                );
            }
        }
        if *self == Self::default() {
            return Err("it names nothing; give calling_ae, called_ae, station or folder".into());
        }
        Ok(())
    }
}

pub(crate) fn check_sources(sources: &[Source]) -> Result<(), String> {
    if sources.len() > MOST {
        return Err(format!("sources has {} entries; at most {MOST} are possible", sources.len()));
    }
    sources.iter().enumerate().try_for_each(|(i, s)| s.check().map_err(|e| format!("sources[{i}]: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_source_names_what_is_wrong() {
        let some = |text: &str| Some(text.to_owned());
        for (source, word) in [
            (Source::default(), "names nothing"),
            (Source { calling_ae: some("SEVENTEEN_LETTERS"), ..Default::default() }, "1 to 16"),
            (Source { folder: some("drop"), ..Default::default() }, "absolute"),
            (Source { folder: some("/drop"), called_ae: some("A"), ..Default::default() }, "two sources"),
        ] {
            let text = check_sources(&[source]).unwrap_err();
            assert!(text.contains("sources[0]") && text.contains(word), "{text}");
        }
    }
}
