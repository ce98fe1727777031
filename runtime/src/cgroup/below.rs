//! `exec --cgroup`: cgroups below the container's that a process starts in.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{Cgroup, CgroupError, Group, io};
use crate::RuntimeError;

const OPTION: &str = "--cgroup";

/// What the option says: one path for all hierarchies, or one for some controllers each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Below(Vec<(Option<String>, PathBuf)>);

impl Below {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `PATH`, or any number of `CONTROLLER[,CONTROLLER…]:PATH`.
    pub fn parse(values: &[String]) -> Result<Below, RuntimeError> {
        let mut below = Vec::new();
        for value in values {
            let refused = |reason: &str| RuntimeError::option(OPTION, value, reason);
            let (controllers, path) = match value.split_once(':') {
                Some((controllers, path)) => (Some(controllers), path),
                None if values.len() > 1 => return Err(refused("missing <controller>: prefix")),
                None => (None, value.as_str()),
            };
            if path.contains(':') {
                return Err(refused("more than one colon"));
            }
            let path = Path::new(path.trim_start_matches('/'));
            if path.components().any(|part| part.as_os_str() == "..") {
                return Err(refused("not a sub cgroup path"));
            }
            match controllers {
                None => below.push((None, path.to_owned())),
                Some(names) => {
                    let names = names.split(',').map(str::to_owned);
                    below.extend(names.map(|name| (Some(name), path.to_owned())));
                }
            }
        }
        Ok(Below(below))
    }
}

impl Cgroup {
    /// Files into which a new process writes `0` to join, each of which must exist. Nothing of it is inherited.
    pub fn guest_files_below(&self, below: &Below) -> Result<Vec<OwnedFd>, CgroupError> {
        for (controller, path) in &below.0 {
            let known = |name: &str| self.groups.iter().any(|group| concerns(group, name));
            if let Some(name) = controller.as_deref().filter(|name| !known(name)) {
                return Err(CgroupError::Below {
                    value: format!("{name}:{}", path.display()),
                });
            }
        }
        let files = self.groups.iter().map(|group| {
            let mut asked = below.0.iter();
            let path = asked.find(|(controller, _)| {
                controller
                    .as_deref()
                    .is_none_or(|name| concerns(group, name))
            });
            let directory = self.guest_dir(group);
            let directory = path.map_or(directory.clone(), |(_, path)| directory.join(path));
            let file = directory.join(self.joined_by(group));
            let opened = File::options().write(true).open(&file);
            opened.map(OwnedFd::from).map_err(io(&file, "open"))
        });
        files.collect()
    }
}

/// Whether `CONTROLLER:` of the option means this hierarchy; v2 has a single one, which any name of it means.
fn concerns(group: &Group, name: &str) -> bool {
    group.name == name || group.controllers.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<Below, RuntimeError> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        Below::parse(&values)
    }

    #[test]
    fn paths_are_below_the_containers_cgroup() {
        assert_eq!(parse(&[]).expect("none"), Below::default());
        let one = parse(&["/a/b"]).expect("one");
        assert_eq!(one.0, [(None, PathBuf::from("a/b"))]);
        let two = parse(&["cpu,memory:a", "pids:b"]).expect("three");
        assert_eq!(two.0.len(), 3);
        for wrong in [&["../x"][..], &["a", "b"], &["cpu:a:b"], &["pids:a/../.."]] {
            let error = parse(wrong).expect_err("refused").to_string();
            assert!(error.contains("--cgroup"), "{error}");
        }
    }
}
