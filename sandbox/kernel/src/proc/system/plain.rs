//! Short files: version, filesystems, devices, cgroups.

use crate::proc::context::Context;
use crate::proc::host;

pub(crate) fn version(context: &Context) -> Vec<u8> {
    let system = context.system();
    format!(
        "Linux version {} (caisson@caisson) (rustc) {}\n",
        system.release, system.version
    )
    .into_bytes()
}

/// What mount(2) inside the container knows.
pub(crate) const FILESYSTEMS: &[&str] = &[
    "sysfs", "tmpfs", "bdev", "proc", "cgroup", "cgroup2", "devtmpfs", "devpts", "mqueue",
    "overlay",
];

pub(crate) fn filesystems(_: &Context) -> Vec<u8> {
    FILESYSTEMS
        .iter()
        .map(|name| format!("nodev\t{name}\n"))
        .collect::<String>()
        .into_bytes()
}

pub(crate) fn devices(_: &Context) -> Vec<u8> {
    b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n".to_vec()
}

/// The host's controllers, whose hierarchy numbers are those of /proc/PID/cgroup; how many cgroups the host has is
/// not shown.
pub(crate) fn cgroups(context: &Context) -> Vec<u8> {
    let table = host::text(context.host_proc(), "cgroups").unwrap_or_default();
    only_own(&table).into_bytes()
}

fn only_own(table: &str) -> String {
    let mut text = String::from("#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        if let (Some(name), Some(hierarchy), Some(_), Some(enabled)) = (
            columns.next(),
            columns.next(),
            columns.next(),
            columns.next(),
        ) {
            text += &format!("{name}\t{hierarchy}\t1\t{enabled}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::only_own;

    #[test]
    fn the_number_of_other_cgroups_is_hidden() {
        let heading = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";
        let host = format!("{heading}cpu\t1\t57\t1\nrdma\t0\t99\t0\n");
        assert_eq!(
            only_own(&host),
            format!("{heading}cpu\t1\t1\t1\nrdma\t0\t1\t0\n")
        );
    }
}
