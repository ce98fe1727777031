//! The guest's filter in the form that seccomp(2) takes.

use caisson_abi::Level;
use caisson_filter::{Delivery, Options, Profile, Scope};
use caisson_sys::guest::Reach;
use caisson_wire::{FilterFacts, TransportKind};

/// The filter of a process of the sandbox that these facts are of, with what the configuration's profile forbids.
pub fn compile(facts: &FilterFacts, profile: Option<&Profile>) -> Vec<libc::sock_filter> {
    let options = Options {
        level: Level::Standard,
        secret: facts.secret,
        delivery: match facts.transport {
            TransportKind::Notify => Delivery::Notify,
            TransportKind::Ptrace => Delivery::Trace,
        },
        scope: if facts.all_calls {
            Scope::All
        } else {
            Scope::Needed
        },
    };
    caisson_filter::compile_within(&options, profile)
        .instructions
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect()
}

/// How a new guest process is reached under such a filter.
pub fn reach(kind: TransportKind) -> Reach {
    match kind {
        TransportKind::Notify => Reach::Listener,
        TransportKind::Ptrace => Reach::Tracer,
    }
}
