//! maps and smaps without the loader and the transport's page, which are no part of the program, and without the places on
//! the host of files that the container's maker had open.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::node::Subject;
use crate::proc::outside::Outside;
use crate::transport::OWN_PAGE;

/// The name that our own memfds begin with.
const OURS: &str = "/memfd:caisson";

pub(super) fn maps(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest("maps")?;
    Ok(shown(subject, &text))
}

pub(super) fn smaps(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest("smaps")?;
    Ok(shown(subject, &text))
}

pub(super) fn numa_maps(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = without_ours(&subject.guest("numa_maps")?);
    let Some(outside) = outside(subject) else {
        return Ok(text);
    };
    // It has no inodes.
    let places = places(&subject.guest("maps")?, outside);
    Ok(without_files(&text, &places))
}

fn outside<'a>(subject: &'a Subject<'_>) -> Option<&'a Outside> {
    let outside = subject.context.guests.outside();
    outside.filter(|outside| outside.is_some())
}

fn shown(subject: &Subject<'_>, text: &[u8]) -> Vec<u8> {
    let text = without_ours(text);
    match outside(subject) {
        Some(outside) => without_places(&text, outside),
        None => text,
    }
}

/// What a mapping's first line says of its file.
struct Mapped<'a> {
    device: (u64, u64),
    inode: u64,
    path: &'a [u8],
}

impl Mapped<'_> {
    /// `None` for all other lines, and for memory without a file.
    fn of(line: &[u8]) -> Option<Mapped<'_>> {
        let mut fields = line.trim_ascii_end().splitn(6, |&byte| byte == b' ');
        let device = std::str::from_utf8(fields.nth(3)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let inode = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let path = fields.next()?.trim_ascii_start();
        path.starts_with(b"/").then_some(Mapped {
            device: (number(major)?, number(minor)?),
            inode,
            path,
        })
    }

    fn is_outside(&self, outside: &Outside) -> bool {
        outside.is_mapped(self.device, self.inode, self.path)
    }

    /// As the links of its descriptors show it.
    fn name(&self) -> String {
        format!("host:[{}]", self.inode)
    }
}

/// maps and smaps with names in place of paths on the host.
fn without_places(text: &[u8], outside: &Outside) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match Mapped::of(line).filter(|mapped| mapped.is_outside(outside)) {
            Some(mapped) => {
                let before = line.trim_ascii_end().len() - mapped.path.len();
                made.extend_from_slice(&line[..before]);
                made.extend_from_slice(mapped.name().as_bytes());
                made.push(b'\n');
            }
            None => made.extend_from_slice(line),
        }
    }
    made
}

/// The names of such files by the addresses at which they are mapped.
fn places(maps: &[u8], outside: &Outside) -> BTreeMap<Vec<u8>, String> {
    let place = |line: &[u8]| {
        let mapped = Mapped::of(line).filter(|mapped| mapped.is_outside(outside))?;
        let address = line.split(|&byte| byte == b'-').next()?;
        Some((address.to_vec(), mapped.name()))
    };
    maps.split(|&byte| byte == b'\n')
        .filter_map(place)
        .collect()
}

/// numa_maps with the same.
fn without_files(text: &[u8], places: &BTreeMap<Vec<u8>, String>) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let address = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let name = places.get(address);
        for word in line.split_inclusive(|&byte| byte == b' ') {
            match name {
                Some(name) if word.starts_with(b"file=") => {
                    made.extend_from_slice(format!("file={name}").as_bytes());
                    made.extend(word.last().filter(|byte| byte.is_ascii_whitespace()));
                }
                _ => made.extend_from_slice(word),
            }
        }
    }
    made
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
    use super::{places, without_files, without_ours, without_places};
    use crate::proc::outside::Outside;

    #[test]
    fn places_on_the_host_are_hidden() {
        let outside = Outside::default();
        outside.add((0xfd, 0x10), 77, b"/var/log/a b.log");
        let text = b"7f00-7f01 rw-s 00000000 fd:10 77                  /var/log/a b.log (deleted)\nSize: 4 kB\n7f02-7f03 r--p 00000000 fd:10 78 /bin/sh\n7f04-7f05 rw-p 0 00:00 0\n7f06-7f07 r--s 00000000 00:2a 77 /var/log/a b.log\n7f08-7f09 r--s 00000000 00:2a 77 /lib/c.so\n";
        let expected = b"7f00-7f01 rw-s 00000000 fd:10 77                  host:[77]\nSize: 4 kB\n7f02-7f03 r--p 00000000 fd:10 78 /bin/sh\n7f04-7f05 rw-p 0 00:00 0\n7f06-7f07 r--s 00000000 00:2a 77 host:[77]\n7f08-7f09 r--s 00000000 00:2a 77 /lib/c.so\n";
        assert_eq!(without_places(text, &outside), expected);
        let numa = b"7f00 default file=/var/log/a\\040b.log mapped=1\n7f02 default file=/bin/sh\n7f06 default file=/var/log/a\\040b.log\n";
        assert_eq!(
            without_files(numa, &places(text, &outside)),
            b"7f00 default file=host:[77] mapped=1\n7f02 default file=/bin/sh\n7f06 default file=host:[77]\n"
        );
    }

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
