//! What the tests run containers with.

use std::path::{Path, PathBuf};

use crate::containerd::Containerd;

/// A runtime handler of containerd, and the OCI runtime below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// Our shim with our runtime.
    Caisson,
    /// Our shim with runc: tells faults of the shim from those of the runtime.
    ShimWithRunc,
    /// containerd's own shim with runc: the reference.
    Runc,
}

impl Handler {
    fn named(name: &str) -> Handler {
        match name {
            "caisson" => Handler::Caisson,
            "shim-runc" => Handler::ShimWithRunc,
            "runc" => Handler::Runc,
            _ => panic!("CAISSON_TEST_HANDLERS: {name:?} must be caisson, shim-runc or runc"),
        }
    }

    /// What `ctr --runtime` is given.
    #[must_use]
    pub fn runtime(self) -> &'static str {
        match self {
            Handler::Caisson | Handler::ShimWithRunc => "io.containerd.caisson.v2",
            Handler::Runc => "io.containerd.runc.v2",
        }
    }

    /// Whether our own shim is under test.
    #[must_use]
    pub fn is_our_shim(self) -> bool {
        self != Handler::Runc
    }

    /// The runtime that the shim must use instead of the one beside it: runc, or `CAISSON_BIN`.
    pub(crate) fn runtime_override(self) -> Option<PathBuf> {
        match self {
            Handler::Caisson => std::env::var_os("CAISSON_BIN").map(PathBuf::from),
            Handler::ShimWithRunc => Some("/usr/sbin/runc".into()),
            Handler::Runc => None,
        }
    }
}

/// Run `test` with a containerd of its own for each handler of `CAISSON_TEST_HANDLERS`, by default our
/// shim with runc and with caisson; `runc` runs the same tests on containerd's own shim.
pub fn each_handler(test: impl Fn(&Containerd)) {
    let names =
        std::env::var("CAISSON_TEST_HANDLERS").unwrap_or_else(|_| "shim-runc,caisson".to_owned());
    for handler in names.split(',').map(Handler::named) {
        eprintln!("--- handler {handler:?}");
        let containerd = Containerd::start(handler);
        test(&containerd);
        containerd.stop_clean();
    }
}

/// The folder of the binaries under test: where this test itself was built.
pub(crate) fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("path of the running test");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST")
        .to_owned();
    for (binary, package) in [
        ("containerd-shim-caisson-v2", "caisson-shim"),
        ("caisson", "caisson-runtime"),
    ] {
        let path = profile.join(binary);
        assert!(
            path.is_file(),
            "{} is not there: build it with `cargo build -p {package}`",
            path.display()
        );
    }
    profile
}
