//! The requests of ptrace(2) that are carried out in a guest's name: on threads that the calling one has seized.
//!
//! They run with the app kernel's rights. So each request that exists here is one that needs none, and what it takes
//! is checked by the host kernel only as far as that has to be: options and kinds of registers are the caller's to check.

use rustix::io::Errno;

use super::{Registers, request};
use crate::raw::{check, syscall};

/// `user_fpregs_struct` of sys/user.h, in bytes.
pub const FP_BYTES: usize = 512;
pub const REGISTER_BYTES: usize = size_of::<Registers>();
/// `siginfo_t`, in bytes.
pub const SIGNAL_INFO_BYTES: usize = 128;

const PTRACE_ARCH_PRCTL: libc::c_uint = 30; // asm/ptrace-abi.h
const PTRACE_SYSEMU: libc::c_uint = 31;
const PTRACE_SYSEMU_SINGLESTEP: libc::c_uint = 32;
const PTRACE_SINGLEBLOCK: libc::c_uint = 33;
const PTRACE_GET_SYSCALL_INFO: libc::c_uint = 0x420e;

/// How far a thread goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    Continue,
    ToCall,
    Step,
    StepBlock,
    Emulate,
    EmulateStep,
}

impl Resume {
    fn request(self) -> libc::c_uint {
        match self {
            Resume::Continue => libc::PTRACE_CONT,
            Resume::ToCall => libc::PTRACE_SYSCALL,
            Resume::Step => libc::PTRACE_SINGLESTEP,
            Resume::StepBlock => PTRACE_SINGLEBLOCK,
            Resume::Emulate => PTRACE_SYSEMU,
            Resume::EmulateStep => PTRACE_SYSEMU_SINGLESTEP,
        }
    }
}

/// Trace `tid` with these options (`PTRACE_O_*`).
pub fn seize(tid: i32, options: i32) -> Result<(), Errno> {
    request(libc::PTRACE_SEIZE, tid, options as u64)
}

pub fn set_options(tid: i32, options: i32) -> Result<(), Errno> {
    request(libc::PTRACE_SETOPTIONS, tid, options as u64)
}

/// `signal`, any number, is delivered if the stop is one where that is possible. `EIO` for a number that is none.
pub fn resume(tid: i32, how: Resume, signal: u64) -> Result<(), Errno> {
    request(how.request(), tid, signal)
}

/// Trace it no more, and let it go on.
pub fn detach(tid: i32, signal: u64) -> Result<(), Errno> {
    request(libc::PTRACE_DETACH, tid, signal)
}

/// Wait for anything that a thread traced by the calling one has to tell: its id, and a status as of wait(2).
/// `EINTR`; `ECHILD` when it traces none.
pub fn wait_any() -> Result<(i32, i32), Errno> {
    let mut status = 0;
    // Not for children of the process' other threads: theirs to wait for.
    let options = libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: waitpid writes one int at the pointer, which is live.
    let tid = check(unsafe { libc::waitpid(-1, &raw mut status, options) }.into())? as i32;
    Ok((tid, status))
}

/// What has happened to the tracee `tid`, if anything has by now.
pub fn wait_now(tid: i32) -> Result<Option<i32>, Errno> {
    let mut status = 0;
    let options = libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG;
    // SAFETY: waitpid writes one int at the pointer, which is live.
    let found = check(unsafe { libc::waitpid(tid, &raw mut status, options) }.into())?;
    Ok((found != 0).then_some(status))
}

pub fn message(tid: i32) -> Result<u64, Errno> {
    word(libc::PTRACE_GETEVENTMSG, tid, 0)
}

/// A word of its memory.
pub fn peek(tid: i32, address: u64) -> Result<u64, Errno> {
    word(libc::PTRACE_PEEKDATA, tid, address)
}

