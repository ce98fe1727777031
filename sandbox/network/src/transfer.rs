//! A network device of this namespace given to another one, as `linux.netDevices` of config.json asks for.
//!
//! Linux takes an interface's addresses away when it leaves its namespace, and sets it down; the addresses that
//! somebody has set for good come along here.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

use crate::NetworkError;
use crate::connect::index;
use crate::socket::Socket;

/// An interface that has been sent, and what it had.
#[derive(Debug)]
pub struct Sent {
    name: String,
    addresses: Vec<AddressMessage>,
}

/// Whether the calling thread's network namespace has the interface `name`.
///
/// # Errors
/// When it has none, or the kernel does not say.
pub fn find(name: &str) -> Result<(), NetworkError> {
    index(&mut Socket::open()?, name).map(drop)
}

/// Send the interface `name` of the calling thread's network namespace to `namespace`, where it is called `new_name`.
///
/// # Errors
/// When there is no such interface, or the kernel refuses: a name that is taken there, an interface that cannot leave.
pub fn send(name: &str, namespace: BorrowedFd<'_>, new_name: &str) -> Result<Sent, NetworkError> {
    let mut socket = Socket::open()?;
    let number = index(&mut socket, name)?;
    let addresses = kept(&mut socket, number)?;
    let mut down = LinkMessage::default();
    down.header.index = number;
    down.header.change_mask = LinkFlags::Up;
    let what = || format!("{name}: set down");
    socket.change(RouteNetlinkMessage::SetLink(down), 0, what)?;
    // Both at once: the new name may be taken here, or the old one there.
    let mut moved = LinkMessage::default();
    moved.header.index = number;
    moved.attributes = vec![
        LinkAttribute::IfName(new_name.to_owned()),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
    ];
    let what = || format!("{name}: move to the container as {new_name}");
    socket.change(RouteNetlinkMessage::SetLink(moved), 0, what)?;
    Ok(Sent {
        name: new_name.to_owned(),
        addresses,
    })
}

/// Give an interface that has come to the calling thread's network namespace its addresses again, and set it up.
///
/// # Errors
/// What the kernel refuses.
pub fn receive(sent: &Sent) -> Result<(), NetworkError> {
    let name = &sent.name;
    let mut socket = Socket::open()?;
    let number = index(&mut socket, name)?;
    for address in &sent.addresses {
        let mut address = address.clone();
        address.header.index = number;
        let what = || format!("{name}: address {:?}", address.attributes);
        let message = RouteNetlinkMessage::NewAddress(address.clone());
        socket.change(message, NLM_F_CREATE, what)?;
    }
    let mut up = LinkMessage::default();
    up.header.index = number;
    up.header.flags = LinkFlags::Up;
    up.header.change_mask = LinkFlags::Up;
    let what = || format!("{name}: set up");
    socket.change(RouteNetlinkMessage::SetLink(up), 0, what)
}

/// Its addresses that are for good and of global scope: others were made for the namespace that it leaves.
fn kept(socket: &mut Socket, number: u32) -> Result<Vec<AddressMessage>, NetworkError> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answer = socket.list(&request, "list the addresses")?;
    let addresses = answer.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewAddress(address) if address.header.index == number => Some(address),
        _ => None,
    });
    let lasting = addresses.filter(|address| {
        address.header.scope == AddressScope::Universe
            && flags(address).contains(AddressFlags::Permanent)
    });
    Ok(lasting.map(plain).collect())
}

fn flags(address: &AddressMessage) -> AddressFlags {
    let attribute = address
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
    attribute
        .unwrap_or_else(|| AddressFlags::from_bits_truncate(address.header.flags.bits().into()))
}

/// The address itself, as one that is set anew.
fn plain(mut address: AddressMessage) -> AddressMessage {
    address.header.flags = AddressHeaderFlags::empty();
    address.attributes.retain(|attribute| {
        use AddressAttribute::{Address, Broadcast, Local};
        matches!(attribute, Address(_) | Local(_) | Broadcast(_))
    });
    address
}
