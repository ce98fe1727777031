//! What a tracer may ask for of a tracee that is stopped. Each request is done with the app kernel's rights, so only
//! those are here that need none.

use caisson_sys::trace::guest::{FP_BYTES, REGISTER_BYTES, Resume, SIGNAL_INFO_BYTES, Segment};
use caisson_sys::trace::{self, guest as host};
use rustix::io::Errno;

use super::tracee::{Scene, State, Stop, Tracee};
use super::tracees::{Tracees, host_options};

/// Offset of `orig_rax` in `user_regs_struct`, which is also where `struct user` begins.
const ORIG_RAX: usize = 15 * 8;
const RAX: usize = 10 * 8;
/// What `rax` is as long as a call has not returned: `-ENOSYS`.
const UNFINISHED: u64 = -(libc::ENOSYS as i64) as u64;

/// Register sets that are no more than the thread's own: linux/elf.h.
const NT_PRSTATUS: u64 = 1;
const NT_PRFPREG: u64 = 2;
const NT_X86_XSTATE: u64 = 0x202;

/// `PTRACE_SYSCALL_INFO_EXIT`, linux/ptrace.h, and how long what is told then is.
const INFO_EXIT: u8 = 2;
const INFO_EXIT_BYTES: usize = 33;

#[derive(Debug)]
pub enum Request {
    Peek(u64),
    Poke(u64, u64),
    PeekUser(u64),
    PokeUser(u64, u64),
    Registers,
    SetRegisters(Box<[u8; REGISTER_BYTES]>),
    FpRegisters,
    SetFpRegisters(Box<[u8; FP_BYTES]>),
    RegisterSet(u64, usize),
    SetRegisterSet(u64, Vec<u8>),
    SignalInfo,
    SetSignalInfo(Box<[u8; SIGNAL_INFO_BYTES]>),
    WaitingSignals {
        offset: u64,
        shared: bool,
        count: usize,
    },
    SignalMask,
    SetSignalMask(u64),
    Message,
    Options(i32),
    SegmentBase(Segment),
    SetSegmentBase(Segment, u64),
    CallInfo(usize),
    Resume(Resume, u64),
    Listen,
    Detach(u64),
    Kill,
    Interrupt,
}

/// The call's value, and what is to be written where it says.
pub type Answer = (i64, Vec<u8>);

const DONE: Answer = (0, Vec::new());

impl Tracees {
    /// Do what the thread `tracer` asks of its tracee `guest_tid`. `ESRCH` unless that is its tracee, and stopped where
    /// that is needed. With the answer comes the tracee's host id.
    pub fn request(
        &mut self,
        tracer: i32,
        guest_tid: i32,
        request: Request,
    ) -> Result<(Answer, i32), Errno> {
        let tid = self
            .by_tid
            .values()
            .find(|one| one.guest_tid == guest_tid && one.owner.tid == tracer && !one.leaving)
            .map(|one| one.tid)
            .ok_or(Errno::SRCH)?;
        let answer = match request {
            Request::Kill => self.kill(tid)?,
            Request::Interrupt => self.interrupt_asked(tid)?,
            request => {
                let tracee = self.by_tid.get(&tid).ok_or(Errno::SRCH)?;
                let stop = tracee.stop().ok_or(Errno::SRCH)?;
                self.on_stopped(tid, stop, request)?
            }
        };
        Ok((answer, tid))
    }

    fn kill(&mut self, tid: i32) -> Result<Answer, Errno> {
        let tracee = self.by_tid.get(&tid).ok_or(Errno::SRCH)?;
        caisson_sys::signal::send_to_thread(tracee.pid, tid, libc::SIGKILL)?;
        Ok(DONE)
    }

    fn interrupt_asked(&mut self, tid: i32) -> Result<Answer, Errno> {
        let tracee = self.by_tid.get_mut(&tid).ok_or(Errno::SRCH)?;
        if !tracee.seized {
            return Err(Errno::IO);
        }
        tracee.wants_trap = true;
        trace::interrupt(tid)?;
        Ok(DONE)
    }

    fn on_stopped(&mut self, tid: i32, stop: Stop, request: Request) -> Result<Answer, Errno> {
        match request {
            Request::Resume(how, signal) => return self.resume_asked(tid, stop, how, signal),
            Request::Detach(signal) => return self.detach_asked(tid, stop, signal),
            Request::Listen => return self.listen_asked(tid, stop),
            Request::Options(options) => return self.options_asked(tid, options),
            _ => {}
        }
        let tracee = self.by_tid.get(&tid).ok_or(Errno::SRCH)?;
        look_or_change(tracee, stop, request)
    }

