//! Gigabytes, a hundred containers, thirty-two processes at once.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use caisson_shim_tests::{Containerd, Ctr, Tier, eventually, once};

/// Most memory that a shim may have in use; there is more code in a build that is not optimized.
const SHIM_KIB: u64 = if cfg!(debug_assertions) {
    8 << 10
} else {
    5 << 10
};

fn sleeping(containerd: &Containerd, id: &str) {
    containerd
        .ctr()
        .run(&containerd.run_arguments(&["-d"], id, &["sleep", "1000"]))
        .success();
}

/// A number of kB from a file of lines `name: number kB`.
fn kib(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{file}: no {name}"))
}

/// Bytes that do not repeat where a pipe, a page or a buffer does.
struct Blocks {
    block: Vec<u8>,
}

impl Blocks {
    const BYTES: usize = (1 << 20) + 13;
    /// More than 2 GiB, past what 31 bits count.
    const COUNT: u64 = 2100;

    fn new() -> Blocks {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let block = std::iter::repeat_with(next).take(Blocks::BYTES).collect();
        Blocks { block }
    }

    /// Block `number`, which begins with its number.
    fn get(&mut self, number: u64) -> &[u8] {
        self.block[..8].copy_from_slice(&number.to_le_bytes());
        &self.block
    }
}

#[test]
fn gigabytes_go_in_and_out_whole_and_the_shim_stays_small() {
    once(|containerd| {
        let id = containerd.id("gigabytes");
        sleeping(containerd, &id);
        let shim = containerd.shim_pid(&id).expect("the shim");
        let mut client = containerd
            .ctr()
            .command(&["tasks", "exec", "--exec-id", "cat", &id, "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ctr");
        let mut input = client.stdin.take().expect("its input");
        let mut output = client.stdout.take().expect("its output");
        let writer = std::thread::spawn(move || {
            let mut blocks = Blocks::new();
            for number in 0..Blocks::COUNT {
                input.write_all(blocks.get(number)).expect("write");
            }
        });
        let mut expected = Blocks::new();
        let mut block = vec![0; Blocks::BYTES];
        for number in 0..Blocks::COUNT {
            output.read_exact(&mut block).expect("read");
            assert!(block == expected.get(number), "block {number} is another");
        }
        writer.join().expect("all is written");
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).expect("the end");
        assert!(rest.is_empty(), "{} bytes too many", rest.len());
        assert!(client.wait().expect("ctr ends").success());
        let peak = kib(&format!("/proc/{shim}/status"), "VmHWM:");
        assert!(peak < SHIM_KIB, "the shim took {peak} kB");
    });
}

/// Run `work` for the numbers below `count`, four at a time.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(number);
                }
            });
        }
    });
}

/// The ids of the tasks with `status`.
fn listed(ctr: &Ctr, status: &str) -> Vec<String> {
    let list = ctr.run(&["tasks", "ls"]).success().stdout_text();
    list.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words.get(2) == Some(&status)).then(|| words[0].to_owned())
        })
        .collect()
}

#[test]
fn a_hundred_containers_sleep_beside_each_other() {
    if Tier::current() == Tier::Vm {
        return; // a hundred machines are more memory than a test may take
    }
    const COUNT: usize = 100;
    once(|containerd| {
        let ctr = containerd.ctr();
        let ids: Vec<String> = (0..COUNT)
            .map(|number| containerd.id(&format!("hundred-{number}")))
            .collect();
        let runs: Vec<Vec<&str>> = ids
            .iter()
            .map(|id| containerd.run_arguments(&["-d"], id, &["sleep", "1000"]))
            .collect();
        in_parallel(COUNT, |number| drop(ctr.run(&runs[number]).success()));
        assert_eq!(listed(&ctr, "RUNNING").len(), COUNT);
        let mut total = 0;
        for id in &ids {
            let shim = containerd.shim_pid(id).expect("the shim");
            let kernel = containerd.task_pid(id).expect("the application kernel");
            let resident = kib(&format!("/proc/{shim}/status"), "VmRSS:");
            assert!(resident < SHIM_KIB, "the shim of {id} takes {resident} kB");
            total += kib(&format!("/proc/{shim}/smaps_rollup"), "Pss:");
            total += kib(&format!("/proc/{kernel}/smaps_rollup"), "Pss:");
        }
        let each = total / COUNT as u64;
        eprintln!("{each} kB (PSS) of shim and application kernel for each container");
        assert!(each < 8 << 10, "{each} kB for each container");
        for number in [0, COUNT / 2, COUNT - 1] {
            let words = ["tasks", "exec", "--exec-id", "e", &ids[number], "echo", "x"];
            assert_eq!(ctr.run(&words).success().stdout_text(), "x\n");
        }
        in_parallel(COUNT, |number| {
            let id = &ids[number];
            ctr.run(&["tasks", "kill", "-s", "SIGKILL", id]).success();
        });
        eventually("all have stopped", || listed(&ctr, "RUNNING").is_empty());
        assert_eq!(listed(&ctr, "STOPPED").len(), COUNT);
        in_parallel(COUNT, |number| {
            let told = ctr.run(&["tasks", "delete", &ids[number]]).stderr_text();
            assert!(told.contains("exit code 137"), "{told}");
            ctr.run(&["containers", "rm", &ids[number]]).success();
        });
        // That nothing is left is looked at for every id.
    });
}

#[test]
fn thirty_two_execs_run_at_the_same_time() {
    const COUNT: usize = 32;
    once(|containerd| {
        let id = containerd.id("execs");
        sleeping(containerd, &id);
        let ctr = containerd.ctr();
        // Each waits for all others: none ends before the last has begun.
        let script = format!(
            "touch /tmp/exec-$0; while [ $(ls /tmp/exec-* | wc -l) -lt {COUNT} ]; do sleep 0.1; done; \
             echo out $0; echo err $0 >&2; exit $0"
        );
        std::thread::scope(|scope| {
            for number in 0..COUNT {
                let (ctr, id, script) = (&ctr, &id, &script);
                scope.spawn(move || {
                    let name = format!("e{number}");
                    let argument = number.to_string();
                    let words = ["tasks", "exec", "--exec-id", &name, id, "sh", "-c", script];
                    let words = [&words[..], &[&argument]].concat();
                    let output = ctr.run(&words).status_is(number as i32);
                    let told = (output.stdout_text(), output.stderr_text());
                    let expected = (format!("out {number}\n"), format!("err {number}\n"));
                    assert_eq!(told, expected);
                });
            }
        });
        assert_eq!(containerd.task_status(&id).as_deref(), Some("RUNNING"));
        let listed = ctr.run(&["tasks", "ps", &id]).success().stdout_text();
        assert!(!listed.contains("e31"), "{listed}");
    });
}
