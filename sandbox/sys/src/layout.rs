//! C structs that are copied to and from guests as bytes.

/// A type whose every byte pattern is valid and that has no padding or pointers of ours in it, so that
/// it may be copied to and from a guest bytewise.
///
/// # Safety
/// Implementors are `repr(C)` structs of integers (or integers) without uninitialised padding once
/// zeroed, as the kernel's ABI structs are.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: an integer, an array of integers, or a kernel ABI struct of integers; every value is made by
            // `zeroed` or by the kernel, so that padding is initialised.
            unsafe impl Plain for $type {}
        )*
    };
}

plain!(
    u8,
    u16,
    u32,
    u64,
    i8,
    i16,
    i32,
    i64,
    libc::stat,
    libc::statx,
    libc::statfs,
    libc::timespec,
    libc::timeval,
    libc::rlimit,
    libc::utsname,
    libc::sysinfo,
    libc::sockaddr_un,
    libc::sockaddr_in,
    libc::sockaddr_in6,
    libc::iovec,
    libc::utimbuf,
    libc::winsize,
    libc::ucred,
    libc::siginfo_t,
    libc::open_how,
);

// SAFETY: an array of plain values is a plain value: arrays have no padding of their own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The all-zero value.
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: by the contract of `Plain` every byte pattern is a valid value.
    unsafe { std::mem::zeroed() }
}

/// The bytes of `value`.
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `value` is a live reference of that size; by the contract of `Plain` its bytes are
    // initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The bytes of `value`, to be filled in.
pub fn bytes_of_mut<T: Plain>(value: &mut T) -> &mut [u8] {
    // SAFETY: an exclusive live reference of that size; by the contract of `Plain` any bytes may be
    // written.
    unsafe { std::slice::from_raw_parts_mut(std::ptr::from_mut(value).cast(), size_of::<T>()) }
}
