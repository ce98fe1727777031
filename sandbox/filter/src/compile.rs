//! From the table to a program: an architecture check, a binary search over the numbers, and a block
//! per argument rule.
//!
//! Ways that look at nothing but number and architecture and end in "allow" are remembered by the
//! kernel per number (its seccomp cache) and then cost nothing, so no argument may be loaded before the
//! search is over.

use caisson_abi::{
    AUDIT_ARCH_X86_64, Action, Condition, Disposition, Errno, Level, Rule, TABLE, X32_LAST,
    X32_SYSCALL_BIT, is_counted, nr,
};

use crate::assemble::{Assembler, Label};
use crate::instruction::{Delivery, Program, code, return_value};
use crate::profile::Profile;

/// Offsets into `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Which calls are delivered to the app kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that it serves or counts.
    Needed,
    /// The native ones as well, as far as they have no rule on their arguments: for a log of all that a guest does.
    All,
}

/// What a filter is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub level: Level,
    /// Lets the sandbox's own loader through `execveat`. It becomes part of the program, so the program is to be
    /// kept from guests as the secret itself is.
    pub secret: u64,
    pub delivery: Delivery,
    pub scope: Scope,
}

/// The filter of a guest: what [`caisson_abi::deliver`] says, as BPF.
#[must_use]
pub fn compile(options: &Options) -> Program {
    compile_within(options, None)
}

/// As [`compile`], with what a profile of `config.json` forbids forbidden first.
#[must_use]
pub fn compile_within(options: &Options, profile: Option<&Profile>) -> Program {
    let mut compiler = Compiler {
        assembler: Assembler::default(),
        secret: options.secret,
        delivery: options.delivery,
    };
    let (known, kill) = (compiler.assembler.label(), compiler.assembler.label());
    compiler.assembler.load(ARCHITECTURE);
    compiler
        .assembler
        .branch(code::IF_EQUAL, AUDIT_ARCH_X86_64, known, kill);
    compiler.assembler.place(kill);
    compiler.end(Action::Kill);
    compiler.assembler.place(known);
    compiler.assembler.load(NUMBER);
    if let Some(profile) = profile {
        compiler.profile(profile);
    }
    compiler.ranges(&ranges(options.level, options.scope));
    compiler.assembler.assemble()
}

/// What the numbers from `first` up to the next range have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    first: u32,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Fixed(Action),
    Ruled(&'static Rule),
}

/// Calls that stay native under [`Scope::All`]: returning from a signal handler and going on with an interrupted
/// sleep are no calls of the program's own.
const NEVER_TOLD: &[u32] = &[nr::rt_sigreturn, nr::restart_syscall];

fn outcome(number: u32, disposition: &Disposition, scope: Scope) -> Outcome {
    match *disposition {
        Disposition::Native if scope == Scope::All && !NEVER_TOLD.contains(&number) => {
            Outcome::Fixed(Action::Emulate)
        }
        Disposition::Native => Outcome::Fixed(Action::Native),
        Disposition::NativeWhen(rule, _) => Outcome::Ruled(rule),
        Disposition::Emulate(_) => Outcome::Fixed(Action::Emulate),
        Disposition::Refuse(_) if is_counted(number) => Outcome::Fixed(Action::Emulate),
        Disposition::Refuse(errno) => Outcome::Fixed(Action::Refuse(errno)),
    }
}

/// All 2^32 numbers in ascending ranges of equal outcome.
fn ranges(level: Level, scope: Scope) -> Vec<Range> {
    const UNLISTED: Outcome = Outcome::Fixed(Action::Refuse(Errno::ENOSYS));
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |first: u32, outcome: Outcome| {
        if ranges.last().is_none_or(|last| last.outcome != outcome) {
            ranges.push(Range { first, outcome });
        }
    };
    let mut next = 0;
    for row in TABLE {
        if row.number > next {
            let counted = is_counted(next);
            add(
                next,
                if counted {
                    Outcome::Fixed(Action::Emulate)
                } else {
                    UNLISTED
                },
            );
        }
        add(
            row.number,
            outcome(row.number, row.disposition(level), scope),
        );
        next = row.number + 1;
    }
    add(next, UNLISTED);
    add(X32_SYSCALL_BIT, Outcome::Fixed(Action::Kill));
    add(X32_LAST + 1, UNLISTED);
    ranges
}

pub(crate) struct Compiler {
    pub(crate) assembler: Assembler,
    pub(crate) secret: u64,
    delivery: Delivery,
}

impl Compiler {
    fn end(&mut self, action: Action) {
        self.assembler.finish(return_value(action, self.delivery));
    }

    /// The search, followed by the rules that it leads to. The number is loaded.
    fn ranges(&mut self, ranges: &[Range]) {
        let mut rules = Vec::new();
        self.search(ranges, &mut rules);
        for (label, rule) in rules {
            self.assembler.place(label);
            self.rule(rule);
        }
    }

