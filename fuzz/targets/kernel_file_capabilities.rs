//! A decoder of the application kernel, see `caisson_kernel::fuzzing`.

#![no_main]

use caisson_kernel::fuzzing::{Target, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| decode(Target::FileCapabilities, bytes));
