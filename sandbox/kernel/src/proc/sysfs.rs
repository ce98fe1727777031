//! The tree of /sys: CPUs and memory of the container, the pod's network interfaces, and empty directories where
//! programs look for hardware.
//!
//! The whole tree is small: it is made as a map from paths to texts, and kept for a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use caisson_sys::cache::{Cache, CacheKind};
use nix::errno::Errno;

use super::context::Context;
use super::limits::{self, Memory};
use super::names::Names;
use super::netlink::{self, Interface};
use super::tree::{self, Access, Caller, Opener, Tree};
use super::view::{Guests, Walker};
use super::wire::{Attributes, Item, ROOT_ID, Validity};

const KEPT: Duration = Duration::from_secs(1);
const PAGE: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory,
    File(String),
    Link(String),
}

type Map = BTreeMap<String, Entry>;

pub(super) struct SysTree {
    context: Context,
    names: Names,
    kept: Mutex<Option<(Instant, Arc<Map>)>>,
}

/// Puts texts into the map together with the directories above them.
struct Builder(Map);

impl Builder {
    fn put(&mut self, path: &str, entry: Entry) {
        for (slash, _) in path.match_indices('/') {
            self.0
                .entry(path[..slash].to_owned())
                .or_insert(Entry::Directory);
        }
        self.0.insert(path.to_owned(), entry);
    }

    fn line(&mut self, path: &str, text: impl std::fmt::Display) {
        self.put(path, Entry::File(format!("{text}\n")));
    }
}

const EMPTY: [&str; 16] = [
    "block",
    "bus",
    "class/block",
    "class/mem",
    "class/tty",
    "dev/block",
    "dev/char",
    "devices/platform",
    "firmware",
    "fs/cgroup",
    "kernel/debug",
    "kernel/mm/hugepages",
    // That it is there says that madvise(MADV_MERGEABLE) is known.
    "kernel/mm/ksm",
    "kernel/security",
    "module",
    "power",
];

impl SysTree {
    pub(super) fn new(guests: Arc<dyn Guests>) -> SysTree {
        let tree = SysTree {
            context: Context::new(guests),
            names: Names::default(),
            kept: Mutex::default(),
        };
        // The root has the lowest number, which is FUSE's for it.
        tree.names.number("", |_| true);
        tree
    }

    fn map(&self) -> Arc<Map> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((made, map)) if made.elapsed() < KEPT => Arc::clone(map),
            _ => {
                let map = Arc::new(build(&self.context));
                // Before the container is booted its limits are unknown.
                if self.context.guests.system().is_none() {
                    return map;
                }
                *kept = Some((Instant::now(), Arc::clone(&map)));
                map
            }
        }
    }

    fn path(&self, number: u64) -> Result<Arc<str>, Errno> {
        let index = number
            .checked_sub(ROOT_ID)
            .and_then(|index| u32::try_from(index).ok());
        index
            .and_then(|index| self.names.path(index))
            .ok_or(Errno::ESTALE)
    }

    fn entry(&self, path: &str) -> Result<Entry, Errno> {
        match path {
            "" => Ok(Entry::Directory),
            _ => self.map().get(path).cloned().ok_or(Errno::ENOENT),
        }
    }

    fn number(&self, path: &str) -> u32 {
        let map = self.map();
        self.names
            .number(path, |path| path.is_empty() || map.contains_key(path))
    }

    fn describe(&self, path: &str) -> Result<Attributes, Errno> {
        let (mode, links, size) = match self.entry(path)? {
            Entry::Directory => (libc::S_IFDIR | 0o555, 2, 0),
            Entry::File(_) => (libc::S_IFREG | 0o444, 1, PAGE),
            Entry::Link(_) => (libc::S_IFLNK | 0o777, 1, 0),
        };
        let node = ROOT_ID + u64::from(self.number(path));
        let time_s = self.context.system().boot_epoch_s;
        Ok(Attributes {
            node,
            mode,
            uid: 0,
            gid: 0,
            links,
            size,
            block_size: PAGE as u32,
            valid: Validity::SECOND,
            time_s,
        })
    }
}

fn build(context: &Context) -> Map {
    let mut builder = Builder(Map::new());
    for path in EMPTY {
        builder.put(path, Entry::Directory);
    }
    cpus(&mut builder, &limits::cpus(context));
    memory(&mut builder, &Memory::of_container(context));
    builder.put("class/net", Entry::Directory);
    builder.put("devices/virtual/net", Entry::Directory);
    match netlink::interfaces() {
        Ok(interfaces) => interfaces
            .iter()
            .for_each(|interface| network(&mut builder, interface)),
        Err(errno) => tracing::warn!(%errno, "cannot list network interfaces for /sys"),
    }
    builder.0
}

