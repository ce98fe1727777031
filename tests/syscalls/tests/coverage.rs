//! The table names a test for each row; this shows that the test exists and runs.

use std::collections::HashSet;

use caisson_abi::{Disposition, TABLE};
use caisson_syscall_tests::{Family, PLAIN_FAMILIES, lines};
use caisson_test_bundle::{User, caisson, reference};

/// Rows that no guest can show by a line of its own.
const SHOWN_OTHERWISE: &[(&str, &str)] = &[
    (
        "loader_plan",
        "every execve of the exec family asks for a plan",
    ),
    (
        "rt_sigreturn",
        "every handled signal of the signal family returns by it",
    ),
    (
        "restart_syscall",
        "the kernel makes this call itself when a stopped sleep goes on",
    ),
    ("exit_group", "every section of every family ends by it"),
];

/// Linux asks no filter about these two.
const UNFILTERED: &[&str] = &["uretprobe", "uprobe"];

/// `family::call` of every line that the families print on the reference runtime.
fn printed() -> HashSet<String> {
    let reference = reference();
    PLAIN_FAMILIES
        .iter()
        .flat_map(|name| {
            let outcome = Family {
                name,
                user: User::Root,
            }
            .run(&reference);
            lines(&outcome.stdout)
        })
        .filter_map(|(key, _)| Some(key.split_once('.')?.0.to_owned()))
        .collect()
}

#[test]
fn every_row_names_a_test_that_runs() {
    let printed = printed();
    let missing: Vec<&str> = TABLE
        .iter()
        .filter(|row| !matches!(row.standard, Disposition::Refuse(_)))
        .filter(|row| !SHOWN_OTHERWISE.iter().any(|(name, _)| *name == row.name))
        .map(|row| row.test)
        .filter(|test| !printed.contains(*test))
        .collect();
    assert!(missing.is_empty(), "no family prints a line of {missing:?}");
}

#[test]
fn every_refused_call_fails_with_the_tables_errno() {
    for user in [User::Root, User::Dev] {
        let outcome = Family {
            name: "refused",
            user,
        }
        .run(&caisson());
        let got: Vec<(String, String)> = lines(&outcome.stdout);
        for row in TABLE.iter().filter(|row| !UNFILTERED.contains(&row.name)) {
            let Disposition::Refuse(errno) = row.standard else {
                continue;
            };
            for arguments in ["zeroes", "ones"] {
                let key = format!("refused::{}.{arguments}", row.name);
                let value = got
                    .iter()
                    .find(|(line, _)| *line == key)
                    .map(|(_, value)| value.as_str());
                let expected = format!("ret=-1 errno={errno:?}");
                assert_eq!(value, Some(expected.as_str()), "{key} as {}", user.name());
            }
        }
    }
}
