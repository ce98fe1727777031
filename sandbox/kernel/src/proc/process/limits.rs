//! limits: those that the app kernel keeps for the guest replace the host's.

use nix::errno::Errno;

use super::node::Subject;

/// The first column of the line of each RLIMIT_*.
const NAMES: [&str; 16] = [
    "Max cpu time",
    "Max file size",
    "Max data size",
    "Max stack size",
    "Max core file size",
    "Max resident set",
    "Max processes",
    "Max open files",
    "Max locked memory",
    "Max address space",
    "Max file locks",
    "Max pending signals",
    "Max msgqueue size",
    "Max nice priority",
    "Max realtime priority",
    "Max realtime timeout",
];

pub(super) fn limits(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest_text("limits")?;
    Ok(replace(&text, &subject.facts()?.limits).into_bytes())
}

fn value(limit: u64) -> String {
    if limit == u64::MAX {
        "unlimited".to_owned()
    } else {
        limit.to_string()
    }
}

fn replace(text: &str, limits: &[(u32, u64, u64)]) -> String {
    let mut made = String::new();
    for line in text.lines() {
        let own = limits.iter().find(|(number, ..)| {
            NAMES
                .get(*number as usize)
                .is_some_and(|name| line.starts_with(name))
        });
        match own {
            // Columns as in fs/proc/base.c: "%-25s %-20s %-20s %-10s".
            Some((number, soft, hard)) => {
                let unit = line.get(68..).unwrap_or("");
                let name = NAMES[*number as usize];
                made += &format!(
                    "{name:<25} {:<20} {:<20} {unit}\n",
                    value(*soft),
                    value(*hard)
                );
            }
            None => made += &format!("{line}\n"),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn the_columns_stay() {
        let line =
            "Max open files            1024                 524288               files     \n";
        let wanted =
            "Max open files            64                   unlimited            files     \n";
        assert_eq!(replace(line, &[(7, 64, u64::MAX)]), wanted);
        assert_eq!(replace(line, &[]), line);
    }
}
