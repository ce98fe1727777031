//! A thread of the test itself is the guest, and one of its calls notifies.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rustix::io::Errno;

use super::{Cloexec, Listener};
use crate::raw::{check, syscall};
use crate::signal;

/// The notified call: one that nothing else here makes.
const NOTIFIED: i64 = libc::SYS_getpriority;
const CALLS: usize = 3000;

/// Put a filter on the calling thread under which `NOTIFIED` notifies.
fn listener() -> OwnedFd {
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            NOTIFIED as u32,
            0,
            1,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_USER_NOTIF,
            0,
            0,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: takes integers only.
    unsafe { syscall!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }
        .expect("no_new_privs");
    // SAFETY: `program` and the instructions that it points at are live during the call.
    let fd = unsafe {
        syscall!(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program
        )
    }
    .expect("a listener");
    // SAFETY: the descriptor was made for us just now.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// What the guest gets from its calls, which it begins when it is told to.
fn guest(listeners: &mpsc::Sender<Listener>, go: &mpsc::Receiver<()>) -> Result<(), Errno> {
    listeners
        .send(Listener::new(listener()))
        .expect("a receiver");
    go.recv().expect("a server");
    for _ in 0..CALLS {
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::syscall(NOTIFIED, 0, 0) })?;
        // SAFETY: the answer is a descriptor that was added for this call.
        drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    }
    Ok(())
}

/// Receive, also after signals that end the wait, and answer with descriptors.
fn serve(listener: &Listener) -> Result<(), Errno> {
    let source = std::fs::File::open("/dev/null").expect("/dev/null");
    for _ in 0..CALLS {
        let call = loop {
            match listener.receive() {
                Err(Errno::INTR) => {}
                call => break call?,
            }
        };
        if !listener.id_valid(call.id) {
            return Err(Errno::NOENT);
        }
        let fd = listener.add_fd(call.id, source.as_fd(), Cloexec::Yes)?;
        listener.send_value(call.id, fd.into())?;
    }
    Ok(())
}

#[test]
fn signals_end_waits_but_no_donations() {
    signal::prepare_wake();
    let (send, listeners) = mpsc::channel();
    let (go, told) = mpsc::channel();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let guest = scope.spawn(move || guest(&send, &told));
        let listener = listeners.recv().expect("the guest's listener");
        let server = rustix::thread::gettid().as_raw_nonzero().get();
        let ended = &ended;
        scope.spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                signal::wake_thread(server);
                thread::yield_now();
            }
        });
        // Nobody calls yet.
        assert_eq!(listener.receive().err(), Some(Errno::INTR));
        go.send(()).expect("the guest");
        let served = serve(&listener);
        ended.store(true, Ordering::Relaxed);
        drop(listener);
        assert_eq!(guest.join().expect("the guest"), Ok(()));
        assert_eq!(served, Ok(()));
    });
}
