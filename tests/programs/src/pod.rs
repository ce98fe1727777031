//! A pod's network: a named namespace, joined to the host by a veth pair.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

static NEXT: AtomicU8 = AtomicU8::new(1);

/// Removed with its interfaces when dropped.
#[derive(Debug)]
pub struct Pod {
    name: String,
    /// The pod's address as the host reaches it.
    pub address: String,
}

impl Pod {
    /// Makes the namespace; the pod gets 10.P.N.2 and the host 10.P.N.1, where P comes from this process's
    /// pid, so that two runs of the tests at once share no subnet.
    ///
    /// # Panics
    /// If ip(8) fails.
    #[must_use]
    pub fn new() -> Pod {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{}-{number}", std::process::id());
        let subnet = format!("10.{}.{number}", 128 + std::process::id() % 100);
        let pod = Pod {
            name: format!("caisson-test-{tag}"),
            address: format!("{subnet}.2"),
        };
        // Interface names have at most 15 characters.
        let (host, inner) = (format!("cth{tag}"), format!("ctp{tag}"));
        ip(&["netns", "add", &pod.name]);
        ip(&["link", "add", &host, "type", "veth", "peer", "name", &inner]);
        ip(&["link", "set", &inner, "netns", &pod.name, "name", "eth0"]);
        ip(&["address", "add", &format!("{subnet}.1/24"), "dev", &host]);
        ip(&["link", "set", &host, "up"]);
        ip(&[
            "-n",
            &pod.name,
            "address",
            "add",
            &format!("{}/24", pod.address),
            "dev",
            "eth0",
        ]);
        ip(&["-n", &pod.name, "link", "set", "lo", "up"]);
        ip(&["-n", &pod.name, "link", "set", "eth0", "up"]);
        pod
    }

    /// For `linux.namespaces[].path`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}

impl Default for Pod {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // The veth pair goes with its inner end.
        let removed = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("cannot delete network namespace {}", self.name);
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("ip(8) is needed: apt-get install iproute2");
    assert!(
        output.status.success(),
        "ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
