//! Which system calls of a running guest reach the host kernel.

use std::collections::HashMap;

use caisson_abi::{
    AUDIT_ARCH_X86_64, Action, Call, Disposition, Level, Otherwise, TABLE, X32_SYSCALL_BIT, decide,
    deliver, row,
};
use caisson_escape_tests::{Sandbox, Tracee};
use caisson_filter::{Program, interpret};
use caisson_syscall_tests::Family;
use caisson_test_bundle::{Bundle, User, caisson};

/// The secret that lets the loader's own call pass is not known here, and no call below has it.
const NO_SECRET: u64 = 0x1111_2222_3333_4444;
const AUDIT_ARCH_I386: u32 = 0x4000_0003;

/// Register values that the table's rules look at, and some that they do not.
const VALUES: &[u64] = &[
    0,
    1,
    2,
    3,
    16,
    17,
    0x1000,
    0x5401,
    0x7fff_ffff,
    0x8000_0000,
    u64::MAX,
    1 << 32,
    0x3d0f00,
    0x7e02_0000,
];

fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    let numbers = (0..1024).chain([X32_SYSCALL_BIT, X32_SYSCALL_BIT | 39, 0x7fff_ffff, u32::MAX]);
    for number in numbers {
        for (index, value) in VALUES.iter().enumerate() {
            let other = VALUES[(index * 5 + 3) % VALUES.len()];
            calls.push(Call::new(number, [*value; 6]));
            calls.push(Call::new(
                number,
                [*value, other, *value, other, *value, other],
            ));
        }
        calls.push(Call {
            architecture: AUDIT_ARCH_I386,
            ..Call::new(number, [0; 6])
        });
    }
    calls
}

/// Whether the filter does with every call what the table says.
fn disagreements(program: &Program) -> Vec<String> {
    calls()
        .iter()
        .filter_map(|call| {
            let expected = deliver(Level::Standard, NO_SECRET, call);
            let got = interpret::run(program, call).map(|run| run.action);
            (got != Ok(expected)).then(|| format!("{call:x?}: expected {expected:?}, got {got:?}"))
        })
        .collect()
}

/// The filter that the host kernel holds for a guest process is the table and nothing else.
#[test]
fn the_filter_in_force_is_the_table() {
    let runtime = caisson();
    let image = caisson_images::busybox().expect("the busybox image");
    let bundle = Bundle::new("filter", &image);
    let sandbox = Sandbox::start(&runtime, &bundle, User::Root);
    for pid in sandbox.guests() {
        let tracee = Tracee::stop(pid, false).expect("stop a guest process");
        let filters = tracee.filters().expect("read its filters");
        assert!(!filters.is_empty(), "guest process {pid} has no filter");
        let found: Vec<Vec<String>> = filters.iter().map(disagreements).collect();
        let best = found
            .iter()
            .min_by_key(|list| list.len())
            .expect("a filter");
        assert!(
            best.is_empty(),
            "{} calls of guest {pid} are not decided by the table:\n{}",
            best.len(),
            best[..best.len().min(20)].join("\n")
        );
    }
}

/// What became of a call: an errno's name, `ret`, or how the process ended.
fn probe(user: User) -> HashMap<String, String> {
    let outcome = Family {
        name: "probe",
        user,
    }
    .run(&caisson());
    let lines = outcome.stdout.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        match key {
            "probe::number.is" => value
                .split_once(' ')
                .map(|(number, outcome)| (number.to_owned(), outcome.to_owned())),
            key => key
                .strip_prefix("probe::")
                .map(|key| (key.to_owned(), value.to_owned())),
        }
    });
    lines.collect()
}

/// Linux asks no filter about these two, and kills whoever makes them outside of a probe.
const UNFILTERED: &[&str] = &["uretprobe", "uprobe"];

/// The outcome that the table alone decides for a call with all registers -1.
fn decided(number: u32) -> Option<String> {
    if row(number).is_some_and(|row| UNFILTERED.contains(&row.name)) {
        return None;
    }
    match row(number).map(|row| row.standard) {
        None => Some("ENOSYS".to_owned()),
        Some(Disposition::Refuse(errno)) => Some(format!("{errno:?}")),
        Some(Disposition::NativeWhen(rule, Otherwise::Refuse(errno)))
            if !rule.holds(&[u64::MAX; 6], NO_SECRET) =>
        {
            Some(format!("{errno:?}"))
        }
        Some(_) => None,
    }
}

/// Every number, tried from inside: refused and unlisted ones fail as the table says, the others are
/// answered, and the two other entries kill.
#[test]
fn every_number_tried_from_inside_does_what_the_table_says() {
    for user in [User::Root, User::Dev] {
        let outcomes = probe(user);
        for number in 0..1024u32 {
            // The process ends before it can say anything, or never returns.
            let silent = row(number).is_some_and(|row| {
                ["exit", "exit_group", "rt_sigreturn", "pause"].contains(&row.name)
            });
            let outcome = outcomes.get(&number.to_string()).map(String::as_str);
            if let Some(expected) = decided(number) {
                assert_eq!(outcome, Some(expected.as_str()), "number {number}");
            } else if !silent {
                let outcome = outcome.unwrap_or("nothing");
                assert!(
                    !outcome.contains("killed by SIGSYS") && outcome != "nothing",
                    "number {number}: {outcome}"
                );
            }
        }
        for entry in ["entry.int80", "entry.x32"] {
            let ends: Vec<&String> = outcomes
                .iter()
                .filter(|(key, _)| *key == entry)
                .map(|(_, value)| value)
                .collect();
            assert_eq!(ends, ["killed by SIGSYS"], "{entry}");
        }
        assert!(outcomes.contains_key("entry.negative"));
    }
}

/// A row that is native in the table is native in the filter, so that the tests above compare something.
#[test]
fn the_table_has_all_three_kinds_of_rows() {
    let count = |wanted: fn(&Action) -> bool| {
        TABLE
            .iter()
            .filter(|row| {
                wanted(&decide(
                    Level::Standard,
                    NO_SECRET,
                    &Call::new(row.number, [0; 6]),
                ))
            })
            .count()
    };
    assert!(count(|action| *action == Action::Native) > 100);
    assert!(count(|action| *action == Action::Emulate) > 50);
    assert!(count(|action| matches!(action, Action::Refuse(_))) > 50);
    assert_eq!(Call::new(0, [0; 6]).architecture, AUDIT_ARCH_X86_64);
}
