//! What the bundle folder tells: the container's config.json, and the options of its creation, which
//! are saved there for the `delete` command of a later process.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{CodedInputStream, Message};
use containerd_shim_protos::shim::oci::Options as RuncOptions;
use serde::{Deserialize, Serialize};

use crate::error::ShimError;

/// Says that the container was deleted properly, so that nothing is left to clean up.
const DELETED: &str = "shim-deleted";
const SAVED: &str = "shim-options.json";
/// Containers with the same value of one of these share a shim.
const GROUP_LABELS: [&str; 2] = [
    "io.containerd.runc.v2.group",
    "io.kubernetes.cri.sandbox-id",
];

/// The part of containerd's runtime options that this shim uses.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    pub(crate) binary_name: String,
    pub(crate) root: String,
    pub(crate) systemd_cgroup: bool,
    pub(crate) no_pivot_root: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) io_uid: u32,
    pub(crate) io_gid: u32,
}

impl Options {
    /// Decode the options of a create request; containerd sends runc's options, or its generic ones
    /// for runtimes that it does not know.
    pub(crate) fn decode(any: Option<&Any>) -> Result<Options, ShimError> {
        let Some(any) = any else {
            return Ok(Options::default());
        };
        match any.type_url.rsplit('/').next().unwrap_or_default() {
            "" if any.value.is_empty() => Ok(Options::default()),
            "containerd.runc.v1.Options" => {
                let runc = RuncOptions::parse_from_bytes(&any.value)?;
                Ok(Options {
                    binary_name: runc.binary_name,
                    root: runc.root,
                    systemd_cgroup: runc.systemd_cgroup,
                    no_pivot_root: runc.no_pivot_root,
                    no_new_keyring: runc.no_new_keyring,
                    io_uid: runc.io_uid,
                    io_gid: runc.io_gid,
                })
            }
            "runtimeoptions.v1.Options" => refuse_config_file(&any.value),
            _ => Err(ShimError::Unsupported {
                field: "options.type_url",
                value: any.type_url.clone(),
            }),
        }
    }

    pub(crate) fn save(&self, bundle: &Path) -> Result<(), ShimError> {
        let path = bundle.join(SAVED);
        let json = serde_json::to_vec(self).map_err(|source| ShimError::Json {
            what: SAVED,
            source,
        })?;
        fs::write(&path, json).map_err(ShimError::io("write", path))
    }

    /// The saved options; the defaults when the shim died before it saved any.
    pub(crate) fn load(bundle: &Path) -> Options {
        let saved = fs::read(bundle.join(SAVED)).ok();
        saved
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }
}

/// containerd runs the `delete` command after every shim, also one that ended well: spare it the
/// runtime then.
pub(crate) fn mark_deleted(bundle: &Path) {
    // Without the mark the command only takes longer.
    let _slower = fs::write(bundle.join(DELETED), "");
}

pub(crate) fn is_deleted(bundle: &Path) -> bool {
    bundle.join(DELETED).exists()
}

/// containerd's generic options: type_url = 1, config_path = 2, config_body = 3. There is no
/// configuration file yet, so one that is named must not be ignored.
fn refuse_config_file(bytes: &[u8]) -> Result<Options, ShimError> {
    let mut input = CodedInputStream::from_bytes(bytes);
    while let Some(tag) = input.read_raw_tag_or_eof().map_err(ShimError::Decode)? {
        let value = input.read_bytes()?;
        if tag >> 3 >= 2 && !value.is_empty() {
            let value = String::from_utf8_lossy(&value).into_owned();
            return Err(ShimError::Unsupported {
                field: "options.config_path",
                value,
            });
        }
    }
    Ok(Options::default())
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

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any {
            type_url: type_url.into(),
            value,
            ..Any::default()
        }
    }

    #[test]
    fn options_of_runc_are_understood_and_survive_a_restart() {
        let mut runc = RuncOptions::new();
        runc.binary_name = "/x/caisson".into();
        runc.systemd_cgroup = true;
        let options = Options::decode(Some(&any(
            "containerd.runc.v1.Options",
            runc.write_to_bytes().unwrap(),
        )))
        .unwrap();
        assert_eq!(options.binary_name, "/x/caisson");
        let bundle = tempfile::tempdir().unwrap();
        options.save(bundle.path()).unwrap();
        assert_eq!(Options::load(bundle.path()), options);
    }

    #[test]
    fn options_that_would_be_ignored_are_refused_by_name() {
        let with_file = any("runtimeoptions.v1.Options", vec![0x12, 2, b'/', b'x']);
        assert_eq!(
            Options::decode(Some(&with_file)).unwrap_err().to_string(),
            "options.config_path: \"/x\" is not supported"
        );
        assert_eq!(
            Options::decode(Some(&any("runtimeoptions.v1.Options", vec![]))).unwrap(),
            Options::default()
        );
        assert!(Options::decode(Some(&any("other.Options", vec![1]))).is_err());
    }

    #[test]
    fn pods_are_grouped_by_their_sandbox() {
        let config: Config =
            serde_json::from_str(r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"},"linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}]}}"#)
                .unwrap();
        assert_eq!(config.group(), Some("pod"));
        assert!(config.shares_pid_namespace());
    }
}
