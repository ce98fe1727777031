//! One wrong value per test row; the message must hold the field's name and the value.

use serde_json::{Value, json};

use super::spec as check;
use crate::spec::default;
use crate::spec::types::Spec;

/// The default document with the value at the JSON pointer replaced.
fn with(pointer: &str, value: Value) -> Spec {
    let mut document = serde_json::to_value(default::spec()).expect("serialises");
    let mut place = &mut document;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[key],
        };
    }
    *place = value;
    serde_json::from_value(document).expect("well-typed")
}

#[test]
fn the_default_is_accepted() {
    check(&default::spec()).expect("default spec");
}

#[test]
fn every_refusal_names_field_and_value() {
    let rows: &[(&str, Value, &[&str])] = &[
        ("/ociVersion", json!(""), &["ociVersion: missing"]),
        ("/ociVersion", json!("2.0.0"), &["ociVersion", "2.0.0"]),
        ("/ociVersion", json!("one"), &["ociVersion", "one"]),
        ("/root", Value::Null, &["root: missing"]),
        ("/process", Value::Null, &["process: missing"]),
        ("/process/args", json!([]), &["process.args: missing"]),
        ("/process/args", json!(["a\0b"]), &["process.args", "NUL"]),
        (
            "/process/cwd",
            json!("tmp"),
            &["process.cwd", "\"tmp\"", "absolute"],
        ),
        ("/process/env", json!(["=x"]), &["process.env[0]", "\"=x\""]),
        (
            "/process/oomScoreAdj",
            json!(2000),
            &["process.oomScoreAdj", "2000"],
        ),
        (
            "/process/user/umask",
            json!(4096),
            &["process.user.umask", "4096"],
        ),
        (
            "/process/apparmorProfile",
            json!("p1"),
            &["process.apparmorProfile", "p1"],
        ),
        (
            "/process/selinuxLabel",
            json!("l1"),
            &["process.selinuxLabel", "l1"],
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_LAZY"}),
            &["process.scheduler.policy", "SCHED_LAZY"],
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_X"}),
            &["process.ioPriority.class", "IOPRIO_CLASS_X"],
        ),
        (
            "/process/execCPUAffinity",
            json!({"initial": "0-x"}),
            &["process.execCPUAffinity.initial", "0-x"],
        ),
        (
            "/mounts/0",
            json!({"destination": "/d", "type": "bind", "source": "/s", "options": ["bind"],
                "uidMappings": [{"containerID": 0, "hostID": 0, "size": 0}]}),
            &["mounts[0].uidMappings[0]", "0 0 0"],
        ),
        ("/hostname", json!("h".repeat(65)), &["hostname", "64"]),
        (
            "/linux/namespaces/0/type",
            json!("zoo"),
            &["linux.namespaces[0].type", "zoo"],
        ),
        (
            "/linux/namespaces/1",
            json!({"type": "user"}),
            &["linux.uidMappings", "missing"],
        ),
        (
            "/linux/namespaces/0/path",
            json!("x"),
            &["linux.namespaces[0].path", "\"x\""],
        ),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "uts"}]),
            &["linux.namespaces", "pid"],
        ),
        (
            "/linux/uidMappings",
            json!([{"size": 1}]),
            &["linux.uidMappings", "size"],
        ),
        (
            "/mounts/0/options",
            json!(["sideways"]),
            &["mounts[0].options[0]", "sideways"],
        ),
        ("/mounts/0/type", json!("ntfs"), &["mounts[0].type", "ntfs"]),
        (
            "/mounts/0/destination",
            json!(""),
            &["mounts[0].destination: missing"],
        ),
        (
            "/hooks",
            json!({"prestart": [{"path": "x"}]}),
            &["hooks.prestart[0].path", "\"x\""],
        ),
        (
            "/hooks",
            json!({"poststop": [{"path": "/x", "timeout": 0}]}),
            &["hooks.poststop[0].timeout", "\"0\""],
        ),
        (
            "/linux/devices",
            json!([{"path": "/dev/x", "type": "z"}]),
            &["linux.devices[0].type", "\"z\""],
        ),
        (
            "/linux/resources/devices/0/access",
            json!("x"),
            &["linux.resources.devices[0].access", "\"x\""],
        ),
        (
            "/linux/maskedPaths",
            json!(["x"]),
            &["linux.maskedPaths[0]", "\"x\""],
        ),
        (
            "/linux/rootfsPropagation",
            json!("up"),
            &["linux.rootfsPropagation", "up"],
        ),
        (
            "/linux/sysctl",
            json!({"kernel.panic": "1"}),
            &["linux.sysctl.kernel.panic", "\"1\""],
        ),
        (
            "/linux/sysctl",
            json!({"kernel.hostname": "other"}),
            &["linux.sysctl.kernel.hostname", "\"other\""],
        ),
        (
            "/linux/sysctl",
            json!({"net/../../x": "1"}),
            &["linux.sysctl.net/../../x"],
        ),
        (
            "/linux/intelRdt",
            json!({"closID": "c"}),
            &["linux.intelRdt", "closID"],
        ),
        (
            "/linux/personality",
            json!({"domain": "LINUX64"}),
            &["linux.personality.domain", "LINUX64"],
        ),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"secs": 5}}),
            &["linux.timeOffsets", "time"],
        ),
        (
            "/linux/mountLabel",
            json!("lab"),
            &["linux.mountLabel", "lab"],
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s"}),
            &["linux.seccomp.listenerPath", "/s"],
        ),
        (
            "/windows",
            json!({"layerFolders": []}),
            &["windows", "layerFolders"],
        ),
    ];
    for (pointer, value, expected) in rows {
        let message = match check(&with(pointer, value.clone())) {
            Ok(()) => panic!("{pointer} = {value} was accepted"),
            Err(error) => error.to_string(),
        };
        for part in *expected {
            assert!(message.contains(part), "{pointer} = {value}: {message}");
        }
    }
}

#[test]
fn namespaced_sysctls_are_accepted() {
    check(&with(
        "/linux/sysctl",
        json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "1", "kernel.domainname": "home"}),
    ))
    .expect("accepted");
}
