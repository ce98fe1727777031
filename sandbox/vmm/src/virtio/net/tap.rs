//! The host's end: one queue of a tap device, with the header of virtio in front of every frame.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use vmm_sys_util::ioctl::{ioctl_with_ref, ioctl_with_val};

/// Bytes of `struct virtio_net_hdr_v1`.
pub(super) const HEADER_BYTES: usize = 12;

/// What the guest may leave to the host, of checksums and segmentation: `TUN_F_CSUM`, `_TSO4` and `_TSO6`.
const OFFLOADS: libc::c_ulong = 1 | 2 | 4;

/// An open tap.
#[derive(Debug)]
pub struct Tap(File);

impl Tap {
    /// Opens the tap `name` of this network namespace. If there is none it is made, for as long as it is open.
    ///
    /// # Errors
    /// When the name is another kind of interface's, or the tap is in use or not ours.
    #[expect(unsafe_code, reason = "requests to the tun driver")]
    pub fn open(name: &str) -> io::Result<Tap> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ || name.contains(['\0', '/']) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        // SAFETY: all bytes zero is a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        let header = HEADER_BYTES as libc::c_int;
        // SAFETY: TUNSETIFF reads and writes an ifreq, TUNSETVNETHDRSZ reads an int, and both live until the calls
        // have returned; TUNSETOFFLOAD takes a number.
        let results = unsafe {
            [
                ioctl_with_ref(&file, libc::TUNSETIFF, &request),
                ioctl_with_ref(&file, libc::TUNSETVNETHDRSZ, &header),
                ioctl_with_val(&file, libc::TUNSETOFFLOAD, OFFLOADS),
            ]
        };
        if results.iter().any(|result| *result < 0) {
            return Err(io::Error::last_os_error());
        }
        Ok(Tap(file))
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What frames come from and go to: a tap, or something else in tests. Neither call ever waits.
pub trait Wire: Send {
    /// One frame with its header.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    fn receive(&mut self, frame: &mut [u8]) -> io::Result<usize>;

    /// # Errors
    /// When the frame is lost.
    fn send(&mut self, frame: &[u8]) -> io::Result<()>;

    /// Readable when there are frames.
    fn descriptor(&self) -> Option<RawFd>;
}

impl Wire for Tap {
    fn receive(&mut self, frame: &mut [u8]) -> io::Result<usize> {
        self.0.read(frame)
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.write(frame).map(|_| ())
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(Tap::descriptor(self))
    }
}
