//! What the host kernel tells of mounts: statmount(2) and listmount(2), Linux 6.8; `ENOSYS` before.

use rustix::io::Errno;

use crate::raw::syscall;

const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;

/// The number that stands for the root of who asks.
pub const LSMT_ROOT: u64 = u64::MAX;

/// `struct statmount` without the strings behind it.
pub const STATMOUNT_BYTES: usize = 512;

/// `struct mnt_id_req` in its first version.
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount: u64,
    param: u64,
}

impl Request {
    fn new(mount: u64, param: u64) -> Request {
        Request {
            size: size_of::<Request>() as u32,
            spare: 0,
            mount,
            param,
        }
    }
}

/// What `mask` asks for, without strings, of the mount with this unique number. `ENOENT` if this thread's mount namespace has none.
pub fn statmount(mount: u64, mask: u64) -> Result<[u8; STATMOUNT_BYTES], Errno> {
    let request = Request::new(mount, mask);
    let mut answer = [0u64; STATMOUNT_BYTES / 8];
    // SAFETY: the request is live and says its size; the answer is written up to the size that is given.
    unsafe {
        syscall!(
            SYS_STATMOUNT,
            &raw const request,
            answer.as_mut_ptr(),
            STATMOUNT_BYTES,
            0
        )
    }?;
    let mut bytes = [0; STATMOUNT_BYTES];
    for (into, word) in bytes.chunks_exact_mut(8).zip(answer) {
        into.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(bytes)
}

/// The unique numbers of the mounts below `mount`, or of all that can be reached from this thread's root, which follow `after` in
/// the order that `flags` say; as many as there is room for.
pub fn listmount(mount: u64, after: u64, into: &mut [u64], flags: u32) -> Result<usize, Errno> {
    let request = Request::new(mount, after);
    // SAFETY: the request is live and says its size; as many numbers are written as there is room for.
    let count = unsafe {
        syscall!(
            SYS_LISTMOUNT,
            &raw const request,
            into.as_mut_ptr(),
            into.len(),
            flags
        )
    }?;
    Ok(count as usize)
}
