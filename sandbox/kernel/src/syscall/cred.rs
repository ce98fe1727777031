//! User and group ids: getuid(2), setuid(2), setresuid(2), setgroups(2) and their kin, by the rules of
//! kernel/sys.c on guest state.

use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, Credentials, SecureBits};

const UNCHANGED: u32 = u32::MAX;
const NGROUPS_MAX: usize = 65536;

pub fn getuid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    Ok(Reply::Value(call.credentials().ruid.into()))
}

pub fn geteuid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    Ok(Reply::Value(call.credentials().euid.into()))
}

pub fn getgid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    Ok(Reply::Value(call.credentials().rgid.into()))
}

pub fn getegid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    Ok(Reply::Value(call.credentials().egid.into()))
}

pub fn getresuid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let c = call.credentials();
    write_three(call, [c.ruid, c.euid, c.suid])
}

pub fn getresgid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let c = call.credentials();
    write_three(call, [c.rgid, c.egid, c.sgid])
}

fn write_three(call: &Call<'_>, ids: [u32; 3]) -> Result<Reply, Errno> {
    for (index, id) in ids.iter().enumerate() {
        call.write(call.arg(index), id)?;
    }
    Ok(Reply::ZERO)
}

/// Replace the caller's credentials.
fn commit(call: &Call<'_>, mut new: Credentials) -> Result<Reply, Errno> {
    fix_capabilities(&call.credentials(), &mut new);
    call.take_on(new);
    Ok(Reply::ZERO)
}

/// capabilities(7), "Effect of user ID changes on capabilities".
fn fix_capabilities(old: &Credentials, new: &mut Credentials) {
    if old.securebits.has(SecureBits::NO_SETUID_FIXUP) {
        return;
    }
    let had_root = old.ruid == 0 || old.euid == 0 || old.suid == 0;
    let has_root = new.ruid == 0 || new.euid == 0 || new.suid == 0;
    if had_root && !has_root {
        if !old.securebits.has(SecureBits::KEEP_CAPS) {
            new.caps.permitted = 0;
            new.caps.effective = 0;
        }
        new.caps.ambient = 0;
    }
    if old.euid == 0 && new.euid != 0 {
        new.caps.effective = 0;
    }
    if old.euid != 0 && new.euid == 0 {
        new.caps.effective = new.caps.permitted;
    }
    fix_file_capabilities(old, new);
}

/// Capabilities that belong to the file system uid, as cap_task_fix_setuid(LSM_SETID_FS) has it.
const FILE_CAPABILITIES: u64 = Capability::Chown.bit()
    | Capability::DacOverride.bit()
    | Capability::DacReadSearch.bit()
    | Capability::Fowner.bit()
    | Capability::Fsetid.bit()
    | Capability::LinuxImmutable.bit()
    | Capability::Mknod.bit()
    | 1 << 32; // CAP_MAC_OVERRIDE

fn fix_file_capabilities(old: &Credentials, new: &mut Credentials) {
    if old.euid != new.euid {
        return;
    }
    if old.fsuid == 0 && new.fsuid != 0 {
        new.caps.effective &= !FILE_CAPABILITIES;
    }
    if old.fsuid != 0 && new.fsuid == 0 {
        new.caps.effective |= new.caps.permitted & FILE_CAPABILITIES;
    }
}

pub fn setuid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let uid = valid_uid(call, call.uint(0))?;
    let mut new = (*call.credentials()).clone();
    if new.can(Capability::Setuid) {
        (new.ruid, new.suid) = (uid, uid);
    } else if uid != new.ruid && uid != new.suid {
        return Err(Errno::PERM);
    }
    (new.euid, new.fsuid) = (uid, uid);
    commit(call, new)
}

