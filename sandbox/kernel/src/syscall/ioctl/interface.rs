//! Requests on network interfaces, routes and neighbours, netdevice(7): what ifconfig(8), route(8) and arp(8) of the old
//! tools change. With guest CAP_NET_ADMIN they change the pod's network, as the same requests by netlink do; the host
//! kernel judges the right, which the serving thread has as far as the guest has it.

use std::os::fd::AsFd;

use caisson_sys::socket::{Route, interface_request, route_request};
use rustix::io::Errno;
use rustix::net::AddressFamily;

use super::Request;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::Capability;

/// linux/sockios.h.
const SIOCADDRT: u32 = 0x890b;
const SIOCDELRT: u32 = 0x890c;
const SIOCETHTOOL: u32 = 0x8946;
/// `SIOCBRADDBR` and `SIOCBRDELBR`, of a name: what brctl(8) makes and removes.
const BRIDGE: [u32; 2] = [0x89a0, 0x89a1];
/// `SIOCBRADDIF` and `SIOCBRDELIF`, of a `struct ifreq`.
const BRIDGE_PORT: [u32; 2] = [0x89a2, 0x89a3];
/// The first of what drivers define.
const SIOCDEVPRIVATE: u32 = 0x89f0;
/// `SIOCSIF…` of flags, address, peer's, broadcast address and mask, metric, MTU, name, hardware address and queue length:
/// all take a `struct ifreq` with the value in it.
const INTERFACE: [u32; 10] = [
    0x8914, 0x8916, 0x8918, 0x891a, 0x891c, 0x891e, 0x8922, 0x8923, 0x8924, 0x8943,
];
/// `SIOCDARP`, `SIOCGARP`, `SIOCSARP`, of a `struct arpreq`.
const NEIGHBOUR: [u32; 3] = [0x8953, 0x8954, 0x8955];

/// Bytes of `struct ifreq`, net/if.h.
const IFREQ: usize = 40;
/// Bytes of `struct arpreq`, net/if_arp.h.
const ARPREQ: usize = 68;

pub(super) fn serve(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    // The name of an interface is at the start of most that these requests take.
    let _: [u8; libc::IFNAMSIZ] = call.read(request.argument)?;
    let family = rustix::net::sockopt::socket_domain(&request.fd)?;
    let internet = [AddressFamily::INET, AddressFamily::INET6].contains(&family);
    match request.number {
        SIOCETHTOOL => {
            let pointer: u64 = call.read(request.argument.wrapping_add(libc::IFNAMSIZ as u64))?;
            let _: u32 = call.read(pointer)?;
            Err(Errno::OPNOTSUPP)
        }
        SIOCDEVPRIVATE.. => Err(Errno::OPNOTSUPP),
        SIOCADDRT | SIOCDELRT if family == AddressFamily::INET => route(call, request),
        number if BRIDGE.contains(&number) => bridge(call, request),
        number if BRIDGE_PORT.contains(&number) => plain::<IFREQ>(call, request),
        number if internet && INTERFACE.contains(&number) => plain::<IFREQ>(call, request),
        number if internet && NEIGHBOUR.contains(&number) => plain::<ARPREQ>(call, request),
        _ => Err(Errno::PERM),
    }
}

/// A request that holds no pointers.
fn plain<const BYTES: usize>(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let mut argument = [0; BYTES];
    call.read_bytes(request.argument, &mut argument)?;
    let before = argument;
    call.assume()?;
    interface_request(request.fd.as_fd(), request.number, &mut argument)?;
    if argument != before {
        call.write_bytes(request.argument, &argument)?;
    }
    Ok(Reply::ZERO)
}

/// Of the name alone.
fn bridge(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let mut argument = [0; IFREQ];
    call.read_bytes(request.argument, &mut argument[..libc::IFNAMSIZ])?;
    call.assume()?;
    interface_request(request.fd.as_fd(), request.number, &mut argument)?;
    Ok(Reply::ZERO)
}

/// A `struct rtentry`, whose interface is a name elsewhere.
fn route(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let mut route: Route = call.read(request.argument)?;
    if !call.credentials().can(Capability::NetAdmin) {
        return Err(Errno::PERM);
    }
    let device = match route.device {
        0 => None,
        address => {
            let mut name = [0; libc::IFNAMSIZ];
            let longest = &mut name[..libc::IFNAMSIZ - 1];
            let text = call.string(address, longest.len() + 1)?;
            longest[..text.as_bytes().len()].copy_from_slice(text.as_bytes());
            Some(name)
        }
    };
    call.assume()?;
    route_request(
        request.fd.as_fd(),
        request.number,
        &mut route,
        device.as_ref(),
    )?;
    Ok(Reply::ZERO)
}
