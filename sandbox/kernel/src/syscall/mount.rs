//! mount(2), umount2(2), pivot_root(2). The container's mount tree is the app kernel's own and fixed when
//! the container starts: a guest cannot change it, whatever capabilities it has.

use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;

/// Longest filesystem type and longest source, a page each in Linux.
const STRING_MAX: usize = 4096;

/// Arguments are read in Linux's order, so that a wrong pointer is `EFAULT` here as there.
pub fn mount(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let [source, _, kind, _, data, _] = call.incoming.args;
    optional(call, kind)?;
    optional(call, source)?;
    if data != 0 {
        call.read::<u8>(data)?;
    }
    let target = call.path(1)?;
    look(call, &target)?;
    Err(Errno::PERM)
}

pub fn umount2(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const KNOWN: i32 =
        libc::MNT_FORCE | libc::MNT_DETACH | libc::MNT_EXPIRE | libc::UMOUNT_NOFOLLOW;
    if call.int(1) & !KNOWN != 0 {
        return Err(Errno::INVAL);
    }
    let target = call.path(0)?;
    look(call, &target)?;
    Err(Errno::PERM)
}

pub fn pivot_root(_: &mut Call<'_>) -> Result<Reply, Errno> {
    Err(Errno::PERM)
}

fn optional(call: &Call<'_>, address: u64) -> Result<(), Errno> {
    if address != 0 {
        call.string(address, STRING_MAX)
            .map_err(|e| if e == Errno::TOOBIG { Errno::INVAL } else { e })?;
    }
    Ok(())
}

/// A path that does not exist is reported before the missing right, as in Linux.
fn look(call: &mut Call<'_>, path: &std::ffi::CString) -> Result<(), Errno> {
    call.on_path(libc::AT_FDCWD, path, |at, path| {
        rustix::fs::statat(at, path, rustix::fs::AtFlags::empty()).map(drop)
    })
}
