//! The processor's time stamp counter.

use std::time::{Duration, Instant};

/// The counter's value now.
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: RDTSC exists on every x86-64 processor and is allowed unless PR_SET_TSC forbids it, which
    // nothing here does; it touches no memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// How fast the counter runs, measured over `window`, in kHz.
#[must_use]
pub fn frequency_khz(window: Duration) -> u64 {
    let (start, first) = (Instant::now(), ticks());
    std::thread::sleep(window);
    let (elapsed, last) = (start.elapsed(), ticks());
    let nanoseconds = elapsed.as_nanos().max(1);
    let khz = u128::from(last.wrapping_sub(first)) * 1_000_000 / nanoseconds;
    u64::try_from(khz).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequency_is_that_of_a_processor() {
        let khz = frequency_khz(Duration::from_millis(20));
        assert!((100_000..20_000_000).contains(&khz), "{khz} kHz");
    }
}
