//! ACPI tables: how distribution kernels, which read neither MP tables nor devices on the command line, find
//! processors, interrupt lines and virtio-mmio devices. Hardware-reduced (ACPI 6.5, section 4.1): no power management,
//! no timer and no interrupt of ACPI's own.

use acpi_tables::Aml;
use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Path, ResourceTemplate, Scope,
};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic,
};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;

use super::address::ACPI;
use super::{IO_APIC, LOCAL_APIC, Place};
use crate::legacy::{SERIAL_INTERRUPT, ports};
use crate::virtio::mmio;

const OEM: [u8; 6] = *b"CAISSO";
const TABLE: [u8; 8] = *b"CAISSON ";
const REVISION: u32 = 1;

/// Each table starts at a multiple of this.
const ALIGNMENT: usize = 64;

/// All tables for [`ACPI`], the root pointer first.
pub(super) fn tables(vcpus: u8, devices: &[Place]) -> Vec<u8> {
    // The root pointer is written when it is known what it points to.
    let mut bytes = vec![0; Rsdp::len().next_multiple_of(ALIGNMENT)];
    let dsdt = append(&mut bytes, &dsdt(devices));
    let fadt = append(&mut bytes, &fadt(dsdt));
    let madt = append(&mut bytes, &madt(vcpus));
    let mut xsdt = XSDT::new(OEM, TABLE, REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = append(&mut bytes, &xsdt);
    let mut root = Vec::new();
    Rsdp::new(OEM, xsdt).to_aml_bytes(&mut root);
    bytes[..root.len()].copy_from_slice(&root);
    bytes
}

/// Adds a table and returns its address.
fn append(bytes: &mut Vec<u8>, table: &dyn Aml) -> u64 {
    let start = bytes.len();
    table.to_aml_bytes(bytes);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    ACPI + start as u64
}

fn fadt(dsdt: u64) -> impl Aml {
    /// There are devices that are not found by asking: the serial line. No VGA, no MSI; a keyboard controller is not
    /// worth looking for.
    const LEGACY_DEVICES_NO_VGA_NO_MSI: u16 = 1 | 1 << 2 | 1 << 3;
    let mut fadt = FADTBuilder::new(OEM, TABLE, REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::Wbinvd)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::HwReducedAcpi);
    fadt.iapc_boot_arch = LEGACY_DEVICES_NO_VGA_NO_MSI.into();
    fadt.finalize()
}

fn madt(vcpus: u8) -> impl Aml {
    let address = LocalInterruptController::Address(LOCAL_APIC);
    let mut madt = MADT::new(OEM, TABLE, REVISION, address);
    for id in 0..vcpus {
        madt.add_structure(ProcessorLocalApic::new(id, id, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(vcpus + 1, IO_APIC, 0));
    madt
}

/// The serial line and the virtio devices.
fn dsdt(devices: &[Place]) -> Sdt {
    const BARE_HEADER_BYTES: u32 = 36;
    let mut dsdt = Sdt::new(*b"DSDT", BARE_HEADER_BYTES, 2, OEM, TABLE, REVISION);
    let mut body = Vec::new();
    let (port, count) = ports::SERIAL;
    let port = IO::new(port as u16, port as u16, 1, count as u8);
    let line = interrupt(SERIAL_INTERRUPT);
    device(
        &mut body,
        "COM1",
        &EISAName::new("PNP0501"),
        0,
        vec![&port, &line],
    );
    for (number, place) in (0_u8..).zip(devices) {
        let memory = Memory32Fixed::new(true, place.address as u32, mmio::LENGTH as u32);
        let line = interrupt(place.line);
        let name = format!("V{number:03}");
        device(&mut body, &name, &"LNRO0005", number, vec![&memory, &line]);
    }
    dsdt.append_slice(&Scope::raw(Path::new("\\_SB_"), body));
    dsdt
}

/// `kind` is what the kernel knows its driver by; `number` tells it from others of its kind.
fn device(body: &mut Vec<u8>, name: &str, kind: &dyn Aml, number: u8, resources: Vec<&dyn Aml>) {
    let kind = Name::new("_HID".into(), kind);
    let number = Name::new("_UID".into(), &number);
    let resources = Name::new("_CRS".into(), &ResourceTemplate::new(resources));
    let parts: Vec<&dyn Aml> = vec![&kind, &number, &resources];
    Device::new(name.into(), parts).to_aml_bytes(body);
}

/// Edge triggered and active high, as event descriptors raise them.
fn interrupt(line: u32) -> Interrupt {
    Interrupt::new(true, true, false, false, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_lead_to_each_other_and_add_up_to_zero() {
        let places: Vec<Place> = (0..18)
            .map(|index| Place {
                address: 0xd000_0000 + index * 0x1000,
                line: 5 + index as u32,
            })
            .collect();
        let bytes = tables(64, &places);
        assert!(ACPI + bytes.len() as u64 <= 0x10_0000, "{}", bytes.len());
        let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(&bytes[..8], b"RSD PTR ");
        assert_eq!((sum(&bytes[..20]), sum(&bytes[..36])), (0, 0));
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let table = |pointer: usize, name: &[u8; 4]| {
            let start = word(pointer) as usize - ACPI as usize;
            let length = word(start + 4) as usize;
            assert_eq!(&bytes[start..start + 4], name);
            assert_eq!(sum(&bytes[start..start + length]), 0);
            start
        };
        let xsdt = table(24, b"XSDT");
        let fadt = table(xsdt + 36, b"FACP");
        table(xsdt + 44, b"APIC");
        let dsdt = table(fadt + 140, b"DSDT");
        let body = &bytes[dsdt..dsdt + word(dsdt + 4) as usize];
        let count = body
            .windows(8)
            .filter(|window| window == b"LNRO0005")
            .count();
        assert_eq!(count, places.len());
    }
}
