//! AF_NETLINK for guests: what C libraries and ip(8) ask to list interfaces, addresses and routes, and ss(8) to
//! list sockets.
//!
//! A guest never holds a netlink socket. It gets one end of an AF_UNIX pair; the app kernel holds the other ends,
//! takes requests, asks the host with requests of its own ([`super::route`], [`super::diag`]), and passes the
//! answers on. Requests that come with an address are answered before the call returns, those of a plain send(2)
//! by a thread. That thread also passes on what the host tells of changes and of message queues (mq_notify(2)), to
//! those who have asked for it.
//!
//! Both ends are bound to abstract names that read as a `struct sockaddr_nl` would behind its family: the
//! native recvmsg(2) shows port 0, the kernel, as sender. getsockname(2) corrects the family.

mod membership;
mod port;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caisson_sys::socket as host;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send,
    socket_with, socketpair, sockopt,
};

use super::message::{self, Decision, Header};
use super::{diag, route};
use crate::namespaces::Net;
use crate::threads;

pub use membership::{change_membership, memberships};

/// Most guest sockets at a time; beyond that `ENFILE`.
const ENDS: usize = 1024;
/// The largest request that is looked at.
const REQUEST_BYTES: usize = 4096;
/// The buffer that C libraries receive with is no smaller, and the host never answers with more at once
/// than the asking socket's buffer holds.
const ANSWER_BYTES: usize = 4096;
/// What the host tells of changes comes in messages of this size at most.
const EVENT_BYTES: usize = 16 << 10;
/// Room for the answers to a guest that reads late.
const QUEUE_BYTES: usize = 4 << 20;
const STACK_BYTES: usize = 128 << 10;
/// `NETLINK_USERSOCK`: between processes, without a part of the kernel's.
const USERSOCK: Protocol =
    Protocol::from_raw(std::num::NonZeroU32::new(libc::NETLINK_USERSOCK as u32).unwrap());
/// `sizeof(struct sockaddr_nl)`.
pub const ADDRESS_BYTES: usize = 12;
/// Mark sockets of the host that belong to an end among the events: where it tells of changes, and of message queues.
const OF_HOST: u64 = 1 << 32;
const OF_QUEUES: u64 = 1 << 33;

static SERVER: Mutex<Option<&'static Server>> = Mutex::new(None);

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Route,
    SockDiag,
    /// Nothing happens to devices of a container: it never says anything.
    KobjectUevent,
}

impl Family {
    /// `NETLINK_*` of linux/netlink.h. `EPROTONOSUPPORT`, as on a kernel without the others.
    pub fn of(protocol: i32) -> Result<Family, Errno> {
        match protocol {
            libc::NETLINK_ROUTE => Ok(Family::Route),
            libc::NETLINK_SOCK_DIAG => Ok(Family::SockDiag),
            libc::NETLINK_KOBJECT_UEVENT => Ok(Family::KobjectUevent),
            _ => Err(Errno::PROTONOSUPPORT),
        }
    }

    fn protocol(self) -> i32 {
        match self {
            Family::Route => libc::NETLINK_ROUTE,
            Family::SockDiag => libc::NETLINK_SOCK_DIAG,
            Family::KobjectUevent => libc::NETLINK_KOBJECT_UEVENT,
        }
    }

    fn decide(self, request: &[u8], header: &Header, asker: Asker) -> Decision {
        match self {
            Family::Route => route::decide(request, header, asker),
            Family::SockDiag => diag::decide(request, header),
            Family::KobjectUevent => Decision::Ignore,
        }
    }

    fn host_socket(self, net: Option<&Arc<Net>>) -> Result<OwnedFd, Errno> {
        if self == Family::KobjectUevent {
            return Err(Errno::OPNOTSUPP);
        }
        // Without a protocol it is NETLINK_ROUTE, which is 0.
        let protocol = std::num::NonZeroU32::new(self.protocol() as u32);
        let make = || {
            socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                protocol.map(Protocol::from_raw),
            )
        };
        match net {
            None => make(),
            Some(net) => net.within(make)?,
        }
    }
}

/// Who made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub uid: u32,
    pub net_admin: bool,
}

struct Server {
    ready: OwnedFd,
    ends: Mutex<HashMap<i32, End>>,
}

struct End {
    fd: OwnedFd,
    /// What the guest's end has as its peer's name.
    name: [u8; ADDRESS_BYTES],
    family: Family,
    /// Of the process that made the socket.
    pid: u32,
    /// The guest's, as getsockname(2) tells it.
    port: Option<u32>,
    groups: membership::Groups,
    /// `SOCK_RAW` or `SOCK_DGRAM`, between which nothing differs.
    kind: i32,
    /// A bit for each option that is on.
    options: u32,
    asker: Asker,
    /// What it tells of, if that is not the pod's network.
    net: Option<Arc<Net>>,
    /// Where the host tells of changes.
    events: Option<OwnedFd>,
    /// Where the host tells of message queues, mq_notify(2).
    cookies: Option<OwnedFd>,
}

