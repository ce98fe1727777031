//! Argument and environment strings.

use std::ffi::CString;

use rustix::io::Errno;

use crate::call::Call;

/// `MAX_ARG_STRLEN`: the longest single string, with its NUL.
const MAX_STRING: usize = 32 * 4096;
/// Upper bound for all strings and pointers, a quarter of the default stack limit... and never more than
/// three quarters of 8 MiB (fs/exec.c, `bprm_stack_limits`).
const MAX_TOTAL: usize = 6 << 20;
const MAX_COUNT: usize = MAX_TOTAL / 8;

/// NUL-terminated strings one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    pub bytes: Vec<u8>,
    pub count: u64,
}

impl Strings {
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        self.count += 1;
    }

    pub fn from_list<'a>(list: impl IntoIterator<Item = &'a [u8]>) -> Strings {
        let mut strings = Strings::default();
        list.into_iter().for_each(|string| strings.push(string));
        strings
    }

    /// The strings without the first one.
    pub fn without_first(mut self) -> Strings {
        if let Some(end) = self.bytes.iter().position(|byte| *byte == 0) {
            self.bytes.drain(..=end);
            self.count -= 1;
        }
        self
    }

    /// Read the strings of a NULL-terminated pointer array in guest memory. A null array is empty.
    /// `E2BIG` beyond the limits of execve(2) for `stack_limit` bytes of stack.
    pub fn read(call: &Call<'_>, array: u64, stack_limit: u64) -> Result<Strings, Errno> {
        let limit = MAX_TOTAL.min((stack_limit / 4) as usize).max(32 * 4096);
        let pointers = pointers(call, array)?;
        let mut strings = Strings::default();
        let mut index = 0;
        while index < pointers.len() {
            index += strings.read_run(call, &pointers[index..], limit)?;
            if strings.bytes.len() + pointers.len() * 8 > limit {
                return Err(Errno::TOOBIG);
            }
        }
        Ok(strings)
    }

    /// Read as many strings as lie one behind the other in memory, which is how shells and libc lay them
    /// out, in one go. Returns how many were read: at least one.
    fn read_run(
        &mut self,
        call: &Call<'_>,
        pointers: &[u64],
        limit: usize,
    ) -> Result<usize, Errno> {
        const BLOCK: u64 = 16 << 10;
        let base = pointers[0];
        let span = BLOCK - (base & 4095);
        let mut block = vec![0u8; span as usize];
        let got = caisson_sys::memory::read(call.incoming.tid, base, &mut block)?;
        let mut taken = 0;
        for pointer in pointers {
            let Some(at) = pointer.checked_sub(base).filter(|at| *at < got as u64) else {
                break;
            };
            let Some(end) = block[at as usize..got].iter().position(|byte| *byte == 0) else {
                break;
            };
            self.push(&block[at as usize..at as usize + end]);
            taken += 1;
            if self.bytes.len() > limit {
                return Err(Errno::TOOBIG);
            }
        }
        if taken == 0 {
            let string: CString = call.string(base, MAX_STRING)?;
            self.push(string.as_bytes());
            taken = 1;
        }
        Ok(taken)
    }
}

fn pointers(call: &Call<'_>, array: u64) -> Result<Vec<u64>, Errno> {
    let mut found = Vec::new();
    if array == 0 {
        return Ok(found);
    }
    let mut at = array;
    loop {
        let mut block = [0u8; 1024];
        let want = (4096 - (at & 4095)).min(1024) as usize;
        // An unaligned array may straddle the page: take what is readable, in whole pointers.
        let want = if want < 8 { 8 } else { want & !7 };
        let got = caisson_sys::memory::read(call.incoming.tid, at, &mut block[..want])? & !7;
        if got == 0 {
            return Err(Errno::FAULT);
        }
        for chunk in block[..got].chunks_exact(8) {
            let pointer = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            if pointer == 0 {
                return Ok(found);
            }
            if found.len() >= MAX_COUNT {
                return Err(Errno::TOOBIG);
            }
            found.push(pointer);
        }
        at = at.checked_add(got as u64).ok_or(Errno::FAULT)?;
    }
}
