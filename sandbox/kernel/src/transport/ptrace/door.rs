//! Putting a descriptor into a guest: it receives it from a socket, by a recvmsg(2) that it is made to run.
//!
//! For that a process has a *door*: a socket at a high number, of whose pair the app kernel has the other end, and a page
//! for the message. Both are made when the first descriptor is to be put in, and again when the guest has closed,
//! replaced or unmapped them. A door belongs to one process: as soon as it forks the door is not used any more, for its
//! child has the socket as well and could take what is meant for its parent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_abi::nr;
use caisson_sys::descriptor::{pidfd_getfd, pidfd_open, pidfd_open_thread};
use caisson_sys::memory;
use caisson_sys::notify::Cloexec;
use caisson_sys::passing::{self, LENGTH, message, received, send};
use rustix::io::Errno;

use super::tracees::Tracees;

/// Where doors are put, if the limit of open files allows: out of the way of what a program opens.
const NUMBER: u64 = 960;
const PAGE: u64 = 4096;
/// Where the page is put if there is room: between the heap and what a program maps, where nothing else comes to lie.
pub(super) const PLACE: u64 = 0x1c41_5500_0000;

/// Where in the page the numbers of a new pair of sockets are written.
const PAIR_AT: u64 = 0;
const _: () = assert!(PAIR_AT as usize + 8 <= passing::FREE);

#[derive(Default)]
pub(super) struct Door {
    /// A page of the guest's.
    page: u64,
    inside: Option<Inside>,
    /// Number and inode of a socket that is used no more, if it is still there.
    former: Option<(i32, u64)>,
}

impl Door {
    fn shut(&mut self) {
        if let Some(inside) = self.inside.take() {
            self.former = Some((inside.number, inside.inode));
        }
    }
}

/// The descriptors of a thread's process.
struct Table(OwnedFd);

impl Table {
    /// By the thread, because the process' first one may have ended.
    fn of(tid: i32, process: i32) -> Result<Table, Errno> {
        pidfd_open_thread(tid)
            .or_else(|_| pidfd_open(process))
            .map(Table)
    }

    fn take(&self, number: i32) -> Result<OwnedFd, Errno> {
        pidfd_getfd(self.0.as_fd(), number)
    }

    fn holds(&self, number: i32, inode: u64) -> bool {
        self.take(number)
            .and_then(rustix::fs::fstat)
            .is_ok_and(|stat| {
                stat.st_ino == inode
                    && rustix::fs::FileType::from_raw_mode(stat.st_mode)
                        == rustix::fs::FileType::Socket
            })
    }
}

/// The socket in the guest.
struct Inside {
    number: i32,
    /// Inode of the socket.
    inode: u64,
    outside: OwnedFd,
}

impl Tracees {
    /// Put `fd` into the process of `tid`, which then stands behind its call.
    pub(super) fn donate(
        &mut self,
        tid: i32,
        fd: BorrowedFd<'_>,
        cloexec: Cloexec,
    ) -> Result<i32, Errno> {
        let process = self.process_of(tid)?;
        // A door that the guest has damaged is made anew, once.
        for _ in 0..2 {
            let table = Table::of(tid, process)?;
            if !self.has_door(&table, process) {
                self.make_door(&table, tid, process)?;
            }
            match self.pass_through(tid, process, fd, cloexec) {
                Err(Errno::AGAIN) => {
                    if let Some(door) = self.doors.get_mut(&process) {
                        door.shut();
                        door.page = 0;
                    }
                }
                result => return result,
            }
        }
        Err(Errno::MFILE)
    }

    /// The door of a process that is about to fork serves no more.
    pub(super) fn forget_door(&mut self, tid: i32) {
        let Ok(process) = self.process_of(tid) else {
            return;
        };
        if let Some(door) = self.doors.get_mut(&process) {
            door.shut();
        }
    }

    /// A new process has the page and the socket of its maker.
    pub(super) fn inherit_door(&mut self, maker: i32, new: i32) {
        let Ok(process) = self.process_of(maker) else {
            return;
        };
        if let Some(door) = self.doors.get(&process)
            && !self.doors.contains_key(&new)
        {
            let door = Door {
                page: door.page,
                inside: None,
                former: door.former,
            };
            self.doors.insert(new, door);
        }
    }

    /// Sockets that are there for no other reason, by number and inode.
    pub(super) fn door_sockets(&self, process: i32) -> Vec<(u32, u64)> {
        let Some(door) = self.doors.get(&process) else {
            return Vec::new();
        };
        let inside = door
            .inside
            .as_ref()
            .map(|inside| (inside.number, inside.inode));
        inside
            .into_iter()
            .chain(door.former)
            .map(|(number, inode)| (number as u32, inode))
            .collect()
    }