pub fn setgid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let gid = valid_gid(call, call.uint(0))?;
    let mut new = (*call.credentials()).clone();
    if new.can(Capability::Setgid) {
        (new.rgid, new.sgid) = (gid, gid);
    } else if gid != new.rgid && gid != new.sgid {
        return Err(Errno::PERM);
    }
    (new.egid, new.fsgid) = (gid, gid);
    commit(call, new)
}

/// `EINVAL` for -1, which is no id, and for ids that the container's user namespace does not map.
fn valid_uid(call: &Call<'_>, uid: u32) -> Result<u32, Errno> {
    let known = call.kernel.ids.has_uid(uid);
    known.then_some(uid).ok_or(Errno::INVAL)
}

/// As [`valid_uid`].
fn valid_gid(call: &Call<'_>, gid: u32) -> Result<u32, Errno> {
    let known = call.kernel.ids.has_gid(gid);
    known.then_some(gid).ok_or(Errno::INVAL)
}

/// The uid in an argument that may be -1 for "as it is".
fn given_uid(call: &Call<'_>, index: usize) -> Result<Option<u32>, Errno> {
    match call.uint(index) {
        UNCHANGED => Ok(None),
        uid => valid_uid(call, uid).map(Some),
    }
}

/// As [`given_uid`].
fn given_gid(call: &Call<'_>, index: usize) -> Result<Option<u32>, Errno> {
    match call.uint(index) {
        UNCHANGED => Ok(None),
        gid => valid_gid(call, gid).map(Some),
    }
}

pub fn setreuid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (real, effective) = (given_uid(call, 0)?, given_uid(call, 1)?);
    let old = call.credentials();
    let mut new = (*old).clone();
    let privileged = old.can(Capability::Setuid);
    if let Some(uid) = real {
        if !privileged && uid != old.ruid && uid != old.euid {
            return Err(Errno::PERM);
        }
        new.ruid = uid;
    }
    if let Some(uid) = effective {
        if !privileged && ![old.ruid, old.euid, old.suid].contains(&uid) {
            return Err(Errno::PERM);
        }
        new.euid = uid;
    }
    if real.is_some() || effective.is_some_and(|uid| uid != old.ruid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    commit(call, new)
}

pub fn setregid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (real, effective) = (given_gid(call, 0)?, given_gid(call, 1)?);
    let old = call.credentials();
    let mut new = (*old).clone();
    let privileged = old.can(Capability::Setgid);
    if let Some(gid) = real {
        if !privileged && gid != old.rgid && gid != old.egid {
            return Err(Errno::PERM);
        }
        new.rgid = gid;
    }
    if let Some(gid) = effective {
        if !privileged && ![old.rgid, old.egid, old.sgid].contains(&gid) {
            return Err(Errno::PERM);
        }
        new.egid = gid;
    }
    if real.is_some() || effective.is_some_and(|gid| gid != old.rgid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    commit(call, new)
}

pub fn setresuid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let wanted = [
        given_uid(call, 0)?,
        given_uid(call, 1)?,
        given_uid(call, 2)?,
    ];
    let old = call.credentials();
    let have = [old.ruid, old.euid, old.suid];
    if !old.can(Capability::Setuid) && wanted.iter().flatten().any(|uid| !have.contains(uid)) {
        return Err(Errno::PERM);
    }
    let mut new = (*old).clone();
    new.ruid = wanted[0].unwrap_or(old.ruid);
    new.euid = wanted[1].unwrap_or(old.euid);
    new.suid = wanted[2].unwrap_or(old.suid);
    new.fsuid = new.euid;
    commit(call, new)
}

pub fn setresgid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let wanted = [
        given_gid(call, 0)?,
        given_gid(call, 1)?,
        given_gid(call, 2)?,
    ];
    let old = call.credentials();
    let have = [old.rgid, old.egid, old.sgid];
    if !old.can(Capability::Setgid) && wanted.iter().flatten().any(|gid| !have.contains(gid)) {
        return Err(Errno::PERM);
    }
    let mut new = (*old).clone();
    new.rgid = wanted[0].unwrap_or(old.rgid);
    new.egid = wanted[1].unwrap_or(old.egid);
    new.sgid = wanted[2].unwrap_or(old.sgid);
    new.fsgid = new.egid;
    commit(call, new)
}

