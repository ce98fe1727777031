//! fcntl(2): the commands that ask who owns the file, which the host cannot know, and those that do not exist.

use std::os::fd::AsFd;

use caisson_abi::constant::fcntl as command;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;

pub fn fcntl(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let fd = call.fd(call.int(0))?;
    match call.uint(1) {
        command::F_SETFL => {
            call.assume()?;
            fcntl_setfl(&fd, OFlags::from_bits_retain(call.uint(2)))?;
            Ok(Reply::ZERO)
        }
        command::F_SET_RW_HINT => {
            let hint: u64 = call.read(call.arg(2))?;
            call.assume()?;
            caisson_sys::file::set_write_hint(fd.as_fd(), hint)?;
            Ok(Reply::ZERO)
        }
        // Leases would make the host's own opens of the file wait; a file system without them says the same.
        _ => Err(Errno::INVAL),
    }
}