/// What is needed of an end to answer.
struct Answerer {
    fd: OwnedFd,
    family: Family,
    port: u32,
    asker: Asker,
    net: Option<Arc<Net>>,
}

/// A socket for a guest, whose port will be `pid` if it does not choose one and nobody has that.
pub fn socket(
    family: Family,
    kind: i32,
    pid: u32,
    asker: Asker,
    net: Option<Arc<Net>>,
    flags: SocketFlags,
) -> Result<OwnedFd, Errno> {
    let server = server()?;
    let (ours, guests) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags | SocketFlags::CLOEXEC,
        None,
    )?;
    let name = name(ours.as_fd(), 0)?;
    self::name(guests.as_fd(), pid)?;
    sockopt::set_socket_send_buffer_size_force(&ours, QUEUE_BYTES).ok();
    let mut ends = server.ends();
    if ends.len() >= ENDS {
        return Err(Errno::NFILE);
    }
    let number = ours.as_raw_fd();
    epoll::add(
        &server.ready,
        &ours,
        epoll::EventData::new_u64(number as u64),
        epoll::EventFlags::IN,
    )?;
    let end = End {
        fd: ours,
        name,
        family,
        pid,
        port: None,
        groups: membership::Groups::default(),
        kind,
        options: 0,
        asker,
        net,
        events: None,
        cookies: None,
    };
    ends.insert(number, end);
    Ok(guests)
}

/// Bind to an abstract name that nobody has: family, a zero byte and a random one where `sockaddr_nl` has
/// padding, the port, and random bytes where it has multicast groups.
fn name(end: BorrowedFd<'_>, port: u32) -> Result<[u8; ADDRESS_BYTES], Errno> {
    const TRIES: usize = 16;
    for _ in 0..TRIES {
        let mut address = [0u8; ADDRESS_BYTES];
        rustix::rand::getrandom(&mut address[3..], rustix::rand::GetRandomFlags::empty())?;
        address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        address[4..8].copy_from_slice(&port.to_ne_bytes());
        match host::bind(end, &address) {
            Err(Errno::ADDRINUSE) => {}
            result => return result.map(|()| address),
        }
    }
    Err(Errno::ADDRINUSE)
}

/// Whether this is a guest's socket that was made here.
pub fn is_guests(socket: BorrowedFd<'_>) -> bool {
    let is_ours = |address: &[u8]| {
        address.len() == ADDRESS_BYTES && address[..3] == [libc::AF_UNIX as u8, 0, 0]
    };
    sockopt::socket_type(socket) == Ok(SocketType::SEQPACKET)
        && host::peer_name(socket).is_ok_and(|name| {
            is_ours(&name) && name[4..8] == [0; 4] && with_end(&name, |_| ()).is_ok()
        })
}

/// Look at the end whose guest's side has this peer name. `ENOTCONN` when it was given up.
fn with_end<R>(peer: &[u8], look: impl FnOnce(&mut End) -> R) -> Result<R, Errno> {
    let server = (*SERVER.lock().unwrap_or_else(PoisonError::into_inner)).ok_or(Errno::NOTCONN)?;
    let mut ends = server.ends();
    let end = ends.values_mut().find(|end| end.name == peer);
    end.map(look).ok_or(Errno::NOTCONN)
}

fn of_guest<R>(socket: BorrowedFd<'_>, look: impl FnOnce(&mut End) -> R) -> Result<R, Errno> {
    with_end(&host::peer_name(socket)?, look)
}

/// Give a guest's socket a port with `assign`.
fn with_port(
    socket: BorrowedFd<'_>,
    assign: impl FnOnce(&mut HashMap<i32, End>, i32) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let number = of_guest(socket, |end| end.fd.as_raw_fd())?;
    assign(&mut server()?.ends(), number)
}

/// Port, 0 for none yet, and groups of a guest's socket.
pub fn address(socket: BorrowedFd<'_>) -> Result<(u32, u32), Errno> {
    of_guest(socket, |end| (end.port.unwrap_or(0), end.groups.first()))
}

/// connect(2): all that it changes is that the socket has a port.
pub fn connect(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    with_port(socket, port::choose)
}

/// bind(2): a port of the guest's choice (0: any), and groups to be told of changes.
pub fn bind(socket: BorrowedFd<'_>, port: u32, groups: u32) -> Result<(), Errno> {
    with_port(socket, |ends, number| port::bind(ends, number, port))?;
    membership::bind(socket, groups)
}

