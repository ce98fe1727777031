//! ptrace(2): who may trace whom is decided here, by guest credentials; what is asked of a tracee is read from the
//! tracer's memory here and carried out by `crate::tracer`.

use std::sync::Arc;
use std::time::Duration;

use caisson_sys::trace::guest::{FP_BYTES, REGISTER_BYTES, Resume, SIGNAL_INFO_BYTES, Segment};
use caisson_wire::TransportKind;
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, Process, Thread};
use crate::tracer::{Attach, Owner, Request};

const PTRACE_ARCH_PRCTL: u32 = 30; // asm/ptrace-abi.h
const PTRACE_SYSEMU: u32 = 31;
const PTRACE_SYSEMU_SINGLESTEP: u32 = 32;
const PTRACE_SINGLEBLOCK: u32 = 33;
const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;
const PTRACE_SECCOMP_GET_FILTER: u32 = 0x420c;
const PTRACE_SECCOMP_GET_METADATA: u32 = 0x420d;
const ARCH_SET_GS: u64 = 0x1001; // asm/prctl.h
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;

/// `PTRACE_O_MASK`, linux/ptrace.h.
const KNOWN_OPTIONS: u64 = 0xff | (libc::PTRACE_O_EXITKILL | SUSPEND_SECCOMP) as u64;
const SUSPEND_SECCOMP: i32 = 1 << 21;

/// The largest register set, with all of XSAVE's state, is below that.
const MOST_REGISTERS: u64 = 64 << 10;
/// Waiting signals told of at once.
const MOST_SIGNALS: u64 = 32;
/// `struct ptrace_syscall_info` and room for what it may become.
const MOST_INFO: u64 = 256;

/// How often, and how long apart, a thread is tried that is stopped for another reason, or whose process executes a
/// program.
const TRIES: u32 = 400;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

pub fn ptrace(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.kernel.gateway.kind() == TransportKind::Ptrace {
        return Err(Errno::PERM);
    }
    let request = u32::try_from(call.arg(0)).map_err(|_| Errno::IO)?;
    match request {
        libc::PTRACE_TRACEME => trace_me(call),
        libc::PTRACE_ATTACH => attach(call, false, 0),
        libc::PTRACE_SEIZE => {
            if call.arg(2) != 0 || call.arg(3) & !KNOWN_OPTIONS != 0 {
                return Err(Errno::IO);
            }
            attach(call, true, options(call.arg(3))?)
        }
        _ => on_tracee(call, request),
    }
}

fn options(value: u64) -> Result<i32, Errno> {
    if value & !KNOWN_OPTIONS != 0 {
        return Err(Errno::INVAL);
    }
    let options = value as i32;
    // What a filter forbids must not be allowed by a tracer; and it needs CAP_SYS_ADMIN on the host.
    if options & SUSPEND_SECCOMP != 0 {
        return Err(Errno::PERM);
    }
    Ok(options)
}

/// The caller is to be traced by the thread that made it.
fn trace_me(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.kernel.tracer.holds(call.incoming.tid) {
        return Err(Errno::PERM);
    }
    let parent = parent(call)?;
    let (tracer, own) = (parent.credentials(), call.credentials());
    // cap_ptrace_traceme of security/commoncap.c.
    let covered = own.caps.permitted & !tracer.caps.permitted == 0;
    if !covered && !tracer.can(Capability::SysPtrace) {
        return Err(Errno::PERM);
    }
    let attach = Attach {
        owner: owner(&parent),
        tid: call.incoming.tid,
        pid: call.process().pid,
        guest_tid: call.thread.guest_tid,
        seized: false,
        options: 0,
        stop: false,
    };
    begin(call, attach)
}

/// The thread that has made the caller's process. `EPERM` if that is none of the container's.
fn parent(call: &Call<'_>) -> Result<Arc<Thread>, Errno> {
    let own = call.process().pid;
    let host_proc = call.kernel.host_proc();
    let status = crate::task::read_proc(host_proc, &format!("{own}/status"))?;
    let pid = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .and_then(|pid| pid.trim().parse::<i32>().ok())
        .ok_or(Errno::SRCH)?;
    if call.kernel.table.process(pid).is_none() {
        return Err(Errno::PERM);
    }
    let maker = crate::task::threads_of(host_proc, pid)
        .into_iter()
        .find(|tid| crate::task::children_of(host_proc, pid, *tid).contains(&own))
        .unwrap_or(pid);
    call.kernel.thread(maker)
}

fn owner(thread: &Thread) -> Owner {
    Owner {
        tid: thread.tid,
        pid: thread.process.pid,
        guest_pid: thread.process.guest_pid,
        may_trace_all: thread.credentials().can(Capability::SysPtrace),
    }
}

