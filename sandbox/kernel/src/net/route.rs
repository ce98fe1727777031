//! NETLINK_ROUTE, rtnetlink(7): lists of links, addresses, routes, neighbours and rules, single ones of them by
//! their key, and changes by those who have CAP_NET_ADMIN.
//!
//! Of a guest's request only what is known here reaches the host: fixed parts, and attributes of the lists below.

use super::message::{
    Decision, HEADER_BYTES, Header, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE, attribute,
};
use super::server::Asker;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETRULE: u16 = 34;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
/// The last of Linux 6.18.
const RTM_MAX: u16 = 123;
/// `NLM_F_REPLACE | NLM_F_EXCL | NLM_F_CREATE | NLM_F_APPEND`.
const HOW_TO_CHANGE: u16 = 0xf00;
const NLM_F_ACK: u16 = 4;
const RTA_UID: u16 = 25;

/// What may be in a request for one object or for a change of one.
struct Form {
    kind: u16,
    /// The struct behind the header.
    fixed_bytes: usize,
    /// Attributes with their largest length.
    attributes: &'static [(u16, usize)],
}

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
/// linux/rtnetlink.h, struct ifinfomsg.
const LINK: (usize, usize) = (16, libc::IFNAMSIZ);

/// Destination, source, interfaces, priority, table, mark and user of a route; flags beyond these would change
/// what the answer is.
const ONE_ROUTE: &[(u16, usize)] = &[(1, 16), (2, 16), (3, 4), (4, 4), (15, 4), (16, 4)];
const CHANGED_ROUTE: &[(u16, usize)] =
    &[(1, 16), (2, 16), (4, 4), (5, 16), (6, 4), (7, 16), (15, 4)];
/// IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_FLAGS.
const ADDRESS: &[(u16, usize)] = &[(1, 16), (2, 16), (3, libc::IFNAMSIZ), (4, 16), (8, 4)];
/// NDA_DST, NDA_LLADDR.
const NEIGHBOUR: &[(u16, usize)] = &[(1, 16), (2, 32)];

const fn form(kind: u16, fixed_bytes: usize, attributes: &'static [(u16, usize)]) -> Form {
    Form {
        kind,
        fixed_bytes,
        attributes,
    }
}

const QUESTIONS: &[Form] = &[
    form(RTM_GETLINK, LINK.0, &[(IFLA_IFNAME, LINK.1)]),
    form(RTM_GETROUTE, 12, ONE_ROUTE),
    form(RTM_GETNEIGH, 12, NEIGHBOUR),
];

const CHANGES: &[Form] = &[
    form(RTM_NEWLINK, LINK.0, &[(IFLA_IFNAME, LINK.1), (IFLA_MTU, 4)]),
    form(RTM_NEWADDR, 8, ADDRESS),
    form(RTM_DELADDR, 8, ADDRESS),
    form(RTM_NEWROUTE, 12, CHANGED_ROUTE),
    form(RTM_DELROUTE, 12, CHANGED_ROUTE),
    form(RTM_NEWNEIGH, 12, NEIGHBOUR),
    form(RTM_DELNEIGH, 12, NEIGHBOUR),
];

pub(super) fn decide(request: &[u8], header: &Header, asker: Asker) -> Decision {
    if !header.is_request() {
        return Decision::Ignore;
    }
    if header.kind > RTM_MAX {
        return Decision::Refuse(libc::EOPNOTSUPP);
    }
    // Numbers come in fours: NEW, DEL, GET, SET.
    if header.kind & 3 != 2 {
        if !asker.net_admin {
            return Decision::Refuse(libc::EPERM);
        }
        return match CHANGES.iter().find(|form| form.kind == header.kind) {
            Some(form) if !makes_link(request, header) => {
                let flags = NLM_F_REQUEST | NLM_F_ACK | header.flags & HOW_TO_CHANGE;
                written(form, request, header, flags, Unknown::Refused)
                    .map_or(Decision::Refuse(libc::EOPNOTSUPP), Decision::Change)
            }
            _ => Decision::Refuse(libc::EOPNOTSUPP),
        };
    }
    if header.kind == RTM_GETNSID {
        return number_of_namespace(request, header);
    }
    let listed = matches!(
        header.kind,
        RTM_GETLINK | RTM_GETADDR | RTM_GETROUTE | RTM_GETNEIGH | RTM_GETRULE
    );
    if header.is_dump() {
        return if listed {
            Decision::Ask(list(request, header))
        } else {
            Decision::Refuse(libc::EOPNOTSUPP)
        };
    }
    let Some(form) = QUESTIONS.iter().find(|form| form.kind == header.kind) else {
        return Decision::Refuse(libc::EOPNOTSUPP);
    };
    let Some(mut question) = written(form, request, header, NLM_F_REQUEST, Unknown::Dropped) else {
        return Decision::Refuse(libc::EINVAL);
    };
    if header.kind == RTM_GETROUTE {
        // Rules may decide by the user, who is not us.
        attach(&mut question, RTA_UID, &asker.uid.to_ne_bytes());
    }
    Decision::Ask(question)
}

