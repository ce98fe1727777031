//! Loads kernel, initial ramdisk and command line.

use std::fs::File;
use std::path::Path;

use linux_loader::loader::elf::{self, Elf, PvhBootCapability};
use linux_loader::loader::{self, KernelLoader};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryMmap};

use super::{Entry, address, mptable, pvh};
use crate::memory;
use crate::{Config, VmmError};

/// What the kernel's COMMAND_LINE_SIZE has room for.
const CMDLINE_LIMIT: usize = 2047;

/// Loads everything that `config` names; `cmdline` is its command line with the devices added.
pub(crate) fn load(
    config: &Config,
    cmdline: &str,
    guest: &GuestMemoryMmap,
) -> Result<Entry, VmmError> {
    let (instruction, kernel_end) = load_kernel(&config.kernel, config.memory_mib, guest)?;
    if cmdline.len() > CMDLINE_LIMIT {
        return Err(VmmError::Cmdline {
            length: cmdline.len(),
            limit: CMDLINE_LIMIT,
        });
    }
    let initrd = match &config.initrd {
        Some(path) => Some(load_initrd(path, kernel_end, config.memory_mib, guest)?),
        None => None,
    };
    let write = || {
        let text = [cmdline.as_bytes(), &[0]].concat();
        guest.write_slice(&text, GuestAddress(address::CMDLINE))?;
        let table = mptable::table(config.vcpus);
        guest.write_slice(&table, GuestAddress(address::MP_TABLE))?;
        pvh::write(config.memory_mib, initrd, guest)
    };
    write().map_err(|error: vm_memory::GuestMemoryError| VmmError::Memory {
        mib: config.memory_mib,
        problem: error.to_string(),
    })?;
    Ok(Entry {
        instruction,
        start_info: address::START_INFO,
    })
}

/// Returns the PVH entry and the first address after the kernel.
fn load_kernel(
    path: &Path,
    memory_mib: u32,
    guest: &GuestMemoryMmap,
) -> Result<(u64, u64), VmmError> {
    let mut file = File::open(path).map_err(VmmError::io("open", path))?;
    let problem = |problem: String| VmmError::Kernel {
        path: path.to_owned(),
        problem,
    };
    let high = Some(GuestAddress(address::HIGH_MEMORY));
    let loaded = Elf::load(guest, None, &mut file, high).map_err(|error| {
        problem(match error {
            loader::Error::Elf(elf::Error::InvalidElfMagicNumber | elf::Error::ReadElfHeader) => {
                "not an uncompressed ELF kernel (vmlinux)".to_owned()
            }
            loader::Error::Elf(elf::Error::ReadKernelImage) => {
                format!("cut off, or larger than the guest's memory ({memory_mib} MiB)")
            }
            other => other.to_string(),
        })
    })?;
    match loaded.pvh_boot_cap {
        PvhBootCapability::PvhEntryPresent(entry) => Ok((entry.raw_value(), loaded.kernel_end)),
        _ => Err(problem(
            "no PVH entry (a kernel with CONFIG_PVH has one)".to_owned(),
        )),
    }
}

/// At the end of the RAM below the devices; returns address and size.
fn load_initrd(
    path: &Path,
    kernel_end: u64,
    memory_mib: u32,
    guest: &GuestMemoryMmap,
) -> Result<(u64, u64), VmmError> {
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
        .checked_sub(size)
        .map(|start| start & !0xfff)
        .filter(|start| *start >= kernel_end)
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
