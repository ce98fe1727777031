//! System calls, and the few functions that the compiler expects every program to have.

use core::arch::asm;

pub(crate) const PAGE: u64 = 4096;
/// Where addresses of programs end, with four levels of page tables, asm/page_64.h.
pub(crate) const TASK_SIZE: u64 = (1 << 47) - PAGE;

pub(crate) const SYS_WRITE: u64 = 1;
pub(crate) const SYS_CLOSE: u64 = 3;
pub(crate) const SYS_MMAP: u64 = 9;
pub(crate) const SYS_MUNMAP: u64 = 11;
pub(crate) const SYS_PREAD64: u64 = 17;
pub(crate) const SYS_PERSONALITY: u64 = 135;
pub(crate) const SYS_PRCTL: u64 = 157;
pub(crate) const SYS_EXIT_GROUP: u64 = 231;

pub(crate) const PROT_NONE: u64 = 0;
pub(crate) const PROT_READ: u64 = 1;
pub(crate) const PROT_WRITE: u64 = 2;
pub(crate) const PROT_EXEC: u64 = 4;
pub(crate) const MAP_PRIVATE: u64 = 2;
pub(crate) const MAP_FIXED: u64 = 0x10;
pub(crate) const MAP_ANONYMOUS: u64 = 0x20;
pub(crate) const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

/// One system call, with as many arguments as the longest needs.
///
/// # Safety
/// As of the call that is made.
pub(crate) unsafe fn syscall(number: u64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> i64 {
    let result: i64;
    // SAFETY: the x86-64 system call convention; the caller vouches for the call itself.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// End by SIGSEGV, as Linux ends a program that it could not load, whether or not that signal is ignored or blocked.
pub(crate) fn fault() -> ! {
    // SAFETY: an instruction that no program may execute; the kernel ends the process.
    unsafe { asm!("hlt", options(noreturn, nomem, nostack)) }
}

pub(crate) fn die(message: &[u8]) -> ! {
    // SAFETY: writes a live slice, then ends the process.
    unsafe {
        syscall(
            SYS_WRITE,
            2,
            message.as_ptr() as u64,
            message.len() as u64,
            0,
            0,
            0,
        );
        syscall(SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0);
    }
    loop {
        core::hint::spin_loop();
    }
}

/// Byte-wise copy: `core`'s would call memcpy, which a freestanding program has to bring itself.
///
/// # Safety
/// As of `core::ptr::copy_nonoverlapping`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack))
    };
    to
}

/// # Safety
/// `to` must be valid for `count` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the range.
    unsafe {
        asm!("rep stosb", inout("rdi") to => _, inout("rcx") count => _, in("al") byte as u8, options(nostack))
    };
    to
}

/// The compiler recognises loops that look for a NUL and calls this.
///
/// # Safety
/// `text` must be NUL-terminated.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller vouches for a NUL; volatile reads keep the compiler from calling strlen here.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

/// Named by unwinding tables of the precompiled `core`; with panic=abort nothing ever unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

pub(crate) const fn page_down(value: u64) -> u64 {
    value & !(PAGE - 1)
}

pub(crate) const fn page_up(value: u64) -> u64 {
    page_down(value.wrapping_add(PAGE - 1))
}

pub(crate) fn close(fd: i32) {
    // SAFETY: takes an integer.
    unsafe { syscall(SYS_CLOSE, fd as u64, 0, 0, 0, 0, 0) };
}
