//! `net.*` of `linux.sysctl`: the machine's network is the container's, so they are the machine's. libcontainer takes
//! them for the host's and refuses them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::AgentError;

const FIELD: &str = "/linux/sysctl";

/// Set those of a config.json, and take them out of it.
pub(crate) fn apply(config: &mut Value) -> Result<(), AgentError> {
    let Some(Value::Object(all)) = config.pointer_mut(FIELD) else {
        return Ok(());
    };
    let names: Vec<String> = all
        .keys()
        .filter(|name| name.starts_with("net."))
        .cloned()
        .collect();
    for name in names {
        let value = all.remove(&name).unwrap_or_default();
        let path = path(&name);
        fs::write(&path, value.as_str().unwrap_or_default())
            .map_err(AgentError::step("set", format!("linux.sysctl.{name}")))?;
    }
    Ok(())
}

/// As sysctl(8) finds it: dots separate folders, and a slash is a dot of a name.
fn path(name: &str) -> PathBuf {
    let swap = |letter: char| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    Path::new("/proc/sys").join(name.chars().map(swap).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_dots_of_interface_names() {
        let file = path("net.ipv4.conf.eth0/1.rp_filter");
        assert_eq!(file, Path::new("/proc/sys/net/ipv4/conf/eth0.1/rp_filter"));
    }

    #[test]
    fn others_are_left_alone() {
        let mut config = serde_json::json!({"linux": {"sysctl": {"kernel.shmmni": "1"}}});
        apply(&mut config).expect("nothing to do");
        assert_eq!(config["linux"]["sysctl"]["kernel.shmmni"], "1");
    }
}
