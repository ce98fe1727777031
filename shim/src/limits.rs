//! The limit of open files: a pod with many containers and execs needs more than the usual 1024, but
//! what the shim starts must get what the shim was given.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Allow this process as many open files as it may allow itself.
pub(crate) fn raise_open_files() {
    let given = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: given.maximum,
        maximum: given.maximum,
    };
    if setrlimit(Resource::Nofile, most).is_ok() {
        let _only_once = GIVEN.set(given);
    }
}

/// The limit that children are to have, where it is not this process's own.
pub(crate) fn given_open_files() -> Option<Rlimit> {
    GIVEN.get().copied()
}

/// Back to the limit that was given; one system call, for a child before its exec.
pub(crate) fn restore_open_files(given: Option<&Rlimit>) -> std::io::Result<()> {
    match given {
        Some(given) => Ok(setrlimit(Resource::Nofile, *given)?),
        None => Ok(()),
    }
}