fn attach(call: &mut Call<'_>, seized: bool, options: i32) -> Result<Reply, Errno> {
    let guest_tid = call.int(1);
    let process = super::signal::find_process(call, guest_tid)?;
    if Arc::ptr_eq(&process, call.process()) {
        return Err(Errno::PERM);
    }
    let target = thread_of(call, &process, guest_tid)?;
    super::foreign::may_attach_to(call, &process, &target)?;
    let attach = Attach {
        owner: owner(&call.thread),
        tid: target.tid,
        pid: process.pid,
        guest_tid,
        seized,
        options,
        stop: !seized,
    };
    begin(call, attach)
}

/// The thread of `process` that has this id among guests.
fn thread_of(
    call: &Call<'_>,
    process: &Arc<Process>,
    guest_tid: i32,
) -> Result<Arc<Thread>, Errno> {
    if guest_tid == process.guest_pid {
        return call.kernel.thread(process.pid);
    }
    let tid = crate::task::threads_of(call.kernel.host_proc(), process.pid)
        .into_iter()
        .find(|tid| {
            let ids = call.kernel.ids_of(*tid);
            ids.is_ok_and(|ids| ids.inner_tid == guest_tid)
        })
        .ok_or(Errno::SRCH)?;
    call.kernel.thread(tid)
}

/// At once, or on a thread of its own if the target has to be waited for.
fn begin(call: &mut Call<'_>, attach: Attach) -> Result<Reply, Errno> {
    let once = move |call: &Call<'_>| {
        call.kernel
            .tracer
            .ask(call.kernel, move |tracees| tracees.attach(&attach))?
    };
    match once(call) {
        Err(Errno::AGAIN) => {}
        result => return result.map(|()| Reply::ZERO),
    }
    call.park(move |call| {
        let target = call.kernel.thread(attach.tid)?;
        // Or it would be guarded again whenever it is let go.
        target.set_sought(true);
        let result = again(call, &attach, once);
        target.set_sought(false);
        result
    })
}

