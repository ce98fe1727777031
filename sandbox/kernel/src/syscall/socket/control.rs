//! Control messages of AF_UNIX, as guests write them: cmsg(3), unix(7).

use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::socket::Ancillary;
use rustix::io::Errno;

use crate::call::Call;
use crate::task::{Capability, Credentials};

/// `struct cmsghdr`.
const HEADER_BYTES: usize = 16;
/// More than any list of messages that Linux takes (`SCM_MAX_FD` descriptors and credentials).
const CONTROL_MAX: u64 = 16 << 10;
/// `SCM_MAX_FD`, linux/net/scm.h.
const RIGHTS_MAX: usize = 253;
/// linux/capability.h.
const CAP_SYS_ADMIN: Capability = Capability::SysAdmin;

/// What a guest sends beside its data, checked, in terms of the host.
#[derive(Debug, Default)]
pub(super) struct Control {
    rights: Vec<OwnedFd>,
    credentials: Option<libc::ucred>,
}

/// One message: level, type, content.
pub(super) struct Message<'a> {
    level: i32,
    kind: i32,
    pub(super) content: &'a [u8],
}

/// The messages as `CMSG_NXTHDR` finds them; `EINVAL` for a length that Linux refuses.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Errno>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.len() < HEADER_BYTES {
            return None;
        }
        let length = u64::from_ne_bytes(rest[..8].try_into().ok()?);
        let int =
            |at: usize| i32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (level, kind) = (int(8), int(12));
        if length < HEADER_BYTES as u64 || length > rest.len() as u64 {
            rest = &[];
            return Some(Err(Errno::INVAL));
        }
        let length = length as usize;
        let content = &rest[HEADER_BYTES..length];
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
        Some(Ok(Message {
            level,
            kind,
            content,
        }))
    })
}

/// Whether credentials are among the messages. What cannot be read is the host's to refuse.
pub(super) fn names_credentials(call: &Call<'_>, at: u64, length: u64) -> bool {
    if length == 0 || length > CONTROL_MAX {
        return false;
    }
    let mut bytes = vec![0; length as usize];
    call.read_bytes(at, &mut bytes).is_ok()
        && messages(&bytes).flatten().any(|message| {
            (message.level, message.kind) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS)
        })
}

impl Control {
    pub(super) fn read(call: &Call<'_>, at: u64, length: u64) -> Result<Control, Errno> {
        if length > CONTROL_MAX {
            return Err(Errno::NOBUFS);
        }
        let mut bytes = vec![0; length as usize];
        call.read_bytes(at, &mut bytes)?;
        let mut control = Control::default();
        for message in messages(&bytes) {
            let message = message?;
            if message.level != libc::SOL_SOCKET {
                continue;
            }
            match message.kind {
                libc::SCM_RIGHTS => control.take_rights(call, message.content)?,
                libc::SCM_CREDENTIALS => control.take_credentials(call, message.content)?,
                _ => return Err(Errno::INVAL),
            }
        }
        Ok(control)
    }

    fn take_rights(&mut self, call: &Call<'_>, content: &[u8]) -> Result<(), Errno> {
        let numbers = content.chunks_exact(size_of::<i32>());
        if self.rights.len() + numbers.len() > RIGHTS_MAX {
            return Err(Errno::INVAL);
        }
        for number in numbers {
            let number = i32::from_ne_bytes([number[0], number[1], number[2], number[3]]);
            self.rights.push(call.fd(number)?);
        }
        Ok(())
    }

    fn take_credentials(&mut self, call: &Call<'_>, content: &[u8]) -> Result<(), Errno> {
        let word = |at: usize| {
            let bytes = content.get(at..at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        if content.len() != size_of::<libc::ucred>() {
            return Err(Errno::INVAL);
        }
        let (Some(pid), Some(uid), Some(gid)) = (word(0), word(4), word(8)) else {
            return Err(Errno::INVAL);
        };
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::INVAL);
        }
        let pid = pid as i32;
        if !may_claim(
            &call.credentials(),
            pid == call.process().guest_pid,
            uid,
            gid,
        ) {
            return Err(Errno::PERM);
        }
        let host_pid = if pid == call.process().guest_pid {
            call.process().pid
        } else {
            crate::syscall::signal::find_process(call, pid)?.pid
        };
        self.credentials = Some(libc::ucred {
            pid: host_pid,
            uid,
            gid,
        });
        Ok(())
    }

    /// What goes with the data: what the guest named, or who it is, which Linux says for it.
    pub(super) fn ancillary(&self, call: &Call<'_>) -> Ancillary<'_> {
        let sender = call.credentials();
        let credentials = self.credentials.unwrap_or(libc::ucred {
            pid: call.process().pid,
            uid: sender.ruid,
            gid: sender.rgid,
        });
        let rights: Vec<_> = self.rights.iter().map(AsFd::as_fd).collect();
        Ancillary {
            rights: if rights.is_empty() {
                Vec::new()
            } else {
                vec![rights]
            },
            credentials: Some(credentials),
        }
    }
}

/// `scm_check_creds` of net/core/scm.c.
fn may_claim(sender: &Credentials, own_pid: bool, uid: u32, gid: u32) -> bool {
    (own_pid || sender.can(CAP_SYS_ADMIN))
        && ([sender.ruid, sender.euid, sender.suid].contains(&uid)
            || sender.can(Capability::Setuid))
        && ([sender.rgid, sender.egid, sender.sgid].contains(&gid)
            || sender.can(Capability::Setgid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(capabilities: u64) -> Credentials {
        let caps = caisson_wire::CapabilitySets {
            effective: capabilities,
            ..Default::default()
        };
        Credentials {
            euid: 2,
            suid: 3,
            egid: 5,
            sgid: 6,
            ..Credentials::of(1, 4, &[], caps)
        }
    }

    #[test]
    fn a_sender_is_who_it_is_or_may_become() {
        let plain = sender(0);
        for (uid, gid) in [(1, 4), (2, 5), (3, 6), (1, 6)] {
            assert!(may_claim(&plain, true, uid, gid), "{uid} {gid}");
        }
        assert!(!may_claim(&plain, true, 0, 4));
        assert!(!may_claim(&plain, true, 1, 0));
        assert!(!may_claim(&plain, false, 1, 4));
        let setuid = sender(Capability::Setuid.bit());
        assert!(may_claim(&setuid, true, 0, 4));
        assert!(!may_claim(&setuid, true, 0, 0));
        assert!(may_claim(&sender(CAP_SYS_ADMIN.bit()), false, 1, 4));
    }

    #[test]
    fn lengths_of_messages_are_not_believed() {
        let one = |length: u64, room: usize| {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
            bytes.extend_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
            bytes.resize(room, 0);
            messages(&bytes)
                .map(|message| message.map(|m| m.content.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(one(20, 24), [Ok(4)]);
        assert_eq!(one(16, 16), [Ok(0)]);
        for length in [0, 15, 25, u64::MAX] {
            assert_eq!(one(length, 24), [Err(Errno::INVAL)], "{length}");
        }
        assert_eq!(one(16, 15), []);
    }
}
