//! The sandbox API: pods without a pause container, for handlers with `sandboxer = "shim"`, which the CRI
//! plugin knows since containerd 2.0; and the API itself, past containerd.

use std::fs;
use std::path::PathBuf;

use caisson_shim_tests::cri::{CONTAINER, Cri, EXITED, POD, Pod};
use caisson_shim_tests::{
    Containerd, Handler, Plugins, Release, SOON, assert_nothing_left, eventually,
};
use containerd_shim_protos::cgroups::metrics as v1;
use containerd_shim_protos::cgroups_v2::metrics as v2;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::sandbox_api::SandboxMetricsRequest;
use containerd_shim_protos::sandbox_sync::SandboxClient;
use containerd_shim_protos::ttrpc::Client;
use containerd_shim_protos::ttrpc::context::with_duration;
use rustix::process::{Pid, Signal, kill_process};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn each_release_with_sandboxes(test: impl Fn(&Containerd, &Cri)) {
    for release in Release::selected() {
        if release.major() < 2 {
            continue;
        }
        eprintln!("--- containerd {release:?}");
        let containerd = Containerd::start_with(release, Handler::Caisson, Plugins::Cri);
        let cri = Cri::connect(&containerd.address());
        cri.await_images();
        test(&containerd, &cri);
        containerd.stop_clean();
    }
}

fn sandbox_bundle(containerd: &Containerd, id: &str) -> PathBuf {
    let bundles = "state/io.containerd.sandbox.controller.v1.shim/k8s.io";
    containerd.path(bundles).join(id)
}

fn shim_pid(containerd: &Containerd, id: &str) -> Pid {
    let file = sandbox_bundle(containerd, id).join("shim.pid");
    let pid = fs::read_to_string(file).expect("the shim");
    Pid::from_raw(pid.parse().expect("a number")).expect("a pid")
}

#[test]
fn a_pod_needs_no_pause_container() {
    each_release_with_sandboxes(|containerd, cri| {
        for (name, pid) in [("own", CONTAINER), ("shared", POD)] {
            let pod = Pod::run_with(containerd, cri, "sandboxed", name, pid, &[]);
            let pod = pod.expect("RunPodSandbox");
            let one = pod.container("one", &["sleep", "1001"]);
            let two = pod.container("two", &["sleep", "1002"]);
            let bundle = sandbox_bundle(containerd, &pod.id);
            let shim = shim_pid(containerd, &pod.id).as_raw_nonzero();
            for id in [&pod.id, &one, &two] {
                containerd.expect_gone(id);
            }
            let tasks = containerd.ctr().run(&["tasks", "ls", "-q"]).stdout_text();
            assert!(tasks.contains(&one) && !tasks.contains(&pod.id), "{tasks}");
            assert_eq!(
                text(&pod.exec_sync(&one, &["hostname"]).stdout),
                format!("{name}\n")
            );
            let ip = pod.status().network.expect("a network").ip;
            let address = pod.exec_sync(&one, &["ip", "-4", "addr", "show", "eth0"]);
            assert!(
                text(&address.stdout).contains(&ip),
                "{}",
                text(&address.stdout)
            );
            let processes = text(&pod.exec_sync(&one, &["ps"]).stdout);
            assert_eq!(processes.contains("sleep 1002"), pid == POD, "{processes}");
            pod.remove();
            assert!(!bundle.exists(), "{} is left", bundle.display());
            eventually("the shim is gone", || {
                !fs::exists(format!("/proc/{shim}/exe")).unwrap_or(false)
            });
        }
    });
}

