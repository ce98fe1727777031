//! What fails inside of the monitor's jail, tried from inside: each attempt in a process of its own, which must be root
//! to enter it. Needs no KVM.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use caisson_sys::landlock;
use caisson_vmm::{Jail, VmmError, jail};
use rustix::mount::{MountFlags, mount};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

const JAIL: Jail = Jail {
    uid: 64_321,
    gid: 64_321,
};

/// Set for a process that is to try something.
const ATTEMPT: &str = "CAISSON_JAIL_ATTEMPT";

/// Which profile the attempt is made under.
const PROFILE: &str = "CAISSON_JAIL_PROFILE";

/// What is tried, given a descriptor of the host's mount namespace and one of the host's tree.
type Attempt = fn(&Host) -> io::Result<()>;

struct Host {
    namespace: File,
    root: File,
    parent: Pid,
}

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("execve", |_| Command::new("/bin/true").status().map(drop)),
    ("open", |_| File::open("/etc/passwd").map(drop)),
    ("open_root", |_| File::open("/").map(drop)),
    ("openat_host", |host| {
        let flags = rustix::fs::OFlags::RDONLY;
        Ok(
            rustix::fs::openat(&host.root, "etc/passwd", flags, rustix::fs::Mode::empty())
                .map(drop)?,
        )
    }),
    ("mount", |_| {
        Ok(mount("tmpfs", "/", "tmpfs", MountFlags::empty(), None)?)
    }),
    ("setns", |host| {
        use std::os::fd::AsFd;
        let kind = Some(LinkNameSpaceType::Mount);
        Ok(move_into_link_name_space(host.namespace.as_fd(), kind)?)
    }),
    ("unshare", unshare),
    ("socket", |_| {
        std::net::UdpSocket::bind("127.0.0.1:0").map(drop)
    }),
    // Of the same session, whatever the user is: only a wall of its own holds SIGCONT back, where there is one.
    ("kill", |host| {
        let signal = rustix::process::Signal::CONT;
        Ok(rustix::process::kill_process(host.parent, signal)?)
    }),
];

fn signals_are_scoped() -> bool {
    let version = landlock::version().expect("a version");
    version.is_some_and(|version| version >= landlock::SCOPES_SIGNALS)
}

#[expect(unsafe_code, reason = "unshare may take a thread's descriptors away")]
fn unshare(_host: &Host) -> io::Result<()> {
    // SAFETY: a new user namespace leaves descriptors alone.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?)
}

/// A seccomp profile of one kind of thread.
type Confine = fn() -> Result<(), VmmError>;

const PROFILES: &[(&str, Confine)] = &[
    ("devices", jail::confine_devices),
    ("vcpu", jail::confine_vcpu),
    // The walls behind the profiles stand alone.
    ("none", || Ok(())),
];

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os(ATTEMPT) {
        return attempt(&name);
    }
    if !rustix::process::geteuid().is_root() {
        println!("test result: ok. 0 passed; 0 failed; not root: nothing ran");
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for (profile, _) in PROFILES {
        for (name, _) in ATTEMPTS {
            let status = Command::new("/proc/self/exe")
                .env(ATTEMPT, name)
                .env(PROFILE, profile)
                .status();
            let good = status.as_ref().is_ok_and(std::process::ExitStatus::success);
            println!(
                "test {profile}_{name} ... {}",
                if good { "ok" } else { "FAILED" }
            );
            if good {
                passed += 1;
            } else {
                failed += 1;
                println!("{status:?}");
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Enters the jail and tries one thing; success when that fails.
fn attempt(name: &OsString) -> ExitCode {
    let host = Host {
        namespace: File::open("/proc/self/ns/mnt").expect("a namespace"),
        root: File::open("/").expect("the host's root"),
        parent: rustix::process::getppid().expect("a parent"),
    };
    let (_, attempt) = ATTEMPTS
        .iter()
        .find(|(known, _)| name == known)
        .expect("a known attempt");
    let profile = std::env::var(PROFILE).expect("a profile");
    let (_, confine) = PROFILES
        .iter()
        .find(|(known, _)| *known == profile)
        .expect("a known profile");
    // Before the jail, where all of these but the last few succeed: or they would prove nothing.
    if name != "mount" && name != "setns" && name != "unshare" {
        attempt(&host).expect("it works outside");
    }
    let killed = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(killed).expect("PR_SET_PDEATHSIG");
    if let Err(error) = jail::enter(&JAIL, Some(Path::new("/var/tmp"))) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    // Whoever started it is still the one whose end ends it.
    let signal = rustix::process::parent_process_death_signal();
    assert_eq!(signal, Ok(killed));
    confine().expect("a seccomp profile");
    match attempt(&host) {
        Err(_) => ExitCode::SUCCESS,
        // Without a profile, sockets can be made, in a network with nothing in it, and users be renamed, and before
        // Linux 6.12 nothing but a profile holds back a signal within the session.
        Ok(()) if profile == "none" && (name == "socket" || name == "unshare") => ExitCode::SUCCESS,
        Ok(()) if profile == "none" && name == "kill" && !signals_are_scoped() => ExitCode::SUCCESS,
        Ok(()) => {
            eprintln!("{name:?} works");
            ExitCode::FAILURE
        }
    }
}
