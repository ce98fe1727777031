//! What the first virtual CPU starts with.

use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::VcpuFd;

use super::address;
use crate::VmmError;

/// Where the kernel begins, and in which state of the processor it is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// 32-bit protected mode with flat segments and without paging; the start info in `rbx`.
    Pvh {
        /// The first instruction.
        instruction: u64,
    },
    /// 64-bit mode with the first 4 GiB mapped to themselves; the boot parameters in `rsi`.
    Long {
        /// The first instruction.
        instruction: u64,
    },
}

/// `__BOOT_CS` and `__BOOT_DS`, which boot.rst asks for.
const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const TASK: u16 = 0x20;

const PROTECTED_MODE: u64 = 1;

impl Entry {
    /// Gives a virtual CPU this state.
    ///
    /// # Errors
    /// When KVM does not take it.
    pub(crate) fn set(self, vcpu: &VcpuFd) -> Result<(), VmmError> {
        let mut sregs = vcpu.get_sregs().map_err(VmmError::kvm("KVM_GET_SREGS"))?;
        self.control(&mut sregs);
        vcpu.set_sregs(&sregs)
            .map_err(VmmError::kvm("KVM_SET_SREGS"))?;
        let mut regs = vcpu.get_regs().map_err(VmmError::kvm("KVM_GET_REGS"))?;
        self.general(&mut regs);
        vcpu.set_regs(&regs).map_err(VmmError::kvm("KVM_SET_REGS"))
    }

    fn general(self, regs: &mut kvm_regs) {
        // Bit 1 is always set; interrupts are off.
        regs.rflags = 2;
        match self {
            Entry::Pvh { instruction } => {
                regs.rip = instruction;
                regs.rbx = address::START_INFO;
            }
            Entry::Long { instruction } => {
                regs.rip = instruction;
                regs.rsi = address::BOOT_PARAMS;
            }
        }
    }

    fn control(self, sregs: &mut kvm_sregs) {
        const PAGING: u64 = 1 << 31;
        const PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
        const LONG_MODE_ENABLED_AND_ACTIVE: u64 = 1 << 8 | 1 << 10;
        let long = matches!(self, Entry::Long { .. });
        sregs.cs = segment(0xb, CODE, long);
        let data = segment(0x3, DATA, false);
        (sregs.ds, sregs.es, sregs.ss) = (data, data, data);
        (sregs.fs, sregs.gs) = (data, data);
        sregs.tr = kvm_segment {
            limit: 0x67,
            selector: TASK,
            type_: 0xb,
            present: 1,
            ..Default::default()
        };
        sregs.gdt = kvm_dtable {
            base: address::GDT,
            limit: (descriptors().len() * 8 - 1) as u16,
            ..Default::default()
        };
        (sregs.cr0, sregs.cr4, sregs.efer) = (PROTECTED_MODE, 0, 0);
        if long {
            sregs.cr3 = address::PAGE_TABLES;
            sregs.cr4 = PHYSICAL_ADDRESS_EXTENSION;
            sregs.cr0 |= PAGING;
            sregs.efer = LONG_MODE_ENABLED_AND_ACTIVE;
        }
    }
}

/// A flat segment of 4 GiB, or of 64-bit code.
fn segment(kind: u8, selector: u16, long: bool) -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_: kind,
        present: 1,
        db: u8::from(!long),
        l: u8::from(long),
        s: 1,
        g: 1,
        ..Default::default()
    }
}

/// The table that the selectors of a 64-bit entry stand for, should the kernel load one again.
pub(super) fn descriptors() -> [u64; 5] {
    const CODE_64: u64 = 0x00af_9b00_0000_ffff;
    const DATA_32: u64 = 0x00cf_9300_0000_ffff;
    const TASK_64: u64 = 0x0000_8b00_0000_0067;
    [0, 0, CODE_64, DATA_32, TASK_64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bzimage_starts_in_64_bit_mode_and_a_pvh_kernel_without_paging() {
        let mut sregs = kvm_sregs::default();
        let mut regs = kvm_regs::default();
        let entry = Entry::Long {
            instruction: 0x20_0200,
        };
        entry.control(&mut sregs);
        entry.general(&mut regs);
        assert_eq!((sregs.cs.l, sregs.cs.db, sregs.cs.selector), (1, 0, CODE));
        assert_eq!((sregs.cr3, sregs.gdt.limit), (address::PAGE_TABLES, 39));
        assert_eq!((regs.rip, regs.rsi), (0x20_0200, address::BOOT_PARAMS));

        let entry = Entry::Pvh {
            instruction: 0x100_0000,
        };
        let (mut sregs, mut regs) = Default::default();
        entry.control(&mut sregs);
        entry.general(&mut regs);
        assert_eq!((sregs.cr0, sregs.efer, sregs.cs.l), (PROTECTED_MODE, 0, 0));
        assert_eq!(regs.rbx, address::START_INFO);
    }
}
