//! Descriptors that a caller leaves open for the container.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use caisson_oci_tests::{Bundle, Done};

/// Run `caisson arguments` from a shell that has opened `redirections` (`3<file 4>file`) before.
fn with_descriptors(bundle: &Bundle, redirections: &str, arguments: &[&str]) -> Done {
    let command = bundle.command(arguments);
    let mut words = vec![command.get_program().to_owned()];
    words.extend(command.get_args().map(ToOwned::to_owned));
    let script = format!("exec {redirections}; exec \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .args(words)
        .current_dir(&bundle.folder)
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    Done::from(output)
}

#[test]
fn preserved_descriptors_reach_the_init_process_and_those_of_exec() {
    let bundle = Bundle::new("cat <&3; echo written >&4; ls /proc/self/fd | wc -l");
    std::fs::write(bundle.folder.join("in"), "read\n").expect("write");
    let run = ["run", "--preserve-fds", "2", &bundle.id];
    let done = with_descriptors(&bundle, "3<in 4>out 5<in", &run).succeeded();
    // The sixth is that of the folder which `ls` reads.
    assert_eq!(done.stdout, "read\n6\n", "{}", done.stderr);
    let out = || std::fs::read_to_string(bundle.folder.join("out")).expect("out");
    assert_eq!(out(), "written\n");

    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    std::fs::write(bundle.folder.join("in"), "read\n").expect("write");
    bundle.caisson(&["run", "-d", id]).succeeded();
    let exec = ["exec", "--preserve-fds", "1", id, "sh", "-c", "cat <&3"];
    assert_eq!(
        with_descriptors(&bundle, "3<in", &exec).succeeded().stdout,
        "read\n"
    );
}

#[test]
fn what_is_not_open_or_a_directory_is_refused() {
    let bundle = Bundle::new("true");
    let run = ["run", "--preserve-fds", "1", &bundle.id];
    // Who runs the tests may have it open.
    with_descriptors(&bundle, "3<&-", &run).refused(&["--preserve-fds", "descriptor 3: not open"]);
    with_descriptors(&bundle, "3</", &run)
        .refused(&["--preserve-fds", "descriptor 3: a directory"]);
    bundle.assert_nothing_left();
}

/// sd_listen_fds(3): sockets come without an option, and the container is told of them.
#[test]
fn sockets_of_an_init_system_are_passed_on() {
    let bundle = Bundle::new("echo $LISTEN_FDS $LISTEN_PID; cat <&3");
    std::fs::write(bundle.folder.join("in"), "read\n").expect("write");
    let run = ["run", &bundle.id];
    let announce = "3<in; export LISTEN_FDS=1 LISTEN_PID=$$";
    let done = with_descriptors(&bundle, announce, &run).succeeded();
    assert_eq!(done.stdout, "1 1\nread\n", "{}", done.stderr);
    let others = "3<in; export LISTEN_FDS=1 LISTEN_PID=1";
    assert!(
        !with_descriptors(&bundle, others, &run)
            .stdout
            .contains("read")
    );
}

/// The container's end of a pipe is the only one there is.
#[test]
fn no_process_of_ours_keeps_a_preserved_pipe_open() {
    let bundle = Bundle::new("exec 3>&-; sleep 600");
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let writer: OwnedFd = writer;
    let redirection = format!("3>&{}", writer.as_raw_fd());
    let run = ["run", "-d", "--preserve-fds", "1", &bundle.id];
    let command = bundle.command(&run);
    let script = format!("exec {redirection}; exec \"$@\"");
    let status = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(&bundle.folder)
        .stdin(Stdio::null())
        .stdout(File::create("/dev/null").expect("null"))
        .status()
        .expect("sh");
    assert!(status.success());
    drop(writer);
    // Ends when nobody has the other end any more.
    assert_eq!(rustix::io::read(&reader, &mut [0u8; 1]), Ok(0));
}

#[test]
fn exec_starts_in_a_cgroup_below_the_containers() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    bundle
        .caisson(&["exec", "--cgroup", "nope:x", id, "true"])
        .refused_with(255, &["--cgroup", "nope:x"]);
    bundle
        .caisson(&["exec", "--cgroup", "../x", id, "true"])
        .refused_with(255, &["--cgroup", "not a sub cgroup path"]);
    bundle
        .caisson(&["exec", "--cgroup", "/missing", id, "true"])
        .refused_with(255, &["missing", "No such file"]);
    let v2 = std::path::Path::new("/sys/fs/cgroup")
        .join(id)
        .join("guest");
    let (parent, option) = if v2.exists() {
        (v2, "sub".to_owned())
    } else {
        (
            std::path::Path::new("/sys/fs/cgroup/pids").join(id),
            "pids:sub".to_owned(),
        )
    };
    std::fs::create_dir(parent.join("sub")).expect("mkdir");
    let script = "cat /proc/self/cgroup";
    let done = bundle
        .caisson(&["exec", "--cgroup", &option, id, "sh", "-c", script])
        .succeeded();
    assert!(done.stdout.contains(":/sub\n"), "{}", done.stdout);
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
}
