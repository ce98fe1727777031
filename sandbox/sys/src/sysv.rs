//! System V IPC objects of the calling process' IPC namespace, sysvipc(7), their state as plain bytes.

use rustix::io::Errno;

use crate::raw::syscall;

/// The three kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    SharedMemory,
    Semaphores,
    Messages,
}

/// `IPC_STAT` and `IPC_SET` and `IPC_RMID`, linux/ipc.h.
pub const RMID: i32 = 0;
pub const SET: i32 = 1;
pub const STAT: i32 = 2;

/// Bytes of the largest state, `struct msqid64_ds`.
const STATE_MAX: usize = 120;

impl Kind {
    /// `struct shmid64_ds`, `semid64_ds`, `msqid64_ds`.
    pub fn state_bytes(self) -> usize {
        match self {
            Kind::SharedMemory => 112,
            Kind::Semaphores => 104,
            Kind::Messages => STATE_MAX,
        }
    }
}

/// shmget(2), semget(2), msgget(2). `amount` is the size, the number of semaphores, or nothing.
pub fn find_or_make(kind: Kind, key: i32, amount: u64, flags: i32) -> Result<i32, Errno> {
    // SAFETY: the calls take integers only.
    let id = unsafe {
        match kind {
            Kind::SharedMemory => syscall!(libc::SYS_shmget, key, amount, flags),
            Kind::Semaphores => syscall!(libc::SYS_semget, key, amount, flags),
            Kind::Messages => syscall!(libc::SYS_msgget, key, flags),
        }
    }?;
    Ok(id as i32)
}

/// shmctl(2), semctl(2), msgctl(2) with a command whose argument is a state or nothing. Gives the call's value.
pub fn control(kind: Kind, id: i32, command: i32, state: &mut [u8]) -> Result<i32, Errno> {
    let mut words = [0u64; STATE_MAX / 8];
    let length = state.len().min(kind.state_bytes());
    let pack = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_ne_bytes(word)
    };
    for (word, bytes) in words.iter_mut().zip(state[..length].chunks(8)) {
        *word = pack(bytes);
    }
    let at = words.as_mut_ptr();
    // SAFETY: `at` points to live, aligned memory as large as the largest of the three structs, which is all that
    // the commands of states read or write.
    let value = unsafe {
        match kind {
            Kind::SharedMemory => syscall!(libc::SYS_shmctl, id, command, at),
            Kind::Semaphores => syscall!(libc::SYS_semctl, id, 0, command, at),
            Kind::Messages => syscall!(libc::SYS_msgctl, id, command, at),
        }
    }?;
    for (bytes, word) in state[..length].chunks_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes()[..bytes.len()]);
    }
    Ok(value as i32)
}

/// `struct sembuf`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub number: u16,
    pub change: i16,
    pub flags: i16,
}

/// semtimedop(2).
pub fn operate(
    id: i32,
    operations: &[Operation],
    timeout: Option<libc::timespec>,
) -> Result<(), Errno> {
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: pointer and count describe the live slice of structs with the kernel's layout; the timeout is null
    // or live. Both are only read.
    unsafe {
        syscall!(
            libc::SYS_semtimedop,
            id,
            operations.as_ptr(),
            operations.len(),
            timeout
        )
    }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_made_described_and_removed() {
        for kind in [Kind::SharedMemory, Kind::Semaphores, Kind::Messages] {
            let id = find_or_make(kind, libc::IPC_PRIVATE, 1, 0o600).expect("make");
            let mut state = vec![0; kind.state_bytes()];
            control(kind, id, STAT, &mut state).expect("stat");
            assert_eq!(state[20..24], 0o600u32.to_ne_bytes(), "{kind:?}");
            state[20..24].copy_from_slice(&0o640u32.to_ne_bytes());
            control(kind, id, SET, &mut state).expect("set");
            control(kind, id, RMID, &mut []).expect("remove");
            assert!(control(kind, id, STAT, &mut state).is_err(), "{kind:?}");
        }
    }
}
