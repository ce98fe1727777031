//! `caisson-fuzz-seeds FOLDER`: sound inputs, `FOLDER/<target>/seed-<number>`, for those targets that do not get far without.

use std::fs;
use std::path::{Path, PathBuf};

use caisson_fuzz_tests::seeds;
use caisson_kernel::fuzzing::TARGETS;
use caisson_wire::agent::{Ended, Report, write};

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| std::io::Error::other("usage: caisson-fuzz-seeds FOLDER"))?;
    for target in TARGETS {
        let name = format!("kernel_{}", snake(&format!("{target:?}")));
        put(&folder.join(name), &seeds(*target))?;
    }
    let reports = [
        Report::Ready { process: 1 },
        Report::Started,
        Report::Ended(Ended::Exited(3)),
        Report::Ended(Ended::Signaled(9)),
        Report::OutOfMemory { kills: 1 },
        Report::Failed {
            message: "no".into(),
        },
        Report::Usage {
            files: [("memory.current".to_owned(), "1\n".to_owned())].into(),
        },
        Report::Done,
    ];
    let reports = reports.iter().map(|report| {
        let mut bytes = Vec::new();
        write(&mut bytes, report)
            .map(|()| bytes)
            .map_err(std::io::Error::other)
    });
    put(
        &folder.join("agent_reply"),
        &reports.collect::<Result<Vec<_>, _>>()?,
    )?;
    put(&folder.join("share"), &[share()])
}

/// INIT, LOOKUP of the share and of a file in it, OPEN, READ.
fn share() -> Vec<u8> {
    let request = |opcode: u8, node: u8, body: &[u8]| {
        let head = [opcode, node, 64, 0, body.len() as u8, 0];
        [&head, body].concat()
    };
    [
        request(26, 0, &[7, 0, 0, 0, 31, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0]),
        request(1, 1, b"s\0"),
        request(1, 2, b"a\0"),
        request(14, 3, &[0; 8]),
        request(15, 3, &[0; 40]),
        request(27, 2, &[0; 8]),
        request(28, 2, &[0; 40]),
    ]
    .concat()
}

fn put(folder: &Path, inputs: &[Vec<u8>]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), input)?;
    }
    Ok(())
}

/// `FileCapabilities` as `file_capabilities`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