/// Returns the previous id, whether or not it was changed, setfsuid(2).
pub fn setfsuid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let uid = call.uint(0);
    let old = call.credentials();
    let allowed =
        old.can(Capability::Setuid) || [old.ruid, old.euid, old.suid, old.fsuid].contains(&uid);
    if call.kernel.ids.has_uid(uid) && allowed && uid != old.fsuid {
        let mut new = (*old).clone();
        new.fsuid = uid;
        commit(call, new)?;
    }
    Ok(Reply::Value(old.fsuid.into()))
}

pub fn setfsgid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let gid = call.uint(0);
    let old = call.credentials();
    let allowed =
        old.can(Capability::Setgid) || [old.rgid, old.egid, old.sgid, old.fsgid].contains(&gid);
    if call.kernel.ids.has_gid(gid) && allowed && gid != old.fsgid {
        let mut new = (*old).clone();
        new.fsgid = gid;
        commit(call, new)?;
    }
    Ok(Reply::Value(old.fsgid.into()))
}

pub fn getgroups(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let size = call.int(0);
    let groups = call.credentials().groups.clone();
    if size < 0 || (size > 0 && (size as usize) < groups.len()) {
        return Err(Errno::INVAL);
    }
    if size > 0 {
        let bytes: Vec<u8> = groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
        call.write_bytes(call.arg(1), &bytes)?;
    }
    Ok(Reply::Value(groups.len() as i64))
}

pub fn setgroups(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let count = call.int(0);
    let own = &call.kernel.ids;
    if !call.credentials().can(Capability::Setgid) || !own.setgroups() {
        return Err(Errno::PERM);
    }
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= NGROUPS_MAX)
        .ok_or(Errno::INVAL)?;
    let mut bytes = vec![0; count * 4];
    call.read_bytes(call.arg(1), &mut bytes)?;
    let mut groups: Vec<u32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_ne_bytes(*word))
        .collect();
    if groups.iter().any(|gid| !own.has_gid(*gid)) {
        return Err(Errno::INVAL);
    }
    groups.sort_unstable();
    let mut new = (*call.credentials()).clone();
    new.groups = groups.into();
    commit(call, new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_wire::CapabilitySets;

    fn root() -> Credentials {
        Credentials::of(
            0,
            0,
            &[],
            CapabilitySets {
                effective: 0xff,
                permitted: 0xff,
                bounding: 0xff,
                ..Default::default()
            },
        )
    }

    #[test]
    fn leaving_root_loses_capabilities_unless_they_are_kept() {
        let old = root();
        let mut new = old.clone();
        (new.ruid, new.euid, new.suid, new.fsuid) = (5, 5, 5, 5);
        let mut kept = new.clone();
        fix_capabilities(&old, &mut new);
        assert_eq!((new.caps.permitted, new.caps.effective), (0, 0));
        let keeper = Credentials {
            securebits: SecureBits(SecureBits::KEEP_CAPS),
            ..old
        };
        fix_capabilities(&keeper, &mut kept);
        assert_eq!((kept.caps.permitted, kept.caps.effective), (0xff, 0));
    }

    #[test]
    fn only_the_effective_id_leaves_root_and_comes_back() {
        let old = root();
        let mut away = old.clone();
        (away.euid, away.fsuid) = (5, 5);
        fix_capabilities(&old, &mut away);
        assert_eq!((away.caps.permitted, away.caps.effective), (0xff, 0));
        let mut back = away.clone();
        (back.euid, back.fsuid) = (0, 0);
        fix_capabilities(&away, &mut back);
        assert_eq!(back.caps.effective, 0xff);
    }
}
