//! The compiled profile against its meaning, and its place before the table.

use caisson_abi::{AUDIT_ARCH_X86_64, Action, Call, Errno, Level, nr};
use proptest::prelude::*;

use super::*;
use crate::compile::{Options, Scope, compile, compile_within};
use crate::instruction::Delivery;
use crate::interpret;

const SECRET: u64 = 0x1234_5678_9abc_def0;

fn options() -> Options {
    Options {
        level: Level::Standard,
        secret: SECRET,
        delivery: Delivery::Notify,
        scope: Scope::Needed,
    }
}

fn call(number: u32, arguments: [u64; 6]) -> Call {
    Call {
        architecture: AUDIT_ARCH_X86_64,
        instruction_pointer: 0,
        number,
        arguments,
    }
}

fn action(profile: Option<&Profile>, call: &Call) -> Action {
    let program = match profile {
        Some(profile) => compile_within(&options(), Some(profile)),
        None => compile(&options()),
    };
    interpret::run(&program, call)
        .expect("a program of ours")
        .action
}

fn rule(number: u32, verdict: Verdict, arguments: &[Argument]) -> ProfileRule {
    ProfileRule {
        number,
        arguments: arguments.to_vec(),
        verdict,
    }
}

const EPERM: Verdict = Verdict::Errno(1);

#[test]
fn what_passes_is_decided_by_the_table() {
    let profile = Profile {
        default: Verdict::Pass,
        rules: vec![rule(nr::getcwd, EPERM, &[])],
    };
    let refused = Action::Refuse(Errno::from_raw(1));
    assert_eq!(action(Some(&profile), &call(nr::getcwd, [0; 6])), refused);
    for number in [nr::read, nr::openat, nr::bpf, 9999, 0x4000_0001, u32::MAX] {
        let call = call(number, [1, 2, 3, 4, 5, 6]);
        assert_eq!(
            action(Some(&profile), &call),
            action(None, &call),
            "{number}"
        );
    }
}

#[test]
fn the_loader_passes_and_newer_calls_do_not_exist() {
    let profile = Profile {
        default: EPERM,
        rules: vec![rule(nr::read, Verdict::Pass, &[])],
    };
    let plan = call(LOADER_PLAN_NR, [0; 6]);
    assert_eq!(action(Some(&profile), &plan), action(None, &plan));
    let execveat = |secret| call(nr::execveat, [3, 0, 0, 0, 0x1000, secret]);
    assert_eq!(
        action(Some(&profile), &execveat(SECRET)),
        action(None, &execveat(SECRET))
    );
    let enosys = Action::Refuse(Errno::ENOSYS);
    assert_eq!(action(Some(&profile), &execveat(SECRET ^ 1)), enosys);
    assert_eq!(action(Some(&profile), &call(nr::openat, [0; 6])), enosys);
    let known = Profile {
        rules: vec![rule(nr::openat2, Verdict::Pass, &[])],
        ..profile
    };
    let refused = Action::Refuse(Errno::from_raw(1));
    assert_eq!(action(Some(&known), &call(nr::openat, [0; 6])), refused);
}

fn meaning(argument: &Argument, arguments: &[u64; 6]) -> bool {
    let (have, value) = (arguments[argument.index], argument.value);
    match argument.comparison {
        Comparison::Equal => have == value,
        Comparison::NotEqual => have != value,
        Comparison::Less => have < value,
        Comparison::AtMost => have <= value,
        Comparison::AtLeast => have >= value,
        Comparison::Greater => have > value,
        Comparison::Masked(mask) => have & mask == value,
    }
}

/// Values that differ in one half only are the interesting ones.
fn word() -> impl Strategy<Value = u64> {
    let half = prop_oneof![Just(0u32), Just(1), Just(2), Just(u32::MAX), any::<u32>()];
    (half.clone(), half).prop_map(|(upper, lower)| u64::from(upper) << 32 | u64::from(lower))
}

fn argument() -> impl Strategy<Value = Argument> {
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::AtMost),
        Just(Comparison::AtLeast),
        Just(Comparison::Greater),
        word().prop_map(Comparison::Masked),
    ];
    (0usize..2, comparison, word()).prop_map(|(index, comparison, value)| Argument {
        index,
        comparison,
        value,
    })
}

proptest! {
    #[test]
    fn conditions_mean_what_they_say(
        rules in prop::collection::vec(prop::collection::vec(argument(), 1..3), 1..4),
        first in word(),
        second in word(),
    ) {
        let number = nr::getcwd;
        let rules: Vec<ProfileRule> = rules
            .iter()
            .zip(2..)
            .map(|(arguments, errno)| rule(number, Verdict::Errno(errno), arguments))
            .collect();
        let profile = Profile { default: Verdict::Pass, rules: rules.clone() };
        let arguments = [first, second, 0, 0, 0, 0];
        let call = call(number, arguments);
        let wanted = rules
            .iter()
            .find(|rule| rule.arguments.iter().all(|argument| meaning(argument, &arguments)))
            .map(|rule| rule.verdict);
        let expected = match wanted {
            Some(Verdict::Errno(errno)) => Action::Refuse(Errno::from_raw(errno.into())),
            _ => action(None, &call),
        };
        prop_assert_eq!(action(Some(&profile), &call), expected);
    }
}