    fn search(&mut self, ranges: &[Range], rules: &mut Vec<(Label, &'static Rule)>) {
        if let [range] = ranges {
            // Only a search of a single range begins here; others branch to rules directly.
            match range.outcome {
                Outcome::Fixed(action) => self.end(action),
                Outcome::Ruled(rule) => self.rule(rule),
            }
            return;
        }
        let (below, above) = ranges.split_at(ranges.len() / 2);
        let labels = [below, above].map(|half| (self.assembler.label(), half));
        self.assembler
            .branch(code::IF_AT_LEAST, above[0].first, labels[1].0, labels[0].0);
        for (label, half) in labels {
            match half {
                [
                    Range {
                        outcome: Outcome::Ruled(rule),
                        ..
                    },
                ] => {
                    rules.push((label, *rule));
                }
                _ => {
                    self.assembler.place(label);
                    self.search(half, rules);
                }
            }
        }
    }

    /// What the rule does not let through is delivered, be it to be served or to be refused and counted.
    fn rule(&mut self, rule: &Rule) {
        for conditions in rule.alternatives {
            let next = self.assembler.label();
            for condition in *conditions {
                let holds = self.assembler.label();
                self.condition(condition, holds, next);
                self.assembler.place(holds);
            }
            self.end(Action::Native);
            self.assembler.place(next);
        }
        self.end(Action::Emulate);
    }

    fn condition(&mut self, condition: &Condition, holds: Label, fails: Label) {
        let assembler = &mut self.assembler;
        match *condition {
            Condition::OneOf { argument, values } => {
                assembler.load(low(argument));
                self.any_of(values, holds, fails);
            }
            Condition::NoneOf { argument, values } => {
                assembler.load(low(argument));
                self.any_of(values, fails, holds);
            }
            Condition::AtMost { argument, last } => {
                assembler.load(low(argument));
                assembler.branch(code::IF_GREATER, last, fails, holds);
            }
            Condition::AllBits { argument, mask } => {
                assembler.load(low(argument));
                assembler.mask(mask);
                assembler.branch(code::IF_EQUAL, mask, holds, fails);
            }
            Condition::NoBits { argument, mask } => {
                assembler.load(low(argument));
                assembler.branch(code::IF_ANY_BIT, mask, fails, holds);
            }
            Condition::Zero { argument } => self.equal(argument, 0, holds, fails),
            Condition::Secret { argument } => self.equal(argument, self.secret, holds, fails),
        }
    }

    /// Goes to `found` if the loaded word is one of `values`, else to `missing`.
    fn any_of(&mut self, values: &[u32], found: Label, missing: Label) {
        let Some((last, others)) = values.split_last() else {
            // No value is among none. Zero has no bit in common with anything.
            self.assembler.branch(code::IF_ANY_BIT, 0, missing, missing);
            return;
        };
        for value in others {
            let next = self.assembler.label();
            self.assembler.branch(code::IF_EQUAL, *value, found, next);
            self.assembler.place(next);
        }
        self.assembler.branch(code::IF_EQUAL, *last, found, missing);
    }

    /// Compares all 64 bits of an argument.
    pub(crate) fn equal(&mut self, argument: usize, value: u64, holds: Label, fails: Label) {
        let upper_holds = self.assembler.label();
        self.assembler.load(high(argument));
        self.assembler
            .branch(code::IF_EQUAL, (value >> 32) as u32, upper_holds, fails);
        self.assembler.place(upper_holds);
        self.assembler.load(low(argument));
        self.assembler
            .branch(code::IF_EQUAL, value as u32, holds, fails);
    }
}

/// The offset of the low word of an argument; x86-64 is little-endian.
pub(crate) fn low(argument: usize) -> u32 {
    ARGUMENTS + 8 * argument as u32
}

pub(crate) fn high(argument: usize) -> u32 {
    low(argument) + 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction::MAX_INSTRUCTIONS;

    const EVERY: [(Level, Scope); 4] = [
        (Level::Standard, Scope::Needed),
        (Level::Standard, Scope::All),
        (Level::Strict, Scope::Needed),
        (Level::Strict, Scope::All),
    ];

    #[test]
    fn the_ranges_cover_every_number_once() {
        for (level, scope) in EVERY {
            let ranges = ranges(level, scope);
            assert_eq!(ranges[0].first, 0);
            assert!(ranges.is_sorted_by(|a, b| a.first < b.first && a.outcome != b.outcome));
        }
    }

    #[test]
    fn programs_are_far_below_the_limit_of_the_kernel() {
        for (level, scope) in EVERY {
            let options = Options {
                level,
                secret: u64::MAX,
                delivery: Delivery::Notify,
                scope,
            };
            let length = compile(&options).instructions.len();
            assert!(
                length < MAX_INSTRUCTIONS / 4,
                "{level:?} has {length} instructions"
            );
        }
    }
}
