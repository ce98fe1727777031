//! What a container uses, as containerd's metrics messages, read from its control groups.

mod v1;
mod v2;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;

use crate::cgroup::Cgroup;
use crate::error::ShimError;

/// The metrics of `cgroup`; containerd tells v1 from v2 by the type of the message.
pub(crate) fn read(cgroup: &Cgroup) -> Result<Any, ShimError> {
    let (type_url, value) = match cgroup {
        Cgroup::V1(folders) => (
            "io.containerd.cgroups.v1.Metrics",
            v1::read(folders).write_to_bytes()?,
        ),
        Cgroup::V2(folder) => (
            "io.containerd.cgroups.v2.Metrics",
            v2::read(folder).write_to_bytes()?,
        ),
    };
    Ok(Any {
        type_url: type_url.to_owned(),
        value,
        ..Any::default()
    })
}

/// A file that holds one number; `max` is the largest number. Absent files count as zero, as the
/// kernel leaves out what it is not configured for.
fn number(folder: &Path, file: &str) -> u64 {
    fs::read_to_string(folder.join(file)).map_or(0, |text| parse(text.trim()))
}

fn parse(text: &str) -> u64 {
    if text == "max" {
        u64::MAX
    } else {
        text.parse().unwrap_or(0)
    }
}

/// A file of lines `name value`.
#[derive(Default)]
struct Flat(HashMap<String, u64>);

impl Flat {
    fn read(folder: &Path, file: &str) -> Flat {
        Flat::parse(&fs::read_to_string(folder.join(file)).unwrap_or_default())
    }

    fn parse(text: &str) -> Flat {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Flat(
            lines
                .map(|(name, value)| (name.to_owned(), parse(value.trim())))
                .collect(),
        )
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// `major:minor`.
fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Page sizes of the hugetlb controller, by the names of its files.
fn huge_page_sizes(folder: &Path, suffix: &str) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| {
            name.strip_prefix("hugetlb.")?
                .strip_suffix(suffix)
                .map(str::to_owned)
        })
        .filter(|size| !size.contains('.'))
        .collect()
}
