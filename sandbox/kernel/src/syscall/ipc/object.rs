//! What the three kinds of System V objects have in common: getting, describing, changing and removing them.
//!
//! The host's objects belong to the sandbox's host user with mode 0600, so that the guests' native calls reach
//! them. Whether a guest may make a call is decided here, by [`crate::ipc::Object`].

use caisson_sys::socket::{EffectiveIds, Groups, with_effective_ids};
use caisson_sys::sysv::{self, Kind};
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::ipc::{MODE, Object, READ};
use crate::reply::Reply;

/// Of every object, on the host.
const HOST_MODE: i32 = 0o600;
/// Places in `struct ipc64_perm`.
const UID_AT: usize = 4;
const GID_AT: usize = 8;
const CUID_AT: usize = 12;
const CGID_AT: usize = 16;
const MODE_AT: usize = 20;

/// Commands that describe the object at an index, which differ between the kinds.
pub(super) struct Indexed {
    /// `*_STAT`: who may read it.
    pub(super) readable: i32,
    /// `*_STAT_ANY`: everybody.
    pub(super) any: i32,
}

/// Work on the host as the user to whom all objects belong there, bound by the limits of the namespace as the
/// guest is.
pub(super) fn as_host_user<R>(
    call: &mut Call<'_>,
    work: impl FnOnce() -> Result<R, Errno>,
) -> Result<R, Errno> {
    call.assume()?;
    call.servant.obey_limits()?;
    let credentials = call.credentials();
    let ids = EffectiveIds {
        uid: call.kernel.ids.host_uid(),
        gid: call.kernel.ids.host_gid(),
        fsuid: credentials.fsuid,
        fsgid: credentials.fsgid,
    };
    let groups = call.kernel.ids.setgroups().then_some(Groups {
        during: &[],
        after: &credentials.groups,
    });
    with_effective_ids(ids, groups, work)?
}

/// The call's own meaning is in registers that were checked, or there is nothing that could be checked.
pub(super) fn native() -> Result<Reply, Errno> {
    Ok(Reply::Continue(audited::ipc()))
}

/// Let the host run a call that needs `wanted` of the object. One that does not exist is the host's to refuse.
pub(super) fn checked(call: &Call<'_>, kind: Kind, id: i32, wanted: u32) -> Result<Reply, Errno> {
    match call.kernel.ipc.get(kind, id) {
        Some(object) if !object.allows(&call.credentials(), wanted) => Err(Errno::ACCESS),
        _ => native(),
    }
}

/// shmget(2), semget(2), msgget(2): ipcget() of ipc/util.c.
pub(super) fn get(
    call: &mut Call<'_>,
    kind: Kind,
    key: i32,
    amount: u64,
    flags: i32,
) -> Result<Reply, Errno> {
    let make = libc::IPC_CREAT | libc::IPC_EXCL;
    let mode = flags as u32 & MODE;
    let plain = flags & !(make | MODE as i32);
    if key != libc::IPC_PRIVATE && flags & make != make {
        match as_host_user(call, || sysv::find_or_make(kind, key, amount, plain)) {
            Ok(id) => {
                let allowed = call
                    .kernel
                    .ipc
                    .get(kind, id)
                    .is_none_or(|object| object.allows(&call.credentials(), mode));
                return if allowed {
                    Ok(Reply::Value(id.into()))
                } else {
                    Err(Errno::ACCESS)
                };
            }
            Err(Errno::NOENT) if flags & libc::IPC_CREAT != 0 => {}
            Err(error) => return Err(error),
        }
    }
    let id = as_host_user(call, || {
        sysv::find_or_make(kind, key, amount, plain | make | HOST_MODE)
    })?;
    call.kernel
        .ipc
        .sweep(|kind, id| sysv::control(kind, id, sysv::STAT, &mut []) != Err(Errno::INVAL));
    let object = Object::new(call.process().guest_pid, &call.credentials(), mode);
    call.kernel.ipc.put(kind, id, object);
    Ok(Reply::Value(id.into()))
}

