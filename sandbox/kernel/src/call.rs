//! One system call of a guest while it is served: typed access to its arguments, memory, descriptors and
//! paths.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use caisson_sys::layout::{self, Plain};
use caisson_sys::{descriptor, memory};
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::servant::{Identity, Servant};
use crate::strace::Line;
use crate::task::{Credentials, Directory, Process, Thread};
use crate::transport::{Incoming, Transport};

/// `PATH_MAX`, linux/limits.h: bytes with the terminating NUL.
pub const PATH_MAX: usize = 4096;

pub struct Call<'k> {
    pub kernel: &'k Arc<Kernel>,
    pub transport: &'k Arc<dyn Transport>,
    pub thread: Arc<Thread>,
    pub servant: &'k mut Servant,
    pub incoming: Incoming,
    /// Begun in the log of calls; whoever ends the call ends it.
    pub line: Option<Line>,
}

/// What a relative path starts from.
#[derive(Debug)]
pub enum Start {
    Cwd(Arc<Directory>),
    Fd(OwnedFd),
}

impl AsFd for Start {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Start::Cwd(directory) => directory.as_fd(),
            Start::Fd(fd) => fd.as_fd(),
        }
    }
}

impl Call<'_> {
    pub fn process(&self) -> &Arc<Process> {
        &self.thread.process
    }

    pub fn credentials(&self) -> Arc<Credentials> {
        self.thread.credentials()
    }

    /// Give the calling thread other credentials.
    pub fn take_on(&self, new: Credentials) {
        self.limits_follow(&new);
        self.thread.set_credentials(new);
    }

    /// RLIMIT_NPROC binds who is not root any more, and no longer who becomes it.
    pub fn limits_follow(&self, new: &Credentials) {
        let hosts_ids = self.kernel.ids.are_the_hosts();
        let free = new.exceeds_processes(hosts_ids);
        if free != self.credentials().exceeds_processes(hosts_ids) {
            // ESRCH: the process is gone.
            let _gone = self.process().hold_to_processes(free);
        }
    }

    pub fn arg(&self, index: usize) -> u64 {
        self.incoming.args[index]
    }

    /// An argument that the call declares as `int` (or `unsigned`, `mode_t`…): its low 32 bits.
    pub fn int(&self, index: usize) -> i32 {
        self.incoming.args[index] as i32
    }

    pub fn uint(&self, index: usize) -> u32 {
        self.incoming.args[index] as u32
    }

    // Memory.

    /// The NUL-terminated string at the address in argument `index`, read exactly once. `EFAULT`,
    /// `ENAMETOOLONG` from `PATH_MAX` bytes on.
    pub fn path(&self, index: usize) -> Result<CString, Errno> {
        self.string(self.arg(index), PATH_MAX).map_err(|e| {
            if e == Errno::TOOBIG {
                Errno::NAMETOOLONG
            } else {
                e
            }
        })
    }

    /// The string at `address` of at most `limit` bytes with its NUL. `E2BIG` when it is longer.
    pub fn string(&self, address: u64, limit: usize) -> Result<CString, Errno> {
        const FIRST: usize = 256;
        let mut bytes = Vec::with_capacity(FIRST);
        while bytes.len() < limit {
            let at = address
                .checked_add(bytes.len() as u64)
                .ok_or(Errno::FAULT)?;
            let page_rest = 4096 - (at as usize & 4095);
            let want = page_rest
                .min(if bytes.is_empty() { FIRST } else { 4096 })
                .min(limit - bytes.len());
            let start = bytes.len();
            bytes.resize(start + want, 0);
            let got = memory::read(self.incoming.tid, at, &mut bytes[start..])?;
            if got == 0 {
                return Err(Errno::FAULT);
            }
            bytes.truncate(start + got);
            if let Some(end) = bytes[start..].iter().position(|byte| *byte == 0) {
                bytes.truncate(start + end);
                return CString::new(bytes).map_err(|_| Errno::INVAL);
            }
        }
        Err(Errno::TOOBIG)
    }

    /// Fill `into` from guest memory, whole or `EFAULT`.
    pub fn read_bytes(&self, address: u64, into: &mut [u8]) -> Result<(), Errno> {
        match memory::read(self.incoming.tid, address, into) {
            Ok(count) if count == into.len() => Ok(()),
            Ok(_) => Err(Errno::FAULT),
            Err(error) => Err(error),
        }
    }

    pub fn read<T: Plain>(&self, address: u64) -> Result<T, Errno> {
        let mut value = layout::zeroed();
        self.read_bytes(address, layout::bytes_of_mut(&mut value))?;
        Ok(value)
    }

    pub fn write_bytes(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        memory::write(self.incoming.tid, address, bytes)
    }

    pub fn write<T: Plain>(&self, address: u64, value: &T) -> Result<(), Errno> {
        self.write_bytes(address, layout::bytes_of(value))
    }

    // Descriptors.

    /// A duplicate of the guest's descriptor `number`; `EBADF`.
    pub fn fd(&self, number: i32) -> Result<OwnedFd, Errno> {
        if number < 0 {
            return Err(Errno::BADF);
        }
        descriptor::pidfd_getfd(self.process().pidfd.as_fd(), number)
    }

    // Paths.

    /// Where `path` starts when it was given with the directory descriptor `number` (or `AT_FDCWD`). The
    /// descriptor is not looked at when the path is absolute.
    pub fn start(&self, number: i32, path: &CString) -> Result<Start, Errno> {
        if number == libc::AT_FDCWD || path.as_bytes().first() == Some(&b'/') {
            Ok(Start::Cwd(self.thread.cwd()))
        } else {
            self.fd(number).map(Start::Fd)
        }
    }

    /// Take on the guest's root directory and credentials, so that the host kernel walks and checks as it
    /// would for the guest.
    pub fn assume(&mut self) -> Result<(), Errno> {
        self.assume_as(Identity::Filesystem)
    }

    /// Take on the guest's file mode creation mask, which whoever makes a file must do before.
    pub fn assume_mask(&mut self) {
        let mask = self.thread.with_fs(|fs| fs.umask);
        self.servant.wear_mask(mask);
    }

    pub fn assume_as(&mut self, identity: Identity) -> Result<(), Errno> {
        let root = self.thread.root();
        self.servant.stand_in(&root)?;
        let credentials = self.thread.credentials();
        self.servant.assume(&credentials, identity)
    }
}
