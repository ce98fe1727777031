//! Changing the system call that a notified guest thread waits in, under ptrace(2).
//!
//! The order of steps is what experiments have shown to work with sibling threads, vfork, signals
//! and `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`; do not reorder. The calling thread becomes the tracer
//! for the duration of one call, and always ends as nobody's tracer: a thread that it traced before is let go. The exception are
//! the functions of [`held`], for threads that the calling one traces in a guest's name.

use rustix::io::Errno;

use crate::affinity::Together;
use crate::memory;
use crate::mqueue::Notice;
use crate::notify::{Cloexec, Listener, Notification};
use crate::passing;
use crate::raw::check;
use crate::trace::{self, Next, Registers, request as ptrace};

pub mod held;

const ERESTARTSYS: i32 = 512;
const ERESTARTNOINTR: i32 = 513;
/// `orig_rax` of a thread that is in no call.
const NO_CALL: u64 = u64::MAX;
/// Length of the `syscall` instruction.
const INSTRUCTION: u64 = 2;

/// The registers that an `execveat` is to be made with.
#[derive(Clone, Copy, Debug)]
pub struct ExecRegisters {
    /// Descriptor number of the loader in the guest.
    pub loader: i32,
    /// Guest address of an empty string.
    pub empty_path: u64,
    /// Guest addresses of a short argv and an empty envp, NULL-terminated arrays both.
    pub argv: u64,
    pub envp: u64,
    /// What the filter demands in the unused sixth argument.
    pub secret: u64,
}

/// Turn the notified call into `execveat(loader, "", argv, envp, AT_EMPTY_PATH)`. The notification is
/// consumed. `ESRCH`: the thread died meanwhile (it has been reaped if that fell to us). `together` ends before the
/// thread goes on.
pub fn exec(
    listener: &Listener,
    call: &Notification,
    registers: ExecRegisters,
    together: Option<Together>,
) -> Result<(), Errno> {
    let stopped = stop(listener, call, ERESTARTNOINTR)?;
    stopped.set_registers(&to_exec(stopped.registers()?, registers))?;
    drop(together);
    stopped.detach()
}

/// The registers of a thread that is to restart its call as the loader's execution.
fn to_exec(mut user: Registers, registers: ExecRegisters) -> Registers {
    user.orig_rax = libc::SYS_execveat as u64;
    user.rdi = registers.loader as u64;
    user.rsi = registers.empty_path;
    user.rdx = registers.argv;
    user.r10 = registers.envp;
    user.r8 = libc::AT_EMPTY_PATH as u64;
    user.r9 = registers.secret;
    user.rax = -i64::from(ERESTARTNOINTR) as u64;
    user
}

/// Turn a notified clone(2) into the same with other flags, which is notified again. The notification is consumed.
pub fn clone_with(listener: &Listener, call: &Notification, flags: u64) -> Result<(), Errno> {
    let stopped = stop(listener, call, ERESTARTNOINTR)?;
    stopped.set_registers(&to_clone(stopped.registers()?, flags))?;
    stopped.detach()
}

/// The registers of a thread that is to restart its clone(2) with these flags. Where nothing else is said fork(2) does the
/// same, and leaves the thread and its child with the registers that they would have had.
pub fn to_clone(mut user: Registers, flags: u64) -> Registers {
    if flags == libc::SIGCHLD as u64 && user.rsi == 0 {
        user.orig_rax = libc::SYS_fork as u64;
    } else {
        user.rdi = flags;
    }
    user.rax = -i64::from(ERESTARTNOINTR) as u64;
    user
}

/// Abort a notified call that has blocked for long because a signal is waiting for its thread: the call
/// ends with `ERESTARTSYS`, so that the kernel restarts it or reports `EINTR` as the signal demands.
pub fn interrupt(listener: &Listener, call: &Notification) -> Result<(), Errno> {
    stop(listener, call, ERESTARTSYS)?.detach()
}

