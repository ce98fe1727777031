//! The battery-backed clock (MC146818) as far as kernels read the time from it. It cannot be set.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::bus::BusDevice;

#[derive(Default)]
pub(crate) struct Clock {
    register: u8,
}

const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_D: u8 = 0x0d;
const CENTURY: u8 = 0x32;

impl BusDevice for Clock {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        data.fill(if offset == 0 {
            0
        } else {
            value(self.register, now)
        });
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        if let (0, [register]) = (offset, data) {
            // The highest bit masks the NMI.
            self.register = register & 0x7f;
        }
    }
}

/// What a register holds at `now`, in seconds since 1970, in binary and with 24 hours.
fn value(register: u8, now: u64) -> u8 {
    let (year, month, day) = date(now / 86_400);
    let field = match register {
        0x00 => now % 60,
        0x02 => now / 60 % 60,
        0x04 => now / 3600 % 24,
        // 1970 began on a Thursday; Sunday is 1.
        0x06 => (now / 86_400 + 4) % 7 + 1,
        0x07 => day,
        0x08 => month,
        0x09 => year % 100,
        CENTURY => year / 100,
        STATUS_A => 0x26,
        STATUS_B => 0x06,
        STATUS_D => 0x80,
        _ => 0,
    };
    field as u8
}

/// Year, month and day of the `days`th day after 1970-01-01 in the Gregorian calendar, counted in years that
/// begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_817), (2026, 12, 30));
        let seconds = 20_817 * 86_400 + 13 * 3600 + 5 * 60 + 9;
        let read = |register| value(register, seconds);
        assert_eq!([read(9), read(8), read(7)], [26, 12, 30]);
        assert_eq!([read(4), read(2), read(0)], [13, 5, 9]);
        assert_eq!(read(CENTURY), 20);
    }
}
