//! The real binary on real bundles. Needs root, cgroups, /dev/fuse and busybox-static.

mod bad_input;
mod fields;
mod host;
mod lifecycle;
mod nested;
mod rootfs;
mod user_namespace;
