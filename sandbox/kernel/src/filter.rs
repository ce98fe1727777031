//! The guest's filter in the form that seccomp(2) takes.

use caisson_abi::Level;

/// The filter for a sandbox whose loader carries `secret`.
pub fn compile(secret: u64) -> Vec<libc::sock_filter> {
    caisson_filter::compile(Level::Standard, secret)
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
