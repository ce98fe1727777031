//! From a call's number to its handler: derived from the syscall table.

use caisson_abi::{Level, refusal, row};
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::syscall;

macro_rules! dispatcher {
    ($(
        $number:literal $name:ident
        $(native $(when($rule:ident) else)?)?
        $(refuse($errno:ident))?
        $(emulate($family:ident :: $handler:ident))?
        $(strict emulate($strict_family:ident :: $strict_handler:ident))?
        $text:literal test $test:literal;
    )*) => {
        /// Run the handler of an emulated call.
        pub fn dispatch(call: &mut Call<'_>) -> Result<Reply, Errno> {
            match call.incoming.nr {
                $( $( $number => syscall::$family::$handler(call), )? )*
                _ => unserved(call),
            }
        }
    };
}

caisson_abi::for_each_syscall! { dispatcher! }

/// A call without a handler was delivered to be counted, or in a log of all calls.
fn unserved(call: &Call<'_>) -> Result<Reply, Errno> {
    let (nr, arguments) = (call.incoming.nr, &call.incoming.args);
    if let Some(errno) = refusal(Level::Standard, nr, arguments) {
        return Err(Errno::from_raw_os_error(errno.raw()));
    }
    row(nr)
        .filter(|_| call.kernel.all_calls)
        .and_then(audited::native)
        .map(Reply::Continue)
        .ok_or(Errno::NOSYS)
}