    fn resume_asked(
        &mut self,
        tid: i32,
        stop: Stop,
        how: Resume,
        signal: u64,
    ) -> Result<Answer, Errno> {
        if signal > 64 {
            return Err(Errno::IO);
        }
        let tracee = self.by_tid.get_mut(&tid).ok_or(Errno::SRCH)?;
        tracee.mode = how;
        if self.next_scene(tid, stop.scene) {
            return Ok(DONE);
        }
        let deliver = self.signal_by_host(tid, stop, signal);
        host::resume(tid, how, deliver)?;
        if let Some(tracee) = self.by_tid.get_mut(&tid) {
            tracee.state = State::Running;
        }
        Ok(DONE)
    }

    /// The part of a signal's delivery that is left to the host's resumption.
    fn signal_by_host(&self, tid: i32, stop: Stop, signal: u64) -> u64 {
        if let Scene::CallEnd { .. } = stop.scene
            && signal != 0
            && let Some(tracee) = self.by_tid.get(&tid)
        {
            // As the host sends what is to be delivered after a stop at a call.
            caisson_sys::signal::send_to_thread(tracee.pid, tid, signal as i32).ok();
        }
        if stop.scene == Scene::Real { signal } else { 0 }
    }

    fn detach_asked(&mut self, tid: i32, stop: Stop, signal: u64) -> Result<Answer, Errno> {
        if signal > 64 {
            return Err(Errno::IO);
        }
        let deliver = self.signal_by_host(tid, stop, signal);
        self.leave(tid, deliver);
        Ok(DONE)
    }

    fn listen_asked(&mut self, tid: i32, stop: Stop) -> Result<Answer, Errno> {
        let tracee = self.by_tid.get_mut(&tid).ok_or(Errno::SRCH)?;
        let is_group = stop.scene == Scene::Real && stop.status >> 16 == libc::PTRACE_EVENT_STOP;
        if !tracee.seized || !is_group {
            return Err(Errno::IO);
        }
        trace::listen(tid)?;
        tracee.state = State::Running;
        Ok(DONE)
    }

    fn options_asked(&mut self, tid: i32, options: i32) -> Result<Answer, Errno> {
        host::set_options(tid, host_options(options))?;
        if let Some(tracee) = self.by_tid.get_mut(&tid) {
            tracee.options = options;
        }
        Ok(DONE)
    }
}

fn look_or_change(tracee: &Tracee, stop: Stop, request: Request) -> Result<Answer, Errno> {
    let tid = tracee.tid;
    let word = |value: u64| Ok((0, value.to_ne_bytes().to_vec()));
    match request {
        Request::Peek(address) => word(host::peek(tid, address)?),
        Request::Poke(address, value) => host::poke(tid, address, value).map(|()| DONE),
        Request::PeekUser(offset) => match stop.scene.call() {
            Some(nr) if offset == ORIG_RAX as u64 => word(nr.into()),
            _ => word(host::peek_user(tid, offset)?),
        },
        Request::PokeUser(offset, _)
            if stop.scene.call().is_some() && offset == ORIG_RAX as u64 =>
        {
            Ok(DONE)
        }
        Request::PokeUser(offset, value) => host::poke_user(tid, offset, value).map(|()| DONE),
        Request::Registers => {
            let mut bytes = host::registers(tid)?.to_vec();
            show_call(stop, &mut bytes);
            Ok((0, bytes))
        }
        Request::SetRegisters(mut bytes) => {
            hide_call(stop, bytes.as_mut_slice());
            host::set_registers(tid, &bytes).map(|()| DONE)
        }
        Request::FpRegisters => Ok((0, host::fp_registers(tid)?.to_vec())),
        Request::SetFpRegisters(bytes) => host::set_fp_registers(tid, &bytes).map(|()| DONE),
        Request::RegisterSet(kind, length) => {
            known_set(kind)?;
            let mut bytes = vec![0; length];
            let got = host::register_set(tid, kind, &mut bytes)?;
            bytes.truncate(got);
            if kind == NT_PRSTATUS {
                show_call(stop, &mut bytes);
            }
            Ok((got as i64, bytes))
        }
        Request::SetRegisterSet(kind, mut bytes) => {
            known_set(kind)?;
            if kind == NT_PRSTATUS {
                hide_call(stop, &mut bytes);
            }
            let used = host::set_register_set(tid, kind, &bytes)?;
            Ok((used as i64, Vec::new()))
        }
        Request::SignalInfo => signal_info(tracee, stop),
        Request::SetSignalInfo(bytes) => host::set_signal_info(tid, &bytes).map(|()| DONE),
        Request::WaitingSignals {
            offset,
            shared,
            count,
        } => {
            let mut infos = vec![[0; SIGNAL_INFO_BYTES]; count];
            let got = host::waiting_signals(tid, offset, shared, &mut infos)?;
            infos.truncate(got);
            Ok((got as i64, infos.concat()))
        }
        Request::SignalMask => word(trace::signal_mask(tid)?),
        Request::SetSignalMask(mask) => trace::set_signal_mask(tid, mask).map(|()| DONE),
        Request::Message => match tracee.message {
            Some(message) => word(message),
            None => word(host::message(tid)?),
        },
        Request::SegmentBase(segment) => word(host::segment_base(tid, segment)?),
        Request::SetSegmentBase(segment, base) => {
            host::set_segment_base(tid, segment, base).map(|()| DONE)
        }
        Request::CallInfo(length) => call_info(tid, stop, length),
        // The others are not for a thread that stays in its stop.
        _ => Err(Errno::IO),
    }
}

