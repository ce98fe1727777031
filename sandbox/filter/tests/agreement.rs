//! The compiled filter does what the table says, for every number and around every rule.

use caisson_abi::{
    AUDIT_ARCH_X86_64, Action, Call, Condition, Disposition, Errno, LOADER_PLAN_NR, Level, TABLE,
    deliver, nr, row_named,
};
use caisson_filter::{Delivery, Options, Program, Scope, interpret};
use proptest::prelude::*;

const SECRET: u64 = 0x0123_4567_89ab_cdef;
const LEVELS: [Level; 2] = [Level::Standard, Level::Strict];

fn compile(level: Level, secret: u64) -> Program {
    caisson_filter::compile(&Options {
        level,
        secret,
        delivery: Delivery::Notify,
        scope: Scope::Needed,
    })
}

fn run(program: &Program, call: &Call) -> interpret::Run {
    interpret::run(program, call).expect("the program stays within the subset of BPF")
}

fn agree(program: &Program, level: Level, secret: u64, call: &Call) {
    assert_eq!(
        run(program, call).action,
        deliver(level, secret, call),
        "{level:?} {call:x?}"
    );
}

/// Argument values at which a condition may change its mind, for one argument register.
fn boundaries(condition: &Condition) -> (usize, Vec<u64>) {
    let (argument, values): (usize, Vec<u64>) = match *condition {
        Condition::OneOf { argument, values } | Condition::NoneOf { argument, values } => (
            argument,
            values.iter().map(|value| u64::from(*value)).collect(),
        ),
        Condition::AtMost { argument, last } => (argument, vec![u64::from(last)]),
        Condition::AllBits { argument, mask } | Condition::NoBits { argument, mask } => {
            let bits = (0..32).map(|bit| 1 << bit);
            let mask = u64::from(mask);
            (
                argument,
                bits.flat_map(|bit| [bit, mask | bit, mask & !bit])
                    .collect(),
            )
        }
        Condition::Zero { argument } => (argument, vec![0]),
        Condition::Secret { argument } => (argument, vec![SECRET]),
    };
    let near = values.iter().flat_map(|value| {
        [
            *value,
            value.wrapping_sub(1),
            value.wrapping_add(1),
            value ^ 1 << 32,
            value ^ 1 << 63,
        ]
    });
    (
        argument,
        near.chain([0, 1, u64::MAX, 0xffff_ffff, 0x8000_0000])
            .collect(),
    )
}

/// Per argument register of one syscall, every value at which its rule may change its mind.
fn interesting(disposition: &Disposition) -> [Vec<u64>; 6] {
    let mut interesting = [const { Vec::new() }; 6];
    if let Disposition::NativeWhen(rule, _) = disposition {
        for condition in rule.alternatives.iter().copied().flatten() {
            let (argument, values) = boundaries(condition);
            interesting[argument].extend(values);
        }
    }
    for values in &mut interesting {
        values.sort_unstable();
        values.dedup();
        if values.is_empty() {
            values.push(0);
        }
    }
    interesting
}

#[test]
fn every_number_is_decided_as_the_table_says() {
    for level in LEVELS {
        let program = compile(level, SECRET);
        let edges = [
            0x3fff_ffff,
            0x4000_0000,
            0x4000_0101,
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX,
        ];
        for number in (0..2048).chain(edges) {
            for arguments in [[0; 6], [u64::MAX; 6], [1 << 32; 6], [1; 6], [SECRET; 6]] {
                agree(&program, level, SECRET, &Call::new(number, arguments));
            }
        }
    }
}

#[test]
fn every_combination_of_the_values_a_rule_speaks_of() {
    for level in LEVELS {
        let program = compile(level, SECRET);
        for row in TABLE {
            let [a, b, c, d, e, f] = interesting(row.disposition(level));
            for (&a, &b, &c) in a.iter().flat_map(|a| {
                let c = &c;
                b.iter().flat_map(move |b| c.iter().map(move |c| (a, b, c)))
            }) {
                for (&d, &e, &f) in d.iter().flat_map(|d| {
                    let f = &f;
                    e.iter().flat_map(move |e| f.iter().map(move |f| (d, e, f)))
                }) {
                    agree(
                        &program,
                        level,
                        SECRET,
                        &Call::new(row.number, [a, b, c, d, e, f]),
                    );
                }
            }
        }
    }
}

