//! `struct virtio_vsock_hdr`.

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 44;

/// The host's address.
pub(super) const HOST_CID: u64 = 2;

const STREAM: u16 = 1;

/// What a packet is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Request,
    Response,
    Reset,
    Shutdown,
    Data,
    CreditUpdate,
    CreditRequest,
}

impl Operation {
    fn from_number(number: u16) -> Option<Operation> {
        Some(match number {
            1 => Operation::Request,
            2 => Operation::Response,
            3 => Operation::Reset,
            4 => Operation::Shutdown,
            5 => Operation::Data,
            6 => Operation::CreditUpdate,
            7 => Operation::CreditRequest,
            _ => return None,
        })
    }

    fn number(self) -> u16 {
        match self {
            Operation::Request => 1,
            Operation::Response => 2,
            Operation::Reset => 3,
            Operation::Shutdown => 4,
            Operation::Data => 5,
            Operation::CreditUpdate => 6,
            Operation::CreditRequest => 7,
        }
    }
}

/// Whoever sends it will receive no more.
pub(super) const SHUTDOWN_RECEIVE: u32 = 1;

/// Whoever sends it will send no more.
pub(super) const SHUTDOWN_SEND: u32 = 2;

/// The two ports of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    pub(super) host: u32,
    pub(super) guest: u32,
}

/// A header, of a stream between this guest and its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) ports: Ports,
    pub(super) length: u32,
    /// None when it is not one of the protocol's.
    pub(super) operation: Option<Operation>,
    pub(super) flags: u32,
    /// How much the sender can take in all, and how much it has passed on.
    pub(super) buffer: u32,
    pub(super) forwarded: u32,
    stream: bool,
    source: u64,
    destination: u64,
}

impl Header {
    /// From the host to the guest.
    pub(super) fn to_guest(cid: u64, ports: Ports, operation: Operation) -> Header {
        Header {
            ports,
            length: 0,
            operation: Some(operation),
            flags: 0,
            buffer: 0,
            forwarded: 0,
            stream: true,
            source: HOST_CID,
            destination: cid,
        }
    }

    /// What the guest has sent.
    pub(super) fn from_guest(bytes: &[u8; HEADER_BYTES]) -> Header {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        Header {
            source: long(0),
            destination: long(8),
            ports: Ports {
                guest: word(16),
                host: word(20),
            },
            length: word(24),
            stream: half(28) == STREAM,
            operation: Operation::from_number(half(30)),
            flags: word(32),
            buffer: word(36),
            forwarded: word(40),
        }
    }

    /// Whether it came from the guest `cid`, is for the host, and of a stream.
    pub(super) fn is_from(&self, cid: u64) -> bool {
        self.stream && self.source == cid && self.destination == HOST_CID
    }

    pub(super) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.source.to_le_bytes());
        put(8, &self.destination.to_le_bytes());
        put(16, &self.ports.host.to_le_bytes());
        put(20, &self.ports.guest.to_le_bytes());
        put(24, &self.length.to_le_bytes());
        put(28, &STREAM.to_le_bytes());
        let number = self.operation.map_or(0, Operation::number);
        put(30, &number.to_le_bytes());
        put(32, &self.flags.to_le_bytes());
        put(36, &self.buffer.to_le_bytes());
        put(40, &self.forwarded.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_keeps_its_fields() {
        let ports = Ports {
            host: 0x4000_0001,
            guest: 1024,
        };
        let mut header = Header::to_guest(3, ports, Operation::Data);
        header.length = 0x0102_0304;
        header.buffer = 7;
        header.forwarded = 9;
        let bytes = header.bytes();
        assert_eq!(bytes[16..20], ports.host.to_le_bytes());
        let parsed = Header::from_guest(&bytes);
        assert_eq!(parsed.length, header.length);
        assert_eq!(parsed.operation, Some(Operation::Data));
        // Source and destination are the other way round for the guest.
        assert_eq!(
            (parsed.ports.guest, parsed.ports.host),
            (ports.host, ports.guest)
        );
        assert!(!parsed.is_from(3));
    }
}
