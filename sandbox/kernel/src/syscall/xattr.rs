//! Extended attributes, xattr(7), by path, by link and by descriptor.
//!
//! The host decides with the guest's rights. Two classes need more care: `trusted.` is only for guests with
//! CAP_SYS_ADMIN, a capability that the serving thread has for itself, and of `security.` only file
//! capabilities are a container's to see and to set.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

use caisson_sys::path::set_cwd;
use rustix::fs::{Mode, OFlags, XattrFlags, openat};
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, Credentials};

/// `XATTR_NAME_MAX`, `XATTR_SIZE_MAX`, `XATTR_LIST_MAX`, linux/limits.h.
const NAME_MAX: usize = 255;
const SIZE_MAX: usize = 65536;
const LIST_MAX: usize = 65536;

/// Where the attributes are.
enum Object {
    /// Opened for its path alone: reached by its descriptor link.
    Path(OwnedFd),
    Open(OwnedFd),
}

#[derive(Clone, Copy)]
enum By {
    Path,
    Link,
    Descriptor,
    /// Directory, path and flags are arguments 0, 1 and 2: setxattrat(2) and its kin.
    At,
    /// The same, where Linux takes an empty path for a descriptor only, and not for the working directory.
    AtOpen,
}

impl By {
    /// Which argument the name (or for lists, the buffer) is.
    fn next(self) -> usize {
        match self {
            By::At | By::AtOpen => 3,
            By::Path | By::Link | By::Descriptor => 1,
        }
    }

    /// `EINVAL` for flags that these calls do not know, which Linux says first of all.
    fn check(self, call: &Call<'_>) -> Result<(), Errno> {
        let known = (libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) as u32;
        match self {
            By::At | By::AtOpen if call.uint(2) & !known != 0 => Err(Errno::INVAL),
            _ => Ok(()),
        }
    }
}

impl Object {
    fn of(call: &mut Call<'_>, by: By) -> Result<Object, Errno> {
        let mut how = OFlags::PATH | OFlags::CLOEXEC;
        match by {
            By::Descriptor => {
                let fd = call.fd(call.int(0))?;
                call.assume()?;
                return Ok(Object::Open(fd));
            }
            By::At | By::AtOpen => return Object::at(call, by),
            By::Link => how |= OFlags::NOFOLLOW,
            By::Path => {}
        }
        let path = call.path(0)?;
        Object::named(call, libc::AT_FDCWD, &path, how)
    }

    fn at(call: &mut Call<'_>, by: By) -> Result<Object, Errno> {
        let (directory, flags) = (call.int(0), call.int(2));
        let may_be_empty = flags & libc::AT_EMPTY_PATH != 0;
        let path = if may_be_empty && call.arg(1) == 0 {
            CString::default()
        } else {
            call.path(1)?
        };
        if path.is_empty() && may_be_empty {
            if directory == libc::AT_FDCWD && matches!(by, By::At) {
                let here = c".".to_owned();
                return Object::named(call, directory, &here, OFlags::PATH | OFlags::CLOEXEC);
            }
            let fd = call.fd(directory)?;
            call.assume()?;
            return Ok(Object::Open(fd));
        }
        let mut how = OFlags::PATH | OFlags::CLOEXEC;
        how.set(OFlags::NOFOLLOW, flags & libc::AT_SYMLINK_NOFOLLOW != 0);
        Object::named(call, directory, &path, how)
    }

    fn named(
        call: &mut Call<'_>,
        directory: i32,
        path: &CString,
        how: OFlags,
    ) -> Result<Object, Errno> {
        let fd = call.on_path(directory, path, |at, path| {
            openat(at, path, how, Mode::empty())
        })?;
        set_cwd(call.kernel.host_proc())?;
        Ok(Object::Path(fd))
    }

    /// Relative to the host's procfs, which is the working directory by then.
    fn link(fd: &OwnedFd) -> String {
        format!("thread-self/fd/{}", fd.as_raw_fd())
    }

