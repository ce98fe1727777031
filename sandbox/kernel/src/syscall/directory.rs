//! Names: mkdir(2), unlink(2), rename(2), link(2), symlink(2), mknod(2).

use std::os::fd::AsFd;

use rustix::fs::{
    AtFlags, FileType, Mode, RenameFlags, linkat as host_linkat, mkdirat as host_mkdirat,
    mknodat as host_mknodat, renameat_with, symlinkat as host_symlinkat, unlinkat as host_unlinkat,
};
use rustix::io::Errno;

use crate::boot::{DeviceAccess, DeviceKind, device_allowed};
use crate::call::Call;
use crate::reply::Reply;

/// Mode bits for a new file, from which the host kernel takes the process' mask.
fn masked(call: &mut Call<'_>, mode: u32) -> Mode {
    call.assume_mask();
    Mode::from_raw_mode(mode & 0o7777)
}

pub fn mkdir(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make_directory(call, libc::AT_FDCWD, 0)
}

pub fn mkdirat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make_directory(call, call.int(0), 1)
}

fn make_directory(call: &mut Call<'_>, directory: i32, path: usize) -> Result<Reply, Errno> {
    let mode = masked(call, call.uint(path + 1));
    let path = call.path(path)?;
    call.on_path(directory, &path, |at, path| host_mkdirat(at, path, mode))?;
    Ok(Reply::ZERO)
}

pub fn rmdir(call: &mut Call<'_>) -> Result<Reply, Errno> {
    remove(call, libc::AT_FDCWD, 0, AtFlags::REMOVEDIR)
}

pub fn unlink(call: &mut Call<'_>) -> Result<Reply, Errno> {
    remove(call, libc::AT_FDCWD, 0, AtFlags::empty())
}

pub fn unlinkat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = match call.int(2) {
        0 => AtFlags::empty(),
        libc::AT_REMOVEDIR => AtFlags::REMOVEDIR,
        _ => return Err(Errno::INVAL),
    };
    remove(call, call.int(0), 1, flags)
}

fn remove(
    call: &mut Call<'_>,
    directory: i32,
    path: usize,
    flags: AtFlags,
) -> Result<Reply, Errno> {
    let path = call.path(path)?;
    call.on_path(directory, &path, |at, path| host_unlinkat(at, path, flags))?;
    Ok(Reply::ZERO)
}

pub fn rename(call: &mut Call<'_>) -> Result<Reply, Errno> {
    move_name(call, (libc::AT_FDCWD, 0), (libc::AT_FDCWD, 1), 0)
}

pub fn renameat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    move_name(call, (call.int(0), 1), (call.int(2), 3), 0)
}

pub fn renameat2(call: &mut Call<'_>) -> Result<Reply, Errno> {
    move_name(call, (call.int(0), 1), (call.int(2), 3), call.uint(4))
}

fn move_name(
    call: &mut Call<'_>,
    from: (i32, usize),
    to: (i32, usize),
    flags: u32,
) -> Result<Reply, Errno> {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
    if flags.contains(RenameFlags::WHITEOUT) {
        // A whiteout is a device node.
        return Err(if flags.contains(RenameFlags::EXCHANGE) {
            Errno::INVAL
        } else {
            Errno::PERM
        });
    }
    let (from_path, to_path) = (call.path(from.1)?, call.path(to.1)?);
    let target = call.start(to.0, &to_path)?;
    call.on_path(from.0, &from_path, |at, path| {
        renameat_with(at, path, target.as_fd(), &to_path, flags)
    })?;
    Ok(Reply::ZERO)
}

pub fn link(call: &mut Call<'_>) -> Result<Reply, Errno> {
    add_link(call, (libc::AT_FDCWD, 0), (libc::AT_FDCWD, 1), 0)
}

pub fn linkat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    add_link(call, (call.int(0), 1), (call.int(2), 3), call.int(4))
}

fn add_link(
    call: &mut Call<'_>,
    from: (i32, usize),
    to: (i32, usize),
    flags: i32,
) -> Result<Reply, Errno> {
    if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let (from_path, to_path) = (call.path(from.1)?, call.path(to.1)?);
    let target = call.start(to.0, &to_path)?;
    if from_path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        let file = call.fd(from.0)?;
        call.assume()?;
        host_linkat(&file, c"", target.as_fd(), &to_path, AtFlags::EMPTY_PATH)?;
        return Ok(Reply::ZERO);
    }
    let follow = AtFlags::from_bits_retain((flags & libc::AT_SYMLINK_FOLLOW) as u32);
    call.on_path(from.0, &from_path, |at, path| {
        host_linkat(at, path, target.as_fd(), &to_path, follow)
    })?;
    Ok(Reply::ZERO)
}

pub fn symlink(call: &mut Call<'_>) -> Result<Reply, Errno> {
    add_symlink(call, 0, libc::AT_FDCWD, 1)
}

pub fn symlinkat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    add_symlink(call, 0, call.int(1), 2)
}

fn add_symlink(
    call: &mut Call<'_>,
    text: usize,
    directory: i32,
    path: usize,
) -> Result<Reply, Errno> {
    let (text, path) = (call.path(text)?, call.path(path)?);
    call.on_path(directory, &path, |at, path| host_symlinkat(&text, at, path))?;
    Ok(Reply::ZERO)
}

pub fn mknod(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make_node(call, libc::AT_FDCWD, 0)
}

pub fn mknodat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make_node(call, call.int(0), 1)
}

/// Fifos, sockets and plain files; device nodes only when the guest may open that device anyway.
fn make_node(call: &mut Call<'_>, directory: i32, path: usize) -> Result<Reply, Errno> {
    let (mode, device) = (call.uint(path + 1), u64::from(call.uint(path + 2)));
    let kind = match mode & libc::S_IFMT {
        0 => FileType::RegularFile,
        bits => FileType::from_raw_mode(bits),
    };
    let permissions = masked(call, mode);
    let path = call.path(path)?;
    let listed = |kind| {
        let may = |access| device_allowed(&call.kernel.devices, kind, device, access);
        may(DeviceAccess::MKNOD) && (may(DeviceAccess::READ) || may(DeviceAccess::WRITE))
    };
    let allowed = match kind {
        FileType::RegularFile | FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => device == 0 || listed(DeviceKind::Character),
        FileType::BlockDevice => listed(DeviceKind::Block),
        FileType::Directory => return Err(Errno::PERM),
        _ => return Err(Errno::INVAL),
    };
    if !allowed {
        return Err(Errno::PERM);
    }
    call.on_path(directory, &path, |at, path| {
        host_mknodat(at, path, kind, permissions, device)
    })?;
    Ok(Reply::ZERO)
}
