//! How much of a stranger's file is kept in memory. Everything follows from the largest volume that is taken.

use crate::volume::{IN_PLANE, SLICES};

/// What a file may have beside the samples of the largest volume, at least: headers, a second echo.
const BESIDE_BYTES: usize = 4 << 20;
/// What is kept of a header, at least: 4 KiB for each of 256 slices.
const HEADER_BYTES: usize = 1 << 20;

/// How large files, and what is made of them, may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the samples of the largest volume.
    pub volume_bytes: usize,
    /// Volumes in the files that are read together.
    pub volumes: usize,
}

impl Default for Limits {
    /// One volume of any size that is possible, with a second echo.
    fn default() -> Self {
        Self { volume_bytes: 2 * IN_PLANE.end() * IN_PLANE.end() * SLICES.end(), volumes: 2 }
    }
}

impl Limits {
    /// Bytes of one file, as it is, inflated, and of its samples.
    pub fn file_bytes(&self) -> usize {
        self.volume_bytes + BESIDE_BYTES.max(self.volume_bytes / 8)
    }

    /// Bytes of all samples of the files that are read together.
    pub fn samples_bytes(&self) -> usize {
        self.volumes * self.volume_bytes + BESIDE_BYTES
    }

    /// Bytes of what is kept of one file's header.
    pub(super) fn header_bytes(&self) -> usize {
        HEADER_BYTES.max(self.volume_bytes / 4)
    }
}
