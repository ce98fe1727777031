//! ioctl(2): the requests that the filter does not let through. They are answered here or do not exist.
//!
//! Nothing may get here that reaches beyond the descriptor it is made on, but for the pod's network with the right to it:
//! no input is injected, no console redirected, no driver configured.

mod interface;
mod process;

use std::os::fd::OwnedFd;

use caisson_abi::constant::ioctl as request;
use caisson_sys::notify::Cloexec;
use rustix::fs::{IFlags, Mode, OFlags, fcntl_getfl, openat};
use rustix::io::Errno;
use rustix::ioctl::{Getter, ioctl as host_ioctl};

use crate::call::Call;
use crate::reply::Reply;
use crate::task::Capability;

/// linux/fs.h.
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_GETVERSION: u32 = 0x8008_7601;
const FIBMAP: u32 = 1;
const FIFREEZE: u32 = 0xc004_5877;
const FITHAW: u32 = 0xc004_5878;
const FITRIM: u32 = 0xc018_5879;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
/// linux/random.h.
const RNDADDTOENTCNT: u32 = 0x4004_5201;
const RNDADDENTROPY: u32 = 0x4008_5203;
const RNDZAPENTCNT: u32 = 0x5204;
const RNDCLEARPOOL: u32 = 0x5206;
const RNDRESEEDCRNG: u32 = 0x5207;
/// asm-generic/ioctls.h.
const TIOCVHANGUP: u32 = 0x5437;
/// linux/sockios.h: from `SIOCADDRT` to the last of the private interface requests.
const SOCKET_REQUESTS: std::ops::RangeInclusive<u32> = 0x8900..=0x89ff;

/// What ioctl(2) was given.
struct Request {
    fd: OwnedFd,
    number: u32,
    argument: u64,
}

pub fn ioctl(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let fd = call.fd(call.int(0))?;
    if fcntl_getfl(&fd)?.contains(OFlags::PATH) {
        return Err(Errno::BADF);
    }
    match call.uint(1) {
        request::TIOCGPTPEER => open_terminal_peer(call, fd),
        request::TIOCSTI | request::TIOCCONS | request::TIOCLINUX | TIOCVHANGUP => {
            if is_terminal(&fd) {
                Err(Errno::PERM)
            } else {
                Err(Errno::NOTTY)
            }
        }
        // Line disciplines other than the plain one are kernel modules of the host.
        request::TIOCSETD => set_line_discipline(call, &fd),
        // The user namespace that owns it is not for guests to hold, as if it lay outside of theirs.
        request::NS_GET_USERNS if is_namespace(&fd)? => Err(Errno::PERM),
        FS_IOC_SETFLAGS => set_inode_flags(call, &fd),
        FS_IOC_GETVERSION => Err(Errno::NOTTY),
        // Without the right to it, and where the device under a file system cannot be trimmed.
        FITRIM if call.credentials().can(Capability::SysAdmin) => Err(Errno::OPNOTSUPP),
        FIBMAP | FIFREEZE | FITHAW | FITRIM => Err(Errno::PERM),
        FS_IOC_FIEMAP => Err(Errno::OPNOTSUPP),
        RNDADDTOENTCNT | RNDADDENTROPY | RNDZAPENTCNT | RNDCLEARPOOL | RNDRESEEDCRNG => {
            Err(Errno::PERM)
        }
        number if SOCKET_REQUESTS.contains(&number) && is_socket(&fd)? => {
            let argument = call.arg(2);
            interface::serve(
                call,
                &Request {
                    fd,
                    number,
                    argument,
                },
            )
        }
        number if number & !process::SIZE_MASK == process::PIDFD_GET_INFO => {
            let argument = call.arg(2);
            process::information(
                call,
                &Request {
                    fd,
                    number,
                    argument,
                },
            )
        }
        _ => Err(Errno::NOTTY),
    }
}

fn is_terminal(fd: &OwnedFd) -> bool {
    rustix::termios::isatty(fd)
}

fn is_namespace(fd: &OwnedFd) -> Result<bool, Errno> {
    /// `NSFS_MAGIC`, linux/magic.h.
    const NSFS: i64 = 0x6e73_6673;
    Ok(rustix::fs::fstatfs(fd)?.f_type == NSFS)
}

fn is_socket(fd: &OwnedFd) -> Result<bool, Errno> {
    let mode = rustix::fs::fstat(fd)?.st_mode;
    Ok(rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Socket)
}

/// The other side of a pseudo-terminal, opened by its name in the container's /dev/pts as the guest could
/// do itself, but not by a name that the guest may have put something else under.
fn open_terminal_peer(call: &mut Call<'_>, fd: OwnedFd) -> Result<Reply, Errno> {
    #[expect(
        unsafe_code,
        reason = "rustix wants the type that a request writes confirmed"
    )]
    // SAFETY: the opcode is TIOCGPTN, which writes one u32.
    let number = unsafe { host_ioctl(&fd, Getter::<{ request::TIOCGPTN }, u32>::new()) }?;
    let flags = OFlags::from_bits_retain(call.uint(2))
        & (OFlags::ACCMODE | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC);
    let cloexec = if flags.contains(OFlags::CLOEXEC) {
        Cloexec::Yes
    } else {
        Cloexec::No
    };
    let name = std::ffi::CString::new(format!("dev/pts/{number}")).map_err(|_| Errno::INVAL)?;
    // The device node belongs to whoever opened the master, who holds it: no permission is needed.
    call.servant.assume_self()?;
    let peer = openat(
        &call.kernel.root,
        &name,
        flags | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
    )?;
    // Unix98 slaves have majors 136 to 143.
    let expected = rustix::fs::makedev(136 + number / 256, number % 256);
    if rustix::fs::fstat(&peer)?.st_rdev != expected {
        return Err(Errno::NOENT);
    }
    super::open::give_terminal(call, peer, flags, cloexec)
}

fn set_line_discipline(call: &Call<'_>, fd: &OwnedFd) -> Result<Reply, Errno> {
    /// `N_TTY`, linux/tty.h.
    const PLAIN: i32 = 0;
    if !is_terminal(fd) {
        return Err(Errno::NOTTY);
    }
    // Every terminal of a container has this one, so that nothing is left to be done.
    if call.read::<i32>(call.arg(2))? == PLAIN {
        Ok(Reply::ZERO)
    } else {
        Err(Errno::INVAL)
    }
}

/// chattr(1). The host checks ownership with the guest's ids; immutable and append-only also need the
/// capability.
fn set_inode_flags(call: &mut Call<'_>, fd: &OwnedFd) -> Result<Reply, Errno> {
    let wanted = IFlags::from_bits_retain(call.read::<u32>(call.arg(2))?);
    call.assume()?;
    let protective = IFlags::IMMUTABLE | IFlags::APPEND;
    if !call.credentials().can(Capability::LinuxImmutable) {
        let now = rustix::fs::ioctl_getflags(fd)?;
        if (now ^ wanted).intersects(protective) {
            return Err(Errno::PERM);
        }
    }
    rustix::fs::ioctl_setflags(fd, wanted)?;
    Ok(Reply::ZERO)
}
