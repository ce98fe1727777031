//! Netlink messages, linux/netlink.h and linux/rtnetlink.h: what a guest asks, what the host is asked
//! instead, what the guest is told.

pub(super) const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const NLM_F_DUMP: u16 = 0x300;
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETRULE: u16 = 34;

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

    fn bytes(&self) -> [u8; HEADER_BYTES] {
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
    /// Ask the host this; nothing of it but family and sequence number is the guest's.
    Ask(Vec<u8>),
    /// Answer with an error, a positive errno value.
    Refuse(i32),
}

pub(super) fn decide(request: &[u8], header: &Header) -> Decision {
    match header.kind {
        RTM_GETLINK | RTM_GETADDR | RTM_GETROUTE | RTM_GETNEIGH | RTM_GETRULE => {}
        // rtnetlink numbers come in fours: NEW, DEL, GET, SET.
        kind if kind >= 16 && kind & 3 != 2 => return Decision::Refuse(libc::EPERM),
        _ => return Decision::Refuse(libc::EOPNOTSUPP),
    }
    if header.flags & NLM_F_DUMP == 0 {
        return one_link(request, header).map_or(Decision::Refuse(libc::EOPNOTSUPP), Decision::Ask);
    }
    let family = request.get(HEADER_BYTES).copied().unwrap_or(0);
    // `struct rtgenmsg` and its padding.
    let question = Header {
        length: HEADER_BYTES as u32 + 4,
        kind: header.kind,
        flags: NLM_F_REQUEST | NLM_F_DUMP,
        sequence: header.sequence,
        port: 0,
    };
    let mut bytes = question.bytes().to_vec();
    bytes.extend_from_slice(&[family, 0, 0, 0]);
    Decision::Ask(bytes)
}

/// The question for one interface by its index or name, rtnetlink(7). Only the number and the name are the guest's;
/// `None` when neither is sound.
fn one_link(request: &[u8], header: &Header) -> Option<Vec<u8>> {
    const IFINFOMSG_BYTES: usize = 16;
    const IFLA_IFNAME: u16 = 3;
    let body = request.get(HEADER_BYTES..)?;
    if header.kind != RTM_GETLINK || body.len() < IFINFOMSG_BYTES {
        return None;
    }
    let index: [u8; 4] = body.get(4..8)?.try_into().ok()?;
    let mut attributes = Vec::new();
    if let Some(name) = attribute(&body[IFINFOMSG_BYTES..], IFLA_IFNAME) {
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || !name.iter().all(u8::is_ascii_graphic)
        {
            return None;
        }
        attributes.extend_from_slice(&(4 + name.len() as u16 + 1).to_ne_bytes());
        attributes.extend_from_slice(&IFLA_IFNAME.to_ne_bytes());
        attributes.extend_from_slice(name);
        attributes.push(0);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    } else if index == [0; 4] {
        return None;
    }
    let question = Header {
        length: (HEADER_BYTES + IFINFOMSG_BYTES + attributes.len()) as u32,
        kind: RTM_GETLINK,
        flags: NLM_F_REQUEST,
        sequence: header.sequence,
        port: 0,
    };
    let mut bytes = question.bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&index);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&attributes);
    Some(bytes)
}

/// The payload of the first attribute of this kind in a `struct rtattr` list.
fn attribute(mut list: &[u8], wanted: u16) -> Option<&[u8]> {
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

/// `NLMSG_ERROR` in answer to the request with this header.
pub(super) fn error(request: &Header, errno: i32, port: u32) -> Vec<u8> {
    let header = Header {
        length: HEADER_BYTES as u32 * 2 + 4,
        kind: NLMSG_ERROR,
        flags: 0,
        sequence: request.sequence,
        port,
    };
    let mut bytes = header.bytes().to_vec();
    bytes.extend_from_slice(&(-errno).to_ne_bytes());
    bytes.extend_from_slice(&request.bytes());
    bytes
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

    fn decided(bytes: &[u8]) -> Decision {
        decide(bytes, &Header::parse(bytes).expect("whole"))
    }

    #[test]
    fn only_family_and_sequence_of_a_dump_reach_the_host() {
        let hostile = request(
            RTM_GETLINK,
            0x301 | 0x4000,
            &[10, 1, 2, 3, 0xff, 0xff, 0xff, 0xff],
        );
        let Decision::Ask(question) = decided(&hostile) else {
            panic!("a dump is asked for")
        };
        assert_eq!(question.len(), 20);
        assert_eq!(
            Header::parse(&question).map(|h| (h.kind, h.flags, h.sequence, h.port)),
            Some((18, 0x301, 7, 0))
        );
        assert_eq!(question[16..], [10, 0, 0, 0]);
    }

    #[test]
    fn one_interface_is_asked_for_by_a_sound_name_or_number_only() {
        let by_name = |name: &[u8]| {
            let mut rest = vec![0; 16];
            rest.extend_from_slice(&(4 + name.len() as u16).to_ne_bytes());
            rest.extend_from_slice(&3u16.to_ne_bytes());
            rest.extend_from_slice(name);
            request(RTM_GETLINK, 1, &rest)
        };
        let Decision::Ask(question) = decided(&by_name(b"eth0\0")) else {
            panic!("a name is enough")
        };
        assert_eq!(&question[32..41], b"\x09\0\x03\0eth0\0");
        for name in [&b"\0"[..], b"a/\x01b\0", b"much-too-long-for-one\0"] {
            assert_eq!(
                decided(&by_name(name)),
                Decision::Refuse(libc::EOPNOTSUPP),
                "{name:?}"
            );
        }
        let mut lying = by_name(b"eth0\0");
        lying[32] = 0xff;
        assert_eq!(decided(&lying), Decision::Refuse(libc::EOPNOTSUPP));
        assert_eq!(
            decided(&request(RTM_GETLINK, 1, &[0; 16])),
            Decision::Refuse(libc::EOPNOTSUPP)
        );
    }

    #[test]
    fn changes_and_everything_else_are_refused() {
        assert_eq!(
            decided(&request(16, 0x5, &[0; 16])),
            Decision::Refuse(libc::EPERM)
        );
        assert_eq!(
            decided(&request(25, 0x301, &[0; 16])),
            Decision::Refuse(libc::EPERM)
        );
        assert_eq!(
            decided(&request(RTM_GETROUTE, 1, &[2; 16])),
            Decision::Refuse(libc::EOPNOTSUPP)
        );
        assert_eq!(
            decided(&request(66, 0x301, &[])),
            Decision::Refuse(libc::EOPNOTSUPP)
        );
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut bytes = request(RTM_GETLINK, 0x301, &[0; 4]);
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
