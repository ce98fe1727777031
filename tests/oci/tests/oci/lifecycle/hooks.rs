//! Hooks of config.json.

use std::os::unix::fs::PermissionsExt;

use caisson_oci_tests::Bundle;
use serde_json::{Value, json};

#[test]
fn hooks_run_in_order_with_the_state_and_a_failing_one_undoes_the_container() {
    let mut bundle = Bundle::new("true");
    let log = bundle.folder.join("hooks.log");
    let script = bundle.folder.join("hook.sh");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nread -r state\necho \"$1 $state\" >> {}\nexit ${{2:-0}}\n",
            log.display()
        ),
    )
    .expect("write");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let hook = |name: &str, status: &str| json!([{"path": script, "args": ["hook", name, status], "env": ["PATH=/bin:/usr/bin"]}]);
    let kinds = [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ];
    for kind in kinds {
        bundle.config["hooks"][kind] = hook(kind, "0");
    }
    assert_eq!(bundle.run().status, 0);
    let text = std::fs::read_to_string(&log).expect("log");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, kinds);
    let state = |line: &str| {
        serde_json::from_str::<Value>(line.split_once(' ').expect("state").1).expect("json")
    };
    let states: Vec<Value> = text.lines().map(state).collect();
    let statuses: Vec<&str> = states
        .iter()
        .filter_map(|state| state["status"].as_str())
        .collect();
    assert_eq!(
        statuses,
        ["creating", "creating", "creating", "running", "stopped"]
    );
    assert!(
        states[0]["pid"].as_i64().is_some_and(|pid| pid > 1)
            && states[0]["id"] == bundle.id.as_str()
    );
    std::fs::remove_file(&log).expect("remove");
    bundle.config["hooks"]["createRuntime"] = hook("createRuntime", "4");
    bundle
        .caisson(&["create", &bundle.id])
        .refused(&["hooks.createRuntime[0]", "exit status 4"]);
    let text = std::fs::read_to_string(&log).expect("log");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["prestart", "createRuntime", "poststop"]);
    bundle.assert_nothing_left();
}

#[test]
fn start_container_hooks_run_inside_before_the_program() {
    let mut bundle = Bundle::new("cat /tmp/mark; echo program");
    bundle.config["root"]["readonly"] = json!(false);
    let script = "cat > /tmp/mark; echo >> /tmp/mark; [ \"$WORD\" = here ] || exit 3; exit $0";
    let hook = |status: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", script, status], "env": ["PATH=/bin", "WORD=here"]}]);
    bundle.config["hooks"]["startContainer"] = hook("0");
    let text = bundle.run().succeeded().stdout;
    let (state, rest) = text.split_once('\n').expect("two lines");
    let state: Value = serde_json::from_str(state).expect("the hook's standard input");
    assert_eq!(
        (state["status"].as_str(), state["id"].as_str()),
        (Some("created"), Some(bundle.id.as_str()))
    );
    assert_eq!(rest, "program\n");
    bundle.config["hooks"]["startContainer"] = hook("6");
    bundle.caisson(&["create", &bundle.id]).succeeded();
    bundle
        .caisson(&["start", &bundle.id])
        .refused(&["hooks.startContainer[0]", "exit status 6"]);
    assert_eq!(bundle.status(), "stopped");
    bundle.caisson(&["delete", &bundle.id]).succeeded();
    bundle.assert_nothing_left();
}
