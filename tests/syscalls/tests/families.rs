//! Every family of system calls, as root and as an ordinary user, under the reference runtime and in
//! the sandbox with each of its transports: the transcripts must agree.

use caisson_syscall_tests::{Family, Measure, compare};
use caisson_test_bundle::{User, runtimes_and_transports};

fn agree(name: &'static str, user: User) {
    let family = Family { name, user };
    let runtimes = runtimes_and_transports();
    let (reference, others) = runtimes.split_first().expect("a reference runtime");
    let expected = family.run(reference).stdout;
    for runtime in others {
        let got = family.run(runtime).stdout;
        if name == "ptrace" && runtime.name == "caisson-ptrace" {
            // Every process has its tracer there.
            assert!(
                got.starts_with("ptrace::ptrace.refused EPERM\n"),
                "ptrace(2) under the ptrace transport:\n{got}"
            );
            continue;
        }
        let measure = if runtime.is_sandbox() {
            Measure::Table
        } else {
            Measure::Reference
        };
        let differences = compare(measure, &expected, &got);
        let list: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert!(
            list.is_empty(),
            "{} of {} lines of {name} as {} differ between {} and {}:\n{}",
            list.len(),
            expected.lines().count(),
            user.name(),
            reference.name,
            runtime.name,
            list.join("\n")
        );
    }
}

macro_rules! families {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn as_root() {
                super::agree(stringify!($name), super::User::Root);
            }

            #[test]
            fn as_an_ordinary_user() {
                super::agree(stringify!($name), super::User::Dev);
            }
        }
    )*};
}

families! {
    open stat directory attributes xattr cwd mount cred capability limits process exec signal socket ioctl system
    prctl notify namespace io memory time thread ipc terminal poll hostile unix netlink sysv inet
    interrupt timers futex tty procfs
    splice files permission locks memfd authority children image foreign ptrace mounting aio interface walk spaces
}
