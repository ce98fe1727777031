//! The real binary on real bundles. Needs root, cgroups, /dev/fuse and busybox-static.

mod bad_input;
mod descriptors;
mod devices;
mod fields;
mod host;
mod lifecycle;
mod mounting;
mod nested;
mod net_devices;
mod rootfs;
mod systemd;
mod user_namespace;
