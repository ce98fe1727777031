//! From a path to an open program and its interpreter.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use caisson_sys::file::{access_at, is_being_written};
use caisson_sys::user_namespace::Ids;
use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags, fstat, openat};
use rustix::io::Errno;

use super::{Strings, elf, script};
use crate::call::Call;
use crate::task::{FilePrivileges, parse_file_capabilities};

/// Interpreters of interpreters, as in Linux: the sixth `#!` is ELOOP.
const MAX_SCRIPTS: usize = 5;

#[derive(Debug)]
pub struct Program {
    pub file: OwnedFd,
    pub interpreter: Option<OwnedFd>,
    pub privileges: FilePrivileges,
    /// The guest may read what it executes.
    pub readable: bool,
    /// Guest path of `file`.
    pub exe: Vec<u8>,
    /// The path as it was given, or the one under /dev/fd that stands for a descriptor and a path.
    pub filename: Vec<u8>,
    /// Arguments that `#!` lines put in front, the script's path included; empty for a plain program.
    pub prefix: Vec<Vec<u8>>,
}

/// Open the program at `path` with the guest's rights and check that it can be executed.
pub fn open_program(
    call: &mut Call<'_>,
    directory: i32,
    path: &CString,
    empty_path: bool,
) -> Result<Program, Errno> {
    let mut prefix: Vec<Vec<u8>> = Vec::new();
    let filename = filename(directory, path.as_bytes());
    let mut name = filename.clone();
    let mut current = path.clone();
    let mut directory = directory;
    for _ in 0..=MAX_SCRIPTS {
        let (file, readable) = if empty_path && current.is_empty() {
            behind_descriptor(call, directory)?
        } else {
            open_at(call, directory, &current)?
        };
        refuse_written(call, file.as_fd())?;
        let mut start = [0u8; 4096];
        let length = read_start(file.as_fd(), &mut start)?;
        let start = &start[..length];
        if let Some(line) = script::line(start) {
            if names_descriptor(directory, current.as_bytes()) && closes_on_exec(call, directory)? {
                // The interpreter could not open the script by that name.
                return Err(Errno::NOENT);
            }
            let mut front = vec![line.interpreter.clone()];
            front.extend(line.argument);
            front.push(std::mem::replace(&mut name, line.interpreter.clone()));
            prefix.splice(..prefix.len().min(1), front);
            current = CString::new(line.interpreter).map_err(|_| Errno::NOEXEC)?;
            directory = libc::AT_FDCWD;
            continue;
        }
        let interpreter = elf_interpreter(call, file.as_fd(), start)?;
        let privileges = privileges(&call.kernel.ids, file.as_fd())?;
        let exe = call.kernel.path_of(file.as_fd())?;
        return Ok(Program {
            file,
            interpreter,
            privileges,
            readable,
            exe,
            filename,
            prefix,
        });
    }
    Err(Errno::LOOP)
}

/// What a descriptor of the guest stands for, opened anew: the lease that tells of writers is taken of our opening,
/// not of the guest's.
fn behind_descriptor(call: &mut Call<'_>, number: i32) -> Result<(OwnedFd, bool), Errno> {
    if number == libc::AT_FDCWD {
        // A directory.
        return Err(Errno::ACCESS);
    }
    let fd = call.fd(number)?;
    call.assume()?;
    let fd = executable(fd)?;
    let readable = access_at(fd.as_fd(), c"", libc::R_OK, libc::AT_EMPTY_PATH).is_ok();
    Ok((open_anew(call, fd.as_fd())?, readable))
}