/// Whether an option of linux/netlink.h that is on or off is on.
pub fn is_on(socket: BorrowedFd<'_>, option: i32) -> Result<bool, Errno> {
    of_guest(socket, |end| end.options & 1 << option != 0)
}

pub fn turn(socket: BorrowedFd<'_>, option: i32, on: bool) -> Result<(), Errno> {
    of_guest(socket, |end| {
        end.options &= !(1 << option);
        end.options |= u32::from(on) << option;
    })
}

/// What the guest made: its type and protocol, as socket(2) had them.
pub fn kind(socket: BorrowedFd<'_>) -> Result<(i32, i32), Errno> {
    of_guest(socket, |end| (end.kind, end.family.protocol()))
}

/// The host's netlink socket by which message queues are to tell something to this guest's socket.
///
/// It is in the guest's hands for a moment, so it is of the kind that reaches nothing of the kernel: a guest that keeps it could
/// send to others of that kind in the pod's network, as any user may.
pub fn cookies(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let server = server()?;
    of_guest(socket, |end| {
        let copy = |cookies: &OwnedFd| cookies.try_clone().map_err(|_| Errno::NFILE);
        if let Some(cookies) = &end.cookies {
            return copy(cookies);
        }
        let cookies = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(USERSOCK),
        )?;
        let data = epoll::EventData::new_u64(end.fd.as_raw_fd() as u64 | OF_QUEUES);
        epoll::add(&server.ready, &cookies, data, epoll::EventFlags::IN)?;
        let result = copy(&cookies);
        end.cookies = Some(cookies);
        result
    })?
}

/// Answer a guest's request before it goes on.
pub fn request(socket: BorrowedFd<'_>, packet: &[u8], net_admin: bool) -> Result<(), Errno> {
    with_port(socket, port::choose)?;
    let mut end = of_guest(socket, |end| end.answerer())?.ok_or(Errno::NFILE)?;
    end.asker.net_admin &= net_admin;
    end.answer(packet).map_err(|_| Errno::NOBUFS)
}

fn server() -> Result<&'static Server, Errno> {
    let mut slot = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = *slot {
        return Ok(server);
    }
    let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    // One for the life of the process, which serves one sandbox.
    let server: &'static Server = Box::leak(Box::new(Server {
        ready,
        ends: Mutex::default(),
    }));
    threads::start("caisson-netlink", STACK_BYTES, move || server.run())
        .map_err(|_| Errno::AGAIN)?;
    *slot = Some(server);
    Ok(server)
}

impl End {
    fn answerer(&self) -> Option<Answerer> {
        Some(Answerer {
            fd: self.fd.try_clone().ok()?,
            family: self.family,
            port: self.port.unwrap_or(0),
            asker: self.asker,
            net: self.net.clone(),
        })
    }
}

impl Server {
    fn ends(&self) -> MutexGuard<'_, HashMap<i32, End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(16);
        loop {
            events.clear();
            match epoll::wait(
                &self.ready,
                rustix::buffer::spare_capacity(&mut events),
                None,
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "waiting for netlink requests of guests failed");
                    return;
                }
            }
            for event in &events {
                let data = event.data.u64();
                let number = data as u32 as i32;
                match data & (OF_HOST | OF_QUEUES) {
                    OF_HOST => self.pass_on(number, |end| end.events.as_ref()),
                    OF_QUEUES => self.pass_on(number, |end| end.cookies.as_ref()),
                    _ => self.serve(number),
                }
            }
        }
    }

    /// One request of one guest; its end is given up when it is closed or does not take its answers.
    fn serve(&self, number: i32) {
        let answerer = {
            let mut ends = self.ends();
            port::choose(&mut ends, number).ok();
            ends.get(&number).and_then(End::answerer)
        };
        let Some(mut end) = answerer else {
            return;
        };
        // Whoever sends with a call that is not seen may have fewer rights than who made the socket.
        end.asker.net_admin = false;
        let mut request = vec![0u8; REQUEST_BYTES];
        let keep = match recv(&end.fd, &mut request, RecvFlags::DONTWAIT) {
            Ok((0, _)) => false,
            Ok((length, _)) => end.answer(&request[..length]).is_ok(),
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        };
        if !keep {
            epoll::delete(&self.ready, &end.fd).ok();
            self.ends().remove(&number);
        }
    }

    /// Pass on what a socket of the host has for a guest.
    fn pass_on(&self, number: i32, of: impl Fn(&End) -> Option<&OwnedFd>) {
        let ends = self.ends();
        let Some((end, from)) = ends.get(&number).and_then(|end| Some((end, of(end)?))) else {
            return;
        };
        let mut buffer = vec![0u8; EVENT_BYTES];
        while let Ok((length, _)) = recv(from, &mut buffer, RecvFlags::DONTWAIT) {
            // A guest that does not read misses some, as on Linux.
            tell(&end.fd, &buffer[..length]).ok();
        }
    }
}

