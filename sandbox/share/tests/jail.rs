//! What fails inside of the server's jail, tried from inside: each attempt in a process of its own, which must be root
//! to enter it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::{Command, ExitCode};

use caisson_share::jail;
use rustix::mount::{MountFlags, mount};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A user that no other process has.
const USER: u32 = 64_322;

/// Set for a process that is to try something.
const ATTEMPT: &str = "CAISSON_JAIL_ATTEMPT";

/// Set where the walls behind the seccomp profile are to stand alone.
const BARE: &str = "CAISSON_JAIL_BARE";

struct Host {
    namespace: File,
    parent: Pid,
}

/// What is tried.
type Attempt = fn(&Host) -> io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("execve", |_| Command::new("/bin/true").status().map(drop)),
    ("open", |_| File::open("/etc/passwd").map(drop)),
    // The working directory is /proc/self/fd, and nothing above that.
    ("open_proc", |_| File::open("../../1/status").map(drop)),
    ("open_own", |_| File::open("../environ").map(drop)),
    ("mount", |_| {
        Ok(mount("tmpfs", "/", "tmpfs", MountFlags::empty(), None)?)
    }),
    ("setns", |host| {
        use std::os::fd::AsFd;
        let kind = Some(LinkNameSpaceType::Mount);
        Ok(move_into_link_name_space(host.namespace.as_fd(), kind)?)
    }),
    ("chroot", |_| Ok(rustix::process::chroot("/")?)),
    ("kill", |host| {
        let signal = rustix::process::Signal::TERM;
        Ok(rustix::process::kill_process(host.parent, signal)?)
    }),
    ("setuid", |_| {
        let root = rustix::process::Uid::ROOT;
        Ok(rustix::thread::set_thread_res_uid(root, root, root)?)
    }),
    ("socket", |_| {
        std::net::UdpSocket::bind("127.0.0.1:0").map(drop)
    }),
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
    for bare in [false, true] {
        for (name, _) in ATTEMPTS {
            // Its capabilities let it be any user, in an empty network and tree; only the profile refuses.
            if bare && ["setuid", "socket"].contains(name) {
                continue;
            }
            let mut command = Command::new("/proc/self/exe");
            command.env(ATTEMPT, name);
            if bare {
                command.env(BARE, "1");
            }
            let status = command.status();
            let good = status.as_ref().is_ok_and(std::process::ExitStatus::success);
            let word = if good { "ok" } else { "FAILED" };
            println!("test {name} (bare: {bare}) ... {word}");
            if good {
                passed += 1;
            } else {
                failed += 1;
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
        parent: rustix::process::getppid().expect("a parent"),
    };
    let (_, attempt) = ATTEMPTS
        .iter()
        .find(|(known, _)| name == known)
        .expect("a known attempt");
    if let Err(error) = jail::enter(USER) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    // What it is there for still works: a file by the number of its descriptor.
    use std::os::fd::AsRawFd;
    let again = File::open(host.namespace.as_raw_fd().to_string());
    assert!(again.is_ok(), "{again:?}");
    if std::env::var_os(BARE).is_none() {
        jail::confine().expect("a seccomp profile");
    }
    match attempt(&host) {
        Err(_) => ExitCode::SUCCESS,
        Ok(()) => {
            eprintln!("{name:?} works");
            ExitCode::FAILURE
        }
    }
}
