//! What a handler answers.

use std::os::fd::OwnedFd;

use caisson_sys::notify::Cloexec;

use crate::transport::ContinueToken;

#[derive(Debug)]
pub enum Reply {
    /// The call's return value.
    Value(i64),
    /// A descriptor to be put at the guest's lowest free number, which is the return value.
    Fd(OwnedFd, Cloexec),
    /// The same for a descriptor of `O_PATH`.
    Path(OwnedFd, Cloexec),
    /// The host kernel runs the call as it was made.
    Continue(ContinueToken),
    /// Somebody else answers, or has answered.
    Answered,
}

impl Reply {
    pub const ZERO: Reply = Reply::Value(0);
}