impl Answerer {
    /// Answer all requests of one packet.
    fn answer(&self, packet: &[u8]) -> Result<(), Errno> {
        let mut rest = packet;
        while let Some(header) = Header::parse(rest) {
            let (request, after) = rest.split_at(header.length as usize);
            let errno = match self.family.decide(request, &header, self.asker) {
                Decision::Ignore => (header.wants_acknowledgement()).then_some(0),
                Decision::Refuse(errno) => Some(errno),
                Decision::Answer(mut answer) => {
                    message::redirect(&mut answer, self.port);
                    tell(&self.fd, &answer)?;
                    (header.wants_acknowledgement() && !header.is_dump()).then_some(0)
                }
                Decision::Ask(question) => match self.pass_answers(&question) {
                    // A dump ends with a message of its own.
                    Ok(()) => (header.wants_acknowledgement() && !header.is_dump()).then_some(0),
                    Err(error) => Some(error.raw_os_error()),
                },
                Decision::Change(question) => match self.pass_answers(&question) {
                    Ok(()) => header.wants_acknowledgement().then_some(0),
                    Err(error) => Some(error.raw_os_error()),
                },
            };
            if let Some(errno) = errno {
                tell(
                    &self.fd,
                    &message::error(request, &header, errno, self.port),
                )?;
            }
            let padding = (header.length as usize).next_multiple_of(4) - header.length as usize;
            rest = after.get(padding..).unwrap_or_default();
        }
        Ok(())
    }

    fn pass_answers(&self, question: &[u8]) -> Result<(), Errno> {
        let socket = self.family.host_socket(self.net.as_ref())?;
        send(&socket, question, SendFlags::empty())?;
        let mut buffer = vec![0u8; ANSWER_BYTES];
        loop {
            let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
            let answer = &mut buffer[..length];
            let last = message::redirect(answer, self.port);
            if self.family == Family::SockDiag {
                diag::hide(answer);
            }
            match message::outcome(answer) {
                Some(Ok(())) => return Ok(()),
                Some(Err(errno)) => return Err(errno),
                None => {}
            }
            tell(&self.fd, answer)?;
            if last || length == 0 {
                return Ok(());
            }
        }
    }
}

/// Never waits for a guest.
fn tell(end: &OwnedFd, message: &[u8]) -> Result<(), Errno> {
    send(end, message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GETLINK: [u8; 20] = [20, 0, 0, 0, 18, 0, 1, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_guest_lists_the_interfaces() {
        let guest = socket(
            Family::Route,
            libc::SOCK_RAW,
            77,
            Asker {
                uid: 0,
                net_admin: false,
            },
            None,
            SocketFlags::empty(),
        )
        .expect("socket");
        assert!(is_guests(guest.as_fd()));
        assert_eq!(address(guest.as_fd()), Ok((0, 0)));
        bind(guest.as_fd(), 0, 0).expect("bind");
        assert_eq!(address(guest.as_fd()), Ok((77, 0)));
        assert_eq!(bind(guest.as_fd(), 78, 0), Err(Errno::INVAL));
        send(&guest, &GETLINK, SendFlags::empty()).expect("send");
        let mut links = 0;
        loop {
            let mut buffer = [0u8; ANSWER_BYTES];
            let (length, _) = recv(&guest, &mut buffer, RecvFlags::empty()).expect("recv");
            let header = Header::parse(&buffer[..length]).expect("a message");
            assert_eq!((header.sequence, header.port), (5, 77));
            if header.kind == message::NLMSG_DONE {
                break;
            }
            assert_eq!(header.kind, 16, "RTM_NEWLINK");
            links += 1;
        }
        assert!(links > 0, "there is always lo");
    }

    #[test]
    fn a_guest_changes_nothing() {
        let guest = socket(
            Family::Route,
            libc::SOCK_RAW,
            1,
            Asker {
                uid: 0,
                net_admin: false,
            },
            None,
            SocketFlags::empty(),
        )
        .expect("socket");
        let mut dellink = GETLINK;
        dellink[4] = 17;
        send(&guest, &dellink, SendFlags::empty()).expect("send");
        let mut buffer = [0u8; 64];
        let (length, _) = recv(&guest, &mut buffer, RecvFlags::empty()).expect("recv");
        assert_eq!(length, 40);
        assert_eq!(buffer[16..20], (-libc::EPERM).to_ne_bytes());
    }

    #[test]
    fn other_sockets_have_no_port() {
        let (one, _two) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("socketpair");
        assert!(!is_guests(one.as_fd()));
    }
}
