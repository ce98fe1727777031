//! runc and crun as the reference.

use std::sync::OnceLock;

use crate::{Bundle, Done, Runtime};

/// The reference runtimes that can run a container on this host (crun cannot where cgroups are hybrid).
pub fn runtimes() -> &'static [Runtime] {
    static FOUND: OnceLock<Vec<Runtime>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let works = |runtime: &Runtime| Bundle::under(runtime.clone(), "true").run().status == 0;
        ["runc", "crun"]
            .into_iter()
            .filter_map(Runtime::installed)
            .filter(works)
            .collect()
    })
}

/// Run the script in a bundle that `prepare` has changed, under caisson and the references. Where those agree on
/// status and standard output, caisson's must be the same. Returns what caisson did.
#[track_caller]
pub fn assert_agreed(script: &str, prepare: impl Fn(&mut Bundle)) -> Done {
    let outcome = |runtime: &Runtime| {
        let mut bundle = Bundle::under(runtime.clone(), script);
        prepare(&mut bundle);
        bundle.run()
    };
    let ours = outcome(&Runtime::caisson());
    let theirs: Vec<Done> = runtimes().iter().map(outcome).collect();
    let Some((first, others)) = theirs.split_first() else {
        return ours;
    };
    let same = |done: &Done| (done.status, &done.stdout) == (first.status, &first.stdout);
    if others.iter().all(same) {
        assert!(
            same(&ours),
            "{}: status {}, stdout {:?}, stderr {:?}\ncaisson: status {}, stdout {:?}, stderr {:?}",
            runtimes()[0].name,
            first.status,
            first.stdout,
            first.stderr,
            ours.status,
            ours.stdout,
            ours.stderr
        );
    }
    ours
}
