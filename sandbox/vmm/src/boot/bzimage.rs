//! A bzImage at its 64-bit entry: what the kernel finds in memory then. See Documentation/arch/x86/boot.rst, "64-bit
//! Boot Protocol".

use std::fs::File;

use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use linux_loader::loader::bzimage::{self, BzImage};
use linux_loader::loader::{self, KernelLoader};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::entry::descriptors;
use super::kernel::Loaded;
use super::map::memory_map;
use super::{Entry, Ramdisk, address};
use crate::memory;

/// Where the setup header's magic number is, and what it is.
pub(super) const MAGIC: (u64, &[u8; 4]) = (0x202, b"HdrS");

/// The first version whose header has `xloadflags`.
const FIRST_64_BIT_VERSION: u16 = 0x020c;
/// `XLF_KERNEL_64`.
const HAS_64_BIT_ENTRY: u16 = 1;
/// Of the entry, from where the kernel is loaded.
const ENTRY_OFFSET: u64 = 0x200;

/// `LOADED_HIGH`; `CAN_USE_HEAP` says that `heap_end_ptr` is valid, which it is not.
const CAN_USE_HEAP: u8 = 0x80;

/// Loads the kernel where it prefers to be. Returns it, or what is wrong with it.
pub(super) fn load(
    file: &mut File,
    memory_mib: u32,
    guest: &GuestMemoryMmap,
) -> Result<Loaded, String> {
    let high = Some(GuestAddress(address::HIGH_MEMORY));
    let loaded = BzImage::load(guest, None, file, high).map_err(|error| match error {
        loader::Error::Bzimage(bzimage::Error::ReadBzImageCompressedKernel) => {
            format!("cut off, or larger than the guest's memory ({memory_mib} MiB)")
        }
        other => other.to_string(),
    })?;
    let header = loaded.setup_header.ok_or("no setup header")?;
    let (version, flags) = (header.version, header.xloadflags);
    if version < FIRST_64_BIT_VERSION || flags & HAS_64_BIT_ENTRY == 0 {
        return Err("a bzImage without a 64-bit entry (CONFIG_X86_64)".to_owned());
    }
    let end = end_of(&header, loaded.kernel_load.0).max(loaded.kernel_end);
    let (_, low_memory) = memory::ranges(memory_mib)[0];
    if end > low_memory {
        let needed = end.div_ceil(1 << 20);
        return Err(format!(
            "needs {needed} MiB to unpack itself, the guest has {memory_mib} MiB"
        ));
    }
    Ok(Loaded {
        entry: Entry::Long {
            instruction: loaded.kernel_load.0.saturating_add(ENTRY_OFFSET),
        },
        end,
        ramdisk_limit: u64::from(header.initrd_addr_max) + 1,
        header: Some(header),
    })
}

/// The first address that the kernel does not need while it unpacks itself: it does that where it was loaded, or at its
/// preferred address if that is higher.
fn end_of(header: &setup_header, loaded_at: u64) -> u64 {
    let preferred = header.pref_address;
    let size = u64::from(header.init_size);
    let alignment = u64::from(header.kernel_alignment).max(1);
    loaded_at
        .max(preferred)
        .checked_next_multiple_of(alignment)
        .and_then(|start| start.checked_add(size))
        .unwrap_or(u64::MAX)
}

/// Writes boot parameters, page tables and descriptors.
pub(super) fn write(
    header: &setup_header,
    memory_mib: u32,
    initrd: Option<Ramdisk>,
    guest: &GuestMemoryMmap,
) -> Result<(), GuestMemoryError> {
    let params = parameters(header, memory_mib, initrd);
    guest.write_obj(params, GuestAddress(address::BOOT_PARAMS))?;
    guest.write_obj(descriptors(), GuestAddress(address::GDT))?;
    for (entry, value) in (0..).zip(page_tables()) {
        guest.write_obj(value, GuestAddress(address::PAGE_TABLES + entry * 8))?;
    }
    Ok(())
}

fn parameters(header: &setup_header, memory_mib: u32, initrd: Option<Ramdisk>) -> boot_params {
    /// A loader without a number of its own.
    const UNDEFINED_LOADER: u8 = 0xff;
    let mut params = boot_params {
        hdr: *header,
        ..boot_params::default()
    };
    params.hdr.type_of_loader = UNDEFINED_LOADER;
    params.hdr.loadflags &= !CAN_USE_HEAP;
    // Both lie below 4 GiB: the command line below 1 MiB, the ramdisk below the devices.
    params.hdr.cmd_line_ptr = address::CMDLINE as u32;
    params.acpi_rsdp_addr = address::ACPI;
    if let Some((start, size)) = initrd {
        params.hdr.ramdisk_image = start as u32;
        params.hdr.ramdisk_size = size as u32;
    }
    let map = memory_map(memory_mib);
    for (slot, (start, length, kind)) in params.e820_table.iter_mut().zip(&map) {
        *slot = boot_e820_entry {
            addr: *start,
            size: *length,
            r#type: *kind,
        };
    }
    params.e820_entries = map.len() as u8;
    params
}

