//! What a network namespace has, as far as a guest is to have it.

use caisson_wire::network::{Interface, Network};
use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteProtocol,
};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::NetworkError;
use crate::connect::is_tap;
use crate::socket::Socket;

/// The kernel's own rules have these priorities, in IPv4 and IPv6.
const DEFAULT_RULES: [u32; 3] = [0, 32_766, 32_767];

/// `RT_TABLE_LOCAL`: the kernel fills it from the addresses.
const TABLE_LOCAL: u32 = 255;

/// Everything of the calling thread's network namespace.
///
/// Interfaces that are not Ethernet, belong to a bridge or a bond, or are taps of machines are left out, with
/// whatever goes through them. Of neighbours there are those that somebody has set for good.
///
/// # Errors
/// When the kernel refuses to say, or says what cannot be read.
pub fn read() -> Result<Network, NetworkError> {
    let mut socket = Socket::open()?;
    let mut network = Network::default();
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut known = Vec::new();
    for message in socket.list(&request, "list the interfaces")? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            if link.header.flags.contains(LinkFlags::Loopback) {
                known.push(link.header.index);
            } else if let Some(interface) = interface(&link) {
                known.push(interface.index);
                network.interfaces.push(interface);
            }
        }
    }
    network.interfaces.sort_by_key(|interface| interface.index);
    let routes = routes(&mut socket, &known)?;
    let mut messages = addresses(&mut socket, &known, &routes)?;
    let made = |route: &RouteMessage| {
        use RouteProtocol::{Kernel, Ra};
        !matches!(route.header.protocol, Kernel | Ra)
    };
    let routes = routes.into_iter().filter(made);
    messages.extend(routes.map(RouteNetlinkMessage::NewRoute));
    messages.extend(neighbours(&mut socket, &known)?);
    messages.extend(rules(&mut socket)?);
    network.messages = messages.into_iter().map(bytes).collect();
    Ok(network)
}

fn bytes(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn interface(link: &LinkMessage) -> Option<Interface> {
    if link.header.link_layer_type != LinkLayerType::Ether {
        return None;
    }
    let mut interface = Interface {
        index: link.header.index,
        up: link.header.flags.contains(LinkFlags::Up),
        ..Interface::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Address(mac) => interface.mac = mac.as_slice().try_into().ok()?,
            LinkAttribute::Controller(_) => return None,
            _ => {}
        }
    }
    (!is_tap(&interface.name)).then_some(interface)
}

/// Routes of all tables that a guest is to have or that its kernel will make of the addresses.
fn routes(socket: &mut Socket, known: &[u32]) -> Result<Vec<RouteMessage>, NetworkError> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let request = RouteNetlinkMessage::GetRoute(request);
        for message in socket.list(&request, "list the routes")? {
            if let RouteNetlinkMessage::NewRoute(route) = message
                && let Some(route) = route_for_guest(route, known)
            {
                routes.push(route);
            }
        }
    }
    Ok(routes)
}

fn route_for_guest(mut route: RouteMessage, known: &[u32]) -> Option<RouteMessage> {
    // Exceptions and redirects that the kernel has learned are not of the table.
    if table(&route) == TABLE_LOCAL || route.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let is_known = |index: &u32| known.contains(index);
    for attribute in &mut route.attributes {
        match attribute {
            RouteAttribute::Oif(index) if !is_known(index) => return None,
            RouteAttribute::MultiPath(hops) => {
                hops.retain(|hop| is_known(&hop.interface_index));
                for hop in hops.iter_mut() {
                    hop.flags &= RouteNextHopFlags::Onlink;
                }
                if hops.is_empty() {
                    return None;
                }
            }
            _ => {}
        }
    }
    // What is left out are numbers about the route's use.
    let is_cache = |kept: &RouteAttribute| matches!(kept, RouteAttribute::CacheInfo(_));
    route.attributes.retain(|attribute| !is_cache(attribute));
    route.header.flags &= RouteFlags::Onlink;
    Some(route)
}

fn table(route: &RouteMessage) -> u32 {
    let attribute = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    attribute.unwrap_or_else(|| route.header.table.into())
}

fn addresses(
    socket: &mut Socket,
    known: &[u32],
    routes: &[RouteMessage],
) -> Result<Vec<RouteNetlinkMessage>, NetworkError> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answer = socket.list(&request, "list the addresses")?;
    let addresses = answer.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewAddress(address) if known.contains(&address.header.index) => Some(
            RouteNetlinkMessage::NewAddress(address_for_guest(address, routes)),
        ),
        _ => None,
    });
    Ok(addresses.collect())
}

/// Without a search for duplicates, which the pod's address has behind it, and without a route of the kernel's
/// where somebody has taken that away.
fn address_for_guest(mut address: AddressMessage, routes: &[RouteMessage]) -> AddressMessage {
    let mut flags = AddressFlags::Nodad;
    for attribute in &address.attributes {
        if let AddressAttribute::Flags(old) = attribute {
            flags |= *old
                & (AddressFlags::Noprefixroute
                    | AddressFlags::Homeaddress
                    | AddressFlags::Managetempaddr
                    | AddressFlags::Mcautojoin);
        }
    }
    if !has_kernel_route(&address, routes) {
        flags |= AddressFlags::Noprefixroute;
    }
    address
        .attributes
        .retain(|attribute| !matches!(attribute, AddressAttribute::Flags(_)));
    address.attributes.push(AddressAttribute::Flags(flags));
    address.header.flags = AddressHeaderFlags::Nodad;
    address
}

fn has_kernel_route(address: &AddressMessage, routes: &[RouteMessage]) -> bool {
    // IPv4 needs none for an address alone; IPv6 has one.
    let alone = address.header.family == AddressFamily::Inet && address.header.prefix_len == 32;
    alone
        || routes.iter().any(|route| {
            let through = route.attributes.iter().any(|attribute| {
                matches!(attribute, RouteAttribute::Oif(index) if *index == address.header.index)
            });
            through
                && route.header.protocol == RouteProtocol::Kernel
                && route.header.address_family == address.header.family
                && route.header.destination_prefix_length == address.header.prefix_len
        })
}

fn neighbours(
    socket: &mut Socket,
    known: &[u32],
) -> Result<Vec<RouteNetlinkMessage>, NetworkError> {
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let answer = socket.list(&request, "list the neighbours")?;
    let neighbours = answer.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewNeighbour(mut neighbour)
            if neighbour.header.state == NeighbourState::Permanent
                && known.contains(&neighbour.header.ifindex) =>
        {
            let kept = |attribute: &NeighbourAttribute| {
                use NeighbourAttribute::{Destination, LinkLayerAddress};
                matches!(attribute, Destination(_) | LinkLayerAddress(_))
            };
            neighbour.attributes.retain(kept);
            Some(RouteNetlinkMessage::NewNeighbour(neighbour))
        }
        _ => None,
    });
    Ok(neighbours.collect())
}

/// Those that somebody has added; interfaces are named in them, not numbered.
fn rules(socket: &mut Socket) -> Result<Vec<RouteNetlinkMessage>, NetworkError> {
    let mut rules = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RuleMessage::default();
        request.header.family = family;
        let request = RouteNetlinkMessage::GetRule(request);
        for message in socket.list(&request, "list the rules")? {
            if let RouteNetlinkMessage::NewRule(rule) = &message
                && !DEFAULT_RULES.contains(&priority(rule))
            {
                rules.push(message);
            }
        }
    }
    Ok(rules)
}

fn priority(rule: &RuleMessage) -> u32 {
    let attribute = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Priority(priority) => Some(*priority),
            _ => None,
        });
    attribute.unwrap_or(0)
}
