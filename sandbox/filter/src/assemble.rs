//! Jumps to labels, turned into BPF's relative ones.
//!
//! A conditional jump of BPF reaches 255 instructions. One that has further to go is written as a
//! jump over an unconditional one, whose reach is not limited. All jumps go forward, which is also
//! what lets the kernel accept the program.

use crate::instruction::{Instruction, Program, code};

/// A place in the program, known to jumps before it is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

#[derive(Clone, Copy, Debug)]
enum Step {
    Plain {
        code: u16,
        k: u32,
    },
    Branch {
        code: u16,
        k: u32,
        holds: Label,
        fails: Label,
    },
    Place(Label),
}

/// Where the two jumps of a branch are too far for it, so that each needs an instruction of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Far {
    holds: bool,
    fails: bool,
}

/// A program under construction.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    steps: Vec<Step>,
    labels: usize,
}

impl Assembler {
    /// A label to be placed later.
    pub(crate) fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// The next instruction is where jumps to `label` lead.
    pub(crate) fn place(&mut self, label: Label) {
        self.steps.push(Step::Place(label));
    }

    /// Loads the word of `struct seccomp_data` at a byte offset.
    pub(crate) fn load(&mut self, offset: u32) {
        self.steps.push(Step::Plain {
            code: code::LOAD,
            k: offset,
        });
    }

    /// Clears all bits of the loaded word but those of `mask`.
    pub(crate) fn mask(&mut self, mask: u32) {
        self.steps.push(Step::Plain {
            code: code::AND,
            k: mask,
        });
    }

    /// Ends the program.
    pub(crate) fn finish(&mut self, value: u32) {
        self.steps.push(Step::Plain {
            code: code::RETURN,
            k: value,
        });
    }

    /// Compares the loaded word with `k` and goes on at one label or the other, both yet to be placed.
    pub(crate) fn branch(&mut self, code: u16, k: u32, holds: Label, fails: Label) {
        self.steps.push(Step::Branch {
            code,
            k,
            holds,
            fails,
        });
    }

    /// The finished program.
    ///
    /// # Panics
    ///
    /// If a label was placed before a jump to it, or never: a mistake of the compiler, which has no
    /// input but the table, so that its tests see every program there is.
    pub(crate) fn assemble(&self) -> Program {
        let mut far = vec![Far::default(); self.steps.len()];
        loop {
            let places = self.places(&far);
            let wanted = self.far_jumps(&far, &places);
            if wanted == far {
                return self.emit(&far, &places);
            }
            far = wanted;
        }
    }

    /// The index of the instruction that each label names.
    fn places(&self, far: &[Far]) -> Vec<usize> {
        let mut places = vec![0; self.labels];
        let mut position = 0;
        for (step, far) in self.steps.iter().zip(far) {
            match step {
                Step::Plain { .. } => position += 1,
                Step::Branch { .. } => {
                    position += 1 + usize::from(far.holds) + usize::from(far.fails);
                }
                Step::Place(label) => places[label.0] = position,
            }
        }
        places
    }

    /// The jumps that are too far under the present layout. A jump once found too far stays so: the
    /// layout only ever grows, and therefore settles.
    fn far_jumps(&self, far: &[Far], places: &[usize]) -> Vec<Far> {
        let mut position = 0;
        let mut wanted = Vec::with_capacity(far.len());
        for (step, &far) in self.steps.iter().zip(far) {
            let mut next = far;
            match *step {
                Step::Plain { .. } => position += 1,
                Step::Branch { holds, fails, .. } => {
                    next.holds |= distance(position, places[holds.0]) > usize::from(u8::MAX);
                    next.fails |= distance(position, places[fails.0]) > usize::from(u8::MAX);
                    position += 1 + usize::from(far.holds) + usize::from(far.fails);
                }
                Step::Place(_) => {}
            }
            wanted.push(next);
        }
        wanted
    }

    fn emit(&self, far: &[Far], places: &[usize]) -> Program {
        let mut instructions = Vec::new();
        for (step, far) in self.steps.iter().zip(far) {
            match *step {
                Step::Plain { code, k } => {
                    instructions.push(Instruction {
                        code,
                        jt: 0,
                        jf: 0,
                        k,
                    });
                }
                Step::Branch {
                    code,
                    k,
                    holds,
                    fails,
                } => {
                    let position = instructions.len();
                    let near = |label: Label| narrow(distance(position, places[label.0]));
                    let jt = if far.holds { 0 } else { near(holds) };
                    let jf = if far.fails {
                        u8::from(far.holds)
                    } else {
                        near(fails)
                    };
                    instructions.push(Instruction { code, jt, jf, k });
                    for label in [far.holds.then_some(holds), far.fails.then_some(fails)]
                        .into_iter()
                        .flatten()
                    {
                        let k = distance(instructions.len(), places[label.0]);
                        let k =
                            u32::try_from(k).expect("a program is shorter than 4 Gi instructions");
                        instructions.push(Instruction {
                            code: code::GOTO,
                            jt: 0,
                            jf: 0,
                            k,
                        });
                    }
                }
                Step::Place(_) => {}
            }
        }
        Program { instructions }
    }
}

/// How many instructions a jump at `from` skips to arrive at `to`.
fn distance(from: usize, to: usize) -> usize {
    to.checked_sub(from + 1)
        .expect("labels are placed after the jumps to them")
}

fn narrow(distance: usize) -> u8 {
    u8::try_from(distance).expect("far jumps were given an instruction of their own")
}

#[cfg(test)]
mod tests {
    use super::Assembler;
    use crate::instruction::code;

    /// `n` instructions that do nothing a test looks at.
    fn pad(assembler: &mut Assembler, n: usize) {
        for _ in 0..n {
            assembler.load(0);
        }
    }

    #[test]
    fn a_jump_of_255_is_direct_and_one_of_256_is_not() {
        for (padding, length) in [(255, 257), (256, 259)] {
            let mut assembler = Assembler::default();
            let (near, away) = (assembler.label(), assembler.label());
            assembler.branch(code::IF_EQUAL, 7, away, near);
            assembler.place(near);
            pad(&mut assembler, padding);
            assembler.place(away);
            assembler.finish(1);
            let program = assembler.assemble().instructions;
            assert_eq!(program.len(), length);
            assert_eq!(program[0].jf, u8::from(padding == 256));
            if padding == 256 {
                assert_eq!(
                    (program[0].jt, program[1].code, program[1].k),
                    (0, code::GOTO, 256)
                );
            } else {
                assert_eq!(program[0].jt, 255);
            }
        }
    }

    #[test]
    fn both_ways_may_be_far() {
        let mut assembler = Assembler::default();
        let (first, second) = (assembler.label(), assembler.label());
        assembler.branch(code::IF_AT_LEAST, 7, first, second);
        pad(&mut assembler, 300);
        assembler.place(first);
        assembler.finish(1);
        assembler.place(second);
        assembler.finish(2);
        let program = assembler.assemble().instructions;
        assert_eq!((program[0].jt, program[0].jf), (0, 1));
        assert_eq!((program[1].k, program[2].k), (301, 301));
        assert_eq!((program[1 + 1 + 301].k, program[2 + 1 + 301].k), (1, 2));
    }

    #[test]
    #[should_panic(expected = "placed after")]
    fn a_jump_backward_is_a_mistake() {
        let mut assembler = Assembler::default();
        let back = assembler.label();
        assembler.place(back);
        assembler.branch(code::IF_EQUAL, 0, back, back);
        let _ = assembler.assemble();
    }
}
