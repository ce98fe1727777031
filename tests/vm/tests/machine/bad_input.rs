//! What cannot be booted is refused with a message that names it, and nothing is left.

use std::fs;
use std::process::Command;

use caisson_vm_tests::guest::{config, monitor, refused, scratch};
use caisson_vmm::{Config, Disk};

use crate::Case;

pub(crate) const CASES: &[Case] = &[("bad_input", bad_input)];

fn bad_input() {
    check_hidden("mount -t tmpfs tmpfs /dev", "/dev/kvm: No such file");
    check_hidden(
        "mount --bind /dev/null /dev/kvm",
        "/dev/kvm: not the KVM device",
    );
    let no_kernel = |config: &mut Config| config.kernel = "/nowhere/vmlinux".into();
    check(no_kernel, "open /nowhere/vmlinux");
    check(
        |config| config.kernel = "/bin/sh".into(),
        "kernel /bin/sh: ",
    );
    check(
        |config| config.kernel = "/etc/passwd".into(),
        "kernel /etc/passwd: neither an uncompressed ELF kernel",
    );
    check(|config| config.memory_mib = 8, "memory_mib: 8: 32 or more");
    check(
        |config| config.memory_mib = 32,
        "larger than the guest's memory (32 MiB)",
    );
    check(|config| config.vcpus = 0, "vcpus: 0");
    check(
        |config| {
            config.disks.push(Disk {
                path: "/nowhere/disk".into(),
                read_only: true,
                serial: String::new(),
            });
        },
        "open /nowhere/disk",
    );
    check(|config| config.cmdline = "x".repeat(4096), "2047 at most");
}

/// A host without KVM, for the monitor alone: `hide` runs in a mount namespace of its own.
fn check_hidden(hide: &str, message: &str) {
    let directory = scratch();
    let config = config(directory.path());
    let path = directory.path().join("config.json");
    fs::write(&path, serde_json::to_vec(&config).expect("JSON")).expect("written");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg(format!("{hide} && exec \"$0\" \"$1\""))
        .arg(monitor())
        .arg(path)
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(message), "{message:?} is not in {text:?}");
    assert!(!directory.path().join("vsock").exists(), "a socket is left");
}

fn check(change: impl FnOnce(&mut Config), message: &str) {
    let directory = scratch();
    let mut config = config(directory.path());
    change(&mut config);
    let (status, text) = refused(&config, directory.path());
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(message), "{message:?} is not in {text:?}");
    let left: Vec<_> = fs::read_dir(directory.path())
        .expect("the directory")
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name == "vsock" || name == "control")
        .collect();
    assert!(left.is_empty(), "{text}: {left:?}");
}
