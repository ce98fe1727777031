//! What guests may know of the pod's network without a native netlink socket.

mod diag;
mod message;
mod route;
pub mod server;
