//! The task API itself, past containerd: what `ctr` has no command for, and the codes of errors.

use std::time::{Duration, Instant};

use caisson_shim_tests::{Containerd, each_handler, eventually};
use containerd_shim_protos::TaskClient;
use containerd_shim_protos::api::{
    ConnectRequest, DeleteRequest, ExecProcessRequest, KillRequest, ResizePtyRequest,
    ShutdownRequest, StartRequest, StateRequest, StatsRequest, Status, UpdateTaskRequest,
    WaitRequest,
};
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::ttrpc::context::{Context, with_duration};
use containerd_shim_protos::ttrpc::{Code, Error};

fn soon() -> Context {
    with_duration(caisson_shim_tests::soon())
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    match result {
        Err(Error::RpcStatus(status)) => status.code(),
        other => panic!("an error of the API was expected, not {other:?}"),
    }
}

fn start(containerd: &Containerd, command: &[&str]) -> (String, TaskClient) {
    let id = containerd.id("task");
    containerd
        .ctr()
        .run(&containerd.run_arguments(&["-d"], &id, command))
        .success();
    let shim = containerd.shim(&id);
    (id, shim)
}

#[test]
fn errors_have_the_codes_that_containerd_looks_for() {
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return; // containerd's own shim answers UNKNOWN more often
        }
        let (id, shim) = start(containerd, &["sleep", "1000"]);
        let id = || id.clone();
        let state = |id: String, exec_id: &str| {
            shim.state(
                soon(),
                &StateRequest {
                    id,
                    exec_id: exec_id.into(),
                    ..StateRequest::default()
                },
            )
        };
        let kill = |exec_id: &str| KillRequest {
            id: id(),
            exec_id: exec_id.into(),
            signal: 9,
            ..KillRequest::default()
        };
        assert_eq!(code(state("nobody".into(), "")), Code::NOT_FOUND);
        assert_eq!(code(state(id(), "nobody")), Code::NOT_FOUND);
        assert_eq!(code(shim.kill(soon(), &kill("nobody"))), Code::NOT_FOUND);
        let again = StartRequest {
            id: id(),
            ..StartRequest::default()
        };
        assert_eq!(code(shim.start(soon(), &again)), Code::FAILED_PRECONDITION);
        let delete = DeleteRequest {
            id: id(),
            ..DeleteRequest::default()
        };
        assert_eq!(
            code(shim.delete(soon(), &delete)),
            Code::FAILED_PRECONDITION
        );

        let exec = |exec_id: &str, json: &str| ExecProcessRequest {
            id: id(),
            exec_id: exec_id.into(),
            spec: MessageField::some(Any {
                value: json.as_bytes().to_vec(),
                ..Any::default()
            }),
            ..ExecProcessRequest::default()
        };
        assert_eq!(
            code(shim.exec(soon(), &exec("../up", "{}"))),
            Code::INVALID_ARGUMENT
        );
        shim.exec(soon(), &exec("twice", "{}")).expect("exec");
        assert_eq!(
            code(shim.exec(soon(), &exec("twice", "{}"))),
            Code::ALREADY_EXISTS
        );

        shim.kill(soon(), &kill("")).expect("kill");
        let wait = WaitRequest {
            id: id(),
            ..WaitRequest::default()
        };
        assert_eq!(shim.wait(soon(), &wait).expect("wait").exit_status, 137);
        assert_eq!(code(shim.kill(soon(), &kill(""))), Code::NOT_FOUND);
        assert_eq!(
            state(id(), "").expect("state").status.enum_value(),
            Ok(Status::STOPPED)
        );
    });
}

#[test]
fn shutdown_spares_a_shim_that_serves() {
    each_handler(|containerd| {
        let (id, shim) = start(containerd, &["sleep", "1000"]);
        shim.shutdown(
            soon(),
            &ShutdownRequest {
                id: id.clone(),
                ..ShutdownRequest::default()
            },
        )
        .expect("shutdown");
        let connected = shim.connect(
            soon(),
            &ConnectRequest {
                id: id.clone(),
                ..ConnectRequest::default()
            },
        );
        let connected = connected.expect("connect");
        assert_eq!(Some(connected.shim_pid), containerd.shim_pid(&id));
        assert_eq!(Some(connected.task_pid), containerd.task_pid(&id));
    });
}

