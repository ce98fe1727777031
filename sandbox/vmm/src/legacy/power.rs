//! How a guest ends its machine: the keyboard controller's reset line, and a port of our own.

use std::sync::Arc;

use crate::bus::BusDevice;
use crate::shared::{End, Shared};

/// Enough of an i8042 for a kernel to find no keyboard and to reset the machine through it.
pub(crate) struct Keyboard {
    pub(crate) shared: Arc<Shared>,
}

const COMMAND: u64 = 4;
const RESET: u8 = 0xfe;

impl BusDevice for Keyboard {
    fn read(&mut self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        if offset == COMMAND && data == [RESET] {
            self.shared.end(Ok(End::Reset));
        }
    }
}

/// The port 0xca5, one byte: 0 shuts the machine down, any other value is a boot mark of that number, whose
/// time `stats` tells.
pub(crate) struct Port {
    pub(crate) shared: Arc<Shared>,
}

impl BusDevice for Port {
    fn read(&mut self, _offset: u64, data: &mut [u8]) {
        // A value by which a guest knows that the port is there.
        data.fill(0xca);
    }

    fn write(&mut self, _offset: u64, data: &[u8]) {
        match data {
            [0] => self.shared.end(Ok(End::Shutdown)),
            [number] => self.shared.mark(*number),
            _ => {}
        }
    }
}
