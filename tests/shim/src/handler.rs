//! What the tests run containers with.

use std::path::{Path, PathBuf};

use crate::Tier;
use crate::containerd::Containerd;
use crate::release::Release;

/// A runtime handler of containerd, and the OCI runtime below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// Our shim with our runtime, in the tier under test.
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
            Handler::Caisson => Tier::current().handler(),
            Handler::ShimWithRunc => Tier::Kernel.handler(),
            Handler::Runc => "io.containerd.runc.v2",
        }
    }

    /// Whether our own shim is under test.
    #[must_use]
    pub fn is_our_shim(self) -> bool {
        self != Handler::Runc
    }

    /// The OCI runtime below the shim.
    ///
    /// # Panics
    /// If it is not built.
    #[must_use]
    pub fn runtime_binary(self) -> PathBuf {
        match self {
            Handler::Caisson => binaries().join("caisson"),
            Handler::ShimWithRunc | Handler::Runc => "/usr/sbin/runc".into(),
        }
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

/// Run `test` with a containerd of its own for each version of `CAISSON_TEST_CONTAINERD` and each
/// handler of `CAISSON_TEST_HANDLERS`: by default our shim with caisson under all versions, and with
/// runc under the machine's own (the latter not where virtual machines are tested); `runc` runs the same tests on containerd's own shim.
pub fn each_handler(test: impl Fn(&Containerd)) {
    let asked = std::env::var("CAISSON_TEST_HANDLERS").ok();
    for release in Release::selected() {
        let names = match (&asked, release) {
            (Some(names), _) => names,
            (None, Release::Installed) if Tier::current() == Tier::Kernel => "shim-runc,caisson",
            (None, _) => "caisson",
        };
        for handler in names.split(',').map(Handler::named) {
            eprintln!("--- containerd {release:?}, handler {handler:?}");
            let containerd = Containerd::start(release, handler);
            test(&containerd);
            containerd.stop_clean();
        }
    }
}

/// Run `test` with our own shim and runtime under one containerd, which is enough where only the shim matters.
pub fn once(test: impl FnOnce(&Containerd)) {
    let containerd = Containerd::start(Release::selected()[0], Handler::Caisson);
    test(&containerd);
    containerd.stop_clean();
}

/// The folder of the binaries under test: that of `CAISSON_BIN` if it has a shim too, else where this test itself was
/// built.
///
/// # Panics
/// If they are not built.
#[must_use]
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("path of the running test");
    let built = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let named = std::env::var_os("CAISSON_BIN").map(PathBuf::from);
    let named = named.as_deref().and_then(Path::parent);
    let named = named.filter(|folder| folder.join("containerd-shim-caisson-v2").is_file());
    let profile = named.unwrap_or(built).to_owned();
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
    // Another program of the same file: its name chooses the tier.
    let vm = profile.join("containerd-shim-caisson-vm-v2");
    if let Err(error) = std::os::unix::fs::symlink("containerd-shim-caisson-v2", &vm) {
        assert!(vm.is_file(), "{}: {error}", vm.display());
    }
    profile
}
