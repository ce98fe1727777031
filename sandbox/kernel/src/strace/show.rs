//! One argument of a call in words.

use std::fmt::Write as _;

use rustix::io::Errno;

use super::signature::Kind;

/// How much of a guest's string is shown, and how many strings of a list.
const STRING_BYTES: usize = 96;
const LIST_STRINGS: usize = 16;

/// Read guest memory: as much of the buffer as there is, `EFAULT` if nothing.
pub type Read<'a> = &'a dyn Fn(u64, &mut [u8]) -> Result<usize, Errno>;

/// Show argument `index` of `arguments`. Whatever cannot be read is shown as its address.
pub fn argument(out: &mut String, kind: Kind, index: usize, arguments: &[u64; 6], read: Read<'_>) {
    let value = arguments[index];
    // Writing to a string cannot fail.
    let _ = match kind {
        Kind::Int => write!(out, "{}", value as i32),
        Kind::Dirfd if value as i32 == libc::AT_FDCWD => write!(out, "AT_FDCWD"),
        Kind::Dirfd => write!(out, "{}", value as i32),
        Kind::Size => write!(out, "{}", value.cast_signed()),
        Kind::Mode => write!(out, "0{:o}", value as u32),
        Kind::Hex => hexadecimal(out, value),
        Kind::Path => string(out, value, read),
        Kind::Strings => strings(out, value, read),
        Kind::OpenFlags => open_flags(out, value as i32),
        Kind::AtFlags => flags(out, value as u32, AT_FLAGS),
        Kind::CloneFlags => clone_flags(out, value),
        Kind::Signal => signal(out, value as i32),
        Kind::SocketFamily => named(out, value as i32, FAMILIES),
        Kind::SocketType => socket_type(out, value as i32),
        Kind::Address => address(out, value, arguments.get(index + 1).copied(), read),
    };
}

fn hexadecimal(out: &mut String, value: u64) -> std::fmt::Result {
    match value {
        0 => write!(out, "0"),
        value => write!(out, "{value:#x}"),
    }
}

fn quoted(out: &mut String, bytes: &[u8], cut: bool) -> std::fmt::Result {
    write!(out, "\"{}\"", bytes.escape_ascii())?;
    if cut { write!(out, "...") } else { Ok(()) }
}

fn string(out: &mut String, address: u64, read: Read<'_>) -> std::fmt::Result {
    if address == 0 {
        return write!(out, "NULL");
    }
    let mut bytes = [0u8; STRING_BYTES + 1];
    // Not across a page that may be missing: a string may end just before it.
    let first = (4096 - (address as usize & 4095)).min(bytes.len());
    let mut length = match read(address, &mut bytes[..first]) {
        Ok(0) | Err(_) => return hexadecimal(out, address),
        Ok(length) => length,
    };
    if length == first && !bytes[..first].contains(&0) && first < bytes.len() {
        length += read(address.wrapping_add(first as u64), &mut bytes[first..]).unwrap_or(0);
    }
    let bytes = &bytes[..length];
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => quoted(out, &bytes[..end], false),
        None => quoted(out, &bytes[..bytes.len().min(STRING_BYTES)], true),
    }
}

fn strings(out: &mut String, address: u64, read: Read<'_>) -> std::fmt::Result {
    if address == 0 {
        return write!(out, "NULL");
    }
    write!(out, "[")?;
    for index in 0..=LIST_STRINGS {
        let mut pointer = [0u8; 8];
        let at = address.wrapping_add(8 * index as u64);
        if read(at, &mut pointer) != Ok(8) {
            write!(out, "?")?;
            break;
        }
        let pointer = u64::from_ne_bytes(pointer);
        if pointer == 0 {
            break;
        }
        if index > 0 {
            write!(out, ", ")?;
        }
        if index == LIST_STRINGS {
            write!(out, "...")?;
            break;
        }
        string(out, pointer, read)?;
    }
    write!(out, "]")
}

const OPEN_FLAGS: &[(u32, &str)] = &[
    (libc::O_CREAT as u32, "O_CREAT"),
    (libc::O_EXCL as u32, "O_EXCL"),
    (libc::O_NOCTTY as u32, "O_NOCTTY"),
    (libc::O_TRUNC as u32, "O_TRUNC"),
    (libc::O_APPEND as u32, "O_APPEND"),
    (libc::O_NONBLOCK as u32, "O_NONBLOCK"),
    (libc::O_SYNC as u32, "O_SYNC"),
    (libc::O_DSYNC as u32, "O_DSYNC"),
    (libc::O_DIRECT as u32, "O_DIRECT"),
    (libc::O_TMPFILE as u32, "O_TMPFILE"),
    (libc::O_DIRECTORY as u32, "O_DIRECTORY"),
    (libc::O_NOFOLLOW as u32, "O_NOFOLLOW"),
    (libc::O_NOATIME as u32, "O_NOATIME"),
    (libc::O_CLOEXEC as u32, "O_CLOEXEC"),
    (libc::O_PATH as u32, "O_PATH"),
    (0o100_000, "O_LARGEFILE"),
];

