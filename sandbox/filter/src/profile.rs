//! A profile of `config.json` before the sandbox's own decision, in the same program.
//!
//! What the profile forbids ends there; what it lets pass is then decided by the table as without a profile. A
//! profile can therefore only ever forbid more. The sandbox's own loader is let through to the table: with its
//! private number, with the secret, and where it sets the bounds of the new program.

use caisson_abi::{LOADER_PLAN_NR, X32_SYSCALL_BIT, nr};

use crate::assemble::Label;
use crate::compile::{Compiler, NUMBER, high, low};
use crate::instruction::code;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, as far as the profile is concerned.
    Pass,
    Errno(u16),
    /// SIGSYS.
    Trap,
    KillThread,
    KillProcess,
}

impl Verdict {
    const fn value(self) -> Option<u32> {
        match self {
            Verdict::Pass => None,
            Verdict::Errno(errno) => Some(0x0005_0000 | errno as u32),
            Verdict::Trap => Some(0x0003_0000),
            Verdict::KillThread => Some(0),
            Verdict::KillProcess => Some(0x8000_0000),
        }
    }
}

/// How an argument is compared, all 64 bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    AtLeast,
    Greater,
    /// The argument, masked, is the value.
    Masked(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// 0 to 5.
    pub index: usize,
    pub comparison: Comparison,
    pub value: u64,
}

/// The verdict for calls of one number whose arguments fulfil every condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRule {
    pub number: u32,
    pub arguments: Vec<Argument>,
    pub verdict: Verdict,
}

/// A profile: of the rules for a number the first without conditions decides; if there is none, the first whose
/// conditions hold; failing that, the default. (libseccomp decides so.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub default: Verdict,
    pub rules: Vec<ProfileRule>,
}

/// What the profile says of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Fixed(Verdict),
    Conditional(Vec<ProfileRule>),
}

impl Profile {
    fn outcome(&self, number: u32) -> Outcome {
        let ours: Vec<&ProfileRule> = self
            .rules
            .iter()
            .filter(|rule| rule.number == number)
            .collect();
        match ours.iter().find(|rule| rule.arguments.is_empty()) {
            Some(rule) => Outcome::Fixed(rule.verdict),
            None if ours.is_empty() => Outcome::Fixed(self.default),
            None => Outcome::Conditional(ours.into_iter().cloned().collect()),
        }
    }

    /// Numbers above the highest that the profile names were unknown to its author: they do not exist rather than
    /// being forbidden, so that programs fall back (as runc has it).
    fn unknown(&self) -> Verdict {
        const ENOSYS: u16 = 38;
        match self.default {
            Verdict::Pass => Verdict::Pass,
            _ => Verdict::Errno(ENOSYS),
        }
    }

    /// All numbers in ascending ranges of equal outcome.
    fn ranges(&self) -> Vec<(u32, Outcome)> {
        let highest = self.rules.iter().map(|rule| rule.number).max();
        let mut ranges: Vec<(u32, Outcome)> = Vec::new();
        let mut add = |first: u32, outcome: Outcome| {
            if ranges.last().is_none_or(|(_, last)| *last != outcome) {
                ranges.push((first, outcome));
            }
        };
        for number in 0..=highest.unwrap_or(0) {
            add(number, self.outcome(number));
        }
        if let Some(highest) = highest {
            add(highest + 1, Outcome::Fixed(self.unknown()));
        }
        // The loader's own; and numbers of x32, which end the process whatever a profile says.
        add(LOADER_PLAN_NR, Outcome::Fixed(Verdict::Pass));
        add(LOADER_PLAN_NR + 1, Outcome::Fixed(self.unknown()));
        add(X32_SYSCALL_BIT, Outcome::Fixed(Verdict::Pass));
        ranges
    }
}

impl Compiler {
    /// Ends the program for what the profile forbids and goes on behind these instructions for the rest. The number
    /// is loaded, before and after.
    pub(crate) fn profile(&mut self, profile: &Profile) {
        let own = self.assembler.label();
        self.loader(own);
        self.search_profile(&profile.ranges(), own, profile.default);
        self.assembler.place(own);
        self.assembler.load(NUMBER);
    }

