//! `check`: whether this host can run sandboxes, by which transport, and for whom.

mod rootless;

use std::path::Path;

use caisson_sys::landlock::{self, Scope};
use caisson_sys::namespace::{self, Namespaces};
use rootless::Rootless;
use serde_json::json;

use super::print_json;
use crate::RuntimeError;
use crate::cgroup::{Version, host::Host};
use crate::transport;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

struct Finding {
    name: &'static str,
    good: bool,
    detail: String,
}

/// Status 1 when something that every sandbox needs is missing.
pub fn run(_arguments: &Arguments) -> Result<u8, RuntimeError> {
    let rootless = rootless::look();
    let findings = [
        user(&rootless),
        kernel(),
        transports(),
        fuse(),
        landlock(),
        cgroups(),
        kvm(Path::new("/dev/kvm"), Path::new("/sys/module/kvm_pvm")),
        machine_network(),
    ];
    let good = findings.iter().all(|finding| finding.good);
    let list: Vec<_> = findings
        .iter()
        .map(|finding| json!({"name": finding.name, "ok": finding.good, "detail": finding.detail}))
        .collect();
    print_json(&json!({
        "ok": good,
        "rootless": rootless.works,
        "tiers": {"kernel": {"transports": if good { names() } else { vec![] }}},
        "checks": list,
    }))?;
    Ok(u8::from(!good))
}

/// Root can in any case; for others all depends on what is said here.
fn user(rootless: &Rootless) -> Finding {
    let uid = rustix::process::geteuid();
    Finding {
        name: "rootless",
        good: uid.is_root() || rootless.works,
        detail: format!("effective uid {uid}; {}", rootless.detail),
    }
}

/// 5.19 has SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, without which signals cancel calls half done.
fn kernel() -> Finding {
    let names = rustix::system::uname();
    let release = names.release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(['.', '-', '+'])
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Finding {
        name: "kernel",
        good: version >= (5, 19),
        detail: format!("{release}, 5.19 or newer is needed"),
    }
}

fn names() -> Vec<&'static str> {
    transport::list().iter().map(|kind| kind.name()).collect()
}

/// One of them is needed: user notification, or seccomp events under ptrace.
fn transports() -> Finding {
    let path = transport::ACTIONS;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Finding {
        name: "transport",
        good: !names().is_empty(),
        detail: format!("{}; {path}: {}", names().join(" "), text.trim()),
    }
}

fn fuse() -> Finding {
    let text = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let known = text
        .lines()
        .any(|line| line.trim_start_matches("nodev").trim() == "fuse");
    let device = Path::new("/dev/fuse").exists();
    Finding {
        name: "FUSE",
        good: known && device,
        detail: format!("file system: {known}, /dev/fuse: {device}"),
    }
}

/// A second line of defence: its absence is told, but stops nothing.
fn landlock() -> Finding {
    let detail = match landlock::deny_all(Scope::Files) {
        Ok(Some(_)) => "available".to_owned(),
        Ok(None) => "not in this kernel; guests run without it".to_owned(),
        Err(errno) => errno.to_string(),
    };
    Finding {
        name: "Landlock",
        good: true,
        detail,
    }
}

/// For micro-VMs only: what is missing is told, but stops nothing. Pagetable KVM runs a guest's user space on the
/// processor, but not the ring 0 of a kernel that does not know of it.
fn kvm(device: &Path, pagetable_module: &Path) -> Finding {
    let detail = if !device.exists() {
        "no /dev/kvm: no micro-VMs".to_owned()
    } else if pagetable_module.exists() {
        "pagetable KVM (module kvm_pvm), under which ordinary guest kernels do not run: no micro-VMs"
            .to_owned()
    } else if let Err(error) = std::fs::File::open(device) {
        format!("{}: {error}: no micro-VMs", device.display())
    } else {
        "hardware virtualisation".to_owned()
    };
    Finding {
        name: "KVM",
        good: true,
        detail,
    }
}

/// For micro-VMs in pods with a network, likewise.
fn machine_network() -> Finding {
    let tried = std::thread::spawn(|| {
        namespace::unshare(Namespaces::NET).map_err(|errno| errno.to_string())?;
        caisson_network::probe().map_err(|error| error.to_string())
    });
    let detail = match tried.join() {
        Ok(Ok(())) => "frames can be redirected to micro-VMs".to_owned(),
        Ok(Err(reason)) => format!("no micro-VMs with interfaces: {reason}"),
        Err(_) => "not known".to_owned(),
    };
    Finding {
        name: "micro-VM network",
        good: true,
        detail,
    }
}

fn cgroups() -> Finding {
    match Host::discover() {
        Ok(host) => {
            let names: Vec<&str> = host
                .hierarchies
                .iter()
                .map(|hierarchy| hierarchy.name.as_str())
                .collect();
            let unified = host.hierarchies.iter().any(|hierarchy| hierarchy.unified);
            let version = match (host.version, unified) {
                (Version::V2, _) => "v2",
                (Version::V1, true) => "hybrid",
                (Version::V1, false) => "v1",
            };
            Finding {
                name: "cgroups",
                good: true,
                detail: format!("{version}: {}", names.join(" ")),
            }
        }
        Err(error) => Finding {
            name: "cgroups",
            good: false,
            detail: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pagetable_kvm_is_told_from_the_true_one() {
        let (there, missing) = (Path::new("/dev/null"), Path::new("/nowhere"));
        assert!(kvm(missing, missing).detail.starts_with("no /dev/kvm"));
        assert!(kvm(there, there).detail.contains("kvm_pvm"));
        assert_eq!(kvm(there, missing).detail, "hardware virtualisation");
    }
}
