//! ttrpc on the wire: a header of ten bytes, then a protobuf message.
//!
//! Written here because the ttrpc crate keeps six or more threads for every connection, and a shim
//! that sleeps beside every container must stay small. Only unary calls exist in this API.

pub(crate) mod client;
pub(crate) mod frame;
pub(crate) mod server;
