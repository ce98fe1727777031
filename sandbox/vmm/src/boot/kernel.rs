//! Loads kernel, initial ramdisk and command line.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use linux_loader::loader::bootparam::setup_header;
use linux_loader::loader::elf::{self, Elf, PvhBootCapability};
use linux_loader::loader::{self, KernelLoader};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryMmap};

use super::{Entry, Place, Ramdisk, acpi, address, bzimage, mptable, pvh};
use crate::memory;
use crate::{Config, VmmError};

/// What the kernel's COMMAND_LINE_SIZE has room for.
const CMDLINE_LIMIT: usize = 2047;

/// A kernel in guest memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) entry: Entry,
    /// The first address after all that it needs.
    pub(super) end: u64,
    /// The first address above which it does not take a ramdisk.
    pub(super) ramdisk_limit: u64,
    /// Of a bzImage.
    pub(super) header: Option<setup_header>,
}

/// Loads everything that `config` names, for a machine with `devices`; `cmdline` is its command line with those added.
pub(crate) fn load(
    config: &Config,
    cmdline: &str,
    devices: &[Place],
    guest: &GuestMemoryMmap,
) -> Result<Entry, VmmError> {
    let kernel = load_kernel(&config.kernel, config.memory_mib, guest)?;
    if cmdline.len() > CMDLINE_LIMIT {
        return Err(VmmError::Cmdline {
            length: cmdline.len(),
            limit: CMDLINE_LIMIT,
        });
    }
    let initrd = match &config.initrd {
        Some(path) => Some(load_initrd(path, &kernel, config.memory_mib, guest)?),
        None => None,
    };
    let write = || {
        let text = [cmdline.as_bytes(), &[0]].concat();
        guest.write_slice(&text, GuestAddress(address::CMDLINE))?;
        let table = mptable::table(config.vcpus);
        guest.write_slice(&table, GuestAddress(address::MP_TABLE))?;
        let tables = acpi::tables(config.vcpus, devices);
        guest.write_slice(&tables, GuestAddress(address::ACPI))?;
        match &kernel.header {
            Some(header) => bzimage::write(header, config.memory_mib, initrd, guest),
            None => pvh::write(config.memory_mib, initrd, guest),
        }
    };
    write().map_err(|error: vm_memory::GuestMemoryError| VmmError::Memory {
        mib: config.memory_mib,
        problem: error.to_string(),
    })?;
    Ok(kernel.entry)
}

fn load_kernel(path: &Path, memory_mib: u32, guest: &GuestMemoryMmap) -> Result<Loaded, VmmError> {
    let mut file = File::open(path).map_err(VmmError::io("open", path))?;
    let loaded = if is_bzimage(&file) {
        bzimage::load(&mut file, memory_mib, guest)
    } else {
        load_elf(&mut file, memory_mib, guest)
    };
    loaded.map_err(|problem| VmmError::Kernel {
        path: path.to_owned(),
        problem,
    })
}

/// What cannot be read as one is for others to complain about.
fn is_bzimage(file: &File) -> bool {
    let (offset, magic) = bzimage::MAGIC;
    let mut found = [0; 4];
    file.read_exact_at(&mut found, offset).is_ok() && found == *magic
}

fn load_elf(file: &mut File, memory_mib: u32, guest: &GuestMemoryMmap) -> Result<Loaded, String> {
    let high = Some(GuestAddress(address::HIGH_MEMORY));
    let loaded = Elf::load(guest, None, file, high).map_err(|error| match error {
        loader::Error::Elf(elf::Error::InvalidElfMagicNumber | elf::Error::ReadElfHeader) => {
            "neither an uncompressed ELF kernel (vmlinux) nor a bzImage".to_owned()
        }
        loader::Error::Elf(elf::Error::ReadKernelImage) => {
            format!("cut off, or larger than the guest's memory ({memory_mib} MiB)")
        }
        other => other.to_string(),
    })?;
    match loaded.pvh_boot_cap {
        PvhBootCapability::PvhEntryPresent(entry) => Ok(Loaded {
            entry: Entry::Pvh {
                instruction: entry.raw_value(),
            },
            end: loaded.kernel_end,
            ramdisk_limit: u64::MAX,
            header: None,
        }),
        _ => Err("no PVH entry (a kernel with CONFIG_PVH has one)".to_owned()),
    }
}

/// At the end of the RAM below the devices, or as high as the kernel takes it.
fn load_initrd(
    path: &Path,
    kernel: &Loaded,
    memory_mib: u32,
    guest: &GuestMemoryMmap,
) -> Result<Ramdisk, VmmError> {
    let mut file = File::open(path).map_err(VmmError::io("open", path))?;
    let size = file
        .metadata()
        .map_err(VmmError::io("read the size of", path))?
        .len();
    let (_, low_memory) = memory::ranges(memory_mib)[0];
    let does_not_fit = || VmmError::Initrd {
        path: path.to_owned(),
        size,
        mib: memory_mib,
    };
    let start = low_memory
        .min(kernel.ramdisk_limit)
        .checked_sub(size)
        .map(|start| start & !0xfff)
        .filter(|start| *start >= kernel.end)
        .ok_or_else(does_not_fit)?;
    let length = usize::try_from(size).map_err(|_| does_not_fit())?;
    guest
        .read_exact_volatile_from(GuestAddress(start), &mut file, length)
        .map_err(|error| VmmError::Io {
            action: "read",
            path: path.to_owned(),
            source: std::io::Error::other(error.to_string()),
        })?;
    Ok((start, size))
}