#[test]
fn foreign_entries_kill() {
    let program = compile(Level::Standard, SECRET);
    for architecture in [0x4000_0003, 0, u32::MAX, AUDIT_ARCH_X86_64 ^ 1] {
        for number in [0, nr::getpid, nr::openat, 4096, u32::MAX] {
            let call = Call {
                architecture,
                ..Call::new(number, [0; 6])
            };
            assert_eq!(run(&program, &call).action, Action::Kill, "{call:x?}");
        }
    }
    for number in [
        0x4000_0000,
        0x4000_0000 | nr::openat,
        0x4000_0200,
        0x7fff_ffff,
    ] {
        assert_eq!(
            run(&program, &Call::new(number, [0; 6])).action,
            Action::Kill
        );
    }
}

#[test]
fn what_must_never_be_native_is_not() {
    let never = [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "add_key",
        "request_key",
        "keyctl",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "open_tree_attr",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "unshare",
        "setns",
        "clone3",
        "vmsplice",
        "tee",
        "splice",
        "socket",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "open_by_handle_at",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "open",
        "openat",
        "openat2",
        "creat",
        "execve",
        "reboot",
        "iopl",
        "ioperm",
        "seccomp",
        "memfd_secret",
    ];
    for level in LEVELS {
        let program = compile(level, SECRET);
        for name in never {
            let number = row_named(name)
                .unwrap_or_else(|| panic!("{name} is in the table"))
                .number;
            for value in [0, 1, u64::MAX] {
                let action = run(&program, &Call::new(number, [value; 6])).action;
                assert_ne!(action, Action::Native, "{name}");
            }
        }
    }
}

#[test]
fn clone_is_native_for_plain_threads_only() {
    let program = compile(Level::Standard, SECRET);
    let clone = |flags: u64| run(&program, &Call::new(nr::clone, [flags, 0, 0, 0, 0, 0])).action;
    // What glibc's pthread_create passes.
    let thread = 0x003d_0f00;
    assert_eq!(clone(thread), Action::Native);
    // What glibc's fork passes.
    assert_eq!(clone(0x0120_0011), Action::Emulate);
    for namespace in [
        1 << 17,
        1 << 25,
        1 << 26,
        1 << 27,
        1 << 28,
        1 << 29,
        1 << 30,
    ] {
        assert_eq!(clone(thread | namespace), Action::Emulate, "{namespace:x}");
        assert_eq!(clone(namespace | 17), Action::Emulate, "{namespace:x}");
    }
    for shared in [0x100, 0x200, 0x400, 0x800] {
        assert_eq!(
            clone(thread & !shared),
            Action::Emulate,
            "without {shared:x}"
        );
    }
}

#[test]
fn only_the_loader_passes_execveat() {
    let program = compile(Level::Standard, SECRET);
    let execveat = |flags: u64, secret: u64| {
        run(
            &program,
            &Call::new(nr::execveat, [3, 0, 0, 0, flags, secret]),
        )
        .action
    };
    assert_eq!(execveat(0x1000, SECRET), Action::Native);
    assert_eq!(execveat(0x1100, SECRET), Action::Emulate);
    assert_eq!(execveat(0, SECRET), Action::Emulate);
    for bit in 0..64 {
        assert_eq!(
            execveat(0x1000, SECRET ^ 1 << bit),
            Action::Emulate,
            "bit {bit}"
        );
    }
    let plan = run(&program, &Call::new(LOADER_PLAN_NR, [0; 6])).action;
    assert_eq!(plan, Action::Emulate);
}

#[test]
fn native_calls_without_a_rule_are_cheap() {
    let program = compile(Level::Standard, SECRET);
    for row in TABLE
        .iter()
        .filter(|row| row.standard == Disposition::Native)
    {
        let run = run(&program, &Call::new(row.number, [u64::MAX; 6]));
        assert!(
            run.cacheable,
            "{} is not remembered by the kernel",
            row.name
        );
        assert!(
            run.steps <= 16,
            "{} takes {} instructions",
            row.name,
            run.steps
        );
    }
}

