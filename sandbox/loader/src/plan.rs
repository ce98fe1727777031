// The plan that the app kernel gives to the loader. Shared by both: `include!`d by the app kernel.

/// Private system call number: `plan(buffer, length)` fills a [`Plan`] and, when `strings_bytes` fit into
/// the rest of the buffer, the strings behind it; returns 0. `plan(buffer, length)` with `length`
/// smaller than a `Plan` writes the strings alone to `buffer` and returns 0. `plan(0, 0, entry, stack)` tells that the
/// program is mapped, and starts that of a traced process; it returns if nobody traces the process.
/// Beyond every number that Linux uses.
pub const PLAN_NR: u64 = 1000;

/// Room for strings in the first answer; larger argument lists are fetched by a second call.
pub const INLINE_STRINGS: usize = 32 << 10;

/// Header of a plan. Plain integers, little endian, no padding.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Plan {
    pub argc: u64,
    pub envc: u64,
    /// Bytes of all strings: arguments, environment, then the path for AT_EXECFN, each NUL-terminated.
    pub strings_bytes: u64,
    /// Descriptor of the program.
    pub program: i32,
    /// Descriptor of its ELF interpreter, -1 when it has none.
    pub interpreter: i32,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub egid: u32,
    /// AT_SECURE.
    pub secure: u64,
    /// A guest traces the process, or the runtime waits for its program: the loader is to call `plan(0, 0, entry, stack)`
    /// before it goes there.
    pub awaited: u64,
    /// PR_SET_NAME.
    pub comm: [u8; 16],
}