/// Open for reading, in the app kernel's own name, what a descriptor stands for.
fn open_anew(call: &mut Call<'_>, fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    call.servant.assume_self()?;
    let own = call.kernel.own_descriptors()?;
    let name = fd.as_raw_fd().to_string();
    openat(&own, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Whether execveat(2) looks at its descriptor.
fn names_descriptor(directory: i32, path: &[u8]) -> bool {
    directory != libc::AT_FDCWD && path.first() != Some(&b'/')
}

/// What Linux calls the program of an execveat(2) (alloc_bprm): AT_EXECFN, and a script's name to its interpreter.
fn filename(directory: i32, path: &[u8]) -> Vec<u8> {
    if !names_descriptor(directory, path) {
        return path.to_vec();
    }
    let mut name = format!("/dev/fd/{directory}").into_bytes();
    if !path.is_empty() {
        name.push(b'/');
        name.extend_from_slice(path);
    }
    name
}

fn closes_on_exec(call: &Call<'_>, number: i32) -> Result<bool, Errno> {
    let path = format!("{}/fdinfo/{number}", call.incoming.tid);
    let info = crate::task::read_proc(call.kernel.host_proc(), &path)?;
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|octal| i32::from_str_radix(octal.trim(), 8).ok())
        .ok_or(Errno::IO)?;
    Ok(flags & libc::O_CLOEXEC != 0)
}

/// Arguments for a program that `#!` lines may have put others in front of.
pub fn with_prefix(prefix: &[Vec<u8>], arguments: Strings) -> Strings {
    if prefix.is_empty() {
        return arguments;
    }
    let mut all = Strings::from_list(prefix.iter().map(Vec::as_slice));
    let rest = arguments.without_first();
    all.bytes.extend_from_slice(&rest.bytes);
    all.count += rest.count;
    all
}

/// Linux needs no right to read a program in order to execute it; the loader does, so the app kernel opens
/// what the guest may only execute in its own name. Tells whether the guest may read it.
fn open_at(call: &mut Call<'_>, directory: i32, path: &CString) -> Result<(OwnedFd, bool), Errno> {
    match call.on_path(directory, path, open_executable) {
        Err(Errno::ACCESS) => {
            let place = call.on_path(directory, path, |at, path| {
                executable(openat(
                    at,
                    path,
                    OFlags::PATH | OFlags::CLOEXEC,
                    Mode::empty(),
                )?)
            })?;
            Ok((open_anew(call, place.as_fd())?, false))
        }
        opened => opened.map(|file| (file, true)),
    }
}

fn open_executable(at: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    executable(
        openat(at, path, flags, Mode::empty())
            .map_err(|e| if e == Errno::NXIO { Errno::ACCESS } else { e })?,
    )
}

/// `EACCES` unless it is a regular file that may be executed where it is mounted.
fn executable(file: OwnedFd) -> Result<OwnedFd, Errno> {
    let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    access_at(file.as_fd(), c"", libc::X_OK, libc::AT_EMPTY_PATH)?;
    Ok(file)
}

/// `ETXTBSY` for what is open for writing. Linux asks that of interpreters as well, which nobody writes to.
fn refuse_written(call: &mut Call<'_>, file: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut written = is_being_written(file);
    if written == Err(Errno::ACCESS) {
        call.servant.assume_self()?;
        written = is_being_written(file);
    }
    // Where there are no leases, nothing is known.
    if written == Ok(true) {
        return Err(Errno::TXTBSY);
    }
    Ok(())
}

fn read_start(file: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
    rustix::io::pread(file, into, 0)
}

fn elf_interpreter(
    call: &mut Call<'_>,
    file: BorrowedFd<'_>,
    start: &[u8],
) -> Result<Option<OwnedFd>, Errno> {
    let headers = elf::headers(start)?;
    let inline = usize::try_from(headers.offset)
        .ok()
        .and_then(|at| start.get(at..at.checked_add(headers.bytes)?));
    let table = match inline {
        Some(table) => table.to_vec(),
        None => {
            let mut table = vec![0; headers.bytes];
            if rustix::io::pread(file, &mut table, headers.offset)? != table.len() {
                return Err(Errno::NOEXEC);
            }
            table
        }
    };
    let Some(at) = elf::interpreter(&table)? else {
        return Ok(None);
    };
    let mut path = vec![0; at.length as usize];
    if rustix::io::pread(file, &mut path, at.offset)? != path.len() || path.last() != Some(&0) {
        return Err(Errno::NOEXEC);
    }
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NOEXEC)?;
    let path = path.to_owned();
    // Linux opens the working directory then, which is no program.
    if path.is_empty() {
        return Err(Errno::ACCESS);
    }
    let (interpreter, _) = open_at(call, libc::AT_FDCWD, &path)?;
    let mut head = [0u8; 64];
    let length = read_start(interpreter.as_fd(), &mut head)?;
    elf::headers(&head[..length]).map_err(|_| Errno::LIBBAD)?;
    Ok(Some(interpreter))
}

/// Set-user-ID, set-group-ID and file capabilities, as far as the mount lets them count and the container has the
/// owners.
fn privileges(own: &Ids, file: BorrowedFd<'_>) -> Result<FilePrivileges, Errno> {
    let mut value = [0u8; 32];
    let capabilities = match rustix::fs::fgetxattr(file, c"security.capability", &mut value[..]) {
        Ok(length) => parse_file_capabilities(&value[..length]),
        Err(_) => None,
    };
    let stat = fstat(file)?;
    let setuid = (stat.st_mode & libc::S_ISUID != 0).then_some(stat.st_uid);
    let group_executable = stat.st_mode & libc::S_IXGRP != 0;
    let setgid = (stat.st_mode & libc::S_ISGID != 0 && group_executable).then_some(stat.st_gid);
    if capabilities.is_none() && setuid.is_none() && setgid.is_none() {
        return Ok(FilePrivileges::default());
    }
    let nosuid = rustix::fs::fstatvfs(file)?
        .f_flag
        .contains(StatVfsMountFlags::NOSUID);
    // What guests make without a name (memfd_create) belongs to their common host user, whom none of them may become.
    let is_owned = own.owns(stat.st_uid, stat.st_gid);
    if nosuid || stat.st_uid == own.host_uid() && own.host_uid() != 0 || !is_owned {
        return Ok(FilePrivileges::default());
    }
    Ok(FilePrivileges {
        setuid,
        setgid,
        capabilities,
    })
}

/// Where a program without a slash in its name is found, as execvp(3) looks for it in `PATH` of `environment`.
/// `ENOENT` when nowhere, `EACCES` when only files were found that cannot be executed.
pub fn find_in_path(
    call: &mut Call<'_>,
    name: &str,
    environment: &[String],
) -> Result<CString, Errno> {
    if name.contains('/') {
        return CString::new(name).map_err(|_| Errno::INVAL);
    }
    let default = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let path = environment
        .iter()
        .rev()
        .find_map(|e| e.strip_prefix("PATH="))
        .unwrap_or(default);
    let mut worst = Errno::NOENT;
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = CString::new(format!("{directory}/{name}")).map_err(|_| Errno::INVAL)?;
        match open_at(call, libc::AT_FDCWD, &candidate) {
            Ok(_) => return Ok(candidate),
            Err(Errno::ACCESS) => worst = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(worst)
}

#[cfg(test)]
mod tests {
    use super::filename;

    #[test]
    fn a_descriptor_shows_in_the_name() {
        assert_eq!(filename(libc::AT_FDCWD, b"bin/true"), b"bin/true");
        assert_eq!(filename(7, b"/bin/true"), b"/bin/true");
        assert_eq!(filename(7, b"true"), b"/dev/fd/7/true");
        assert_eq!(filename(7, b""), b"/dev/fd/7");
    }
}
