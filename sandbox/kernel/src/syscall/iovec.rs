//! Lists of stretches of guest memory, readv(2).

use rustix::io::Errno;

use crate::call::Call;

/// `UIO_MAXIOV`.
const MOST_PARTS: u64 = 1024;
/// `MAX_RW_COUNT`.
pub(super) const MOST_BYTES: u64 = 0x7fff_f000;

/// A stretch of memory: `struct iovec`.
pub(super) type Part = (u64, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Caller,
    Other,
}

/// The `iovec`s at `address`. Those of the caller itself must lie in user space.
pub(super) fn parts(
    call: &Call<'_>,
    address: u64,
    count: u64,
    whose: Whose,
) -> Result<Vec<Part>, Errno> {
    /// Where user space ends, `TASK_SIZE_MAX`.
    const END: u64 = 0x7fff_ffff_f000;
    if count > MOST_PARTS {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; count as usize * 16];
    call.read_bytes(address, &mut bytes)?;
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        u64::from_ne_bytes(bytes.unwrap_or_default())
    };
    let parts: Vec<Part> = (0..count as usize)
        .map(|index| (word(index * 16), word(index * 16 + 8)))
        .collect();
    if parts.iter().any(|(_, length)| (*length as i64) < 0) {
        return Err(Errno::INVAL);
    }
    let outside = |(base, length): &Part| base.checked_add(*length).is_none_or(|end| end > END);
    if whose == Whose::Caller && parts.iter().any(outside) {
        return Err(Errno::FAULT);
    }
    Ok(parts)
}

pub(super) fn total(parts: &[Part]) -> u64 {
    parts
        .iter()
        .fold(0, |sum: u64, (_, length)| sum.saturating_add(*length))
        .min(MOST_BYTES)
}

/// A place in a list of parts.
pub(super) struct Cursor<'a> {
    parts: &'a [Part],
    within: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(parts: &'a [Part]) -> Cursor<'a> {
        Cursor { parts, within: 0 }
    }

    /// Address and length of what is left of the current part.
    pub(super) fn here(&mut self) -> Option<Part> {
        while let Some((base, length)) = self.parts.first() {
            if self.within < *length {
                return Some((base + self.within, length - self.within));
            }
            (self.parts, self.within) = (&self.parts[1..], 0);
        }
        None
    }

    pub(super) fn advance(&mut self, count: u64) {
        self.within += count;
    }
}
