//! POSIX message queues: mq_open(2), mq_unlink(2), mq_notify(2).
//!
//! The kernel keeps queues in a mount of its own, which the guest's Landlock rules cover like any other. The app
//! kernel stands in the guest's IPC namespace and opens them with the guest's credentials; all else about a queue
//! goes through its descriptor, natively.
//!
//! C libraries have a thread be told of a message (`SIGEV_THREAD`) through a netlink socket, to which the kernel sends
//! a cookie. The netlink sockets of guests are none to the host, so a guest's thread is made to call mq_notify(2) with
//! one that is, for that moment, and what comes through it is passed on ([`crate::net::server`]). Whose the notification
//! is, when it ends, and what /dev/mqueue shows of it are thus the host kernel's to say.

use std::os::fd::AsFd;

use caisson_abi::constant::MQ_NOTIFY_MADE;
use caisson_sys::mqueue::{self, Attributes, COOKIE_BYTES, EVENT_BYTES, Notice, Opening};
use caisson_sys::notify::Cloexec;
use rustix::io::Errno;
use rustix::net::sockopt::socket_type;

use crate::audited;
use crate::call::Call;
use crate::net::server;
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

pub fn mq_notify(call: &mut Call<'_>) -> Result<Reply, Errno> {
    // Made by us, or the end of a notification: delivered for a log.
    if call.arg(1) == 0 || call.uint(5) == MQ_NOTIFY_MADE {
        return Ok(Reply::Continue(audited::queue_notification()));
    }
    let event: [u8; EVENT_BYTES] = call.read(call.arg(1))?;
    let event = Event::parse(&event);
    if event.notify != libc::SIGEV_THREAD {
        return Ok(Reply::Continue(audited::queue_notification()));
    }
    let cookie: [u8; COOKIE_BYTES] = call.read(event.value)?;
    let socket = call.fd(event.number)?;
    socket_type(&socket)?;
    if !server::is_guests(socket.as_fd()) {
        return Err(Errno::INVAL);
    }
    call.servant.assume_self()?;
    let cookies = server::cookies(socket.as_fd())?;
    drop(socket);
    let give = move |call: &mut Call<'_>| {
        let number = call
            .transport
            .donate(&call.incoming, cookies.as_fd(), Cloexec::Yes)?;
        drop(cookies);
        let notice = Notice {
            queue: call.int(0),
            socket: number,
            cookie,
            mark: MQ_NOTIFY_MADE,
        };
        call.transport.answer_notice(&call.incoming, notice)?;
        Ok(Reply::Answered)
    };
    if call.kernel.all_calls {
        // What the guest is made to do for that is delivered too, to the thread that this one is.
        return call.park(give);
    }
    give(call)
}

/// What is looked at of a `struct sigevent`.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    value: u64,
    /// `sigev_signo`, for `SIGEV_THREAD` a descriptor.
    number: i32,
    notify: i32,
}

impl Event {
    fn parse(bytes: &[u8; EVENT_BYTES]) -> Event {
        let word = |at: usize| i32::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        Event {
            value: u64::from_ne_bytes(std::array::from_fn(|byte| bytes[byte])),
            number: word(8),
            notify: word(12),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EVENT_BYTES, Event};

    #[test]
    fn the_descriptor_is_where_a_signal_would_be() {
        let mut bytes = [0xff; EVENT_BYTES];
        bytes[..16].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 2, 0, 0, 0]);
        let event = Event {
            value: 0x0102_0304_0506_0708,
            number: 9,
            notify: libc::SIGEV_THREAD,
        };
        assert_eq!(Event::parse(&bytes), event);
    }
}