/// `EINVAL` for other sets: they show ports or shadow stacks, which guests do not have.
fn known_set(kind: u64) -> Result<(), Errno> {
    match kind {
        NT_PRSTATUS | NT_PRFPREG | NT_X86_XSTATE => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

fn show_call(stop: Stop, registers: &mut [u8]) {
    if let Some(nr) = stop.scene.call() {
        put(registers, ORIG_RAX, u64::from(nr));
    }
    if let Scene::Executed { .. } = stop.scene {
        put(registers, RAX, UNFINISHED);
    }
}

/// The thread is in no call then, whatever its tracer thinks.
fn hide_call(stop: Stop, registers: &mut [u8]) {
    if stop.scene.call().is_some() {
        put(registers, ORIG_RAX, u64::MAX);
    }
    if let Scene::Executed { .. } = stop.scene {
        put(registers, RAX, 0);
    }
}

fn put(registers: &mut [u8], offset: usize, value: u64) {
    if let Some(place) = registers.get_mut(offset..offset + 8) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

fn signal_info(tracee: &Tracee, stop: Stop) -> Result<Answer, Errno> {
    let (signal, event) = (libc::WSTOPSIG(stop.status), stop.status >> 16);
    let made = |number: i32, code: i32| {
        let mut bytes = vec![0; SIGNAL_INFO_BYTES];
        bytes[..4].copy_from_slice(&number.to_ne_bytes());
        bytes[8..12].copy_from_slice(&code.to_ne_bytes());
        bytes[12..16].copy_from_slice(&tracee.guest_tid.to_ne_bytes());
        Ok((0, bytes))
    };
    match stop.scene {
        Scene::Executed { .. } | Scene::CallEnd { .. } => made(libc::SIGTRAP, event << 8 | signal),
        Scene::New => made(libc::SIGSTOP, 0),
        Scene::Real => {
            let mut bytes = host::signal_info(tracee.tid)?;
            let code = i32::from_ne_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
            if code >> 8 == libc::PTRACE_EVENT_STOP && !tracee.seized {
                // A stop of its group, as those see it who have not seized it.
                return Err(Errno::INVAL);
            }
            if code == libc::SIGTRAP | 0x80 && !tracee.has(libc::PTRACE_O_TRACESYSGOOD) {
                bytes[8..12].copy_from_slice(&libc::SIGTRAP.to_ne_bytes());
            }
            Ok((0, bytes.to_vec()))
        }
    }
}

/// `struct ptrace_syscall_info`.
fn call_info(tid: i32, stop: Stop, length: usize) -> Result<Answer, Errno> {
    let mut bytes = vec![0; length.max(INFO_EXIT_BYTES)];
    let mut whole = host::call_info(tid, &mut bytes)?;
    if let Scene::CallEnd { .. } = stop.scene {
        let result = trace::registers(tid)?.rax.cast_signed();
        bytes[0] = INFO_EXIT;
        bytes[24..32].copy_from_slice(&result.to_ne_bytes());
        bytes[32] = (-4095..0).contains(&result).into();
        whole = INFO_EXIT_BYTES;
    }
    bytes.truncate(length.min(whole));
    Ok((whole as i64, bytes))
}
