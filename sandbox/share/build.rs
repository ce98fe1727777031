//! Compiles the seccomp profile of the server.

fn main() {
    caisson_profile::compile("share");
}
