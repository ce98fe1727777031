//! maps and smaps without the loader and the transport's page, which are no part of the program.

use nix::errno::Errno;

use super::node::Subject;
use crate::transport::OWN_PAGE;

/// The name that our own memfds begin with.
const OURS: &str = "/memfd:caisson";

pub(super) fn maps(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest("maps")?;
    Ok(without_ours(&text))
}

pub(super) fn smaps(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest("smaps")?;
    Ok(without_ours(&text))
}

pub(super) fn numa_maps(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest("numa_maps")?;
    Ok(without_ours(&text))
}

/// A mapping's first line begins with its address, the lines that follow it in smaps with a capital letter.
fn without_ours(text: &[u8]) -> Vec<u8> {
    let own_page = format!("{OWN_PAGE:x}-");
    let mut made = Vec::with_capacity(text.len());
    let mut hidden = false;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if line
            .first()
            .is_some_and(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        {
            hidden = line.starts_with(own_page.as_bytes())
                || line.windows(OURS.len()).any(|part| part == OURS.as_bytes());
        }
        if !hidden {
            made.extend_from_slice(line);
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::without_ours;

    #[test]
    fn the_loader_is_hidden_with_its_details() {
        let text = b"7f00-7f01 r-xp 00000000 00:01 5    /memfd:caisson-loader (deleted)\nSize: 4 kB\nVmFlags: rd\nff01-ff02 rw-p 0 0:0 0 [heap]\nSize: 8 kB\n";
        assert_eq!(
            without_ours(text),
            b"ff01-ff02 rw-p 0 0:0 0 [heap]\nSize: 8 kB\n"
        );
    }

    #[test]
    fn the_transports_page_is_hidden() {
        let text =
            b"1c4155000000-1c4155001000 rw-p 00000000 00:00 0\n5501-5502 r-xp 0 0:0 0 /bin/cat\n";
        assert_eq!(without_ours(text), b"5501-5502 r-xp 0 0:0 0 /bin/cat\n");
    }
}