fn again(
    call: &Call<'_>,
    attach: &Attach,
    once: impl Fn(&Call<'_>) -> Result<(), Errno>,
) -> Result<Reply, Errno> {
    for _ in 0..TRIES {
        match once(call) {
            Err(Errno::AGAIN) => {
                // It may have to stop first, and a call that waits here does not.
                call.kernel.parked.interrupt(attach.tid);
                std::thread::sleep(BETWEEN_TRIES);
            }
            result => return result.map(|()| Reply::ZERO),
        }
    }
    Err(Errno::PERM)
}

fn on_tracee(call: &mut Call<'_>, number: u32) -> Result<Reply, Errno> {
    let (address, data) = (call.arg(2), call.arg(3));
    let request = read_request(call, number, address, data)?;
    let (tracer, target) = (call.incoming.tid, call.int(1));
    let interrupts = matches!(request, Request::Interrupt);
    let kernel = call.kernel;
    if !kernel.tracer.is_tracer(call.process().pid) {
        return Err(Errno::SRCH);
    }
    let ((value, bytes), tid) = kernel.tracer.ask(kernel, move |tracees| {
        tracees.request(tracer, target, request)
    })??;
    if interrupts {
        kernel.parked.interrupt(tid);
    }
    if number == libc::PTRACE_GETREGSET {
        // An iovec, whose length becomes what there is.
        let base: u64 = call.read(data)?;
        call.write_bytes(base, &bytes)?;
        call.write(data + 8, &(value as u64))?;
        return Ok(Reply::ZERO);
    }
    if number == libc::PTRACE_SETREGSET {
        call.write(data + 8, &(value as u64))?;
        return Ok(Reply::ZERO);
    }
    if !bytes.is_empty() {
        let place = if number == PTRACE_ARCH_PRCTL {
            address
        } else {
            data
        };
        call.write_bytes(place, &bytes)?;
    }
    Ok(Reply::Value(value))
}

/// The request with all that it has in the tracer's memory. `EIO` for one that does not exist here.
fn read_request(call: &Call<'_>, number: u32, address: u64, data: u64) -> Result<Request, Errno> {
    let resume = |how| Ok(Request::Resume(how, data));
    match number {
        libc::PTRACE_PEEKTEXT | libc::PTRACE_PEEKDATA => Ok(Request::Peek(address)),
        libc::PTRACE_POKETEXT | libc::PTRACE_POKEDATA => Ok(Request::Poke(address, data)),
        libc::PTRACE_PEEKUSER => Ok(Request::PeekUser(address)),
        libc::PTRACE_POKEUSER => Ok(Request::PokeUser(address, data)),
        libc::PTRACE_CONT => resume(Resume::Continue),
        libc::PTRACE_SYSCALL => resume(Resume::ToCall),
        libc::PTRACE_SINGLESTEP => resume(Resume::Step),
        PTRACE_SINGLEBLOCK => resume(Resume::StepBlock),
        PTRACE_SYSEMU => resume(Resume::Emulate),
        PTRACE_SYSEMU_SINGLESTEP => resume(Resume::EmulateStep),
        libc::PTRACE_KILL => Ok(Request::Kill),
        libc::PTRACE_DETACH => Ok(Request::Detach(data)),
        libc::PTRACE_INTERRUPT => Ok(Request::Interrupt),
        libc::PTRACE_LISTEN => Ok(Request::Listen),
        libc::PTRACE_SETOPTIONS => options(data).map(Request::Options),
        libc::PTRACE_GETEVENTMSG => Ok(Request::Message),
        libc::PTRACE_GETSIGINFO => Ok(Request::SignalInfo),
        libc::PTRACE_SETSIGINFO => {
            boxed::<SIGNAL_INFO_BYTES>(call, data).map(Request::SetSignalInfo)
        }
        libc::PTRACE_PEEKSIGINFO => waiting_signals(call, address),
        libc::PTRACE_GETSIGMASK if address == 8 => Ok(Request::SignalMask),
        libc::PTRACE_SETSIGMASK if address == 8 => Ok(Request::SetSignalMask(call.read(data)?)),
        libc::PTRACE_GETSIGMASK | libc::PTRACE_SETSIGMASK => Err(Errno::INVAL),
        PTRACE_GET_SYSCALL_INFO => Ok(Request::CallInfo(address.min(MOST_INFO) as usize)),
        PTRACE_ARCH_PRCTL => segment(address, data),
        // The sandbox's filter has its secret in it. Linux says so to whoever has no CAP_SYS_ADMIN on the host.
        PTRACE_SECCOMP_GET_FILTER | PTRACE_SECCOMP_GET_METADATA => Err(Errno::ACCESS),
        _ => registers(call, number, address, data),
    }
}

fn registers(call: &Call<'_>, number: u32, address: u64, data: u64) -> Result<Request, Errno> {
    match number {
        libc::PTRACE_GETREGS => Ok(Request::Registers),
        libc::PTRACE_SETREGS => boxed::<REGISTER_BYTES>(call, data).map(Request::SetRegisters),
        libc::PTRACE_GETFPREGS => Ok(Request::FpRegisters),
        libc::PTRACE_SETFPREGS => boxed::<FP_BYTES>(call, data).map(Request::SetFpRegisters),
        libc::PTRACE_GETREGSET | libc::PTRACE_SETREGSET => {
            let [base, length]: [u64; 2] = [call.read(data)?, call.read(data.wrapping_add(8))?];
            let length = length.min(MOST_REGISTERS) as usize;
            if number == libc::PTRACE_GETREGSET {
                return Ok(Request::RegisterSet(address, length));
            }
            let mut bytes = vec![0; length];
            call.read_bytes(base, &mut bytes)?;
            Ok(Request::SetRegisterSet(address, bytes))
        }
        _ => Err(Errno::IO),
    }
}

fn boxed<const N: usize>(call: &Call<'_>, at: u64) -> Result<Box<[u8; N]>, Errno> {
    let mut bytes = Box::new([0; N]);
    call.read_bytes(at, bytes.as_mut_slice())?;
    Ok(bytes)
}

/// `struct ptrace_peeksiginfo_args` lies at `address`.
fn waiting_signals(call: &Call<'_>, address: u64) -> Result<Request, Errno> {
    const SHARED: u32 = 1;
    let offset: u64 = call.read(address)?;
    let flags: u32 = call.read(address.wrapping_add(8))?;
    let count: i32 = call.read(address.wrapping_add(12))?;
    let count = u64::try_from(count).map_err(|_| Errno::INVAL)?;
    if flags & !SHARED != 0 {
        return Err(Errno::INVAL);
    }
    Ok(Request::WaitingSignals {
        offset,
        shared: flags & SHARED != 0,
        count: count.min(MOST_SIGNALS) as usize,
    })
}

fn segment(address: u64, code: u64) -> Result<Request, Errno> {
    match code {
        ARCH_GET_FS => Ok(Request::SegmentBase(Segment::Fs)),
        ARCH_GET_GS => Ok(Request::SegmentBase(Segment::Gs)),
        ARCH_SET_FS => Ok(Request::SetSegmentBase(Segment::Fs, address)),
        ARCH_SET_GS => Ok(Request::SetSegmentBase(Segment::Gs, address)),
        _ => Err(Errno::INVAL),
    }
}