    fn process_of(&mut self, tid: i32) -> Result<i32, Errno> {
        let tracee = self.tracee(tid)?;
        if let Some(process) = tracee.process {
            return Ok(process);
        }
        let status = crate::task::read_proc(self.host_proc.as_fd(), &format!("{tid}/status"))?;
        let process = status
            .lines()
            .find_map(|line| line.strip_prefix("Tgid:"))
            .and_then(|id| id.trim().parse().ok())
            .ok_or(Errno::SRCH)?;
        self.tracee(tid)?.process = Some(process);
        Ok(process)
    }

    /// Whether the socket is there and is ours. A guest whose other threads exchange it at this very moment deceives
    /// only itself.
    fn has_door(&self, table: &Table, process: i32) -> bool {
        let Some(door) = self.doors.get(&process) else {
            return false;
        };
        door.inside
            .as_ref()
            .is_some_and(|inside| table.holds(inside.number, inside.inode))
    }

    fn make_door(&mut self, table: &Table, tid: i32, process: i32) -> Result<(), Errno> {
        let mut door = self.doors.remove(&process).unwrap_or_default();
        door.shut();
        if door.page == 0 || memory::write(tid, door.page, &[0; LENGTH]).is_err() {
            let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
            let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
            let arguments = [PLACE, PAGE, protection, flags, u64::MAX, 0];
            door.page = self.call(tid, nr::mmap, arguments)?;
        }
        let kind = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as u64;
        let pair = [libc::AF_UNIX as u64, kind, 0, door.page + PAIR_AT, 0, 0];
        self.call(tid, nr::socketpair, pair)?;
        let mut numbers = [0u8; 8];
        if memory::read(tid, door.page + PAIR_AT, &mut numbers) != Ok(numbers.len()) {
            return Err(Errno::FAULT);
        }
        let [a, b] = [0, 4].map(|at: usize| {
            i32::from_ne_bytes([
                numbers[at],
                numbers[at + 1],
                numbers[at + 2],
                numbers[at + 3],
            ])
        });
        let made = self.place_door(table, tid, &mut door, a, b);
        for number in [a, b] {
            self.call(tid, nr::close, [number as u64, 0, 0, 0, 0, 0])?;
        }
        door.inside = Some(made?);
        self.doors.insert(process, door);
        Ok(())
    }

    /// Move end `a` of the new pair to its place, and take end `b`.
    fn place_door(
        &mut self,
        table: &Table,
        tid: i32,
        door: &mut Door,
        a: i32,
        b: i32,
    ) -> Result<Inside, Errno> {
        let outside = table.take(b)?;
        let former = door
            .former
            .take()
            .filter(|(number, inode)| table.holds(*number, *inode));
        let number = match former {
            Some((number, _)) => {
                let arguments = [a as u64, number as u64, libc::O_CLOEXEC as u64, 0, 0, 0];
                self.call(tid, nr::dup3, arguments)
            }
            None => Err(Errno::BADF),
        };
        let number = match number {
            // The limit of open files may be a lower one by now.
            Err(Errno::BADF) => self.duplicate_high(tid, a),
            other => other,
        }? as i32;
        let inside = table.take(number)?;
        Ok(Inside {
            number,
            inode: rustix::fs::fstat(&inside)?.st_ino,
            outside,
        })
    }

    fn duplicate_high(&mut self, tid: i32, from: i32) -> Result<u64, Errno> {
        let mut least = NUMBER;
        loop {
            let arguments = [from as u64, libc::F_DUPFD_CLOEXEC as u64, least, 0, 0, 0];
            match self.call(tid, nr::fcntl, arguments) {
                // Beyond the limit of open files.
                Err(Errno::INVAL | Errno::MFILE) if least > 0 => least /= 4,
                result => return result,
            }
        }
    }

    fn pass_through(
        &mut self,
        tid: i32,
        process: i32,
        fd: BorrowedFd<'_>,
        cloexec: Cloexec,
    ) -> Result<i32, Errno> {
        let door = self.doors.get(&process).ok_or(Errno::AGAIN)?;
        let inside = door.inside.as_ref().ok_or(Errno::AGAIN)?;
        let (page, number) = (door.page, inside.number);
        memory::write(tid, page, &message(page)).map_err(|_| Errno::AGAIN)?;
        send(inside.outside.as_fd(), fd)?;
        let arguments = passing::arguments(number, page, cloexec);
        if self.inject(tid, nr::recvmsg, arguments)? != 1 {
            return Err(Errno::AGAIN);
        }
        let mut answer = [0u8; LENGTH];
        if memory::read(tid, page, &mut answer) != Ok(LENGTH) {
            return Err(Errno::FAULT);
        }
        // Where the table was full the message came without its descriptor.
        received(&answer).ok_or(Errno::MFILE)
    }
}

/// For [`crate::fuzzing`].
pub(super) fn decode(bytes: &[u8]) {
    let mut answer = [0u8; LENGTH];
    let length = bytes.len().min(LENGTH);
    answer[..length].copy_from_slice(&bytes[..length]);
    assert!(received(&answer).is_none_or(|fd| fd >= 0));
}