    /// With an empty buffer: the length of the value.
    fn get(&self, name: &CStr, value: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Object::Path(fd) if value.is_empty() => {
                rustix::fs::getxattr_query(Object::link(fd), name)
            }
            Object::Open(fd) if value.is_empty() => rustix::fs::fgetxattr_query(fd, name),
            Object::Path(fd) => rustix::fs::getxattr(Object::link(fd), name, value),
            Object::Open(fd) => rustix::fs::fgetxattr(fd, name, value),
        }
    }

    fn set(&self, name: &CStr, value: &[u8], flags: XattrFlags) -> Result<(), Errno> {
        match self {
            Object::Path(fd) => rustix::fs::setxattr(Object::link(fd), name, value, flags),
            Object::Open(fd) => rustix::fs::fsetxattr(fd, name, value, flags),
        }
    }

    fn remove(&self, name: &CStr) -> Result<(), Errno> {
        match self {
            Object::Path(fd) => rustix::fs::removexattr(Object::link(fd), name),
            Object::Open(fd) => rustix::fs::fremovexattr(fd, name),
        }
    }

    fn list(&self, names: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Object::Path(fd) => rustix::fs::listxattr(Object::link(fd), names),
            Object::Open(fd) => rustix::fs::flistxattr(fd, names),
        }
    }
}

/// What a guest may do with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Allowed,
    /// As if the attribute did not exist; changing it is `EPERM`.
    Hidden,
    /// As on a filesystem without this class: `EOPNOTSUPP`.
    Unsupported,
}

fn access(name: &[u8], credentials: &Credentials) -> Access {
    let foreign = name.starts_with(b"security.") && name != b"security.capability";
    if (foreign || name.starts_with(b"trusted.")) && !credentials.can(Capability::SysAdmin) {
        Access::Hidden
    } else if foreign {
        Access::Unsupported
    } else {
        Access::Allowed
    }
}

/// The name in its argument; `ERANGE` when it is empty or too long.
fn name(call: &Call<'_>, by: By) -> Result<CString, Errno> {
    let name = call
        .string(call.arg(by.next()), NAME_MAX + 1)
        .map_err(|e| if e == Errno::TOOBIG { Errno::RANGE } else { e })?;
    if name.is_empty() {
        Err(Errno::RANGE)
    } else {
        Ok(name)
    }
}

/// A value in guest memory: address, size and flags.
struct Value {
    address: u64,
    size: usize,
    flags: u32,
}

impl Value {
    /// Three arguments, or `struct xattr_args` of linux/xattr.h with its size.
    fn of(call: &Call<'_>, by: By) -> Result<Value, Errno> {
        /// `XATTR_ARGS_SIZE_VER0`.
        const KNOWN: u64 = 16;
        let By::At = by else {
            return Ok(Value {
                address: call.arg(2),
                size: usize::try_from(call.arg(3)).unwrap_or(usize::MAX),
                flags: call.uint(4),
            });
        };
        let (address, size) = (call.arg(4), call.arg(5));
        if size < KNOWN {
            return Err(Errno::INVAL);
        }
        if size > 4096 {
            return Err(Errno::TOOBIG);
        }
        let mut extra = vec![0u8; (size - KNOWN) as usize];
        call.read_bytes(address + KNOWN, &mut extra)?;
        if extra.iter().any(|byte| *byte != 0) {
            return Err(Errno::TOOBIG);
        }
        let [address, rest]: [u64; 2] = call.read(address)?;
        Ok(Value {
            address,
            size: rest as u32 as usize,
            flags: (rest >> 32) as u32,
        })
    }
}

