//! stat: times count from the container's start; addresses only for who may ptrace.

use nix::errno::Errno;

use super::access;
use super::node::Subject;

const NS_PER_TICK: u64 = 10_000_000;
/// Positions in proc(5), counted from 1.
const STATE: usize = 3;
const START_TIME: usize = 22;
/// startcode and endcode are 1 for strangers, the others 0.
const CODE: [usize; 2] = [26, 27];
const ADDRESSES: [usize; 12] = [28, 29, 30, 35, 45, 46, 47, 48, 49, 50, 51, 52];

pub(super) fn stat(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest_text("stat")?;
    let permitted = access::may_inspect(subject.context, subject.opener, subject.pid);
    let boot_ticks = subject.context.system().boot_time_ns / NS_PER_TICK;
    let (name, fields) = split(&text).ok_or(Errno::EIO)?;
    let given = subject.context.given_name(subject.thread(), name);
    let name = given.as_deref().unwrap_or(name);
    let view = View {
        boot_ticks,
        permitted,
        running: subject.is_reader(),
        traced: subject.context.guests.tracer(subject.thread()) != 0,
    };
    Ok(rewrite(subject.thread(), name, fields, &view).into_bytes())
}

/// What is changed for a reader.
#[derive(Default)]
struct View {
    boot_ticks: u64,
    permitted: bool,
    running: bool,
    /// By a guest.
    traced: bool,
}

/// Name and the fields behind it; the name itself may hold parentheses and spaces.
fn split(text: &str) -> Option<(&str, &str)> {
    let (head, fields) = text.trim_end().rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    Some((name, fields))
}

fn rewrite(pid: u32, name: &str, fields: &str, view: &View) -> String {
    let mut made = format!("{pid} ({name})");
    for (position, field) in (STATE..).zip(fields.split(' ')) {
        made.push(' ');
        match position {
            START_TIME => {
                made += &field
                    .parse::<u64>()
                    .unwrap_or(0)
                    .saturating_sub(view.boot_ticks)
                    .to_string()
            }
            STATE if view.running => made += "R",
            // Stopped by the app kernel, while it serves a call.
            STATE if field == "t" && !view.traced => made += "S",
            _ if view.permitted => made += field,
            _ if CODE.contains(&position) => made += "1",
            _ if ADDRESSES.contains(&position) => made += "0",
            _ => made += field,
        }
    }
    made.push('\n');
    made
}

#[cfg(test)]
mod tests {
    use super::{View, rewrite, split};

    const LINE: &str = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5000 100 200 300 400 500 600 700 800 0 0 0 0 900 0 0 17 1 0 0 0 0 0 1000 1100 1200 1300 1400 1500 1600 0\n";

    #[test]
    fn names_with_parentheses_survive() {
        let (name, fields) = split(LINE).unwrap();
        assert_eq!(name, "a) b (c");
        assert!(fields.starts_with("S 1 12"));
    }

    #[test]
    fn a_thread_that_is_served_sleeps() {
        let (name, fields) = split(LINE).unwrap();
        let traced = fields.replacen('S', "t", 1);
        let view = View {
            permitted: true,
            ..View::default()
        };
        assert_eq!(rewrite(12, name, &traced, &view), LINE);
        // One that a guest traces is stopped for that guest.
        let view = View {
            traced: true,
            ..view
        };
        assert_eq!(
            rewrite(12, name, &traced, &view),
            LINE.replacen(" S ", " t ", 1)
        );
    }

    #[test]
    fn start_time_counts_from_the_container() {
        let (name, fields) = split(LINE).unwrap();
        let made = rewrite(
            12,
            name,
            fields,
            &View {
                boot_ticks: 4000,
                permitted: true,
                running: false,
                traced: false,
            },
        );
        assert_eq!(made, LINE.replace(" 5000 ", " 1000 "));
    }

    #[test]
    fn strangers_see_no_addresses() {
        let (name, fields) = split(LINE).unwrap();
        let made = rewrite(
            12,
            name,
            fields,
            &View {
                running: true,
                ..View::default()
            },
        );
        assert!(made.starts_with("12 (a) b (c) R 1 "), "{made}");
        assert!(made.contains(" 300 1 1 0 0 0 "), "{made}");
        assert!(made.ends_with(" 0 0 0 0 0 0 0 0\n"), "{made}");
    }
}
