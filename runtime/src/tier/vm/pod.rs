//! Which machine a container runs in: its own, or that of the pod it belongs to.
//!
//! A container belongs to a pod by the annotations of CRI runtimes, or because it joins the network namespace of a
//! container that has a machine, as Podman's pods and `--network container:` do it. Its folder in the state then has
//! a link where the machine's owner has the monitor's sockets, so that everything that speaks to the agent is the
//! same for both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VmTier;
use super::files::VISIBLE;
use crate::RuntimeError;
use crate::namespace::{Namespaces, Origin};
use crate::spec::SpecError;
use crate::state::{Entry, State, Status, Store};
use crate::tier::{Blueprint, Tier};

/// Annotations with the id of a pod's first container, and those that say which one a container is, of containerd
/// and of CRI-O and Podman.
const LABELS: [(&str, &str); 2] = [
    (
        "io.kubernetes.cri.sandbox-id",
        "io.kubernetes.cri.container-type",
    ),
    (
        "io.kubernetes.cri-o.SandboxID",
        "io.kubernetes.cri-o.ContainerType",
    ),
];

/// The place of a container in the machine of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Membership {
    /// The container that the machine was started for, and its folder in the state.
    pub(super) owner: String,
    pub(super) folder: PathBuf,
    /// Whose namespaces it joins in the guest, by their kinds.
    pub(super) joined: BTreeMap<String, String>,
}

impl Membership {
    /// The owner's entry in the state.
    pub(super) fn entry(&self) -> Result<Entry, RuntimeError> {
        let root = self.folder.parent().unwrap_or(Path::new("/"));
        Ok(Store::new(root.to_owned()).entry(&self.owner)?)
    }
}

/// The owner of the machine that a container is a member of, by its folder in the state.
pub(super) fn owner_of(entry: &Entry) -> Option<Entry> {
    let machine = std::fs::read_link(entry.folder().join(VISIBLE)).ok()?;
    let folder = machine.parent()?;
    let store = Store::new(folder.parent()?.to_owned());
    store.entry(folder.file_name()?.to_str()?).ok()
}

/// A container of this tier and its folder.
struct Neighbour {
    state: State,
    folder: PathBuf,
}

impl Neighbour {
    /// Whether the machine was started for it.
    fn is_owner(&self) -> bool {
        self.folder.join(VISIBLE).is_dir() && !self.folder.join(VISIBLE).is_symlink()
    }

    /// The folder of the machine's sockets, whosever it is.
    fn machine(&self) -> Option<PathBuf> {
        std::fs::canonicalize(self.folder.join(VISIBLE)).ok()
    }

