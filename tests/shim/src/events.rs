//! containerd's events, as `ctr events` prints them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ctr::Ctr;
use crate::within;

pub struct Events {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Events {
    pub(crate) fn watch(ctr: &Ctr) -> Events {
        let mut command = ctr.command(&["events"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ctr events");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let filling = Arc::clone(&lines);
        let stdout = BufReader::new(child.stdout.take().expect("the pipe"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                filling.lock().expect("the lines").push(line);
            }
        });
        let events = Events { child, lines };
        // Subscribed is when an event comes: labelling an image that is not there makes none, so make one.
        let subscribed = within(Duration::from_secs(5), || {
            drop(ctr.run(&["namespaces", "label", "default", "seen=yes"]));
            !events.lines.lock().expect("the lines").is_empty()
        });
        assert!(subscribed, "ctr events shows nothing");
        events
    }

    /// All task events of `id` so far, in the order they came: `(topic, the event as text)`.
    ///
    /// # Panics
    /// If the reading thread panicked.
    #[must_use]
    pub fn of(&self, id: &str) -> Vec<(String, String)> {
        let lines = self.lines.lock().expect("the lines");
        let events = lines.iter().filter_map(|line| {
            let at = line.find("/tasks/")?;
            let (topic, event) = line[at..].split_once(' ')?;
            event
                .contains(&format!("\"{id}\""))
                .then(|| (topic.to_owned(), event.to_owned()))
        });
        events.collect()
    }

    #[must_use]
    pub fn topics_of(&self, id: &str) -> Vec<String> {
        self.of(id).into_iter().map(|(topic, _)| topic).collect()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
