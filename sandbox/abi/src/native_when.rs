//! The argument rules that the table names, `native when(RULE)`.
//!
//! Each is an allow-list wherever Linux may grow new values: what is not known here is not native.

use crate::constant::{clone, fcntl, ioctl, prctl, socket};
use crate::rule::Condition::{AllBits, AtMost, NoBits, NoneOf, OneOf, Secret, Zero};
use crate::rule::Rule;

/// `clone(flags, …)`. The low byte of `flags` is the exit signal.
pub const CLONE: Rule = Rule {
    text: "it makes a thread that shares memory, descriptors and file-system state with its maker, \
           and no namespace",
    alternatives: &[&[
        AllBits {
            argument: 0,
            mask: clone::THREAD_SHARED,
        },
        NoBits {
            argument: 0,
            mask: clone::NEW_NAMESPACE | clone::PTRACE | clone::UNTRACED,
        },
    ]],
};

/// `rt_sigaction(signum, act, …)`. The app kernel takes no part in what it does, but guards those whose handlers do
/// not restart calls: of the signals that come while a program goes on with its work.
pub const SIGACTION: Rule = Rule {
    text: "it only asks, or the signal is none of SIGALRM, SIGVTALRM, SIGPROF, SIGCHLD, SIGIO, SIGUSR1 and SIGUSR2",
    alternatives: &[
        &[Zero { argument: 1 }],
        &[NoneOf {
            argument: 0,
            values: crate::constant::BUSY_SIGNALS,
        }],
    ],
};

/// `execveat(dirfd, path, argv, envp, flags, unused)`.
pub const LOADER: Rule = Rule {
    text: "the unused sixth argument is the secret of the sandbox and the flags are AT_EMPTY_PATH",
    alternatives: &[&[
        Secret { argument: 5 },
        OneOf {
            argument: 4,
            values: &[crate::constant::AT_EMPTY_PATH],
        },
    ]],
};

/// `fcntl(fd, command, …)`.
pub const FCNTL: Rule = Rule {
    text: "the command is not a lease, a write hint or one that sets O_NOATIME",
    alternatives: &[
        &[
            AtMost {
                argument: 1,
                last: fcntl::F_GETOWNER_UIDS,
            },
            NoneOf {
                argument: 1,
                values: &[fcntl::F_SETFL],
            },
        ],
        &[
            OneOf {
                argument: 1,
                values: &[fcntl::F_SETFL],
            },
            NoBits {
                argument: 2,
                mask: fcntl::O_NOATIME,
            },
        ],
        &[OneOf {
            argument: 1,
            values: fcntl::NATIVE,
        }],
    ],
};

/// `get_robust_list(pid, …)`.
pub const SELF: Rule = Rule {
    text: "the pid is 0",
    alternatives: &[&[OneOf {
        argument: 0,
        values: &[0],
    }]],
};

/// `setpriority(which, who, …)`, `ioprio_set(which, who, …)`.
pub const SELF_SECOND: Rule = Rule {
    text: "the second argument is 0, which means the caller or what it belongs to",
    alternatives: &[&[OneOf {
        argument: 1,
        values: &[0],
    }]],
};

/// `ioctl(fd, request, …)`.
pub const IOCTL: Rule = Rule {
    text: "the request is one of the terminal, pipe, socket-queue, descriptor-flag and read-only \
           interface requests",
    alternatives: &[
        &[OneOf {
            argument: 1,
            values: ioctl::TERMINAL,
        }],
        &[OneOf {
            argument: 1,
            values: ioctl::DESCRIPTOR,
        }],
        &[OneOf {
            argument: 1,
            values: ioctl::INTERFACE,
        }],
    ],
};

/// The limits that the host keeps for a guest, asm-generic/resource.h: all but RLIMIT_LOCKS (10), which is the app
/// kernel's mark, and RLIMIT_NPROC (6), which does not bind everybody.
const HOST_LIMITS: &[u32] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15];

/// `getrlimit(resource, …)`.
pub const LIMIT: Rule = Rule {
    text: "the limit is neither RLIMIT_LOCKS nor RLIMIT_NPROC",
    alternatives: &[&[OneOf {
        argument: 0,
        values: HOST_LIMITS,
    }]],
};

/// `prlimit64(pid, resource, new, old)`: every dynamic program asks for the size of its stack.
pub const OWN_LIMIT: Rule = Rule {
    text: "it asks for a limit of the caller, by pid 0, other than RLIMIT_LOCKS and RLIMIT_NPROC",
    alternatives: &[&[
        OneOf {
            argument: 0,
            values: &[0],
        },
        OneOf {
            argument: 1,
            values: HOST_LIMITS,
        },
        Zero { argument: 2 },
    ]],
};

