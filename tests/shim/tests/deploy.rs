//! The settings in deploy/, as a node has them.

use std::fs;
use std::path::{Path, PathBuf};

use caisson_shim_tests::cri::{CONTAINER, Cri, Empty, Pod, RuntimeHandler, StatusResponse};
use caisson_shim_tests::{Containerd, Handler, Plugins, Release, eventually};

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(name)
}

#[test]
fn the_drop_ins_give_the_handler() {
    for release in Release::selected() {
        eprintln!("--- containerd {release:?}");
        let (version, drop_in) = match release.major() {
            1 => (2, "containerd-1.toml"),
            _ => (3, "containerd-2.toml"),
        };
        let folder = std::env::temp_dir().join(format!("caisson-deploy-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("config.toml");
        let text = format!(
            "version = {version}\nimports = [\"{}\"]\n",
            deploy(drop_in).display()
        );
        fs::write(&config, text).expect("config.toml");
        let output = release.config_dump(&config);
        fs::remove_dir_all(&folder).expect("remove the folder");
        for wanted in [
            "io.containerd.caisson.v2",
            "io.containerd.caisson-vm.v2",
            "dev.caisson.*",
            "/etc/caisson/runtime.toml",
        ] {
            assert!(output.contains(wanted), "{wanted} is not in {output}");
        }
    }
}

#[test]
fn pods_run_with_the_runtimes_configuration() {
    for release in Release::selected() {
        eprintln!("--- containerd {release:?}");
        let containerd = Containerd::start_with(release, Handler::Caisson, Plugins::Cri);
        let cri = Cri::connect(&containerd.address());
        cri.await_images();
        let options = fs::read_to_string(deploy("runtime.toml")).expect("runtime.toml");
        fs::write(containerd.path("runtime.toml"), options).expect("runtime.toml");
        let run = |name, annotations| {
            Pod::run_with(
                &containerd,
                &cri,
                "configured",
                name,
                CONTAINER,
                annotations,
            )
        };
        let pod = run("plain", &[]).expect("RunPodSandbox");
        let id = pod.container("sleeper", &["sleep", "1000"]);
        for id in [&pod.id, &id] {
            containerd.expect_gone(id);
        }
        assert_eq!(pod.exec_sync(&id, &["echo", "hello"]).stdout, b"hello\n");
        pod.remove();
        // The file allows no annotation.
        let Err(refused) = run("annotated", &[("dev.caisson.strace", "all")]) else {
            panic!("the annotation was let through");
        };
        assert!(
            refused.message().contains("dev.caisson.strace"),
            "{refused}"
        );
        eventually("nothing is left of it", || {
            containerd
                .ctr()
                .run(&["containers", "ls", "-q"])
                .stdout
                .is_empty()
        });
        containerd.stop_clean();
    }
}

/// As runc's handler with our shim in its place, from containerd 2.0 on: of others it does not ask what they can do, and a kubelet
/// then refuses pods with `hostUsers: false`.
#[test]
fn a_handler_by_path_tells_its_features() {
    if !Release::selected().contains(&Release::Sid) {
        return;
    }
    let containerd = Containerd::start_with(Release::Sid, Handler::Caisson, Plugins::Cri);
    let cri = Cri::connect(&containerd.address());
    cri.await_images();
    let status: StatusResponse = cri.call("Status", Empty {}).expect("Status");
    let handler = |handler: &RuntimeHandler| handler.name == "by-path";
    let handler = status.runtime_handlers.into_iter().find(handler);
    let features = handler.and_then(|handler| handler.features);
    assert!(features.is_some_and(|features| features.user_namespaces));
    let pod = Pod::run_with(&containerd, &cri, "by-path", "by-path", CONTAINER, &[]);
    let pod = pod.expect("RunPodSandbox");
    let id = pod.container("sleeper", &["sleep", "1000"]);
    for id in [&pod.id, &id] {
        containerd.expect_gone(id);
    }
    let runtime = pod.exec_sync(&id, &["cat", "/proc/version"]).stdout;
    assert!(String::from_utf8_lossy(&runtime).contains("caisson"));
    pod.remove();
    containerd.stop_clean();
}
