//! Capabilities of guest threads, capget(2) and capset(2). They are the app kernel's state: the host
//! process has none.

use caisson_wire::CapabilitySets;
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::{ALL_CAPABILITIES, Capability, Credentials};

/// `_LINUX_CAPABILITY_VERSION_1`, `_2`, `_3`, linux/capability.h.
const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
struct Header {
    /// Words a set is made of in this version.
    words: usize,
    pid: i32,
}

impl Header {
    /// An unknown version is answered with the one that is preferred, and `EINVAL`.
    fn read(call: &Call<'_>) -> Result<Header, Errno> {
        let [version, pid]: [u32; 2] = call.read(call.arg(0))?;
        let words = match version {
            VERSION_1 => 1,
            VERSION_2 | VERSION_3 => 2,
            _ => {
                call.write(call.arg(0), &VERSION_3)?;
                return Err(Errno::INVAL);
            }
        };
        Ok(Header {
            words,
            pid: pid as i32,
        })
    }
}

pub fn capget(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let data = call.arg(1);
    let header = match Header::read(call) {
        // Asking for the version with no room for an answer is how it is probed.
        Err(Errno::INVAL) if data == 0 => return Ok(Reply::ZERO),
        header => header?,
    };
    if header.pid < 0 {
        return Err(Errno::INVAL);
    }
    let credentials = if header.pid == 0 || header.pid == call.thread.guest_tid {
        call.credentials()
    } else {
        let target = super::signal::find_process(call, header.pid)?;
        call.kernel
            .table
            .thread_of(target.pid)
            .ok_or(Errno::SRCH)?
            .credentials()
    };
    if data == 0 {
        return Ok(Reply::ZERO);
    }
    let caps = &credentials.caps;
    let mut answer = Vec::with_capacity(24);
    for word in 0..header.words {
        for set in [caps.effective, caps.permitted, caps.inheritable] {
            answer.extend_from_slice(&((set >> (32 * word)) as u32).to_ne_bytes());
        }
    }
    call.write_bytes(data, &answer)?;
    Ok(Reply::ZERO)
}

pub fn capset(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let header = Header::read(call)?;
    // Only the caller's own sets can be set, since Linux 2.6.25.
    if header.pid != 0 && header.pid != call.thread.guest_tid {
        return Err(Errno::PERM);
    }
    let mut words = [0u32; 6];
    let bytes = caisson_sys::layout::bytes_of_mut(&mut words);
    call.read_bytes(call.arg(1), &mut bytes[..header.words * 12])?;
    let set =
        |at: usize| (u64::from(words[at]) | u64::from(words[at + 3]) << 32) & ALL_CAPABILITIES;
    let old = call.credentials();
    let caps = allowed(&old, set(0), set(1), set(2))?;
    call.take_on(Credentials {
        caps,
        ..(*old).clone()
    });
    Ok(Reply::ZERO)
}

/// The sets after a capset, or `EPERM`: `cap_capset` of security/commoncap.c.
fn allowed(
    old: &Credentials,
    effective: u64,
    permitted: u64,
    inheritable: u64,
) -> Result<CapabilitySets, Errno> {
    let now = &old.caps;
    let within = |set: u64, limit: u64| set & !limit == 0;
    let inheritable_ok =
        old.can(Capability::Setpcap) || within(inheritable, now.inheritable | now.permitted);
    if !inheritable_ok
        || !within(inheritable, now.inheritable | now.bounding)
        || !within(permitted, now.permitted)
        || !within(effective, permitted)
    {
        return Err(Errno::PERM);
    }
    Ok(CapabilitySets {
        effective,
        permitted,
        inheritable,
        bounding: now.bounding,
        ambient: now.ambient & permitted & inheritable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(permitted: u64, effective: u64) -> Credentials {
        Credentials::of(
            1,
            1,
            &[],
            CapabilitySets {
                bounding: 0xff,
                effective,
                inheritable: 0,
                permitted,
                ambient: 0,
            },
        )
    }

    #[test]
    fn permitted_only_shrinks() {
        let old = credentials(0b1100, 0);
        assert_eq!(allowed(&old, 0, 0b1101, 0), Err(Errno::PERM));
        assert_eq!(
            allowed(&old, 0b100, 0b100, 0).map(|caps| caps.permitted),
            Ok(0b100)
        );
    }

    #[test]
    fn effective_stays_within_the_new_permitted() {
        let old = credentials(0b1100, 0b1100);
        assert_eq!(allowed(&old, 0b1100, 0b100, 0), Err(Errno::PERM));
    }

    #[test]
    fn inheritable_takes_from_permitted_and_with_setpcap_from_bounding() {
        let setpcap = Capability::Setpcap.bit();
        assert!(allowed(&credentials(0b100, 0), 0, 0b100, 0b100).is_ok());
        assert_eq!(
            allowed(&credentials(0b100, 0), 0, 0b100, 0b1000),
            Err(Errno::PERM)
        );
        let mighty = credentials(0b100 | setpcap, setpcap);
        assert!(allowed(&mighty, 0, 0b100, 0b1000).is_ok());
        assert_eq!(allowed(&mighty, 0, 0b100, 1 << 30), Err(Errno::PERM));
    }

    #[test]
    fn ambient_follows() {
        let mut old = credentials(0b110, 0b110);
        old.caps.inheritable = 0b110;
        old.caps.ambient = 0b110;
        assert_eq!(
            allowed(&old, 0, 0b010, 0b110).map(|caps| caps.ambient),
            Ok(0b010)
        );
    }
}
