//! NETLINK_SOCK_DIAG, sock_diag(7): the sockets of the pod's network.
//!
//! Of a guest's request only the fixed parts reach the host: a filter program (`INET_DIAG_REQ_BYTECODE`) is left
//! out, so that the guest gets more than it asked for and chooses itself, as ss(8) does.

use super::message::{Decision, HEADER_BYTES, Header, NLM_F_DUMP, NLM_F_REQUEST};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// linux/socket.h, Linux 6.18.
const AF_MAX: i32 = 46;
/// `struct inet_diag_req_v2` and `struct inet_diag_msg`, linux/inet_diag.h.
const INET_REQUEST_BYTES: usize = 56;
const INET_ANSWER_BYTES: usize = 72;
/// `struct unix_diag_req`, linux/unix_diag.h.
const UNIX_REQUEST_BYTES: usize = 24;
/// Attributes that name something of the host: `INET_DIAG_CGROUP_ID`, `INET_DIAG_SK_BPF_STORAGES`.
const OF_HOST: &[u16] = &[20, 21];

pub(super) fn decide(request: &[u8], header: &Header) -> Decision {
    if !header.is_request() {
        return Decision::Ignore;
    }
    match header.kind {
        SOCK_DIAG_BY_FAMILY => {}
        SOCK_DESTROY => return Decision::Refuse(libc::EPERM),
        _ => return Decision::Refuse(libc::EINVAL),
    }
    let body = &request[HEADER_BYTES..];
    let fixed = match body.first().map(|family| i32::from(*family)) {
        Some(libc::AF_INET | libc::AF_INET6) => body.get(..INET_REQUEST_BYTES),
        Some(libc::AF_UNIX) => body.get(..UNIX_REQUEST_BYTES),
        Some(AF_MAX..) => return Decision::Refuse(libc::EINVAL),
        // As on a kernel without a module for the family.
        Some(_) => return Decision::Refuse(libc::ENOENT),
        None => None,
    };
    let Some(fixed) = fixed else {
        return Decision::Refuse(libc::EINVAL);
    };
    let question = Header {
        length: (HEADER_BYTES + fixed.len()) as u32,
        flags: NLM_F_REQUEST | header.flags & NLM_F_DUMP,
        port: 0,
        ..*header
    };
    let mut bytes = question.bytes().to_vec();
    bytes.extend_from_slice(fixed);
    Decision::Ask(bytes)
}

/// Blank what names something of the host.
pub(super) fn hide(answer: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = answer.get(at..).and_then(Header::parse) {
        let end = at + header.length as usize;
        let family = answer.get(at + HEADER_BYTES).copied().map_or(0, i32::from);
        if header.kind == SOCK_DIAG_BY_FAMILY && matches!(family, libc::AF_INET | libc::AF_INET6) {
            blank(
                answer
                    .get_mut(at + HEADER_BYTES + INET_ANSWER_BYTES..end)
                    .unwrap_or_default(),
            );
        }
        at += (header.length as usize).next_multiple_of(4);
    }
}

fn blank(mut attributes: &mut [u8]) {
    while let [l0, l1, k0, k1, ..] = *attributes {
        let length = u16::from_ne_bytes([l0, l1]) as usize;
        if length < 4 || length > attributes.len() {
            return;
        }
        if OF_HOST.contains(&u16::from_ne_bytes([k0, k1])) {
            attributes[2..length].fill(0);
        }
        let next = length.next_multiple_of(4).min(attributes.len());
        attributes = &mut attributes[next..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u16, body: &[u8]) -> (Vec<u8>, Header) {
        let header = Header {
            length: (HEADER_BYTES + body.len()) as u32,
            kind,
            flags: 0x301,
            sequence: 3,
            port: 4,
        };
        let mut bytes = header.bytes().to_vec();
        bytes.extend_from_slice(body);
        (bytes, header)
    }

    #[test]
    fn filter_programs_stay_behind() {
        let mut body = vec![0u8; 80];
        body[0] = libc::AF_INET as u8;
        let (bytes, header) = request(SOCK_DIAG_BY_FAMILY, &body);
        let Decision::Ask(question) = decide(&bytes, &header) else {
            panic!("a list is asked for")
        };
        assert_eq!(question.len(), HEADER_BYTES + INET_REQUEST_BYTES);
        assert_eq!(question[0] as usize, question.len());
    }

    #[test]
    fn short_and_strange_requests_are_refused() {
        let of = |kind, body: &[u8]| {
            let (bytes, header) = request(kind, body);
            decide(&bytes, &header)
        };
        assert_eq!(of(20, &[]), Decision::Refuse(libc::EINVAL));
        assert_eq!(of(20, &[2, 6]), Decision::Refuse(libc::EINVAL));
        assert_eq!(of(20, &[17; 64]), Decision::Refuse(libc::ENOENT));
        assert_eq!(of(21, &[2; 64]), Decision::Refuse(libc::EPERM));
        assert_eq!(of(18, &[2; 64]), Decision::Refuse(libc::EINVAL));
    }

    #[test]
    fn cgroups_of_the_host_are_blanked() {
        let mut body = vec![0u8; INET_ANSWER_BYTES];
        body[0] = libc::AF_INET as u8;
        body.extend_from_slice(&[8, 0, 5, 0, 1, 1, 1, 1]);
        body.extend_from_slice(&[12, 0, 21, 0, 9, 9, 9, 9, 9, 9, 9, 9]);
        body.extend_from_slice(&[200, 0, 21, 0, 9, 9, 9, 9]);
        let (mut bytes, _) = request(SOCK_DIAG_BY_FAMILY, &body);
        hide(&mut bytes);
        let rest = &bytes[HEADER_BYTES + INET_ANSWER_BYTES..];
        assert_eq!(rest[..8], [8, 0, 5, 0, 1, 1, 1, 1]);
        assert_eq!(rest[8..20], [12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(rest[20..], [200, 0, 21, 0, 9, 9, 9, 9]);
    }
}
