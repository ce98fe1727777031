//! What an operator may set for a runtime handler, in a TOML file.

use std::fs;
use std::path::Path;

use caisson_shim_tests::{Containerd, Output, each_handler};

fn run(containerd: &Containerd, name: &str, config: &Path, annotation: Option<&str>) -> Output {
    let id = containerd.id(name);
    let config = config.to_string_lossy();
    let mut options = vec!["--rm", "--runtime-config-path", &config];
    if let Some(annotation) = annotation {
        options.extend(["--annotation", annotation]);
    }
    containerd
        .ctr()
        .run(&containerd.run_arguments(&options, &id, &["echo", "ran"]))
}

#[test]
fn a_configuration_file_is_obeyed_or_refused_by_name() {
    each_handler(|containerd| {
        let config = containerd.path("runtime.toml");
        let root = containerd.path("state-of-the-runtime");
        let write = |text: &str| fs::write(&config, text).expect("the configuration");
        write(&format!("root = \"{}\"\n", root.display()));
        let output = run(containerd, "root", &config, None).success();
        assert_eq!(output.stdout_text(), "ran\n");
        assert!(
            root.join("default").is_dir(),
            "{} was not used",
            root.display()
        );

        write("annotations = []\n");
        let refused = run(
            containerd,
            "annotated",
            &config,
            Some("dev.caisson.strace=all"),
        );
        assert_ne!(refused.status, Some(0));
        let message = refused.stderr_text();
        assert!(message.contains("dev.caisson.strace"), "{message}");

        write("colour = \"red\"\n");
        let message = run(containerd, "unknown", &config, None).stderr_text();
        assert!(
            message.contains("runtime.toml") && message.contains("colour"),
            "{message}"
        );
        let absent = containerd.path("absent.toml");
        let message = run(containerd, "absent", &absent, None).stderr_text();
        assert!(message.contains("absent.toml"), "{message}");
    });
}

#[test]
fn a_checkpoint_is_refused_and_the_container_goes_on() {
    each_handler(|containerd| {
        if containerd.handler != caisson_shim_tests::Handler::Caisson {
            return; // runc has it, given criu
        }
        let ctr = containerd.ctr();
        let id = containerd.id("checkpoint");
        ctr.run(&containerd.run_arguments(&["-d"], &id, &["sleep", "1000"]))
            .success();
        let refused = ctr.run(&["tasks", "checkpoint", &id]);
        assert_ne!(refused.status, Some(0));
        let message = refused.stderr_text();
        assert!(message.contains("checkpoint"), "{message}");
        assert_eq!(containerd.task_status(&id).as_deref(), Some("RUNNING"));
    });
}