/// `mq_notify(queue, event)`. The mark is no secret: the call is harmless, and what the app kernel adds is a socket that
/// the guest does not have.
pub const MQ_NOTIFY: Rule = Rule {
    text: "it ends a notification, or the app kernel has the guest make it (which the unused sixth argument says)",
    alternatives: &[
        &[Zero { argument: 1 }],
        &[OneOf {
            argument: 5,
            values: &[crate::constant::MQ_NOTIFY_MADE],
        }],
    ],
};

/// `personality(persona)`.
pub const PERSONALITY: Rule = Rule {
    text: "the value is 0, ADDR_NO_RANDOMIZE or the query 0xffffffff",
    alternatives: &[&[OneOf {
        argument: 0,
        values: &[0, 0x0004_0000, 0xffff_ffff],
    }]],
};

/// `prctl(option, …)`.
pub const PRCTL: Rule = Rule {
    text: "the option acts on the caller's own name, memory or timers only",
    alternatives: &[
        &[OneOf {
            argument: 0,
            values: prctl::NATIVE,
        }],
        &[
            OneOf {
                argument: 0,
                values: &[prctl::PR_SET_MM],
            },
            OneOf {
                argument: 1,
                values: &[prctl::PR_SET_MM_MAP, prctl::PR_SET_MM_MAP_SIZE],
            },
        ],
    ],
};

/// `sendto(fd, buffer, length, flags, address, address_length)`.
pub const SENDTO: Rule = Rule {
    text: "no destination address is given and the length is not that of a netlink request (20)",
    alternatives: &[&[
        Zero { argument: 4 },
        NoneOf {
            argument: 2,
            values: &[socket::NETLINK_LIST_BYTES],
        },
    ]],
};

/// `socketpair(domain, …)`.
pub const SOCKETPAIR: Rule = Rule {
    text: "the domain is AF_UNIX",
    alternatives: &[&[OneOf {
        argument: 0,
        values: &[socket::AF_UNIX],
    }]],
};

/// `setsockopt(fd, level, option, …)`.
pub const SETSOCKOPT: Rule = Rule {
    text: "the option is a socket, IP, IPv6, TCP or UDP option other than socket filters, \
           upper-layer protocols, repair mode, key material, IPsec, encapsulation and netfilter",
    alternatives: &[
        &[
            OneOf {
                argument: 1,
                values: &[socket::SOL_SOCKET],
            },
            NoneOf {
                argument: 2,
                values: socket::SOCKET_SET_EMULATED,
            },
        ],
        &[
            OneOf {
                argument: 1,
                values: &[socket::IPPROTO_TCP],
            },
            AtMost {
                argument: 2,
                last: socket::TCP_LAST,
            },
            NoneOf {
                argument: 2,
                values: socket::TCP_EMULATED,
            },
        ],
        &[
            OneOf {
                argument: 1,
                values: &[socket::IPPROTO_UDP],
            },
            NoneOf {
                argument: 2,
                values: &[socket::UDP_ENCAP],
            },
        ],
        &[
            OneOf {
                argument: 1,
                values: &[socket::IPPROTO_IP],
            },
            AtMost {
                argument: 2,
                last: socket::IP_LAST,
            },
            NoneOf {
                argument: 2,
                values: socket::IP_EMULATED,
            },
        ],
        &[
            OneOf {
                argument: 1,
                values: &[socket::IPPROTO_IPV6],
            },
            AtMost {
                argument: 2,
                last: socket::IPV6_LAST,
            },
            NoneOf {
                argument: 2,
                values: socket::IPV6_EMULATED,
            },
        ],
    ],
};

/// `getsockopt(fd, level, option, …)`.
pub const GETSOCKOPT: Rule = Rule {
    text: "the option is a socket, IP, IPv6, TCP or UDP option other than type, domain and protocol, peer credentials, socket \
           filters, network cookies, memory mapping, IPsec and netfilter",
    alternatives: &[
        &[
            OneOf {
                argument: 1,
                values: &[socket::SOL_SOCKET],
            },
            NoneOf {
                argument: 2,
                values: socket::SOCKET_QUERY_EMULATED,
            },
        ],
        &[
            OneOf {
                argument: 1,
                values: &[socket::IPPROTO_TCP],
            },
            AtMost {
                argument: 2,
                last: socket::TCP_LAST,
            },
            NoneOf {
                argument: 2,
                values: &[socket::TCP_ZEROCOPY_RECEIVE],
            },
        ],
        &[OneOf {
            argument: 1,
            values: &[socket::IPPROTO_UDP],
        }],
        &[
            OneOf {
                argument: 1,
                values: &[socket::IPPROTO_IP],
            },
            AtMost {
                argument: 2,
                last: socket::IP_LAST,
            },
        ],
        &[
            OneOf {
                argument: 1,
                values: &[socket::IPPROTO_IPV6],
            },
            AtMost {
                argument: 2,
                last: socket::IPV6_LAST,
            },
            NoneOf {
                argument: 2,
                values: socket::IPV6_EMULATED,
            },
        ],
    ],
};
