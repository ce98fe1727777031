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
