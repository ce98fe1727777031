//! `linux.netDevices`: network devices of the caller's namespace that become the container's.
//!
//! They are not taken back: when the container's network namespace ends, Linux returns hardware to the host's and removes
//! what is virtual.

use std::os::fd::AsFd;

use caisson_network::{NetworkError, Sent};
use caisson_sys::namespace::{self, Namespaces as Kinds};

use crate::RuntimeError;
use crate::namespace::Origin;
use crate::process::ProcessId;
use crate::spec::types::{Linux, NetDevice};
use crate::spec::{Spec, SpecError};

impl NetDevice {
    /// What the device `name` is called in the container.
    pub fn name_inside<'a>(&'a self, name: &'a str) -> &'a str {
        match self.name.as_str() {
            "" => name,
            other => other,
        }
    }
}

/// Refuse what is known to fail before anything is made: the specification wants no half of it.
pub fn check(spec: &Spec, network: &Origin, rootless: bool) -> Result<(), SpecError> {
    for name in spec.linux.net_devices.keys() {
        let field = format!("linux.netDevices.{name}");
        if rootless {
            return Err(SpecError::unsupported(field, name, "not without root"));
        }
        if *network == Origin::Host {
            let reason = "the container has the host's network namespace";
            return Err(SpecError::invalid(field, name, reason));
        }
        caisson_network::find(name)
            .map_err(|error| SpecError::invalid(field, name, error.to_string()))?;
    }
    Ok(())
}

/// Give the container, in whose network namespace `sandbox` is, its devices.
pub fn give(linux: &Linux, sandbox: ProcessId) -> Result<(), RuntimeError> {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{}/ns/net", sandbox.pid);
    let namespace =
        std::fs::File::open(&path).map_err(RuntimeError::file(path.as_ref(), "open"))?;
    let mut all = Vec::new();
    for (name, device) in &linux.net_devices {
        let sent = caisson_network::send(name, namespace.as_fd(), device.name_inside(name));
        all.push((name, sent.map_err(|error| failed(name, &error))?));
    }
    // A thread can go where this process stays out of.
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            namespace::enter(namespace.as_fd(), Kinds::NET)
                .map_err(RuntimeError::file(path.as_ref(), "setns"))?;
            all.iter().try_for_each(|(name, sent)| receive(name, sent))
        });
        inside.join().unwrap_or(Err(RuntimeError::SandboxDied))
    })
}

fn receive(name: &str, sent: &Sent) -> Result<(), RuntimeError> {
    caisson_network::receive(sent).map_err(|error| failed(name, &error))
}

fn failed(name: &str, error: &NetworkError) -> RuntimeError {
    let field = format!("linux.netDevices.{name}");
    SpecError::invalid(field, name, error.to_string()).into()
}
