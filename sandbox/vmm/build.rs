//! Compiles the seccomp profiles of the monitor's threads.

fn main() {
    caisson_profile::compile("vmm-devices");
    caisson_profile::compile("vmm-vcpu");
}
