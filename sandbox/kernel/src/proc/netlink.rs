//! The network interfaces of the calling thread's network namespace, by one RTM_GETLINK dump.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// As /sys/class/net shows it.
#[derive(Debug, Default, Clone)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    /// ARPHRD_*.
    pub(super) kind: u16,
    pub(super) flags: u32,
    pub(super) address: Vec<u8>,
    pub(super) broadcast: Vec<u8>,
    pub(super) mtu: u32,
    /// The other end of a veth pair; the interface itself otherwise.
    pub(super) link: u32,
    pub(super) queue_length: u32,
    /// IF_OPER_*.
    pub(super) state: u8,
    pub(super) carrier: u8,
    /// struct rtnl_link_stats64.
    pub(super) counters: Vec<u64>,
}

/// The length-prefixed pieces of a message: (second header field, content).
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let content = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes
        .get(..4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

fn parse(body: &[u8]) -> Option<Interface> {
    let kind = u16::from_ne_bytes(body.get(2..4)?.try_into().ok()?);
    let (index, flags) = (u32_of(body.get(4..8)?), u32_of(body.get(8..12)?));
    let mut interface = Interface {
        kind,
        index,
        flags,
        link: index,
        carrier: 1,
        ..Interface::default()
    };
    // The numbers are IFLA_* of include/uapi/linux/if_link.h.
    for (kind, content) in pieces(body.get(16..)?) {
        match kind {
            1 => interface.address = content.to_vec(),
            2 => interface.broadcast = content.to_vec(),
            3 => {
                interface.name = String::from_utf8_lossy(content)
                    .trim_end_matches('\0')
                    .to_owned()
            }
            4 => interface.mtu = u32_of(content),
            5 => interface.link = u32_of(content),
            13 => interface.queue_length = u32_of(content),
            16 => interface.state = *content.first()?,
            33 => interface.carrier = *content.first()?,
            23 => {
                let counter = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
                interface.counters = content.chunks_exact(8).map(counter).collect();
            }
            _ => {}
        }
    }
    let plain = !interface.name.is_empty()
        && !interface.name.contains('/')
        && !interface.name.starts_with('.');
    plain.then_some(interface)
}

pub(super) fn interfaces() -> Result<Vec<Interface>, Errno> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let mut request = Vec::with_capacity(32);
    request.extend_from_slice(&32u32.to_ne_bytes());
    request.extend_from_slice(&RTM_GETLINK.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.resize(32, 0);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut interfaces = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            let size = (u32_of(rest) as usize).clamp(16, rest.len());
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            match kind {
                RTM_NEWLINK => interfaces.extend(parse(&rest[16..size])),
                NLMSG_DONE => return Ok(interfaces),
                NLMSG_ERROR => return Err(Errno::EIO),
                _ => {}
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}
