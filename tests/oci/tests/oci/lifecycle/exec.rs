//! Programs of `start` and `exec`.

use caisson_oci_tests::Bundle;
use serde_json::{Value, json};

#[test]
fn exec_gives_status_output_user_environment_and_directory() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let done = bundle.caisson(&[
        "exec",
        "-u",
        "5:6",
        "-e",
        "A=b",
        "--cwd",
        "/tmp",
        id,
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd; exit 9",
    ]);
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (9, "5\n6\nb\n/tmp\n"),
        "{}",
        done.stderr
    );
    assert_eq!(
        bundle
            .caisson(&["exec", id, "sh", "-c", "kill -15 $$"])
            .status,
        128 + 15
    );
    let missing = bundle.caisson(&["exec", id, "no-such-program"]);
    assert_eq!(missing.status, 255);
    assert!(
        missing.stderr.contains("no-such-program"),
        "{}",
        missing.stderr
    );
    let file = bundle.folder.join("process.json");
    let process = json!({"args": ["sh", "-c", "echo from-file"], "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
    std::fs::write(&file, process.to_string()).expect("write");
    let done = bundle.caisson(&["exec", "--process", file.to_str().expect("utf-8"), id]);
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (0, "from-file\n"),
        "{}",
        done.stderr
    );
    let pid_file = bundle.folder.join("exec.pid");
    bundle
        .caisson(&[
            "exec",
            "-d",
            "--pid-file",
            pid_file.to_str().expect("utf-8"),
            id,
            "sleep",
            "600",
        ])
        .succeeded();
    let pid: i64 = std::fs::read_to_string(&pid_file)
        .expect("pid file")
        .parse()
        .expect("a number");
    let pids: Value =
        serde_json::from_str(&bundle.caisson(&["ps", "-f", "json", id]).succeeded().stdout)
            .expect("json");
    assert!(
        pids.as_array().expect("list").contains(&json!(pid)),
        "{pid} in {pids}"
    );
    assert_eq!(pids.as_array().expect("list").len(), 2);
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn home_is_that_of_the_images_user() {
    let mut bundle = Bundle::new("echo $HOME");
    std::fs::write(
        bundle.rootfs().join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\n",
    )
    .expect("write");
    assert_eq!(bundle.run().succeeded().stdout, "/root\n");
    bundle.config["process"]["user"] = json!({"uid": 33, "gid": 33});
    assert_eq!(bundle.run().succeeded().stdout, "/var/www\n");
    bundle.config["process"]["env"] = json!(["PATH=/bin", "HOME=/here"]);
    assert_eq!(bundle.run().succeeded().stdout, "/here\n");
    bundle.config["process"]["args"] = json!(["sleep", "600"]);
    bundle.caisson(&["run", "-d", &bundle.id]).succeeded();
    let process = json!({"args": ["sh", "-c", "echo $HOME"], "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 33, "gid": 33}});
    let file = bundle.folder.join("process.json");
    std::fs::write(&file, process.to_string()).expect("write");
    let done = bundle
        .caisson(&["exec", "-p", file.to_str().expect("utf-8"), &bundle.id])
        .succeeded();
    assert_eq!(done.stdout, "/var/www\n");
}

/// As runc's do. A signal that comes before would meet no handler, however early the program sets one.
#[test]
fn start_and_exec_answer_when_the_program_is_in_place() {
    // Many arguments make the way to the program longer.
    let arguments = vec!["600"; 2000];
    let line = format!("sleep\0{}\0", arguments.join("\0"));
    let mut bundle = Bundle::new("true");
    bundle.config["process"]["args"] = json!([&["sleep"][..], &arguments].concat());
    let id = bundle.id.clone();
    let pid_file = bundle.folder.join("pid");
    let option = format!("--pid-file={}", pid_file.display());
    let pid = || std::fs::read_to_string(&pid_file).expect("pid file");
    let shown = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect(pid);
    for transport in ["notify", "ptrace"].repeat(4) {
        let transport = format!("--transport={transport}");
        bundle
            .caisson(&[&transport, "run", "-d", &option, &id])
            .succeeded();
        let sandbox = pid();
        let children = format!("/proc/{sandbox}/task/{sandbox}/children");
        let children = std::fs::read_to_string(children).expect("children");
        let init = children.split_whitespace().next().expect("a child");
        assert!(shown(init) == line, "{transport}: run");
        let exec = ["exec", "-d", &option, &id, "sleep"];
        bundle
            .caisson(&[&exec, &arguments[..]].concat())
            .succeeded();
        assert!(shown(&pid()) == line, "{transport}: exec");
        bundle.caisson(&["delete", "--force", &id]).succeeded();
    }
}

/// Whoever starts a container may have its output go to a file, of whose path on the host the container learns nothing.
#[test]
fn the_path_of_a_file_on_the_host_is_not_shown() {
    const SCRIPT: &str =
        "readlink /proc/self/fd/1; cd /dev/shm; echo text > own; readlink /proc/self/fd/9 9< own";
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let log = bundle.folder.join("secret-name");
    let output = std::fs::File::create(&log).expect("create");
    let mut exec = bundle.command(&["exec", id, "sh", "-c", SCRIPT]);
    let status = exec.stdout(output).status().expect("caisson exec");
    assert!(status.success(), "{status}");
    let shown = std::fs::read_to_string(&log).expect("read");
    let (of_host, own) = shown.split_once('\n').expect("two lines");
    assert!(!of_host.contains("secret-name"), "{shown}");
    assert_eq!(own, "/dev/shm/own\n");
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
}
