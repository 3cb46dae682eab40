//! The unsafe corner: what libtorch needs and tch does not offer.
#![allow(unsafe_code)]

use std::ffi::CStr;
use tch::{Device, Kind, Tensor};

/// Loads libtorch's CUDA half, if it lies beside the CPU half. It registers itself with libtorch.
///
/// Linking against it does not work: the linker drops a library of which no symbol is used, and the program then has no
/// CUDA without saying so. On a machine without NVIDIA's driver the library loads, and finds no device.
pub(crate) fn load_cuda_library() -> Result<(), String> {
    // SAFETY: the name is a literal with a terminating zero. The library's initialisers only register kernels. The
    // handle is never closed, so nothing of it can dangle.
    let handle = unsafe { libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: called right after the failed dlopen on the same thread, so it returns that call's message (or null), which
    // stays valid until the next dl call of this thread; it is copied before that.
    let message = unsafe {
        let message = libc::dlerror();
        if message.is_null() { c"unknown".to_owned() } else { CStr::from_ptr(message).to_owned() }
    };
    Err(message.to_string_lossy().into_owned())
}

/// The bytes of a tensor that was made by [`Tensor::zeros`] and never shared, to write into.
///
/// # Panics
/// When it is not a dense u8 tensor in main memory.
pub(crate) fn bytes_of(tensor: &mut Tensor) -> &mut [u8] {
    assert!(
        tensor.kind() == Kind::Uint8 && tensor.device() == Device::Cpu && tensor.is_contiguous(),
        "only a dense u8 tensor in main memory can be written as bytes"
    );
    let length = tensor.numel();
    // SAFETY: a contiguous u8 tensor owns `numel` initialised bytes from `data_ptr` on. The borrow of `tensor` is
    // exclusive and outlives the slice, and the callers keep no other handle to its storage.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), length) }
}
