//! All tests that need KVM.

#[path = "machine/bad_input.rs"]
mod bad_input;
#[path = "machine/balloon.rs"]
mod balloon;
#[path = "machine/block.rs"]
mod block;
#[path = "machine/container.rs"]
mod container;
#[path = "machine/control.rs"]
mod control;
#[path = "machine/growth.rs"]
mod growth;
#[path = "machine/guest_files.rs"]
mod guest_files;
#[path = "machine/jail.rs"]
mod jail;
#[path = "machine/kernel.rs"]
mod kernel;
#[path = "machine/liar.rs"]
mod liar;
#[path = "machine/net.rs"]
mod net;
#[path = "machine/network.rs"]
mod network;
#[path = "machine/pod.rs"]
mod pod;
#[path = "machine/redirect.rs"]
mod redirect;
#[path = "machine/share.rs"]
mod share;
#[path = "machine/vsock.rs"]
mod vsock;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test by its name.
type Case = (&'static str, fn());

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if caisson_vm_tests::guest::kernel().is_none() {
        println!("no guest kernel (`cargo xtask guest` builds one): nothing is tested");
        println!("test result: ok. 0 passed; 0 failed; nothing ran");
        return ExitCode::SUCCESS;
    }
    if !arguments.list && !caisson_vm_tests::host::has_kvm() {
        return caisson_vm_tests::host::run_in_nested_machine();
    }
    let containers: Vec<Case> = if std::env::var_os("CAISSON_GUEST").is_some() {
        [
            container::CASES,
            growth::CONTAINER_CASES,
            kernel::CASES,
            liar::CASES,
            guest_files::CASES,
            network::CASES,
            pod::CASES,
            share::CASES,
        ]
        .concat()
    } else {
        println!("no agent (CAISSON_GUEST names its folder): no containers are tested");
        Vec::new()
    };
    let trials = [
        bad_input::CASES,
        balloon::CASES,
        block::CASES,
        &containers,
        control::CASES,
        growth::CASES,
        jail::CASES,
        net::CASES,
        redirect::CASES,
        vsock::CASES,
    ]
    .concat()
    .into_iter()
    .map(|(name, case): Case| {
        Trial::test(name, move || {
            case();
            Ok(())
        })
    })
    .collect();
    // The nested machine has one processor, which two guests would only slow down.
    let arguments = Arguments {
        test_threads: Some(1),
        ..arguments
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}
