//! The guest's network, as the host says it is in the pod.
//!
//! The machine's network devices are the pod's interfaces, in this order. A device that is not one yet has no driver,
//! so that containers do not see it.

use std::fs;
use std::path::{Path, PathBuf};

use caisson_wire::network::Network;

use crate::error::AgentError;

const DEVICES: &str = "/sys/bus/virtio/devices";
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_net";
/// Of network devices, section 5 of the virtio specification.
const KIND: &str = "0x0001";

/// Set `network`; devices that it does not have lose their driver.
pub(crate) fn set(network: &Network) -> Result<(), AgentError> {
    let mut indices = Vec::new();
    for (position, device) in devices()?.into_iter().enumerate() {
        let has_driver = device.join("driver").exists();
        if position >= network.interfaces.len() {
            if has_driver {
                tell("unbind", &device)?;
            }
            continue;
        }
        if !has_driver {
            tell("bind", &device)?;
        }
        indices.push(index(&device)?);
    }
    caisson_network::write(network, &indices).map_err(AgentError::Network)
}

/// The network devices in the order of their probing.
fn devices() -> Result<Vec<PathBuf>, AgentError> {
    let mut found = Vec::new();
    let list = || AgentError::step::<std::io::Error>("list", DEVICES);
    for entry in fs::read_dir(DEVICES).map_err(list())? {
        let path = entry.map_err(list())?.path();
        let kind = fs::read_to_string(path.join("device")).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name
            .strip_prefix("virtio")
            .and_then(|n| n.parse::<u32>().ok());
        if let (KIND, Some(number)) = (kind.trim(), number) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Have the driver take or leave a device; it is done when this returns.
fn tell(what: &'static str, device: &Path) -> Result<(), AgentError> {
    let name = device.file_name().unwrap_or_default().to_string_lossy();
    let file = format!("{DRIVER}/{what}");
    fs::write(&file, name.as_bytes()).map_err(AgentError::step("write", file))
}

/// The number of a device's interface.
fn index(device: &Path) -> Result<u32, AgentError> {
    let folder = device.join("net");
    let name = folder.display().to_string();
    let mut entries = fs::read_dir(&folder).map_err(AgentError::step("list", &name))?;
    let interface = entries.next().transpose();
    let interface = interface.map_err(AgentError::step("list", &name))?;
    let path = interface.map(|entry| entry.path().join("ifindex"));
    let text = path.and_then(|path| fs::read_to_string(path).ok());
    text.and_then(|text| text.trim().parse().ok())
        .ok_or(AgentError::NoInterface(name))
}
