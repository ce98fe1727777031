//! Disks.

use std::fs::{self, File};

use caisson_vm_tests::guest::Guest;
use caisson_vmm::Disk;

use crate::Case;

pub(crate) const CASES: &[Case] = &[("block", block)];

const DISK_BYTES: usize = 4 << 20;

fn block() {
    let guest = Guest::boot(|config, directory| {
        let content: Vec<u8> = (0..DISK_BYTES).map(|n| (n / 512) as u8).collect();
        fs::write(directory.join("read-only"), content).expect("a disk");
        let disk = File::create(directory.join("writable")).expect("a disk");
        disk.set_len(DISK_BYTES as u64).expect("a size");
        for (name, read_only) in [("read-only", true), ("writable", false)] {
            config.disks.push(Disk {
                path: directory.join(name),
                read_only,
                serial: format!("caisson-{name}"),
            });
        }
        config.vcpus = 2;
    });
    assert_eq!(guest.run("grep -c ^processor /proc/cpuinfo"), "2\n");
    assert_eq!(guest.run("cat /sys/block/vda/serial"), "caisson-read-only");
    assert_eq!(
        guest.run("cat /sys/block/vda/size /sys/block/vdb/size"),
        "8192\n8192\n"
    );
    assert_eq!(
        guest.run("cat /sys/block/vda/ro /sys/block/vdb/ro"),
        "1\n0\n"
    );

    // The whole disk through the guest, and onto the other one.
    let sum = guest.run("md5sum < /dev/vda");
    let copied = guest
        .run("cat /dev/vda > /dev/vdb; sync; echo 3 > /proc/sys/vm/drop_caches; md5sum < /dev/vdb");
    assert_eq!(sum, copied);
    let read = |name: &str| fs::read(guest.directory().join(name)).expect("a disk");
    assert!(read("read-only") == read("writable"), "the disks differ");
    assert!(
        guest
            .run("echo x > /dev/vda || echo refused")
            .ends_with("refused\n"),
        "a read-only disk was written"
    );
    let file_system = guest.run(
        "exec 2>&1; dd if=/dev/zero of=/dev/vdb bs=1M count=4 2>/dev/null; mke2fs /dev/vdb >/dev/null && \
         mkdir -p /mnt && mount -t ext4 /dev/vdb /mnt && echo text > /mnt/file && umount /mnt && \
         mount -t ext4 -o ro /dev/vdb /mnt && cat /mnt/file",
    );
    assert_eq!(file_system, "text\n");
    assert!(guest.run("dd if=/dev/hwrng bs=1k count=8 2>/dev/null | wc -c") == "8192\n");
}
