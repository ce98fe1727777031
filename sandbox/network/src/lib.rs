//! A pod's network, from its network namespace on the host into the guest of a micro-VM.
//!
//! On the host [`read`] says what interfaces, addresses, routes and neighbours a namespace has, and [`connect`] makes
//! an interface's frames go to a tap of the machine and back, with traffic control's redirection: the namespace's own
//! stack sees none of them any more. In the guest [`write`] sets all of it again, so that programs there see the
//! network that they would see in the pod. Everything speaks rtnetlink(7) to the calling thread's network namespace.
//!
//! [`send`] and [`receive`] move a device of the host's to a container, which has nothing to do with machines.
//!
//! Must never: be asked by a guest. The host's side is for the runtime, the guest's side for the agent.

mod connect;
mod error;
mod read;
mod socket;
#[cfg(test)]
mod tests;
mod transfer;
mod write;

pub use connect::{connect, disconnect, probe, tap_name};
pub use error::NetworkError;
pub use read::read;
pub use transfer::{Sent, find, receive, send};
pub use write::write;
