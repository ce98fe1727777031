//! `#!` lines, as binfmt_script reads them (fs/binfmt_script.c).

/// Interpreter and its one optional argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub interpreter: Vec<u8>,
    pub argument: Option<Vec<u8>>,
}

/// How much of a file Linux looks at (`BINPRM_BUF_SIZE`).
pub const LOOKED_AT: usize = 256;

/// The `#!` line at the start of a file; `None` when there is none that Linux would take.
pub fn line(start: &[u8]) -> Option<Line> {
    let text = start
        .get(..start.len().min(LOOKED_AT))?
        .strip_prefix(b"#!")?;
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let text = match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => &text[..end],
        None => {
            // A line that is cut off must at least hold the whole interpreter.
            let begin = text.iter().position(|byte| !blank(byte))?;
            if start.len() >= LOOKED_AT
                && !text[begin..].iter().any(|byte| blank(byte) || *byte == 0)
            {
                return None;
            }
            text
        }
    };
    let text = &text[..text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len())];
    let end = text.iter().rposition(|byte| !blank(byte))?;
    let text = &text[..=end];
    let begin = text.iter().position(|byte| !blank(byte))?;
    let text = &text[begin..];
    let end = text.iter().position(blank).unwrap_or(text.len());
    let argument = text[end..]
        .iter()
        .position(|byte| !blank(byte))
        .map(|at| text[end + at..].to_vec());
    Some(Line {
        interpreter: text[..end].to_vec(),
        argument,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        line(text).map(|line| (line.interpreter, line.argument))
    }

    #[test]
    fn everything_behind_the_interpreter_is_one_argument() {
        assert_eq!(
            parsed(b"#!/bin/sh\necho"),
            Some((b"/bin/sh".to_vec(), None))
        );
        assert_eq!(
            parsed(b"#! /usr/bin/env  python3 -u \nx"),
            Some((b"/usr/bin/env".to_vec(), Some(b"python3 -u".to_vec())))
        );
        assert_eq!(
            parsed(b"#!/bin/sh\r\n"),
            Some((b"/bin/sh\r".to_vec(), None))
        );
        assert_eq!(parsed(b"#!/bin/sh"), Some((b"/bin/sh".to_vec(), None)));
    }

    #[test]
    fn lines_without_a_whole_interpreter_are_not_taken() {
        assert_eq!(parsed(b"#!\n"), None);
        assert_eq!(parsed(b"#!  \t \n"), None);
        assert_eq!(parsed(b"\x7fELF"), None);
        let mut long = b"#!/".to_vec();
        long.resize(300, b'x');
        assert_eq!(parsed(&long), None);
    }
}
