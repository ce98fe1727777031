//! A new network namespace has one interface, and it is down.

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};

/// Bring `lo` up in this thread's network namespace, rtnetlink(7).
pub fn up() -> Result<(), Errno> {
    let socket = rustix::net::socket_with(
        // NETLINK_ROUTE is protocol 0.
        AddressFamily::NETLINK,
        SocketType::RAW,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::send(&socket, &request(), SendFlags::empty())?;
    let mut reply = [0u8; 64];
    let (read, _) = rustix::net::recv(&socket, &mut reply, RecvFlags::empty())?;
    // struct nlmsghdr is 16 bytes; NLMSG_ERROR begins with the negated errno, 0 for success.
    match reply.get(16..20).filter(|_| read >= 20) {
        Some(&[a, b, c, d]) => match i32::from_ne_bytes([a, b, c, d]) {
            0 => Ok(()),
            code => Err(Errno::from_raw_os_error(-code)),
        },
        _ => Err(Errno::BADMSG),
    }
}

/// RTM_NEWLINK for interface 1 (`lo` in every namespace) with IFF_UP set.
fn request() -> Vec<u8> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    // struct ifinfomsg: family, padding, type, index, flags, mask of flags.
    message.extend([0u8; 4]);
    message.extend(1i32.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_comes_up_in_a_new_namespace() {
        // Needs root; a thread of its own because the namespace belongs to the thread.
        let test = std::thread::spawn(|| {
            crate::namespace::unshare(crate::namespace::Namespaces::NET).expect("unshare");
            assert!(
                std::net::TcpListener::bind("127.0.0.1:0").is_ok_and(|listener| {
                    std::net::TcpStream::connect(listener.local_addr().expect("address")).is_err()
                })
            );
            up().expect("up");
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
            std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        });
        test.join().expect("thread");
    }
}
