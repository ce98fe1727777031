//! Sockets: socket(2), socketpair(2), bind(2), listen(2), connect(2), sendto(2), sendmsg(2), sendmmsg(2),
//! setsockopt(2), getsockopt(2), getsockname(2).
//!
//! Sockets are made by this process, which stands in the pod's network namespace, and given to the guest;
//! data then flows without the app kernel. What stays here is everything with a name in it: addresses,
//! paths, peers' credentials.
//!
//! Addresses are copied from guest memory once. No pointer of a guest ever reaches the host.

mod address;
mod connect;
mod control;
mod create;
mod identity;
mod message;
mod netlink;
mod options;
mod packet;
mod peer;
mod send;

pub use connect::{bind, connect, getsockname, listen};
pub use create::{socket, socketpair};
pub use message::{sendmmsg, sendmsg};
pub use options::{getsockopt, setsockopt};
pub use send::sendto;

/// For [`crate::fuzzing`].
pub(crate) fn decode(bytes: &[u8]) {
    std::hint::black_box(message::Header::parse(bytes).is_some());
    let mut content = 0;
    for part in control::messages(bytes).flatten() {
        content += part.content.len();
    }
    assert!(content <= bytes.len(), "more than came");
}
