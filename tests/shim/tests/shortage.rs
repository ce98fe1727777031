//! Too few descriptors and too little memory for a shim, mounts in use: one call fails, the container does not, and nothing
//! is left.

use std::fs;
use std::process::{Command, Stdio};

use caisson_shim_tests::{Containerd, eventually, once};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

fn sleeping(containerd: &Containerd, name: &str) -> (String, u32) {
    let id = containerd.id(name);
    containerd
        .ctr()
        .run(&containerd.run_arguments(&["-d"], &id, &["sleep", "1000"]))
        .success();
    let shim = containerd.shim_pid(&id).expect("the shim");
    (id, shim)
}

/// An exec under a limit of the shim's fails for one of `reasons`; without the limit the next one succeeds, and the
/// container runs all the while.
fn one_call_fails(resource: Resource, most: impl Fn(i32) -> u64, reasons: &[&str]) {
    once(|containerd| {
        let ctr = containerd.ctr();
        let (id, shim) = sleeping(containerd, "short");
        let pid = Pid::from_raw(shim as i32).expect("a pid");
        let before = getrlimit(resource);
        let limit = |current| {
            let maximum = before.maximum;
            prlimit(Some(pid), resource, Rlimit { current, maximum }).expect("prlimit");
        };
        limit(Some(most(shim as i32)));
        let output = ctr.run(&["tasks", "exec", "--exec-id", "one", &id, "true"]);
        limit(before.maximum);
        assert_ne!(output.status, Some(0));
        let message = output.stderr_text();
        let told = reasons.iter().any(|reason| message.contains(reason));
        assert!(told, "{message}");
        eventually("it goes on", || {
            ctr.run(&["tasks", "exec", "--exec-id", "two", &id, "true"])
                .status
                == Some(0)
        });
        assert_eq!(containerd.task_status(&id).as_deref(), Some("RUNNING"));
        assert_eq!(containerd.shim_pid(&id), Some(shim));
    });
}

#[test]
fn too_few_descriptors_fail_one_call_and_not_the_container() {
    let open = |shim| {
        let descriptors = fs::read_dir(format!("/proc/{shim}/fd")).expect("descriptors");
        descriptors.count() as u64 + 2
    };
    one_call_fails(Resource::Nofile, open, &["Too many open files"]);
}

#[test]
fn too_little_memory_fails_one_call_and_not_the_container() {
    // Words enough to say so; a stack for another thread, or a program that it starts, needs more.
    const ROOM_BYTES: u64 = 64 << 10;
    let mapped = |shim| {
        let pages = fs::read_to_string(format!("/proc/{shim}/statm")).expect("statm");
        let pages: u64 = pages
            .split(' ')
            .next()
            .expect("a word")
            .parse()
            .expect("a number");
        pages * 4096 + ROOM_BYTES
    };
    let reasons = [
        "OCI runtime exec failed",
        "Cannot allocate memory",
        "Resource temporarily unavailable",
    ];
    one_call_fails(Resource::As, mapped, &reasons);
}

#[test]
fn a_root_file_system_in_use_does_not_keep_a_task() {
    once(|containerd| {
        let ctr = containerd.ctr();
        let (id, _) = sleeping(containerd, "busy");
        let rootfs = containerd.bundle(&id).join("rootfs");
        let file = fs::File::open(rootfs.join("bin/busybox")).expect("a file of it");
        let mut stranger = Command::new("sleep")
            .arg("600")
            .current_dir(&rootfs)
            .stdin(Stdio::from(file))
            .spawn()
            .expect("sleep");
        ctr.run(&["tasks", "kill", "--signal", "KILL", &id])
            .success();
        eventually("it has ended", || {
            containerd.task_status(&id).as_deref() == Some("STOPPED")
        });
        let deleted = ctr.run(&["tasks", "delete", &id]);
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let bundle = containerd.bundle(&id);
        stranger.kill().expect("kill");
        stranger.wait().expect("wait");
        deleted.success();
        assert!(!mounts.contains(&*rootfs.to_string_lossy()), "{mounts}");
        assert!(!bundle.exists());
        ctr.run(&["containers", "delete", &id]).success();
    });
}