pub fn poke(tid: i32, address: u64, value: u64) -> Result<(), Errno> {
    // SAFETY: takes integers; the memory that changes is the other process', as the kernel allows.
    unsafe { syscall!(libc::SYS_ptrace, libc::PTRACE_POKEDATA, tid, address, value) }?;
    Ok(())
}

/// A word of `struct user`, sys/user.h: general and debug registers.
pub fn peek_user(tid: i32, offset: u64) -> Result<u64, Errno> {
    word(libc::PTRACE_PEEKUSER, tid, offset)
}

pub fn poke_user(tid: i32, offset: u64, value: u64) -> Result<(), Errno> {
    // SAFETY: takes integers.
    unsafe { syscall!(libc::SYS_ptrace, libc::PTRACE_POKEUSER, tid, offset, value) }?;
    Ok(())
}

fn word(request: libc::c_uint, tid: i32, address: u64) -> Result<u64, Errno> {
    let mut value = 0u64;
    // SAFETY: the system call (not the C library's function) writes an unsigned long at the data pointer, which is
    // live, for each request used with this function: PEEKDATA, PEEKUSER, GETEVENTMSG.
    unsafe { syscall!(libc::SYS_ptrace, request, tid, address, &raw mut value) }?;
    Ok(value)
}

pub fn registers(tid: i32) -> Result<[u8; REGISTER_BYTES], Errno> {
    let mut bytes = [0; REGISTER_BYTES];
    // SAFETY: PTRACE_GETREGS writes a user_regs_struct, as many bytes as there are.
    unsafe { fill(libc::PTRACE_GETREGS, tid, 0, bytes.as_mut_ptr()) }?;
    Ok(bytes)
}

pub fn set_registers(tid: i32, bytes: &[u8; REGISTER_BYTES]) -> Result<(), Errno> {
    // SAFETY: PTRACE_SETREGS reads a user_regs_struct, as many bytes as there are.
    unsafe { fill(libc::PTRACE_SETREGS, tid, 0, bytes.as_ptr().cast_mut()) }
}

pub fn fp_registers(tid: i32) -> Result<[u8; FP_BYTES], Errno> {
    let mut bytes = [0; FP_BYTES];
    // SAFETY: PTRACE_GETFPREGS writes a user_fpregs_struct, as many bytes as there are.
    unsafe { fill(libc::PTRACE_GETFPREGS, tid, 0, bytes.as_mut_ptr()) }?;
    Ok(bytes)
}

pub fn set_fp_registers(tid: i32, bytes: &[u8; FP_BYTES]) -> Result<(), Errno> {
    // SAFETY: PTRACE_SETFPREGS reads a user_fpregs_struct, as many bytes as there are.
    unsafe { fill(libc::PTRACE_SETFPREGS, tid, 0, bytes.as_ptr().cast_mut()) }
}

pub fn signal_info(tid: i32) -> Result<[u8; SIGNAL_INFO_BYTES], Errno> {
    let mut bytes = [0; SIGNAL_INFO_BYTES];
    // SAFETY: PTRACE_GETSIGINFO writes a siginfo_t, as many bytes as there are.
    unsafe { fill(libc::PTRACE_GETSIGINFO, tid, 0, bytes.as_mut_ptr()) }?;
    Ok(bytes)
}

pub fn set_signal_info(tid: i32, bytes: &[u8; SIGNAL_INFO_BYTES]) -> Result<(), Errno> {
    // SAFETY: PTRACE_SETSIGINFO reads a siginfo_t, as many bytes as there are.
    unsafe { fill(libc::PTRACE_SETSIGINFO, tid, 0, bytes.as_ptr().cast_mut()) }
}

/// # Safety
/// `data` is live for what `request` reads or writes there.
unsafe fn fill(request: libc::c_uint, tid: i32, address: u64, data: *mut u8) -> Result<(), Errno> {
    // SAFETY: the caller's.
    unsafe { syscall!(libc::SYS_ptrace, request, tid, address, data) }?;
    Ok(())
}

