//! A network set in the guest, as [`crate::read`] has found it in the pod.

use std::collections::BTreeMap;

use caisson_wire::network::{Interface, Network};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};

use crate::NetworkError;
use crate::socket::Socket;

/// `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// Set `network` in the calling thread's network namespace: its first interface becomes the device whose index is
/// the first of `devices`, and so on. The devices must be down.
///
/// # Errors
/// When the kernel refuses something; what was set before stays.
pub fn write(network: &Network, devices: &[u32]) -> Result<(), NetworkError> {
    let mut socket = Socket::open()?;
    let mut indices = BTreeMap::from([(LOOPBACK, LOOPBACK)]);
    let mut pairs = Vec::new();
    for (position, interface) in network.interfaces.iter().enumerate() {
        let device = *devices
            .get(position)
            .ok_or_else(|| NetworkError::NoInterface(interface.name.clone()))?;
        indices.insert(interface.index, device);
        pairs.push((interface, device));
    }
    // A device may have the name that another one is to get.
    for (_, device) in &pairs {
        name(&mut socket, *device, &format!("machine{device}"))?;
    }
    for (interface, device) in pairs {
        set(&mut socket, interface, device)?;
    }
    let mut messages = Vec::new();
    for bytes in &network.messages {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes)
            .map_err(|error| NetworkError::Malformed(error.to_string()))?;
        if let NetlinkPayload::InnerMessage(message) = message.payload {
            messages.push(message);
        }
    }
    // A gateway must be reachable before there is a route through it.
    messages.sort_by_key(order);
    for message in messages {
        let what = describe(&message);
        if let Some(message) = renumbered(message, &indices) {
            socket.change(message, NLM_F_CREATE | NLM_F_REPLACE, || what)?;
        }
    }
    Ok(())
}

fn name(socket: &mut Socket, device: u32, name: &str) -> Result<(), NetworkError> {
    let mut link = LinkMessage::default();
    link.header.index = device;
    link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    socket.change(RouteNetlinkMessage::SetLink(link), 0, || {
        format!("name an interface {name}")
    })
}

fn set(socket: &mut Socket, interface: &Interface, device: u32) -> Result<(), NetworkError> {
    name(socket, device, &interface.name)?;
    let change = |attributes: Vec<LinkAttribute>| {
        let mut link = LinkMessage::default();
        link.header.index = device;
        link.attributes = attributes;
        link
    };
    // Also the link's own IPv6 address is among those that are copied.
    let mut link = change(vec![
        LinkAttribute::Address(interface.mac.to_vec()),
        LinkAttribute::Mtu(interface.mtu),
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
            In6AddrGenMode::None,
        )])]),
    ]);
    if interface.up {
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
    }
    let what = || format!("{}: set address, MTU and state", interface.name);
    socket.change(RouteNetlinkMessage::SetLink(link), 0, what)
}

/// Addresses, neighbours, routes to what is on a link, routes through gateways, rules.
fn order(message: &RouteNetlinkMessage) -> u8 {
    match message {
        RouteNetlinkMessage::NewAddress(_) => 0,
        RouteNetlinkMessage::NewNeighbour(_) => 1,
        RouteNetlinkMessage::NewRoute(route) if !has_gateway(route) => 2,
        RouteNetlinkMessage::NewRoute(_) => 3,
        _ => 4,
    }
}

fn has_gateway(route: &RouteMessage) -> bool {
    use RouteAttribute::{Gateway, MultiPath, Via};
    let mut attributes = route.attributes.iter();
    attributes.any(|attribute| matches!(attribute, Gateway(_) | Via(_) | MultiPath(_)))
}

/// With the guest's numbers of interfaces; nothing where one is not the guest's.
fn renumbered(
    mut message: RouteNetlinkMessage,
    indices: &BTreeMap<u32, u32>,
) -> Option<RouteNetlinkMessage> {
    let renumber = |index: &mut u32| {
        *index = *indices.get(index)?;
        Some(())
    };
    match &mut message {
        RouteNetlinkMessage::NewAddress(address) => renumber(&mut address.header.index)?,
        RouteNetlinkMessage::NewNeighbour(neighbour) => renumber(&mut neighbour.header.ifindex)?,
        RouteNetlinkMessage::NewRoute(route) => {
            for attribute in &mut route.attributes {
                match attribute {
                    RouteAttribute::Oif(index) | RouteAttribute::Iif(index) => renumber(index)?,
                    RouteAttribute::MultiPath(hops) => {
                        for hop in hops {
                            renumber(&mut hop.interface_index)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        RouteNetlinkMessage::NewRule(_) => {}
        _ => return None,
    }
    Some(message)
}

/// For an error's reader, who knows what `ip` prints.
fn describe(message: &RouteNetlinkMessage) -> String {
    match message {
        RouteNetlinkMessage::NewAddress(address) => format!("address {:?}", address.attributes),
        RouteNetlinkMessage::NewNeighbour(neighbour) => {
            format!("neighbour {:?}", neighbour.attributes)
        }
        RouteNetlinkMessage::NewRoute(route) => format!(
            "route of prefix length {} {:?}",
            route.header.destination_prefix_length, route.attributes
        ),
        other => format!("{other:?}"),
    }
}
