//! Why a machine could not be made or went down.

use std::io;
use std::path::PathBuf;

/// All of it is told to whoever started the monitor.
#[derive(Debug, thiserror::Error)]
pub enum VmmError {
    /// a field of the configuration is wrong
    #[error("{field}: {value}: {problem}")]
    Config {
        /// Which.
        field: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// the configuration is not one
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in it, and why.
        source: serde_json::Error,
    },
    /// a file could not be used
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// KVM cannot be had
    #[error(
        "/dev/kvm: {source} (is virtualisation enabled, and the module kvm_intel or kvm_amd loaded?)"
    )]
    NoKvm {
        /// Why.
        source: io::Error,
    },
    /// KVM here runs guests without hardware virtualisation
    #[error(
        "/dev/kvm belongs to kvm_pvm (pagetable KVM), under which an ordinary guest kernel does not run: \
         hardware virtualisation is needed"
    )]
    PagetableKvm,
    /// a KVM request failed
    #[error("KVM: {request}: {source}")]
    Kvm {
        /// Which.
        request: &'static str,
        /// Why.
        source: io::Error,
    },
    /// guest memory could not be had
    #[error("{mib} MiB of guest memory: {problem}")]
    Memory {
        /// How much.
        mib: u32,
        /// Why.
        problem: String,
    },
    /// the kernel is not one, or does not fit
    #[error("kernel {}: {problem}", path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// the initial ramdisk does not fit
    #[error("initrd {}: {size} bytes do not fit into {mib} MiB of memory beside the kernel", path.display())]
    Initrd {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The machine's memory.
        mib: u32,
    },
    /// the kernel's command line with the devices added is too long
    #[error("cmdline: {length} bytes with the devices added: {limit} at most")]
    Cmdline {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// there are not enough interrupt lines
    #[error("{count} devices: {limit} at most")]
    Devices {
        /// How many there are to be.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// an operation on the monitor's own threads, events or terminals failed
    #[error("{step}: {source}")]
    Step {
        /// Which.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// whoever serves files to the guest does not any more
    #[error("the server of files (caisson-share): {problem}")]
    Share {
        /// What is known of it.
        problem: String,
    },
    /// the guest's processor is in a state in which KVM cannot run it
    #[error("virtual CPU {vcpu}: {problem}")]
    Vcpu {
        /// Which.
        vcpu: u8,
        /// What KVM says.
        problem: String,
    },
}

impl VmmError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> VmmError {
        let path = path.into();
        move |source| VmmError::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn kvm(request: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> VmmError {
        move |errno| VmmError::Kvm {
            request,
            source: io::Error::from_raw_os_error(errno.errno()),
        }
    }

    pub(crate) fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> VmmError {
        move |source| VmmError::Step {
            step,
            source: source.into(),
        }
    }
}
