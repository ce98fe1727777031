//! `docker run --runtime caisson`: Debian's dockerd with folders, a socket, a containerd and a network namespace of its own.
//! Needs root and what dockerd needs (containerd, iptables, libdevmapper); docker.io itself is unpacked, not installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use caisson_oci_tests::{Bundle, Done, Runtime};
use rustix::process::{Pid, Signal, kill_process};

/// A daemon that ends, and whose folder goes, with this value.
struct Docker {
    daemon: Child,
    folder: PathBuf,
    programs: PathBuf,
}

const IMAGE: &str = "busybox:test";

/// The daemon's end of its bridge.
const GATEWAY: &str = "10.77.0.1";

impl Docker {
    fn start() -> Docker {
        let programs = caisson_images::unpacked("docker.io", "bookworm").expect("docker.io");
        let folder = std::env::temp_dir().join(format!("caisson-docker-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("mkdir");
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::write(folder.join("daemon.json"), "{}").expect("write");
        let log = std::fs::File::create(folder.join("log")).expect("log");
        let daemon = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "ip link set lo up && exec \"$0\" \"$@\"",
            ])
            .arg(programs.join("usr/sbin/dockerd"))
            .args([
                "--config-file",
                &path("daemon.json"),
                "--pidfile",
                &path("pid"),
            ])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .arg(format!("--host=unix://{}", path("sock")))
            .arg(format!("--bip={GATEWAY}/24"))
            .args(["--storage-driver=vfs", "--add-runtime"])
            .arg(format!("caisson={}", Runtime::caisson().program.display()))
            .env("PATH", search_path(&programs))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("dockerd");
        let docker = Docker {
            daemon,
            folder,
            programs,
        };
        let limit = Instant::now() + Duration::from_secs(60);
        while docker.docker(&["info"]).status != 0 {
            assert!(Instant::now() < limit, "{}", docker.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        docker
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("usr/bin/docker"));
        command
            .arg(format!(
                "--host=unix://{}",
                self.folder.join("sock").display()
            ))
            .args(arguments)
            .env("DOCKER_CONFIG", &self.folder)
            .stdin(Stdio::null());
        command
    }

    fn docker(&self, arguments: &[&str]) -> Done {
        Done::from(self.command(arguments).output().expect("docker"))
    }

    /// `docker run` with caisson.
    fn run(&self, arguments: &[&str]) -> Done {
        self.docker(&[&["run", "--runtime=caisson"], arguments].concat())
    }

    /// Run a command in the daemon's network.
    fn beside(&self, words: &[&str]) -> Done {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.daemon.id().to_string()]);
        Done::from(command.args(words).output().expect("nsenter"))
    }

    fn import(&self, tree: &Path) {
        let archive = self.folder.join("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(tree).arg("-cf").arg(&archive).arg(".");
        assert!(tar.status().expect("tar").success());
        let archive = archive.display().to_string();
        self.docker(&["import", &archive, IMAGE]).succeeded();
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let ids = self.docker(&["ps", "-aq"]).stdout;
        for id in ids.lines() {
            self.docker(&["rm", "--force", id]);
        }
        if let Some(pid) = Pid::from_raw(self.daemon.id() as i32) {
            // It ends its containerd as well.
            kill_process(pid, Signal::TERM).ok();
            self.daemon.wait().ok();
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn search_path(programs: &Path) -> std::ffi::OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let folders = ["usr/bin", "usr/sbin"].map(|folder| programs.join(folder));
    let host = std::env::split_paths(&own).chain(["/usr/sbin".into(), "/sbin".into()]);
    std::env::join_paths(folders.into_iter().chain(host)).expect("a PATH")
}

/// One daemon for all of it: its start takes seconds.
#[test]
fn containers_of_dockerd() {
    let docker = Docker::start();
    docker.import(&Bundle::new("true").rootfs());
    let shell = |options: &[&str], script: &str| {
        docker.run(&[options, &["--rm", IMAGE, "sh", "-c", script]].concat())
    };

    let done = shell(
        &["--hostname=h1", "--env=A=b"],
        "uname -v; hostname; echo $A; exit 7",
    );
    assert_eq!(done.status, 7, "{}\n{}", done.stderr, docker.log());
    assert!(
        done.stdout.contains("Caisson") && done.stdout.ends_with("h1\nb\n"),
        "{}",
        done.stdout
    );

    let restricted = [
        "--user=5:6",
        "--cap-drop=ALL",
        "--read-only",
        "--tmpfs=/scratch",
    ];
    let script = "id -u; id -g; grep CapBnd /proc/self/status; touch /x || echo sealed; touch /scratch/x && echo scratch";
    let done = shell(&restricted, script).succeeded();
    assert_eq!(
        done.stdout, "5\n6\nCapBnd:\t0000000000000000\nsealed\nscratch\n",
        "{}",
        done.stderr
    );

    let volume = docker.folder.join("volume");
    std::fs::create_dir(&volume).expect("mkdir");
    let option = format!("--volume={}:/v", volume.display());
    shell(&[&option], "echo kept > /v/file").succeeded();
    assert_eq!(
        std::fs::read_to_string(volume.join("file")).expect("file"),
        "kept\n"
    );

    // A terminal, without one of our own: dockerd asks for it through the console socket.
    let detached = [
        "--detach",
        "--tty",
        "--name=t1",
        IMAGE,
        "sh",
        "-c",
        "tty; sleep 600",
    ];
    docker.run(&detached).succeeded();
    caisson_oci_tests::eventually("the terminal's output", || {
        docker.docker(&["logs", "t1"]).stdout.contains("/dev/pts/0")
    });
    docker.docker(&["rm", "--force", "t1"]).succeeded();

    let limited = [
        "--detach",
        "--name=c1",
        "--memory=64m",
        "--cpus=0.5",
        "--pids-limit=50",
    ];
    let sleep = [IMAGE, "sh", "-c", "echo started; sleep 600"];
    docker.run(&[&limited[..], &sleep[..]].concat()).succeeded();
    assert_eq!(
        docker.docker(&["logs", "c1"]).succeeded().stdout,
        "started\n"
    );
    let exec = docker.docker(&["exec", "--user=3", "c1", "sh", "-c", "id -u; exit 5"]);
    assert_eq!(
        (exec.status, exec.stdout.as_str()),
        (5, "3\n"),
        "{}",
        exec.stderr
    );
    assert!(
        docker
            .docker(&["top", "c1"])
            .succeeded()
            .stdout
            .contains("sleep 600")
    );
    let stats = docker.docker(&["stats", "--no-stream", "c1"]).succeeded();
    assert!(stats.stdout.contains("/ 64MiB"), "{}", stats.stdout);
    docker.docker(&["pause", "c1"]).succeeded();
    docker.docker(&["unpause", "c1"]).succeeded();
    docker
        .docker(&["update", "--memory=128m", "--memory-swap=256m", "c1"])
        .succeeded();
    docker.docker(&["stop", "--time=0", "c1"]).succeeded();
    let code = docker.docker(&["inspect", "--format={{.State.ExitCode}}", "c1"]);
    assert_eq!(code.stdout, "137\n");
    docker.docker(&["start", "c1"]).succeeded();
    docker.docker(&["kill", "c1"]).succeeded();
    docker.docker(&["rm", "c1"]).succeeded();

    // runc's shim, which dockerd uses, begins to watch once the program runs.
    let hog = [
        "--name=oom",
        "--memory=32m",
        IMAGE,
        "sh",
        "-c",
        "sleep 1; dd if=/dev/zero of=/dev/null bs=200M count=1",
    ];
    assert_ne!(docker.run(&hog).status, 0);
    let killed = docker.docker(&["inspect", "--format={{.State.OOMKilled}}", "oom"]);
    assert_eq!(killed.stdout, "true\n");

    let missing = docker.run(&["--rm", IMAGE, "no-such-program"]);
    assert_eq!(missing.status, 127, "{}", missing.stderr);
    assert!(
        missing.stderr.contains("no-such-program"),
        "{}",
        missing.stderr
    );
    let no_program = docker.run(&["--rm", IMAGE, "/etc/hosts"]);
    assert_eq!(no_program.status, 126, "{}", no_program.stderr);

    names_and_limits(&docker);
    networks(&docker);
    health(&docker);
}

fn names_and_limits(docker: &Docker) {
    let options = [
        "--hostname=h1",
        "--domainname=d1",
        "--add-host=there:1.1.1.1",
    ];
    let script = "hostname; cat /proc/sys/kernel/domainname; grep -c there /etc/hosts";
    let command = [&options[..], &["--rm", IMAGE, "sh", "-c", script]].concat();
    assert_eq!(docker.run(&command).succeeded().stdout, "h1\nd1\n1\n");

    let options = ["--ulimit=nofile=123:456", "--sysctl=net.ipv4.ip_forward=1"];
    let script = "ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward";
    let command = [&options[..], &["--rm", IMAGE, "sh", "-c", script]].concat();
    assert_eq!(docker.run(&command).succeeded().stdout, "123\n456\n1\n");

    let script = "true < /dev/other && echo open; true > /dev/other || echo sealed";
    let command = [
        "--device=/dev/fuse:/dev/other:r",
        "--rm",
        IMAGE,
        "sh",
        "-c",
        script,
    ];
    assert_eq!(docker.run(&command).succeeded().stdout, "open\nsealed\n");
}

/// A published port, a network of the user's own, and containers that share a network.
fn networks(docker: &Docker) {
    let script = "mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www";
    let web = [
        "--detach",
        "--name=web",
        "--publish=8088:80",
        IMAGE,
        "sh",
        "-c",
        script,
    ];
    docker.run(&web).succeeded();
    let curl = [
        "curl",
        "--silent",
        "--max-time",
        "10",
        "--retry-all-errors",
        "--retry",
        "9",
    ];
    for address in ["127.0.0.1:8088", "10.77.0.1:8088"] {
        let done = docker.beside(&[&curl[..], &[address]].concat());
        assert_eq!(done.stdout, "page\n", "{address}: {}", done.stderr);
    }
    let of = |template: &str| {
        let template = format!("--format={template}");
        let done = docker.docker(&["inspect", &template, "web"]).succeeded();
        done.stdout.trim_end().to_owned()
    };
    let fetch = |network: &str, address: &str| {
        let script =
            format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {address} 80 | grep page");
        let done = docker.run(&["--rm", network, IMAGE, "sh", "-c", &script]);
        done.stdout + &done.stderr
    };
    let address = of("{{.NetworkSettings.IPAddress}}");
    assert_eq!(fetch("--network=bridge", &address), "page\n");
    assert_eq!(fetch("--network=container:web", "127.0.0.1"), "page\n");

    docker.docker(&["network", "create", "n1"]).succeeded();
    docker
        .docker(&["network", "connect", "n1", "web"])
        .succeeded();
    let address = of("{{.NetworkSettings.Networks.n1.IPAddress}}");
    assert_eq!(fetch("--network=n1", &address), "page\n");
    docker
        .docker(&["network", "disconnect", "n1", "web"])
        .succeeded();
    assert_ne!(fetch("--network=n1", &address), "page\n");

    let copy = docker.folder.join("copy").display().to_string();
    docker
        .docker(&["cp", "web:/www/index.html", &copy])
        .succeeded();
    assert_eq!(std::fs::read_to_string(&copy).expect("file"), "page\n");
    docker.docker(&["cp", &copy, "web:/copied"]).succeeded();
    let cat = docker.docker(&["exec", "web", "cat", "/copied"]);
    assert_eq!(cat.succeeded().stdout, "page\n");
    docker.docker(&["restart", "--time=0", "web"]).succeeded();
    assert_eq!(of("{{.State.Status}}"), "running");
    docker.docker(&["rm", "--force", "web"]).succeeded();
    docker.docker(&["network", "rm", "n1"]).succeeded();
}

/// What dockerd tells of a container whose program it asks.
fn health(docker: &Docker) {
    let check = [
        "--health-cmd=test -f /ok",
        "--health-interval=100ms",
        "--health-retries=1",
    ];
    let program = [IMAGE, "sh", "-c", "touch /ok; sleep 600"];
    let detached = ["--detach", "--name=h1"];
    docker
        .run(&[&detached[..], &check, &program].concat())
        .succeeded();
    let is = |wanted: &str| {
        let state = docker.docker(&["inspect", "--format={{.State.Health.Status}}", "h1"]);
        state.stdout.trim_end() == wanted
    };
    caisson_oci_tests::eventually("healthy", || is("healthy"));
    docker.docker(&["exec", "h1", "rm", "/ok"]).succeeded();
    caisson_oci_tests::eventually("unhealthy", || is("unhealthy"));
    docker.docker(&["rm", "--force", "h1"]).succeeded();
}
