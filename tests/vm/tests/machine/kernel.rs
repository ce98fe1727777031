//! A kernel of a distribution: Debian's for clouds, a bzImage that finds its devices by ACPI and has its drivers as modules.

use std::fs;
use std::path::{Path, PathBuf};

use caisson_vm_tests::guest::Guest;
use caisson_vmm::{Disk, Tap};
use serde_json::{Value, json};

use crate::Case;
use crate::balloon::wait;
use crate::container::Bundle;

pub(crate) const CASES: &[Case] = &[
    ("kernel_debian", debian),
    ("kernel_named_by_annotations", named_by_annotations),
];

/// The folder of `cargo xtask guest debian`.
fn files() -> Option<PathBuf> {
    let folder = std::env::var_os("CAISSON_GUEST_DEBIAN");
    if folder.is_none() {
        println!("CAISSON_GUEST_DEBIAN names no folder of `cargo xtask guest debian`: not tested");
    }
    folder.map(PathBuf::from)
}

fn debian() {
    let Some(files) = files() else { return };
    let guest = Guest::boot(|config, directory| {
        config.kernel = files.join("vmlinuz");
        config.memory_mib = 256;
        config.vcpus = 2;
        config.growth_mib = 256;
        add_modules(&directory.join("initrd"));
        let disk = directory.join("disk");
        fs::write(&disk, "of the host".repeat(1000)).expect("a disk");
        config.disks.push(Disk {
            path: disk,
            read_only: true,
            serial: String::new(),
        });
        config.taps.push(Tap {
            name: "debian0".to_owned(),
            mac: "02:00:00:00:0d:eb".to_owned(),
            mtu: None,
        });
    });
    let said = guest.run("uname -r; grep -c ^processor /proc/cpuinfo; ls /sys/bus/virtio/drivers");
    assert!(said.contains("-cloud-amd64\n2\n"), "{said}");
    let stats = guest.control("stats");
    for device in stats["devices"].as_array().into_iter().flatten() {
        assert_eq!(device["errors"], 0, "{stats}");
    }
    let bound = guest.run("ls -d /sys/bus/virtio/devices/*/driver | wc -l");
    assert_eq!(
        bound, "6\n",
        "disk, network, vsock, entropy, balloon and memory"
    );
    let read = guest.run("head -c 11 /dev/vda; cat /sys/class/net/eth0/address");
    assert_eq!(read, "of the host02:00:00:00:0d:eb\n");
    let answer = guest.request("{\"op\": \"memory\", \"mib\": 512}");
    assert_eq!(answer["ok"], true);
    let actual = || guest.control("stats")["memory"]["actual_mib"].clone();
    wait(|| actual() == 512, "the kernel to take its memory");
    assert_eq!(
        guest.run("dd if=/dev/hwrng bs=16 count=1 2>/dev/null | wc -c"),
        "16\n"
    );
}

/// To a ramdisk that loads what it finds.
fn add_modules(initrd: &Path) {
    let modules = caisson_nested::guest_kernel()
        .expect("Debian's kernel")
        .modules;
    let mut bytes = fs::read(initrd).expect("the ramdisk");
    bytes.extend_from_slice(&fs::read(modules).expect("modules"));
    fs::write(initrd, bytes).expect("written");
}

/// Of a container that is to have this kernel.
pub(crate) fn annotations() -> Option<Value> {
    let files = files()?;
    Some(json!({
        "dev.caisson.vm.kernel": files.join("vmlinuz"),
        "dev.caisson.vm.initrd": files.join("initrd"),
    }))
}

fn named_by_annotations() {
    let Some(annotations) = annotations() else {
        return;
    };
    let script = "uname -r; cat /proc/1/comm; echo text > /file; cat /file";
    let bundle = Bundle::new(&["sh", "-c", script], |config| {
        config["annotations"] = annotations;
        config["root"]["readonly"] = json!(false);
    });
    let output = bundle.done(&["run", "vm-debian"]);
    assert!(output.contains("-cloud-amd64\nsh\ntext\n"), "{output}");
    let file = fs::read_to_string(bundle.path("rootfs/file")).expect("the host has it");
    assert_eq!(file, "text\n");
    bundle.assert_nothing_left("vm-debian");
}
