//! Netlink messages, linux/netlink.h: their header and what becomes of it.

use rustix::io::Errno;

pub(super) const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_MULTI: u16 = 2;
/// `NLM_F_ROOT | NLM_F_MATCH`.
pub(super) const NLM_F_DUMP: u16 = 0x300;
const NLM_F_ACK: u16 = 4;
/// Below are messages of netlink itself.
const NLMSG_MIN_TYPE: u16 = 16;

/// `struct nlmsghdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
}

impl Header {
    /// The header at the start of `bytes`, if it and its message are whole.
    pub(super) fn parse(bytes: &[u8]) -> Option<Header> {
        let u32_at = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u16_at = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let header = Header {
            length: u32_at(0)?,
            kind: u16_at(4)?,
            flags: u16_at(6)?,
            sequence: u32_at(8)?,
            port: u32_at(12)?,
        };
        (HEADER_BYTES..=bytes.len())
            .contains(&(header.length as usize))
            .then_some(header)
    }

    pub(super) fn is_dump(&self) -> bool {
        self.flags & NLM_F_DUMP != 0
    }

    pub(super) fn wants_acknowledgement(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }

    /// Whether Linux looks at it at all.
    pub(super) fn is_request(&self) -> bool {
        self.flags & NLM_F_REQUEST != 0 && self.kind >= NLMSG_MIN_TYPE
    }

    pub(super) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.port.to_ne_bytes());
        bytes
    }
}

/// What to do about a guest's request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Ask the host this.
    Ask(Vec<u8>),
    /// Have the host change this: the flags of a list mean something else here.
    Change(Vec<u8>),
    /// Say this, of our own: whole messages.
    Answer(Vec<u8>),
    /// Answer with an error, a positive errno value.
    Refuse(i32),
    /// Linux takes no notice of it.
    Ignore,
}

/// The payload of the first attribute of this kind in a `struct rtattr` list.
pub(super) fn attribute(mut list: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [l0, l1, k0, k1, ..] = *list {
        let length = u16::from_ne_bytes([l0, l1]) as usize;
        let payload = list.get(4..length)?;
        if u16::from_ne_bytes([k0, k1]) == wanted {
            return Some(payload);
        }
        list = list.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// `NLMSG_ERROR` in answer to a request, which is in it whole unless the error is 0.
pub(super) fn error(request: &[u8], header: &Header, errno: i32, port: u32) -> Vec<u8> {
    let about = if errno == 0 {
        &request[..HEADER_BYTES]
    } else {
        request
    };
    let answer = Header {
        length: (HEADER_BYTES + 4 + about.len().next_multiple_of(4)) as u32,
        kind: NLMSG_ERROR,
        flags: 0,
        sequence: header.sequence,
        port,
    };
    let mut bytes = answer.bytes().to_vec();
    bytes.extend_from_slice(&(-errno).to_ne_bytes());
    bytes.extend_from_slice(about);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// What the host answered if it is no data: an error, or that a change was made. It repeats our question there,
/// not the guest's.
pub(super) fn outcome(answer: &[u8]) -> Option<Result<(), Errno>> {
    let header = Header::parse(answer)?;
    if header.kind != NLMSG_ERROR {
        return None;
    }
    let code = answer.get(HEADER_BYTES..HEADER_BYTES + 4)?;
    match i32::from_ne_bytes([code[0], code[1], code[2], code[3]]) {
        0 => Some(Ok(())),
        code @ -4095..0 => Some(Err(Errno::from_raw_os_error(-code))),
        _ => Some(Err(Errno::IO)),
    }
}

/// Make the host's answer to us one to `port`. True when it is the last one.
pub(super) fn redirect(answer: &mut [u8], port: u32) -> bool {
    let mut at = 0;
    let mut last = false;
    while let Some(header) = answer.get(at..).and_then(Header::parse) {
        answer[at + 12..at + HEADER_BYTES].copy_from_slice(&port.to_ne_bytes());
        // An answer that is not part of a dump stands alone.
        last |= matches!(header.kind, NLMSG_DONE | NLMSG_ERROR) || header.flags & NLM_F_MULTI == 0;
        at += (header.length as usize).next_multiple_of(4);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u16, flags: u16, rest: &[u8]) -> Vec<u8> {
        let header = Header {
            length: (HEADER_BYTES + rest.len()) as u32,
            kind,
            flags,
            sequence: 7,
            port: 9,
        };
        let mut bytes = header.bytes().to_vec();
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut bytes = request(18, 0x301, &[0; 4]);
        for length in [0u32, 15, 21, u32::MAX] {
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Header::parse(&bytes), None, "{length}");
        }
        assert_eq!(Header::parse(&bytes[..15]), None);
    }

    #[test]
    fn answers_are_redirected_message_by_message() {
        let mut answer = request(16, 2, &[0; 6]);
        answer.extend_from_slice(&[0; 2]);
        answer.extend_from_slice(&request(NLMSG_DONE, 2, &[0; 4]));
        assert!(redirect(&mut answer, 42));
        assert_eq!(Header::parse(&answer).map(|h| h.port), Some(42));
        assert_eq!(
            Header::parse(&answer[24..]).map(|h| (h.kind, h.port)),
            Some((NLMSG_DONE, 42))
        );
        assert!(!redirect(&mut request(16, 2, &[0; 4]), 1));
    }
}
