//! Socket addresses of guests: copied once, taken apart only as far as a path is in them.

use std::ffi::{CStr, CString};

use caisson_sys::socket::ADDRESS_MAX;
use rustix::io::Errno;

use crate::call::Call;

/// Bytes of `sa_family_t`, and of `sun_path`.
const FAMILY_BYTES: usize = 2;
const SUN_PATH: usize = 108;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    bytes: Vec<u8>,
}

impl Address {
    /// `EINVAL` for impossible lengths, `EFAULT`.
    pub(super) fn read(call: &Call<'_>, at: u64, length: i32) -> Result<Address, Errno> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= ADDRESS_MAX)
            .ok_or(Errno::INVAL)?;
        let mut bytes = vec![0; length];
        if length > 0 {
            call.read_bytes(at, &mut bytes)?;
        }
        Ok(Address { bytes })
    }

    #[cfg(test)]
    pub(super) fn of_bytes(bytes: &[u8]) -> Address {
        Address {
            bytes: bytes.to_vec(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn family(&self) -> Option<i32> {
        let bytes = self.bytes.get(..FAMILY_BYTES)?;
        Some(u16::from_ne_bytes([bytes[0], bytes[1]]).into())
    }

    pub(super) fn is_unix(&self) -> bool {
        self.family() == Some(libc::AF_UNIX)
    }

    pub(super) fn is_netlink(&self) -> bool {
        self.family() == Some(libc::AF_NETLINK)
    }

    /// The path of an AF_UNIX address. None for abstract and unnamed ones, and for addresses that Linux
    /// refuses for their length.
    pub(super) fn path(&self) -> Option<CString> {
        if self.family()? != libc::AF_UNIX {
            return None;
        }
        let path = &self.bytes[FAMILY_BYTES..];
        if path.is_empty() || path.len() > SUN_PATH || path[0] == 0 {
            return None;
        }
        let end = path
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(path.len());
        CString::new(&path[..end]).ok()
    }

    /// The AF_UNIX address of `path`; `ENAMETOOLONG` when it does not fit.
    pub(super) fn of_path(path: &CStr) -> Result<Address, Errno> {
        let path = path.to_bytes();
        if path.len() >= SUN_PATH {
            return Err(Errno::NAMETOOLONG);
        }
        let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(path);
        bytes.push(0);
        Ok(Address { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &[u8]) -> Address {
        let mut bytes = vec![1, 0];
        bytes.extend_from_slice(path);
        Address { bytes }
    }

    #[test]
    fn a_path_ends_at_its_nul_or_with_the_address() {
        assert_eq!(unix(b"/tmp/s\0garbage").path().as_deref(), Some(c"/tmp/s"));
        assert_eq!(unix(b"rel").path().as_deref(), Some(c"rel"));
        assert_eq!(
            unix(&[b'a'; 108]).path().map(|p| p.as_bytes().len()),
            Some(108)
        );
    }

    #[test]
    fn names_that_are_no_paths() {
        assert_eq!(unix(b"\0abstract").path(), None);
        assert_eq!(unix(b"").path(), None);
        assert_eq!(unix(&[b'a'; 109]).path(), None);
        assert_eq!(
            Address {
                bytes: vec![2, 0, 0, 80, 127, 0, 0, 1]
            }
            .path(),
            None
        );
        assert_eq!(Address { bytes: vec![1] }.path(), None);
        assert_eq!(Address { bytes: vec![] }.path(), None);
    }

    #[test]
    fn a_path_becomes_an_address_again() {
        assert_eq!(
            Address::of_path(c"/s").map(|a| a.bytes),
            Ok(b"\x01\0/s\0".to_vec())
        );
        let long = CString::new(vec![b'a'; 108]).expect("no NUL");
        assert_eq!(Address::of_path(&long), Err(Errno::NAMETOOLONG));
    }
}
