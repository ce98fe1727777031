//! The containerd versions that the shim is tested under.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A containerd, with its `ctr` and its own shims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The machine's own; 1.6 on Debian 12.
    Installed,
    /// 1.7, of Debian 13.
    Trixie,
    /// Debian's development suite: 2.1 or later.
    Sid,
}

impl Release {
    pub const ALL: [Release; 3] = [Release::Installed, Release::Trixie, Release::Sid];

    fn named(name: &str) -> Release {
        match name {
            "installed" => Release::Installed,
            "trixie" => Release::Trixie,
            "sid" => Release::Sid,
            _ => panic!("CAISSON_TEST_CONTAINERD: {name:?} must be installed, trixie or sid"),
        }
    }

    /// Those of `CAISSON_TEST_CONTAINERD`, by default all.
    #[must_use]
    pub fn selected() -> Vec<Release> {
        match std::env::var("CAISSON_TEST_CONTAINERD") {
            Ok(names) => names.split(',').map(Release::named).collect(),
            Err(_) => Release::ALL.to_vec(),
        }
    }

    /// Where its programs are, if not in `PATH`.
    fn folder(self) -> Option<PathBuf> {
        let suite = match self {
            Release::Installed => return None,
            Release::Trixie => "trixie",
            Release::Sid => "sid",
        };
        let tree = caisson_images::unpacked("containerd", suite)
            .unwrap_or_else(|error| panic!("containerd of {suite}: {error}"));
        Some(tree.join("usr/bin"))
    }

    /// `PATH` with `first` and then its programs in front.
    pub(crate) fn search_path(self, first: Option<PathBuf>) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = first
            .into_iter()
            .chain(self.folder())
            .chain(std::env::split_paths(&path))
            .chain(["/usr/sbin".into(), "/sbin".into()]);
        std::env::join_paths(folders).expect("a PATH without colons in its folders")
    }

    /// One of its programs.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        self.folder()
            .map_or_else(|| name.into(), |folder| folder.join(name))
    }

    /// What containerd makes of a configuration.
    ///
    /// # Panics
    /// If it takes it not.
    #[must_use]
    pub fn config_dump(self, config: &Path) -> String {
        let output = Command::new(self.program("containerd"))
            .arg("--config")
            .arg(config)
            .args(["config", "dump"])
            .output()
            .expect("containerd config dump");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The first number of its version.
    ///
    /// # Panics
    /// If containerd cannot be run or tells no version.
    #[must_use]
    pub fn major(self) -> u32 {
        let output = Command::new(self.program("containerd"))
            .arg("--version")
            .output()
            .expect("containerd: apt-get install containerd");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().nth(2).unwrap_or_default();
        let major = version.trim_start_matches('v').split('.').next();
        major
            .and_then(|major| major.parse().ok())
            .unwrap_or_else(|| panic!("containerd --version: {text:?}"))
    }
}
