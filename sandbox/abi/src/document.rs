//! docs/syscalls.md, written from the table.

use core::fmt::Write as _;

use crate::decide::Level;
use crate::row::{Disposition, LOADER_PLAN_NR, Otherwise, Row, TABLE};

const HEAD: &str = "\
# Syscalls

Generated from sandbox/abi/src/table.rs by `CAISSON_UPDATE_DOCS=1 cargo test -p caisson-abi`; do not edit.

What a guest of the kernel tier gets for every x86-64 syscall of Linux 6.18:

- **native**: the host kernel runs it, on what the guest process already holds;
- **emulated**: the app kernel serves it, in `sandbox/kernel/src/syscall/<family>.rs`;
- **refused**: it fails with the errno shown; `caisson events` counts it (all but clone3).

Numbers that are not listed fail with ENOSYS. A call through the 32-bit entry or with an x32 number kills
the process. The dispositions are those of the level `standard`, the one that is implemented; at `strict`
the calls marked * are to be emulated as well. The test is a guest program of tests/syscalls that is to
show the statement, by family and name.
";

/// The text of docs/syscalls.md.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    summary(&mut text);
    text.push_str("\n| number | name | disposition | support | test |\n|---|---|---|---|---|\n");
    for row in TABLE {
        let star = if row.standard == row.strict { "" } else { "*" };
        let disposition = disposition(&row.standard);
        let Row {
            number,
            name,
            text: support,
            test,
            ..
        } = row;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {number} | {name} | {disposition}{star} | {support} | {test} |"
        );
    }
    text.push_str("\n## Rules\n\n");
    for row in TABLE {
        if let Disposition::NativeWhen(rule, _) = row.standard {
            let _ = writeln!(text, "- `{}` is native when {}.", row.name, rule.text);
        }
    }
    text
}

fn summary(text: &mut String) {
    let rows = || TABLE.iter().filter(|row| row.number != LOADER_PLAN_NR);
    let count = |wanted: fn(&Disposition) -> bool| {
        rows()
            .filter(|row| wanted(row.disposition(Level::Standard)))
            .count()
    };
    let _ = writeln!(
        text,
        "\nOf {} syscalls {} are native, {} native under a rule on their arguments, {} emulated and {} refused.",
        rows().count(),
        count(|disposition| matches!(disposition, Disposition::Native)),
        count(|disposition| matches!(disposition, Disposition::NativeWhen(..))),
        count(|disposition| matches!(disposition, Disposition::Emulate(_))),
        count(|disposition| matches!(disposition, Disposition::Refuse(_))),
    );
}

fn disposition(disposition: &Disposition) -> String {
    match disposition {
        Disposition::Native => "native".to_owned(),
        Disposition::Emulate(handler) => format!("emulated `{handler}`"),
        Disposition::Refuse(errno) => format!("refused {errno:?}"),
        Disposition::NativeWhen(_, Otherwise::Emulate(handler)) => {
            format!("native by rule, else emulated `{handler}`")
        }
        Disposition::NativeWhen(_, Otherwise::Refuse(errno)) => {
            format!("native by rule, else refused {errno:?}")
        }
    }
}