/// The first 4 GiB mapped to themselves in pages of 2 MiB: one table of the fourth level, one of the third, four of the
/// second, in this order.
fn page_tables() -> Vec<u64> {
    const ENTRIES: usize = 512;
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    const DIRECTORIES: usize = 4;
    let page = |number: u64| address::PAGE_TABLES + number * 0x1000;
    let mut tables = vec![0; 2 * ENTRIES];
    tables[0] = page(1) | PRESENT_WRITABLE;
    for (slot, number) in tables[ENTRIES..].iter_mut().take(DIRECTORIES).zip(2..) {
        *slot = page(number) | PRESENT_WRITABLE;
    }
    let pages = 0..(DIRECTORIES * ENTRIES) as u64;
    tables.extend(pages.map(|number| number << 21 | LARGE | PRESENT_WRITABLE));
    tables
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// A setup header, five sectors and a kernel of one page.
    fn image(change: impl FnOnce(&mut Vec<u8>)) -> File {
        let mut bytes = vec![0; 5 * 512];
        let mut put = |at: usize, value: &[u8]| {
            bytes[at..at + value.len()].copy_from_slice(value);
        };
        put(0x1f1, &[4]);
        put(0x202, MAGIC.1);
        put(0x206, &0x020f_u16.to_le_bytes());
        put(0x211, &[1]);
        put(0x214, &0x10_0000_u32.to_le_bytes());
        put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
        put(0x230, &0x20_0000_u32.to_le_bytes());
        put(0x236, &1_u16.to_le_bytes());
        put(0x258, &0x100_0000_u64.to_le_bytes());
        put(0x260, &0x80_0000_u32.to_le_bytes());
        bytes.extend_from_slice(&[0x90; 4096]);
        change(&mut bytes);
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        file
    }

    #[test]
    fn a_kernel_is_loaded_and_room_to_unpack_is_kept() {
        let memory = memory::allocate(32).expect("memory");
        let loaded = load(&mut image(|_| {}), 32, &memory).expect("a kernel");
        assert_eq!(
            loaded.entry,
            Entry::Long {
                instruction: 0x10_0200
            }
        );
        assert_eq!(loaded.end, 0x180_0000);
        let byte: u8 = memory.read_obj(GuestAddress(0x10_0000)).expect("in memory");
        assert_eq!(byte, 0x90);

        let header = loaded.header.expect("a header");
        write(&header, 32, Some((0x1f0_0000, 0x1000)), &memory).expect("room");
        let params: boot_params = memory
            .read_obj(GuestAddress(address::BOOT_PARAMS))
            .expect("in memory");
        assert_eq!({ params.hdr.ramdisk_image }, 0x1f0_0000);
        assert_eq!({ params.hdr.cmd_line_ptr }, 0x2_0000);
        assert_eq!(params.e820_entries, 3);
    }

    #[test]
    fn what_cannot_start_is_refused() {
        let memory = memory::allocate(32).expect("memory");
        let refused = |change: &dyn Fn(&mut Vec<u8>), words: &str| {
            let problem = load(&mut image(|bytes| change(bytes)), 32, &memory).expect_err(words);
            assert!(problem.contains(words), "{problem}");
        };
        refused(&|bytes| bytes[0x236] = 0, "64-bit entry");
        refused(&|bytes| bytes[0x206] = 0x0b, "64-bit entry");
        refused(&|bytes| bytes[0x263] = 0x7f, "the guest has 32 MiB");
        refused(&|bytes| bytes.truncate(0x400), "Underflow");
    }

    #[test]
    fn pages_are_mapped_to_themselves() {
        let tables = page_tables();
        assert_eq!(tables.len(), 6 * 512);
        let at = |address: u64| {
            let table = |entry: u64| (entry & !0xfff) - address::PAGE_TABLES;
            let third = table(tables[(address >> 39) as usize]) / 8;
            let second = table(tables[(third + (address >> 30)) as usize]) / 8;
            tables[(second + (address >> 21) % 512) as usize] & !0x1f_ffff
        };
        for address in [0, 0x20_0000, 0x4000_0000, 0xffe0_0000] {
            assert_eq!(at(address), address);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(noise in prop::collection::vec(any::<u8>(), 0x80), length in 0..4096_usize) {
            let memory = memory::allocate(32).expect("memory");
            let mut file = image(|bytes| {
                bytes[0x206..0x206 + noise.len()].copy_from_slice(&noise);
                bytes.truncate(length.max(0x300));
            });
            if let Ok(loaded) = load(&mut file, 32, &memory) {
                prop_assert!(loaded.end <= 32 << 20);
                write(&loaded.header.expect("a header"), 32, None, &memory).expect("room");
            }
        }
    }
}