/// No network has a number for another, because nobody can give it one: what ip-netns(8) wants to know before it lists.
fn number_of_namespace(request: &[u8], header: &Header) -> Decision {
    /// linux/net_namespace.h.
    const NETNSA_NSID: u16 = 1;
    const NETNSA_PID: u16 = 2;
    const NETNSA_FD: u16 = 3;
    const NOT_ASSIGNED: i32 = -1;
    /// `struct rtgenmsg`, padded.
    const FIXED_BYTES: usize = 4;
    let answer = |kind, flags| {
        let head = Header {
            length: 0,
            kind,
            flags,
            port: 0,
            ..*header
        };
        let mut bytes = head.bytes().to_vec();
        bytes.extend_from_slice(&[0; FIXED_BYTES]);
        set_length(&mut bytes);
        bytes
    };
    if header.is_dump() {
        return Decision::Answer(answer(NLMSG_DONE, NLM_F_MULTI));
    }
    let named = request.get(HEADER_BYTES + FIXED_BYTES..).unwrap_or(&[]);
    let has = |kind| attribute(named, kind).is_some_and(|value| value.len() >= 4);
    if has(NETNSA_PID) || has(NETNSA_FD) {
        let mut bytes = answer(RTM_NEWNSID, 0);
        attach(&mut bytes, NETNSA_NSID, &NOT_ASSIGNED.to_ne_bytes());
        Decision::Answer(bytes)
    } else if has(NETNSA_NSID) {
        Decision::Refuse(libc::ENOENT)
    } else {
        Decision::Refuse(libc::EINVAL)
    }
}

/// A new interface is described by what it is made of, which no form has; without that Linux takes a request with
/// `NLM_F_CREATE` as well, and fails differently.
fn makes_link(request: &[u8], header: &Header) -> bool {
    const IFLA_LINKINFO: u16 = 18;
    header.kind == RTM_NEWLINK
        && request
            .get(HEADER_BYTES + LINK.0..)
            .is_some_and(|list| super::message::attribute(list, IFLA_LINKINFO).is_some())
}

/// A dump, with `struct rtgenmsg` and its padding: nothing of it but family and sequence number is the guest's.
fn list(request: &[u8], header: &Header) -> Vec<u8> {
    let family = request.get(HEADER_BYTES).copied().unwrap_or(0);
    let question = Header {
        length: HEADER_BYTES as u32 + 4,
        flags: NLM_F_REQUEST | NLM_F_DUMP,
        port: 0,
        ..*header
    };
    let mut bytes = question.bytes().to_vec();
    bytes.extend_from_slice(&[family, 0, 0, 0]);
    bytes
}

/// What becomes of attributes that a form does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Dropped,
    Refused,
}