fn cpus(builder: &mut Builder, cpus: &[u32]) {
    let list = limits::format_list(cpus);
    let mask = limits::format_mask(cpus);
    let caches = caisson_sys::cache::caches();
    for name in ["online", "possible", "present"] {
        builder.line(&format!("devices/system/cpu/{name}"), &list);
    }
    for name in ["offline", "isolated", "nohz_full"] {
        builder.line(&format!("devices/system/cpu/{name}"), "");
    }
    builder.line("devices/system/cpu/kernel_max", 8191);
    builder.line("devices/system/cpu/smt/active", 0);
    builder.line("devices/system/cpu/smt/control", "notsupported");
    for &cpu in cpus {
        let base = format!("devices/system/cpu/cpu{cpu}");
        if cpu != 0 {
            builder.line(&format!("{base}/online"), 1);
        }
        let own = limits::format_mask(&[cpu]);
        let topology: [(&str, &dyn std::fmt::Display); 12] = [
            ("core_id", &cpu),
            ("physical_package_id", &0),
            ("die_id", &0),
            ("core_cpus", &own),
            ("core_cpus_list", &cpu),
            ("thread_siblings", &own),
            ("thread_siblings_list", &cpu),
            ("core_siblings", &mask),
            ("core_siblings_list", &list),
            ("package_cpus", &mask),
            ("package_cpus_list", &list),
            ("die_cpus_list", &list),
        ];
        for (name, value) in topology {
            builder.line(&format!("{base}/topology/{name}"), value);
        }
        for (index, one) in caches.iter().enumerate() {
            // As the topology above has it: processors share nothing but the last level.
            let shared: &[u32] = if one.level < SHARED_LEVEL {
                &[cpu]
            } else {
                cpus
            };
            cache(builder, &format!("{base}/cache/index{index}"), one, shared);
        }
    }
    for name in [
        "online",
        "possible",
        "has_cpu",
        "has_memory",
        "has_normal_memory",
    ] {
        builder.line(&format!("devices/system/node/{name}"), 0);
    }
    builder.line("devices/system/node/node0/cpulist", &list);
    builder.line("devices/system/node/node0/cpumap", &mask);
    builder.line("devices/system/node/node0/distance", 10);
}

/// The level of the caches that all processors are shown to share.
const SHARED_LEVEL: u32 = 3;

fn cache(builder: &mut Builder, base: &str, cache: &Cache, shared: &[u32]) {
    let kind = match cache.kind {
        CacheKind::Data => "Data",
        CacheKind::Instruction => "Instruction",
        CacheKind::Unified => "Unified",
    };
    let size = format!("{}K", cache.bytes() >> 10);
    let (map, list) = (limits::format_mask(shared), limits::format_list(shared));
    let lines: [(&str, &dyn std::fmt::Display); 9] = [
        ("level", &cache.level),
        ("type", &kind),
        ("size", &size),
        ("coherency_line_size", &cache.line_bytes),
        ("physical_line_partition", &cache.partitions),
        ("ways_of_associativity", &cache.ways),
        ("number_of_sets", &cache.sets),
        ("shared_cpu_map", &map),
        ("shared_cpu_list", &list),
    ];
    for (name, value) in lines {
        builder.line(&format!("{base}/{name}"), value);
    }
}

fn memory(builder: &mut Builder, memory: &Memory) {
    let row = |name: &str, bytes: u64| {
        format!("Node 0 {:<16}{:>8} kB\n", format!("{name}:"), bytes >> 10)
    };
    let text = row("MemTotal", memory.total)
        + &row("MemFree", memory.free)
        + &row("MemUsed", memory.total.saturating_sub(memory.free))
        + &row("Active", memory.active_anon + memory.active_file)
        + &row("Inactive", memory.inactive_anon + memory.inactive_file)
        + &row("FilePages", memory.cached)
        + &row("AnonPages", memory.anonymous)
        + &row("Shmem", memory.shmem);
    builder.put("devices/system/node/node0/meminfo", Entry::File(text));
    let thp = "kernel/mm/transparent_hugepage";
    builder.line(&format!("{thp}/enabled"), "always [madvise] never");
    builder.line(
        &format!("{thp}/defrag"),
        "always defer defer+madvise [madvise] never",
    );
    builder.line(
        &format!("{thp}/shmem_enabled"),
        "always within_size advise [never] deny force",
    );
    builder.line(&format!("{thp}/hpage_pmd_size"), 2 << 20);
    builder.line(&format!("{thp}/use_zero_page"), 1);
}

