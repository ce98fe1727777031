//! Conditions on the six argument registers under which a call may run natively.
//!
//! A [`Rule`] is data, so that the BPF compiler, the reference semantic ([`Rule::holds`]) and the
//! documentation share it. It must never look at memory: what a pointer points to can change after
//! the check.

/// A test of one argument register, numbered from 0.
///
/// The kernel takes most of these arguments as 32-bit integers and ignores the upper half of the
/// register, so all conditions but [`Condition::Zero`] and [`Condition::Secret`] do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The low 32 bits are one of `values`.
    OneOf {
        argument: usize,
        values: &'static [u32],
    },
    /// The low 32 bits are none of `values`.
    NoneOf {
        argument: usize,
        values: &'static [u32],
    },
    /// The low 32 bits, unsigned, are at most `last`.
    AtMost { argument: usize, last: u32 },
    /// All bits of `mask` are set.
    AllBits { argument: usize, mask: u32 },
    /// No bit of `mask` is set.
    NoBits { argument: usize, mask: u32 },
    /// All 64 bits are zero: a null pointer.
    Zero { argument: usize },
    /// All 64 bits equal the secret of the sandbox.
    Secret { argument: usize },
}

impl Condition {
    /// Whether the condition holds for these argument registers.
    #[must_use]
    pub fn holds(&self, arguments: &[u64; 6], secret: u64) -> bool {
        let low = |argument: usize| arguments[argument] as u32;
        match *self {
            Self::OneOf { argument, values } => values.contains(&low(argument)),
            Self::NoneOf { argument, values } => !values.contains(&low(argument)),
            Self::AtMost { argument, last } => low(argument) <= last,
            Self::AllBits { argument, mask } => low(argument) & mask == mask,
            Self::NoBits { argument, mask } => low(argument) & mask == 0,
            Self::Zero { argument } => arguments[argument] == 0,
            Self::Secret { argument } => arguments[argument] == secret,
        }
    }
}

/// When a call is native: if all conditions of any alternative hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Completes the sentence "native when …" of docs/syscalls.md.
    pub text: &'static str,
    pub alternatives: &'static [&'static [Condition]],
}

impl Rule {
    /// Whether a call with these argument registers is native.
    #[must_use]
    pub fn holds(&self, arguments: &[u64; 6], secret: u64) -> bool {
        self.alternatives.iter().any(|conditions| {
            conditions
                .iter()
                .all(|condition| condition.holds(arguments, secret))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Condition, Rule};

    #[test]
    fn integers_ignore_the_upper_half_and_pointers_do_not() {
        let mut arguments = [0; 6];
        arguments[2] = 0xffff_ffff_0000_0005;
        assert!(
            Condition::OneOf {
                argument: 2,
                values: &[5]
            }
            .holds(&arguments, 0)
        );
        assert!(
            !Condition::NoneOf {
                argument: 2,
                values: &[5]
            }
            .holds(&arguments, 0)
        );
        assert!(
            Condition::AtMost {
                argument: 2,
                last: 5
            }
            .holds(&arguments, 0)
        );
        assert!(
            !Condition::AtMost {
                argument: 2,
                last: 4
            }
            .holds(&arguments, 0)
        );
        assert!(
            Condition::AllBits {
                argument: 2,
                mask: 4
            }
            .holds(&arguments, 0)
        );
        assert!(
            !Condition::AllBits {
                argument: 2,
                mask: 6
            }
            .holds(&arguments, 0)
        );
        assert!(
            Condition::NoBits {
                argument: 2,
                mask: 2
            }
            .holds(&arguments, 0)
        );
        assert!(
            !Condition::NoBits {
                argument: 2,
                mask: 3
            }
            .holds(&arguments, 0)
        );
        arguments[2] = 1 << 32;
        assert!(!Condition::Zero { argument: 2 }.holds(&arguments, 0));
        assert!(!Condition::Secret { argument: 2 }.holds(&arguments, 0));
        assert!(Condition::Secret { argument: 2 }.holds(&arguments, 1 << 32));
    }

    #[test]
    fn any_alternative_with_all_its_conditions() {
        const RULE: Rule = Rule {
            text: "the first argument is 1, or the second is 2 and the third 3",
            alternatives: &[
                &[Condition::OneOf {
                    argument: 0,
                    values: &[1],
                }],
                &[
                    Condition::OneOf {
                        argument: 1,
                        values: &[2],
                    },
                    Condition::OneOf {
                        argument: 2,
                        values: &[3],
                    },
                ],
            ],
        };
        assert!(RULE.holds(&[1, 0, 0, 0, 0, 0], 0));
        assert!(RULE.holds(&[0, 2, 3, 0, 0, 0], 0));
        assert!(!RULE.holds(&[0, 2, 0, 0, 0, 0], 0));
    }
}
