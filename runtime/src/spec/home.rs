//! `HOME` of a process whose environment does not say: from the image's own passwd(5), as in runc.

use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use crate::rootfs::{by_descriptor, target};

/// As much of a passwd file as is looked at, in bytes: it is the image's.
const MAX_BYTES: u64 = 1 << 20;

/// Add `HOME` for `uid` unless `env` has one. `root` is the container's root directory.
pub fn complete(env: &mut Vec<String>, uid: u32, root: BorrowedFd<'_>) {
    if env
        .iter()
        .any(|entry| entry.starts_with("HOME=") && entry.len() > "HOME=".len())
    {
        return;
    }
    env.retain(|entry| !entry.starts_with("HOME="));
    let home = read(root)
        .as_deref()
        .and_then(|text| home_of(text, uid))
        .unwrap_or_else(|| "/".to_owned());
    env.push(format!("HOME={home}"));
}

fn read(root: BorrowedFd<'_>) -> Option<String> {
    let found = target::open(root, "etc/passwd").ok()?;
    // A FIFO or a device that an image has in its place must not even be opened.
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    let file = std::fs::File::open(by_descriptor(&found)).ok()?;
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn home_of(text: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    user.get(5)
        .filter(|home| home.starts_with('/') && !home.contains('\0'))
        .map(|home| (*home).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/var/www:/bin/false\nodd:x:5:5::relative:/x\n";

    #[test]
    fn the_home_is_that_of_the_uid() {
        assert_eq!(home_of(PASSWD, 33), Some("/var/www".into()));
        assert_eq!(home_of(PASSWD, 5), None);
        assert_eq!(home_of(PASSWD, 7), None);
    }

    #[test]
    fn an_environment_that_says_is_left_alone() {
        let root = std::fs::File::open("/").expect("a directory");
        let mut env = vec!["HOME=/x".to_owned()];
        complete(&mut env, 0, root.as_fd());
        assert_eq!(env, ["HOME=/x"]);
        let mut env = vec!["HOME=".to_owned()];
        complete(&mut env, 4_000_000_000, root.as_fd());
        assert_eq!(env, ["HOME=/"]);
    }
}