#[test]
fn limits_can_be_changed() {
    each_handler(|containerd| {
        let (id, shim) = start(containerd, &["sleep", "1000"]);
        let update = |json: &str| UpdateTaskRequest {
            id: id.clone(),
            resources: MessageField::some(Any {
                value: json.as_bytes().to_vec(),
                ..Any::default()
            }),
            ..UpdateTaskRequest::default()
        };
        shim.update(soon(), &update(r#"{"pids":{"limit":77}}"#))
            .expect("update");
        let stats = shim
            .stats(
                soon(),
                &StatsRequest {
                    id: id.clone(),
                    ..StatsRequest::default()
                },
            )
            .expect("stats");
        let any = stats.stats.into_option().expect("stats");
        assert!(
            any.type_url.starts_with("io.containerd.cgroups.v"),
            "{}",
            any.type_url
        );
        // 77 as the value of field 2 (limit) of a PidsStat.
        assert!(
            any.value.windows(2).any(|pair| pair == [0x10, 77]),
            "{:?}",
            any.value
        );
    });
}

#[test]
fn a_terminal_takes_another_size() {
    each_handler(|containerd| {
        let id = containerd.id("size");
        let file = containerd.bundle(&id).join("rootfs/tmp/size");
        let command = [
            "sh",
            "-c",
            "while :; do stty size > /tmp/size; sleep 0.05; done",
        ];
        containerd
            .ctr()
            .run_in_terminal(&containerd.run_arguments(&["-d", "-t"], &id, &command))
            .success();
        let resize = ResizePtyRequest {
            id: id.clone(),
            width: 101,
            height: 43,
            ..ResizePtyRequest::default()
        };
        containerd
            .shim(&id)
            .resize_pty(soon(), &resize)
            .expect("resize");
        let sizes = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("the new size is seen", || sizes().contains("43 101"));
    });
}

#[test]
fn stats_and_kill_answer_while_a_wait_is_open() {
    each_handler(|containerd| {
        let (id, shim) = start(containerd, &["sleep", "1000"]);
        // Waits as long as the container lives.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                shim.wait(
                    soon(),
                    &WaitRequest {
                        id: id.clone(),
                        ..WaitRequest::default()
                    },
                )
            });
            for _ in 0..20 {
                shim.stats(
                    soon(),
                    &StatsRequest {
                        id: id.clone(),
                        ..StatsRequest::default()
                    },
                )
                .expect("stats");
            }
            let kill = KillRequest {
                id: id.clone(),
                signal: 9,
                ..KillRequest::default()
            };
            shim.kill(soon(), &kill).expect("kill");
        });
    });
}

#[test]
fn a_kill_is_answered_although_the_shim_is_to_end() {
    use std::os::unix::fs::PermissionsExt;
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return;
        }
        // A runtime whose kill returns late.
        let slow = containerd.path("slow-runtime");
        let script = format!(
            "#!/bin/sh\n'{}' \"$@\" || exit\ncase \" $* \" in *' kill '*) sleep 1;; esac\n",
            containerd.handler.runtime_binary().display()
        );
        std::fs::write(&slow, script).expect("the slow runtime");
        std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let config = containerd.path("slow.toml");
        std::fs::write(&config, format!("binary_name = {slow:?}\n")).expect("slow.toml");
        let config = config.to_string_lossy();
        let id = containerd.id("slow");
        let options = ["-d", "--runtime-config-path", &config];
        let ctr = containerd.ctr();
        ctr.run(&containerd.run_arguments(&options, &id, &["sleep", "1000"]))
            .success();
        let shim = containerd.shim(&id);
        let request = KillRequest {
            id: id.clone(),
            signal: 9,
            ..KillRequest::default()
        };
        // containerd takes a kill for failed whose answer comes after the exit is told.
        let waiting = {
            let (shim, id) = (containerd.shim(&id), id.clone());
            std::thread::spawn(move || {
                let request = WaitRequest {
                    id,
                    ..WaitRequest::default()
                };
                shim.wait(soon(), &request).expect("wait");
                Instant::now()
            })
        };
        let killing = std::thread::spawn(move || (shim.kill(soon(), &request), Instant::now()));
        eventually("it stops", || {
            containerd.task_status(&id).as_deref() == Some("STOPPED")
        });
        ctr.run(&["tasks", "delete", &id]);
        let (answer, answered) = killing.join().expect("the call");
        assert!(answer.is_ok(), "{answer:?}");
        let told = waiting.join().expect("the wait");
        // The runtime returns a second after the process has ended; both threads wake when they may.
        let margin = Duration::from_millis(500);
        assert!(answered < told + margin, "the exit was told first");
    });
}