const AT_FLAGS: &[(u32, &str)] = &[
    (0x100, "AT_SYMLINK_NOFOLLOW"),
    (0x200, "AT_REMOVEDIR"),
    (0x400, "AT_SYMLINK_FOLLOW"),
    (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"),
    (0x2000, "AT_STATX_FORCE_SYNC"),
    (0x4000, "AT_STATX_DONT_SYNC"),
];

const CLONE_FLAGS: &[(u32, &str)] = &[
    (0x100, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x1000, "CLONE_PIDFD"),
    (0x2000, "CLONE_PTRACE"),
    (0x4000, "CLONE_VFORK"),
    (0x8000, "CLONE_PARENT"),
    (0x1_0000, "CLONE_THREAD"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x4_0000, "CLONE_SYSVSEM"),
    (0x8_0000, "CLONE_SETTLS"),
    (0x10_0000, "CLONE_PARENT_SETTID"),
    (0x20_0000, "CLONE_CHILD_CLEARTID"),
    (0x80_0000, "CLONE_UNTRACED"),
    (0x100_0000, "CLONE_CHILD_SETTID"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
    (0x8000_0000, "CLONE_IO"),
];

const FAMILIES: &[(i32, &str)] = &[
    (libc::AF_UNSPEC, "AF_UNSPEC"),
    (libc::AF_UNIX, "AF_UNIX"),
    (libc::AF_INET, "AF_INET"),
    (libc::AF_INET6, "AF_INET6"),
    (libc::AF_NETLINK, "AF_NETLINK"),
    (libc::AF_PACKET, "AF_PACKET"),
    (libc::AF_ALG, "AF_ALG"),
    (libc::AF_VSOCK, "AF_VSOCK"),
];

const TYPES: &[(i32, &str)] = &[
    (libc::SOCK_STREAM, "SOCK_STREAM"),
    (libc::SOCK_DGRAM, "SOCK_DGRAM"),
    (libc::SOCK_RAW, "SOCK_RAW"),
    (libc::SOCK_SEQPACKET, "SOCK_SEQPACKET"),
];

fn named(out: &mut String, value: i32, names: &[(i32, &str)]) -> std::fmt::Result {
    match names.iter().find(|(known, _)| *known == value) {
        Some((_, name)) => write!(out, "{name}"),
        None => write!(out, "{value}"),
    }
}

/// Names of the bits, and what is left in hexadecimal.
fn flags(out: &mut String, value: u32, names: &[(u32, &str)]) -> std::fmt::Result {
    let mut left = value;
    let mut first = true;
    for (bits, name) in names {
        if left & bits == *bits {
            left &= !bits;
            write!(out, "{}{name}", if first { "" } else { "|" })?;
            first = false;
        }
    }
    match (left, first) {
        (0, false) => Ok(()),
        (0, true) => write!(out, "0"),
        (left, true) => write!(out, "{left:#x}"),
        (left, false) => write!(out, "|{left:#x}"),
    }
}

fn open_flags(out: &mut String, value: i32) -> std::fmt::Result {
    let access = match value & libc::O_ACCMODE {
        libc::O_RDONLY => "O_RDONLY",
        libc::O_WRONLY => "O_WRONLY",
        libc::O_RDWR => "O_RDWR",
        _ => "O_ACCMODE",
    };
    write!(out, "{access}")?;
    match (value & !libc::O_ACCMODE) as u32 {
        0 => Ok(()),
        rest => {
            write!(out, "|")?;
            flags(out, rest, OPEN_FLAGS)
        }
    }
}

/// The low byte is the signal at the child's end.
fn clone_flags(out: &mut String, value: u64) -> std::fmt::Result {
    let end = (value & 0xff) as i32;
    let rest = (value & 0xffff_ff00) as u32;
    if rest != 0 || end == 0 {
        flags(out, rest, CLONE_FLAGS)?;
    }
    if end == 0 {
        return Ok(());
    }
    if rest != 0 {
        write!(out, "|")?;
    }
    signal(out, end)
}

fn socket_type(out: &mut String, value: i32) -> std::fmt::Result {
    named(out, value & 0xf, TYPES)?;
    if value & libc::SOCK_CLOEXEC != 0 {
        write!(out, "|SOCK_CLOEXEC")?;
    }
    if value & libc::SOCK_NONBLOCK != 0 {
        write!(out, "|SOCK_NONBLOCK")?;
    }
    Ok(())
}

fn signal(out: &mut String, value: i32) -> std::fmt::Result {
    match nix::sys::signal::Signal::try_from(value) {
        Ok(signal) => write!(out, "{}", signal.as_str()),
        Err(_) if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&value) => {
            write!(out, "SIGRT_{}", value - libc::SIGRTMIN())
        }
        Err(_) => write!(out, "{value}"),
    }
}

fn address(out: &mut String, at: u64, length: Option<u64>, read: Read<'_>) -> std::fmt::Result {
    let mut bytes = [0u8; 128];
    let length = usize::try_from(length.unwrap_or(0) as u32).unwrap_or(0);
    let wanted = length.min(bytes.len());
    if at == 0 || wanted < 2 || read(at, &mut bytes[..wanted]) != Ok(wanted) {
        return hexadecimal(out, at);
    }
    let bytes = &bytes[..wanted];
    let family = i32::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
    write!(out, "{{")?;
    named(out, family, FAMILIES)?;
    match (family, &bytes[2..]) {
        (libc::AF_UNIX, [0, name @ ..]) => {
            write!(out, ", @")?;
            quoted(out, name, false)?;
        }
        (libc::AF_UNIX, path) if !path.is_empty() => {
            let end = path.iter().position(|byte| *byte == 0);
            write!(out, ", ")?;
            quoted(out, &path[..end.unwrap_or(path.len())], false)?;
        }
        (libc::AF_INET, [p0, p1, a, b, c, d, ..]) => {
            let port = u16::from_be_bytes([*p0, *p1]);
            write!(out, ", {a}.{b}.{c}.{d}:{port}")?;
        }
        (libc::AF_INET6, [p0, p1, _, _, _, _, rest @ ..]) if rest.len() >= 16 => {
            let port = u16::from_be_bytes([*p0, *p1]);
            let octets: [u8; 16] = std::array::from_fn(|index| rest[index]);
            write!(out, ", [{}]:{port}", std::net::Ipv6Addr::from(octets))?;
        }
        _ => {}
    }
    write!(out, "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One page of memory at 0x1000.
    fn show(kind: Kind, value: u64, next: u64, memory: &[u8]) -> String {
        let read = |address: u64, into: &mut [u8]| {
            let start = address.checked_sub(0x1000).ok_or(Errno::FAULT)? as usize;
            let rest = memory.get(start..).ok_or(Errno::FAULT)?;
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            if count == 0 {
                Err(Errno::FAULT)
            } else {
                Ok(count)
            }
        };
        let mut out = String::new();
        argument(&mut out, kind, 0, &[value, next, 0, 0, 0, 0], &read);
        out
    }

    #[test]
    fn arguments_read_as_in_strace() {
        assert_eq!(
            show(Kind::Path, 0x1000, 0, b"/etc/\x01\n\0rest"),
            r#""/etc/\x01\n""#
        );
        assert_eq!(show(Kind::Path, 0, 0, b""), "NULL");
        assert_eq!(show(Kind::Path, 7, 0, b""), "0x7");
        assert_eq!(show(Kind::Dirfd, -100i64 as u64, 0, b""), "AT_FDCWD");
        assert_eq!(
            show(Kind::OpenFlags, 0o2_000_101, 0, b""),
            "O_WRONLY|O_CREAT|O_CLOEXEC"
        );
        assert_eq!(show(Kind::Mode, 0o644, 0, b""), "0644");
        assert_eq!(show(Kind::Signal, 15, 0, b""), "SIGTERM");
        assert_eq!(show(Kind::Signal, 0, 0, b""), "0");
        assert_eq!(show(Kind::CloneFlags, 17, 0, b""), "SIGCHLD");
        assert_eq!(
            show(Kind::CloneFlags, 0x4111, 0, b""),
            "CLONE_VM|CLONE_VFORK|SIGCHLD"
        );
        assert_eq!(
            show(Kind::SocketType, 0o2_000_001, 0, b""),
            "SOCK_STREAM|SOCK_CLOEXEC"
        );
        assert_eq!(
            show(
                Kind::Address,
                0x1000,
                16,
                b"\x02\0\0\x50\x7f\0\0\x01\0\0\0\0\0\0\0\0"
            ),
            "{AF_INET, 127.0.0.1:80}"
        );
        assert_eq!(
            show(Kind::Address, 0x1000, 10, b"\x01\0/tmp/a\0\0"),
            r#"{AF_UNIX, "/tmp/a"}"#
        );
        let mut list = 0x1010u64.to_ne_bytes().to_vec();
        list.extend(0u64.to_ne_bytes());
        list.extend(b"ls\0");
        assert_eq!(show(Kind::Strings, 0x1000, 0, &list), r#"["ls"]"#);
    }

    #[test]
    fn nothing_that_a_guest_passes_makes_it_long_or_fail() {
        let long = [b'x'; 4096];
        let values = [0, 1, 0x1000, 0x1ffe, u64::MAX, 1 << 63, 0xffff_ffff];
        let kinds = "idzpvotmgacfyx".chars().map(super::super::signature::kind);
        for kind in kinds {
            for value in values {
                for next in values {
                    assert!(show(kind, value, next, &long).len() < 8192);
                }
            }
        }
    }
}
