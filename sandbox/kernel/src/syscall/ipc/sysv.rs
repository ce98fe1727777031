//! Shared memory and message queues: shmget(2), shmat(2), shmctl(2), msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use caisson_sys::sysv::Kind::{Messages, SharedMemory};
use caisson_sys::sysv::{RMID, SET, STAT};
use rustix::io::Errno;

use super::object::{self, Indexed};
use crate::call::Call;
use crate::ipc::{EXECUTE, READ, WRITE};
use crate::reply::Reply;

/// linux/shm.h.
const SHM: Indexed = Indexed {
    readable: 13,
    any: 15,
};
const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
/// linux/msg.h.
const MSG: Indexed = Indexed {
    readable: 11,
    any: 13,
};

pub fn shmget(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (key, size, flags) = (call.int(0), call.arg(1), call.int(2));
    object::get(call, SharedMemory, key, size, flags)
}

pub fn shmat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (id, address, flags) = (call.int(0), call.arg(1), call.int(2));
    let has = |flag: i32| flags & flag != 0;
    let sound = address.is_multiple_of(4096) || has(libc::SHM_RND);
    if !sound || (address == 0 && has(libc::SHM_REMAP)) {
        // Which the host says before it looks at the object.
        return object::native();
    }
    let mut wanted = READ;
    if !has(libc::SHM_RDONLY) {
        wanted |= WRITE;
    }
    if has(libc::SHM_EXEC) {
        wanted |= EXECUTE;
    }
    object::checked(call, SharedMemory, id, wanted)
}

pub fn shmctl(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (id, command, at) = (call.int(0), call.int(1), call.arg(2));
    if id < 0 {
        return Err(Errno::INVAL);
    }
    match command {
        RMID => object::remove(call, SharedMemory, id),
        SET => object::change(call, SharedMemory, id, at),
        STAT => object::describe(call, SharedMemory, id, command, &SHM, at),
        _ if command == SHM.readable || command == SHM.any => {
            object::describe(call, SharedMemory, id, command, &SHM, at)
        }
        SHM_LOCK | SHM_UNLOCK => match call.kernel.ipc.get(SharedMemory, id) {
            Some(object) if !object.is_ruled_by(&call.credentials()) => Err(Errno::PERM),
            _ => object::native(),
        },
        _ => object::native(),
    }
}

pub fn msgget(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (key, flags) = (call.int(0), call.int(1));
    object::get(call, Messages, key, 0, flags)
}

pub fn msgsnd(call: &mut Call<'_>) -> Result<Reply, Errno> {
    object::checked(call, Messages, call.int(0), WRITE)
}

pub fn msgrcv(call: &mut Call<'_>) -> Result<Reply, Errno> {
    object::checked(call, Messages, call.int(0), READ)
}

pub fn msgctl(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (id, command, at) = (call.int(0), call.int(1), call.arg(2));
    if id < 0 {
        return Err(Errno::INVAL);
    }
    match command {
        RMID => object::remove(call, Messages, id),
        SET => object::change(call, Messages, id, at),
        STAT => object::describe(call, Messages, id, command, &MSG, at),
        _ if command == MSG.readable || command == MSG.any => {
            object::describe(call, Messages, id, command, &MSG, at)
        }
        _ => object::native(),
    }
}
