//! The configuration of a test's containerd.

use std::fs;
use std::path::Path;

use crate::{Tier, binaries};

/// What containerd serves besides its own API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugins {
    /// Nothing.
    Task,
    /// Kubernetes' container runtime interface, with pods on a bridge.
    Cri,
}

/// The text of config.toml; every version reads the second one's format.
pub(crate) fn text(folder: &Path, plugins: Plugins) -> String {
    let folder_text = folder.display();
    let disabled = match plugins {
        Plugins::Task => {
            "\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", "
        }
        Plugins::Cri => "",
    };
    let common = format!(
        "version = 2\nroot = \"{folder_text}/root\"\nstate = \"{folder_text}/state\"\n\
         disabled_plugins = [{disabled}\"io.containerd.internal.v1.opt\"]\n\
         [grpc]\n  address = \"{folder_text}/containerd.sock\"\n[debug]\n  level = \"debug\"\n"
    );
    match plugins {
        Plugins::Task => common,
        Plugins::Cri => common + &cri(folder),
    }
}

fn cri(folder: &Path) -> String {
    let network = folder.join("cni");
    fs::create_dir_all(&network).expect("a folder for the network's configuration");
    let shim = binaries().join(match Tier::current() {
        Tier::Kernel => "containerd-shim-caisson-v2",
        Tier::Vm => "containerd-shim-caisson-vm-v2",
    });
    fs::write(network.join("10-pods.conflist"), conflist(folder)).expect("the network");
    format!(
        r#"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "caisson"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.caisson]
  runtime_type = "{handler}"
  pod_annotations = ["dev.caisson.*"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.sandboxed]
  runtime_type = "{handler}"
  sandboxer = "shim"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.configured]
  runtime_type = "{handler}"
  pod_annotations = ["dev.caisson.*"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.configured.options]
  TypeUrl = "runtimeoptions.v1.Options"
  ConfigPath = "{}/runtime.toml"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.by-path]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "{}"
"#,
        network.display(),
        folder.display(),
        shim.display(),
        handler = Tier::current().handler(),
    )
}

/// Pods on a bridge in containerd's own network namespace.
fn conflist(folder: &Path) -> String {
    let bridge = serde_json::json!({
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": true,
        "ipam": {
            "type": "host-local",
            "dataDir": folder.join("addresses"),
            "ranges": [[{ "subnet": "10.89.0.0/24" }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    });
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    serde_json::json!({ "cniVersion": "0.4.0", "name": name, "plugins": [bridge] }).to_string()
}
