//! What a machine is made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::VmmError;
use crate::virtio::mem;

/// A machine. Read as JSON by `caisson-vmm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// An uncompressed ELF kernel with a PVH entry (vmlinux), or a 64-bit bzImage.
    pub kernel: PathBuf,
    /// Its initial ramdisk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<PathBuf>,
    /// Its command line, to which the devices are added. `reboot=k` makes the guest's reboot end the machine.
    pub cmdline: String,
    /// What it starts with.
    pub memory_mib: u32,
    /// How much can be added while it runs, in whole blocks of 128 MiB; nothing unless it is given.
    #[serde(default)]
    pub growth_mib: u32,
    pub vcpus: u8,
    /// `/dev/vda`, `/dev/vdb`, ... in this order.
    #[serde(default)]
    pub disks: Vec<Disk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vsock: Option<Vsock>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs: Option<Fs>,
    /// `eth0`, `eth1`, ... in this order.
    #[serde(default)]
    pub taps: Vec<Tap>,
    /// Where the guest's first serial line goes.
    #[serde(default)]
    pub serial: Serial,
    /// A unix socket that is made there and takes commands; see `control.rs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<PathBuf>,
    /// What the monitor becomes before the guest runs. Its sockets stay when it ends: whoever made their directory
    /// removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<Jail>,
}

/// An unprivileged user of the host's, best one that no other process has. Guests can connect to those of the
/// host's sockets that this user may write to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jail {
    pub uid: u32,
    pub gid: u32,
}

/// A file that the guest sees as a block device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    pub path: PathBuf,
    #[serde(default)]
    pub read_only: bool,
    /// At most 20 bytes, which the guest has in `/sys/block/vdX/serial`.
    #[serde(default)]
    pub serial: String,
}

/// Stream sockets between guest and host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vsock {
    /// The guest's address, 3 or more.
    pub cid: u32,
    /// A unix socket that is made there. Who connects writes `CONNECT port\n`, reads `OK port\n` and is then
    /// connected to that port of the guest. A guest that connects to a port of the host (cid 2) is connected
    /// to the unix socket `<path>_<port>`.
    pub socket: PathBuf,
}

/// A file system of the host's, served by `caisson-share` at the other end of the monitor's standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fs {
    /// At most 36 bytes, by which the guest mounts it: `mount -t virtiofs TAG`.
    pub tag: String,
}

/// A tap device of the network namespace that the monitor is started in. One that does not exist is made, and is then
/// gone with the monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    pub name: String,
    /// The guest interface's address, `aa:bb:cc:dd:ee:ff`.
    pub mac: String,
    /// 1500 unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serial {
    /// Nowhere.
    #[default]
    Discard,
    /// To the monitor's standard output.
    Stdout,
    /// To the end of a file, which is made if need be.
    File(PathBuf),
}

/// With less memory no kernel gets as far as saying so.
const MIN_MEMORY_MIB: u32 = 32;

/// As many blocks as KVM has slots for, with room to spare.
const MAX_GROWTH_MIB: u32 = 2 << 20;

/// What the MP table and the guest kernel's NR_CPUS have room for.
const MAX_VCPUS: u8 = 64;

impl Config {
    /// Where the sockets are that the guest reaches.
    pub(crate) fn socket_directory(&self) -> Option<&Path> {
        let directory = self.vsock.as_ref()?.socket.parent()?;
        Some(if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        })
    }

    /// Fields whose value alone is wrong, whatever the host has.
    pub(crate) fn check(&self) -> Result<(), VmmError> {
        let wrong = |field: &'static str, value: String, problem: &'static str| {
            Err(VmmError::Config {
                field,
                value,
                problem,
            })
        };
        if self.memory_mib < MIN_MEMORY_MIB {
            let value = self.memory_mib.to_string();
            return wrong("memory_mib", value, "32 or more are needed");
        }
        let block_mib = (mem::BLOCK_BYTES >> 20) as u32;
        if self.growth_mib > MAX_GROWTH_MIB || !self.growth_mib.is_multiple_of(block_mib) {
            let value = self.growth_mib.to_string();
            return wrong("growth_mib", value, "a multiple of 128 up to 2097152");
        }
        if self.vcpus == 0 || self.vcpus > MAX_VCPUS {
            return wrong("vcpus", self.vcpus.to_string(), "1 to 64 are possible");
        }
        if let Some(vsock) = &self.vsock
            && vsock.cid < 3
        {
            return wrong("vsock.cid", vsock.cid.to_string(), "0 to 2 are reserved");
        }
        if let Some(fs) = &self.fs
            && (fs.tag.is_empty() || fs.tag.len() > 36)
        {
            return wrong("fs.tag", fs.tag.clone(), "1 to 36 bytes");
        }
        for disk in &self.disks {
            if disk.serial.len() > 20 {
                return wrong("disks.serial", disk.serial.clone(), "20 bytes at most");
            }
        }
        Ok(())
    }
}
