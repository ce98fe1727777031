//! Names in a container's folder of the state.

/// What the monitor is given.
pub(super) const CONFIG: &str = "vm.json";
/// What it says.
pub(super) const LOG: &str = "vmm.log";
/// Where it takes commands, see `control.rs` of sandbox/vmm.
pub(super) const CONTROL: &str = "vmm.sock";
/// What the guest's kernel and agent say.
pub(super) const SERIAL: &str = "console.log";
/// Where the agent is reached.
pub(super) const VSOCK: &str = "vm/vsock.sock";
/// What the server of files says.
pub(super) const SHARE_LOG: &str = "share.log";
/// The only folder that the jailed monitor sees.
pub(super) const VISIBLE: &str = "vm";
/// The container's root file system.
pub(super) const ROOT_IMAGE: &str = "root.img";
/// Files of the container's control group in the guest.
pub(super) const USAGE: &str = "cgroup";
