//! cgroup: the container's own cgroup is the root of what it sees.

use nix::errno::Errno;

use super::node::Subject;
use crate::proc::host;

pub(super) fn cgroup(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest_text("cgroup")?;
    let proc = subject.context.guest_proc()?;
    let init = host::text(&*proc, "1/cgroup").unwrap_or_default();
    Ok(relative(&text, &init).into_bytes())
}

/// The lines `ID:CONTROLLERS:PATH` with each path relative to that of the container's init.
fn relative(text: &str, init: &str) -> String {
    let split = |line| -> Option<(&str, &str)> {
        let (head, path) = str::split_once(line, ":/")?;
        Some((head, path))
    };
    let base = |head: &str| {
        init.lines()
            .filter_map(split)
            .find(|(other, _)| *other == head)
            .map_or("", |(_, path)| path)
    };
    let mut made = String::new();
    for (head, path) in text.lines().filter_map(split) {
        let below = path.strip_prefix(base(head)).unwrap_or("");
        let below = below.strip_prefix('/').unwrap_or("");
        made += &format!("{head}:/{below}\n");
    }
    made
}

#[cfg(test)]
mod tests {
    use super::relative;

    #[test]
    fn the_container_is_the_root() {
        let init = "4:memory:/pods/a\n0::/pods/a\n";
        assert_eq!(relative(init, init), "4:memory:/\n0::/\n");
    }

    #[test]
    fn a_cgroup_inside_keeps_its_name() {
        assert_eq!(relative("0::/pods/a/job\n", "0::/pods/a\n"), "0::/job\n");
    }

    #[test]
    fn a_stranger_shows_nothing_of_the_host() {
        assert_eq!(relative("0::/pods/ab\n", "0::/pods/a\n"), "0::/\n");
    }
}
