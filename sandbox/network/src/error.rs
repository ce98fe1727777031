//! What can go wrong between us and the kernel's network.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// rtnetlink itself.
    #[error("netlink: {0}")]
    Socket(#[from] io::Error),
    /// what the kernel answered cannot be read
    #[error("netlink: the kernel's answer cannot be read: {0}")]
    Malformed(String),
    /// The kernel's refusal of one request.
    #[error("{what}: {source}")]
    Refused { what: String, source: io::Error },
    /// The kernel was built without what the request needs, or its modules are not there.
    #[error("{what}: {source}: the kernel needs {options}")]
    Unsupported {
        what: String,
        source: io::Error,
        /// Of its configuration.
        options: &'static str,
    },
    #[error("no interface {0}")]
    NoInterface(String),
    #[error("{name}: an interface's name has 1 to 15 bytes, none of them '/' or blank")]
    Name { name: String },
    #[error(
        "{interface}: has traffic control of its own at its ingress ({kind}), or belongs to another virtual machine"
    )]
    Occupied { interface: String, kind: String },
}
