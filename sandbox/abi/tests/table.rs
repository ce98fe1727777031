//! The table is complete, well-formed, and docs/syscalls.md says what it says.

use std::fs;
use std::path::Path;

use caisson_abi::{
    Action, Call, Disposition, LOADER_PLAN_NR, Level, Otherwise, TABLE, decide, markdown, nr, row,
    row_named,
};

/// Numbers below 470 that Linux has not given out on x86-64.
fn is_gap(number: u32) -> bool {
    (337..=423).contains(&number)
}

#[test]
fn every_number_of_linux_has_a_row() {
    for number in 0..470 {
        assert_eq!(row(number).is_none(), is_gap(number), "{number}");
    }
    assert_eq!(TABLE.last().map(|row| row.number), Some(LOADER_PLAN_NR));
    assert_eq!(TABLE.len(), 470 - (423 - 337 + 1) + 1);
}

/// `asm/unistd_64.h` of the machine at hand, as far as it goes.
#[test]
fn names_and_numbers_are_those_of_the_kernel_headers() {
    let Ok(header) = fs::read_to_string("/usr/include/x86_64-linux-gnu/asm/unistd_64.h") else {
        eprintln!("skipped: linux-libc-dev is not installed");
        return;
    };
    let mut seen = 0;
    for line in header.lines() {
        let Some(rest) = line.strip_prefix("#define __NR_") else {
            continue;
        };
        let (name, number) = rest
            .split_once(char::is_whitespace)
            .expect("a name and a number");
        let number: u32 = number.trim().parse().expect("a number");
        let row = row(number).unwrap_or_else(|| panic!("{number} {name} has no row"));
        assert_eq!(row.name, name);
        seen += 1;
    }
    assert!(seen > 300, "only {seen} syscalls in the header");
}

#[test]
fn names_are_unique_and_constants_match() {
    for row in TABLE {
        assert_eq!(row_named(row.name), Some(row));
    }
    assert_eq!((nr::read, nr::openat, nr::file_setattr), (0, 257, 469));
}

#[test]
fn every_row_says_what_is_supported_and_names_its_test() {
    for row in TABLE {
        let name = row.name;
        assert!(
            row.text.ends_with('.') && row.text.starts_with(char::is_uppercase),
            "{name}"
        );
        assert!(
            !row.text.contains('|'),
            "{name} would break the table of docs/syscalls.md"
        );
        let (family, test) = row.test.split_once("::").expect("family::name");
        assert_eq!(test, name, "a test is named after its syscall");
        assert_eq!(
            family == "refused",
            matches!(row.standard, Disposition::Refuse(_)),
            "{name}"
        );
    }
}

/// The handler of a syscall has its name, so that a reader finds it without the table.
#[test]
fn handlers_are_named_after_their_syscall() {
    for row in TABLE {
        for disposition in [&row.standard, &row.strict] {
            if let Disposition::Emulate(handler)
            | Disposition::NativeWhen(_, Otherwise::Emulate(handler)) = disposition
            {
                assert_eq!(
                    handler.split_once("::").map(|(_, name)| name),
                    Some(row.name)
                );
            }
        }
    }
}

#[test]
fn strict_only_ever_takes_away() {
    for row in TABLE.iter().filter(|row| row.standard != row.strict) {
        assert!(
            matches!(
                row.standard,
                Disposition::Native | Disposition::NativeWhen(..)
            ) && matches!(row.strict, Disposition::Emulate(_)),
            "{}",
            row.name
        );
    }
}

#[test]
fn rules_name_registers_that_exist() {
    for row in TABLE {
        if let Disposition::NativeWhen(rule, _) = row.standard {
            // Would index out of bounds.
            let _ = rule.holds(&[0; 6], 0);
            let _ = rule.holds(&[u64::MAX; 6], u64::MAX);
            assert!(!rule.alternatives.is_empty(), "{}", row.name);
            assert!(
                rule.alternatives
                    .iter()
                    .all(|conditions| !conditions.is_empty()),
                "{}",
                row.name
            );
        }
    }
}

fn action(number: u32, arguments: [u64; 6]) -> Action {
    decide(Level::Standard, 42, &Call::new(number, arguments))
}

