//! The virtual CPUs: their first state, and the threads that run them.

use std::io;
use std::sync::Arc;

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry};
use kvm_ioctls::{Cap, Kvm, VcpuExit, VcpuFd, VmFd};

use crate::VmmError;
use crate::boot::Entry;
use crate::bus::Bus;
use crate::shared::{End, Order, Shared};

/// The I/O ports and the memory-mapped devices.
pub(crate) struct Buses {
    pub(crate) ports: Bus,
    pub(crate) memory: Bus,
}

/// Makes virtual CPU `id`; the first one gets the kernel's entry, the others wait to be started by it.
pub(crate) fn create(kvm: &Kvm, vm: &VmFd, id: u8, entry: Entry) -> Result<VcpuFd, VmmError> {
    let vcpu = vm
        .create_vcpu(id.into())
        .map_err(VmmError::kvm("KVM_CREATE_VCPU"))?;
    let cpuid = cpuid(kvm, id)?;
    vcpu.set_cpuid2(&cpuid)
        .map_err(VmmError::kvm("KVM_SET_CPUID2"))?;
    set_msrs(&vcpu)?;
    set_lapic(&vcpu)?;
    if id == 0 {
        entry.set(&vcpu)?;
    }
    Ok(vcpu)
}

/// What KVM supports, with the number of this processor and the timer that KVM does not list.
fn cpuid(kvm: &Kvm, id: u8) -> Result<CpuId, VmmError> {
    const HYPERVISOR: u32 = 1 << 31;
    const TSC_DEADLINE: u32 = 1 << 24;
    const INITIAL_APIC_ID_SHIFT: u32 = 24;
    let mut cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(VmmError::kvm("KVM_GET_SUPPORTED_CPUID"))?;
    let deadline = kvm.check_extension(Cap::TscDeadlineTimer);
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => {
                entry.ebx = entry.ebx & 0x00ff_ffff | u32::from(id) << INITIAL_APIC_ID_SHIFT;
                entry.ecx |= HYPERVISOR;
                if deadline {
                    entry.ecx |= TSC_DEADLINE;
                }
            }
            // Extended topology, and AMD's.
            0xb | 0x1f => entry.edx = id.into(),
            0x8000_001e => {
                entry.eax = id.into();
                entry.ebx = entry.ebx & !0xff | u32::from(id);
            }
            _ => {}
        }
    }
    Ok(cpuid)
}

fn set_msrs(vcpu: &VcpuFd) -> Result<(), VmmError> {
    const IA32_MISC_ENABLE: u32 = 0x1a0;
    const FAST_STRING: u64 = 1;
    const IA32_MTRR_DEF_TYPE: u32 = 0x2ff;
    const ENABLED_WRITE_BACK: u64 = 1 << 11 | 6;
    let entries = [
        (IA32_MISC_ENABLE, FAST_STRING),
        (IA32_MTRR_DEF_TYPE, ENABLED_WRITE_BACK),
    ]
    .map(|(index, data)| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    });
    let failed = |_| VmmError::Step {
        step: "list of MSRs",
        source: io::ErrorKind::InvalidInput.into(),
    };
    let msrs = Msrs::from_entries(&entries).map_err(failed)?;
    vcpu.set_msrs(&msrs)
        .map_err(VmmError::kvm("KVM_SET_MSRS"))?;
    Ok(())
}

/// LINT0 takes the old interrupt controller's line, LINT1 NMIs, as firmware leaves them.
fn set_lapic(vcpu: &VcpuFd) -> Result<(), VmmError> {
    const LVT_LINT0: usize = 0x350;
    const LVT_LINT1: usize = 0x360;
    const MODE_NMI: i8 = 4;
    const MODE_EXTINT: i8 = 7;
    let mut lapic = vcpu.get_lapic().map_err(VmmError::kvm("KVM_GET_LAPIC"))?;
    for (register, mode) in [(LVT_LINT0, MODE_EXTINT), (LVT_LINT1, MODE_NMI)] {
        // The delivery mode is in bits 8 to 10.
        lapic.regs[register + 1] = lapic.regs[register + 1] & !7 | mode;
    }
    vcpu.set_lapic(&lapic)
        .map_err(VmmError::kvm("KVM_SET_LAPIC"))
}

/// Runs virtual CPU `id` until the machine is to end.
pub(crate) fn run(id: u8, mut vcpu: VcpuFd, buses: &Buses, shared: &Arc<Shared>) {
    if id == 0 {
        shared.enter();
    }
    loop {
        match shared.order(id) {
            Order::Run => {}
            Order::Stop => return,
        }
        match vcpu.run() {
            Ok(exit) => {
                if let Some(end) = handle(id, exit, buses) {
                    shared.end(end);
                    return;
                }
            }
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {}
            Err(error) => {
                let source = io::Error::from_raw_os_error(error.errno());
                shared.end(Err(VmmError::Vcpu {
                    vcpu: id,
                    problem: format!("KVM_RUN: {source}"),
                }));
                return;
            }
        }
    }
}

/// Answers one exit; returns how the machine ends, if it does.
fn handle(id: u8, exit: VcpuExit<'_>, buses: &Buses) -> Option<Result<End, VmmError>> {
    let problem = |problem: String| Some(Err(VmmError::Vcpu { vcpu: id, problem }));
    match exit {
        VcpuExit::IoIn(port, data) => buses.ports.read(port.into(), data),
        VcpuExit::IoOut(port, data) => buses.ports.write(port.into(), data),
        VcpuExit::MmioRead(address, data) => buses.memory.read(address, data),
        VcpuExit::MmioWrite(address, data) => buses.memory.write(address, data),
        // A triple fault, by accident or as the kernel's last means of resetting.
        VcpuExit::Shutdown => return Some(Ok(End::TripleFault)),
        VcpuExit::SystemEvent(..) => return Some(Ok(End::Reset)),
        VcpuExit::FailEntry(reason, _) => {
            return problem(format!("the processor refuses its state ({reason:#x})"));
        }
        VcpuExit::InternalError => {
            return problem("KVM could not emulate an instruction".to_owned());
        }
        // Nothing to do: the interrupt controller is KVM's.
        VcpuExit::Hlt | VcpuExit::Intr | VcpuExit::IrqWindowOpen => {}
        other => return problem(format!("unexpected exit {other:?}")),
    }
    None
}
