//! `kill -9` of anything at any moment: nothing may be left, and the end is told.
//!
//! What must not be left is checked by `each_handler` for every id.

use std::process::{Command, Stdio};
use std::time::Duration;

use caisson_shim_tests::{
    Containerd, Handler, Tier, assert_nothing_left, each_handler, eventually,
};
use rustix::process::{Pid, Signal, kill_process};

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid as i32).expect("a pid");
    kill_process(pid, Signal::KILL).expect("kill");
}

fn sleeper(containerd: &Containerd, name: &str) -> String {
    let id = containerd.id(name);
    let command = ["sh", "-c", "sleep 1000 & sleep 1000"];
    containerd
        .ctr()
        .run(&containerd.run_arguments(&["-d"], &id, &command))
        .success();
    id
}

#[test]
fn of_the_shim_takes_the_container_along() {
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return; // containerd's own shim leaves its socket
        }
        let id = sleeper(containerd, "shim");
        kill(containerd.shim_pid(&id).expect("the shim's pid"));
        assert_nothing_left(containerd, &id);
        let task = containerd.task_status(&id);
        assert!(task.is_none(), "{task:?}");
    });
}

#[test]
fn of_the_container_is_an_exit_of_137() {
    each_handler(|containerd| {
        let id = sleeper(containerd, "container");
        kill(containerd.task_pid(&id).expect("the container's pid"));
        eventually("it stops", || {
            containerd.task_status(&id).as_deref() == Some("STOPPED")
        });
        let deleted = containerd.ctr().run(&["tasks", "delete", &id]);
        assert!(
            deleted.stderr_text().contains("exit code 137"),
            "{}",
            deleted.stderr_text()
        );
    });
}

/// Processes of container `id` whose command line has `word`.
fn find(id: &str, word: &str) -> Option<u32> {
    std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
            let named = words.contains(&id.as_bytes());
            let program = words.first()?.ends_with(b"ctr");
            (named && !program && words.iter().any(|have| have.ends_with(word.as_bytes())))
                .then_some(pid)
        })
}

/// Start a container, and kill the process with `word` in its command line `delay` after it appears.
fn kill_during_start(containerd: &Containerd, id: &str, word: &str, delay: Duration) {
    let mut client = containerd
        .ctr()
        .command(&containerd.run_arguments(&["-d"], id, &["sleep", "1000"]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("ctr");
    let victim = std::iter::repeat_with(|| find(id, word))
        .take(3000)
        .flatten()
        .next();
    std::thread::sleep(delay);
    if let Some(pid) = victim.and_then(|pid| Pid::from_raw(pid as i32)) {
        let _ended_by_itself = kill_process(pid, Signal::KILL);
    }
    let mut ended = false;
    for _ in 0..1000 {
        ended = matches!(client.try_wait(), Ok(Some(_)));
        if ended {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if !ended {
        drop(client.kill());
        drop(client.wait());
    }
    assert!(
        ended,
        "the client hangs after the kill of {word} after {delay:?}"
    );
    let ctr = containerd.ctr();
    ctr.run(&["tasks", "rm", "-f", id]);
    ctr.run(&["containers", "rm", id]);
    // The socket of a shim that died before containerd connected goes when the next one starts.
    let next = format!("{id}-next");
    let arguments = containerd.run_arguments(&["--rm"], &next, &["true"]);
    ctr.run(&arguments).success();
    assert_nothing_left(containerd, id);
}

#[test]
fn of_the_shim_during_create_leaves_nothing() {
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return;
        }
        for delay_ms in [5, 10, 20, 30, 45] {
            let id = containerd.id(&format!("shim-create-{delay_ms}"));
            kill_during_start(containerd, &id, "-socket", Duration::from_millis(delay_ms));
        }
    });
}

#[test]
fn of_the_runtime_during_create_leaves_nothing() {
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return;
        }
        for delay_ms in [0, 2, 5, 10, 20, 40] {
            let id = containerd.id(&format!("runtime-create-{delay_ms}"));
            kill_during_start(containerd, &id, "create", Duration::from_millis(delay_ms));
        }
    });
}

#[test]
fn of_the_sandbox_during_create_leaves_nothing() {
    // A machine takes longer to boot than an application kernel.
    let (process, delays_ms): (_, &[u64]) = match Tier::current() {
        Tier::Kernel => ("caisson-kernel", &[0, 2, 4, 8, 16]),
        Tier::Vm => ("caisson-vm", &[0, 50, 1500]),
    };
    each_handler(|containerd| {
        if containerd.handler != Handler::Caisson {
            return;
        }
        for &delay_ms in delays_ms {
            let id = containerd.id(&format!("sandbox-create-{delay_ms}"));
            kill_during_start(containerd, &id, process, Duration::from_millis(delay_ms));
        }
    });
}

#[test]
fn of_a_client_leaves_the_container_usable() {
    each_handler(|containerd| {
        let id = containerd.id("client");
        let command = ["sh", "-c", "while :; do echo line; sleep 0.01; done"];
        let mut client = Command::new("ctr")
            .arg("--address")
            .arg(containerd.address())
            .args(containerd.run_arguments(&[], &id, &command))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ctr");
        eventually("it runs", || {
            containerd.task_status(&id).as_deref() == Some("RUNNING")
        });
        client.kill().expect("kill the client");
        client.wait().expect("wait for the client");
        let ctr = containerd.ctr();
        ctr.run(&["tasks", "exec", "--exec-id", "after", &id, "true"])
            .success();
        ctr.run(&["tasks", "kill", "-s", "SIGKILL", &id]).success();
        eventually("it stops", || {
            containerd.task_status(&id).as_deref() == Some("STOPPED")
        });
    });
}
