//! What of CRI's PodSandboxConfig, which the CRI plugin sends as the options of a sandbox, concerns the shim.

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{CodedInputStream, Error};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PodConfig {
    pub(crate) hostname: String,
    /// The control group of the whole pod, as `linux.cgroup_parent` has it; empty if there is none.
    pub(crate) cgroup_parent: String,
}

impl PodConfig {
    /// Options of another type say nothing.
    pub(crate) fn decode(options: Option<&Any>) -> Result<PodConfig, Error> {
        let mut config = PodConfig::default();
        let Some(options) = options.filter(|any| any.type_url.ends_with("PodSandboxConfig")) else {
            return Ok(config);
        };
        // hostname = 2, linux = 8; there, cgroup_parent = 1.
        for (number, bytes) in fields(&options.value)? {
            match number {
                2 => config.hostname = text(bytes)?,
                8 => {
                    for (number, bytes) in fields(&bytes)? {
                        if number == 1 {
                            config.cgroup_parent = text(bytes)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(config)
    }

    /// The control group's path below each hierarchy. What systemd manages is named by its slice, which is below those
    /// whose names it begins with: `a-b.slice` is `/a.slice/a-b.slice`, systemd.slice(5).
    pub(crate) fn cgroup_path(&self) -> String {
        let name = &self.cgroup_parent;
        let Some(stem) = name.strip_suffix(".slice").filter(|_| !name.contains('/')) else {
            return name.clone();
        };
        let ends = stem.match_indices('-').map(|(at, _)| at);
        ends.chain([stem.len()])
            .map(|end| format!("/{}.slice", &stem[..end]))
            .collect()
    }
}

/// The fields of a message that are text, bytes or messages, by their numbers.
fn fields(message: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, Error> {
    let mut input = CodedInputStream::from_bytes(message);
    let mut fields = Vec::new();
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        match tag & 7 {
            0 => drop(input.read_uint64()?),
            2 => fields.push((tag >> 3, input.read_bytes()?)),
            _ => break, // these messages have no others
        }
    }
    Ok(fields)
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| std::io::Error::other(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_and_the_group_of_a_pod_are_found() {
        // metadata, hostname "pod", linux with cgroup_parent "/kube/pod1" and a security context.
        let mut value = b"\x0a\x03\x0a\x01n\x12\x03pod\x42\x0e\x0a\x0a/kube/pod1\x12\x00".to_vec();
        let options = |type_url: &str, value: &[u8]| Any {
            type_url: type_url.to_owned(),
            value: value.to_vec(),
            ..Any::default()
        };
        let kind = "runtime.v1.PodSandboxConfig";
        let config = PodConfig::decode(Some(&options(kind, &value))).unwrap();
        assert_eq!(config.hostname, "pod");
        assert_eq!(config.cgroup_path(), "/kube/pod1");
        let other = PodConfig::decode(Some(&options("other", &value))).unwrap();
        assert_eq!(other, PodConfig::default());
        value.truncate(12);
        assert!(PodConfig::decode(Some(&options(kind, &value))).is_err());
    }

    #[test]
    fn slices_are_below_those_that_they_begin_with() {
        let config = PodConfig {
            cgroup_parent: "kubepods-burstable-pod1.slice".to_owned(),
            ..PodConfig::default()
        };
        let path = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice";
        assert_eq!(config.cgroup_path(), path);
    }
}
