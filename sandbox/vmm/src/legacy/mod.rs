//! What every PC has: serial line, keyboard controller, clock; and a port of our own.

mod clock;
mod power;
mod serial;

pub(crate) use clock::Clock;
pub(crate) use power::{Keyboard, Port};
pub(crate) use serial::SerialLine;

/// First I/O port and number of ports of each device.
pub(crate) mod ports {
    pub(crate) const KEYBOARD: (u64, u64) = (0x60, 5);
    pub(crate) const CLOCK: (u64, u64) = (0x70, 2);
    pub(crate) const SERIAL: (u64, u64) = (0x3f8, 8);
    pub(crate) const CAISSON: (u64, u64) = (0xca5, 1);
}

/// The interrupt of the first serial line.
pub(crate) const SERIAL_INTERRUPT: u32 = 4;
