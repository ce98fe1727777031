//! What a machine boots: Caisson's own kernel and initial ramdisk, or those that config.json names.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::RuntimeError;
use crate::spec::{Spec, SpecError};

/// Names the folder with the guest's files, before all other places.
const OVERRIDE: &str = "CAISSON_GUEST";
/// Where they are beside this binary, then where a node has them.
const BESIDE: &str = "caisson-guest";
pub(crate) const INSTALLED: &str = "/usr/local/lib/caisson";

pub(crate) const KERNEL: &str = "vmlinux";
pub(crate) const INITRD: &str = "initrd";

/// Name other files than those, by their paths on the host.
const KERNEL_ANNOTATION: &str = "dev.caisson.vm.kernel";
const INITRD_ANNOTATION: &str = "dev.caisson.vm.initrd";

/// What a machine boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files {
    /// A vmlinux or a bzImage.
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

impl Files {
    /// Those that config.json names, and Caisson's own for what it does not.
    ///
    /// # Errors
    /// When one is not there, or its name is not a path.
    pub(super) fn of(spec: &Spec) -> Result<Files, RuntimeError> {
        let kernel = annotated(spec, KERNEL_ANNOTATION)?;
        let initrd = annotated(spec, INITRD_ANNOTATION)?;
        Ok(match (kernel, initrd) {
            (Some(kernel), Some(initrd)) => Files { kernel, initrd },
            (kernel, initrd) => {
                let own = folder()?;
                Files {
                    kernel: kernel.unwrap_or_else(|| own.join(KERNEL)),
                    initrd: initrd.unwrap_or_else(|| own.join(INITRD)),
                }
            }
        })
    }
}

/// The folder with Caisson's own.
///
/// # Errors
/// When there is none, or it lacks one of them.
pub(crate) fn folder() -> Result<PathBuf, RuntimeError> {
    if let Some(folder) = std::env::var_os(OVERRIDE).filter(|folder| !folder.is_empty()) {
        return complete(folder.into());
    }
    let beside = std::env::current_exe().ok();
    let beside = beside.map(|binary| binary.with_file_name(BESIDE));
    match beside.filter(|folder| folder.is_dir()) {
        Some(folder) => complete(folder),
        None => complete(INSTALLED.into()),
    }
}

fn complete(folder: PathBuf) -> Result<PathBuf, RuntimeError> {
    for name in [KERNEL, INITRD] {
        let path = folder.join(name);
        std::fs::metadata(&path).map_err(RuntimeError::file(
            &path,
            "the virtual machine's own files are needed",
        ))?;
    }
    Ok(folder)
}

/// The file that an annotation names.
fn annotated(spec: &Spec, name: &str) -> Result<Option<PathBuf>, SpecError> {
    let Some(value) = spec.annotations.get(name) else {
        return Ok(None);
    };
    let path = PathBuf::from(value);
    let problem = if !path.is_absolute() {
        Some("not an absolute path".to_owned())
    } else {
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => None,
            Ok(_) => Some("not a file".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    };
    match problem {
        None => Ok(Some(path)),
        Some(problem) => {
            let field = format!("annotations.{name}");
            Err(SpecError::invalid(field, value, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn files_that_are_named_are_taken_and_others_refused_by_their_field() {
        let mut spec = Spec::default();
        let mut name = |kernel: &str| {
            for annotation in [KERNEL_ANNOTATION, INITRD_ANNOTATION] {
                spec.annotations.insert(annotation.into(), kernel.into());
            }
            Files::of(&spec)
        };
        let files = name("/proc/version").expect("a file");
        assert_eq!(files.kernel, Path::new("/proc/version"));
        assert_eq!(files.initrd, files.kernel);
        for (value, words) in [
            ("vmlinuz", "not an absolute path"),
            ("/proc", "not a file"),
            ("/no/such/file", "No such file"),
        ] {
            let error = name(value).expect_err(words).to_string();
            let whole = error.contains(words) && error.contains(value);
            assert!(whole && error.contains(KERNEL_ANNOTATION), "{error}");
        }
    }
}
