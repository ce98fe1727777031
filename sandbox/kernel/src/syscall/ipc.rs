//! System V and POSIX IPC.

mod object;
mod queue;
mod semaphore;
mod sysv;

pub use queue::{mq_notify, mq_open, mq_unlink};
pub use semaphore::{semctl, semget, semop, semtimedop};
pub use sysv::{msgctl, msgget, msgrcv, msgsnd, shmat, shmctl, shmget};
