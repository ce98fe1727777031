//! Namespaces of others, and hosts with other cgroups.

use caisson_oci_tests::Bundle;
use serde_json::json;

#[test]
fn containers_of_a_pod_share_namespaces_by_path() {
    let mut pod = Bundle::new("sleep 600");
    pod.config["linux"]["sysctl"] =
        json!({"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "100"});
    pod.caisson(&["run", "-d", &pod.id]).succeeded();
    let mut member = Bundle::new(
        "hostname; cat /proc/net/dev | grep -c lo:; cd /proc/sys; cat kernel/shm_rmid_forced fs/mqueue/msg_max",
    )
    .beside(&pod);
    let pid = pod.pid();
    for namespace in member.config["linux"]["namespaces"]
        .as_array_mut()
        .expect("namespaces")
    {
        let file = match namespace["type"].as_str() {
            Some("network") => "net",
            Some("ipc") => "ipc",
            Some("uts") => "uts",
            _ => continue,
        };
        namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
    }
    member.config["hostname"] = json!("");
    let text = member.run().succeeded().stdout;
    assert_eq!(text, "caisson\n1\n1\n100\n");
    let own = |kind: &str, pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let mut other = Bundle::new("sleep 600").beside(&pod);
    other.config["linux"]["namespaces"] = member.config["linux"]["namespaces"].clone();
    other.config["hostname"] = json!("");
    other.caisson(&["run", "-d", &other.id]).succeeded();
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(own(kind, other.pid()), own(kind, pid), "{kind}");
        assert_ne!(
            own(kind, pid),
            own(kind, std::process::id() as i32),
            "{kind} is the host's"
        );
    }
    let done = other.caisson(&["exec", &other.id, "hostname"]).succeeded();
    assert_eq!(done.stdout, "caisson\n");
}

#[test]
fn a_host_with_cgroup_v2_alone_is_served() {
    let bundle = Bundle::new("sleep 600");
    let script =
        "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && cd \"$1\" || exit 9
        c() { \"$0\" --root state \"$@\"; }
        c run -d \"$2\" >/dev/null 2>&1 || exit 8
        cat /sys/fs/cgroup/$2/guest/cgroup.procs | wc -l
        cat /sys/fs/cgroup/$2/kernel/cgroup.procs | wc -l
        c pause \"$2\"
        # A process in an emulated call counts as frozen before Linux can freeze it.
        until grep \"frozen 1\" /sys/fs/cgroup/$2/guest/cgroup.events; do sleep 0.02; done
        c kill \"$2\" KILL; c delete \"$2\"; ls -d /sys/fs/cgroup/$2 2>/dev/null; echo end";
    bundle
        .command(&["list"])
        .stdout(std::process::Stdio::null())
        .status()
        .expect("write config.json");
    let output = std::process::Command::new("unshare")
        .args([
            "-m",
            "sh",
            "-c",
            script,
            &bundle.runtime.program.to_string_lossy(),
        ])
        .arg(&bundle.folder)
        .arg(&bundle.id)
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text,
        "1\n1\nfrozen 1\nend\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    bundle.assert_nothing_left();
}
