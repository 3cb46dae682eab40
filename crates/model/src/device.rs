//! Where the model is computed.
//!
//! The CUDA path builds, links and loads its library, but was never run on a GPU by the authors: treat it as untested.

use crate::error::EngineError;
use crate::ffi;
use std::fmt;
use std::str::FromStr;
use tch::{Cuda, Device, Kind, Tensor};

/// What was asked for with `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first CUDA device if one can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device, or no start.
    Cuda(usize),
}

impl DeviceChoice {
    /// Finds the device and tries it.
    pub fn open(self) -> Result<Device, EngineError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(index) => {
                open_cuda(index).map_err(|reason| EngineError::Device { wanted: self.to_string(), reason })
            }
            Self::Auto => Ok(open_cuda(0).unwrap_or_else(|reason| {
                tracing::info!(%reason, "no CUDA, computing on the CPU");
                Device::Cpu
            })),
        }
    }
}

fn open_cuda(index: usize) -> Result<Device, String> {
    ffi::load_cuda_library()?;
    let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
    if !Cuda::is_available() || index >= count {
        return Err(format!("libtorch sees {count} CUDA devices"));
    }
    let device = Device::Cuda(index);
    let tried = Tensor::f_zeros([1], (Kind::Float, device));
    tried.map(|_| device).map_err(|error| crate::error::first_line(&error))
}

/// `cpu` or `cuda:N`, as provenance writes it.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Cpu | Device::Mps | Device::Vulkan => "cpu".to_owned(),
    }
}

/// The instruction set that libtorch's own kernels use on this CPU, by the rule of its dispatcher (`DispatchStub`),
/// which tch does not expose. `ATEN_CPU_CAPABILITY` overrides it there, so it does here.
pub fn cpu_capability() -> String {
    if let Ok(forced) = std::env::var("ATEN_CPU_CAPABILITY") {
        return forced.to_ascii_uppercase();
    }
    detected_capability().to_owned()
}

#[cfg(target_arch = "x86_64")]
fn detected_capability() -> &'static str {
    use std::arch::is_x86_feature_detected as has;
    if has!("avx512vl") && has!("avx512bw") && has!("avx512dq") && has!("fma") {
        "AVX512"
    } else if has!("avx2") && has!("fma") {
        "AVX2"
    } else {
        "DEFAULT"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected_capability() -> &'static str {
    "DEFAULT"
}

/// Whether this CPU multiplies bfloat16 itself. Every CPU with AMX tiles has these instructions too.
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("`{text}` is not auto, cpu or cuda:N")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_reads_back_as_it_is_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().map(|device| device.to_string()), Ok(text.to_owned()));
        }
        assert!("gpu".parse::<DeviceChoice>().is_err());
        assert!("cuda:x".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn a_missing_gpu_is_an_error_only_for_who_insists_on_it() {
        if Cuda::is_available() {
            return;
        }
        assert_eq!(DeviceChoice::Auto.open().ok(), Some(Device::Cpu));
        assert!(matches!(DeviceChoice::Cuda(7).open(), Err(EngineError::Device { .. })));
    }
}
