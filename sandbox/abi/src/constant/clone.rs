//! Flags of clone(2), linux/sched.h.

pub const CSIGNAL: u32 = 0x0000_00ff;
pub const VM: u32 = 0x0000_0100;
pub const FS: u32 = 0x0000_0200;
pub const FILES: u32 = 0x0000_0400;
pub const SIGHAND: u32 = 0x0000_0800;
pub const PIDFD: u32 = 0x0000_1000;
pub const PTRACE: u32 = 0x0000_2000;
pub const VFORK: u32 = 0x0000_4000;
pub const PARENT: u32 = 0x0000_8000;
pub const THREAD: u32 = 0x0001_0000;
pub const NEWNS: u32 = 0x0002_0000;
pub const SYSVSEM: u32 = 0x0004_0000;
pub const SETTLS: u32 = 0x0008_0000;
pub const PARENT_SETTID: u32 = 0x0010_0000;
pub const CHILD_CLEARTID: u32 = 0x0020_0000;
pub const DETACHED: u32 = 0x0040_0000;
pub const UNTRACED: u32 = 0x0080_0000;
pub const CHILD_SETTID: u32 = 0x0100_0000;
pub const NEWCGROUP: u32 = 0x0200_0000;
pub const NEWUTS: u32 = 0x0400_0000;
pub const NEWIPC: u32 = 0x0800_0000;
pub const NEWUSER: u32 = 0x1000_0000;
pub const NEWPID: u32 = 0x2000_0000;
pub const NEWNET: u32 = 0x4000_0000;
pub const IO: u32 = 0x8000_0000;
/// For unshare(2) and clone3(2) only: in clone(2) the bit belongs to the exit signal.
pub const NEWTIME: u32 = 0x0000_0080;

/// Every flag of clone(2) that makes a namespace.
pub const NEW_NAMESPACE: u32 = NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET;

/// What a thread shares that the app kernel need not be told of: it keeps cwd, root, umask and
/// descriptors per process, so a thread with its own would have to be recorded.
pub const THREAD_SHARED: u32 = THREAD | SIGHAND | VM | FS | FILES;
