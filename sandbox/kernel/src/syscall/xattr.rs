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
            By::Link => how |= OFlags::NOFOLLOW,
            By::Path => {}
        }
        let path = call.path(0)?;
        let fd = call.on_path(libc::AT_FDCWD, &path, |at, path| {
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
    if name.starts_with(b"trusted.") && !credentials.can(Capability::SysAdmin) {
        Access::Hidden
    } else if name.starts_with(b"security.") && name != b"security.capability" {
        Access::Unsupported
    } else {
        Access::Allowed
    }
}

/// The name in argument 1; `ERANGE` when it is empty or too long.
fn name(call: &Call<'_>) -> Result<CString, Errno> {
    let name = call
        .string(call.arg(1), NAME_MAX + 1)
        .map_err(|e| if e == Errno::TOOBIG { Errno::RANGE } else { e })?;
    if name.is_empty() {
        Err(Errno::RANGE)
    } else {
        Ok(name)
    }
}

fn set(call: &mut Call<'_>, by: By) -> Result<Reply, Errno> {
    let flags = XattrFlags::from_bits(call.uint(4)).ok_or(Errno::INVAL)?;
    let name = name(call)?;
    let size = usize::try_from(call.arg(3)).unwrap_or(usize::MAX);
    if size > SIZE_MAX {
        return Err(Errno::TOOBIG);
    }
    let mut value = vec![0; size];
    if size > 0 {
        call.read_bytes(call.arg(2), &mut value)?;
    }
    let object = Object::of(call, by)?;
    match access(name.as_bytes(), &call.credentials()) {
        Access::Hidden => Err(Errno::PERM),
        Access::Unsupported => Err(Errno::OPNOTSUPP),
        Access::Allowed => object.set(&name, &value, flags).map(|()| Reply::ZERO),
    }
}

fn get(call: &mut Call<'_>, by: By) -> Result<Reply, Errno> {
    let name = name(call)?;
    let size = usize::try_from(call.arg(3))
        .unwrap_or(usize::MAX)
        .min(SIZE_MAX);
    let object = Object::of(call, by)?;
    match access(name.as_bytes(), &call.credentials()) {
        Access::Hidden => return Err(Errno::NODATA),
        Access::Unsupported => return Err(Errno::OPNOTSUPP),
        Access::Allowed => {}
    }
    let mut value = vec![0; size];
    let length = object.get(&name, &mut value)?;
    if size > 0 {
        call.write_bytes(call.arg(2), &value[..length])?;
    }
    Ok(Reply::Value(length as i64))
}

fn list(call: &mut Call<'_>, by: By) -> Result<Reply, Errno> {
    let size = usize::try_from(call.arg(2)).unwrap_or(usize::MAX);
    let object = Object::of(call, by)?;
    let mut names = vec![0; LIST_MAX];
    let length = object.list(&mut names)?;
    let visible = visible(&names[..length], &call.credentials());
    if size > 0 {
        if visible.len() > size {
            return Err(Errno::RANGE);
        }
        call.write_bytes(call.arg(1), &visible)?;
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
    let name = name(call)?;
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
}
