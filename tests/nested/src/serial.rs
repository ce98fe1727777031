//! Reads the machine's serial line: output of the command between two markers.

/// The end of the output that errors carry.
const TAIL_BYTES: usize = 4000;

/// What the machine has said so far.
#[derive(Debug)]
pub(crate) struct Serial {
    start: String,
    exit: String,
    tail: String,
    pub(crate) started: bool,
    pub(crate) status: Option<i32>,
}

impl Serial {
    /// `marker` is a word that appears in no output by accident.
    pub(crate) fn new(marker: &str) -> Serial {
        Serial {
            start: format!("{marker} start"),
            exit: format!("{marker} exit "),
            tail: String::new(),
            started: false,
            status: None,
        }
    }

    /// Takes one line, without its end; returns what of it the command printed. A marker may share its line
    /// with other output.
    pub(crate) fn line(&mut self, line: &str) -> Option<String> {
        let line = line.trim_end_matches('\r');
        self.remember(line);
        if !self.started {
            self.started = line.contains(&self.start);
            return None;
        }
        if self.status.is_some() {
            return None;
        }
        let Some((before, after)) = line.split_once(&self.exit) else {
            return Some(line.to_owned());
        };
        let digits = after.split(|c: char| !c.is_ascii_digit()).next();
        self.status = digits.and_then(|digits| digits.parse().ok());
        (!before.is_empty()).then(|| before.to_owned())
    }

    /// The end of everything that was printed.
    pub(crate) fn tail(&self) -> &str {
        &self.tail
    }

    fn remember(&mut self, line: &str) {
        self.tail.push_str(line);
        self.tail.push('\n');
        if self.tail.len() > 2 * TAIL_BYTES {
            let mut start = self.tail.len() - TAIL_BYTES;
            while !self.tail.is_char_boundary(start) {
                start += 1;
            }
            self.tail.drain(..start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Serial;

    #[test]
    fn status_is_found_in_the_middle_of_a_line() {
        let mut serial = Serial::new("m4rk");
        assert_eq!(serial.line("[    0.1] kernel"), None);
        assert_eq!(serial.line("xm4rk start\r"), None);
        assert!(serial.started);
        assert_eq!(serial.line("hello\r"), Some("hello".to_owned()));
        assert_eq!(
            serial.line("no newlinem4rk exit 7[   3.1] x"),
            Some("no newline".to_owned())
        );
        assert_eq!(serial.status, Some(7));
        assert_eq!(serial.line("reboot: Restarting system"), None);
        assert!(serial.tail().contains("Restarting"));
    }
}