    /// Whether its sandbox process is in the namespace that `path` names.
    fn is_in(&self, path: &Path, file: &str) -> bool {
        let own = format!("/proc/{}/ns/{file}", self.state.pid());
        match (rustix::fs::stat(path), rustix::fs::stat(&*own)) {
            (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
            _ => false,
        }
    }
}

/// The machine that a new container joins, if it does not get one of its own.
pub(super) fn membership(from: &Blueprint<'_>) -> Result<Option<Membership>, RuntimeError> {
    let neighbours = neighbours(from)?;
    let Some(owner) = owner(from, &neighbours)? else {
        alone(&from.namespaces, &neighbours)?;
        return Ok(None);
    };
    let machine = owner.machine();
    let members: Vec<&Neighbour> = neighbours
        .iter()
        .filter(|neighbour| neighbour.machine() == machine)
        .collect();
    let network = match &from.namespaces.network {
        Origin::Join(path) => owner.is_in(path, "net"),
        Origin::New | Origin::Host => false,
    };
    if !network {
        let reason = format!(
            "not that of {}, in whose virtual machine it is to run",
            owner.state.id
        );
        let value = format!("{:?}", from.namespaces.network);
        return Err(SpecError::unsupported("linux.namespaces: network", value, reason).into());
    }
    let mut joined = BTreeMap::new();
    for (kind, origin) in kinds(&from.namespaces) {
        if let Origin::Join(path) = origin {
            let whose = members.iter().find(|member| joins(member, path, kind));
            let whose = whose.ok_or_else(|| {
                let reason =
                    "not a namespace of the virtual machine that the container is to run in";
                let field = format!("linux.namespaces: {kind}: path");
                SpecError::unsupported(field, path.display().to_string(), reason)
            })?;
            joined.insert(kind.to_owned(), whose.state.id.clone());
        }
    }
    Ok(Some(Membership {
        owner: owner.state.id.clone(),
        folder: owner.folder.clone(),
        joined,
    }))
}

fn kinds(namespaces: &Namespaces) -> [(&'static str, &Origin); 3] {
    [
        ("ipc", &namespaces.ipc),
        ("uts", &namespaces.uts),
        ("pid", &namespaces.pid),
    ]
}

/// Whether `path` stands for the namespace of that container. Sandbox processes are all in the host's pid namespace;
/// there the process itself is meant.
fn joins(member: &Neighbour, path: &Path, kind: &str) -> bool {
    if kind == "pid" {
        let pid = member.state.pid();
        return pid != 0 && path == Path::new(&format!("/proc/{pid}/ns/pid"));
    }
    member.is_in(path, kind)
}

/// A container with a machine of its own shares no namespace with another machine's.
fn alone(namespaces: &Namespaces, neighbours: &[Neighbour]) -> Result<(), RuntimeError> {
    for (kind, origin) in kinds(namespaces) {
        let Origin::Join(path) = origin else { continue };
        let other = neighbours
            .iter()
            .find(|neighbour| joins(neighbour, path, kind));
        // Nobody can join another guest's processes, whatever tier has them.
        if other.is_some() || kind == "pid" {
            let reason =
                "a namespace of another container, which does not run in the same virtual machine";
            let field = format!("linux.namespaces: {kind}: path");
            return Err(SpecError::unsupported(field, path.display().to_string(), reason).into());
        }
    }
    Ok(())
}

fn neighbours(from: &Blueprint<'_>) -> Result<Vec<Neighbour>, RuntimeError> {
    let root = from.entry.folder().parent().unwrap_or(Path::new("/"));
    let store = Store::new(root.to_owned());
    let states = store.list()?.into_iter().filter(|state| {
        let running = matches!(
            state.status(),
            Status::Created | Status::Running | Status::Paused
        );
        running && state.tier == VmTier.name() && state.id != from.state.id
    });
    let neighbours = states.map(|state| Neighbour {
        folder: root.join(&state.id),
        state,
    });
    Ok(neighbours.collect())
}

fn owner<'a>(
    from: &Blueprint<'_>,
    neighbours: &'a [Neighbour],
) -> Result<Option<&'a Neighbour>, RuntimeError> {
    let annotations = &from.state.spec.annotations;
    let mut owners = neighbours.iter().filter(|neighbour| neighbour.is_owner());
    for (id_label, kind_label) in LABELS {
        let kind = annotations.get(kind_label).map(String::as_str);
        let Some(id) = annotations.get(id_label) else {
            continue;
        };
        if kind == Some("sandbox") || *id == from.state.id {
            return Ok(None);
        }
        if let Some(owner) = owners.clone().find(|owner| owner.state.id == *id) {
            return Ok(Some(owner));
        }
        // Podman names the pod, not a container of it.
        if kind == Some("container") && id_label == LABELS[0].0 {
            let field = format!("annotations.{id_label}");
            let reason = "no virtual machine of that name runs";
            return Err(SpecError::unsupported(field, id, reason).into());
        }
    }
    Ok(match &from.namespaces.network {
        Origin::Join(path) => owners.find(|owner| owner.is_in(path, "net")),
        Origin::New | Origin::Host => None,
    })
}
