//! THE SYSCALL TABLE: every x86-64 syscall of Linux 6.18, and what a guest gets when it makes it.
//!
//! The guest's BPF filter, the app kernel's dispatcher, the number constants and docs/syscalls.md are
//! all derived from these rows; changing a row is the only edit that is needed. Numbers that are not
//! listed answer `ENOSYS`; the x32 ABI and 32-bit entry kill the process.
//!
//! A row must never make a call native whose effect depends on guest credentials, on the guest's view
//! of a path, or on anything else that only the app kernel knows.

/// Passes every row of the table to a macro, all rows in one invocation:
/// `for_each_syscall! { callback! }`. The callback may be an expression, an item or a statement.
///
/// Rows come in five forms, each optionally with `strict emulate(family::handler)` before its text:
///
/// ```text
/// number name native                                        "text" test "family::test";
/// number name native when(RULE) else emulate(family::name)  "text" test "family::test";
/// number name native when(RULE) else refuse(ERRNO)          "text" test "family::test";
/// number name emulate(family::name)                         "text" test "family::test";
/// number name refuse(ERRNO)                                 "text" test "family::test";
/// ```
///
/// One matcher serves all of them. A dispatcher, for example:
///
/// ```
/// macro_rules! handled {
///     ($(
///         $number:literal $name:ident
///         $(native $(when($rule:ident) else)?)?
///         $(refuse($errno:ident))?
///         $(emulate($family:ident :: $handler:ident))?
///         $(strict emulate($strict_family:ident :: $strict_handler:ident))?
///         $text:literal test $test:literal;
///     )*) => {
///         fn handler_of(number: u32) -> Option<&'static str> {
///             match number {
///                 $( $( $number => Some(stringify!($family::$handler)), )? )*
///                 _ => None,
///             }
///         }
///     };
/// }
/// caisson_abi::for_each_syscall! { handled! }
/// assert_eq!(handler_of(257).unwrap().replace(' ', ""), "open::openat");
/// assert_eq!(handler_of(0), None);
/// ```
#[macro_export]
macro_rules! for_each_syscall {
    ($($callback:tt)+) => { $($callback)+ {

0 read native strict emulate(io::read) "Reads from any descriptor the guest holds." test "io::read";
1 write native strict emulate(io::write) "Writes to any descriptor the guest holds; set-user-ID and set-group-ID bits of the file are cleared even for a writer with CAP_FSETID." test "io::write";
2 open emulate(open::open) "Opens files, directories, fifos and permitted devices of the container's tree, and all of it with O_PATH, which takes a second free number for the moment of the call." test "open::open";
3 close native strict emulate(io::close) "Complete." test "io::close";
4 stat emulate(stat::stat) "Complete; device numbers are the host's." test "stat::stat";
5 fstat native strict emulate(stat::fstat) "Complete; device numbers are the host's." test "stat::fstat";
6 lstat emulate(stat::lstat) "Complete; device numbers are the host's." test "stat::lstat";
7 poll native strict emulate(poll::poll) "Complete." test "poll::poll";
8 lseek native strict emulate(io::lseek) "Complete." test "io::lseek";
9 mmap native "Maps the guest's own memory and descriptors it holds; huge pages as far as the host has them reserved." test "memory::mmap";
10 mprotect native "Complete." test "memory::mprotect";
11 munmap native "Complete." test "memory::munmap";
12 brk native "Complete." test "memory::brk";
13 rt_sigaction native when(SIGACTION) else emulate(signal::rt_sigaction) "Complete, except that si_uid of a signal that another process, a timer or an ended child caused is the sandbox's host user." test "signal::rt_sigaction";
14 rt_sigprocmask native "Complete." test "signal::rt_sigprocmask";
15 rt_sigreturn native "Complete." test "signal::rt_sigreturn";
16 ioctl native when(IOCTL) else emulate(ioctl::ioctl) "Terminal, pipe, socket-queue, descriptor-owner and read-only interface requests are native; TIOCGPTPEER, FS_IOC_SETFLAGS, PIDFD_GET_INFO and the plain line discipline are served by the app kernel, and with guest CAP_NET_ADMIN what changes IPv4 addresses and routes, interfaces and neighbours; requests that inject input, redirect a console or change a device fail with EPERM, all others with ENOTTY." test "ioctl::ioctl";
17 pread64 native strict emulate(io::pread64) "Complete." test "io::pread64";
18 pwrite64 native strict emulate(io::pwrite64) "Complete." test "io::pwrite64";
19 readv native strict emulate(io::readv) "Complete." test "io::readv";
20 writev native strict emulate(io::writev) "Complete." test "io::writev";
21 access emulate(stat::access) "Complete." test "stat::access";
22 pipe native strict emulate(io::pipe) "Complete." test "io::pipe";
23 select native strict emulate(poll::select) "Complete." test "poll::select";
24 sched_yield native "Complete." test "thread::sched_yield";
25 mremap native "Complete." test "memory::mremap";
26 msync native "Complete." test "memory::msync";
27 mincore native "Complete." test "memory::mincore";
28 madvise native "Complete; advice that needs a capability fails with EPERM." test "memory::madvise";
29 shmget emulate(ipc::shmget) "System V shared memory of the container's own IPC namespace; owner and permission are the guest's." test "ipc::shmget";
30 shmat emulate(ipc::shmat) "Complete." test "ipc::shmat";
31 shmctl emulate(ipc::shmctl) "Complete; shm_lpid is 0 once that process has ended." test "ipc::shmctl";
32 dup native strict emulate(io::dup) "Complete." test "io::dup";
33 dup2 native strict emulate(io::dup2) "Complete." test "io::dup2";
34 pause native "Complete." test "signal::pause";
35 nanosleep native "Complete." test "time::nanosleep";
36 getitimer native "Complete." test "time::getitimer";
37 alarm native "Complete." test "time::alarm";
38 setitimer native "Complete." test "time::setitimer";
39 getpid native "Complete; pids are those of the container's pid namespace." test "process::getpid";
40 sendfile native strict emulate(io::sendfile) "Complete." test "io::sendfile";
41 socket emulate(socket::socket) "AF_UNIX, AF_INET and AF_INET6 sockets of the pod's network, or of one that guests have made: streams (TCP), datagrams (UDP, ICMP echo), and raw packets of any protocol with guest CAP_NET_RAW; AF_PACKET sockets of SOCK_RAW and SOCK_DGRAM with guest CAP_NET_RAW; AF_NETLINK served by the app kernel: NETLINK_ROUTE (lists of links, addresses, routes, neighbours and rules, look-ups of a link, a route or a neighbour, messages about changes, and with guest CAP_NET_ADMIN changes of them), NETLINK_SOCK_DIAG (TCP, UDP, raw and AF_UNIX sockets of the pod's network), NETLINK_KOBJECT_UEVENT (silent); other families fail with EAFNOSUPPORT, other protocols with EPROTONOSUPPORT." test "socket::socket";
42 connect emulate(socket::connect) "Complete for the families that can be created; AF_UNIX paths are resolved in the container's tree." test "socket::connect";
43 accept native strict emulate(socket::accept) "Complete." test "socket::accept";
44 sendto native when(SENDTO) else emulate(socket::sendto) strict emulate(socket::sendto) "Complete; with a destination address the app kernel sends, at most 1 MiB at once and without MSG_ZEROCOPY." test "socket::sendto";
45 recvfrom native strict emulate(socket::recvfrom) "Complete." test "socket::recvfrom";
46 sendmsg emulate(socket::sendmsg) "Complete: the app kernel sends what has a destination name of AF_UNIX or carries credentials, at most 1 MiB at once and without MSG_ZEROCOPY, the host kernel all else. Messages without explicit credentials carry the sandbox's host user for receivers outside the sandbox." test "socket::sendmsg";
47 recvmsg native strict emulate(socket::recvmsg) "Complete, except that SCM_CREDENTIALS of data sent by write, send and sendto without address carry the sandbox's host user and group; the pid is right." test "socket::recvmsg";
48 shutdown native strict emulate(socket::shutdown) "Complete." test "socket::shutdown";
49 bind emulate(socket::bind) "Complete for the families that can be created; AF_UNIX paths are made in the container's tree." test "socket::bind";
50 listen emulate(socket::listen) "Complete." test "socket::listen";
51 getsockname emulate(socket::getsockname) "Complete." test "socket::getsockname";
52 getpeername native strict emulate(socket::getpeername) "Complete, except that the peer of a netlink socket has the family AF_UNIX." test "socket::getpeername";
53 socketpair native when(SOCKETPAIR) else emulate(socket::socketpair) strict emulate(socket::socketpair) "AF_UNIX pairs; other families are refused as Linux refuses them." test "socket::socketpair";
54 setsockopt native when(SETSOCKOPT) else emulate(socket::setsockopt) strict emulate(socket::setsockopt) "Socket, IP, IPv6, TCP, UDP and ICMP filter options and PACKET_AUXDATA, PACKET_ORIGDEV and PACKET_IGNORE_OUTGOING, those that need CAP_NET_RAW or CAP_NET_ADMIN with the guest's capabilities; socket filters and programs, upper-layer protocols, repair mode, key material, IPsec and netfilter options, rings, fan-out and memberships of packet sockets fail with EPERM, ENOENT or ENOPROTOOPT." test "socket::setsockopt";
55 getsockopt native when(GETSOCKOPT) else emulate(socket::getsockopt) strict emulate(socket::getsockopt) "Socket, IP, IPv6, TCP, UDP and ICMP filter options, flags and PACKET_STATISTICS of packet sockets; peer credentials are guest credentials, with pid 0 for peers outside the sandbox; SO_PEERSEC, SO_NETNS_COOKIE, TCP_ZEROCOPY_RECEIVE and netfilter options are not available." test "socket::getsockopt";
56 clone native when(CLONE) else emulate(process::clone) "Threads are native; processes are checked and recorded by the app kernel, CLONE_NEWNS, CLONE_NEWUTS and CLONE_NEWNET served with guest CAP_SYS_ADMIN; flags of other namespaces (user, pid, IPC, cgroup) are refused with EPERM." test "process::clone";
57 fork emulate(process::fork) "Complete." test "process::fork";
58 vfork emulate(process::vfork) "Complete." test "process::vfork";
59 execve emulate(exec::execve) "ELF programs and #! scripts; ETXTBSY protects the program, found by its name, and not its interpreter; set-user-ID and file capabilities take effect on guest credentials only. EMFILE when the descriptor table is full to the hard limit." test "exec::execve";
60 exit emulate(process::exit) "Complete." test "process::exit";
61 wait4 emulate(wait::wait4) "Complete." test "process::wait4";
62 kill emulate(signal::kill) "Complete; permission is decided by guest credentials. A group of which only some may be signalled gets the signal without the sender's pid." test "signal::kill";
63 uname emulate(system::uname) "Shows the container's host name and the kernel release the sandbox presents." test "system::uname";
64 semget emulate(ipc::semget) "System V semaphores of the container's own IPC namespace; owner and permission are the guest's." test "ipc::semget";
65 semop emulate(ipc::semop) "Complete; for those who may read but not change, SEM_UNDO is without effect, as waiting for zero has nothing to undo." test "ipc::semop";
66 semctl emulate(ipc::semctl) "Complete." test "ipc::semctl";
67 shmdt native "Complete." test "ipc::shmdt";
68 msgget emulate(ipc::msgget) "System V message queues of the container's own IPC namespace; owner and permission are the guest's." test "ipc::msgget";
69 msgsnd emulate(ipc::msgsnd) "Complete." test "ipc::msgsnd";
70 msgrcv emulate(ipc::msgrcv) "Complete." test "ipc::msgrcv";
71 msgctl emulate(ipc::msgctl) "Complete; msg_lspid and msg_lrpid are 0 once those processes have ended." test "ipc::msgctl";
72 fcntl native when(FCNTL) else emulate(io::fcntl) strict emulate(io::fcntl) "Complete except for leases (F_SETLEASE); for the signals of F_SETOWN permission is decided for the sandbox's host user, which does not keep the container's users apart." test "io::fcntl";
73 flock native strict emulate(io::flock) "Complete." test "io::flock";
74 fsync native strict emulate(io::fsync) "Complete." test "io::fsync";
75 fdatasync native strict emulate(io::fdatasync) "Complete." test "io::fdatasync";
76 truncate emulate(attributes::truncate) "Complete." test "attributes::truncate";
77 ftruncate native strict emulate(io::ftruncate) "Complete." test "io::ftruncate";
78 getdents native strict emulate(io::getdents) "Complete." test "io::getdents";
79 getcwd emulate(cwd::getcwd) "Complete." test "cwd::getcwd";
80 chdir emulate(cwd::chdir) "Complete." test "cwd::chdir";
81 fchdir emulate(cwd::fchdir) "Complete." test "cwd::fchdir";
82 rename emulate(directory::rename) "Complete." test "directory::rename";
83 mkdir emulate(directory::mkdir) "Complete." test "directory::mkdir";
84 rmdir emulate(directory::rmdir) "Complete." test "directory::rmdir";
85 creat emulate(open::creat) "Complete." test "open::creat";
86 link emulate(directory::link) "Complete." test "directory::link";
87 unlink emulate(directory::unlink) "Complete." test "directory::unlink";
88 symlink emulate(directory::symlink) "Complete." test "directory::symlink";
89 readlink emulate(stat::readlink) "Complete." test "stat::readlink";
90 chmod emulate(attributes::chmod) "Complete." test "attributes::chmod";
91 fchmod emulate(attributes::fchmod) "Complete." test "attributes::fchmod";
92 chown emulate(attributes::chown) "Complete; needs guest CAP_CHOWN where Linux does." test "attributes::chown";
93 fchown emulate(attributes::fchown) "Complete; needs guest CAP_CHOWN where Linux does." test "attributes::fchown";
94 lchown emulate(attributes::lchown) "Complete; needs guest CAP_CHOWN where Linux does." test "attributes::lchown";
95 umask emulate(cwd::umask) "Complete." test "cwd::umask";
96 gettimeofday native "Complete." test "time::gettimeofday";
97 getrlimit native when(LIMIT) else emulate(limits::getrlimit) "Shows the guest's limits." test "limits::getrlimit";
98 getrusage native "Complete." test "process::getrusage";
99 sysinfo emulate(system::sysinfo) "Memory follows the container's cgroup limits, load averages are those of /proc/loadavg." test "system::sysinfo";
100 times native "Complete." test "time::times";
101 ptrace emulate(ptrace::ptrace) "With the transport `notify`, of processes of the container, by guest credentials and capabilities; the app kernel is the host's tracer and carries the requests out. Register sets are those of general, floating-point and extended state; PTRACE_O_SUSPEND_SECCOMP fails with EPERM, requests on seccomp filters with EACCES, on system call dispatch and restartable sequences with EIO; SIGCHLD for a stop says that it was sent by kill(2); CLONE_PTRACE is refused. With the transport `ptrace`, whose tracer every process has already, all fails with EPERM." test "ptrace::ptrace";
102 getuid emulate(cred::getuid) "Complete." test "cred::getuid";
103 syslog refuse(EPERM) "Not available: the kernel log is the host's." test "refused::syslog";
104 getgid emulate(cred::getgid) "Complete." test "cred::getgid";
105 setuid emulate(cred::setuid) "Complete." test "cred::setuid";
106 setgid emulate(cred::setgid) "Complete." test "cred::setgid";
107 geteuid emulate(cred::geteuid) "Complete." test "cred::geteuid";
108 getegid emulate(cred::getegid) "Complete." test "cred::getegid";
109 setpgid native "Complete." test "process::setpgid";
110 getppid native "Complete; the container's first process and processes of `caisson exec` see 0." test "process::getppid";
111 getpgrp native "Complete." test "process::getpgrp";
112 setsid native "Complete." test "process::setsid";
113 setreuid emulate(cred::setreuid) "Complete." test "cred::setreuid";
114 setregid emulate(cred::setregid) "Complete." test "cred::setregid";
115 getgroups emulate(cred::getgroups) "Complete." test "cred::getgroups";
116 setgroups emulate(cred::setgroups) "Complete." test "cred::setgroups";
117 setresuid emulate(cred::setresuid) "Complete." test "cred::setresuid";
118 getresuid emulate(cred::getresuid) "Complete." test "cred::getresuid";
119 setresgid emulate(cred::setresgid) "Complete." test "cred::setresgid";
120 getresgid emulate(cred::getresgid) "Complete." test "cred::getresgid";
121 getpgid native "Complete." test "process::getpgid";
122 setfsuid emulate(cred::setfsuid) "Complete." test "cred::setfsuid";
123 setfsgid emulate(cred::setfsgid) "Complete." test "cred::setfsgid";
124 getsid native "Complete." test "process::getsid";
125 capget emulate(capability::capget) "Shows the guest's capabilities; the host process has none." test "capability::capget";
126 capset emulate(capability::capset) "Changes the guest's capabilities; the host process has none." test "capability::capset";
127 rt_sigpending native "Complete." test "signal::rt_sigpending";
128 rt_sigtimedwait native "Complete, except that si_uid of a signal that another process, a timer or an ended child caused is the sandbox's host user." test "signal::rt_sigtimedwait";
129 rt_sigqueueinfo emulate(signal::rt_sigqueueinfo) "Complete; permission is decided by guest credentials." test "signal::rt_sigqueueinfo";
130 rt_sigsuspend native "Complete." test "signal::rt_sigsuspend";
131 sigaltstack native "Complete." test "signal::sigaltstack";
132 utime emulate(attributes::utime) "Complete." test "attributes::utime";
133 mknod emulate(directory::mknod) "Regular files, fifos and sockets; device nodes by policy, else EPERM." test "directory::mknod";
134 uselib refuse(ENOSYS) "Not available, as on kernels built without it." test "refused::uselib";
135 personality native when(PERSONALITY) else emulate(process::personality) "Complete." test "process::personality";
136 ustat emulate(stat::ustat) "Of devices of mounts that the caller sees; names of file systems and packs are empty." test "stat::ustat";
137 statfs emulate(stat::statfs) "Complete." test "stat::statfs";
138 fstatfs native strict emulate(stat::fstatfs) "Complete." test "stat::fstatfs";
139 sysfs emulate(system::sysfs) "Of the file systems that /proc/filesystems shows." test "system::sysfs";
140 getpriority native "Complete for the container's processes." test "thread::getpriority";
141 setpriority native when(SELF_SECOND) else emulate(schedule::setpriority) "Lowers priority only, as without CAP_SYS_NICE; on other processes permission is decided by guest credentials, for a group all or none; PRIO_USER means users of the host." test "thread::setpriority";
142 sched_setparam native when(SELF) else emulate(schedule::sched_setparam) "Policies that need no CAP_SYS_NICE; on other processes permission is decided by guest credentials." test "thread::sched_setparam";
143 sched_getparam native "Complete." test "thread::sched_getparam";
144 sched_setscheduler native when(SELF) else emulate(schedule::sched_setscheduler) "Policies that need no CAP_SYS_NICE; on other processes permission is decided by guest credentials." test "thread::sched_setscheduler";
145 sched_getscheduler native "Complete." test "thread::sched_getscheduler";
146 sched_get_priority_max native "Complete." test "thread::sched_get_priority_max";
147 sched_get_priority_min native "Complete." test "thread::sched_get_priority_min";
148 sched_rr_get_interval native "Complete." test "thread::sched_rr_get_interval";
149 mlock native "Within the host's RLIMIT_MEMLOCK of the sandbox." test "memory::mlock";
150 munlock native "Complete." test "memory::munlock";
151 mlockall native "Within the host's RLIMIT_MEMLOCK of the sandbox." test "memory::mlockall";
152 munlockall native "Complete." test "memory::munlockall";
153 vhangup refuse(EPERM) "Not available." test "refused::vhangup";
154 modify_ldt refuse(ENOSYS) "Not available: 16-bit and segmented programs are not supported." test "refused::modify_ldt";
155 pivot_root emulate(mount::pivot_root) "With guest CAP_SYS_ADMIN, to a mount that guests have made, from the container's root or a mount that guests have made; descriptors from before stay where they were, but for fchdir." test "mounting::pivot_root";
156 _sysctl refuse(ENOSYS) "Not available, as since Linux 5.5." test "refused::_sysctl";
157 prctl native when(PRCTL) else emulate(prctl::prctl) "Options on the caller's own name, memory and timers are native; those on credentials, capabilities, dumpability and no_new_privs are the app kernel's; the parent-death signal stays set when a process changes its ids; the parent-death signal of the container's first process is accepted and without effect; PR_SET_SECCOMP and unknown options fail with EINVAL." test "prctl::prctl";
158 arch_prctl native "Complete." test "thread::arch_prctl";
159 adjtimex native "Reading; setting the clock needs a capability that no guest has on the host (EPERM)." test "time::adjtimex";
160 setrlimit emulate(limits::setrlimit) "Guest limits; a limit above the sandbox's own is recorded and not enforced beyond it. RLIMIT_NPROC does not bind root; of other users it counts all processes and threads of the container." test "limits::setrlimit";
161 chroot emulate(cwd::chroot) "Complete; needs guest CAP_SYS_CHROOT." test "cwd::chroot";
162 sync emulate(system::sync) "Succeeds without flushing: it would flush every filesystem of the host; fsync and syncfs do flush." test "system::sync";
163 acct refuse(EPERM) "Not available: process accounting is the host's." test "refused::acct";
164 settimeofday emulate(system::settimeofday) "Refused with EPERM: the clock is the host's. What is invalid fails as in Linux." test "system::settimeofday";
165 mount emulate(mount::mount) "With guest CAP_SYS_ADMIN: tmpfs, bind mounts, one more mount of the container's own proc, sysfs, devpts or mqueue, move, remount and propagation, in the container's tree only and never with devices; what the container started with is locked as in a user namespace; other types EPERM. Otherwise, or where a mount of the container is shared with the host, EPERM." test "mounting::mount";
166 umount2 emulate(mount::umount2) "Mounts that guests made; what the container started with is locked (EINVAL); MNT_EXPIRE never finds a mount unused; one more proc or sysfs goes also while files of it are open." test "mounting::umount2";
167 swapon refuse(EPERM) "Not available." test "refused::swapon";
168 swapoff refuse(EPERM) "Not available." test "refused::swapoff";
169 reboot refuse(EPERM) "Not available." test "refused::reboot";
170 sethostname emulate(system::sethostname) "Sets the host name of the container, or of the UTS namespace that guests have made; needs guest CAP_SYS_ADMIN." test "system::sethostname";
171 setdomainname emulate(system::setdomainname) "Sets the container's domain name; needs guest CAP_SYS_ADMIN." test "system::setdomainname";
172 iopl refuse(EPERM) "Not available." test "refused::iopl";
173 ioperm refuse(EPERM) "Not available." test "refused::ioperm";
174 create_module refuse(ENOSYS) "Removed from Linux." test "refused::create_module";
175 init_module refuse(EPERM) "Not available." test "refused::init_module";
176 delete_module refuse(EPERM) "Not available." test "refused::delete_module";
177 get_kernel_syms refuse(ENOSYS) "Removed from Linux." test "refused::get_kernel_syms";
178 query_module refuse(ENOSYS) "Removed from Linux." test "refused::query_module";
179 quotactl refuse(EPERM) "Not available." test "refused::quotactl";
180 nfsservctl refuse(ENOSYS) "Removed from Linux." test "refused::nfsservctl";
181 getpmsg refuse(ENOSYS) "Never implemented by Linux." test "refused::getpmsg";
182 putpmsg refuse(ENOSYS) "Never implemented by Linux." test "refused::putpmsg";
183 afs_syscall refuse(ENOSYS) "Never implemented by Linux." test "refused::afs_syscall";
184 tuxcall refuse(ENOSYS) "Never implemented by Linux." test "refused::tuxcall";
185 security refuse(ENOSYS) "Never implemented by Linux." test "refused::security";
186 gettid native "Complete." test "thread::gettid";
187 readahead native strict emulate(io::readahead) "Complete." test "io::readahead";
188 setxattr emulate(xattr::setxattr) "Names in user., system. (POSIX ACLs) and security.capability as far as the filesystem and guest rights allow; trusted. needs guest CAP_SYS_ADMIN; other security. names fail with EPERM, or EOPNOTSUPP with that." test "xattr::setxattr";
189 lsetxattr emulate(xattr::lsetxattr) "As setxattr, on a link itself." test "xattr::lsetxattr";
190 fsetxattr emulate(xattr::fsetxattr) "As setxattr, on a descriptor." test "xattr::fsetxattr";
191 getxattr emulate(xattr::getxattr) "The names that setxattr can set." test "xattr::getxattr";
192 lgetxattr emulate(xattr::lgetxattr) "As getxattr." test "xattr::lgetxattr";
193 fgetxattr emulate(xattr::fgetxattr) "As getxattr." test "xattr::fgetxattr";
194 listxattr emulate(xattr::listxattr) "The names that getxattr can get." test "xattr::listxattr";
195 llistxattr emulate(xattr::llistxattr) "As listxattr." test "xattr::llistxattr";
196 flistxattr emulate(xattr::flistxattr) "As listxattr." test "xattr::flistxattr";
197 removexattr emulate(xattr::removexattr) "As setxattr." test "xattr::removexattr";
198 lremovexattr emulate(xattr::lremovexattr) "As setxattr, on a link itself." test "xattr::lremovexattr";
199 fremovexattr emulate(xattr::fremovexattr) "As setxattr, on a descriptor." test "xattr::fremovexattr";
200 tkill emulate(signal::tkill) "Complete; permission is decided by guest credentials." test "signal::tkill";
201 time native "Complete." test "time::time";
202 futex native "Complete." test "thread::futex";
203 sched_setaffinity native when(SELF) else emulate(schedule::sched_setaffinity) "Within the container's cpuset; on other processes permission is decided by guest credentials." test "thread::sched_setaffinity";
204 sched_getaffinity native "Complete." test "thread::sched_getaffinity";
205 set_thread_area refuse(ENOSYS) "Not available on x86-64, as on Linux." test "refused::set_thread_area";
206 io_setup emulate(aio::io_setup) "Complete, as long as all sandboxes together leave half of the host's fs.aio-max-nr to others, else EAGAIN." test "aio::io_setup";
207 io_destroy native strict emulate(aio::io_destroy) "Complete." test "aio::io_destroy";
208 io_getevents native strict emulate(aio::io_getevents) "Complete." test "aio::io_getevents";
209 io_submit native strict emulate(aio::io_submit) "Complete: what is submitted are reads, writes, syncs and polls of descriptors the guest holds; files of /proc and /sys are read as empty." test "aio::io_submit";
210 io_cancel native strict emulate(aio::io_cancel) "Complete." test "aio::io_cancel";
211 get_thread_area refuse(ENOSYS) "Not available on x86-64, as on Linux." test "refused::get_thread_area";
212 lookup_dcookie refuse(ENOSYS) "Removed from Linux." test "refused::lookup_dcookie";
213 epoll_create native strict emulate(poll::epoll_create) "Complete." test "poll::epoll_create";
214 epoll_ctl_old refuse(ENOSYS) "Never implemented by Linux." test "refused::epoll_ctl_old";
215 epoll_wait_old refuse(ENOSYS) "Never implemented by Linux." test "refused::epoll_wait_old";
216 remap_file_pages native "Complete." test "memory::remap_file_pages";
217 getdents64 native strict emulate(io::getdents64) "Complete." test "io::getdents64";
218 set_tid_address native "Complete." test "thread::set_tid_address";
219 restart_syscall native "Complete." test "signal::restart_syscall";
220 semtimedop emulate(ipc::semtimedop) "As semop." test "ipc::semtimedop";
221 fadvise64 native strict emulate(io::fadvise64) "Complete." test "io::fadvise64";
222 timer_create native "Complete; clocks that need CAP_WAKE_ALARM fail with EPERM." test "time::timer_create";
223 timer_settime native "Complete." test "time::timer_settime";
224 timer_gettime native "Complete." test "time::timer_gettime";
225 timer_getoverrun native "Complete." test "time::timer_getoverrun";
226 timer_delete native "Complete." test "time::timer_delete";
227 clock_settime emulate(system::clock_settime) "As settimeofday." test "system::clock_settime";
228 clock_gettime native "Complete; boot and monotonic time are the host's." test "time::clock_gettime";
229 clock_getres native "Complete." test "time::clock_getres";
230 clock_nanosleep native "Complete." test "time::clock_nanosleep";
231 exit_group native "Complete." test "process::exit_group";
232 epoll_wait native strict emulate(poll::epoll_wait) "Complete." test "poll::epoll_wait";
233 epoll_ctl native strict emulate(poll::epoll_ctl) "Complete." test "poll::epoll_ctl";
234 tgkill emulate(signal::tgkill) "Complete; permission is decided by guest credentials." test "signal::tgkill";
235 utimes emulate(attributes::utimes) "Complete." test "attributes::utimes";
236 vserver refuse(ENOSYS) "Never implemented by Linux." test "refused::vserver";
237 mbind native "On the caller's own memory; moving pages shared with others needs CAP_SYS_NICE." test "memory::mbind";
238 set_mempolicy native "Within the container's cpuset." test "memory::set_mempolicy";
239 get_mempolicy native "Complete." test "memory::get_mempolicy";
240 mq_open emulate(ipc::mq_open) "POSIX queues of the container's own IPC namespace, opened with the guest's credentials; of limits, RLIMIT_MSGQUEUE is the app kernel's." test "ipc::mq_open";
241 mq_unlink emulate(ipc::mq_unlink) "As mq_open." test "ipc::mq_unlink";
242 mq_timedsend native "Complete." test "ipc::mq_timedsend";
243 mq_timedreceive native "Complete." test "ipc::mq_timedreceive";
244 mq_notify native when(MQ_NOTIFY) else emulate(ipc::mq_notify) "Complete; to be told by a thread (SIGEV_THREAD) takes a second free number for a descriptor for the moment of the call." test "ipc::mq_notify";
245 mq_getsetattr native "Complete." test "ipc::mq_getsetattr";
246 kexec_load refuse(EPERM) "Not available." test "refused::kexec_load";
247 waitid emulate(wait::waitid) "Complete, except that si_uid is the sandbox's host user." test "process::waitid";
248 add_key refuse(ENOSYS) "Not available: keyrings are not separated by namespaces." test "refused::add_key";
249 request_key refuse(ENOSYS) "Not available: keyrings are not separated by namespaces." test "refused::request_key";
250 keyctl refuse(ENOSYS) "Not available: keyrings are not separated by namespaces." test "refused::keyctl";
251 ioprio_set native when(SELF_SECOND) else emulate(schedule::ioprio_set) "Classes that need no capability; on other processes permission is decided by guest credentials, for a group all or none; IOPRIO_WHO_USER means users of the host." test "thread::ioprio_set";
252 ioprio_get native "Complete for the container's processes." test "thread::ioprio_get";
253 inotify_init native strict emulate(notify::inotify_init) "Complete." test "notify::inotify_init";
254 inotify_add_watch emulate(notify::inotify_add_watch) "Complete; files that the app kernel itself provides (/proc, /sys) report no changes." test "notify::inotify_add_watch";
255 inotify_rm_watch native strict emulate(notify::inotify_rm_watch) "Complete." test "notify::inotify_rm_watch";
256 migrate_pages refuse(EPERM) "Not available." test "refused::migrate_pages";
257 openat emulate(open::openat) "Opens files, directories, fifos and permitted devices of the container's tree, and all of it with O_PATH, which takes a second free number for the moment of the call." test "open::openat";
258 mkdirat emulate(directory::mkdirat) "Complete." test "directory::mkdirat";
259 mknodat emulate(directory::mknodat) "Regular files, fifos and sockets; device nodes by policy, else EPERM." test "directory::mknodat";
260 fchownat emulate(attributes::fchownat) "Complete; needs guest CAP_CHOWN where Linux does." test "attributes::fchownat";
261 futimesat emulate(attributes::futimesat) "Complete." test "attributes::futimesat";
262 newfstatat emulate(stat::newfstatat) "Complete; device numbers are the host's." test "stat::newfstatat";
263 unlinkat emulate(directory::unlinkat) "Complete." test "directory::unlinkat";
264 renameat emulate(directory::renameat) "Complete." test "directory::renameat";
265 linkat emulate(directory::linkat) "Complete." test "directory::linkat";
266 symlinkat emulate(directory::symlinkat) "Complete." test "directory::symlinkat";
267 readlinkat emulate(stat::readlinkat) "Complete." test "stat::readlinkat";
268 fchmodat emulate(attributes::fchmodat) "Complete." test "attributes::fchmodat";
269 faccessat emulate(stat::faccessat) "Complete." test "stat::faccessat";
270 pselect6 native strict emulate(poll::pselect6) "Complete." test "poll::pselect6";
271 ppoll native strict emulate(poll::ppoll) "Complete." test "poll::ppoll";
272 unshare emulate(namespace::unshare) "CLONE_FILES and CLONE_SYSVSEM; CLONE_FS; CLONE_NEWNS, CLONE_NEWUTS and CLONE_NEWNET, not together with the first two, with guest CAP_SYS_ADMIN; threads that a parted thread makes are with the rest of the process; other new namespaces (user, pid, IPC, cgroup, time) are refused with EPERM." test "namespace::unshare";
273 set_robust_list native "Complete." test "thread::set_robust_list";
274 get_robust_list native when(SELF) else emulate(foreign::get_robust_list) "Between processes of the container, permission is decided by guest credentials." test "foreign::get_robust_list";
275 splice emulate(splice::splice) "Complete between pipes and from pipes; what goes into a pipe from a file or a stream socket is copied, at most 1 MiB at once; into a pipe from other sockets, and on files of /proc and /sys, EINVAL." test "splice::splice";
276 tee emulate(splice::tee) "Complete." test "splice::tee";
277 sync_file_range native strict emulate(io::sync_file_range) "Complete." test "io::sync_file_range";
278 vmsplice emulate(splice::vmsplice) "Copies, at most 1 MiB at once: what is changed in memory afterwards does not show in the pipe." test "splice::vmsplice";
279 move_pages refuse(EPERM) "Not available." test "refused::move_pages";
280 utimensat emulate(attributes::utimensat) "Complete." test "attributes::utimensat";
281 epoll_pwait native strict emulate(poll::epoll_pwait) "Complete." test "poll::epoll_pwait";
282 signalfd native strict emulate(signal::signalfd) "Complete, except that ssi_uid is the sandbox's host user." test "signal::signalfd";
283 timerfd_create native strict emulate(time::timerfd_create) "Complete; clocks that need CAP_WAKE_ALARM fail with EPERM." test "time::timerfd_create";
284 eventfd native strict emulate(io::eventfd) "Complete." test "io::eventfd";
285 fallocate native strict emulate(io::fallocate) "Complete." test "io::fallocate";
286 timerfd_settime native strict emulate(time::timerfd_settime) "Complete." test "time::timerfd_settime";
287 timerfd_gettime native strict emulate(time::timerfd_gettime) "Complete." test "time::timerfd_gettime";
288 accept4 native strict emulate(socket::accept4) "Complete." test "socket::accept4";
289 signalfd4 native strict emulate(signal::signalfd4) "Complete, except that ssi_uid is the sandbox's host user." test "signal::signalfd4";
290 eventfd2 native strict emulate(io::eventfd2) "Complete." test "io::eventfd2";
291 epoll_create1 native strict emulate(poll::epoll_create1) "Complete." test "poll::epoll_create1";
292 dup3 native strict emulate(io::dup3) "Complete." test "io::dup3";
293 pipe2 native strict emulate(io::pipe2) "Complete." test "io::pipe2";
294 inotify_init1 native strict emulate(notify::inotify_init1) "Complete." test "notify::inotify_init1";
295 preadv native strict emulate(io::preadv) "Complete." test "io::preadv";
296 pwritev native strict emulate(io::pwritev) "Complete." test "io::pwritev";
297 rt_tgsigqueueinfo emulate(signal::rt_tgsigqueueinfo) "Complete; permission is decided by guest credentials." test "signal::rt_tgsigqueueinfo";
298 perf_event_open refuse(EPERM) "Not available, as under runc's default profile." test "refused::perf_event_open";
299 recvmmsg native strict emulate(socket::recvmmsg) "As recvmsg." test "socket::recvmmsg";
300 fanotify_init refuse(EPERM) "Not available." test "refused::fanotify_init";
301 fanotify_mark refuse(EPERM) "Not available." test "refused::fanotify_mark";
302 prlimit64 native when(OWN_LIMIT) else emulate(limits::prlimit64) "As getrlimit and setrlimit, also for other processes of the container." test "limits::prlimit64";
303 name_to_handle_at emulate(handle::name_to_handle_at) "Complete; there is no way to open a handle." test "stat::name_to_handle_at";
304 open_by_handle_at refuse(EPERM) "Not available: file handles reach outside the container's tree." test "refused::open_by_handle_at";
305 clock_adjtime native "As adjtimex; the clocks that can be read are the host's." test "time::clock_adjtime";
306 syncfs native strict emulate(io::syncfs) "Complete." test "io::syncfs";
307 sendmmsg emulate(socket::sendmmsg) "As sendmsg." test "socket::sendmmsg";
308 setns emulate(namespace::setns) "With guest CAP_SYS_ADMIN: mount, UTS and network namespaces that guests have made, by file or pidfd, as long as a process is in them or they were among the 16 last whose file was opened or mounted; and namespaces that the caller is in. All others fail with EPERM." test "spaces::setns";
309 getcpu native "Complete." test "thread::getcpu";
310 process_vm_readv emulate(foreign::process_vm_readv) "Between processes of the container, permission is decided by guest credentials." test "foreign::process_vm_readv";
311 process_vm_writev emulate(foreign::process_vm_writev) "As process_vm_readv; read-only pages stay so." test "foreign::process_vm_writev";
312 kcmp emulate(foreign::kcmp) "Between processes of the container, permission is decided by guest credentials." test "foreign::kcmp";
313 finit_module refuse(EPERM) "Not available." test "refused::finit_module";
314 sched_setattr native when(SELF) else emulate(schedule::sched_setattr) "Policies that need no CAP_SYS_NICE; on other processes permission is decided by guest credentials." test "thread::sched_setattr";
315 sched_getattr native "Complete." test "thread::sched_getattr";
316 renameat2 emulate(directory::renameat2) "Complete as far as the filesystem supports the flags." test "directory::renameat2";
317 seccomp refuse(EINVAL) "Not available, as on kernels built without seccomp." test "refused::seccomp";
318 getrandom native "Complete." test "io::getrandom";
319 memfd_create native strict emulate(open::memfd_create) "Complete." test "memory::memfd_create";
320 kexec_file_load refuse(EPERM) "Not available." test "refused::kexec_file_load";
321 bpf refuse(EPERM) "Not available." test "refused::bpf";
322 execveat native when(LOADER) else emulate(exec::execveat) "As execve; the sandbox's own loader passes with a secret that no guest knows." test "exec::execveat";
323 userfaultfd refuse(EPERM) "Not available." test "refused::userfaultfd";
324 membarrier native "Complete." test "thread::membarrier";
325 mlock2 native "Within the host's RLIMIT_MEMLOCK of the sandbox." test "memory::mlock2";
326 copy_file_range native strict emulate(io::copy_file_range) "Complete." test "io::copy_file_range";
327 preadv2 native strict emulate(io::preadv2) "Complete." test "io::preadv2";
328 pwritev2 native strict emulate(io::pwritev2) "Complete." test "io::pwritev2";
329 pkey_mprotect native "Complete." test "memory::pkey_mprotect";
330 pkey_alloc native "Complete." test "memory::pkey_alloc";
331 pkey_free native "Complete." test "memory::pkey_free";
332 statx emulate(stat::statx) "Complete; device numbers and mount ids are the host's." test "stat::statx";
333 io_pgetevents native strict emulate(aio::io_pgetevents) "Complete." test "aio::io_pgetevents";
334 rseq native "Complete." test "thread::rseq";
335 uretprobe refuse(ENOSYS) "Only for code that the kernel's own return probes place in a process; Linux exempts that from filters." test "refused::uretprobe";
336 uprobe refuse(ENOSYS) "Only for code that the kernel's own probes place in a process; Linux exempts that from filters." test "refused::uprobe";
424 pidfd_send_signal emulate(signal::pidfd_send_signal) "Permission is decided by guest credentials; without guest CAP_KILL the receiver does not see the sender's pid; PIDFD_SIGNAL_PROCESS_GROUP fails with EINVAL." test "signal::pidfd_send_signal";
425 io_uring_setup refuse(ENOSYS) "Not available: its operations bypass syscall filters." test "refused::io_uring_setup";
426 io_uring_enter refuse(ENOSYS) "Not available, as io_uring_setup." test "refused::io_uring_enter";
427 io_uring_register refuse(ENOSYS) "Not available, as io_uring_setup." test "refused::io_uring_register";
428 open_tree refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::open_tree";
429 move_mount refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::move_mount";
430 fsopen refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::fsopen";
431 fsconfig refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::fsconfig";
432 fsmount refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::fsmount";
433 fspick refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::fspick";
434 pidfd_open native "Complete for the container's processes." test "process::pidfd_open";
435 clone3 refuse(ENOSYS) "Not available: its flags lie in memory, where a filter cannot check them; C libraries fall back to clone." test "refused::clone3";
436 close_range native strict emulate(io::close_range) "Complete." test "io::close_range";
437 openat2 emulate(open::openat2) "Complete, all RESOLVE_ flags included." test "open::openat2";
438 pidfd_getfd emulate(foreign::pidfd_getfd) "Between processes of the container, permission is decided by guest credentials." test "foreign::pidfd_getfd";
439 faccessat2 emulate(stat::faccessat2) "Complete." test "stat::faccessat2";
440 process_madvise refuse(EPERM) "Not available." test "refused::process_madvise";
441 epoll_pwait2 native strict emulate(poll::epoll_pwait2) "Complete." test "poll::epoll_pwait2";
442 mount_setattr refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::mount_setattr";
443 quotactl_fd refuse(EPERM) "Not available." test "refused::quotactl_fd";
444 landlock_create_ruleset refuse(ENOSYS) "Not available, as on kernels built without Landlock." test "refused::landlock_create_ruleset";
445 landlock_add_rule refuse(ENOSYS) "Not available, as on kernels built without Landlock." test "refused::landlock_add_rule";
446 landlock_restrict_self refuse(ENOSYS) "Not available, as on kernels built without Landlock." test "refused::landlock_restrict_self";
447 memfd_secret refuse(ENOSYS) "Not available: the app kernel must be able to read what a call points to." test "refused::memfd_secret";
448 process_mrelease refuse(EPERM) "Not available." test "refused::process_mrelease";
449 futex_waitv native "Complete." test "thread::futex_waitv";
450 set_mempolicy_home_node native "Within the container's cpuset." test "memory::set_mempolicy_home_node";
451 cachestat native "Complete." test "memory::cachestat";
452 fchmodat2 emulate(attributes::fchmodat2) "Complete." test "attributes::fchmodat2";
453 map_shadow_stack native "As far as the processor supports it." test "memory::map_shadow_stack";
454 futex_wake native "Complete." test "thread::futex_wake";
455 futex_wait native "Complete." test "thread::futex_wait";
456 futex_requeue native "Complete." test "thread::futex_requeue";
457 statmount emulate(mount::statmount) "Of mounts that the caller can reach, with guest CAP_SYS_ADMIN of all in its namespace; strings are those of /proc/PID/mountinfo; no id mappings and no options of security modules; other namespaces are not found (ENOENT). ENOSYS on hosts before 6.8." test "mount::statmount";
458 listmount emulate(mount::listmount) "Of the caller's mount namespace; others are not found (ENOENT). ENOSYS on hosts before 6.8." test "mount::listmount";
459 lsm_get_self_attr refuse(ENOSYS) "Not available." test "refused::lsm_get_self_attr";
460 lsm_set_self_attr refuse(ENOSYS) "Not available." test "refused::lsm_set_self_attr";
461 lsm_list_modules refuse(ENOSYS) "Not available." test "refused::lsm_list_modules";
462 mseal native "Complete." test "memory::mseal";
463 setxattrat emulate(xattr::setxattrat) "As setxattr, below a directory or on a descriptor." test "xattr::setxattrat";
464 getxattrat emulate(xattr::getxattrat) "As getxattr, below a directory or on a descriptor." test "xattr::getxattrat";
465 listxattrat emulate(xattr::listxattrat) "As listxattr, below a directory or on a descriptor." test "xattr::listxattrat";
466 removexattrat emulate(xattr::removexattrat) "As removexattr, below a directory or on a descriptor." test "xattr::removexattrat";
467 open_tree_attr refuse(ENOSYS) "Not available: programs fall back to mount." test "refused::open_tree_attr";
468 file_getattr refuse(ENOSYS) "Not available: programs fall back to ioctl." test "refused::file_getattr";
469 file_setattr refuse(ENOSYS) "Not available: programs fall back to ioctl." test "refused::file_setattr";
1000 loader_plan emulate(exec::loader_plan) "Private: the sandbox's loader asks for the program to map; for every other program ENOSYS, as on Linux." test "exec::loader_plan";

    } };
}
