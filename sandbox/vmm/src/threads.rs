//! The threads of the virtual CPUs: started, made to look up, waited for.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use crate::bus::lock;
use crate::shared::Shared;
use crate::vcpu::{self, Buses};
use crate::{VmmError, jail};

/// The threads of the virtual CPUs.
#[derive(Default)]
pub(crate) struct VcpuThreads(Vec<JoinHandle<()>>);

/// A signal that does nothing but end KVM_RUN.
extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

impl VcpuThreads {
    /// Makes every virtual CPU look at its orders. One that was about to run when the signal came misses it,
    /// which is why this is repeated until the effect is there.
    fn kick(&self) {
        for thread in &self.0 {
            // It fails only for a thread that has ended.
            thread.kill(SIGRTMIN()).ok();
        }
    }

    /// Returns when all virtual CPUs stand still.
    pub(crate) fn pause(&self, shared: &Shared) {
        let mut state = lock(&shared.state);
        state.paused = true;
        while !state.standing.iter().all(|standing| *standing) && state.end.is_none() {
            self.kick();
            (state, _) = shared
                .changed
                .wait_timeout(state, Duration::from_millis(5))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    #[expect(clippy::unused_self, reason = "only who has the threads may")]
    pub(crate) fn resume(&self, shared: &Shared) {
        lock(&shared.state).paused = false;
        shared.changed.notify_all();
    }

    pub(crate) fn join(&mut self) {
        for thread in self.0.drain(..) {
            while !thread.is_finished() {
                thread.kill(SIGRTMIN()).ok();
                thread::sleep(Duration::from_millis(1));
            }
            thread.join().ok();
        }
    }
}

/// Each in a thread of its own, under the profile for such threads.
pub(crate) fn start(
    vcpus: Vec<VcpuFd>,
    buses: &Arc<Buses>,
    shared: &Arc<Shared>,
    threads: &Mutex<VcpuThreads>,
) -> Result<(), VmmError> {
    register_signal_handler(SIGRTMIN(), ignore).map_err(|error| VmmError::Step {
        step: "signal handler",
        source: io::Error::from_raw_os_error(error.errno()),
    })?;
    for (id, vcpu) in (0..).zip(vcpus) {
        let buses = Arc::clone(buses);
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name(format!("vcpu-{id}"))
            .spawn(move || {
                let _last_word = LastWord {
                    vcpu: id,
                    shared: Arc::clone(&shared),
                };
                match jail::confine_vcpu() {
                    Ok(()) => vcpu::run(id, vcpu, &buses, &shared),
                    Err(error) => shared.end(Err(error)),
                }
            })
            .map_err(VmmError::step("thread of a virtual CPU"))?;
        lock(threads).0.push(thread);
    }
    Ok(())
}

/// A virtual CPU whose thread panics takes the machine with it, instead of standing still for ever.
struct LastWord {
    vcpu: u8,
    shared: Arc<Shared>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.end(Err(VmmError::Vcpu {
                vcpu: self.vcpu,
                problem: "its thread panicked".to_owned(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_panic_of_a_virtual_cpu_ends_the_machine() {
        let shared = Arc::new(Shared::new(Instant::now(), 1).expect("an event"));
        let last_word = LastWord {
            vcpu: 0,
            shared: Arc::clone(&shared),
        };
        let thread = thread::spawn(move || {
            let _last_word = last_word;
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert!(shared.has_ended());
    }
}
