//! Puts a kernel into guest memory the way it expects to be started: an ELF file at its PVH entry, a bzImage at its
//! 64-bit entry.
//!
//! See the kernel's Documentation/arch/x86/boot.rst and Xen's docs/misc/pvh.pandoc for the entries. Processors,
//! interrupts and devices are described twice: by ACPI tables, and for kernels without ACPI by an MP table (Intel's
//! MultiProcessor Specification 1.4) and words of the command line.

mod acpi;
mod bzimage;
mod entry;
mod kernel;
mod map;
mod mptable;
mod pvh;

pub(crate) use entry::Entry;
pub(crate) use kernel::load;

/// Where things lie below 1 MiB. The kernel itself is linked above it.
mod address {
    pub(super) const START_INFO: u64 = 0x6000;
    pub(super) const MODULES: u64 = 0x6100;
    pub(super) const MEMORY_MAP: u64 = 0x7000;
    pub(super) const BOOT_PARAMS: u64 = 0x8000;
    pub(super) const GDT: u64 = 0x9000;
    /// Six pages.
    pub(super) const PAGE_TABLES: u64 = 0xa000;
    pub(super) const CMDLINE: u64 = 0x2_0000;
    /// The last kilobyte of conventional memory, where the MP table is looked for.
    pub(super) const MP_TABLE: u64 = 0x9_fc00;
    /// Where the root pointer of the ACPI tables is looked for.
    pub(super) const ACPI: u64 = 0xe_0000;
    pub(super) const HIGH_MEMORY: u64 = 0x10_0000;
}

const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;

/// Where the guest finds a virtio device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: u64,
    /// Its interrupt line.
    pub(crate) line: u32,
}

/// Address and size of the initial ramdisk.
type Ramdisk = (u64, u64);
