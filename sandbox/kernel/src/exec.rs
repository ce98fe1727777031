//! execve(2): find the program, check everything, and have the loader map it.
//!
//! All checks are made before the guest's old image is touched. The loader then asks for its [`Plan`]
//! (`exec::loader_plan`), which is the moment at which credentials change.

mod elf;
mod plan;
mod program;
mod room;
mod script;
mod start;
mod strings;

pub use plan::{Plan, header};
pub use program::{Program, find_in_path, open_program};
pub use room::{Room, donate};
pub use start::{Request, Scratch, first_exec, run};
pub use strings::Strings;

/// Layout of the loader's plan, shared with sandbox/loader.
pub(crate) mod wire {
    #![expect(
        dead_code,
        reason = "the file is the loader's as well, which alone uses the call's number"
    )]
    include!("../../loader/src/plan.rs");
}

/// For [`crate::fuzzing`].
pub(crate) fn decode_elf(bytes: &[u8]) {
    if let Ok(headers) = elf::headers(bytes) {
        assert!(
            headers.bytes <= 64 << 10,
            "more than Linux reads: {headers:?}"
        );
    }
    let table = bytes.get(64..).unwrap_or_default();
    if let Ok(Some(interpreter)) = elf::interpreter(table) {
        assert!(interpreter.length <= 4096, "no path: {interpreter:?}");
    }
}

/// For [`crate::fuzzing`].
pub(crate) fn decode_script(bytes: &[u8]) {
    if let Some(line) = script::line(bytes) {
        let whole = line.interpreter.len() + line.argument.map_or(0, |argument| argument.len());
        assert!(whole < script::LOOKED_AT, "longer than what Linux looks at");
        assert!(!line.interpreter.contains(&0) && !line.interpreter.contains(&b'\n'));
    }
}
