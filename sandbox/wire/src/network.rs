//! A pod's network as the host has found it and a guest is to have it.

use serde::{Deserialize, Serialize};

/// One network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// All but `lo`. The machine's network devices are these, in this order.
    pub interfaces: Vec<Interface>,
    /// Addresses, routes, neighbours and rules, each a message of rtnetlink(7) that makes one of them, with the
    /// host's numbers of interfaces in it.
    pub messages: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its number on the host.
    pub index: u32,
    pub name: String,
    pub mac: [u8; 6],
    /// In bytes.
    pub mtu: u32,
    pub up: bool,
}