fn set(call: &mut Call<'_>, by: By) -> Result<Reply, Errno> {
    let given = Value::of(call, by)?;
    by.check(call)?;
    // Not `from_bits`, to which every bit is one that a later kernel may know.
    if given.flags & !(XattrFlags::CREATE | XattrFlags::REPLACE).bits() != 0 {
        return Err(Errno::INVAL);
    }
    let flags = XattrFlags::from_bits_retain(given.flags);
    let name = name(call, by)?;
    if given.size > SIZE_MAX {
        return Err(Errno::TOOBIG);
    }
    let mut value = vec![0; given.size];
    if given.size > 0 {
        call.read_bytes(given.address, &mut value)?;
    }
    let object = Object::of(call, by)?;
    match access(name.as_bytes(), &call.credentials()) {
        Access::Hidden => Err(Errno::PERM),
        Access::Unsupported => Err(Errno::OPNOTSUPP),
        Access::Allowed => object.set(&name, &value, flags).map(|()| Reply::ZERO),
    }
}

fn get(call: &mut Call<'_>, by: By) -> Result<Reply, Errno> {
    let given = Value::of(call, by)?;
    if matches!(by, By::At) && given.flags != 0 {
        return Err(Errno::INVAL);
    }
    by.check(call)?;
    let name = name(call, by)?;
    let size = given.size.min(SIZE_MAX);
    let object = Object::of(call, by)?;
    match access(name.as_bytes(), &call.credentials()) {
        Access::Hidden => return Err(Errno::NODATA),
        Access::Unsupported => return Err(Errno::OPNOTSUPP),
        Access::Allowed => {}
    }
    let mut value = vec![0; size];
    let length = object.get(&name, &mut value)?;
    if size > 0 {
        call.write_bytes(given.address, &value[..length])?;
    }
    Ok(Reply::Value(length as i64))
}

fn list(call: &mut Call<'_>, by: By) -> Result<Reply, Errno> {
    by.check(call)?;
    let (buffer, size) = (call.arg(by.next()), call.arg(by.next() + 1));
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let object = Object::of(call, by)?;
    let mut names = vec![0; LIST_MAX];
    let length = object.list(&mut names)?;
    let visible = visible(&names[..length], &call.credentials());
    if size > 0 {
        if visible.len() > size {
            return Err(Errno::RANGE);
        }
        call.write_bytes(buffer, &visible)?;
    }
    Ok(Reply::Value(visible.len() as i64))
}

/// The NUL-terminated names that the guest may know of.
fn visible(names: &[u8], credentials: &Credentials) -> Vec<u8> {
    names
        .split_inclusive(|byte| *byte == 0)
        .filter(|name| {
            access(name.strip_suffix(&[0]).unwrap_or(name), credentials) == Access::Allowed
        })
        .flatten()
        .copied()
        .collect()
}

fn remove(call: &mut Call<'_>, by: By) -> Result<Reply, Errno> {
    by.check(call)?;
    let name = name(call, by)?;
    let object = Object::of(call, by)?;
    match access(name.as_bytes(), &call.credentials()) {
        Access::Hidden => Err(Errno::PERM),
        Access::Unsupported => Err(Errno::OPNOTSUPP),
        Access::Allowed => object.remove(&name).map(|()| Reply::ZERO),
    }
}

macro_rules! handlers {
    ($($handler:ident = $operation:ident($by:ident);)*) => {
        $(
            pub fn $handler(call: &mut Call<'_>) -> Result<Reply, Errno> {
                $operation(call, By::$by)
            }
        )*
    };
}

handlers! {
    setxattr = set(Path);
    lsetxattr = set(Link);
    fsetxattr = set(Descriptor);
    getxattr = get(Path);
    lgetxattr = get(Link);
    fgetxattr = get(Descriptor);
    listxattr = list(Path);
    llistxattr = list(Link);
    flistxattr = list(Descriptor);
    removexattr = remove(Path);
    lremovexattr = remove(Link);
    fremovexattr = remove(Descriptor);
    setxattrat = set(At);
    getxattrat = get(At);
    listxattrat = list(AtOpen);
    removexattrat = remove(AtOpen);
}
