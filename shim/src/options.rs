//! The options of a container's creation: runc's message, containerd's generic one, or a TOML file. They
//! are saved in the bundle for the `delete` command of a later process.

use std::fs;
use std::path::Path;

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{CodedInputStream, Message};
use containerd_shim_protos::shim::oci::Options as RuncOptions;
use serde::{Deserialize, Serialize};

use crate::error::ShimError;

const SAVED: &str = "shim-options.json";
/// Longest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Annotations that change what the sandbox does begin with this.
const ANNOTATIONS: &str = "dev.caisson.";

/// What is kept of them. In TOML the names may also be written as in runc's options.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    #[serde(alias = "BinaryName")]
    pub(crate) binary_name: String,
    #[serde(alias = "Root")]
    pub(crate) root: String,
    #[serde(alias = "SystemdCgroup")]
    pub(crate) systemd_cgroup: bool,
    #[serde(alias = "NoPivotRoot")]
    pub(crate) no_pivot_root: bool,
    #[serde(alias = "NoNewKeyring")]
    pub(crate) no_new_keyring: bool,
    #[serde(alias = "IoUid")]
    pub(crate) io_uid: u32,
    #[serde(alias = "IoGid")]
    pub(crate) io_gid: u32,
    /// The `dev.caisson.*` annotations that containers may carry; all if not given.
    pub(crate) annotations: Option<Vec<String>>,
    /// containerd 2 sends the whole table in which an operator may have put this.
    #[serde(alias = "TypeUrl", skip_serializing)]
    type_url: String,
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
                Options::of_runc(RuncOptions::parse_from_bytes(&any.value)?)
            }
            "runtimeoptions.v1.Options" => Options::generic(&any.value),
            _ => Err(ShimError::Unsupported {
                field: "options.type_url",
                value: any.type_url.clone(),
            }),
        }
    }

    fn of_runc(runc: RuncOptions) -> Result<Options, ShimError> {
        let refused = [
            ("options.ShimCgroup", &runc.shim_cgroup),
            ("options.CriuImagePath", &runc.criu_image_path),
            ("options.CriuWorkPath", &runc.criu_work_path),
        ];
        if let Some((field, value)) = refused.into_iter().find(|(_, value)| !value.is_empty()) {
            return Err(ShimError::Unsupported {
                field,
                value: value.clone(),
            });
        }
        Ok(Options {
            binary_name: runc.binary_name,
            root: runc.root,
            systemd_cgroup: runc.systemd_cgroup,
            no_pivot_root: runc.no_pivot_root,
            no_new_keyring: runc.no_new_keyring,
            io_uid: runc.io_uid,
            io_gid: runc.io_gid,
            ..Options::default()
        })
    }

    /// containerd's generic options: type_url = 1, config_path = 2, config_body = 3.
    fn generic(bytes: &[u8]) -> Result<Options, ShimError> {
        let mut input = CodedInputStream::from_bytes(bytes);
        let (mut path, mut body) = (String::new(), String::new());
        while let Some(tag) = input.read_raw_tag_or_eof().map_err(ShimError::Decode)? {
            match tag >> 3 {
                2 => path = input.read_string()?,
                3 => body = String::from_utf8_lossy(&input.read_bytes()?).into_owned(),
                _ => drop(input.read_bytes()?),
            }
        }
        match (path.is_empty(), body.is_empty()) {
            (false, _) => Options::parse(&path, &read_file(&path)?),
            (true, false) => Options::parse("options", &body),
            (true, true) => Ok(Options::default()),
        }
    }

    /// `source` is what an error names.
    fn parse(source: &str, text: &str) -> Result<Options, ShimError> {
        toml::from_str(text).map_err(|error| ShimError::Toml {
            source_name: source.to_owned(),
            source: Box::new(error),
        })
    }

    /// Refuse annotations that the operator does not allow.
    pub(crate) fn check_annotations<'a>(
        &self,
        mut names: impl Iterator<Item = &'a String>,
    ) -> Result<(), ShimError> {
        let Some(allowed) = &self.annotations else {
            return Ok(());
        };
        match names.find(|name| name.starts_with(ANNOTATIONS) && !allowed.contains(name)) {
            Some(name) => Err(ShimError::InvalidField {
                field: "annotations",
                value: name.clone(),
                reason: "is not among those that the runtime's configuration allows".into(),
            }),
            None => Ok(()),
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

fn read_file(path: &str) -> Result<String, ShimError> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
        .map_err(ShimError::io("read the runtime's configuration", path))?;
    Ok(text)
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

    fn generic(field: u8, value: &str) -> Any {
        let mut bytes = vec![field << 3 | 2, u8::try_from(value.len()).unwrap()];
        bytes.extend_from_slice(value.as_bytes());
        any("runtimeoptions.v1.Options", bytes)
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
    fn a_file_or_a_body_of_toml_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "root = \"/run/x\"\nio_uid = 7\n").unwrap();
        let options = Options::decode(Some(&generic(2, path.to_str().unwrap()))).unwrap();
        assert_eq!((options.root.as_str(), options.io_uid), ("/run/x", 7));
        // What an operator writes for runc, in the table that containerd 2 passes on.
        let body = "SystemdCgroup = true\nTypeUrl = \"runtimeoptions.v1.Options\"\n";
        assert!(
            Options::decode(Some(&generic(3, body)))
                .unwrap()
                .systemd_cgroup
        );
        let nothing = any("runtimeoptions.v1.Options", vec![]);
        assert_eq!(Options::decode(Some(&nothing)).unwrap(), Options::default());
    }

    #[test]
    fn what_would_be_ignored_is_refused_by_name() {
        let message = |any: &Any| Options::decode(Some(any)).unwrap_err().to_string();
        let absent = message(&generic(2, "/no/such.toml"));
        assert!(absent.contains("/no/such.toml"), "{absent}");
        let unknown = message(&generic(3, "colour = \"red\"\n"));
        assert!(unknown.contains("colour"), "{unknown}");
        let wrong = message(&generic(3, "io_uid = \"root\"\n"));
        assert!(
            wrong.contains("io_uid") && wrong.contains("root"),
            "{wrong}"
        );
        let mut runc = RuncOptions::new();
        runc.shim_cgroup = "/shims".into();
        let runc = any("containerd.runc.v1.Options", runc.write_to_bytes().unwrap());
        assert_eq!(
            message(&runc),
            "options.ShimCgroup: \"/shims\" is not supported"
        );
        assert!(Options::decode(Some(&any("other.Options", vec![1]))).is_err());
    }

    #[test]
    fn annotations_need_the_operators_leave_once_there_is_a_list() {
        let names = ["dev.caisson.strace".to_owned(), "other".to_owned()];
        assert!(Options::default().check_annotations(names.iter()).is_ok());
        let none = Options::parse("t", "annotations = []").unwrap();
        let message = none
            .check_annotations(names.iter())
            .unwrap_err()
            .to_string();
        assert!(message.contains("dev.caisson.strace"), "{message}");
        let one = Options::parse("t", "annotations = [\"dev.caisson.strace\"]").unwrap();
        assert!(one.check_annotations(names.iter()).is_ok());
    }
}
