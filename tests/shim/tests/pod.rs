//! One shim for all containers of a pod, and little memory for it.

use std::fs;

use caisson_shim_tests::{each_handler, eventually};

#[test]
fn containers_of_a_pod_share_a_shim_until_the_last_is_gone() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        let pod = containerd.id("pod");
        let label = format!("io.kubernetes.cri.sandbox-id={pod}");
        let members = [pod.clone(), containerd.id("member")];
        for id in &members {
            let arguments =
                containerd.run_arguments(&["-d", "--annotation", &label], id, &["sleep", "1000"]);
            ctr.run(&arguments).success();
        }
        let shim = containerd.shim_pid(&pod).expect("the pod's shim");
        let address = |id: &str| {
            fs::read_to_string(containerd.bundle(id).join("address")).expect("the address")
        };
        assert_eq!(address(&members[0]), address(&members[1]));
        for id in &members {
            ctr.run(&["tasks", "exec", "--exec-id", "hello", id, "true"])
                .success();
        }
        ctr.run(&["tasks", "rm", "-f", &members[1]]);
        eventually("the member is gone", || {
            containerd.task_status(&members[1]).is_none()
        });
        assert_eq!(containerd.task_status(&pod).as_deref(), Some("RUNNING"));
        ctr.run(&["tasks", "rm", "-f", &pod]);
        eventually("the shim is gone", || {
            !fs::exists(format!("/proc/{shim}/exe")).unwrap_or(false)
        });
    });
}

#[test]
fn a_sleeping_shim_is_small() {
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return;
        }
        let id = containerd.id("small");
        containerd
            .ctr()
            .run(&containerd.run_arguments(&["-d"], &id, &["sleep", "1000"]))
            .success();
        let shim = containerd.shim_pid(&id).expect("the shim's pid");
        let read = |name: &str| -> u64 {
            let rollup =
                fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).expect("smaps_rollup");
            let line = rollup
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .expect(name);
            line.trim()
                .trim_end_matches(" kB")
                .parse()
                .expect("a number")
        };
        eprintln!("shim: Rss {} kB, Pss {} kB", read("Rss"), read("Pss"));
        // The budget is 5 MiB of RSS; an unoptimised binary has more code, so its own pages are counted.
        let own_kib = read("Private_Dirty") + read("Anonymous");
        assert!(own_kib < 2048, "{own_kib} kB of the shim's own memory");
        if !cfg!(debug_assertions) {
            assert!(read("Rss") < 5 << 10, "{} kB", read("Rss"));
        }
        let threads = fs::read_dir(format!("/proc/{shim}/task"))
            .expect("threads")
            .count();
        eventually("call threads are gone", || {
            fs::read_dir(format!("/proc/{shim}/task")).map_or(0, Iterator::count) == 3
        });
        assert!(threads < 8);
    });
}
