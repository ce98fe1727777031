//! What traced threads have told and has not been dealt with.
//!
//! The host tells first of the thread that was traced last. Were its events dealt with one by one, a thread that is older
//! would not be heard while younger ones make calls without a pause. So all that there are are collected before the first
//! is dealt with.

use std::collections::VecDeque;

use caisson_sys::trace::Event;

#[derive(Default)]
pub(super) struct Queue(VecDeque<(i32, Event)>);

impl Queue {
    pub(super) fn push(&mut self, tid: i32, event: Event) {
        if let Event::Executed(former) = event {
            // The threads that told this are gone: the id now is that of the one that has executed.
            self.0
                .retain(|(other, _)| *other != tid && *other != former);
        }
        self.0.push_back((tid, event));
    }

    pub(super) fn pop(&mut self) -> Option<(i32, Event)> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut queue: Queue) -> Vec<(i32, Event)> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn what_came_first_is_dealt_with_first() {
        let mut queue = Queue::default();
        queue.push(7, Event::Call);
        queue.push(3, Event::Made(9));
        queue.push(7, Event::Ended(0));
        assert_eq!(
            all(queue),
            [(7, Event::Call), (3, Event::Made(9)), (7, Event::Ended(0))]
        );
    }

    #[test]
    fn an_exec_takes_what_its_process_threads_had_told() {
        let mut queue = Queue::default();
        queue.push(5, Event::Call);
        queue.push(6, Event::Call);
        queue.push(8, Event::Call);
        queue.push(5, Event::Executed(6));
        assert_eq!(all(queue), [(8, Event::Call), (5, Event::Executed(6))]);
    }
}