/// As much of the register set `kind` (`NT_*` of linux/elf.h) as there is and `into` has room for.
pub fn register_set(tid: i32, kind: u64, into: &mut [u8]) -> Result<usize, Errno> {
    set_of_registers(
        libc::PTRACE_GETREGSET,
        tid,
        kind,
        into.as_mut_ptr(),
        into.len(),
    )
}

pub fn set_register_set(tid: i32, kind: u64, from: &[u8]) -> Result<usize, Errno> {
    let bytes = from.as_ptr().cast_mut();
    set_of_registers(libc::PTRACE_SETREGSET, tid, kind, bytes, from.len())
}

fn set_of_registers(
    request: libc::c_uint,
    tid: i32,
    kind: u64,
    base: *mut u8,
    length: usize,
) -> Result<usize, Errno> {
    let mut vector = libc::iovec {
        iov_base: base.cast(),
        iov_len: length,
    };
    // SAFETY: both callers pass a live slice, GETREGSET's an exclusive one; SETREGSET only reads it. The vector is live
    // and gets the length that was used.
    unsafe { syscall!(libc::SYS_ptrace, request, tid, kind, &raw mut vector) }?;
    Ok(vector.iov_len)
}

/// `struct ptrace_syscall_info`, as much of it as `into` has room for. Returns how long it is.
pub fn call_info(tid: i32, into: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: PTRACE_GET_SYSCALL_INFO writes at most as many bytes as its address argument says.
    let length = unsafe {
        syscall!(
            libc::SYS_ptrace,
            PTRACE_GET_SYSCALL_INFO,
            tid,
            into.len(),
            into.as_mut_ptr()
        )
    }?;
    Ok(length as usize)
}

/// Up to as many waiting signals as `into` has room for, ptrace(2) of `PTRACE_PEEKSIGINFO`: from position `offset`, of
/// the process if `shared`, else of the thread. Returns how many.
pub fn waiting_signals(
    tid: i32,
    offset: u64,
    shared: bool,
    into: &mut [[u8; SIGNAL_INFO_BYTES]],
) -> Result<usize, Errno> {
    #[repr(C)]
    struct Which {
        offset: u64,
        flags: u32,
        count: i32,
    }
    let which = Which {
        offset,
        flags: shared.into(),
        count: i32::try_from(into.len()).unwrap_or(i32::MAX),
    };
    // SAFETY: reads the live struct (ptrace_peeksiginfo_args) and writes at most `count` siginfo_t, for which there is
    // room.
    let count = unsafe {
        syscall!(
            libc::SYS_ptrace,
            libc::PTRACE_PEEKSIGINFO,
            tid,
            &raw const which,
            into.as_mut_ptr()
        )
    }?;
    Ok(count as usize)
}

/// Segments whose base can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    Fs,
    Gs,
}

/// arch_prctl(2) of `ARCH_GET_FS`, `ARCH_GET_GS`.
pub fn segment_base(tid: i32, segment: Segment) -> Result<u64, Errno> {
    let code = match segment {
        Segment::Fs => 0x1003,
        Segment::Gs => 0x1004,
    };
    let mut value = 0u64;
    // SAFETY: with these codes an unsigned long is written at the live address.
    unsafe {
        syscall!(
            libc::SYS_ptrace,
            PTRACE_ARCH_PRCTL,
            tid,
            &raw mut value,
            code
        )
    }?;
    Ok(value)
}

/// `ARCH_SET_FS`, `ARCH_SET_GS`.
pub fn set_segment_base(tid: i32, segment: Segment, base: u64) -> Result<(), Errno> {
    let code = match segment {
        Segment::Fs => 0x1002,
        Segment::Gs => 0x1001,
    };
    // SAFETY: takes integers.
    unsafe { syscall!(libc::SYS_ptrace, PTRACE_ARCH_PRCTL, tid, base, code) }?;
    Ok(())
}
