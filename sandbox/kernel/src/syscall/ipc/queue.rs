//! POSIX message queues: mq_open(2), mq_unlink(2).
//!
//! The kernel keeps queues in a mount of its own, which the guest's Landlock rules cover like any other. The app
//! kernel stands in the guest's IPC namespace and opens them with the guest's credentials; all else about a queue
//! goes through its descriptor, natively.

use caisson_sys::mqueue::{self, Attributes, Opening};
use caisson_sys::notify::Cloexec;
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;

pub fn mq_open(call: &mut Call<'_>) -> Result<Reply, Errno> {
    // Linux copies the attributes whether or not they are used, and before it looks at the name.
    let attributes: Option<Attributes> = match call.arg(3) {
        0 => None,
        address => Some(call.read(address)?),
    };
    let name = call.path(0)?;
    call.assume_mask();
    let opening = Opening {
        flags: call.int(1),
        mode: call.uint(2) & 0o7777,
        attributes,
    };
    call.assume()?;
    call.servant.obey_limits()?;
    let queue = mqueue::open(&name, &opening)?;
    // Linux closes every queue on exec, whether or not it was asked to.
    Ok(Reply::Fd(queue, Cloexec::Yes))
}

pub fn mq_unlink(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let name = call.path(0)?;
    call.assume()?;
    mqueue::unlink(&name)?;
    Ok(Reply::ZERO)
}
