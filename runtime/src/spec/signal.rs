//! Names of signals, signal(7), as `kill` takes them.

const NAMES: [(&str, i32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

const LAST: i32 = 64;

/// `SIGTERM`, `term`, `15` and `RTMIN+3` alike; `None` for what is no signal. Signal 0 (a probe) counts.
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (0..=LAST).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == short) {
        return Some(*number);
    }
    let offset = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text[1..].parse::<i32>().ok()
        }
    };
    let number = if let Some(rest) = short.strip_prefix("RTMIN") {
        (rest.is_empty() || rest.starts_with('+'))
            .then(|| offset(rest))?
            .map(|n| 34 + n)
    } else if let Some(rest) = short.strip_prefix("RTMAX") {
        (rest.is_empty() || rest.starts_with('-'))
            .then(|| offset(rest))?
            .map(|n| LAST - n)
    } else {
        None
    };
    number.filter(|number| (34..=LAST).contains(number))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn every_spelling_of_a_signal_is_known() {
        for spelling in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(number(spelling), Some(15), "{spelling}");
        }
        assert_eq!(number("SIGRTMIN+3"), Some(37));
        assert_eq!(number("RTMAX-1"), Some(63));
        for wrong in [
            "", "SIG", "65", "-1", "RTMIN+99", "RTMAX+1", "RTMINx", "TERM ",
        ] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
