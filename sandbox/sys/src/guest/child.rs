//! What the child does between `clone` and its first `execve`: give everything up, step by step.
//!
//! Raw system calls only, no allocation, no panic: other threads of the parent may have held any lock
//! when the child was forked.

use std::ffi::CStr;

use super::handshake::Handshake;
use super::{MAX_PRESERVED, Reach, Setup};

pub(super) enum Origin {
    /// First process, born into new namespaces.
    Init { new_uts: bool },
    /// Later process, which enters the namespaces of `init` (a pidfd).
    Into { init: i32 },
}

pub(super) struct Plan<'a> {
    pub(super) setup: &'a Setup<'a>,
    pub(super) origin: Origin,
    pub(super) handshake: &'a Handshake,
    pub(super) alive_read: i32,
    pub(super) alive_write: i32,
    pub(super) identity: Identity,
}

/// Who the guest process is to the host kernel.
#[derive(Clone, Copy)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups can be dropped.
    pub(super) setgroups: bool,
    /// The app kernel has rights in the container's user namespace only.
    pub(super) namespaced: bool,
}

macro_rules! steps {
    ($($variant:ident $text:literal,)*) => {
        #[derive(Clone, Copy)]
        enum Step { $($variant,)* }
        /// What each step is called in an error.
        pub(super) const STEPS: &[&str] = &[$($text,)*];
    };
}

steps! {
    Cgroup "join the container's cgroup",
    Enter "enter the sandbox's namespaces",
    CgroupNamespace "unshare the cgroup namespace",
    ProcContext "open a context of procfs for the pid namespace",
    EmptyRoot "mount the guest's empty root",
    Pivot "pivot_root into the guest's empty root",
    Hostname "sethostname",
    Stdio "arrange standard input, output and error",
    Terminal "TIOCSCTTY on the console",
    Descriptors "close inherited descriptors",
    NoNewPrivileges "PR_SET_NO_NEW_PRIVS",
    Landlock "landlock_restrict_self",
    Bounding "drop the capability bounding set",
    Identity "change to the guest's host uid and gid",
    Capabilities "drop all capabilities",
    MemoryPolicy "set the memory policy",
    Personality "change the personality",
    DeathSignal "PR_SET_PDEATHSIG",
    Orphaned "the app kernel ended during set-up",
    Filter "install the seccomp filter",
}

struct Child<'a>(&'a Plan<'a>);

impl Child<'_> {
    fn fail(&self, step: Step) -> ! {
        // SAFETY: `__errno_location` always returns a valid pointer to this thread's errno.
        let errno = unsafe { *libc::__errno_location() };
        self.0.handshake.failed(step as usize, errno);
        // SAFETY: ends this process at once, without running anything of the parent's.
        unsafe { libc::_exit(127) }
    }

    fn need(&self, step: Step, value: i64) -> i64 {
        if value == -1 { self.fail(step) } else { value }
    }
}

/// Whether the other end of the life line is closed everywhere.
fn hung_up(alive: i32) -> bool {
    let mut poll = libc::pollfd {
        fd: alive,
        events: 0,
        revents: 0,
    };
    // SAFETY: a pointer to one live pollfd, and integers.
    unsafe { libc::poll(&raw mut poll, 1, 0) != 0 }
}

/// Never returns: the process ends in its first `execve`, or by `_exit`.
pub(super) fn run(plan: &Plan<'_>) -> ! {
    let child = Child(plan);
    // SAFETY: closes a descriptor of this process' own copy of the table.
    unsafe { libc::close(plan.alive_write) };
    for cgroup in plan.setup.cgroups {
        use std::os::fd::AsRawFd;
        // SAFETY: writes one byte from a static string.
        child.need(
            Step::Cgroup,
            unsafe { libc::write(cgroup.as_raw_fd(), c"0".as_ptr().cast(), 1) } as i64,
        );
    }
    if !plan.handshake.wait_for_parent(|| hung_up(plan.alive_read)) {
        child.fail(Step::Orphaned);
    }
    let mut context = -1;
    match plan.origin {
        Origin::Init { new_uts } => {
            context = child.own_namespaces();
            child.empty_root();
            if new_uts {
                child.hostname();
            }
        }
        Origin::Into { init } => child.enter(init),
    }
    child.memory_policy();
    child.session_and_stdio();
    let (landlock, alive) = child.keep_only(context);
    child.give_up_rights(landlock);
    child.die_with_parent(alive);
    child.reset_signals();
    child.first_exec()
}