/// rtnl_link_stats64 in order, as the files are called.
const COUNTERS: [&str; 24] = [
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "multicast",
    "collisions",
    "rx_length_errors",
    "rx_over_errors",
    "rx_crc_errors",
    "rx_frame_errors",
    "rx_fifo_errors",
    "rx_missed_errors",
    "tx_aborted_errors",
    "tx_carrier_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_window_errors",
    "rx_compressed",
    "tx_compressed",
    "rx_nohandler",
];

fn network(builder: &mut Builder, interface: &Interface) {
    let name = &interface.name;
    let base = format!("devices/virtual/net/{name}");
    let address = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(":")
    };
    let state = match interface.state {
        1 => "notpresent",
        2 => "down",
        3 => "lowerlayerdown",
        4 => "testing",
        5 => "dormant",
        6 => "up",
        _ => "unknown",
    };
    let mut line =
        |file: &str, value: &dyn std::fmt::Display| builder.line(&format!("{base}/{file}"), value);
    line("address", &address(&interface.address));
    line("addr_len", &interface.address.len());
    line("broadcast", &address(&interface.broadcast));
    line("carrier", &interface.carrier);
    line("dev_id", &"0x0");
    line("dev_port", &0);
    line("dormant", &0);
    // What the interface is set to, without what it is at the moment.
    let set = interface.flags & 0xffff & !(libc::IFF_RUNNING as u32);
    line("flags", &format!("{set:#x}"));
    line("ifalias", &"");
    line("ifindex", &interface.index);
    line("iflink", &interface.link);
    line("link_mode", &0);
    line("mtu", &interface.mtu);
    line("netdev_group", &0);
    line("operstate", &state);
    line("proto_down", &0);
    line("tx_queue_len", &interface.queue_length);
    line("type", &interface.kind);
    line(
        "uevent",
        &format!("INTERFACE={name}\nIFINDEX={}", interface.index),
    );
    for (file, value) in COUNTERS.iter().zip(&interface.counters) {
        line(&format!("statistics/{file}"), value);
    }
    builder.put(&format!("{base}/queues/rx-0"), Entry::Directory);
    builder.put(&format!("{base}/queues/tx-0"), Entry::Directory);
    builder.put(
        &format!("{base}/subsystem"),
        Entry::Link("../../../../class/net".to_owned()),
    );
    builder.put(
        &format!("class/net/{name}"),
        Entry::Link(format!("../../devices/virtual/net/{name}")),
    );
}

impl Tree for SysTree {
    fn lookup(&self, parent: u64, name: &str) -> Result<Attributes, Errno> {
        let parent = self.path(parent)?;
        if parent.is_empty() {
            self.describe(name)
        } else {
            self.describe(&format!("{parent}/{name}"))
        }
    }

    fn attributes(&self, node: u64) -> Result<Attributes, Errno> {
        self.describe(&self.path(node)?)
    }

    fn link(&self, node: u64, _: &Caller) -> Result<Vec<u8>, Errno> {
        match self.entry(&self.path(node)?)? {
            Entry::Link(target) => Ok(target.into_bytes()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, _: u64, _: &Caller, access: Access) -> Result<Opener, Errno> {
        match access {
            Access::Read => Ok(Opener::default()),
            Access::Write => Err(Errno::EACCES),
        }
    }

    fn content(&self, node: u64, _: &Opener) -> Result<Vec<u8>, Errno> {
        match self.entry(&self.path(node)?)? {
            Entry::File(text) => Ok(text.into_bytes()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn write(&self, _: u64, _: &Opener, _: &Caller, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EACCES)
    }

    fn list(&self, node: u64) -> Result<Vec<Item>, Errno> {
        let path = self.path(node)?;
        if self.entry(&path)? != Entry::Directory {
            return Err(Errno::ENOTDIR);
        }
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let mut items = Vec::new();
        for (child, entry) in self.map().range(prefix.clone()..) {
            let Some(name) = child.strip_prefix(&prefix) else {
                break;
            };
            if name.is_empty() || name.contains('/') {
                continue;
            }
            let kind = match entry {
                Entry::Directory => libc::DT_DIR,
                Entry::File(_) => libc::DT_REG,
                Entry::Link(_) => libc::DT_LNK,
            };
            let node = ROOT_ID + u64::from(self.number(child));
            items.push(Item {
                name: name.to_owned(),
                node,
                kind,
            });
        }
        Ok(tree::with_dots(node, items))
    }

    fn creation_error(&self) -> Errno {
        Errno::EACCES
    }

    fn walker(&self, tid: u32) -> Option<Arc<Walker>> {
        self.context.guests.walker(tid)
    }

    fn settle(&self) -> bool {
        self.context.settle()
    }
}
