//! The syscall table compiled to the BPF program that every guest process runs under.
//!
//! [`compile_within`] is the only way a guest filter comes into being. Pure: this crate never installs a
//! program, and it must never decide anything by itself; [`caisson_abi::decide`] says what is right, and
//! the tests hold the compiled program to it with the interpreter of [`interpret`].

mod assemble;
mod compile;
mod instruction;
pub mod interpret;
mod profile;

pub use compile::{Options, Scope, compile, compile_within};
pub use instruction::{Delivery, Instruction, MAX_INSTRUCTIONS, Program};
pub use profile::{Argument, Comparison, Profile, ProfileRule, Verdict};
