//! Multicast groups of guests' netlink sockets, of which the host tells: bind(2), `NETLINK_ADD_MEMBERSHIP`,
//! `NETLINK_DROP_MEMBERSHIP` and `NETLINK_LIST_MEMBERSHIPS`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use caisson_sys::socket as host;
use rustix::event::epoll;
use rustix::io::Errno;

use super::{ADDRESS_BYTES, End, Family, OF_HOST, of_guest, server};

/// Groups of a family that has none which anything is told of, as Linux makes room for them.
const SILENT_GROUPS: u32 = 32;
/// Bytes for all groups that a family may have.
const LIST_BYTES: usize = 64;
const WORD_BYTES: usize = 4;

/// What a socket is a member of.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The first 32, as addresses show them.
    first: u32,
    /// Whether a group was ever named: before, Linux has no list at all.
    named: bool,
}

impl Groups {
    pub(super) fn first(&self) -> u32 {
        self.first
    }
}

/// bind(2) with groups, which are all that the socket is a member of among the first 32.
pub(super) fn bind(socket: BorrowedFd<'_>, groups: u32) -> Result<(), Errno> {
    of_guest(socket, |end| {
        if groups == 0 && end.groups.first == 0 {
            return Ok(());
        }
        if end.family == Family::Route {
            subscribe(end, |events| {
                let mut address = [0u8; ADDRESS_BYTES];
                address[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
                // Once bound it must be named by the port that it has.
                let name = host::name(events)?;
                address[4..8].copy_from_slice(name.get(4..8).ok_or(Errno::IO)?);
                address[8..].copy_from_slice(&groups.to_ne_bytes());
                host::bind(events, &address)
            })?;
        }
        end.groups = Groups {
            first: groups,
            named: true,
        };
        Ok(())
    })?
}

/// `NETLINK_ADD_MEMBERSHIP` and `NETLINK_DROP_MEMBERSHIP`. `EINVAL` for a group that the family has not.
pub fn change_membership(socket: BorrowedFd<'_>, option: i32, group: u32) -> Result<(), Errno> {
    of_guest(socket, |end| match end.family {
        Family::Route => {
            let changed = subscribe(end, |events| {
                host::set_option(events, libc::SOL_NETLINK, option, &group.to_ne_bytes())
            });
            end.groups.named = true;
            let list = list(end)?;
            end.groups.first = list
                .first_chunk::<WORD_BYTES>()
                .map_or(0, |word| u32::from_ne_bytes(*word));
            changed
        }
        Family::SockDiag | Family::KobjectUevent => {
            end.groups.named = true;
            let bit = group
                .checked_sub(1)
                .filter(|shift| *shift < SILENT_GROUPS)
                .map(|shift| 1 << shift)
                .ok_or(Errno::INVAL)?;
            if option == libc::NETLINK_ADD_MEMBERSHIP {
                end.groups.first |= bit;
            } else {
                end.groups.first &= !bit;
            }
            Ok(())
        }
    })?
}

/// `NETLINK_LIST_MEMBERSHIPS`: a bit for each group, in words of 32.
pub fn memberships(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    of_guest(socket, |end| list(end))?
}

fn list(end: &End) -> Result<Vec<u8>, Errno> {
    match &end.events {
        _ if !end.groups.named => Ok(Vec::new()),
        None => Ok(end.groups.first.to_ne_bytes().to_vec()),
        Some(events) => {
            let mut list = vec![0; LIST_BYTES];
            let length = host::option(
                events.as_fd(),
                libc::SOL_NETLINK,
                libc::NETLINK_LIST_MEMBERSHIPS,
                &mut list,
            )
            .map_err(|(errno, _)| errno)?;
            list.truncate(length);
            Ok(list)
        }
    }
}

/// Change what the host tells to this end.
fn subscribe(
    end: &mut End,
    change: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if let Some(events) = &end.events {
        return change(events.as_fd());
    }
    let events = end.family.host_socket(end.net.as_ref())?;
    let changed = change(events.as_fd());
    let data = epoll::EventData::new_u64(end.fd.as_raw_fd() as u64 | OF_HOST);
    epoll::add(&server()?.ready, &events, data, epoll::EventFlags::IN)?;
    end.events = Some(events);
    changed
}
