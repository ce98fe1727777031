//! What guests may know of the pod's network without a native netlink socket.

mod diag;
mod message;
mod route;
pub mod server;

/// For [`crate::fuzzing`].
pub(crate) fn decode(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(header) = message::Header::parse(rest) {
        let request = &rest[..header.length as usize];
        let asker = server::Asker {
            uid: 0,
            net_admin: header.flags & 1 != 0,
        };
        std::hint::black_box(route::decide(request, &header, asker));
        std::hint::black_box(diag::decide(request, &header));
        for errno in [0, libc::EPERM] {
            std::hint::black_box(message::error(request, &header, errno, 7));
        }
        let length = header.length.next_multiple_of(4) as usize;
        rest = rest.get(length..).unwrap_or_default();
    }
    let mut answer = bytes.to_vec();
    diag::hide(&mut answer);
    message::redirect(&mut answer, 7);
    std::hint::black_box(message::outcome(&answer));
    std::hint::black_box(message::attribute(bytes, 1));
}
