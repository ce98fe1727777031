//! Limits, processes and events of running containers.

use caisson_oci_tests::{Bundle, eventually};
use serde_json::{Value, json};

#[test]
fn limits_reach_the_cgroup_and_can_be_updated() {
    let mut bundle = Bundle::new("sleep 600");
    let id = bundle.id.clone();
    bundle.config["linux"]["resources"]["memory"] = json!({"limit": 67_108_864});
    bundle.config["linux"]["resources"]["pids"] = json!({"limit": 33});
    bundle.caisson(&["run", "-d", &id]).succeeded();
    let stats = || -> Value {
        serde_json::from_str(
            &bundle
                .caisson(&["events", "--stats", &id])
                .succeeded()
                .stdout,
        )
        .expect("json")
    };
    let before = stats();
    assert_eq!(before["data"]["memory"]["usage"]["limit"], 67_108_864);
    assert_eq!(before["data"]["pids"]["limit"], 33);
    assert_eq!(before["data"]["pids"]["current"], 1);
    bundle
        .caisson(&["update", "--memory", "134217728", "--pids-limit", "44", &id])
        .succeeded();
    let after = stats();
    assert_eq!(after["data"]["memory"]["usage"]["limit"], 134_217_728);
    assert_eq!(after["data"]["pids"]["limit"], 44);
}

/// `ps` of the host would show the caller's own processes, which a guest's are not.
#[test]
fn ps_takes_options_that_select_nothing() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let shown = bundle
        .caisson(&["ps", id, "-o", "pid,args"])
        .succeeded()
        .stdout;
    assert!(shown.contains("sleep 600"), "{shown}");
}

#[test]
fn events_tell_of_kills_for_lack_of_memory() {
    let script = "for i in 1 2; do dd if=/dev/zero of=/dev/null bs=200M count=1; done; sleep 600";
    let mut bundle = Bundle::new(script);
    let id = bundle.id.clone();
    bundle.config["linux"]["resources"]["memory"] =
        json!({"limit": 33_554_432, "swap": 33_554_432});
    bundle.caisson(&["create", &id]).succeeded();
    let out = bundle.folder.join("events");
    let mut events = bundle
        .command(&["events", "--interval", "60s", &id])
        .stdout(std::fs::File::create(&out).expect("file"))
        .spawn()
        .expect("events");
    let text = || std::fs::read_to_string(&out).expect("file");
    eventually("the first line", || text().contains("stats"));
    bundle.caisson(&["start", &id]).succeeded();
    eventually("both kills", || text().matches("\"oom\"").count() == 2);
    let last = text().lines().last().expect("a line").to_owned();
    let event: Value = serde_json::from_str(&last).expect("json");
    assert_eq!((&event["type"], &event["id"]), (&json!("oom"), &json!(id)));
    bundle.caisson(&["delete", "--force", &id]).succeeded();
    assert!(events.wait().expect("events ends").success());
}
