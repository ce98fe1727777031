//! statmount(2) and listmount(2).
//!
//! The host kernel tells numbers, of mounts in the container's tree. Strings are those of the table that /proc shows,
//! which has nothing of what the tree is made of.

use caisson_sys::mount_list::{LSMT_ROOT, STATMOUNT_BYTES, listmount, statmount};
use rustix::io::Errno;

use crate::call::Call;
use crate::proc::{Shown, shown_mount};
use crate::reply::Reply;
use crate::task::Capability;

/// Unique numbers of mounts are above this, so that nobody takes a reusable one for one.
const UNIQUE_OFFSET: u64 = 1 << 31;
const PAGE: u32 = 4096;

/// `STATMOUNT_*` of linux/mount.h.
mod mask {
    pub const SB_BASIC: u64 = 1;
    pub const MNT_BASIC: u64 = 2;
    pub const MNT_ROOT: u64 = 8;
    pub const MNT_POINT: u64 = 0x10;
    pub const FS_TYPE: u64 = 0x20;
    pub const MNT_NS_ID: u64 = 0x40;
    pub const MNT_OPTS: u64 = 0x80;
    pub const FS_SUBTYPE: u64 = 0x100;
    pub const SB_SOURCE: u64 = 0x200;
    pub const OPT_ARRAY: u64 = 0x400;
    pub const OPT_SEC_ARRAY: u64 = 0x800;
    pub const SUPPORTED_MASK: u64 = 0x1000;
    pub const UIDMAP: u64 = 0x2000;
    pub const GIDMAP: u64 = 0x4000;
    /// With which Linux wants room behind the struct.
    pub const STRINGS: u64 = MNT_ROOT
        | MNT_POINT
        | FS_TYPE
        | MNT_OPTS
        | FS_SUBTYPE
        | SB_SOURCE
        | OPT_ARRAY
        | OPT_SEC_ARRAY
        | UIDMAP
        | GIDMAP;
    pub const NUMBERS: u64 = SB_BASIC | MNT_BASIC | 4 | MNT_NS_ID;
    pub const SUPPORTED: u64 =
        NUMBERS | SUPPORTED_MASK | (STRINGS & !(OPT_SEC_ARRAY | UIDMAP | GIDMAP));
}

/// Where fields of `struct statmount` are.
mod field {
    pub const SIZE: usize = 0;
    pub const MNT_OPTS: usize = 4;
    pub const MASK: usize = 8;
    pub const SB_DEV_MAJOR: usize = 16;
    pub const SB_DEV_MINOR: usize = 20;
    pub const SB_MAGIC: usize = 24;
    pub const FS_TYPE: usize = 36;
    pub const MNT_ID_OLD: usize = 56;
    pub const MNT_ROOT: usize = 104;
    pub const MNT_POINT: usize = 108;
    pub const MNT_NS_ID: usize = 112;
    pub const FS_SUBTYPE: usize = 120;
    pub const SB_SOURCE: usize = 124;
    pub const OPT_NUM: usize = 128;
    pub const OPT_ARRAY: usize = 132;
    pub const SUPPORTED_MASK: usize = 144;
}

/// `struct mnt_id_req`.
struct Request {
    mount: u64,
    param: u64,
    namespace: u64,
}