/// Literal numbers, so that a wrong constant in the rules cannot hide behind its own name.
#[test]
fn rules_let_through_what_programs_need_and_nothing_dangerous() {
    let native = |number, arguments| assert_eq!(action(number, arguments), Action::Native);
    let emulate = |number, arguments| assert_eq!(action(number, arguments), Action::Emulate);
    for request in [
        0x5401,
        0x5413,
        0x541b,
        0x5421,
        0x5451,
        0x8004_5430,
        0xffff_ffff_8004_5430,
    ] {
        native(nr::ioctl, [0, request, 0, 0, 0, 0]);
    }
    for request in [
        0x5412,
        0x541c,
        0x541d,
        0x5423,
        0x5441,
        0xb701,
        0xc018_5500,
        0x4004_54ca,
    ] {
        emulate(nr::ioctl, [0, request, 0, 0, 0, 0]);
    }
    native(nr::prctl, [15, 0, 0, 0, 0, 0]);
    native(nr::prctl, [35, 14, 0, 0, 0, 0]);
    native(nr::prctl, [35, 15, 0, 0, 0, 0]);
    for (option, argument) in [
        (1, 0),
        (22, 2),
        (35, 13),
        (38, 1),
        (24, 0),
        (47, 1),
        (59, 1),
        (53, 0),
    ] {
        emulate(nr::prctl, [option, argument, 0, 0, 0, 0]);
    }
    for (level, option) in [
        (1, 2),
        (1, 20),
        (6, 1),
        (6, 13),
        (17, 103),
        (0, 1),
        (41, 26),
        (41, 67),
    ] {
        native(nr::setsockopt, [3, level, option, 0, 0, 0]);
        native(nr::getsockopt, [3, level, option, 0, 0, 0]);
    }
    for (level, option) in [
        (1, 26),
        (1, 50),
        (1, 51),
        (1, 52),
        (6, 31),
        (6, 19),
        (0, 64),
        (0, 96),
        (0, 128),
        (0, 1152),
        (41, 64),
        (41, 65),
        (41, 80),
        (263, 1),
        (270, 1),
        (284, 1),
        (279, 1),
    ] {
        emulate(nr::setsockopt, [3, level, option, 0, 0, 0]);
    }
    for (level, option) in [
        (1, 17),
        (1, 31),
        (1, 59),
        (1, 77),
        (0, 64),
        (0, 80),
        (41, 64),
        (41, 80),
    ] {
        emulate(nr::getsockopt, [3, level, option, 0, 0, 0]);
    }
    native(nr::sendto, [3, 0, 0, 0, 0, 0]);
    emulate(nr::sendto, [3, 0, 0, 0, 1 << 32, 16]);
    native(nr::socketpair, [1, 1, 0, 0, 0, 0]);
    emulate(nr::socketpair, [40, 1, 0, 0, 0, 0]);
    for command in [0, 1, 2, 3, 4, 7, 8, 15, 37, 1030, 1031, 1033] {
        native(nr::fcntl, [0, command, 0, 0, 0, 0]);
    }
    native(nr::fcntl, [0, 1026, 0, 0, 0, 0]);
    for command in [1024, 1036, 1040] {
        emulate(nr::fcntl, [0, command, 0, 0, 0, 0]);
    }
    emulate(nr::fcntl, [0, 4, 0o1_004_000, 0, 0, 0]);
    const RLIMIT_LOCKS: u64 = 10;
    native(nr::prlimit64, [0, 3, 0, 0x7000, 0, 0]);
    native(nr::getrlimit, [7, 0x7000, 0, 0, 0, 0]);
    for arguments in [[0, RLIMIT_LOCKS, 0], [0, 16, 0], [0, 3, 0x7000], [1, 3, 0]] {
        let [pid, resource, new] = arguments;
        emulate(nr::prlimit64, [pid, resource, new, 0x7000, 0, 0]);
    }
    const RLIMIT_NPROC: u64 = 6;
    emulate(nr::getrlimit, [RLIMIT_LOCKS, 0x7000, 0, 0, 0, 0]);
    emulate(nr::getrlimit, [RLIMIT_NPROC, 0x7000, 0, 0, 0, 0]);
    emulate(nr::prlimit64, [0, RLIMIT_NPROC, 0, 0x7000, 0, 0]);
    native(nr::personality, [0xffff_ffff, 0, 0, 0, 0, 0]);
    assert_eq!(action(nr::personality, [8, 0, 0, 0, 0, 0]), Action::Emulate);
}

#[test]
fn the_documentation_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/syscalls.md");
    let expected = markdown();
    if std::env::var_os("CAISSON_UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).expect("docs/syscalls.md is writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let line = expected
        .lines()
        .zip(found.lines())
        .position(|(expected, found)| expected != found);
    assert!(
        expected == found,
        "docs/syscalls.md differs from the table (line {:?}); run CAISSON_UPDATE_DOCS=1 cargo test -p caisson-abi",
        line.map(|index| index + 1)
    );
}