/// The request, written anew by its form. `None` for one that is too short or has what the form does not allow.
fn written(
    form: &Form,
    request: &[u8],
    header: &Header,
    flags: u16,
    unknown: Unknown,
) -> Option<Vec<u8>> {
    let question = Header {
        length: 0,
        flags,
        port: 0,
        ..*header
    };
    let mut bytes = question.bytes().to_vec();
    let behind = HEADER_BYTES + form.fixed_bytes;
    bytes.extend_from_slice(request.get(HEADER_BYTES..behind)?);
    let mut rest = &request[behind..];
    while let [l0, l1, k0, k1, ..] = *rest {
        let length = u16::from_ne_bytes([l0, l1]) as usize;
        let kind = u16::from_ne_bytes([k0, k1]);
        let content = rest.get(4..length)?;
        match form.attributes.iter().find(|(known, _)| *known == kind) {
            Some((_, most)) if content.len() <= *most => attach(&mut bytes, kind, content),
            None if unknown == Unknown::Dropped => {}
            _ => return None,
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    set_length(&mut bytes);
    Some(bytes)
}

fn attach(bytes: &mut Vec<u8>, kind: u16, content: &[u8]) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(&(4 + content.len() as u16).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    set_length(bytes);
}

fn set_length(bytes: &mut [u8]) {
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Asker = Asker {
        uid: 7,
        net_admin: false,
    };
    const ADMIN: Asker = Asker {
        uid: 0,
        net_admin: true,
    };

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

    fn decided(bytes: &[u8], asker: Asker) -> Decision {
        decide(bytes, &Header::parse(bytes).expect("whole"), asker)
    }

    fn with_attribute(fixed: usize, kind: u16, content: &[u8]) -> Vec<u8> {
        let mut rest = vec![0; fixed];
        rest.extend_from_slice(&(4 + content.len() as u16).to_ne_bytes());
        rest.extend_from_slice(&kind.to_ne_bytes());
        rest.extend_from_slice(content);
        rest
    }

    #[test]
    fn only_family_and_sequence_of_a_dump_reach_the_host() {
        let hostile = request(
            RTM_GETLINK,
            0x301 | 0x4000,
            &[10, 1, 2, 3, 0xff, 0xff, 0xff, 0xff],
        );
        let Decision::Ask(question) = decided(&hostile, NOBODY) else {
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
    fn one_object_is_asked_for_with_known_attributes_only() {
        let by_name = |name: &[u8]| request(RTM_GETLINK, 1, &with_attribute(16, 3, name));
        let Decision::Ask(question) = decided(&by_name(b"eth0\0"), NOBODY) else {
            panic!("a name is enough")
        };
        assert_eq!(&question[32..41], b"\x09\0\x03\0eth0\0");
        assert_eq!(
            decided(&by_name(b"much-too-long-for-one\0"), NOBODY),
            Decision::Refuse(libc::EINVAL)
        );
        let other = request(RTM_GETLINK, 1, &with_attribute(16, 99, b"eth0"));
        assert_eq!(decided(&other, NOBODY), Decision::Ask(request_of_16()));
        let mut lying = by_name(b"eth0\0");
        lying[32] = 0xff;
        assert_eq!(decided(&lying, NOBODY), Decision::Refuse(libc::EINVAL));
    }

    fn request_of_16() -> Vec<u8> {
        let mut bytes = request(RTM_GETLINK, 1, &[0; 16]);
        bytes[12..16].fill(0);
        bytes
    }

    #[test]
    fn a_route_is_looked_up_for_the_guests_user() {
        let lookup = request(RTM_GETROUTE, 1, &with_attribute(12, 1, &[127, 0, 0, 1]));
        let Decision::Ask(question) = decided(&lookup, NOBODY) else {
            panic!("a route is asked for")
        };
        assert_eq!(question[36..], [8, 0, 25, 0, 7, 0, 0, 0]);
        assert_eq!(question.len(), question[0] as usize);
    }

    #[test]
    fn changes_are_for_administrators_and_of_known_kinds() {
        let up = request(RTM_NEWLINK, 0x5, &[0; 16]);
        assert_eq!(decided(&up, NOBODY), Decision::Refuse(libc::EPERM));
        assert!(matches!(decided(&up, ADMIN), Decision::Change(_)));
        let veth = request(RTM_NEWLINK, 0x605, &with_attribute(16, 18, b"veth"));
        assert_eq!(decided(&veth, ADMIN), Decision::Refuse(libc::EOPNOTSUPP));
        let unknown = request(RTM_NEWADDR, 0x605, &with_attribute(8, 99, b"xxxx"));
        assert_eq!(decided(&unknown, ADMIN), Decision::Refuse(libc::EOPNOTSUPP));
        assert_eq!(
            decided(&request(66, 0x301, &[]), NOBODY),
            Decision::Refuse(libc::EOPNOTSUPP)
        );
        assert_eq!(
            decided(&request(36, 0x5, &[0; 20]), ADMIN),
            Decision::Refuse(libc::EOPNOTSUPP)
        );
        assert_eq!(
            decided(&request(RTM_GETLINK, 0, &[0; 16]), ADMIN),
            Decision::Ignore
        );
        assert_eq!(decided(&request(3, 1, &[]), ADMIN), Decision::Ignore);
    }
}
