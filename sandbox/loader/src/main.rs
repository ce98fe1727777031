//! The exec loader: see README.md.
//!
//! Must never: call anything before it has relocated itself, format text, or trust that memory beyond its own
//! image and stack is mapped.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

mod image;
mod plan;
mod stack;
mod system;

use image::load;
use plan::{INLINE_STRINGS, PLAN_NR, Plan};
use stack::{build_stack, inherited, place_strings};
use system::{SYS_PERSONALITY, SYS_PRCTL, close, die, syscall};

// The loader's own stack: the kernel's is being rebuilt meanwhile.
global_asm!(
    ".globl _start",
    "_start:",
    "mov rdi, rsp",
    "lea rsi, [rip + _DYNAMIC]",
    "lea rdx, [rip + __ehdr_start]",
    "lea rsp, [rip + {stack} + {size}]",
    "call {main}",
    "ud2",
    stack = sym STACK,
    size = const STACK_BYTES,
    main = sym main,
);

const STACK_BYTES: usize = 32 << 10;

#[repr(align(16))]
struct Stack(
    #[expect(dead_code, reason = "only its address is used, by _start")] [u8; STACK_BYTES],
);
static mut STACK: Stack = Stack([0; STACK_BYTES]);

#[repr(C)]
struct Answer {
    pub(crate) plan: Plan,
    pub(crate) strings: [u8; INLINE_STRINGS],
}

static mut ANSWER: Answer = Answer {
    plan: Plan {
        argc: 0,
        envc: 0,
        strings_bytes: 0,
        program: 0,
        interpreter: 0,
        uid: 0,
        euid: 0,
        gid: 0,
        egid: 0,
        secure: 0,
        awaited: 0,
        comm: [0; 16],
    },
    strings: [0; INLINE_STRINGS],
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    die(b"caisson loader: panic\n")
}

/// Apply the few relative relocations that the linker leaves for compiler-made calls (memcpy and its like go
/// through the global offset table). Nothing that needs one may be called before.
///
/// # Safety
/// `dynamic` is this program's dynamic section, `base` where it was loaded.
unsafe fn relocate(dynamic: *const [u64; 2], base: u64) {
    const DT_RELA: u64 = 7;
    const DT_RELASZ: u64 = 8;
    const R_X86_64_RELATIVE: u64 = 8;
    let (mut table, mut bytes) = (0, 0);
    // SAFETY: the section ends with a DT_NULL entry; relocations point into this image's data.
    unsafe {
        let mut entry = dynamic;
        while (*entry)[0] != 0 {
            match (*entry)[0] {
                DT_RELA => table = base + (*entry)[1],
                DT_RELASZ => bytes = (*entry)[1],
                _ => {}
            }
            entry = entry.add(1);
        }
        let mut at = table as *const [u64; 3];
        while (at as u64) < table + bytes {
            let [offset, kind, addend] = *at;
            if kind == R_X86_64_RELATIVE {
                ((base + offset) as *mut u64).write(base + addend);
            }
            at = at.add(1);
        }
    }
}

/// Who gains rights by a program starts it without what a personality(2) could do to it: `PER_CLEAR_ON_SETID`.
fn clear_personality() {
    /// READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE, ADDR_COMPAT_LAYOUT, MMAP_PAGE_ZERO.
    const CLEARED: u64 = 0x0040_0000 | 0x0004_0000 | 0x0020_0000 | 0x0010_0000;
    // SAFETY: takes one integer; all ones ask for what is set.
    let now = unsafe { syscall(SYS_PERSONALITY, 0xffff_ffff, 0, 0, 0, 0, 0) };
    if now > 0 && now as u64 & CLEARED != 0 {
        // SAFETY: as above.
        unsafe { syscall(SYS_PERSONALITY, now as u64 & !CLEARED, 0, 0, 0, 0, 0) };
    }
}

unsafe extern "C" fn main(kernel_stack: *const u64, dynamic: *const [u64; 2], base: u64) -> ! {
    // SAFETY: `_start` passes this image's own addresses.
    unsafe { relocate(dynamic, base) };
    // SAFETY: `_start` passes the stack pointer at entry.
    let mut taken = unsafe { inherited(kernel_stack) };
    let answer = &raw mut ANSWER;
    // SAFETY: the app kernel writes at most the given number of bytes to the live static.
    if unsafe {
        syscall(
            PLAN_NR,
            answer as u64,
            size_of::<Answer>() as u64,
            0,
            0,
            0,
            0,
        )
    } != 0
    {
        die(b"caisson loader: no plan\n");
    }
    // SAFETY: single-threaded; nothing else refers to the static.
    let answer = unsafe { &*answer };
    let plan = &answer.plan;
    if plan.secure != 0 {
        clear_personality();
    }
    const PR_SET_NAME: u64 = 15;
    // SAFETY: the name is a live array of 16 bytes.
    unsafe {
        syscall(
            SYS_PRCTL,
            PR_SET_NAME,
            plan.comm.as_ptr() as u64,
            0,
            0,
            0,
            0,
        )
    };

    let hint = 0x5555_5555_4000 + ((taken.random[1] & 0x0fff_ffff) << 12);
    let program = load(plan.program, hint);
    close(plan.program);
    let interpreter = (plan.interpreter >= 0).then(|| load(plan.interpreter, 0));
    if interpreter.is_some() {
        close(plan.interpreter);
    }
    let strings = place_strings(answer, taken.top);
    let stack = build_stack(plan, &program, interpreter.as_ref(), &mut taken, strings);
    let entry = interpreter.map_or(program.entry, |image| image.entry);
    if plan.awaited != 0 {
        // SAFETY: takes integers; the thread goes on at `entry`, as below, or comes back.
        unsafe { syscall(PLAN_NR, 0, 0, entry, stack, 0, 0) };
    }
    // SAFETY: the stack is laid out as execve(2) does and `entry` is mapped; nothing of the loader is used
    // again. rdx = 0: no function to register with atexit.
    unsafe {
        asm!(
            "mov rsp, {stack}", "xor edx, edx", "xor ebp, ebp", "jmp {entry}",
            stack = in(reg) stack, entry = in(reg) entry, options(noreturn),
        )
    }
}
