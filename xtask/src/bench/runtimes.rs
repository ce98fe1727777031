//! The OCI runtimes that are compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// Ours.
pub(super) const CAISSON: &str = "caisson";

/// A runtime with its global options.
pub(crate) struct Runtime {
    pub(super) name: &'static str,
    pub(super) version: String,
    program: PathBuf,
    options: Vec<String>,
}

impl Runtime {
    fn new(
        name: &'static str,
        program: PathBuf,
        state: &Path,
        options: &[&str],
    ) -> Result<Runtime> {
        let version = Command::new(&program).arg("--version").output();
        let version = version.with_context(|| format!("cannot run {}", program.display()))?;
        let version = String::from_utf8_lossy(&version.stdout);
        let version = version.lines().next().unwrap_or_default().trim().to_owned();
        let root = format!("--root={}", state.join(name).display());
        let options = [root]
            .into_iter()
            .chain(options.iter().map(|option| (*option).to_owned()))
            .collect();
        Ok(Runtime {
            name,
            version,
            program,
            options,
        })
    }

    /// `<runtime> <global options> <arguments>`.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.options)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a container to its end and returns what it printed.
    pub(super) fn run(&self, bundle: &Path, id: &str) -> Result<String> {
        let mut command = self.command(&["run", "--bundle"]);
        let output = command
            .arg(bundle)
            .arg(id)
            .output()
            .with_context(|| format!("cannot run {}", self.name))?;
        check(&output, self.name)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// An error with the program's own words unless it succeeded.
pub(super) fn check(output: &Output, what: &str) -> Result<()> {
    ensure!(
        output.status.success(),
        "{what} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Every runtime that this machine can have; runsc comes from backports, without being installed.
pub(super) fn all(binaries: &Path, scratch: &Path) -> Result<Vec<Runtime>> {
    let state = scratch.join("state");
    let mut runtimes = vec![
        Runtime::new("runc", "runc".into(), &state, &[])?,
        Runtime::new("crun", "crun".into(), &state, &[])?,
    ];
    let runsc = runsc(scratch).and_then(|program| {
        Runtime::new(
            "runsc",
            program,
            &state,
            &["--platform=systrap", "--network=none"],
        )
    });
    match runsc {
        Ok(runsc) => runtimes.push(runsc),
        Err(error) => eprintln!("going on without runsc: {error:#}"),
    }
    runtimes.push(Runtime::new(
        CAISSON,
        binaries.join("caisson"),
        &state,
        &[],
    )?);
    Ok(runtimes)
}

/// Fetches runsc from the backports suite of the machine's own mirror and unpacks it into `scratch`.
fn runsc(scratch: &Path) -> Result<PathBuf> {
    let directory = scratch.join("runsc");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(directory.join(part)).context("cannot create apt's directories")?;
    }
    let list = directory.join("backports.list");
    fs::write(&list, caisson_images::backports()?.line() + "\n")
        .context("cannot write apt's source list")?;
    let apt_get = |arguments: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        for (option, value) in [
            ("Dir::Etc::SourceList", list.display().to_string()),
            ("Dir::Etc::SourceParts", "/dev/null".to_owned()),
            ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
            (
                "Dir::State::Lists",
                directory.join("lists").display().to_string(),
            ),
            ("Dir::Cache", directory.join("cache").display().to_string()),
            ("APT::Sandbox::User", "root".to_owned()),
        ] {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        let output = command
            .args(arguments)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .output();
        check(&output.context("cannot run apt-get")?, "apt-get")
    };
    apt_get(&["update"])?;
    apt_get(&["download", "runsc"])?;
    let entries = fs::read_dir(&directory).context("cannot list the download directory")?;
    let package = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some("deb".as_ref()));
    let package = package.context("apt-get downloaded no package")?;
    let tree = directory.join("tree");
    let output = Command::new("dpkg")
        .arg("-x")
        .arg(package)
        .arg(&tree)
        .output()
        .context("cannot run dpkg")?;
    check(&output, "dpkg -x")?;
    Ok(tree.join("usr/bin/runsc"))
}