/// Answer a notified open(2) with descriptor `fd`, a terminal that is already in the guest, and let the guest's own
/// thread make it its controlling terminal first, as open(2) would have. The open succeeds even where the terminal
/// cannot become that.
///
/// The thread runs one instruction only, the call's own, so that a guest that writes other code there keeps nobody
/// waiting; with its signals held back, so that no handler comes between.
pub fn answer_terminal(listener: &Listener, call: &Notification, fd: i32) -> Result<(), Errno> {
    let stopped = stop(listener, call, ERESTARTNOINTR)?;
    take_terminal(&stopped, fd)?;
    stopped.detach()
}

fn take_terminal(stopped: &Stopped, fd: i32) -> Result<(), Errno> {
    let errand = Errand::begin(stopped)?;
    errand.attempt(libc::SYS_ioctl, [fd as u64, libc::TIOCSCTTY, 0, 0, 0, 0])?;
    errand.end(i64::from(fd))
}

/// Answer a notified call with the descriptor that waits as a message in `socket`, a socket that is already in the guest:
/// its own thread receives it, in place of the socket.
///
/// The memory for that is a page which is mapped for the moment. What goes wrong is the call's error, `EMFILE` when there is
/// no number for the descriptor beside the socket's. As in [`answer_terminal`] the thread runs single instructions.
/// Returns what the call has returned, negative for an error.
pub fn answer_with_received(
    listener: &Listener,
    call: &Notification,
    socket: i32,
    cloexec: Cloexec,
) -> Result<i64, Errno> {
    let stopped = stop(listener, call, ERESTARTNOINTR)?;
    let together = Together::hold(call.tid);
    let result = take_received(&stopped, socket, cloexec)?;
    drop(together);
    stopped.detach().map(|()| result)
}

fn take_received(stopped: &Stopped, socket: i32, cloexec: Cloexec) -> Result<i64, Errno> {
    let errand = Errand::begin(stopped)?;
    let result = match receive(&errand, socket, cloexec) {
        Err(Errno::SRCH) => return Err(Errno::SRCH),
        Err(error) => {
            errand.attempt(libc::SYS_close, [socket as u64, 0, 0, 0, 0, 0])?;
            -i64::from(error.raw_os_error())
        }
        Ok(()) => i64::from(socket),
    };
    errand.end(result).map(|()| result)
}

/// Answer a notified mq_notify(2) with what the call says that this notice is, for which the thread has a page as in
/// [`answer_with_received`]. The notice's socket is closed then.
pub fn answer_with_notice(
    listener: &Listener,
    call: &Notification,
    notice: &Notice,
) -> Result<i64, Errno> {
    let stopped = stop(listener, call, ERESTARTNOINTR)?;
    let result = give_notice(&stopped, notice)?;
    stopped.detach().map(|()| result)
}

fn give_notice(stopped: &Stopped, notice: &Notice) -> Result<i64, Errno> {
    let errand = Errand::begin(stopped)?;
    let noticed = errand.with_page(|page| {
        memory::write(stopped.tid, page, &notice.memory(page)).map_err(|_| Errno::FAULT)?;
        errand.call(libc::SYS_mq_notify, notice.arguments(page))
    });
    let result = match noticed {
        Err(Errno::SRCH) => return Err(Errno::SRCH),
        Err(error) => -i64::from(error.raw_os_error()),
        Ok(value) => value.cast_signed(),
    };
    errand.attempt(libc::SYS_close, [notice.socket as u64, 0, 0, 0, 0, 0])?;
    errand.end(result).map(|()| result)
}

/// Have the thread receive the descriptor and put it in the socket's place.
fn receive(errand: &Errand<'_>, socket: i32, cloexec: Cloexec) -> Result<(), Errno> {
    let number = errand.with_page(|page| take_message(errand, socket, page, cloexec))? as u64;
    let close_on_exec = if cloexec == Cloexec::Yes {
        libc::O_CLOEXEC as u64
    } else {
        0
    };
    let placed = errand.call(
        libc::SYS_dup3,
        [number, socket as u64, close_on_exec, 0, 0, 0],
    );
    errand.attempt(libc::SYS_close, [number, 0, 0, 0, 0, 0])?;
    placed.map(drop)
}

