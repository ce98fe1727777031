//! A containerd of one test: its own root, state, socket and namespace, ended with the test.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use caisson_images::Image;
use containerd_shim_protos::TaskClient;
use containerd_shim_protos::api::ConnectRequest;
use containerd_shim_protos::ttrpc::Client;
use containerd_shim_protos::ttrpc::context::with_duration;

use crate::config::{self, Plugins};
use crate::ctr::Ctr;
use crate::events::Events;
use crate::handler::{Handler, binaries};
use crate::release::Release;
use crate::{assert_nothing_left, eventually, leftovers, soon};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct Containerd {
    pub handler: Handler,
    /// What answers at the moment.
    release: Cell<Release>,
    plugins: Plugins,
    folder: PathBuf,
    /// Makes ids unlike those of tests that run at the same time: state and sockets are shared.
    prefix: String,
    process: RefCell<Option<Child>>,
    ids: RefCell<Vec<String>>,
    stopped_clean: Cell<bool>,
}

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| caisson_images::busybox().expect("the busybox image"))
}

impl Containerd {
    /// # Panics
    /// If containerd does not come up or does not take the image.
    #[must_use]
    pub fn start(release: Release, handler: Handler) -> Containerd {
        Containerd::start_with(release, handler, Plugins::Task)
    }

