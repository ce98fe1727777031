//! A stopped guest process: reads its seccomp filters and makes calls in it, past them.

#![expect(
    unsafe_code,
    reason = "ptrace(2) has no safe interface for what these tests look at"
)]

use std::io;
use std::ptr;

use caisson_filter::{Instruction, Program};

const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;

/// A seized and stopped process; released when dropped. Must stay on the thread that made it.
#[derive(Debug)]
pub struct Tracee {
    pid: i32,
}

impl Tracee {
    /// Seizes and stops the process. With `suspended` its seccomp filters do not apply while it is traced
    /// (`PTRACE_O_SUSPEND_SECCOMP`, needs CAP_SYS_ADMIN).
    ///
    /// # Errors
    /// What ptrace(2) or waitpid(2) say.
    pub fn stop(pid: i32, suspended: bool) -> io::Result<Tracee> {
        let options = if suspended {
            libc::PTRACE_O_SUSPEND_SECCOMP
        } else {
            0
        };
        request(libc::PTRACE_SEIZE, pid, 0, options as usize)?;
        let tracee = Tracee { pid };
        request(libc::PTRACE_INTERRUPT, pid, 0, 0)?;
        tracee.wait()?;
        Ok(tracee)
    }

    /// The filters of the process, in the kernel's order.
    ///
    /// # Errors
    /// What ptrace(2) says, `EIO` on kernels without `CONFIG_CHECKPOINT_RESTORE`.
    pub fn filters(&self) -> io::Result<Vec<Program>> {
        let mut filters = Vec::new();
        loop {
            let length = match request(PTRACE_SECCOMP_GET_FILTER, self.pid, filters.len(), 0) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(filters),
                // The process has none at all.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && filters.is_empty() => {
                    return Ok(filters);
                }
                Err(error) => return Err(error),
            };
            let empty = Instruction {
                code: 0,
                jt: 0,
                jf: 0,
                k: 0,
            };
            let mut instructions = vec![empty; usize::try_from(length).unwrap_or(0)];
            let into = instructions.as_mut_ptr() as usize;
            // The kernel writes exactly `length` instructions, for which there is room.
            request(PTRACE_SECCOMP_GET_FILTER, self.pid, filters.len(), into)?;
            filters.push(Program { instructions });
        }
    }

    /// Makes the process call `number` with `arguments` and `text` (NUL-terminated by this) on its stack, whose
    /// address replaces argument `text_at`. The process is then no longer fit to go on.
    ///
    /// # Errors
    /// What ptrace(2) says; the call's own result is in the value, negative for an errno.
    pub fn call(
        &self,
        number: i64,
        arguments: [u64; 6],
        text: &str,
        text_at: usize,
    ) -> io::Result<i64> {
        self.prepare(number, arguments, text, text_at)?;
        for _ in 0..2 {
            request(libc::PTRACE_SYSCALL, self.pid, 0, 0)?;
            self.wait()?;
        }
        Ok(self.registers()?.rax.cast_signed())
    }

    /// As `call`, but lets go of the process before it makes the call. What it does afterwards is anybody's guess.
    ///
    /// # Errors
    /// What ptrace(2) says.
    pub fn release_into_call(
        self,
        number: i64,
        arguments: [u64; 6],
        text: &str,
        text_at: usize,
    ) -> io::Result<()> {
        self.prepare(number, arguments, text, text_at)
    }

    /// Waits until somebody has killed the process.
    pub fn wait_killed(self) {
        while self.wait().is_ok() {}
    }

    /// The process is to make this call next.
    fn prepare(
        &self,
        number: i64,
        mut arguments: [u64; 6],
        text: &str,
        text_at: usize,
    ) -> io::Result<()> {
        let mut registers = self.registers()?;
        // Below the red zone of whatever runs there.
        let stack = (registers.rsp - 4096) & !15;
        for (index, chunk) in text
            .bytes()
            .chain([0; 8])
            .collect::<Vec<_>>()
            .chunks(8)
            .enumerate()
        {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let address = usize::try_from(stack).unwrap_or(0) + index * 8;
            request(
                libc::PTRACE_POKEDATA,
                self.pid,
                address,
                usize::from_ne_bytes(word),
            )?;
        }
        arguments[text_at] = stack;
        registers.rip = self.syscall_instruction(&registers)?;
        registers.rsp = stack;
        registers.orig_rax = u64::MAX;
        registers.rax = number.cast_unsigned();
        [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ] = arguments;
        self.set_registers(&registers)
    }

    /// The word where the last call's text was: what the call has written there.
    ///
    /// # Errors
    /// If the process's memory cannot be read.
    pub fn word_on_stack(&self) -> io::Result<i64> {
        peek(self.pid, self.registers()?.rsp)
    }

    /// The process waits in a system call, so the instruction before the next one is `syscall`.
    fn syscall_instruction(&self, registers: &libc::user_regs_struct) -> io::Result<u64> {
        let address = registers.rip - 2;
        let word = peek(self.pid, address)?;
        if word & 0xffff == 0x050f {
            return Ok(address);
        }
        Err(io::Error::other(format!(
            "no syscall instruction before {:#x}: {word:#x}",
            registers.rip
        )))
    }

    fn registers(&self) -> io::Result<libc::user_regs_struct> {
        // SAFETY: all zero bits are a valid value of this struct of integers.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        request(
            libc::PTRACE_GETREGS,
            self.pid,
            0,
            ptr::from_mut(&mut registers) as usize,
        )?;
        Ok(registers)
    }

    fn set_registers(&self, registers: &libc::user_regs_struct) -> io::Result<()> {
        request(
            libc::PTRACE_SETREGS,
            self.pid,
            0,
            ptr::from_ref(registers) as usize,
        )
        .map(drop)
    }

    fn wait(&self) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: `status` lives for the call.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
        if waited != self.pid {
            return Err(io::Error::last_os_error());
        }
        if libc::WIFSTOPPED(status) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "process {} ended, status {status:#x}",
            self.pid
        )))
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // It may have ended, which is fine.
        let _ = request(libc::PTRACE_DETACH, self.pid, 0, 0);
    }
}

fn request(request: libc::c_uint, pid: i32, address: usize, data: usize) -> io::Result<i64> {
    // SAFETY: where `data` is an address, the caller passes one of a live value of the size that the
    // request writes or reads; other requests take numbers.
    let result = unsafe { libc::ptrace(request, pid, address, data) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A word of the process; -1 is a legal one.
fn peek(pid: i32, address: u64) -> io::Result<i64> {
    let mut word = 0i64;
    let mut local = libc::iovec {
        iov_base: ptr::from_mut(&mut word).cast(),
        iov_len: 8,
    };
    let mut remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: 8,
    };
    // SAFETY: `local` describes eight writable bytes of ours; `remote` is only an address in the other process.
    let count = unsafe { libc::process_vm_readv(pid, &raw mut local, 1, &raw mut remote, 1, 0) };
    if count == 8 {
        Ok(word)
    } else {
        Err(io::Error::last_os_error())
    }
}
