//! `events`: resource usage as JSON lines, once or at an interval.

use std::time::{Duration, Instant};

use caisson_wire::Shortfall;
use serde_json::{Value, json};

use super::{Context, print};
use crate::RuntimeError;
use crate::state::{State, Status};
use crate::tier;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
    /// Print once and return
    #[arg(long)]
    pub stats: bool,
    /// Time between two lines: 5s, 500ms, 1m
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub interval: Duration,
}

/// Go's spelling of a duration, as far as one unit goes.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|letter: char| !letter.is_ascii_digit())
        .ok_or("a unit is missing: s, ms or m")?;
    let number: u64 = text[..split]
        .parse()
        .map_err(|_| "not a number".to_owned())?;
    let duration = match &text[split..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        other => return Err(format!("unknown unit \"{other}\"")),
    };
    if duration.is_zero() {
        Err("must be greater than zero".into())
    } else {
        Ok(duration)
    }
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let state = context.store.entry(&arguments.id)?.load()?;
    if state.status() == Status::Stopped {
        return Err(RuntimeError::NotRunning);
    }
    line(context, &state)?;
    if arguments.stats {
        return Ok(());
    }
    follow(context, &state, arguments.interval)
}

/// Lines of statistics at the interval, and of `oom` as soon as it is seen, until the container ends.
fn follow(context: &Context, state: &State, interval: Duration) -> Result<(), RuntimeError> {
    /// How often kills are looked for. They are counted: none is missed in between.
    const LOOK: Duration = Duration::from_millis(100);
    let (tier, entry) = (tier::of(state)?, context.store.entry(&state.id)?);
    let mut kills = tier.kills(state, &entry);
    let mut next = Instant::now() + interval;
    loop {
        let wait = LOOK.min(next.saturating_duration_since(Instant::now()));
        let ended = state.sandbox.is_none_or(|sandbox| sandbox.wait_end(wait));
        // A cgroup that is gone counts nothing any more.
        let now = tier.kills(state, &entry);
        for _ in kills..now {
            print(&format!("{}\n", json!({"type": "oom", "id": state.id})))?;
        }
        kills = kills.max(now);
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            line(context, state)?;
            next = Instant::now() + interval;
        }
    }
}

fn line(context: &Context, state: &State) -> Result<(), RuntimeError> {
    let (tier, entry) = (tier::of(state)?, context.store.entry(&state.id)?);
    let usage = tier.usage(state, &entry)?;
    let mut event = json!({"type": "stats", "id": state.id, "data": usage});
    // runc has no such thing; a container that has just ended has no figures any more.
    if let Ok(list) = tier.shortfalls(&entry) {
        event["caisson"] = json!({
            "refused": tell(&list, |shortfall| shortfall.refused),
            "failed": tell(&list, |shortfall| !shortfall.refused),
        });
    }
    print(&format!("{event}\n"))
}

/// Calls that guests made in vain: by the table (`refused`), or because of what they asked for (`failed`).
fn tell(list: &[Shortfall], wanted: impl Fn(&Shortfall) -> bool) -> Value {
    list.iter()
        .filter(|shortfall| wanted(shortfall))
        .map(|shortfall| {
            json!({"call": shortfall.call, "errno": shortfall.errno, "count": shortfall.count})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "", "s", "0s", "5h2", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
