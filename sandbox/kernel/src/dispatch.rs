//! From a call's number to its handler: derived from the syscall table.

use rustix::io::Errno;

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
        /// Run the handler of an emulated call. Numbers without one get ENOSYS; the filter does not
        /// send them here.
        pub fn dispatch(call: &mut Call<'_>) -> Result<Reply, Errno> {
            match call.incoming.nr {
                $( $( $number => syscall::$family::$handler(call), )? )*
                _ => Err(Errno::NOSYS),
            }
        }
    };
}

caisson_abi::for_each_syscall! { dispatcher! }
