//! What the bundle folder tells: the container's config.json, and whether it was deleted.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::error::ShimError;

/// Says that the container was deleted properly, so that nothing is left to clean up.
const DELETED: &str = "shim-deleted";
/// Containers with the same value of one of these share a shim.
const GROUP_LABELS: [&str; 2] = [
    "io.containerd.runc.v2.group",
    "io.kubernetes.cri.sandbox-id",
];

/// containerd runs the `delete` command after every shim, also one that ended well: spare it the
/// runtime then.
pub(crate) fn mark_deleted(bundle: &Path) {
    // Without the mark the command only takes longer.
    let _slower = fs::write(bundle.join(DELETED), "");
}

pub(crate) fn is_deleted(bundle: &Path) -> bool {
    bundle.join(DELETED).exists()
}

/// The parts of config.json that concern the shim.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) annotations: HashMap<String, String>,
    pub(crate) linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Linux {
    pub(crate) cgroups_path: String,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) uid_mappings: Vec<IdMapping>,
    pub(crate) gid_mappings: Vec<IdMapping>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IdMapping {
    #[serde(rename = "containerID")]
    inside: u32,
    #[serde(rename = "hostID")]
    outside: u32,
    size: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Namespace {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) path: String,
}

impl Config {
    pub(crate) fn load(bundle: &Path) -> Result<Config, ShimError> {
        let path = bundle.join("config.json");
        let json = fs::read(&path).map_err(ShimError::io("read", path))?;
        serde_json::from_slice(&json).map_err(|source| ShimError::Json {
            what: "config.json",
            source,
        })
    }

    /// What the container shares a shim by, if it does.
    pub(crate) fn group(&self) -> Option<&str> {
        GROUP_LABELS
            .iter()
            .find_map(|label| self.annotations.get(*label))
            .map(String::as_str)
    }

    /// The host's ids of the container's root, where config.json maps that.
    pub(crate) fn mapped_root(&self) -> Option<(u32, u32)> {
        let root = |map: &[IdMapping]| {
            let line = map.iter().find(|line| line.inside == 0 && line.size > 0);
            line.map(|line| line.outside)
        };
        Some((
            root(&self.linux.uid_mappings)?,
            root(&self.linux.gid_mappings)?,
        ))
    }

    /// Whether the end of the container's first process is not the end of the others.
    pub(crate) fn shares_pid_namespace(&self) -> bool {
        !self
            .linux
            .namespaces
            .iter()
            .any(|namespace| namespace.kind == "pid" && namespace.path.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_grouped_by_their_sandbox() {
        let config: Config =
            serde_json::from_str(r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"},"linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}]}}"#)
                .unwrap();
        assert_eq!(config.group(), Some("pod"));
        assert!(config.shares_pid_namespace());
        assert_eq!(config.mapped_root(), None);
    }

    #[test]
    fn the_root_of_a_user_namespace_is_found() {
        let line = r#"[{"containerID":0,"hostID":70000,"size":10}]"#;
        let text = format!(r#"{{"linux":{{"uidMappings":{line},"gidMappings":{line}}}}}"#);
        let config: Config = serde_json::from_str(&text).unwrap();
        assert_eq!(config.mapped_root(), Some((70000, 70000)));
    }
}
