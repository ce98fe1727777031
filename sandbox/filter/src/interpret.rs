//! Runs a filter as the kernel would, for tests and fuzzing.
//!
//! Stricter than the kernel: what our compiler never writes is a [`Fault`], not a behaviour.

use caisson_abi::{Action, Call};

use crate::instruction::{Instruction, Program, action, code};

/// Why a program is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Execution ran past the last instruction.
    End { position: usize },
    /// Not an instruction our compiler writes.
    Code { position: usize, code: u16 },
    /// A load of something else than a word of `struct seccomp_data`.
    Load { position: usize, offset: u32 },
    /// A return value that means nothing.
    Return { value: u32 },
}

/// What happened to a call, and at what cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub action: Action,
    /// Instructions executed.
    pub steps: usize,
    /// No argument was looked at: the kernel can remember the answer for this number.
    pub cacheable: bool,
}

/// Runs `program` on one call.
///
/// # Errors
///
/// If the program leaves the subset of BPF that [`crate::compile`] writes.
pub fn run(program: &Program, call: &Call) -> Result<Run, Fault> {
    let mut accumulator = 0;
    let mut position = 0;
    let mut steps = 0;
    let mut cacheable = true;
    loop {
        let &Instruction { code, jt, jf, k } = program
            .instructions
            .get(position)
            .ok_or(Fault::End { position })?;
        steps += 1;
        let skip = match code {
            code::LOAD => {
                accumulator = word(call, k).ok_or(Fault::Load {
                    position,
                    offset: k,
                })?;
                cacheable &= k < 8;
                0
            }
            code::AND => {
                accumulator &= k;
                0
            }
            code::GOTO => k,
            code::IF_EQUAL => u32::from(if accumulator == k { jt } else { jf }),
            code::IF_GREATER => u32::from(if accumulator > k { jt } else { jf }),
            code::IF_AT_LEAST => u32::from(if accumulator >= k { jt } else { jf }),
            code::IF_ANY_BIT => u32::from(if accumulator & k != 0 { jt } else { jf }),
            code::RETURN => {
                let action = action(k).ok_or(Fault::Return { value: k })?;
                return Ok(Run {
                    action,
                    steps,
                    cacheable,
                });
            }
            code => return Err(Fault::Code { position, code }),
        };
        // Jumps go forward only, so every program ends.
        position += 1 + skip as usize;
    }
}

/// The word of `struct seccomp_data` at a byte offset.
fn word(call: &Call, offset: u32) -> Option<u32> {
    let half = |value: u64| {
        if offset.is_multiple_of(8) {
            value as u32
        } else {
            (value >> 32) as u32
        }
    };
    if !offset.is_multiple_of(4) {
        return None;
    }
    match offset {
        0 => Some(call.number),
        4 => Some(call.architecture),
        8 | 12 => Some(half(call.instruction_pointer)),
        _ => call
            .arguments
            .get((offset as usize - 16) / 8)
            .map(|value| half(*value)),
    }
}