#[test]
fn unlisted_numbers_are_enosys() {
    let program = compile(Level::Standard, SECRET);
    for number in [1001, 0x3fff_ffff, 0x8000_0000, u32::MAX] {
        let action = run(&program, &Call::new(number, [0; 6])).action;
        assert_eq!(action, Action::Refuse(Errno::ENOSYS), "{number}");
    }
    // Numbers that Linux may give out are delivered, to be counted.
    for number in [337, 423, 470, 999] {
        let action = run(&program, &Call::new(number, [0; 6])).action;
        assert_eq!(action, Action::Emulate, "{number}");
        let errno = caisson_abi::refusal(Level::Standard, number, &[0; 6]);
        assert_eq!(errno, Some(Errno::ENOSYS));
    }
}

#[test]
fn the_two_deliveries_differ_in_nothing_else() {
    for scope in [Scope::Needed, Scope::All] {
        let [notify, trace] = [Delivery::Notify, Delivery::Trace].map(|delivery| {
            caisson_filter::compile(&Options {
                level: Level::Standard,
                secret: SECRET,
                delivery,
                scope,
            })
        });
        let differing: Vec<_> = notify
            .instructions
            .iter()
            .zip(&trace.instructions)
            .filter(|(a, b)| a != b)
            .map(|(a, b)| (a.k, b.k))
            .collect();
        assert_eq!(notify.instructions.len(), trace.instructions.len());
        assert!(!differing.is_empty());
        assert!(
            differing
                .iter()
                .all(|pair| *pair == (0x7fc0_0000, 0x7ff0_0000))
        );
    }
}

#[test]
fn a_log_of_everything_changes_no_decision_but_native_ones() {
    let all = caisson_filter::compile(&Options {
        level: Level::Standard,
        secret: SECRET,
        delivery: Delivery::Notify,
        scope: Scope::All,
    });
    for number in 0..1024 {
        for arguments in [[0; 6], [u64::MAX; 6], [1; 6]] {
            let call = Call::new(number, arguments);
            let expected = deliver(Level::Standard, SECRET, &call);
            let got = run(&all, &call).action;
            assert!(
                got == expected || (expected, got) == (Action::Native, Action::Emulate),
                "{number}"
            );
        }
    }
    let loader = Call::new(nr::execveat, [3, 0, 0, 0, 0x1000, SECRET]);
    assert_eq!(run(&all, &loader).action, Action::Native);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_call_under_any_secret(
        strict in any::<bool>(),
        secret in any::<u64>(),
        number in prop_oneof![0..512_u32, any::<u32>()],
        architecture in prop_oneof![9 => Just(AUDIT_ARCH_X86_64), 1 => any::<u32>()],
        instruction_pointer in any::<u64>(),
        arguments in any::<[u64; 6]>(),
    ) {
        let level = LEVELS[usize::from(strict)];
        let call = Call { number, architecture, instruction_pointer, arguments };
        agree(&compile(level, secret), level, secret, &call);
    }

    /// Random mixtures of the values that a rule speaks of, with random upper halves.
    #[test]
    fn ruled_calls_near_their_boundaries(
        index in any::<prop::sample::Index>(),
        picks in any::<[prop::sample::Index; 6]>(),
        upper in any::<[Option<u32>; 6]>(),
    ) {
        let ruled: Vec<_> =
            TABLE.iter().filter(|row| matches!(row.standard, Disposition::NativeWhen(..))).collect();
        let row = ruled[index.index(ruled.len())];
        let interesting = interesting(&row.standard);
        let arguments = std::array::from_fn(|argument| {
            let value = *picks[argument].get(&interesting[argument]);
            upper[argument].map_or(value, |upper| value & 0xffff_ffff | u64::from(upper) << 32)
        });
        let program = compile(Level::Standard, SECRET);
        agree(&program, Level::Standard, SECRET, &Call::new(row.number, arguments));
    }
}