impl Request {
    fn read(call: &Call<'_>) -> Result<Request, Errno> {
        const FIRST_VERSION: u32 = 24;
        const KNOWN: usize = 32;
        let address = call.arg(0);
        let size: u32 = call.read(address)?;
        if size > PAGE {
            return Err(Errno::TOOBIG);
        }
        if size < FIRST_VERSION {
            return Err(Errno::INVAL);
        }
        let mut bytes = vec![0; (size as usize).max(KNOWN)];
        call.read_bytes(address, &mut bytes[..size as usize])?;
        if bytes[KNOWN..].iter().any(|byte| *byte != 0) {
            return Err(Errno::TOOBIG);
        }
        let namespace_fd = word(&bytes, 4);
        if namespace_fd != 0 {
            // The file of a namespace, Linux 6.18: none but the caller's own could be meant.
            call.fd(namespace_fd as i32)?;
            return Err(Errno::INVAL);
        }
        let request = Request {
            mount: long(&bytes, 8),
            param: long(&bytes, 16),
            namespace: long(&bytes, 24),
        };
        if request.mount <= UNIQUE_OFFSET {
            return Err(Errno::INVAL);
        }
        Ok(request)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// See mounts as the caller does.
fn stand(call: &mut Call<'_>) -> Result<(), Errno> {
    call.servant.assume_self()?;
    let root = call.thread.root();
    call.servant.stand_in(&root)
}

/// `EPERM` for a mount that cannot be reached from the caller's root, which an administrator may ask about.
fn may_see(call: &mut Call<'_>, mount: u64) -> Result<(), Errno> {
    let administers = call.credentials().can(Capability::SysAdmin);
    if mount == LSMT_ROOT || reaches(mount)? {
        return Ok(());
    }
    if !administers {
        return Err(Errno::PERM);
    }
    let (root, _) = super::namespace(call);
    call.servant.stand_in(&root)?;
    if reaches(mount)? {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// Whether this thread's root leads to it.
fn reaches(mount: u64) -> Result<bool, Errno> {
    let mut last = 0;
    loop {
        let mut some = [0; 128];
        let count = listmount(LSMT_ROOT, last, &mut some, 0)?;
        let some = &some[..count.min(128)];
        if some.contains(&mount) {
            return Ok(true);
        }
        match some.last() {
            Some(one) => last = *one,
            None => return Ok(false),
        }
    }
}

/// `ENOENT` for another mount namespace than the caller's.
fn is_own_namespace(request: &Request) -> Result<(), Errno> {
    if request.namespace == 0 {
        return Ok(());
    }
    let mut first = [0];
    if listmount(LSMT_ROOT, 0, &mut first, 0)? == 0 {
        return Err(Errno::NOENT);
    }
    let own = statmount(first[0], mask::MNT_NS_ID)?;
    if long(&own, field::MNT_NS_ID) == request.namespace {
        Ok(())
    } else {
        Err(Errno::NOENT)
    }
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const LISTMOUNT_REVERSE: u32 = 1;
    const MOST: u64 = 1_000_000;
    /// As many are told at a time.
    const ROOM: usize = 512;
    let (mut into, mut left, flags) = (call.arg(1), call.arg(2), call.uint(3));
    if flags & !LISTMOUNT_REVERSE != 0 {
        return Err(Errno::INVAL);
    }
    if left > MOST {
        return Err(Errno::OVERFLOW);
    }
    let request = Request::read(call)?;
    let mut last = request.param;
    if last != 0 && last <= UNIQUE_OFFSET {
        return Err(Errno::INVAL);
    }
    stand(call)?;
    is_own_namespace(&request)?;
    // Whether there is such a mount comes first.
    listmount(request.mount, last, &mut [0], flags)?;
    may_see(call, request.mount)?;
    let mut told = 0;
    while left > 0 {
        let mut some = vec![0; ROOM.min(left as usize)];
        let count = listmount(request.mount, last, &mut some, flags)?;
        some.truncate(count);
        let Some(one) = some.last() else { break };
        last = *one;
        let bytes: Vec<u8> = some.iter().flat_map(|id| id.to_ne_bytes()).collect();
        call.write_bytes(into, &bytes)?;
        into += bytes.len() as u64;
        left -= count as u64;
        told += count as i64;
    }
    Ok(Reply::Value(told))
}

pub(super) fn stat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (into, room) = (call.arg(1), call.arg(2) as usize);
    if call.uint(3) != 0 {
        return Err(Errno::INVAL);
    }
    let request = Request::read(call)?;
    if request.param & mask::STRINGS != 0 && room <= STATMOUNT_BYTES {
        return Err(Errno::OVERFLOW);
    }
    stand(call)?;
    is_own_namespace(&request)?;
    statmount(request.mount, 0)?;
    may_see(call, request.mount)?;
    let answer = Answer::of(call, &request)?.bytes();
    if answer.len() > room && answer.len() > STATMOUNT_BYTES {
        return Err(Errno::OVERFLOW);
    }
    let mut answer = answer;
    answer.truncate(room);
    let size = (answer.len() as u32).to_ne_bytes();
    let told = size.len().min(answer.len());
    answer[..told].copy_from_slice(&size[..told]);
    call.write_bytes(into, &answer)?;
    Ok(Reply::ZERO)
}

/// `struct statmount` with the strings behind it.
struct Answer {
    fixed: [u8; STATMOUNT_BYTES],
    strings: Vec<u8>,
    mask: u64,
}

impl Answer {
    fn of(call: &Call<'_>, request: &Request) -> Result<Answer, Errno> {
        let wanted = request.param;
        let numbers = wanted & mask::NUMBERS | mask::SB_BASIC | mask::MNT_BASIC;
        let mut fixed = statmount(request.mount, numbers)?;
        let told = long(&fixed, field::MASK);
        let id = word(&fixed, field::MNT_ID_OLD);
        let device = rustix::fs::makedev(
            word(&fixed, field::SB_DEV_MAJOR),
            word(&fixed, field::SB_DEV_MINOR),
        );
        if let Some(magic) = call.kernel.synthetic_magic(device) {
            fixed[field::SB_MAGIC..field::SB_MAGIC + 8].copy_from_slice(&magic.to_ne_bytes());
        }
        let mut answer = Answer {
            fixed,
            strings: Vec::new(),
            mask: told & wanted,
        };
        answer.drop_numbers(wanted);
        if wanted & mask::SUPPORTED_MASK != 0 {
            answer.put_long(field::SUPPORTED_MASK, mask::SUPPORTED);
            answer.mask |= mask::SUPPORTED_MASK;
        }
        if wanted & mask::STRINGS != 0 {
            let table = crate::task::read_proc(call.kernel.host_proc(), "thread-self/mountinfo")?;
            // The place that strings which are not there have.
            answer.strings.push(0);
            if let Some(shown) = shown_mount(&table, id) {
                answer.put_strings(wanted, &shown);
            }
        }
        Ok(answer)
    }

    /// What was only asked for here.
    fn drop_numbers(&mut self, wanted: u64) {
        if wanted & mask::SB_BASIC == 0 {
            self.fixed[field::SB_DEV_MAJOR..field::FS_TYPE].fill(0);
        }
        if wanted & mask::MNT_BASIC == 0 {
            self.fixed[field::FS_TYPE + 4..96].fill(0);
        }
    }

    fn put_strings(&mut self, wanted: u64, shown: &Shown) {
        let (kind, subtype) = match shown.kind.split_once('.') {
            Some((kind, subtype)) => (kind, subtype),
            None => (shown.kind.as_str(), ""),
        };
        let options = shown.options.join(&b","[..]);
        let array = shown.options.join(&0);
        let parts: [(u64, usize, &[u8]); 7] = [
            (mask::FS_TYPE, field::FS_TYPE, kind.as_bytes()),
            (mask::MNT_ROOT, field::MNT_ROOT, &shown.root),
            (mask::MNT_POINT, field::MNT_POINT, &shown.point),
            (mask::MNT_OPTS, field::MNT_OPTS, &options),
            (mask::FS_SUBTYPE, field::FS_SUBTYPE, subtype.as_bytes()),
            (mask::SB_SOURCE, field::SB_SOURCE, &shown.source),
            (mask::OPT_ARRAY, field::OPT_ARRAY, &array),
        ];
        for (bit, at, text) in parts {
            if wanted & bit == 0 || text.is_empty() {
                continue;
            }
            let offset = self.strings.len() as u32;
            self.put_word(at, offset);
            self.strings.extend_from_slice(text);
            self.strings.push(0);
            self.mask |= bit;
        }
        if self.mask & mask::OPT_ARRAY != 0 {
            self.put_word(field::OPT_NUM, shown.options.len() as u32);
        }
    }

    fn put_word(&mut self, at: usize, value: u32) {
        self.fixed[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_long(&mut self, at: usize, value: u64) {
        self.fixed[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn bytes(mut self) -> Vec<u8> {
        self.put_long(field::MASK, self.mask);
        let size = STATMOUNT_BYTES + self.strings.len();
        self.put_word(field::SIZE, size as u32);
        let mut bytes = self.fixed.to_vec();
        bytes.append(&mut self.strings);
        bytes
    }
}
