//! What guests may know of the pod's network without a native netlink socket.

mod message;
pub mod route;
