//! The start info of a PVH kernel: `struct hvm_start_info` and what it points to, as bytes.

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::map::memory_map;
use super::{Ramdisk, address};

const MAGIC: u32 = 0x336e_c578;

/// Writes the start info for a machine with that much memory.
pub(super) fn write(
    memory_mib: u32,
    initrd: Option<Ramdisk>,
    guest: &GuestMemoryMmap,
) -> Result<(), GuestMemoryError> {
    let map = memory_map(memory_mib);
    let mut table = Vec::new();
    for (start, length, kind) in &map {
        table.extend_from_slice(&start.to_le_bytes());
        table.extend_from_slice(&length.to_le_bytes());
        table.extend_from_slice(&kind.to_le_bytes());
        table.extend_from_slice(&0_u32.to_le_bytes());
    }
    guest.write_slice(&table, GuestAddress(address::MEMORY_MAP))?;

    let mut modules = Vec::new();
    if let Some((start, size)) = initrd {
        modules.extend_from_slice(&start.to_le_bytes());
        modules.extend_from_slice(&size.to_le_bytes());
        // No command line of its own, reserved.
        modules.extend_from_slice(&[0; 16]);
    }
    guest.write_slice(&modules, GuestAddress(address::MODULES))?;

    let entries = u32::try_from(map.len()).unwrap_or(0);
    let mut info = Vec::new();
    for word in [MAGIC, 1, 0, u32::from(initrd.is_some())] {
        info.extend_from_slice(&word.to_le_bytes());
    }
    for pointer in [
        address::MODULES,
        address::CMDLINE,
        address::ACPI,
        address::MEMORY_MAP,
    ] {
        info.extend_from_slice(&pointer.to_le_bytes());
    }
    info.extend_from_slice(&entries.to_le_bytes());
    info.extend_from_slice(&0_u32.to_le_bytes());
    guest.write_slice(&info, GuestAddress(address::START_INFO))
}
