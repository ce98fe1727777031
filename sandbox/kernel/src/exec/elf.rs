//! The parts of an ELF header that decide whether and how a program can be run, elf(5).

use rustix::io::Errno;

/// `EM_X86_64`.
const MACHINE: u16 = 62;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_INTERP: u32 = 3;
const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
/// What the loader has room for; Linux allows 64 KiB worth.
const MAX_PROGRAM_HEADERS: usize = 128;
/// Longest interpreter path, `PATH_MAX`.
const MAX_INTERPRETER: u64 = 4096;

/// Where in the file the interpreter's path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreter {
    pub offset: u64,
    pub length: u64,
}

/// Position of the program headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    pub offset: u64,
    pub bytes: usize,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Errno> {
    bytes
        .get(at..at + N)
        .and_then(|slice| slice.try_into().ok())
        .ok_or(Errno::NOEXEC)
}

/// Check the file header. `ENOEXEC` for anything that is no x86-64 program.
pub fn headers(start: &[u8]) -> Result<Headers, Errno> {
    // Of the identification Linux looks at no more (load_elf_binary).
    if start.len() < HEADER_BYTES || &start[..4] != b"\x7fELF" {
        return Err(Errno::NOEXEC);
    }
    let kind = u16::from_le_bytes(number(start, 16)?);
    let machine = u16::from_le_bytes(number(start, 18)?);
    let offset = u64::from_le_bytes(number(start, 32)?);
    let entry_bytes = u16::from_le_bytes(number(start, 54)?);
    let count = u16::from_le_bytes(number(start, 56)?) as usize;
    let sound = (kind == ET_EXEC || kind == ET_DYN)
        && machine == MACHINE
        && entry_bytes as usize == PROGRAM_HEADER_BYTES
        && (1..=MAX_PROGRAM_HEADERS).contains(&count);
    if sound {
        Ok(Headers {
            offset,
            bytes: count * PROGRAM_HEADER_BYTES,
        })
    } else {
        Err(Errno::NOEXEC)
    }
}

/// The interpreter named in the program headers, if any. `ENOEXEC` for a name that cannot be one. What segments there are is
/// for the loader to see, as Linux looks at them when there is no way back.
pub fn interpreter(table: &[u8]) -> Result<Option<Interpreter>, Errno> {
    for header in table.chunks_exact(PROGRAM_HEADER_BYTES) {
        if u32::from_le_bytes(number(header, 0)?) != PT_INTERP {
            continue;
        }
        let length = u64::from_le_bytes(number(header, 32)?);
        if !(2..=MAX_INTERPRETER).contains(&length) {
            return Err(Errno::NOEXEC);
        }
        let offset = u64::from_le_bytes(number(header, 8)?);
        return Ok(Some(Interpreter { offset, length }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u16, machine: u16, count: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[16..18].copy_from_slice(&kind.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&count.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_of_another_machine_is_not_executable() {
        assert_eq!(
            headers(&header(3, 62, 2)),
            Ok(Headers {
                offset: 64,
                bytes: 112
            })
        );
        assert_eq!(headers(&header(3, 40, 2)), Err(Errno::NOEXEC));
        assert_eq!(headers(&header(1, 62, 2)), Err(Errno::NOEXEC));
        assert_eq!(headers(&header(3, 62, 0)), Err(Errno::NOEXEC));
        assert_eq!(headers(&header(3, 62, 129)), Err(Errno::NOEXEC));
        assert_eq!(headers(&header(3, 62, 2)[..63]), Err(Errno::NOEXEC));
    }

    #[test]
    fn an_interpreter_path_must_be_of_sane_length() {
        let mut table = vec![0u8; 112];
        table[0..4].copy_from_slice(&1u32.to_le_bytes());
        table[56..60].copy_from_slice(&3u32.to_le_bytes());
        table[56 + 8..56 + 16].copy_from_slice(&500u64.to_le_bytes());
        table[56 + 32..56 + 40].copy_from_slice(&28u64.to_le_bytes());
        assert_eq!(
            interpreter(&table),
            Ok(Some(Interpreter {
                offset: 500,
                length: 28
            }))
        );
        table[56 + 32..56 + 40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(interpreter(&table), Err(Errno::NOEXEC));
    }
}
