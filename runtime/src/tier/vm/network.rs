//! The machine's network: interfaces of the pod's network namespace, connected to taps of the monitor's.
//!
//! The sandbox process is in that namespace, and so is the monitor until its jail. What is there when the machine
//! starts is the guest's network. Who makes a container's network only when the container stands, as `ctr run --cni`
//! does, gets one interface: its tap is made in advance and the rest is done at `start`.

use std::path::Path;

use caisson_network::{connect, disconnect, tap_name};
use caisson_sys::namespace::Namespaces as Kinds;
use caisson_vmm::Tap;
use caisson_wire::network::{Interface, Network};

use super::namespaces::join;
use crate::RuntimeError;
use crate::namespace::Origin;

/// The only MTU that the driver can lower later to any other.
const LARGEST_MTU: u16 = u16::MAX;

/// What the machine gets, and what is to be taken back.
#[derive(Debug)]
pub(super) struct PodNetwork {
    found: Network,
    /// There is a tap that nothing is connected to yet.
    spare: bool,
    /// Something may have been done to the pod's interfaces.
    connected: bool,
}

impl PodNetwork {
    /// Of the namespace that was entered.
    pub(super) fn read(origin: &Origin) -> Result<PodNetwork, RuntimeError> {
        let found = caisson_network::read().map_err(said)?;
        // Whoever names a namespace has made its interfaces.
        let spare = found.interfaces.is_empty() && *origin == Origin::New;
        Ok(PodNetwork {
            found,
            spare,
            connected: false,
        })
    }

    /// For the agent.
    pub(super) fn for_guest(&self) -> Network {
        self.found.clone()
    }

    /// For the monitor, which makes them.
    pub(super) fn taps(&self) -> Vec<Tap> {
        if self.spare {
            let nobody = Interface {
                mac: [2, 0, 0, 0, 0, 0],
                ..Interface::default()
            };
            return vec![tap(0, &nobody, LARGEST_MTU)];
        }
        let interfaces = self.found.interfaces.iter().enumerate();
        let taps = interfaces.map(|(position, interface)| {
            let mtu = u16::try_from(interface.mtu).unwrap_or(LARGEST_MTU);
            tap(position, interface, mtu)
        });
        taps.collect()
    }

    /// When the monitor has its taps.
    pub(super) fn connect(&mut self) -> Result<(), RuntimeError> {
        for (position, interface) in self.found.interfaces.iter().enumerate() {
            self.connected = true;
            connect(interface, &tap_name(position)).map_err(said)?;
        }
        Ok(())
    }

    /// Before the container's program starts: a network that was not there before.
    pub(super) fn late(&mut self) -> Result<Option<Network>, RuntimeError> {
        if !self.spare {
            return Ok(None);
        }
        self.spare = false;
        self.found = caisson_network::read().map_err(said)?;
        match self.found.interfaces.len() {
            0 => return Ok(None),
            1 => {}
            several => {
                return Err(RuntimeError::Sandbox {
                    message: format!(
                        "{several} network interfaces were made after the container: a virtual machine can take one"
                    ),
                });
            }
        }
        self.connect()?;
        Ok(Some(self.found.clone()))
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        if self.connected {
            // `delete` tries again.
            disconnect().ok();
        }
    }
}

fn tap(position: usize, interface: &Interface, mtu: u16) -> Tap {
    let bytes = interface.mac.map(|byte| format!("{byte:02x}"));
    Tap {
        name: tap_name(position),
        mac: bytes.join(":"),
        mtu: Some(mtu),
    }
}

/// Take back what a sandbox whose processes were killed has left in the network namespace at `path`.
pub(super) fn clean(path: &Path) -> Result<(), RuntimeError> {
    // It may be gone, with everything in it.
    if !path.exists() {
        return Ok(());
    }
    let path = path.to_owned();
    let thread = std::thread::spawn(move || {
        join(&path, Kinds::NET)?;
        disconnect().map_err(said)
    });
    thread.join().unwrap_or(Err(RuntimeError::SandboxDied))
}

fn said(error: caisson_network::NetworkError) -> RuntimeError {
    RuntimeError::Sandbox {
        message: format!("network: {error}"),
    }
}
