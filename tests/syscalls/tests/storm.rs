//! A storm of processes, signals, names and mounts: the app kernel lives on and keeps nothing of it.
//! `CAISSON_STORM_ROUNDS=150` makes ten minutes of it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use caisson_syscall_tests::Storm;
use caisson_test_bundle::{Bundle, caisson};

/// As many as a usual run has.
const ROUNDS: u32 = 4;
/// The first round fills caches and pools; after it nothing may grow with what guests do.
const SLACK_DESCRIPTORS: usize = 16;
const SLACK_THREADS: usize = 8;
const SLACK_MEMORY_KIB: u64 = 8 << 10;

#[derive(Debug, Clone, Copy)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    memory_kib: u64,
}

impl Holdings {
    fn of(pid: i64) -> Holdings {
        let count = |what: &str| {
            fs::read_dir(format!("/proc/{pid}/{what}"))
                .unwrap_or_else(|error| panic!("/proc/{pid}/{what}: {error}"))
                .count()
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        Holdings {
            descriptors: count("fd"),
            threads: count("task"),
            memory_kib: memory
                .and_then(|text| text.trim().strip_suffix(" kB"))
                .and_then(|number| number.parse().ok())
                .expect("RssAnon in kB"),
        }
    }

    /// As soon as it no longer holds more than `most`, or what it holds after five seconds: ends of processes are
    /// noticed a moment later.
    fn settled(pid: i64, most: Option<Holdings>) -> Holdings {
        let start = Instant::now();
        loop {
            thread::sleep(Duration::from_millis(200));
            let now = Holdings::of(pid);
            let enough = most.is_some_and(|most| {
                now.descriptors <= most.descriptors && now.threads <= most.threads
            });
            if enough || start.elapsed() > Duration::from_secs(5) {
                return now;
            }
        }
    }
}

fn wait_for(path: &Path, limit: Duration) -> String {
    let start = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => assert!(
                start.elapsed() < limit,
                "{} after {limit:?}",
                path.display()
            ),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_storm_leaves_nothing_behind_in_the_app_kernel() {
    let runtime = caisson();
    let image = caisson_images::busybox().unwrap_or_else(|error| panic!("{error}"));
    let bundle = Bundle::new("storm", &image);
    let rounds = match std::env::var("CAISSON_STORM_ROUNDS") {
        Ok(text) => text.parse().expect("CAISSON_STORM_ROUNDS: a number"),
        Err(_) => ROUNDS,
    };
    let storm = Storm::start(&runtime, &bundle, rounds);
    let mut first = None;
    for round in 1..=rounds {
        let rest = storm.work().join(format!("at-rest-{round}"));
        assert_eq!(wait_for(&rest, Duration::from_secs(90)), "good");
        let now = Holdings::settled(storm.kernel(), first);
        println!("after round {round}: {now:?}");
        let before = *first.get_or_insert(now);
        assert!(
            now.descriptors <= before.descriptors + SLACK_DESCRIPTORS
                && now.threads <= before.threads + SLACK_THREADS
                && now.memory_kib <= before.memory_kib + SLACK_MEMORY_KIB,
            "after round {round}: {now:?}, after the first {before:?}"
        );
        fs::write(storm.work().join(format!("go-{round}")), "").expect("let it go on");
    }
    let output = storm.end();
    assert!(output.contains("storm::rounds.all good"), "{output}");
}
