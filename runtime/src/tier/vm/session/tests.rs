//! Agents that do not answer, answer lies, or go away: a monitor's socket is served by the test itself.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use caisson_wire::agent::Exec;
use proptest::prelude::*;

use super::*;

/// A folder with a monitor's socket in it, whose callers get `answer` after the first line and opening.
fn folder(accepts: bool, answer: Vec<u8>) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("caisson-vm-{}-{number}", std::process::id()));
    std::fs::create_dir_all(folder.join(crate::tier::vm::files::VISIBLE)).expect("create a folder");
    let listener = UnixListener::bind(folder.join(VSOCK)).expect("bind");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accept");
            let mut line = [0u8; 13];
            if !accepts || stream.read_exact(&mut line).is_err() {
                continue;
            }
            stream.write_all(b"OK 1073741824\n").expect("write");
            agent::read::<Opening>(&mut stream, 1 << 20).expect("an opening");
            // A caller that has read enough closes.
            stream.write_all(&answer).ok();
        }
    });
    folder
}

fn open(folder: &Path) -> Result<Session, RuntimeError> {
    let opening = Opening::Exec(Exec {
        container: "c".into(),
        process: serde_json::Value::Null,
    });
    let outcome = Session::open(folder, &opening, Duration::from_millis(300), &mut || None);
    std::fs::remove_dir_all(folder).expect("remove the folder");
    outcome
}

fn framed(report: &Report) -> Vec<u8> {
    let mut bytes = Vec::new();
    agent::write(&mut bytes, report).expect("a vector takes everything");
    bytes
}

#[test]
fn a_process_that_stands_is_a_session() {
    let folder = folder(true, framed(&Report::Ready { process: 5 }));
    assert_eq!(open(&folder).expect("session").process, 5);
}

#[test]
fn an_agent_that_is_never_reached_is_given_up_in_time() {
    let error = open(&folder(false, Vec::new())).expect_err("nobody there");
    assert!(error.to_string().contains("not reached within"), "{error}");
}

#[test]
fn what_cannot_be_is_an_error_that_says_so() {
    let error = open(&folder(true, framed(&Report::Started))).expect_err("too early");
    assert!(error.to_string().contains("cannot be"), "{error}");
    let error = open(&folder(true, u32::MAX.to_le_bytes().to_vec())).expect_err("too long");
    assert!(error.to_string().contains("over the limit"), "{error}");
    let error = open(&folder(true, Vec::new())).expect_err("gone");
    assert!(
        error.to_string().contains("closed the connection"),
        "{error}"
    );
}

#[test]
fn an_answer_to_a_question_is_read_with_the_same_doubt() {
    let answered = |answer: Vec<u8>| {
        let folder = folder(true, answer);
        let outcome = ask(&folder, "c", Question::Usage);
        std::fs::remove_dir_all(&folder).expect("remove the folder");
        outcome
    };
    assert_eq!(answered(framed(&Report::Done)).expect("read"), Report::Done);
    let message = "no such group".to_owned();
    let error = answered(framed(&Report::Failed { message })).expect_err("failed");
    assert!(
        error.to_string().contains("agent: no such group"),
        "{error}"
    );
    let error = answered(u32::MAX.to_le_bytes().to_vec()).expect_err("too long");
    assert!(error.to_string().contains("over the limit"), "{error}");
}

#[test]
fn the_agents_words_are_printable_and_few() {
    let message = "\u{1b}[2J".repeat(5000);
    let error = open(&folder(true, framed(&Report::Failed { message }))).expect_err("failed");
    let text = error.to_string();
    assert!(!text.contains('\u{1b}') && text.len() < 40_000, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_an_agent_answers_ends_the_attempt(answer: Vec<u8>) {
        prop_assert!(open(&folder(true, answer)).is_err());
    }
}
