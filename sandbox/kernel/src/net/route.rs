//! NETLINK_ROUTE for guests: what C libraries ask to list interfaces, addresses and routes.
//!
//! A guest never holds a netlink socket. It gets one end of an AF_UNIX pair; a thread of the app kernel
//! holds the other ends, takes requests for dumps, asks the host with requests of its own, and passes the
//! answers on. Requests that would change something are refused with `EPERM`.
//!
//! Both ends are bound to abstract names that read as a `struct sockaddr_nl` would behind its family: the
//! native recvmsg(2) shows port 0, the kernel, as sender. getsockname(2) corrects the family.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use caisson_sys::socket as host;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
    socketpair, sockopt,
};

use super::message::{self, Decision, Header};

/// Most guest sockets at a time; beyond that `ENFILE`.
const ENDS: usize = 1024;
/// The largest request that is looked at.
const REQUEST_BYTES: usize = 4096;
/// The buffer that C libraries receive with is no smaller, and the host never answers with more at once
/// than the asking socket's buffer holds.
const ANSWER_BYTES: usize = 4096;
/// Room for the answers to a guest that reads late.
const QUEUE_BYTES: usize = 4 << 20;
const STACK_BYTES: usize = 128 << 10;
/// `sizeof(struct sockaddr_nl)`.
pub const ADDRESS_BYTES: usize = 12;

static SERVER: Mutex<Option<&'static Server>> = Mutex::new(None);

struct Server {
    ready: OwnedFd,
    ends: Mutex<HashMap<i32, End>>,
}

struct End {
    fd: OwnedFd,
    /// The guest's port, as getsockname(2) tells it.
    port: u32,
}

/// A socket for a guest, whose port is to be `port`.
pub fn socket(port: u32, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let server = server()?;
    let (ours, guests) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags | SocketFlags::CLOEXEC,
        None,
    )?;
    name(ours.as_fd(), 0)?;
    name(guests.as_fd(), port)?;
    sockopt::set_socket_send_buffer_size_force(&ours, QUEUE_BYTES).ok();
    let mut ends = server.ends.lock().unwrap_or_else(PoisonError::into_inner);
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
    ends.insert(number, End { fd: ours, port });
    Ok(guests)
}

/// Bind to an abstract name that nobody has: family, a zero byte and a random one where `sockaddr_nl` has
/// padding, the port, and random bytes where it has multicast groups.
fn name(end: BorrowedFd<'_>, port: u32) -> Result<(), Errno> {
    const TRIES: usize = 16;
    for _ in 0..TRIES {
        let mut address = [0u8; ADDRESS_BYTES];
        rustix::rand::getrandom(&mut address[3..], rustix::rand::GetRandomFlags::empty())?;
        address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        address[4..8].copy_from_slice(&port.to_ne_bytes());
        match host::bind(end, &address) {
            Err(Errno::ADDRINUSE) => {}
            result => return result,
        }
    }
    Err(Errno::ADDRINUSE)
}

/// The port of a guest's socket that was made here; `None` for every other socket.
pub fn port_of(socket: BorrowedFd<'_>) -> Option<u32> {
    let port_in = |address: &[u8]| {
        let unix = address.len() == ADDRESS_BYTES && address[..3] == [libc::AF_UNIX as u8, 0, 0];
        unix.then(|| u32::from_ne_bytes([address[4], address[5], address[6], address[7]]))
    };
    if sockopt::socket_type(socket).ok()? != SocketType::SEQPACKET {
        return None;
    }
    let peer = host::peer_name(socket).ok()?;
    if port_in(&peer)? != 0 {
        return None;
    }
    port_in(&host::name(socket).ok()?)
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
    std::thread::Builder::new()
        .name("caisson-route".into())
        .stack_size(STACK_BYTES)
        .spawn(move || server.run())
        .map_err(|_| Errno::AGAIN)?;
    *slot = Some(server);
    Ok(server)
}

impl Server {
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
                self.serve(event.data.u64() as i32);
            }
        }
    }

    /// One request of one guest; its end is given up when it is closed or does not take its answers.
    fn serve(&self, number: i32) {
        let Some((fd, port)) = self.end(number) else {
            return;
        };
        let mut request = vec![0u8; REQUEST_BYTES];
        let keep = match recv(&fd, &mut request, RecvFlags::DONTWAIT) {
            Ok((0, _)) => false,
            Ok((length, _)) => answer(&fd, &request[..length], port).is_ok(),
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        };
        if !keep {
            epoll::delete(&self.ready, &fd).ok();
            self.ends
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&number);
        }
    }

    fn end(&self, number: i32) -> Option<(OwnedFd, u32)> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.get(&number)?;
        Some((end.fd.try_clone().ok()?, end.port))
    }
}

/// Answer all requests of one packet.
fn answer(end: &OwnedFd, packet: &[u8], port: u32) -> Result<(), Errno> {
    let mut rest = packet;
    while let Some(header) = Header::parse(rest) {
        let (request, after) = rest.split_at(header.length as usize);
        match message::decide(request, &header) {
            Decision::Refuse(errno) => tell(end, &message::error(&header, errno, port))?,
            Decision::Ask(question) => {
                if let Err(error) = pass_answers(end, &question, port) {
                    tell(end, &message::error(&header, error.raw_os_error(), port))?;
                }
            }
        }
        let padding = (header.length as usize).next_multiple_of(4) - header.length as usize;
        rest = after.get(padding..).unwrap_or_default();
    }
    Ok(())
}

fn pass_answers(end: &OwnedFd, question: &[u8], port: u32) -> Result<(), Errno> {
    // Without a protocol it is NETLINK_ROUTE, which is 0.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    send(&socket, question, SendFlags::empty())?;
    let mut buffer = vec![0u8; ANSWER_BYTES];
    loop {
        let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
        let last = message::redirect(&mut buffer[..length], port);
        tell(end, &buffer[..length])?;
        if last || length == 0 {
            return Ok(());
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
        let guest = socket(77, SocketFlags::empty()).expect("socket");
        assert_eq!(port_of(guest.as_fd()), Some(77));
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
        let guest = socket(1, SocketFlags::empty()).expect("socket");
        let mut dellink = GETLINK;
        dellink[4] = 17;
        send(&guest, &dellink, SendFlags::empty()).expect("send");
        let mut buffer = [0u8; 64];
        let (length, _) = recv(&guest, &mut buffer, RecvFlags::empty()).expect("recv");
        assert_eq!(length, 36);
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
        assert_eq!(port_of(one.as_fd()), None);
    }
}
