//! The first serial line, output only.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;

use vm_superio::Trigger;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::bus::BusDevice;
use crate::{Serial, VmmError};

/// Raises the line's interrupt.
struct Line(Arc<EventFd>);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// A 16550A.
pub(crate) struct SerialLine {
    device: vm_superio::Serial<Line, vm_superio::serial::NoEvents, Box<dyn Write + Send>>,
    interrupt: Arc<EventFd>,
}

impl SerialLine {
    pub(crate) fn new(sink: &Serial) -> Result<SerialLine, VmmError> {
        let output: Box<dyn Write + Send> = match sink {
            Serial::Discard => Box::new(io::sink()),
            Serial::Stdout => Box::new(io::stdout()),
            Serial::File(path) => Box::new(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path)
                    .map_err(VmmError::io("open", path))?,
            ),
        };
        let interrupt = Arc::new(EventFd::new(EFD_NONBLOCK).map_err(VmmError::step("eventfd"))?);
        Ok(SerialLine {
            device: vm_superio::Serial::new(Line(Arc::clone(&interrupt)), output),
            interrupt,
        })
    }

    pub(crate) fn interrupt(&self) -> &EventFd {
        &self.interrupt
    }
}

impl BusDevice for SerialLine {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data) {
            *byte = self.device.read(offset);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data) {
            // Output that cannot be written is lost, as on a line that nobody listens to.
            self.device.write(offset, *byte).ok();
        }
    }
}
