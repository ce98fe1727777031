//! An interface of the pod and a tap of a machine, each one's frames sent out by the other.
//!
//! At both ends stands an ingress queueing discipline with one filter, which matches everything and redirects it
//! (tc-mirred(8)). A tap goes with its monitor, and its discipline with it; [`disconnect`] removes the other one. The filter is
//! a tc-u32(8) without conditions: tc-matchall(8) would say the same, but more kernels lack it.

use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage,
};
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirrorOption, TcActionOption, TcActionType, TcAttribute,
    TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption, TcU32Selector,
    TcU32SelectorFlags,
};
use rustix::io::Errno;

use crate::NetworkError;
use crate::socket::Socket;
use caisson_wire::network::Interface;

const INGRESS: &str = "ingress";
/// The other discipline that sits at the ingress.
const CLSACT: &str = "clsact";

/// Of our filters, by which they are known again: table 800 is the kernel's for filters without tables of their own,
/// the number in it is ours.
const FILTER_HANDLE: u32 = 0x8000_0000 | 0xca1;
const FILTER_PRIORITY: u32 = 0xca15;
/// `ETH_P_ALL`, in the byte order of the wire.
const ALL_PROTOCOLS: u32 = 3_u16.to_be() as u32;

/// Parent of what classifies at the ingress: the discipline's own handle is `ffff:`.
const DISCIPLINE: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0,
};

const TAP_PREFIX: &str = "caisson";

/// What a machine's tap number `index` is called in the pod's namespace.
#[must_use]
pub fn tap_name(index: usize) -> String {
    format!("{TAP_PREFIX}{index}")
}

pub(crate) fn is_tap(name: &str) -> bool {
    name.strip_prefix(TAP_PREFIX).is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Connect `interface` of the calling thread's network namespace to the tap `tap`, which is brought up.
///
/// # Errors
/// [`NetworkError::Occupied`] when something else takes the interface's frames already; otherwise what the kernel
/// refuses. Call [`disconnect`] then.
pub fn connect(interface: &Interface, tap: &str) -> Result<(), NetworkError> {
    let mut socket = Socket::open()?;
    let tap_index = index(&mut socket, tap)?;
    // No addresses of the host's there: what the guest sends must not find anybody but the redirection.
    let mut quiet = LinkMessage::default();
    quiet.header.index = tap_index;
    quiet.attributes = vec![
        LinkAttribute::Mtu(interface.mtu),
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
            In6AddrGenMode::None,
        )])]),
    ];
    let set = |what: &str| format!("{tap}: set {what}");
    socket.change(RouteNetlinkMessage::SetLink(quiet), 0, || set("its MTU"))?;
    occupy(&mut socket, interface.index, &interface.name)?;
    occupy(&mut socket, tap_index, tap)?;
    redirect(&mut socket, interface.index, tap_index, &interface.name)?;
    redirect(&mut socket, tap_index, interface.index, tap)?;
    let mut up = LinkMessage::default();
    up.header.index = tap_index;
    up.header.flags = LinkFlags::Up;
    up.header.change_mask = LinkFlags::Up;
    socket.change(RouteNetlinkMessage::SetLink(up), 0, || set("up"))
}

/// Take back what [`connect`] has done to interfaces of the calling thread's network namespace, for whatever
/// machine.
///
/// # Errors
/// What the kernel refuses; that nothing is there is no error.
pub fn disconnect() -> Result<(), NetworkError> {
    let mut socket = Socket::open()?;
    for (index, _) in disciplines(&mut socket)? {
        if is_ours(&mut socket, index)? {
            vacate(&mut socket, index)?;
        }
    }
    Ok(())
}

/// Have the kernel do for `lo` of the calling thread's network namespace, which is to be thrown away, what [`connect`]
/// has it do.
///
/// # Errors
/// [`NetworkError::Unsupported`] when the kernel cannot; otherwise what it refuses.
pub fn probe() -> Result<(), NetworkError> {
    const LO: &str = "lo";
    let mut socket = Socket::open()?;
    let lo = index(&mut socket, LO)?;
    occupy(&mut socket, lo, LO)?;
    redirect(&mut socket, lo, lo, LO)
}

/// Tell a kernel that does not know what it is asked for from one that refuses.
fn known(outcome: Result<(), NetworkError>, options: &'static str) -> Result<(), NetworkError> {
    outcome.map_err(|error| match error {
        NetworkError::Refused { what, source }
            if is(&source, Errno::NOENT) || is(&source, Errno::OPNOTSUPP) =>
        {
            NetworkError::Unsupported {
                what,
                source,
                options,
            }
        }
        other => other,
    })
}

pub(crate) fn index(socket: &mut Socket, name: &str) -> Result<u32, NetworkError> {
    let mut request = LinkMessage::default();
    request.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let answer = socket.ask(RouteNetlinkMessage::GetLink(request), || name.to_owned())?;
    let link = answer.into_iter().find_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
        _ => None,
    });
    link.ok_or_else(|| NetworkError::NoInterface(name.to_owned()))
}

fn discipline(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.handle = DISCIPLINE;
    message.header.parent = TcHandle::INGRESS;
    message.attributes = vec![TcAttribute::Kind(INGRESS.to_owned())];
    message
}