    /// # Panics
    /// If containerd does not come up or does not take the images.
    #[must_use]
    pub fn start_with(release: Release, handler: Handler, plugins: Plugins) -> Containerd {
        let prefix = format!(
            "t{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(format!("caisson-shim-{prefix}"));
        fs::create_dir_all(&folder).expect("a folder for the test");
        let containerd = Containerd {
            handler,
            release: Cell::new(release),
            plugins,
            folder,
            prefix,
            process: RefCell::default(),
            ids: RefCell::default(),
            stopped_clean: Cell::new(false),
        };
        containerd.launch();
        containerd.import(image());
        if plugins == Plugins::Cri {
            containerd.import(&caisson_images::pause().expect("the pause image"));
        }
        containerd
    }

    fn import(&self, image: &Image) {
        let archive = image.archive.to_string_lossy();
        self.ctr().run(&["images", "import", &archive]).success();
    }

    /// Start the daemon, again after [`Containerd::kill`].
    ///
    /// # Panics
    /// If it does not answer.
    pub fn launch(&self) {
        let config = self.folder.join("config.toml");
        let text = config::text(&self.folder, self.plugins);
        fs::write(&config, text).expect("containerd's configuration");
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log())
            .expect("containerd's log");
        let release = self.release.get();
        let program = release.program("containerd");
        let mut command = match self.plugins {
            Plugins::Task => Command::new(program),
            Plugins::Cri => in_own_network(&program),
        };
        command
            .arg("--config")
            .arg(&config)
            .env("PATH", release.search_path(Some(binaries())))
            .env_remove("CAISSON_RUNTIME")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("containerd's log"))
            .stderr(log)
            .process_group(0);
        if let Some(runtime) = self.handler.runtime_override() {
            command.env("CAISSON_RUNTIME", runtime);
        }
        *self.process.borrow_mut() = Some(
            command
                .spawn()
                .expect("containerd: apt-get install containerd"),
        );
        eventually("containerd answers", || {
            self.ctr().run(&["version"]).status == Some(0)
        });
    }

    /// Start the daemon of another version in the place of one that was killed.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn upgrade(&self, release: Release) {
        self.release.set(release);
        self.launch();
    }

    #[must_use]
    pub fn release(&self) -> Release {
        self.release.get()
    }

    /// Kill the daemon without any warning; containers go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&self) {
        let mut child = self.process.borrow_mut().take().expect("containerd runs");
        child.kill().expect("kill containerd");
        child.wait().expect("wait for containerd");
    }

    /// A name that no other test uses.
    #[must_use]
    pub fn unique(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// containerd's namespace of the containers.
    #[must_use]
    pub fn namespace(&self) -> &'static str {
        match self.plugins {
            Plugins::Task => "default",
            Plugins::Cri => "k8s.io",
        }
    }

    /// The daemon's pid.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process
            .borrow()
            .as_ref()
            .expect("containerd runs")
            .id()
    }

    /// Check for container `id`, which the test did not name itself, as for the others.
    pub fn expect_gone(&self, id: &str) {
        self.ids.borrow_mut().push(id.to_owned());
    }

    /// A new id that nobody else uses.
    pub fn id(&self, name: &str) -> String {
        let id = self.unique(name);
        self.ids.borrow_mut().push(id.clone());
        id
    }

    #[must_use]
    pub fn ctr(&self) -> Ctr {
        Ctr {
            program: self.release.get().program("ctr"),
            address: self.address(),
            namespace: self.namespace(),
        }
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.folder
            .join("containerd.sock")
            .to_string_lossy()
            .into_owned()
    }

    /// `ctr run` arguments: runtime, `options`, image, `id`, `command`.
    #[must_use]
    pub fn run_arguments<'a>(
        &'a self,
        options: &[&'a str],
        id: &'a str,
        command: &[&'a str],
    ) -> Vec<&'a str> {
        let mut arguments = vec!["run", "--runtime", self.handler.runtime()];
        arguments.extend(options);
        arguments.push(&image().reference);
        arguments.push(id);
        arguments.extend(command);
        arguments
    }

    /// Watch containerd's events from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::watch(&self.ctr())
    }

    /// A file or folder of this test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    #[must_use]
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.folder
            .join("state/io.containerd.runtime.v2.task")
            .join(self.namespace())
            .join(id)
    }

    /// A client of the shim that serves `id`, past containerd.
    ///
    /// # Panics
    /// If the shim does not answer.
    #[must_use]
    pub fn shim(&self, id: &str) -> TaskClient {
        let address =
            fs::read_to_string(self.bundle(id).join("address")).expect("the shim's address");
        TaskClient::new(Client::connect(&address).expect("connect to the shim"))
    }

    /// The pid of the shim that serves `id`, if one does.
    #[must_use]
    pub fn shim_pid(&self, id: &str) -> Option<u32> {
        let address = fs::read_to_string(self.bundle(id).join("address")).ok()?;
        let shim = TaskClient::new(Client::connect(address.trim()).ok()?);
        let request = ConnectRequest {
            id: id.to_owned(),
            ..ConnectRequest::default()
        };
        Some(shim.connect(with_duration(soon()), &request).ok()?.shim_pid)
    }

    /// The pid of the container's process, as containerd lists it.
    #[must_use]
    pub fn task_pid(&self, id: &str) -> Option<u32> {
        self.task(id)?.1.parse().ok()
    }

    /// `RUNNING`, `STOPPED`, …, as containerd lists it.
    #[must_use]
    pub fn task_status(&self, id: &str) -> Option<String> {
        Some(self.task(id)?.2)
    }

    fn task(&self, id: &str) -> Option<(String, String, String)> {
        let list = self.ctr().run(&["tasks", "ls"]).stdout_text();
        list.lines().find_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let task = (words.next()?, words.next()?, words.next()?);
            (task.0 == id).then_some(task)
        })
    }

    /// containerd's log, which holds the shims' logs too.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("containerd.log")
    }

    /// Stop the daemon and check that the test left nothing.
    ///
    /// # Panics
    /// If it left anything.
    pub fn stop_clean(self) {
        for id in self.ids.borrow().iter() {
            self.remove(id);
            assert_nothing_left(&self, id);
        }
        self.stopped_clean.set(true);
    }

    fn remove(&self, id: &str) {
        let ctr = self.ctr();
        ctr.run(&["tasks", "rm", "-f", id]);
        ctr.run(&["containers", "rm", id]);
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// `program` in a network namespace of its own, for bridges and for the streaming server.
fn in_own_network(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "sh",
        "-c",
        "ip link set lo up && exec \"$0\" \"$@\"",
    ]);
    command.arg(program);
    command
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if !self.stopped_clean.get() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("containerd's log ends with:");
            tail.iter()
                .rev()
                .for_each(|line| eprintln!("  {}", line.trim_matches('\0')));
            if self.process.borrow().is_none() {
                // The test killed it and did not get to starting it again.
                let _failing_anyway =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.launch()));
            }
            self.ids.borrow().iter().for_each(|id| self.remove(id));
        }
        if let Some(mut child) = self.process.borrow_mut().take() {
            let _already_dead = child.kill();
            let _reaped = child.wait();
        }
        leftovers::sweep(&self.folder);
    }
}
