//! sysvipc: the objects of the container's IPC namespace with the guest's pids.

use crate::proc::context::Context;
use crate::proc::host;

const MSG: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n";
const SEM: &str =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
const SHM: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n";

/// Columns with the pids of makers and users: they come as the host's, and are left out.
const MSG_PIDS: [usize; 2] = [5, 6];
const SHM_PIDS: [usize; 2] = [4, 5];

/// The file shows the namespace of the thread that reads it: without having entered the guest's, that would be
/// the host's, and only the heading may be shown.
fn table(context: &Context, path: &str, heading: &str, pids: &[usize]) -> Vec<u8> {
    let proc = context.guest_proc().ok().filter(|_| context.shares_ipc());
    let table = proc.and_then(|proc| host::text(&*proc, path).ok());
    let shown = |table: String| {
        table
            .lines()
            .map(|line| zeroed(line, pids) + "\n")
            .collect::<String>()
    };
    table.map_or_else(|| heading.to_owned(), shown).into_bytes()
}

/// The line with 0 in these columns; a heading stays as it is.
fn zeroed(line: &str, columns: &[usize]) -> String {
    let is_heading = line.trim_start().starts_with("key");
    let mut made = String::with_capacity(line.len());
    let (mut column, mut inside) = (0, false);
    let mut word = String::new();
    for character in line.chars().chain([' ']) {
        if character != ' ' {
            inside = true;
            word.push(character);
            continue;
        }
        if inside {
            let hide = columns.contains(&column) && !is_heading;
            made += &if hide {
                format!("{:>1$}", 0, word.len())
            } else {
                word.clone()
            };
            word.clear();
            column += 1;
            inside = false;
        }
        made.push(' ');
    }
    made.truncate(line.len());
    made
}

pub(crate) fn msg(context: &Context) -> Vec<u8> {
    table(context, "sysvipc/msg", MSG, &MSG_PIDS)
}

pub(crate) fn sem(context: &Context) -> Vec<u8> {
    table(context, "sysvipc/sem", SEM, &[])
}

pub(crate) fn shm(context: &Context) -> Vec<u8> {
    table(context, "sysvipc/shm", SHM, &SHM_PIDS)
}

#[cfg(test)]
mod tests {
    use super::{SHM, SHM_PIDS, zeroed};

    #[test]
    fn pids_become_zero_and_columns_stay() {
        let line =
            "-138206365          0   644                  4096 10916     0      0  1000  1000";
        let made =
            "-138206365          0   644                  4096     0     0      0  1000  1000";
        assert_eq!(zeroed(line, &SHM_PIDS), made);
        assert_eq!(zeroed(SHM.trim_end(), &SHM_PIDS), SHM.trim_end());
    }
}
