//! Pods through containerd's CRI plugin, as a kubelet makes them, with real CNI plugins.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use caisson_shim_tests::cri::{
    CONTAINER, ContainerStatsResponse, Cri, Empty, Id, IdMapping, NamespaceOption, POD, Pod,
    RUNNING, Resources, UpdateRequest, UserNamespace, WebSocket,
};
use caisson_shim_tests::{Containerd, Handler, Plugins, Release, Tier, eventually};

const SLEEP: &[&str] = &["sleep", "1000"];

/// Run `test` for each version of containerd.
fn each_release(test: impl Fn(&Containerd, &Cri)) {
    for release in Release::selected() {
        eprintln!("--- containerd {release:?}");
        let containerd = Containerd::start_with(release, Handler::Caisson, Plugins::Cri);
        let cri = Cri::connect(&containerd.address());
        cri.await_images();
        test(&containerd, &cri);
        containerd.stop_clean();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `hostUsers: false`. containerd 1.6 knows no such pods.
#[test]
fn a_pod_has_users_of_its_own() {
    const FIRST: u32 = 131_072;
    let map = || {
        vec![IdMapping {
            host_id: FIRST,
            container_id: 0,
            length: 65536,
        }]
    };
    let namespaces = |pid| NamespaceOption {
        pid,
        userns_options: Some(UserNamespace {
            mode: POD,
            uids: map(),
            gids: map(),
        }),
        ..NamespaceOption::default()
    };
    each_release(|containerd, cri| {
        if containerd.release() == Release::Installed {
            return;
        }
        for pid in [CONTAINER, POD] {
            let name = if pid == POD { "users-shared" } else { "users" };
            let pod = Pod::run_in(containerd, cri, "", name, namespaces(pid), &[]);
            let pod = pod.expect("RunPodSandbox");
            let script = "touch /tmp/f; chown 5:6 /tmp/f; exec sleep 1000";
            let first = pod.container("first", &["sh", "-c", script]);
            let second = pod.container("second", SLEEP);
            for id in [&pod.id, &first, &second] {
                containerd.expect_gone(id);
                let status = format!("/proc/{}/status", containerd.task_pid(id).expect("a pid"));
                let status = fs::read_to_string(status).expect("status");
                let uids = format!("Uid:\t{FIRST}\t{FIRST}\t{FIRST}\t{FIRST}");
                assert!(status.contains(&uids), "{status}");
            }
            let script = "cat /proc/self/uid_map; ls -ln /bin/busybox /tmp/f | tr -s ' ' | cut -d' ' -f3,4; \
                ip -4 addr show eth0 | grep -c inet; ip addr add 10.99.0.1/24 dev lo; hostname; id -u";
            eventually("the file is there", || {
                let got = pod.exec_sync(&first, &["ls", "/tmp/f"]);
                got.exit_code == 0
            });
            let got = pod.exec_sync(&first, &["sh", "-c", script]);
            let map = format!("{:>10} {FIRST:>10} {:>10}\n", 0, 65536);
            assert_eq!(
                text(&got.stdout),
                format!("{map}0 0\n5 6\n1\n{name}\n0\n"),
                "{}",
                text(&got.stderr)
            );
            let note = pod.exec_sync(&first, &["sh", "-c", "echo pod > /dev/shm/note"]);
            assert_eq!(note.exit_code, 0, "{}", text(&note.stderr));
            let note = pod.exec_sync(&second, &["cat", "/dev/shm/note"]);
            assert_eq!(text(&note.stdout), "pod\n", "{}", text(&note.stderr));
            pod.remove();
        }
    });
}

#[test]
fn containers_of_a_pod_share_what_a_pod_shares() {
    each_release(|containerd, cri| {
        let pod = Pod::run(containerd, cri, "shared", CONTAINER, &[]);
        let ip = pod.status().network.expect("a network").ip;
        assert!(ip.starts_with("10.89.0."), "{ip}");
        let serve = [
            "sh",
            "-c",
            "echo served > /tmp/index.html; httpd -f -p 8080 -h /tmp",
        ];
        let server = pod.container("server", &serve);
        let client = pod.container("client", SLEEP);
        for id in [&pod.id, &server, &client] {
            containerd.expect_gone(id);
        }
        // One shim serves all three.
        let shims = [&pod.id, &server, &client].map(|id| containerd.shim_pid(id));
        assert!(
            shims[0].is_some() && shims.iter().all(|shim| *shim == shims[0]),
            "{shims:?}"
        );
        // Network and host name are the pod's, processes are not.
        eventually("the server answers", || {
            let got = pod.exec_sync(&client, &["wget", "-qO-", "http://127.0.0.1:8080/"]);
            text(&got.stdout) == "served\n"
        });
        let by_address = format!("http://{ip}:8080/");
        let got = pod.exec_sync(&client, &["wget", "-qO-", &by_address]);
        assert_eq!(text(&got.stdout), "served\n", "{}", text(&got.stderr));
        assert_eq!(
            text(&pod.exec_sync(&client, &["hostname"]).stdout),
            "shared\n"
        );
        let address = pod.exec_sync(&client, &["ip", "-4", "addr", "show", "eth0"]);
        assert!(
            text(&address.stdout).contains(&ip),
            "{}",
            text(&address.stdout)
        );
        let processes = text(&pod.exec_sync(&client, &["ps"]).stdout);
        assert!(
            processes.contains("sleep 1000") && !processes.contains("httpd"),
            "{processes}"
        );
        // IPC: /dev/shm is the pod's.
        pod.exec_sync(&server, &["sh", "-c", "echo pod > /dev/shm/note"]);
        assert_eq!(
            text(&pod.exec_sync(&client, &["cat", "/dev/shm/note"]).stdout),
            "pod\n"
        );
        pod.remove();
    });
}

#[test]
fn a_pod_may_share_its_processes() {
    each_release(|containerd, cri| {
        let pod = Pod::run(containerd, cri, "processes", POD, &[]);
        let one = pod.container("one", &["sleep", "1001"]);
        let two = pod.container("two", &["sleep", "1002"]);
        for id in [&pod.id, &one, &two] {
            containerd.expect_gone(id);
        }
        let processes = text(&pod.exec_sync(&one, &["ps"]).stdout);
        assert!(
            processes.contains("sleep 1001") && processes.contains("sleep 1002"),
            "{processes}"
        );
        pod.stop(&two, 0);
        let processes = text(&pod.exec_sync(&one, &["ps"]).stdout);
        assert!(
            processes.contains("sleep 1001") && !processes.contains("sleep 1002"),
            "{processes}"
        );
        pod.remove();
    });
}

#[test]
fn exec_logs_and_ports_reach_the_outside() {
    each_release(|containerd, cri| {
        let pod = Pod::run(containerd, cri, "outside", CONTAINER, &[]);
        let speak = [
            "sh",
            "-c",
            "echo to stdout; echo to stderr >&2; echo served > /tmp/index.html; httpd -f -p 8080 -h /tmp",
        ];
        let id = pod.container("speaker", &speak);
        for id in [&pod.id, &id] {
            containerd.expect_gone(id);
        }
        let failed = pod.exec_sync(&id, &["sh", "-c", "echo a; echo b >&2; exit 3"]);
        assert_eq!(
            (failed.exit_code, text(&failed.stdout), text(&failed.stderr)),
            (3, "a\n".to_owned(), "b\n".to_owned())
        );
        let log = || fs::read_to_string(pod.log("speaker")).unwrap_or_default();
        eventually("both lines are in the log", || {
            log().contains(" stdout F to stdout\n") && log().contains(" stderr F to stderr\n")
        });
        // kubectl exec -i, and with a terminal.
        let url = pod.exec_url(&id, &["head", "-n", "1"], false);
        let mut exec = WebSocket::connect(&url, containerd.pid());
        exec.send(0, b"through the socket\n");
        assert_eq!(text(&exec.collect(1)), "through the socket\n");
        let url = pod.exec_url(&id, &["sh", "-c", "tty; stty size"], true);
        let mut exec = WebSocket::connect(&url, containerd.pid());
        let shown = text(&exec.collect(1));
        assert!(shown.starts_with("/dev/"), "{shown}");
        // What listens in a virtual machine has no socket in the pod's namespace, where containerd looks for one.
        if Tier::current() == Tier::Vm {
            pod.remove();
            return;
        }
        // kubectl port-forward; every channel begins with the port's number.
        eventually("the server answers", || {
            pod.exec_sync(&id, &["wget", "-qO-", "http://127.0.0.1:8080/"])
                .exit_code
                == 0
        });
        let mut port = WebSocket::connect(&pod.port_url(8080), containerd.pid());
        port.send(0, b"GET / HTTP/1.0\r\n\r\n");
        let answer = text(&port.collect(0));
        assert!(answer.ends_with("served\n"), "{answer}");
        pod.remove();
    });
}

#[test]
fn a_container_is_measured_limited_and_ended() {
    each_release(|containerd, cri| {
        let pod = Pod::run(containerd, cri, "limits", CONTAINER, &[]);
        let limits = Resources {
            memory_limit_in_bytes: 64 << 20,
            ..Resources::default()
        };
        let busy = "trap 'exit 7' TERM; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; while :; do sleep 0.05; done";
        let id = pod.limited_container("busy", &["sh", "-c", busy], limits);
        containerd.expect_gone(&pod.id);
        containerd.expect_gone(&id);
        eventually("it is measured", || {
            let answer: ContainerStatsResponse = cri
                .call("ContainerStats", Id { id: id.clone() })
                .expect("ContainerStats");
            let stats = answer.stats.unwrap_or_default();
            let used = |usage: Option<caisson_shim_tests::cri::Usage>| {
                usage
                    .and_then(|usage| usage.amount)
                    .map_or(0, |amount| amount.value)
            };
            used(stats.cpu) > 0 && used(stats.memory) > 0
        });
        let request = UpdateRequest {
            container_id: id.clone(),
            linux: Some(Resources {
                memory_limit_in_bytes: 96 << 20,
                ..Resources::default()
            }),
        };
        let _: Empty = cri
            .call("UpdateContainerResources", request)
            .expect("UpdateContainerResources");
        // A virtual machine's /proc tells of all of its memory.
        let (file, wanted) = match Tier::current() {
            Tier::Kernel => ("/proc/meminfo", " 98304 kB\n"),
            Tier::Vm => ("/sys/fs/cgroup/memory.max", "100663296\n"),
        };
        let told = text(&pod.exec_sync(&id, &["cat", file]).stdout);
        assert!(told.contains(wanted), "{told}");
        assert_eq!(pod.container_status(&id).state, RUNNING);
        sleep(Duration::from_millis(300)); // the shell needs a moment to set its trap
        pod.stop(&id, 10);
        assert_eq!(pod.exited(&id).exit_code, 7);
        // Memory that is not there.
        let limits = Resources {
            memory_limit_in_bytes: 16 << 20,
            ..Resources::default()
        };
        let greedy = ["sh", "-c", "x=x; while :; do x=$x$x; done"];
        let id = pod.limited_container("greedy", &greedy, limits);
        containerd.expect_gone(&id);
        let status = pod.exited(&id);
        assert_eq!(
            (status.exit_code, status.reason.as_str()),
            (137, "OOMKilled")
        );
        pod.remove();
    });
}

#[test]
fn pods_outlive_a_restart_of_containerd() {
    each_release(|containerd, cri| {
        let pod = Pod::run(containerd, cri, "restart", CONTAINER, &[]);
        let goes_on = pod.container("goes-on", SLEEP);
        let ends = pod.container("ends", &["sh", "-c", "sleep 1; exit 4"]);
        for id in [&pod.id, &goes_on, &ends] {
            containerd.expect_gone(id);
        }
        containerd.kill();
        sleep(Duration::from_millis(1500));
        containerd.launch();
        eventually("the pod is known again", || {
            let known: Result<Empty, _> = cri.call("PodSandboxStatus", Id { id: pod.id.clone() });
            known.is_ok()
        });
        assert_eq!(pod.exited(&ends).exit_code, 4);
        assert_eq!(pod.container_status(&goes_on).state, RUNNING);
        let echoed = pod.exec_sync(&goes_on, &["echo", "again"]);
        assert_eq!(text(&echoed.stdout), "again\n");
        pod.remove();
    });
}
