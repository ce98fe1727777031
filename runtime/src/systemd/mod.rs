//! Cgroups that systemd manages: `--systemd-cgroup`.
//!
//! A container is a scope, a unit made of processes that systemd did not start, at `slice:prefix:name` of
//! `linux.cgroupsPath`. It is delegated: what is below its cgroup is ours, and limits are told to systemd as well as
//! written, because systemd writes its own view again whenever it reloads.
//!
//! A scope needs a process from its start on, and the sandbox does not exist yet then: a [`Placeholder`] is it.

mod bus;
mod message;
mod placeholder;
mod property;

use serde::{Deserialize, Serialize};

use crate::cgroup::Version;
use crate::spec::SpecError;
use crate::spec::types::{Resources, Spec};
use bus::Manager;
use message::Value;
pub use placeholder::{PROCESS_NAME, Placeholder, main as placeholder_main};

#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    #[error("systemd: {step}: {source}")]
    Io {
        step: &'static str,
        source: std::io::Error,
    },
    #[error("systemd: {call}: {reason} ({error})")]
    Refused {
        call: String,
        error: String,
        reason: String,
    },
    #[error("systemd: {verb} {unit}: {result}")]
    Job {
        verb: &'static str,
        unit: String,
        result: String,
    },
}

impl SystemdError {
    /// Whether systemd gave no answer, as opposed to a wrong one.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, SystemdError::Io { .. })
    }

    fn io(step: &'static str) -> impl FnOnce(std::io::Error) -> SystemdError {
        move |source| SystemdError::Io { step, source }
    }
}

/// A container's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    pub unit: String,
    pub slice: String,
}

const FIELD: &str = "linux.cgroupsPath";

impl Scope {
    /// From `slice:prefix:name`; without it `system.slice` and the container's id.
    pub fn parse(cgroups_path: &str, id: &str) -> Result<Scope, SpecError> {
        let whole = if cgroups_path.is_empty() {
            format!("system.slice:caisson:{id}")
        } else {
            cgroups_path.to_owned()
        };
        let refused = |reason: &str| Err(SpecError::invalid(FIELD, &whole, reason));
        let [slice, prefix, name] = whole.split(':').collect::<Vec<_>>()[..] else {
            return refused("expected to be of format \"slice:prefix:name\" for systemd cgroups");
        };
        let slice = if slice.is_empty() {
            "system.slice"
        } else {
            slice
        };
        let legal = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
        };
        if name.is_empty() || !legal(name) || !legal(prefix) {
            return refused("prefix and name must be made of what names of units are");
        }
        if name.ends_with(".slice") {
            return refused("a container is a scope, not a slice");
        }
        if slice_path(slice).is_none() {
            return refused("no name of a slice");
        }
        let unit = if prefix.is_empty() {
            format!("{name}.scope")
        } else {
            format!("{prefix}-{name}.scope")
        };
        Ok(Scope {
            unit,
            slice: slice.to_owned(),
        })
    }

    /// The scope's cgroup below the root of every hierarchy.
    pub fn path(&self) -> String {
        format!(
            "{}{}",
            slice_path(&self.slice).unwrap_or_default(),
            self.unit
        )
    }

    /// Make systemd start the scope around a process that waits.
    pub fn start(
        &self,
        version: Version,
        id: &str,
        spec: &Spec,
    ) -> Result<Placeholder, SystemdError> {
        let placeholder =
            Placeholder::spawn().map_err(SystemdError::io("execute a placeholder"))?;
        let text = |text: &str| Value::Text(text.to_owned());
        let mut properties = vec![
            (
                "Description".to_owned(),
                text(&format!("caisson container {id}")),
            ),
            ("Slice".to_owned(), text(&self.slice)),
            ("Delegate".to_owned(), Value::Bool(true)),
            ("DefaultDependencies".to_owned(), Value::Bool(false)),
            ("PIDs".to_owned(), Value::Numbers(vec![placeholder.pid()])),
        ];
        let counted = match version {
            Version::V1 => "BlockIOAccounting",
            Version::V2 => "IOAccounting",
        };
        for name in [
            "MemoryAccounting",
            "CPUAccounting",
            "TasksAccounting",
            counted,
        ] {
            properties.push((name.to_owned(), Value::Bool(true)));
        }
        properties.extend(property::limits(version, &spec.linux.resources));
        let asked = property::of_annotations(&spec.annotations);
        properties.extend(asked.into_iter().flatten());
        Manager::connect()?.start_transient(&self.unit, &properties)?;
        Ok(placeholder)
    }

    /// Tell systemd of changed limits.
    pub fn update(&self, version: Version, resources: &Resources) -> Result<(), SystemdError> {
        Manager::connect()?.set(&self.unit, &property::limits(version, resources))
    }

    /// Stop the scope; one that is gone is fine.
    pub fn stop(&self) -> Result<(), SystemdError> {
        Manager::connect()?.stop(&self.unit)
    }
}

/// Refuse annotations `org.systemd.property.*` that cannot be passed on.
pub fn check(spec: &Spec) -> Result<(), SpecError> {
    property::of_annotations(&spec.annotations).map(drop)
}

/// Whether systemd is this host's init, sd_booted(3).
pub fn is_running() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir()
}

/// `a-b.slice` is below `a.slice`, systemd.slice(5); the root is `-.slice`. Ends with a slash.
fn slice_path(slice: &str) -> Option<String> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(String::new());
    }
    let parts: Vec<&str> = name.split('-').collect();
    if name.contains('/') || parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let levels = (1..=parts.len()).map(|count| format!("{}.slice/", parts[..count].join("-")));
    Some(levels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_folders_by_their_dashes() {
        assert_eq!(slice_path("-.slice").as_deref(), Some(""));
        assert_eq!(slice_path("system.slice").as_deref(), Some("system.slice/"));
        assert_eq!(
            slice_path("a-b-c.slice").as_deref(),
            Some("a.slice/a-b.slice/a-b-c.slice/")
        );
        for wrong in ["a", "a--b.slice", "-a.slice", "a/b.slice", ".slice"] {
            assert_eq!(slice_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn scopes_are_named_as_engines_do() {
        let scope = Scope::parse("machine.slice:libpod:abc", "id").expect("podman's");
        assert_eq!(scope.path(), "machine.slice/libpod-abc.scope");
        let scope = Scope::parse("kubepods-besteffort-podx.slice:cri-containerd:c1", "id")
            .expect("kubelet's");
        assert_eq!(
            scope.path(),
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podx.slice/cri-containerd-c1.scope"
        );
        assert_eq!(
            Scope::parse("", "c2").expect("default").path(),
            "system.slice/caisson-c2.scope"
        );
        assert_eq!(
            Scope::parse("::c3", "id").expect("short").path(),
            "system.slice/c3.scope"
        );
        for wrong in [
            "/a/b",
            "a:b",
            "x:y:z",
            "system.slice:p:a/b",
            "system.slice:p:",
            "system.slice:p:x.slice",
        ] {
            let error = Scope::parse(wrong, "id").expect_err(wrong).to_string();
            assert!(error.contains("linux.cgroupsPath"), "{error}");
        }
    }
}