    /// The loader's own calls that a profile may forbid to others.
    fn loader(&mut self, own: Label) {
        const PR_SET_MM: u64 = 35;
        let secret = self.secret;
        for (number, argument, value) in [(nr::execveat, 5, secret), (nr::prctl, 0, PR_SET_MM)] {
            let (ours, next, other) = (
                self.assembler.label(),
                self.assembler.label(),
                self.assembler.label(),
            );
            self.assembler.branch(code::IF_EQUAL, number, ours, next);
            self.assembler.place(ours);
            self.equal(argument, value, own, other);
            self.assembler.place(other);
            self.assembler.load(NUMBER);
            self.assembler.place(next);
        }
    }

    fn search_profile(&mut self, ranges: &[(u32, Outcome)], own: Label, default: Verdict) {
        let [(_, outcome)] = ranges else {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            let (low, high) = (self.assembler.label(), self.assembler.label());
            self.assembler
                .branch(code::IF_AT_LEAST, above[0].0, high, low);
            self.assembler.place(low);
            self.search_profile(below, own, default);
            self.assembler.place(high);
            self.search_profile(above, own, default);
            return;
        };
        match outcome {
            Outcome::Fixed(verdict) => self.verdict(*verdict, own),
            Outcome::Conditional(rules) => {
                for rule in rules {
                    let next = self.assembler.label();
                    for argument in &rule.arguments {
                        let holds = self.assembler.label();
                        self.compare(argument, holds, next);
                        self.assembler.place(holds);
                    }
                    self.verdict(rule.verdict, own);
                    self.assembler.place(next);
                }
                self.verdict(default, own);
            }
        }
    }

    fn verdict(&mut self, verdict: Verdict, own: Label) {
        match verdict.value() {
            Some(value) => self.assembler.finish(value),
            // Every word is at least 0: a jump.
            None => self.assembler.branch(code::IF_AT_LEAST, 0, own, own),
        }
    }

    fn compare(&mut self, argument: &Argument, holds: Label, fails: Label) {
        let Argument { index, value, .. } = *argument;
        match argument.comparison {
            Comparison::Equal => self.equal(index, value, holds, fails),
            Comparison::NotEqual => self.equal(index, value, fails, holds),
            Comparison::Masked(mask) => self.masked(index, mask, value, holds, fails),
            Comparison::AtLeast => self.order(index, value, code::IF_AT_LEAST, holds, fails),
            Comparison::Less => self.order(index, value, code::IF_AT_LEAST, fails, holds),
            Comparison::Greater => self.order(index, value, code::IF_GREATER, holds, fails),
            Comparison::AtMost => self.order(index, value, code::IF_GREATER, fails, holds),
        }
    }

    /// Upper words decide unless they are equal; then the lower ones do, by `code`.
    fn order(&mut self, index: usize, value: u64, code: u16, holds: Label, fails: Label) {
        let (not_above, equal) = (self.assembler.label(), self.assembler.label());
        let upper = (value >> 32) as u32;
        self.assembler.load(high(index));
        self.assembler
            .branch(code::IF_GREATER, upper, holds, not_above);
        self.assembler.place(not_above);
        self.assembler.branch(code::IF_EQUAL, upper, equal, fails);
        self.assembler.place(equal);
        self.assembler.load(low(index));
        self.assembler.branch(code, value as u32, holds, fails);
    }

    fn masked(&mut self, index: usize, mask: u64, value: u64, holds: Label, fails: Label) {
        let upper_holds = self.assembler.label();
        self.assembler.load(high(index));
        self.assembler.mask((mask >> 32) as u32);
        self.assembler
            .branch(code::IF_EQUAL, (value >> 32) as u32, upper_holds, fails);
        self.assembler.place(upper_holds);
        self.assembler.load(low(index));
        self.assembler.mask(mask as u32);
        self.assembler
            .branch(code::IF_EQUAL, value as u32, holds, fails);
    }
}

#[cfg(test)]
mod tests;