fn take_message(
    errand: &Errand<'_>,
    socket: i32,
    page: u64,
    cloexec: Cloexec,
) -> Result<i32, Errno> {
    let tid = errand.stopped.tid;
    // ESRCH would say that the thread is dead and reaped, which is for ptrace(2) to find.
    memory::write(tid, page, &passing::message(page)).map_err(|_| Errno::FAULT)?;
    errand.call(libc::SYS_recvmsg, passing::arguments(socket, page, cloexec))?;
    let mut answer = [0u8; passing::LENGTH];
    if memory::read(tid, page, &mut answer) != Ok(answer.len()) {
        return Err(Errno::FAULT);
    }
    passing::received(&answer).ok_or(Errno::MFILE)
}

/// Calls that a stopped thread makes for us: natively, and one instruction at a time, with its signals held back. They
/// must be ones that its filter lets through, and that do not block.
struct Errand<'s> {
    stopped: &'s Stopped,
    before: Registers,
    mask: u64,
}

impl Errand<'_> {
    fn begin(stopped: &Stopped) -> Result<Errand<'_>, Errno> {
        let before = stopped.registers()?;
        let mask = stopped.signal_mask()?;
        stopped.set_signal_mask(!(1 << (libc::SIGTRAP - 1)))?;
        Ok(Errand {
            stopped,
            before,
            mask,
        })
    }

    /// `ESRCH`: the thread died. Of a guest that has put other code in the call's place meanwhile, what that left.
    fn call(&self, number: libc::c_long, arguments: [u64; 6]) -> Result<u64, Errno> {
        let mut user = self.before;
        [user.rdi, user.rsi, user.rdx, user.r10, user.r8, user.r9] = arguments;
        user.rip = user.rip.wrapping_sub(INSTRUCTION);
        user.rax = number as u64;
        user.orig_rax = NO_CALL;
        self.stopped.set_registers(&user)?;
        self.stopped.step()?;
        match self.stopped.registers()?.rax.cast_signed() {
            // None of these calls says that, but what a guest has put in their place may.
            value if value == -i64::from(libc::ESRCH) => Err(Errno::FAULT),
            value @ -4095..=-1 => Err(Errno::from_raw_os_error(-value as i32)),
            value => Ok(value.cast_unsigned()),
        }
    }

    /// The same, whatever comes of it. `ESRCH` alone is an error: any other must not keep the thread from going on.
    fn attempt(&self, number: libc::c_long, arguments: [u64; 6]) -> Result<(), Errno> {
        match self.call(number, arguments) {
            Err(Errno::SRCH) => Err(Errno::SRCH),
            _ => Ok(()),
        }
    }

    /// Do `work` while the thread has a page of memory for it.
    fn with_page<R>(&self, work: impl FnOnce(u64) -> Result<R, Errno>) -> Result<R, Errno> {
        const PAGE: u64 = 4096;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let page = self.call(libc::SYS_mmap, [0, PAGE, protection, flags, u64::MAX, 0])?;
        let done = work(page);
        if !matches!(done, Err(Errno::SRCH)) {
            self.attempt(libc::SYS_munmap, [page, PAGE, 0, 0, 0, 0])?;
        }
        done
    }

    /// The thread stands behind its own call, which has returned `value`.
    fn end(&self, value: i64) -> Result<(), Errno> {
        let mut user = self.before;
        user.rax = value.cast_unsigned();
        user.orig_rax = NO_CALL;
        self.stopped.set_registers(&user)?;
        self.stopped.set_signal_mask(self.mask)
    }
}

/// A thread that is seized and in its interrupt stop.
struct Stopped {
    tid: i32,
    grip: Grip,
}

/// Since when a thread is traced by the calling one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grip {
    /// For this moment; if it dies, it is to be reaped here.
    Moment,
    /// Before and after: whoever waits for its stops also learns of its end.
    Held,
}

