//! Puts a kernel into guest memory the way it expects to be started (PVH).
//!
//! See the kernel's Documentation/arch/x86/ and Xen's docs/misc/pvh.pandoc for the entry, and Intel's
//! MultiProcessor Specification 1.4 for how it finds processors and interrupts without ACPI.

mod kernel;
mod mptable;
mod pvh;

pub(crate) use kernel::load;

/// Where things lie below 1 MiB. The kernel itself is linked above it.
mod address {
    pub(super) const START_INFO: u64 = 0x6000;
    pub(super) const MODULES: u64 = 0x6100;
    pub(super) const MEMORY_MAP: u64 = 0x7000;
    pub(super) const CMDLINE: u64 = 0x2_0000;
    /// The last kilobyte of conventional memory, where the MP table is looked for.
    pub(super) const MP_TABLE: u64 = 0x9_fc00;
    pub(super) const HIGH_MEMORY: u64 = 0x10_0000;
}

/// What the first virtual CPU starts with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) instruction: u64,
    /// Of the start info, for `rbx`.
    pub(crate) start_info: u64,
}
