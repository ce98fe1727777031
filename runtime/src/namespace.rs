//! `linux.namespaces`: what the sandbox shares with others.
//!
//! The app kernel itself lives in the container's ipc and uts namespace and in the pod's network namespace, so
//! that `/proc/<reported pid>/ns/{net,ipc,uts}` name what engines expect. Its pid namespace is the host's; where an
//! engine names it for a second container of a pod, the guest's is meant and looked up in the state.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::spec::SpecError;
use crate::spec::types::Spec;
use crate::state::Store;

/// Where one namespace comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    New,
    /// The caller's own.
    Host,
    Join(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    pub network: Origin,
    pub ipc: Origin,
    pub uts: Origin,
    pub pid: Origin,
    /// Of the app kernel: its guests are always in one more of their own.
    pub user: Origin,
}

/// Decide for a checked spec; files named by path must exist.
pub fn plan(spec: &Spec, store: &Store) -> Result<Namespaces, SpecError> {
    let origin = |kind: &str, file: &str| -> Result<Origin, SpecError> {
        let entry = spec
            .linux
            .namespaces
            .iter()
            .enumerate()
            .find(|(_, namespace)| namespace.kind == kind);
        let Some((index, namespace)) = entry else {
            return Ok(Origin::Host);
        };
        if namespace.path.is_empty() {
            return Ok(Origin::New);
        }
        let path = match guest_view(Path::new(&namespace.path), store) {
            View::Path(path) => path,
            View::InMachine(path) => return Ok(Origin::Join(path)),
        };
        let field = format!("linux.namespaces[{index}].path");
        let joined = identity(&path)
            .map_err(|error| SpecError::invalid(&field, &namespace.path, error.to_string()))?;
        let own = identity(Path::new(&format!("/proc/self/ns/{file}")));
        if own.is_ok_and(|own| own == joined) {
            // Containers of pods that share the host's network are given the host's name this way, and an engine
            // that is in a user namespace itself may name that.
            if kind == "network" || kind == "uts" || kind == "user" {
                return Ok(Origin::Host);
            }
            let reason = "this is the host's namespace, which the sandbox does not share";
            return Err(SpecError::unsupported(field, &namespace.path, reason));
        }
        Ok(Origin::Join(path))
    };
    Ok(Namespaces {
        network: origin("network", "net")?,
        ipc: origin("ipc", "ipc")?,
        uts: origin("uts", "uts")?,
        pid: origin("pid", "pid")?,
        user: origin("user", "user")?,
    })
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let stat = rustix::fs::stat(path)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// What a path in config.json stands for.
enum View {
    Path(PathBuf),
    /// The pid namespace of a guest whose processes the host does not have.
    InMachine(PathBuf),
}

/// `/proc/<pid of a sandbox>/ns/pid` stands for the guest's pid namespace.
fn guest_view(path: &Path, store: &Store) -> View {
    let parts: Vec<&str> = path.to_str().unwrap_or("").split('/').collect();
    let ["", "proc", pid, "ns", "pid"] = parts[..] else {
        return View::Path(path.to_owned());
    };
    let Ok(pid) = pid.parse::<i32>() else {
        return View::Path(path.to_owned());
    };
    let states = store.list().unwrap_or_default();
    let init = states
        .iter()
        .find(|state| state.pid() == pid && pid != 0)
        .and_then(|state| state.init);
    match init {
        None => View::Path(path.to_owned()),
        Some(init) if init.pid == pid => View::InMachine(path.to_owned()),
        Some(init) => View::Path(format!("/proc/{}/ns/pid", init.pid).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::default;

    fn with_path(kind: &str, path: &str) -> Result<Namespaces, SpecError> {
        let mut spec = default::spec();
        for namespace in spec
            .linux
            .namespaces
            .iter_mut()
            .filter(|namespace| namespace.kind == kind)
        {
            namespace.path = path.into();
        }
        plan(&spec, &Store::new("/nonexistent".into()))
    }

    #[test]
    fn the_hosts_pid_and_ipc_namespaces_are_never_joined() {
        for kind in ["pid", "ipc"] {
            let message = with_path(kind, &format!("/proc/self/ns/{kind}"))
                .expect_err(kind)
                .to_string();
            assert!(
                message.contains("].path") && message.contains("host's"),
                "{message}"
            );
        }
        assert_eq!(
            with_path("network", "/proc/self/ns/net")
                .expect("host network")
                .network,
            Origin::Host
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = with_path("network", "/nonexistent/ns")
            .expect_err("missing")
            .to_string();
        assert!(
            message.contains("/nonexistent/ns") && message.contains("No such file"),
            "{message}"
        );
    }
}
