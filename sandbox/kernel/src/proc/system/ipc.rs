//! sysvipc: the objects of the container's IPC namespace, with their owners as guests see them.
//!
//! To the host all objects belong to the sandbox's host user, and pids are the host's.

use caisson_sys::sysv::Kind;

use crate::proc::context::Context;
use crate::proc::host;

/// One of the three files.
struct Table {
    kind: Kind,
    path: &'static str,
    heading: &'static str,
    /// Widths of the columns with the space before each, as ipc/{msg,sem,shm}.c print them.
    widths: &'static [usize],
    /// The first of the four columns with uid, gid, cuid and cgid.
    owner: usize,
    /// Columns with the pids of makers and users.
    pids: &'static [usize],
}

const ID: usize = 1;
const MODE: usize = 2;

const MSG: Table = Table {
    kind: Kind::Messages,
    path: "sysvipc/msg",
    heading: "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    widths: &[10, 11, 6, 12, 11, 6, 6, 6, 6, 6, 6, 11, 11, 11],
    owner: 7,
    pids: &[5, 6],
};

const SEM: Table = Table {
    kind: Kind::Semaphores,
    path: "sysvipc/sem",
    heading: "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    widths: &[10, 11, 6, 11, 6, 6, 6, 6, 11, 11],
    owner: 4,
    pids: &[],
};

const SHM: Table = Table {
    kind: Kind::SharedMemory,
    path: "sysvipc/shm",
    heading: "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    widths: &[10, 11, 6, 22, 6, 6, 7, 6, 6, 6, 6, 11, 11, 11, 22, 22],
    owner: 7,
    pids: &[4, 5],
};

impl Table {
    /// The file shows the namespace of the thread that reads it: without having entered the guest's, that would
    /// be the host's, and only the heading may be shown.
    fn content(&self, context: &Context) -> Vec<u8> {
        let proc = context.guest_proc().ok().filter(|_| context.shares_ipc());
        let host = proc.and_then(|proc| host::text(&*proc, self.path).ok());
        let mut text = self.heading.to_owned();
        for line in host.iter().flat_map(|host| host.lines().skip(1)) {
            let id = line.split_ascii_whitespace().nth(ID);
            let owner = id
                .and_then(|id| id.parse().ok())
                .and_then(|id| context.guests.ipc_object(self.kind, id));
            text += &self.row(line, owner.as_ref());
        }
        text.into_bytes()
    }

    fn row(&self, line: &str, object: Option<&crate::ipc::Object>) -> String {
        let mut row = String::with_capacity(line.len() + 1);
        for (column, value) in line.split_ascii_whitespace().enumerate() {
            let shown = match (object, column.checked_sub(self.owner)) {
                _ if column == self.pids.first().copied().unwrap_or(0) && column != 0 => {
                    // Who sent to a queue is not known, who made memory is.
                    match object {
                        Some(object) if self.kind == Kind::SharedMemory => object.maker.to_string(),
                        _ => "0".to_owned(),
                    }
                }
                _ if self.pids.contains(&column) => "0".to_owned(),
                (Some(object), Some(0)) => object.uid.to_string(),
                (Some(object), Some(1)) => object.gid.to_string(),
                (Some(object), Some(2)) => object.cuid.to_string(),
                (Some(object), Some(3)) => object.cgid.to_string(),
                (Some(object), _) if column == MODE => {
                    let host = u32::from_str_radix(value, 8).unwrap_or(0);
                    format!("{:o}", host & !crate::ipc::MODE | object.mode)
                }
                _ => value.to_owned(),
            };
            let width = self.widths.get(column).copied().unwrap_or(0);
            let width = width.saturating_sub(1);
            if column > 0 {
                row.push(' ');
            }
            row += &format!("{shown:>0$}", if column == 0 { width + 1 } else { width });
        }
        row.push('\n');
        row
    }
}

pub(crate) fn msg(context: &Context) -> Vec<u8> {
    MSG.content(context)
}

pub(crate) fn sem(context: &Context) -> Vec<u8> {
    SEM.content(context)
}

pub(crate) fn shm(context: &Context) -> Vec<u8> {
    SHM.content(context)
}

#[cfg(test)]
mod tests {
    use super::{SEM, SHM};
    use crate::ipc::Object;

    #[test]
    fn owners_are_the_guests_and_columns_stay() {
        let object = Object {
            uid: 1000,
            gid: 1001,
            cuid: 1002,
            cgid: 1003,
            mode: 0o644,
            maker: 12,
        };
        let line = "-138206365          0   600                  4096 10916 10917      0 2090947853 2090947853 2090947853 2090947853          0          0          1                  4096                     0";
        let made = "-138206365          0   644                  4096    12     0      0  1000  1001  1002  1003          0          0          1                  4096                     0\n";
        assert_eq!(SHM.row(line, Some(&object)), made);
        let line = "        82          3  1600          2 2090947853 2090947853 2090947853 2090947853          0          1";
        let made = "        82          3  1644          2  1000  1001  1002  1003          0          1\n";
        assert_eq!(SEM.row(line, Some(&object)), made);
    }
}
