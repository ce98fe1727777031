//! Who runs a bundle.

use std::path::PathBuf;

use caisson_test_bundle::Tier;

/// A runtime with runc's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    pub name: &'static str,
    pub program: PathBuf,
    /// Global options.
    pub options: &'static [&'static str],
}

impl Runtime {
    /// `CAISSON_BIN`, or the binary beside this test's in the target directory.
    ///
    /// # Panics
    /// If it has not been built.
    #[must_use]
    pub fn caisson() -> Runtime {
        let program = std::env::var_os("CAISSON_BIN").map_or_else(debug_binary, PathBuf::from);
        Runtime::at("caisson", program)
    }

    /// The debug build, which has the points where tests let it die.
    ///
    /// # Panics
    /// If it has not been built.
    #[must_use]
    pub fn caisson_debug() -> Runtime {
        Runtime::at("caisson", debug_binary())
    }

    fn at(name: &'static str, program: PathBuf) -> Runtime {
        assert!(
            program.is_file(),
            "{} is not there: build it with `cargo build -p caisson-runtime`, or set CAISSON_BIN",
            program.display()
        );
        Runtime {
            name,
            program,
            options: Tier::current().options(),
        }
    }

    /// A runtime of the host's `PATH`, if it is installed.
    #[must_use]
    pub fn installed(name: &'static str) -> Option<Runtime> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|directory| directory.join(name))
            .find(|program| program.is_file())
            .map(|program| Runtime {
                name,
                program,
                options: &[],
            })
    }
}

fn debug_binary() -> PathBuf {
    let test = std::env::current_exe().expect("path of the running test");
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("target/<profile>/deps/<test>");
    profile.join("caisson")
}
