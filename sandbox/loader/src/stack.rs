//! The stack that a new program finds: strings, argc, argv, envp and the auxiliary vector, execve(2) and
//! getauxval(3).

use crate::Answer;
use crate::image::{Image, ProgramHeader};
use crate::plan::{INLINE_STRINGS, PLAN_NR, Plan};
use crate::system::{PAGE, SYS_PRCTL, die, fault, memcpy, page_down, syscall};

const AT_NULL: u64 = 0;
const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
const AT_BASE: u64 = 7;
const AT_ENTRY: u64 = 9;
const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;
const AT_PLATFORM: u64 = 15;
const AT_SECURE: u64 = 23;
const AT_RANDOM: u64 = 25;
const AT_EXECFN: u64 = 31;
const MAX_AUXV: usize = 64;

/// What is taken from the stack that the kernel built for the loader.
pub(crate) struct Inherited {
    pub(crate) auxv: [(u64, u64); MAX_AUXV],
    pub(crate) count: usize,
    pub(crate) random: [u64; 2],
    pub(crate) top: u64,
}

pub(crate) unsafe fn inherited(stack: *const u64) -> Inherited {
    let mut taken = Inherited {
        auxv: [(0, 0); MAX_AUXV],
        count: 0,
        random: [0; 2],
        top: 0,
    };
    // SAFETY: the layout that execve(2) builds: argc, argv, NULL, envp, NULL, auxv up to AT_NULL, with
    // AT_RANDOM and AT_EXECFN pointing to live bytes above it.
    unsafe {
        let mut word = stack.add(1 + stack.read() as usize + 1);
        while word.read() != 0 {
            word = word.add(1);
        }
        word = word.add(1);
        while taken.count < MAX_AUXV {
            let (key, value) = (word.read(), word.add(1).read());
            taken.auxv[taken.count] = (key, value);
            taken.count += 1;
            match key {
                AT_NULL => break,
                AT_RANDOM => {
                    taken.random = [
                        (value as *const u64).read_unaligned(),
                        (value as *const u64).add(1).read_unaligned(),
                    ]
                }
                AT_EXECFN => {
                    let mut end = value as *const u8;
                    while end.read() != 0 {
                        end = end.add(1);
                    }
                    taken.top = (end as u64 + 1) & !15;
                }
                _ => {}
            }
            word = word.add(2);
        }
    }
    taken
}

#[repr(C)]
struct MmMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Put the strings at the top of the stack; returns where they start.
pub(crate) fn place_strings(answer: &Answer, top: u64) -> u64 {
    let bytes = answer.plan.strings_bytes;
    let start = top - bytes;
    // Touch the pages from the top down, so that the kernel grows the stack to hold them.
    let mut page = page_down(top);
    while page > start {
        page -= PAGE;
        // SAFETY: stack below its current top; the limit was checked by the app kernel.
        unsafe { (page.max(page_down(start)) as *mut u8).read_volatile() };
    }
    if bytes as usize <= INLINE_STRINGS {
        // SAFETY: the strings fit the answer, the target was touched above.
        unsafe { memcpy(start as *mut u8, answer.strings.as_ptr(), bytes as usize) };
    } else {
        // SAFETY: the app kernel writes `strings_bytes` bytes to the range touched above.
        let result = unsafe { syscall(PLAN_NR, start, 0, 0, 0, 0, 0) };
        if result != 0 {
            die(b"caisson loader: no strings\n");
        }
    }
    start
}

/// Write argc, argv, envp and the auxiliary vector below the strings and tell the kernel where all is;
/// returns the stack pointer for the program.
pub(crate) fn build_stack(
    plan: &Plan,
    program: &Image,
    interpreter: Option<&Image>,
    taken: &mut Inherited,
    strings: u64,
) -> u64 {
    let random = (strings & !15) - 16;
    let platform = random - 16;
    let words = 1 + plan.argc + 1 + plan.envc + 1 + 2 * taken.count as u64;
    let stack = (platform - words * 8) & !15;
    let mut page = page_down(strings);
    while page > page_down(stack) {
        page -= PAGE;
        // SAFETY: grows the stack page by page, as in place_strings.
        unsafe { (page as *mut u8).read_volatile() };
    }
    let mut word = stack as *mut u64;
    let mut put = |value: u64| {
        // SAFETY: exactly `words` words are put, from `stack` up to below `platform`.
        unsafe {
            word.write(value);
            word = word.add(1);
        }
        word as u64
    };
    // SAFETY: both lie between the words and the strings, in touched stack.
    unsafe {
        (random as *mut [u64; 2]).write(taken.random);
        memcpy(platform as *mut u8, c"x86_64".as_ptr().cast(), 7);
    }
    put(plan.argc);
    let arg_start = strings;
    let arg_end = put_strings(&mut put, arg_start, plan.argc);
    let env_end = put_strings(&mut put, arg_end, plan.envc);
    let mut auxv = 0;
    for index in 0..taken.count {
        let (key, mut value) = taken.auxv[index];
        match key {
            AT_PHDR => value = program.phdr,
            AT_PHENT => value = size_of::<ProgramHeader>() as u64,
            AT_PHNUM => value = program.phnum,
            AT_BASE => value = interpreter.map_or(0, |image| image.bias),
            AT_ENTRY => value = program.entry,
            AT_EXECFN => value = env_end,
            AT_RANDOM => value = random,
            AT_PLATFORM => value = platform,
            AT_UID => value = plan.uid.into(),
            AT_EUID => value = plan.euid.into(),
            AT_GID => value = plan.gid.into(),
            AT_EGID => value = plan.egid.into(),
            AT_SECURE => value = plan.secure,
            _ => {}
        }
        let after = put(key);
        if auxv == 0 {
            auxv = after - 8;
        }
        put(value);
    }
    let brk = program.high + ((taken.random[0] & 0x1fff) << 12);
    let layout = MmMap {
        start_code: program.low,
        end_code: program.code_end.max(program.low),
        start_data: program.data_start,
        end_data: program.data_end,
        start_brk: brk,
        brk,
        start_stack: stack,
        arg_start,
        arg_end,
        env_start: arg_end,
        env_end,
        auxv,
        auxv_size: (taken.count * 16) as u32,
        exe_fd: u32::MAX,
    };
    const PR_SET_MM: u64 = 35;
    const PR_SET_MM_MAP: u64 = 14;
    let size = size_of::<MmMap>() as u64;
    // SAFETY: reads the live struct.
    if unsafe {
        syscall(
            SYS_PRCTL,
            PR_SET_MM,
            PR_SET_MM_MAP,
            &raw const layout as u64,
            size,
            0,
            0,
        )
    } != 0
    {
        if program.code_end == 0 {
            // The kernel wants to be told of code; the program would end the same way at its first instruction.
            fault();
        }
        die(b"caisson loader: PR_SET_MM_MAP failed\n");
    }
    stack
}

/// Put the addresses of `count` strings that start at `address`, and a NULL; returns the address behind
/// the last one.
fn put_strings(put: &mut impl FnMut(u64) -> u64, address: u64, count: u64) -> u64 {
    let mut at = address as *const u8;
    for _ in 0..count {
        put(at as u64);
        // SAFETY: the app kernel delivered exactly argc + envc + 1 NUL-terminated strings.
        unsafe {
            while at.read() != 0 {
                at = at.add(1);
            }
            at = at.add(1);
        }
    }
    put(0);
    at as u64
}
