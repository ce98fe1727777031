//! What cannot be booted is refused with a message that names it, and nothing is left.

use std::fs;

use caisson_vm_tests::guest::{config, refused, scratch};
use caisson_vmm::{Config, Disk};

use crate::Case;

pub(crate) const CASES: &[Case] = &[("bad_input", bad_input)];

fn bad_input() {
    let no_kernel = |config: &mut Config| config.kernel = "/nowhere/vmlinux".into();
    check(no_kernel, "open /nowhere/vmlinux");
    check(
        |config| config.kernel = "/bin/sh".into(),
        "kernel /bin/sh: ",
    );
    check(
        |config| config.kernel = "/etc/passwd".into(),
        "kernel /etc/passwd: not an uncompressed ELF kernel",
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
