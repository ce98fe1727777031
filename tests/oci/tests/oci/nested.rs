//! The same tests on a host that has cgroup v2 alone and an older kernel, which the machine at hand may not be.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use caisson_nested::Job;
use caisson_oci_tests::Runtime;

/// Set inside, where this test is not to begin anew.
const INSIDE: &str = "CAISSON_OCI_TESTS_INSIDE";

/// What depends on the version of cgroups, or on what the kernel has.
const CHOSEN: [&str; 11] = [
    "lifecycle::run_reports_output_and_status_and_leaves_nothing",
    "lifecycle::paused_containers_are_seen_resumed_and_killed",
    "lifecycle::exec::exec_gives_status_output_user_environment_and_directory",
    "lifecycle::usage::limits_reach_the_cgroup_and_can_be_updated",
    "lifecycle::killed::a_killed_sandbox_takes_its_guests_along",
    "devices::linux_is_told_of_the_rules",
    "fields::devices_with_their_owner_and_mode",
    "fields::a_seccomp_profile_is_enforced",
    "fields::process_fields",
    "user_namespace::ids_are_the_containers_inside_and_mapped_on_disk",
    "user_namespace::capabilities_hold_for_what_is_the_containers",
];

#[test]
fn the_same_on_cgroup_v2_and_an_older_kernel() {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let tests = std::env::current_exe().expect("path of the running test");
    let mut job = Job::new([tests])
        .argument("--exact")
        .argument("--test-threads=1");
    for test in CHOSEN {
        job = job.argument(test);
    }
    let job = job
        .env(INSIDE, "1")
        .env("CAISSON_BIN", Runtime::caisson().program)
        .limit(Duration::from_secs(480));
    let mut lines = Vec::new();
    let status = caisson_nested::run(&job, &AtomicBool::new(false), &mut |line| {
        lines.push(line.to_owned());
    })
    .expect("the machine reports");
    assert_eq!(status, 0, "{}", lines.join("\n"));
    let all = format!("{} passed; 0 failed", CHOSEN.len());
    assert!(
        lines.iter().any(|line| line.contains(&all)),
        "{}",
        lines.join("\n")
    );
}
