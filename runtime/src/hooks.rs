//! Hooks of config.json: programs of the host (or, for startContainer, of the container) that get the state on
//! their standard input.

pub mod inside;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::Value;

use crate::spec::types::Hook;

#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("hooks.{kind}[{index}]: \"{path}\": {reason}")]
    Failed {
        kind: &'static str,
        index: usize,
        path: String,
        reason: String,
    },
}

/// As much of a hook's error output as is repeated to the user, in bytes.
const MAX_STDERR_BYTES: u64 = 4096;

/// Run hooks in order; the first failure ends it.
pub fn run(kind: &'static str, hooks: &[Hook], state: &Value) -> Result<(), HookError> {
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, state).map_err(|reason| HookError::Failed {
            kind,
            index,
            path: hook.path.clone(),
            reason,
        })?;
    }
    Ok(())
}

/// Run every hook whatever becomes of the others; for poststop, whose failures the specification
/// wants logged only.
pub fn run_all(kind: &'static str, hooks: &[Hook], state: &Value) -> Vec<HookError> {
    let one = |(index, hook): (usize, &Hook)| {
        let reason = run_one(hook, state).err()?;
        Some(HookError::Failed {
            kind,
            index,
            path: hook.path.clone(),
            reason,
        })
    };
    hooks.iter().enumerate().filter_map(one).collect()
}

fn run_one(hook: &Hook, state: &Value) -> Result<(), String> {
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    command
        .env_clear()
        .envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let stderr = child.stderr.take();
    // Read aside, so that a talkative hook cannot block on a full pipe.
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            (&mut stderr)
                .take(MAX_STDERR_BYTES)
                .read_to_end(&mut text)
                .ok();
            std::io::copy(&mut stderr, &mut std::io::sink()).ok();
        }
        text
    });
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its input.
        stdin.write_all(state.to_string().as_bytes()).ok();
    }
    let limit = hook
        .timeout
        .map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
    if !ended_within(&child, limit).map_err(|error| error.to_string())? {
        child.kill().ok();
        child.wait().ok();
        return Err(format!(
            "still running after its timeout of {} s",
            hook.timeout.unwrap_or(0)
        ));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        // Its output pipe may live on in a daemon it left; nobody waits for that.
        return Ok(());
    }
    let text = reader.join().unwrap_or_default();
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
    };
    Err(format!(
        "{how}, stderr: {}",
        String::from_utf8_lossy(&text).trim().escape_debug()
    ))
}

fn ended_within(child: &Child, limit: Option<Duration>) -> rustix::io::Result<bool> {
    let Some(limit) = limit else { return Ok(true) };
    let process = caisson_sys::descriptor::pidfd_open(child.id() as i32)?;
    let limit = Timespec {
        tv_sec: limit.as_secs() as i64,
        tv_nsec: 0,
    };
    loop {
        match rustix::event::poll(
            &mut [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)],
            Some(&limit),
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shell(script: &str, timeout: Option<i64>) -> Hook {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        Hook {
            path: "/bin/sh".into(),
            args,
            env: vec!["WORD=x y".into()],
            timeout,
        }
    }

    #[test]
    fn a_hook_gets_the_state_and_its_environment_only() {
        let hook = shell(
            r#"read -r state; [ "$state" = '{"id":"c1"}' ] && [ "$WORD" = "x y" ] && [ -z "$HOME" ]"#,
            None,
        );
        run("prestart", &[hook], &json!({"id": "c1"})).expect("hook");
    }

    #[test]
    fn a_failing_hook_is_named_with_what_it_said() {
        let hooks = [shell("true", None), shell("echo no luck >&2; exit 3", None)];
        let message = run("createRuntime", &hooks, &json!({}))
            .expect_err("fails")
            .to_string();
        assert!(
            message.contains("hooks.createRuntime[1]: \"/bin/sh\": exit status 3"),
            "{message}"
        );
        assert!(message.contains("no luck"), "{message}");
    }

    #[test]
    fn a_hook_is_killed_at_its_timeout() {
        let started = std::time::Instant::now();
        let message = run("prestart", &[shell("exec sleep 60", Some(1))], &json!({}))
            .expect_err("late")
            .to_string();
        assert!(message.contains("timeout of 1 s"), "{message}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn all_hooks_run_although_one_fails() {
        let mark = std::env::temp_dir().join(format!("caisson-hook-{}", std::process::id()));
        let hooks = [
            shell("exit 1", None),
            shell(&format!("touch {}", mark.display()), None),
        ];
        assert_eq!(run_all("poststop", &hooks, &json!({})).len(), 1);
        assert!(mark.exists());
        std::fs::remove_file(mark).expect("clean up");
    }
}
