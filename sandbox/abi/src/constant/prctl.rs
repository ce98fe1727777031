//! Options of prctl(2), linux/prctl.h.

pub const PR_SET_PDEATHSIG: u32 = 1;
pub const PR_GET_PDEATHSIG: u32 = 2;
pub const PR_GET_DUMPABLE: u32 = 3;
pub const PR_SET_DUMPABLE: u32 = 4;
pub const PR_GET_KEEPCAPS: u32 = 7;
pub const PR_SET_KEEPCAPS: u32 = 8;
pub const PR_GET_TIMING: u32 = 13;
pub const PR_SET_TIMING: u32 = 14;
pub const PR_SET_NAME: u32 = 15;
pub const PR_GET_NAME: u32 = 16;
pub const PR_GET_SECCOMP: u32 = 21;
pub const PR_SET_SECCOMP: u32 = 22;
pub const PR_CAPBSET_READ: u32 = 23;
pub const PR_CAPBSET_DROP: u32 = 24;
pub const PR_GET_TSC: u32 = 25;
pub const PR_SET_TSC: u32 = 26;
pub const PR_GET_SECUREBITS: u32 = 27;
pub const PR_SET_SECUREBITS: u32 = 28;
pub const PR_SET_TIMERSLACK: u32 = 29;
pub const PR_GET_TIMERSLACK: u32 = 30;
pub const PR_MCE_KILL_GET: u32 = 34;
pub const PR_SET_MM: u32 = 35;
pub const PR_SET_MM_AUXV: u32 = 12;
pub const PR_SET_MM_MAP: u32 = 14;
pub const PR_SET_MM_MAP_SIZE: u32 = 15;
pub const PR_SET_CHILD_SUBREAPER: u32 = 36;
pub const PR_GET_CHILD_SUBREAPER: u32 = 37;
pub const PR_SET_NO_NEW_PRIVS: u32 = 38;
pub const PR_GET_NO_NEW_PRIVS: u32 = 39;
pub const PR_GET_TID_ADDRESS: u32 = 40;
pub const PR_SET_THP_DISABLE: u32 = 41;
pub const PR_GET_THP_DISABLE: u32 = 42;
pub const PR_CAP_AMBIENT: u32 = 47;
pub const PR_GET_SPECULATION_CTRL: u32 = 52;
pub const PR_SET_MDWE: u32 = 65;
pub const PR_GET_MDWE: u32 = 66;
pub const PR_SET_VMA: u32 = 0x5356_4d41;
pub const PR_GET_AUXV: u32 = 0x4155_5856;
pub const PR_SET_PTRACER: u32 = 0x5961_6d61;

/// Options that act on the caller's own name, memory or timers and on nothing the app kernel keeps.
pub const NATIVE: &[u32] = &[
    PR_SET_NAME,
    PR_SET_VMA,
    PR_GET_PDEATHSIG,
    PR_GET_TIMING,
    PR_SET_TIMING,
    PR_GET_TSC,
    PR_SET_TSC,
    PR_SET_TIMERSLACK,
    PR_GET_TIMERSLACK,
    PR_MCE_KILL_GET,
    PR_SET_CHILD_SUBREAPER,
    PR_GET_CHILD_SUBREAPER,
    PR_GET_TID_ADDRESS,
    PR_SET_THP_DISABLE,
    PR_GET_THP_DISABLE,
    PR_GET_SPECULATION_CTRL,
    PR_SET_MDWE,
    PR_GET_MDWE,
    PR_GET_AUXV,
];
