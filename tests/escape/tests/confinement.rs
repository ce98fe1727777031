//! What a guest process is on the host.

use std::thread;
use std::time::{Duration, Instant};

use caisson_escape_tests::{Sandbox, Status, Tracee};
use caisson_test_bundle::{Bundle, Runtime, User, caisson};

const NAMESPACES: &[&str] = &["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"];
const CAPABILITY_SETS: &[&str] = &["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

fn with_sandbox(user: User, look: impl FnOnce(&Sandbox<'_>)) {
    with_sandbox_of(&caisson(), user, look);
}

fn with_sandbox_of(runtime: &Runtime, user: User, look: impl FnOnce(&Sandbox<'_>)) {
    let image = caisson_images::busybox().expect("the busybox image");
    let bundle = Bundle::new("confinement", &image);
    let sandbox = Sandbox::start(runtime, &bundle, user);
    look(&sandbox);
}

/// The sandbox with its other transport.
fn traced() -> Runtime {
    let mut runtime = caisson();
    runtime.options.push("--transport=ptrace".to_owned());
    runtime
}

fn confined(pid: i32) {
    let own = Status::of(i32::try_from(std::process::id()).expect("a pid"));
    let guest = Status::of(pid);
    for kind in NAMESPACES {
        assert!(guest.namespace(kind).is_some(), "{kind} namespace of {pid}");
        assert_ne!(
            guest.namespace(kind),
            own.namespace(kind),
            "{kind} namespace of guest {pid}"
        );
    }
    for set in CAPABILITY_SETS {
        assert_eq!(guest.field(set), "0000000000000000", "{set} of guest {pid}");
    }
    assert_eq!(guest.field("NoNewPrivs"), "1", "guest {pid}");
    assert_eq!(guest.field("Seccomp"), "2", "guest {pid}");
    for ids in ["Uid", "Gid"] {
        let all: Vec<u32> = guest
            .field(ids)
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect();
        assert_eq!(all.len(), 4);
        assert!(
            all.iter().all(|id| *id >= 65536 && *id == all[0]),
            "{ids} of guest {pid}: {all:?}"
        );
    }
    assert_eq!(guest.field("Groups").trim(), "", "guest {pid}");
    assert_eq!(
        guest.root_entries(),
        Vec::<String>::new(),
        "root directory of guest {pid}"
    );
}

#[test]
fn a_guest_of_root_has_no_rights_on_the_host() {
    with_sandbox(User::Root, |sandbox| {
        sandbox.guests().into_iter().for_each(confined)
    });
}

#[test]
fn a_guest_of_an_ordinary_user_has_no_rights_on_the_host() {
    with_sandbox(User::Dev, |sandbox| {
        sandbox.guests().into_iter().for_each(confined)
    });
}

/// With its filter out of the way a guest still opens nothing: not even its own empty root, which
/// permissions would allow, because Landlock grants nothing.
#[test]
fn behind_the_filter_landlock_opens_nothing() {
    with_sandbox(User::Root, |sandbox| {
        let guest = *sandbox.guests().last().expect("a guest process");
        let tracee = Tracee::stop(guest, true).expect("stop a guest process");
        let at_cwd = libc::AT_FDCWD.cast_unsigned().into();
        let directory = libc::O_DIRECTORY.cast_unsigned().into();
        let opened = tracee
            .call(libc::SYS_openat, [at_cwd, 0, directory, 0, 0, 0], "/", 1)
            .expect("openat in the guest");
        assert_eq!(opened, -i64::from(libc::EACCES), "openat(\"/\")");
        let made = tracee
            .call(libc::SYS_mkdirat, [at_cwd, 0, 0o777, 0, 0, 0], "/made", 1)
            .expect("mkdirat in the guest");
        assert!(
            [libc::EACCES, libc::EROFS]
                .map(|errno| -i64::from(errno))
                .contains(&made),
            "mkdirat: {made}"
        );
    });
}

/// Behind the filter the walls of the namespaces stand too.
#[test]
fn behind_the_filter_a_guest_gains_nothing_by_namespaces_or_ptrace() {
    with_sandbox(User::Root, |sandbox| {
        let guest = *sandbox.guests().last().expect("a guest process");
        let tracee = Tracee::stop(guest, true).expect("stop a guest process");
        let call = |number, first: u64| {
            tracee
                .call(number, [first, 0, 0, 0, 0, 0], "", 5)
                .expect("a call in the guest")
        };
        assert_eq!(call(libc::SYS_setuid, 0), -i64::from(libc::EPERM));
        assert_eq!(
            call(
                libc::SYS_unshare,
                u64::try_from(libc::CLONE_NEWNET).expect("a flag")
            ),
            -i64::from(libc::EPERM)
        );
        let kernel = u64::try_from(sandbox.kernel).expect("a pid");
        assert_eq!(
            call(libc::SYS_kill, kernel),
            -i64::from(libc::ESRCH),
            "the app kernel has no pid in the guest"
        );
    });
}

/// The first process of the guest dies with the app kernel whatever the guest does.
#[test]
fn the_guests_init_carries_a_parent_death_signal() {
    with_sandbox(User::Root, |sandbox| {
        let tracee = Tracee::stop(sandbox.init, true).expect("stop the guest's init");
        // prctl(PR_GET_PDEATHSIG, address): the answer lands where the text is.
        let get = u64::try_from(libc::PR_GET_PDEATHSIG).expect("an option");
        let result = tracee
            .call(libc::SYS_prctl, [get, 0, 0, 0, 0, 0], "", 1)
            .expect("prctl in the guest");
        assert_eq!(result, 0);
        assert_eq!(
            tracee.word_on_stack().expect("the answer") & 0xffff_ffff,
            i64::from(libc::SIGKILL)
        );
    });
}

#[test]
fn when_the_app_kernel_is_killed_every_guest_process_is_gone() {
    with_sandbox(User::Root, all_die_with_it);
}

#[test]
fn when_a_tracing_app_kernel_is_killed_every_guest_process_is_gone() {
    with_sandbox_of(&traced(), User::Root, all_die_with_it);
}

#[test]
fn a_traced_guest_has_no_rights_on_the_host_either() {
    for user in [User::Root, User::Dev] {
        with_sandbox_of(&traced(), user, |sandbox| {
            for pid in sandbox.guests() {
                confined(pid);
                assert_ne!(Status::of(pid).field("TracerPid"), "0", "guest {pid}");
            }
        });
    }
}

fn all_die_with_it(sandbox: &Sandbox<'_>) {
    let guests = sandbox.guests();
    assert!(guests.len() >= 3);
    let kernel = rustix::process::Pid::from_raw(sandbox.kernel).expect("a pid");
    rustix::process::kill_process(kernel, rustix::process::Signal::KILL)
        .expect("kill the app kernel");
    let start = Instant::now();
    // A zombie holds nothing any more.
    let alive = |pid: &&i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    while guests.iter().any(|pid| alive(&pid)) {
        let left: Vec<&i32> = guests.iter().filter(alive).collect();
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "still there after two seconds: {left:?}"
        );
        thread::sleep(Duration::from_millis(5));
    }
    println!(
        "{} guest processes gone within {:?} of the app kernel's death",
        guests.len(),
        start.elapsed()
    );
}

/// An app kernel that is killed while it waits for a file that it serves itself must not wait for ever.
#[test]
fn an_app_kernel_killed_while_guests_read_proc_is_gone_too() {
    let runtime = caisson();
    let image = caisson_images::busybox().expect("the busybox image");
    let script = "for i in 1 2 3 4; do while :; do ls -lR /proc/self /proc/1 > /dev/null 2>&1; done & done; sleep 1000";
    for round in 0..8u64 {
        let bundle = Bundle::new("proc", &image);
        let sandbox = Sandbox::start_shell(&runtime, &bundle, User::Root, script);
        thread::sleep(Duration::from_millis(50 + round * 7));
        let kernel = rustix::process::Pid::from_raw(sandbox.kernel).expect("a pid");
        rustix::process::kill_process(kernel, rustix::process::Signal::KILL)
            .expect("kill the app kernel");
        let start = Instant::now();
        while !ended(sandbox.kernel) {
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "round {round}: the app kernel {kernel:?} does not die"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether the process is gone or holds nothing any more.
fn ended(pid: i32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    threads <= 1
        && stat
            .rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// The control of the tests above: the same calls in a process without these walls succeed.
#[test]
fn an_unconfined_process_opens_its_root() {
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .expect("sleep");
    thread::sleep(Duration::from_millis(100));
    // A panic before the child is killed would leave it behind.
    let opened = Tracee::stop(i32::try_from(child.id()).expect("a pid"), true).and_then(|tracee| {
        let filters = tracee.filters();
        assert!(filters.as_ref().is_ok_and(Vec::is_empty), "{filters:?}");
        let directory = libc::O_DIRECTORY.cast_unsigned().into();
        tracee.call(
            libc::SYS_openat,
            [libc::AT_FDCWD.cast_unsigned().into(), 0, directory, 0, 0, 0],
            "/",
            1,
        )
    });
    child.kill().expect("kill sleep");
    child.wait().expect("wait for sleep");
    assert!(opened.expect("openat in sleep") >= 0);
}
