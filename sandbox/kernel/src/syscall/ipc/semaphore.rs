//! Semaphores: semget(2), semctl(2), semop(2), semtimedop(2).

use caisson_sys::sysv::Kind::Semaphores;
use caisson_sys::sysv::{Operation, RMID, SET, STAT};
use rustix::io::Errno;

use super::object::{self, Indexed};
use crate::call::Call;
use crate::ipc::{READ, WRITE};
use crate::reply::Reply;

/// linux/sem.h.
const SEM: Indexed = Indexed {
    readable: 18,
    any: 20,
};
const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
/// `SEMVMX`, and `SEMOPM` as /proc/sys/kernel/sem has it.
const VALUE_MAX: i32 = 32767;
const OPERATIONS_MAX: u64 = 500;
const OPERATION_BYTES: usize = 6;

pub fn semget(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (key, count, flags) = (call.int(0), call.int(1), call.int(2));
    let count = u64::try_from(count).map_err(|_| Errno::INVAL)?;
    object::get(call, Semaphores, key, count, flags)
}

pub fn semctl(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (id, command, argument) = (call.int(0), call.int(2), call.arg(3));
    if id < 0 {
        return Err(Errno::INVAL);
    }
    match command {
        RMID => object::remove(call, Semaphores, id),
        SET => object::change(call, Semaphores, id, argument),
        STAT => object::describe(call, Semaphores, id, command, &SEM, argument),
        _ if command == SEM.readable || command == SEM.any => {
            object::describe(call, Semaphores, id, command, &SEM, argument)
        }
        GETPID | GETVAL | GETALL | GETNCNT | GETZCNT => object::checked(call, Semaphores, id, READ),
        // The host looks at the value first.
        SETVAL if !(0..=VALUE_MAX).contains(&(argument as i32)) => object::native(),
        SETVAL | SETALL => object::checked(call, Semaphores, id, WRITE),
        _ => object::native(),
    }
}

pub fn semop(call: &mut Call<'_>) -> Result<Reply, Errno> {
    operate(call, 0)
}

pub fn semtimedop(call: &mut Call<'_>) -> Result<Reply, Errno> {
    operate(call, call.arg(3))
}

/// The operations are behind a pointer, so the host runs the call only for those who may do both: read, which
/// waiting for zero needs, and change.
fn operate(call: &mut Call<'_>, timeout_at: u64) -> Result<Reply, Errno> {
    let (id, at, count) = (call.int(0), call.arg(1), u64::from(call.uint(2)));
    let Some(object) = call.kernel.ipc.get(Semaphores, id) else {
        return object::native();
    };
    let who = call.credentials();
    if object.allows(&who, READ | WRITE) || count == 0 || count > OPERATIONS_MAX {
        return object::native();
    }
    let operations = read_operations(call, at, count as usize)?;
    let timeout: Option<libc::timespec> = match timeout_at {
        0 => None,
        at => Some(call.read(at)?),
    };
    let changes = operations.iter().any(|operation| operation.change != 0);
    if !object.allows(&who, if changes { WRITE } else { READ }) {
        return Err(Errno::ACCESS);
    }
    call.park(move |call| {
        object::as_host_user(call, || {
            caisson_sys::sysv::operate(id, &operations, timeout)
        })?;
        Ok(Reply::ZERO)
    })
}

fn read_operations(call: &Call<'_>, at: u64, count: usize) -> Result<Vec<Operation>, Errno> {
    let mut bytes = vec![0; count * OPERATION_BYTES];
    call.read_bytes(at, &mut bytes)?;
    let half = |bytes: &[u8], at: usize| i16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    Ok(bytes
        .chunks_exact(OPERATION_BYTES)
        .map(|one| Operation {
            number: half(one, 0) as u16,
            change: half(one, 2),
            // What is undone at the guest's end would be undone at ours.
            flags: half(one, 4) & !(libc::SEM_UNDO as i16),
        })
        .collect())
}
