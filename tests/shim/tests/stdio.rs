//! Logging programs and full disks.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use caisson_shim_tests::{each_handler, eventually, once};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

#[test]
fn a_logging_program_gets_the_output() {
    each_handler(|containerd| {
        let program = containerd.path("log program");
        let script = "#!/bin/sh\ncat <&3 5>&- > \"$2/out\" &\ncat <&4 5>&- > \"$2/err\" &\n\
                      echo \"$1 $CONTAINER_NAMESPACE $CONTAINER_ID\" > \"$2/told\"\nexec 5>&-\nwait\n";
        fs::write(&program, script).expect("the program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        let to = containerd.folder().display().to_string();
        let uri = format!(
            "binary://{}?--to={}",
            program.display().to_string().replace(' ', "%20"),
            to.replace('/', "%2F")
        );
        let id = containerd.id("logged");
        let command = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done; echo bad >&2";
        containerd
            .ctr()
            .run(&containerd.run_arguments(&["-d", "--log-uri", &uri], &id, &["sh", "-c", command]))
            .success();
        let read = |name: &str| fs::read_to_string(containerd.path(name)).unwrap_or_default();
        eventually("all lines are there", || {
            read("out").ends_with("line 2000\n")
        });
        assert_eq!(read("out").lines().count(), 2000);
        eventually("the error is there", || read("err") == "bad\n");
        assert_eq!(read("told"), format!("--to default {id}\n"));
    });
}

#[test]
fn a_logging_program_that_is_not_there_is_named() {
    once(|containerd| {
        let id = containerd.id("unlogged");
        let uri = "binary:///no/such/logger";
        let output = containerd.ctr().run(&containerd.run_arguments(
            &["-d", "--log-uri", uri],
            &id,
            &["true"],
        ));
        assert_ne!(output.status, Some(0));
        let message = output.stderr_text();
        assert!(message.contains("/no/such/logger"), "{message}");
    });
}

/// A small file system, unmounted in the end.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _gone_already = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_makes_the_container_wait() {
    once(|containerd| {
        let folder = containerd.path("small");
        fs::create_dir(&folder).expect("a mount point");
        mount(
            "tmpfs",
            &folder,
            "tmpfs",
            MountFlags::empty(),
            Some(c"size=64k"),
        )
        .expect("tmpfs");
        let small = Small(folder);
        let file = small.0.join("log");
        let uri = format!("file://{}", file.display());
        let id = containerd.id("full");
        let lines = 30_000;
        let command = format!("i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done");
        containerd
            .ctr()
            .run(&containerd.run_arguments(
                &["-d", "--log-uri", &uri],
                &id,
                &["sh", "-c", &command],
            ))
            .success();
        eventually("the disk is full", || {
            fs::read_to_string(containerd.log())
                .is_ok_and(|log| log.contains("until there is room"))
        });
        assert_eq!(containerd.task_status(&id).as_deref(), Some("RUNNING"));
        mount_remount(&small.0, MountFlags::empty(), "size=2m").expect("a larger disk");
        let text = || fs::read_to_string(&file).unwrap_or_default();
        eventually("the rest comes", || {
            text().ends_with(&format!("line {lines}\n"))
        });
        let whole = text()
            .lines()
            .enumerate()
            .all(|(n, line)| line == format!("line {}", n + 1));
        assert!(whole, "lines are missing or broken");
    });
}
