//! Socket device: stream sockets between guest and host without a network.
//!
//! On the host the guest's ports are behind one unix socket and the host's behind others, as
//! [`crate::Vsock`] describes: no kernel support and no privilege is needed.
//! `packet` is the protocol's header, `connection` one stream, `connections` all of them, `device` the queues.

mod connection;
mod connections;
mod device;
mod packet;

pub use device::Socket;
