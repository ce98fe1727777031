//! The syscall table compiled to the BPF program that every guest process runs under.
//!
//! [`compile`] is the only way a guest filter comes into being. Pure: this crate never installs a
//! program, and it must never decide anything by itself; [`caisson_abi::decide`] says what is right, and
//! the tests hold the compiled program to it with the interpreter of [`interpret`].

mod assemble;
mod compile;
mod instruction;
pub mod interpret;

pub use compile::{Options, Scope, compile};
pub use instruction::{Delivery, Instruction, MAX_INSTRUCTIONS, Program};