impl Child<'_> {
    /// Returns a context of procfs for this pid namespace. The app kernel creates it: a pid namespace that was
    /// joined belongs to a user namespace in which this process may do nothing.
    fn own_namespaces(&self) -> i32 {
        // SAFETY: unshares a namespace of this single-threaded process.
        self.need(
            Step::CgroupNamespace,
            unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into(),
        );
        self.fsopen(Step::ProcContext, c"proc")
    }

    fn fsopen(&self, step: Step, kind: &CStr) -> i32 {
        const FSOPEN_CLOEXEC: u32 = 1;
        // SAFETY: `kind` is NUL-terminated and static.
        self.need(step, unsafe {
            libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC)
        }) as i32
    }

    /// fsopen(2) and FSCONFIG_CMD_CREATE.
    fn context(&self, step: Step, kind: &CStr) -> i32 {
        const FSCONFIG_CMD_CREATE: u32 = 6;
        let fd = self.fsopen(step, kind);
        // SAFETY: CREATE takes neither key nor value.
        self.need(step, unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                fd,
                FSCONFIG_CMD_CREATE,
                0usize,
                0usize,
                0,
            )
        });
        fd
    }

    /// Replace the inherited mount tree by one empty, read-only tmpfs.
    fn empty_root(&self) {
        const FSMOUNT_CLOEXEC: u32 = 1;
        const RDONLY_NOSUID_NODEV_NOEXEC: u32 = 1 | 2 | 4 | 8;
        const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
        let none = std::ptr::null::<libc::c_char>();
        let step = Step::EmptyRoot;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: only propagation changes; the target is a static string and the rest is null.
        self.need(
            step,
            unsafe { libc::mount(none, c"/".as_ptr(), none, private, none.cast()) }.into(),
        );
        let context = self.context(step, c"tmpfs");
        let attributes = RDONLY_NOSUID_NODEV_NOEXEC;
        // SAFETY: takes integers.
        let mount = self.need(step, unsafe {
            libc::syscall(libc::SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes)
        }) as i32;
        let empty = c"".as_ptr();
        // SAFETY: both paths are static strings.
        self.need(step, unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                mount,
                empty,
                libc::AT_FDCWD,
                c"/".as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        });
        let step = Step::Pivot;
        // SAFETY: takes an integer.
        self.need(step, unsafe { libc::fchdir(mount) }.into());
        let here = c".".as_ptr();
        // SAFETY: both paths are static strings; see pivot_root(2), "pivot_root(".", ".")".
        self.need(step, unsafe {
            libc::syscall(libc::SYS_pivot_root, here, here)
        });
        // SAFETY: the path is a static string.
        self.need(
            step,
            unsafe { libc::umount2(here, libc::MNT_DETACH) }.into(),
        );
        // SAFETY: the path is a static string.
        self.need(step, unsafe { libc::chdir(c"/".as_ptr()) }.into());
    }

    fn hostname(&self) {
        let name = self.0.setup.hostname.to_bytes();
        // SAFETY: pointer and length describe a live slice.
        self.need(
            Step::Hostname,
            unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into(),
        );
    }

    /// The user namespace comes last: in it the process has no rights over the others any more.
    fn enter(&self, init: i32) {
        let others = libc::CLONE_NEWNS
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        for kinds in [others, libc::CLONE_NEWUSER] {
            // SAFETY: takes integers.
            self.need(Step::Enter, unsafe { libc::setns(init, kinds) }.into());
        }
    }

    fn memory_policy(&self) {
        let Some(policy) = self.0.setup.memory_policy else {
            return;
        };
        // Linux counts one less than it is told.
        let bits = policy.nodes.len() * 64 + 1;
        let (nodes, bits) = if policy.nodes.is_empty() {
            (std::ptr::null(), 0)
        } else {
            (policy.nodes.as_ptr(), bits)
        };
        // SAFETY: reads as many bits, less one, of a live slice as it has, or none.
        self.need(Step::MemoryPolicy, unsafe {
            libc::syscall(libc::SYS_set_mempolicy, policy.mode, nodes, bits)
        });
    }

    fn session_and_stdio(&self) {
        use std::os::fd::AsRawFd;
        // SAFETY: no arguments. It fails only for a process group leader, which a new child is not.
        unsafe { libc::setsid() };
        // First above the standard numbers, so that no source is overwritten before it is used.
        let mut high = [0i32; 3];
        for (slot, source) in high.iter_mut().zip(&self.0.setup.stdio) {
            // SAFETY: takes integers.
            *slot = self.need(
                Step::Stdio,
                unsafe { libc::fcntl(source.as_raw_fd(), libc::F_DUPFD_CLOEXEC, KEPT_FROM) }.into(),
            ) as i32;
        }
        for (number, source) in (0..).zip(high) {
            // SAFETY: takes integers.
            self.need(Step::Stdio, unsafe { libc::dup2(source, number) }.into());
            // SAFETY: takes an integer; the duplicate is not needed any more.
            unsafe { libc::close(source) };
        }
        if self.0.setup.terminal {
            // SAFETY: TIOCSCTTY takes an integer argument.
            self.need(
                Step::Terminal,
                unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }.into(),
            );
        }
    }

    /// Close everything but standard input, output and error, what is preserved behind them, the rule set, the
    /// life line and the procfs context; returns the rule set and the life line.
    fn keep_only(&self, context: i32) -> (i32, i32) {
        use std::os::fd::AsRawFd;
        let own = [
            self.0.alive_read,
            self.0.setup.landlock.map_or(-1, |fd| fd.as_raw_fd()),
            context,
        ];
        let preserved = self.0.setup.preserved.iter().map(|fd| fd.as_raw_fd());
        let mut kept = [-1; OWN + MAX_PRESERVED];
        let mut last = KEPT_FROM - 1;
        for (slot, source) in kept.iter_mut().zip(own.into_iter().chain(preserved)) {
            if source < 0 {
                continue;
            }
            // SAFETY: takes integers.
            *slot = self.need(
                Step::Descriptors,
                unsafe { libc::fcntl(source, libc::F_DUPFD_CLOEXEC, last + 1) }.into(),
            ) as i32;
            last = *slot;
        }
        let (own, preserved) = kept.split_at(OWN);
        let mut first = 3;
        for source in preserved.iter().filter(|source| **source >= 0) {
            // SAFETY: takes integers; whatever had the number has been duplicated if it is still needed.
            self.need(
                Step::Descriptors,
                unsafe { libc::dup2(*source, first) }.into(),
            );
            first += 1;
        }
        // SAFETY: takes integers; the ranges leave the duplicates and the guest's own numbers alone.
        unsafe {
            libc::syscall(libc::SYS_close_range, first, KEPT_FROM - 1, 0);
            libc::syscall(libc::SYS_close_range, last + 1, u32::MAX, 0);
        }
        for number in KEPT_FROM..=last {
            if !own.contains(&number) {
                // SAFETY: takes an integer.
                unsafe { libc::close(number) };
            }
        }
        if own[2] >= 0 {
            self.0.handshake.offer_proc_context(own[2]);
        }
        (own[1], own[0])
    }

    fn give_up_rights(&self, landlock: i32) {
        // SAFETY: this and the following calls take integers, or pointers to live locals.
        unsafe {
            if let Some(personality) = self.0.setup.personality {
                self.need(
                    Step::Personality,
                    libc::personality(personality.into()).into(),
                );
            }
            self.need(
                Step::NoNewPrivileges,
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into(),
            );
            if landlock >= 0 {
                self.need(
                    Step::Landlock,
                    libc::syscall(libc::SYS_landlock_restrict_self, landlock, 0),
                );
                libc::close(landlock);
            }
            let mut capability = 0;
            while libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) >= 0 {
                self.need(
                    Step::Bounding,
                    libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0).into(),
                );
                capability += 1;
            }
            let Identity { uid, gid, .. } = self.0.identity;
            if self.0.identity.setgroups {
                self.need(
                    Step::Identity,
                    libc::syscall(libc::SYS_setgroups, 0, 0usize),
                );
            }
            self.need(
                Step::Identity,
                libc::syscall(libc::SYS_setresgid, gid, gid, gid),
            );
            self.need(
                Step::Identity,
                libc::syscall(libc::SYS_setresuid, uid, uid, uid),
            );
            let header = [0x2008_0522u32, 0];
            let none = [0u32; 6];
            self.need(
                Step::Capabilities,
                libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()),
            );
            if self.0.identity.namespaced {
                // Until its first exec the memory of a process that `caisson exec` has made belongs to the host's
                // user namespace, in which the app kernel has no rights: it can look at a dumpable process only.
                self.need(
                    Step::Identity,
                    libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0).into(),
                );
            }
        }
    }

    /// Set after the change of identity, which clears it. A parent that ended before leaves the life
    /// line hung up.
    fn die_with_parent(&self, alive: i32) {
        if matches!(self.0.origin, Origin::Into { .. }) {
            // It is a child of the caller of exec, who may go; it dies with the sandbox's init.
            return;
        }
        // SAFETY: takes integers.
        let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        self.need(Step::DeathSignal, set.into());
        if !self.0.handshake.confirm_parent(|| hung_up(alive)) {
            self.fail(Step::Orphaned);
        }
        // SAFETY: takes an integer; nothing refers to the life line any more.
        unsafe { libc::close(alive) };
    }

    /// What the parent ignored or blocked is nothing that a guest should inherit.
    fn reset_signals(&self) {
        for signal in 1..=64 {
            // SAFETY: sets the default action; fails harmlessly for SIGKILL, SIGSTOP and libc's own.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        let none = 0u64;
        // SAFETY: the kernel's sigset_t is eight bytes, read from a live u64.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const none,
                0usize,
                8usize,
            )
        };
        // SAFETY: takes an integer.
        unsafe { libc::umask(self.0.setup.umask) };
    }

    /// Install the filter and make the first notified call.
    fn first_exec(&self) -> ! {
        const SECCOMP_SET_MODE_FILTER: u32 = 1;
        const NEW_LISTENER: u64 = 1 << 3;
        const WAIT_KILLABLE_RECV: u64 = 1 << 5;
        let filter = self.0.setup.filter;
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_ptr().cast_mut(),
        };
        let reach = self.0.setup.reach;
        let flags = match reach {
            Reach::Listener => NEW_LISTENER | WAIT_KILLABLE_RECV,
            Reach::Tracer => 0,
        };
        // SAFETY: `program` describes the live filter, which the kernel only reads.
        let listener = self.need(Step::Filter, unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        });
        self.0.handshake.filtered(listener as i32);
        let path = c"/".as_ptr();
        let argv = [path, std::ptr::null()];
        let envp = [std::ptr::null::<libc::c_char>()];
        let start = monotonic_seconds();
        loop {
            // SAFETY: the strings and the NULL-terminated arrays are live. The app kernel answers this call.
            unsafe { libc::syscall(libc::SYS_execve, path, argv.as_ptr(), envp.as_ptr()) };
            // SAFETY: `__errno_location` always returns a valid pointer to this thread's errno.
            let refused = unsafe { *libc::__errno_location() };
            // What the host says as long as nobody traces.
            if reach != Reach::Tracer
                || refused != libc::ENOSYS
                || monotonic_seconds() - start > TRACED_WITHIN_SECONDS
            {
                break;
            }
            let pause = libc::timespec {
                tv_sec: 0,
                tv_nsec: 200_000,
            };
            // SAFETY: reads a live timespec.
            unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
        }
        // SAFETY: exit_group is notified or native in every filter; ends this process.
        unsafe { libc::_exit(127) }
    }
}

/// How long a process waits to be traced.
const TRACED_WITHIN_SECONDS: i64 = 30;

fn monotonic_seconds() -> i64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec
}

/// Descriptor numbers from here on are used while the child sorts its table.
const KEPT_FROM: i32 = 512;

/// How many descriptors the set-up itself still needs then.
const OWN: usize = 3;