#[test]
fn a_sandbox_outlives_a_restart_of_containerd() {
    each_release_with_sandboxes(|containerd, cri| {
        let pod = Pod::run_with(containerd, cri, "sandboxed", "restart", CONTAINER, &[]);
        let pod = pod.expect("RunPodSandbox");
        let id = pod.container("sleeper", &["sleep", "1000"]);
        for id in [&pod.id, &id] {
            containerd.expect_gone(id);
        }
        containerd.kill();
        containerd.launch();
        eventually("the pod goes on", || {
            let ready: Result<caisson_shim_tests::cri::SandboxStatusResponse, _> = cri.call(
                "PodSandboxStatus",
                caisson_shim_tests::cri::Id { id: pod.id.clone() },
            );
            // 0 is ready.
            ready.is_ok_and(|answer| answer.status.is_some_and(|status| status.state == 0))
        });
        assert_eq!(
            text(&pod.exec_sync(&id, &["echo", "again"]).stdout),
            "again\n"
        );
        pod.remove();
    });
}

#[test]
fn a_kill_of_the_shim_takes_the_pod_along() {
    each_release_with_sandboxes(|containerd, cri| {
        for (name, pid) in [("killed", CONTAINER), ("killed-shared", POD)] {
            let pod = Pod::run_with(containerd, cri, "sandboxed", name, pid, &[]);
            let pod = pod.expect("RunPodSandbox");
            let one = pod.container("one", &["sh", "-c", "sleep 1001 & sleep 1001"]);
            let two = pod.container("two", &["sleep", "1002"]);
            for id in [&pod.id, &one, &two] {
                containerd.expect_gone(id);
            }
            let shim = shim_pid(containerd, &pod.id);
            kill_process(shim, Signal::KILL).expect("kill the shim");
            for id in [&one, &two, &pod.id] {
                assert_nothing_left(containerd, id);
            }
            eventually("containerd knows", || {
                let mut containers = [&one, &two].into_iter();
                let ended = containers.all(|id| pod.container_status(id).state == EXITED);
                // 0 is ready.
                ended && pod.status().state != 0
            });
            pod.remove();
        }
    });
}

#[test]
fn a_pod_is_measured_by_its_control_group() {
    each_release_with_sandboxes(|containerd, cri| {
        let parent = format!("/{}", containerd.unique("pod"));
        let pod = Pod::run_below(containerd, cri, "sandboxed", "measured", &parent);
        let pod = pod.expect("RunPodSandbox");
        let one = pod.container("one", &["sleep", "1001"]);
        for id in [&pod.id, &one] {
            containerd.expect_gone(id);
        }
        let address = sandbox_bundle(containerd, &pod.id).join("address");
        let address = fs::read_to_string(address).expect("the shim's address");
        let shim = SandboxClient::new(Client::connect(address.trim()).expect("connect"));
        let ask = |sandbox_id: &str| {
            let request = SandboxMetricsRequest {
                sandbox_id: sandbox_id.to_owned(),
                ..SandboxMetricsRequest::default()
            };
            shim.sandbox_metrics(with_duration(SOON), &request)
        };
        let metrics = ask(&pod.id).expect("SandboxMetrics").metrics;
        assert_eq!(metrics.id, pod.id);
        assert!(metrics.timestamp.seconds > 0);
        let memory = match metrics.data.type_url.as_str() {
            "io.containerd.cgroups.v1.Metrics" => {
                let read = v1::Metrics::parse_from_bytes(&metrics.data.value);
                read.expect("metrics").memory.usage.usage
            }
            "io.containerd.cgroups.v2.Metrics" => {
                let read = v2::Metrics::parse_from_bytes(&metrics.data.value);
                read.expect("metrics").memory.usage
            }
            other => panic!("metrics of another type: {other}"),
        };
        assert!(memory > 0, "nothing is used");
        assert!(ask("another").is_err());
        pod.remove();
        for root in fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
            let group = root.path().join(&parent[1..]);
            if group.exists() {
                fs::remove_dir(&group).expect("an empty group");
            }
        }
        let unified = PathBuf::from(format!("/sys/fs/cgroup{parent}"));
        if unified.exists() {
            fs::remove_dir(&unified).expect("an empty group");
        }
    });
}
