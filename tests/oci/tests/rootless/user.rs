//! An ordinary user with a home, subordinate ids and a runtime directory, removed when the value is dropped.
//!
//! The user sees /dev/fuse and /dev/net/tun as udev sets them up, accessible to everybody. Where this machine has them
//! for root alone, that holds in the mount namespace of the user's processes only.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use caisson_oci_tests::bundle::copy_program;
use caisson_oci_tests::{Done, Runtime};

#[derive(Debug)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// The first of 65536.
    pub subordinate: u32,
}

fn execute(program: &str, arguments: &[&str]) -> Done {
    let output = Command::new(program).args(arguments).output();
    Done::from(output.unwrap_or_else(|error| panic!("{program}: {error}")))
}

impl User {
    pub fn new() -> User {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("caisson{}-{number}", std::process::id());
        execute("useradd", &["--create-home", "--shell", "/bin/sh", &name]).succeeded();
        let id = |option: &str| {
            execute("id", &[option, &name])
                .succeeded()
                .stdout
                .trim()
                .parse()
        };
        let ranges = std::fs::read_to_string("/etc/subuid").expect("subuid");
        let own = ranges
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:")));
        let first = own.and_then(|range| range.split(':').next()?.parse().ok());
        let user = User {
            uid: id("-u").expect("uid"),
            gid: id("-g").expect("gid"),
            subordinate: first.expect("subordinate ids"),
            name,
        };
        std::fs::create_dir_all("/run/user").expect("mkdir");
        user.own_folder(&user.runtime());
        user.own_folder(&user.home().join("bin"));
        copy_program(
            &Runtime::caisson().program,
            &user.home().join("bin/caisson"),
        );
        user
    }

    pub fn home(&self) -> PathBuf {
        Path::new("/home").join(&self.name)
    }

    fn runtime(&self) -> PathBuf {
        Path::new("/run/user").join(self.uid.to_string())
    }

    fn own_folder(&self, path: &Path) {
        std::fs::create_dir_all(path).expect("mkdir");
        self.give(path);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(path, mode).expect("chmod");
    }

    fn give(&self, path: &Path) {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).expect("chown");
    }

    /// A file of the user's with the content of another.
    pub fn copy(&self, from: &Path, name: &str) {
        let to = self.home().join(name);
        copy_program(from, &to);
        self.give(&to);
    }

    /// A program of the user's.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.home().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("write");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("chmod");
        self.give(&path);
    }

    /// A cgroup for the user's processes below one that is the user's, which gets all controllers of `root`.
    pub fn delegate(&self, root: &Path) -> PathBuf {
        let given = root.join(&self.name);
        let own = given.join("own");
        std::fs::create_dir_all(&own).expect("mkdir");
        for folder in [root, &given] {
            let file = folder.join("cgroup.subtree_control");
            std::fs::write(file, "+memory +pids +cpu").expect("controllers");
        }
        for folder in [&given, &own] {
            self.give(folder);
            for file in ["cgroup.procs", "cgroup.subtree_control"] {
                self.give(&folder.join(file));
            }
        }
        own
    }

    /// Take it back.
    pub fn undelegate(&self, own: &Path) {
        for folder in [Some(own), own.parent()].into_iter().flatten() {
            std::fs::remove_dir(folder).expect("rmdir");
        }
    }

    /// As [`User::run`], in a cgroup.
    pub fn run_in(&self, cgroup: &Path, script: &str) -> Done {
        let join = format!("echo $$ > {}/cgroup.procs;", cgroup.display());
        self.run_after(&join, script)
    }

    /// Run a shell script as the user, in its home. Output goes through files: what stays behind keeps it open.
    pub fn run(&self, script: &str) -> Done {
        self.run_after("", script)
    }

    /// The same after what root does.
    fn run_after(&self, before: &str, script: &str) -> Done {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| std::env::temp_dir().join(format!("{}-{number}.{name}", self.name));
        let (out, err) = (file("out"), file("err"));
        let create = |path: &Path| std::fs::File::create(path).expect("output file");
        let home = self.home();
        let (runtime, path) = (
            self.runtime(),
            format!("{}/bin:/usr/bin:/bin:/usr/sbin:/sbin", home.display()),
        );
        let inner = format!(
            "exec setpriv --reuid {} --regid {} --init-groups env -i HOME={} USER={} XDG_RUNTIME_DIR={} PATH={path} \
             sh -c \"$1\"",
            self.uid,
            self.gid,
            home.display(),
            self.name,
            runtime.display(),
        );
        let status = Command::new("unshare")
            .args(["--mount", "--propagation", "slave", "sh", "-c"])
            .arg(format!(
                "{DEVICES} {before} cd {} && {inner}",
                home.display()
            ))
            .args(["sh", script])
            .stdin(Stdio::null())
            .stdout(create(&out))
            .stderr(create(&err))
            .status()
            .expect("unshare");
        let take = |path: &Path| {
            let text = std::fs::read(path).expect("output");
            std::fs::remove_file(path).expect("remove");
            String::from_utf8_lossy(&text).into_owned()
        };
        Done {
            status: status.code().unwrap_or(-1),
            stdout: take(&out),
            stderr: take(&err),
        }
    }

    /// No sandbox of this user runs, and no state is left.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let states = || {
            self.runtime()
                .join("caisson")
                .read_dir()
                .map_or(0, Iterator::count)
        };
        caisson_oci_tests::eventually("no state and no sandbox is left", || {
            let sandboxes = self
                .processes()
                .into_iter()
                .filter(|(_, name)| name.starts_with("caisson"));
            states() == 0 && sandboxes.count() == 0
        });
    }

    /// Pids and names of the processes whose files belong to the user or its subordinate ids.
    fn processes(&self) -> Vec<(i32, String)> {
        use std::os::unix::fs::MetadataExt;
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let ours = |uid: u32| uid == self.uid || uid.wrapping_sub(self.subordinate) < 65536;
        entries
            .filter(|entry| entry.metadata().is_ok_and(|meta| ours(meta.uid())))
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                Some((
                    pid,
                    std::fs::read_to_string(entry.path().join("comm")).ok()?,
                ))
            })
            .collect()
    }
}

/// Both devices as udev has them, where they exist. A node on a tmpfs that nobody else sees is bound over each.
const DEVICES: &str = "set -e; mount -t tmpfs none /mnt; \
    for device in fuse:10:229 net/tun:10:200; do name=${device%%:*}; number=${device#*:}; \
    if [ -e /dev/$name ] && [ -z \"$(find /dev/$name -perm -o=rw)\" ]; then \
    mknod -m 666 /mnt/node c ${number%:*} ${number#*:}; mount --bind /mnt/node /dev/$name; rm /mnt/node; fi; done; \
    umount -l /mnt; set +e;";

impl Drop for User {
    fn drop(&mut self) {
        // Podman leaves a process that holds its namespaces, and a failed test more than that.
        for (pid, _) in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // One that has ended needs no signal.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        execute("userdel", &["--remove", &self.name]);
        std::fs::remove_dir_all(self.home()).ok();
        std::fs::remove_dir_all(self.runtime()).ok();
    }
}