/// `IPC_STAT` and its relatives, to the buffer at `at`.
pub(super) fn describe(
    call: &mut Call<'_>,
    kind: Kind,
    id: i32,
    command: i32,
    indexed: &Indexed,
    at: u64,
) -> Result<Reply, Errno> {
    let mut state = vec![0; kind.state_bytes()];
    let asked = if command == indexed.any {
        indexed.readable
    } else {
        command
    };
    let value = as_host_user(call, || sysv::control(kind, id, asked, &mut state))?;
    let id = if command == sysv::STAT { id } else { value };
    if let Some(object) = call.kernel.ipc.get(kind, id) {
        if command != indexed.any && !object.allows(&call.credentials(), READ) {
            return Err(Errno::ACCESS);
        }
        show(&mut state, &object);
        put_pids(call, kind, &mut state, &object);
    }
    call.write_bytes(at, &state)?;
    Ok(Reply::Value(value.into()))
}

fn show(state: &mut [u8], object: &Object) {
    let mut put = |at: usize, value: u32| state[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    put(UID_AT, object.uid);
    put(GID_AT, object.gid);
    put(CUID_AT, object.cuid);
    put(CGID_AT, object.cgid);
    // What is above the permission bits is the object's state.
    let host = word(state, MODE_AT);
    state[MODE_AT..MODE_AT + 4].copy_from_slice(&(host & !MODE | object.mode).to_ne_bytes());
}

fn word(state: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([state[at], state[at + 1], state[at + 2], state[at + 3]])
}

/// Pids of who made and used it last come as the host's.
fn put_pids(call: &Call<'_>, kind: Kind, state: &mut [u8], object: &Object) {
    let (first, second) = match kind {
        Kind::SharedMemory => (80, 84),
        Kind::Messages => (96, 100),
        Kind::Semaphores => return,
    };
    let guest = |host: u32| {
        call.kernel
            .table
            .process(host as i32)
            .map_or(0, |process| process.guest_pid as u32)
    };
    let maker = match kind {
        Kind::SharedMemory => object.maker as u32,
        _ => guest(word(state, first)),
    };
    let last = guest(word(state, second));
    state[first..first + 4].copy_from_slice(&maker.to_ne_bytes());
    state[second..second + 4].copy_from_slice(&last.to_ne_bytes());
}

/// `IPC_SET`: owner, group and mode, and `msg_qbytes`, which is the host's to take or refuse.
pub(super) fn change(call: &mut Call<'_>, kind: Kind, id: i32, at: u64) -> Result<Reply, Errno> {
    let mut state = vec![0; kind.state_bytes()];
    call.read_bytes(at, &mut state)?;
    let object = call.kernel.ipc.get(kind, id).ok_or(Errno::INVAL)?;
    if !object.is_ruled_by(&call.credentials()) {
        return Err(Errno::PERM);
    }
    let (uid, gid) = (word(&state, UID_AT), word(&state, GID_AT));
    let own = &call.kernel.ids;
    if !own.has_uid(uid) || !own.has_gid(gid) {
        return Err(Errno::INVAL);
    }
    let changed = Object {
        uid,
        gid,
        mode: word(&state, MODE_AT) & MODE,
        ..object
    };
    // The host's object stays the host user's.
    for (at, id) in [(UID_AT, own.host_uid()), (GID_AT, own.host_gid())] {
        state[at..at + 4].copy_from_slice(&id.to_ne_bytes());
    }
    state[MODE_AT..MODE_AT + 4].copy_from_slice(&HOST_MODE.to_ne_bytes());
    as_host_user(call, || sysv::control(kind, id, sysv::SET, &mut state))?;
    call.kernel.ipc.put(kind, id, changed);
    Ok(Reply::ZERO)
}

/// `IPC_RMID`. Memory lives on until it is detached by all, and is described until then.
pub(super) fn remove(call: &mut Call<'_>, kind: Kind, id: i32) -> Result<Reply, Errno> {
    if let Some(object) = call.kernel.ipc.get(kind, id)
        && !object.is_ruled_by(&call.credentials())
    {
        return exists(call, kind, id).and(Err(Errno::PERM));
    }
    as_host_user(call, || sysv::control(kind, id, sysv::RMID, &mut []))?;
    if exists(call, kind, id).is_err() {
        call.kernel.ipc.remove(kind, id);
    }
    Ok(Reply::ZERO)
}

fn exists(call: &mut Call<'_>, kind: Kind, id: i32) -> Result<(), Errno> {
    as_host_user(call, || {
        sysv::control(kind, id, sysv::STAT, &mut []).map(drop)
    })
}