/// Put our discipline at an interface's ingress. One that a machine has left whose processes were killed is
/// replaced.
fn occupy(socket: &mut Socket, index: u32, name: &str) -> Result<(), NetworkError> {
    let add = |socket: &mut Socket| {
        let message = RouteNetlinkMessage::NewQueueDiscipline(discipline(index));
        let what = || format!("{name}: add an ingress discipline");
        let outcome = socket.change(message, NLM_F_CREATE | NLM_F_EXCL, what);
        known(outcome, "CONFIG_NET_SCH_INGRESS")
    };
    match add(socket) {
        Err(NetworkError::Refused { source, .. }) if is(&source, Errno::EXIST) => {}
        other => return other,
    }
    if is_ours(socket, index)? && is_dead(socket, index)? {
        vacate(socket, index)?;
        return add(socket);
    }
    let kinds = disciplines(socket)?;
    let kind = kinds.into_iter().find(|(other, _)| *other == index);
    Err(NetworkError::Occupied {
        interface: name.to_owned(),
        kind: kind.map_or_else(|| INGRESS.to_owned(), |(_, kind)| kind),
    })
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn vacate(socket: &mut Socket, index: u32) -> Result<(), NetworkError> {
    let message = RouteNetlinkMessage::DelQueueDiscipline(discipline(index));
    let what = || format!("interface {index}: remove the ingress discipline");
    match socket.change(message, 0, what) {
        // Gone with its interface.
        Err(NetworkError::Refused { source, .. })
            if is(&source, Errno::NODEV)
                || is(&source, Errno::NOENT)
                || is(&source, Errno::INVAL) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// What sits at ingresses: index of the interface, and its kind.
fn disciplines(socket: &mut Socket) -> Result<Vec<(u32, String)>, NetworkError> {
    let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let answer = socket.list(&request, "list the queueing disciplines")?;
    let found = answer.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewQueueDiscipline(found) => {
            let index = found.header.index.cast_unsigned();
            kind(&found)
                .filter(|kind| [INGRESS, CLSACT].contains(kind))
                .map(|kind| (index, kind.to_owned()))
        }
        _ => None,
    });
    Ok(found.collect())
}

fn kind(message: &TcMessage) -> Option<&str> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind.as_str()),
            _ => None,
        })
}

/// The filters at an interface's ingress.
fn filters(socket: &mut Socket, index: u32) -> Result<Vec<TcMessage>, NetworkError> {
    let mut request = TcMessage::with_index(index.cast_signed());
    request.header.parent = DISCIPLINE;
    let request = RouteNetlinkMessage::GetTrafficFilter(request);
    let answer = socket.list(&request, "list the filters")?;
    let filters = answer.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewTrafficFilter(filter) => Some(filter),
        _ => None,
    });
    Ok(filters.collect())
}

fn is_ours(socket: &mut Socket, index: u32) -> Result<bool, NetworkError> {
    let filters = filters(socket, index)?;
    let ours = |filter: &TcMessage| {
        u32::from(filter.header.handle) == FILTER_HANDLE
            && filter.header.info >> 16 == FILTER_PRIORITY
    };
    Ok(filters.iter().any(ours))
}

/// Whether our filter redirects to a tap that is gone.
fn is_dead(socket: &mut Socket, index: u32) -> Result<bool, NetworkError> {
    for filter in filters(socket, index)? {
        for target in targets(&filter) {
            let mut request = LinkMessage::default();
            request.header.index = target;
            let found = socket.ask(RouteNetlinkMessage::GetLink(request), String::new);
            if target != 0 && found.is_ok() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Where a filter redirects to; the kernel says 0 for what is gone.
fn targets(filter: &TcMessage) -> Vec<u32> {
    let mut targets = Vec::new();
    for attribute in &filter.attributes {
        let TcAttribute::Options(options) = attribute else {
            continue;
        };
        for option in options {
            let TcOption::U32(TcFilterU32Option::Action(actions)) = option else {
                continue;
            };
            for attribute in actions.iter().flat_map(|action| &action.attributes) {
                if let TcActionAttribute::Options(options) = attribute {
                    targets.extend(options.iter().filter_map(|option| match option {
                        TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror)) => {
                            Some(mirror.ifindex)
                        }
                        _ => None,
                    }));
                }
            }
        }
    }
    targets
}

/// Everything that comes in at `from` goes out at `to`.
fn redirect(socket: &mut Socket, from: u32, to: u32, name: &str) -> Result<(), NetworkError> {
    let mut mirror = TcMirror::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = to;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind("mirred".to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(
            mirror,
        ))]),
    ];
    let mut everything = TcU32Selector::default();
    everything.flags = TcU32SelectorFlags::Terminal;
    let mut filter = TcMessage::with_index(from.cast_signed());
    filter.header.handle = FILTER_HANDLE.into();
    filter.header.parent = DISCIPLINE;
    filter.header.info = FILTER_PRIORITY << 16 | ALL_PROTOCOLS;
    filter.attributes = vec![
        TcAttribute::Kind("u32".to_owned()),
        TcAttribute::Options(vec![
            TcOption::U32(TcFilterU32Option::Selector(everything)),
            TcOption::U32(TcFilterU32Option::Action(vec![action])),
        ]),
    ];
    let message = RouteNetlinkMessage::NewTrafficFilter(filter);
    let outcome = socket.change(message, NLM_F_CREATE | NLM_F_EXCL, || {
        format!("{name}: redirect its frames (tc-u32(8), tc-mirred(8))")
    });
    known(outcome, "CONFIG_NET_CLS_U32 and CONFIG_NET_ACT_MIRRED")
}