fn stop(listener: &Listener, call: &Notification, restart: i32) -> Result<Stopped, Errno> {
    let tid = call.tid;
    match ptrace(libc::PTRACE_SEIZE, tid, 0) {
        // By the calling thread, if that may interrupt it.
        Err(Errno::PERM) => {
            ptrace(libc::PTRACE_INTERRUPT, tid, 0).map_err(|_| Errno::PERM)?;
        }
        Err(error) => return Err(error),
        Ok(()) => {
            if let Err(error) = ptrace(libc::PTRACE_INTERRUPT, tid, 0) {
                reap(tid);
                return Err(error);
            }
        }
    }
    // A failure here means that the thread is dying; the wait below sees it.
    let sent = listener.send_error(call.id, restart);
    loop {
        let status = wait(tid)?;
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            return Err(Errno::SRCH);
        }
        if status >> 16 == libc::PTRACE_EVENT_STOP {
            break;
        }
        // A signal-delivery stop came first: hand the signal on and wait for ours.
        ptrace(libc::PTRACE_CONT, tid, libc::WSTOPSIG(status) as u64)?;
    }
    let stopped = Stopped {
        tid,
        grip: Grip::Moment,
    };
    if let Err(error) = sent {
        stopped.detach()?;
        return Err(error);
    }
    Ok(stopped)
}

impl Stopped {
    fn registers(&self) -> Result<Registers, Errno> {
        self.unless_dead(trace::registers(self.tid))
    }

    fn set_registers(&self, user: &Registers) -> Result<(), Errno> {
        self.unless_dead(trace::set_registers(self.tid, user))
    }

    fn signal_mask(&self) -> Result<u64, Errno> {
        self.unless_dead(trace::signal_mask(self.tid))
    }

    fn set_signal_mask(&self, mask: u64) -> Result<(), Errno> {
        self.unless_dead(trace::set_signal_mask(self.tid, mask))
    }

    /// Run one instruction, a system call with all that it does. `ESRCH`: the thread died in it and is reaped.
    fn step(&self) -> Result<(), Errno> {
        let mut signal = 0;
        loop {
            self.unless_dead(ptrace(libc::PTRACE_SINGLESTEP, self.tid, signal))?;
            let status = self.wait()?;
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                return Err(Errno::SRCH);
            }
            signal = match libc::WSTOPSIG(status) {
                // The thread's group was stopped: it stops when it is let go.
                _ if status >> 16 == libc::PTRACE_EVENT_STOP => 0,
                libc::SIGSTOP => libc::SIGSTOP as u64,
                // The step was made; or its instruction was none that can be executed, and will tell again.
                _ => return Ok(()),
            };
        }
    }

    fn detach(self) -> Result<(), Errno> {
        self.unless_dead(ptrace(libc::PTRACE_DETACH, self.tid, 0))
    }

    /// Its next stop; `ESRCH` for its end, and if it does not come.
    fn wait(&self) -> Result<i32, Errno> {
        if self.grip == Grip::Held && trace::next(self.tid) != Ok(Next::Stop) {
            return Err(Errno::SRCH);
        }
        wait(self.tid)
    }

    /// A SIGKILL may end the thread between any two steps; the tracer must then reap it, or the guest's
    /// own parent waits for ever.
    fn unless_dead<R>(&self, result: Result<R, Errno>) -> Result<R, Errno> {
        if matches!(result, Err(Errno::SRCH)) && self.grip == Grip::Moment {
            reap(self.tid);
        }
        result
    }
}

fn wait(tid: i32) -> Result<i32, Errno> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one int at the pointer, which is live.
        match check(unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) }.into()) {
            Ok(_) => return Ok(status),
            Err(Errno::INTR) => {}
            // Already reaped by its own parent, or never ours: it is gone either way.
            Err(_) => return Err(Errno::SRCH),
        }
    }
}

fn reap(tid: i32) {
    loop {
        match wait(tid) {
            Ok(status) if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) => return,
            Ok(_) => {
                if ptrace(libc::PTRACE_DETACH, tid, 0).is_ok() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
