//! The nodes by the numbers that the guest knows them by.
//!
//! Each has a descriptor while there are enough of them. When there are not, the [`Nodes`] let go of those that were not
//! asked for lately, and open them again by their [`Place`] when the guest comes back to them. What the guest has open, what
//! has no name and the roots of shares keep their descriptors; when nothing else is left the guest hears `ENFILE`.
//!
//! It must never: take what is at a place now for another file that was there before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::node::{Key, Node};
use crate::protocol::ROOT;

/// So many a guest may know at a time, with descriptor or without; some 300 bytes each.
const KNOWN_LIMIT: usize = 1 << 20;

/// So far above what has a descriptor nodes are sought for: twice the names that a path of PATH_MAX bytes can have.
const DEEPEST: usize = 4096;

/// Where a node was seen last: a name in a directory, which is a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    parent: u64,
    name: Arc<[u8]>,
}

impl Place {
    pub(crate) fn new(parent: u64, name: &[u8]) -> Place {
        Place {
            parent,
            name: name.into(),
        }
    }
}

pub(crate) struct Nodes {
    inner: Mutex<Inner>,
    limit: usize,
}

#[derive(Default)]
struct Inner {
    by_number: HashMap<u64, Known>,
    by_key: HashMap<Key, u64>,
    by_place: HashMap<Place, u64>,
    /// Those that may lose their descriptors, the first first; and numbers that are forgotten already.
    queue: VecDeque<u64>,
    /// How many have a descriptor.
    held: usize,
    last: u64,
}

struct Known {
    key: Key,
    kind: FileType,
    /// None: without a descriptor.
    node: Option<Arc<Node>>,
    place: Option<Place>,
    /// How often the guest was told of it, less how often it has forgotten it.
    lookups: u64,
    /// The root of a share, which stays.
    pinned: bool,
    /// Since it was last thought of letting it go.
    used: bool,
    queued: bool,
}

/// One step of the way to a node without a descriptor.
struct Step {
    number: u64,
    name: Arc<[u8]>,
    key: Key,
    kind: FileType,
}

impl Nodes {
    /// At most `limit` descriptors.
    pub(crate) fn new(limit: usize) -> Nodes {
        Nodes {
            inner: Mutex::new(Inner {
                last: ROOT,
                ..Inner::default()
            }),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `ESTALE` for what the guest has no number of, and for what is no longer where it was.
    pub(crate) fn find(&self, number: u64) -> Result<Arc<Node>, Errno> {
        let (mut node, steps) = self.lock().way_to(number)?;
        for step in steps.into_iter().rev() {
            let (child, _) = node.child(&step.name).map_err(|_| Errno::STALE)?;
            if child.key != step.key || child.kind != step.kind {
                return Err(Errno::STALE);
            }
            node = self.lock().hold(step.number, child, self.limit)?;
        }
        Ok(node)
    }

    /// Counts that the guest is told of `node`, and returns its number.
    pub(crate) fn tell(&self, node: Node, place: Option<Place>) -> Result<u64, Errno> {
        let mut inner = self.lock();
        let number = inner.add(node, self.limit)?;
        if let Some(known) = inner.by_number.get_mut(&number) {
            known.lookups = known.lookups.saturating_add(1);
        }
        if let Some(place) = place {
            inner.put(number, place);
        }
        Ok(number)
    }

    /// Keeps the root of a share until [`Nodes::unpin`].
    pub(crate) fn pin(&self, node: Node) -> Result<u64, Errno> {
        let mut inner = self.lock();
        let number = inner.add(node, self.limit)?;
        if let Some(known) = inner.by_number.get_mut(&number) {
            known.pinned = true;
        }
        Ok(number)
    }

    pub(crate) fn unpin(&self, number: u64) {
        let mut inner = self.lock();
        if let Some(known) = inner.by_number.get_mut(&number) {
            known.pinned = false;
            inner.drop_unknown(number);
        }
    }

    /// Counts one more lookup of a node that is there.
    pub(crate) fn tell_again(&self, number: u64) -> Result<Arc<Node>, Errno> {
        let node = self.find(number)?;
        let mut inner = self.lock();
        let known = inner.by_number.get_mut(&number).ok_or(Errno::STALE)?;
        known.lookups = known.lookups.saturating_add(1);
        Ok(node)
    }

    /// The guest has forgotten a node `count` times; it may say so more often than is true.
    pub(crate) fn forget(&self, number: u64, count: u64) {
        let mut inner = self.lock();
        if let Some(known) = inner.by_number.get_mut(&number) {
            known.lookups = known.lookups.saturating_sub(count);
            inner.drop_unknown(number);
        }
    }

    /// Nothing is there any more.
    pub(crate) fn removed(&self, place: &Place) {
        self.lock().vacate(place);
    }

    /// What was at `from` is at `to` now, and the other way round if they were exchanged.
    pub(crate) fn moved(&self, from: &Place, to: &Place, exchanged: bool) {
        let mut inner = self.lock();
        let (first, second) = (inner.vacate(from), inner.vacate(to));
        if let Some(number) = first {
            inner.put(number, to.clone());
        }
        if let Some(number) = second.filter(|_| exchanged) {
            inner.put(number, from.clone());
        }
    }

    /// The guest begins anew: nothing but the shares is left.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.by_number.retain(|_, known| {
            known.lookups = 0;
            known.place = None;
            known.queued = false;
            known.pinned
        });
        inner.by_place.clear();
        inner.queue.clear();
        inner.held = inner.by_number.len();
        let Inner {
            by_number, by_key, ..
        } = &mut *inner;
        by_key.retain(|_, number| by_number.contains_key(number));
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().by_number.len()
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.lock().held
    }
}

impl Inner {
    /// The nearest node on the way to this one that has a descriptor, and the steps from there, the last first.
    fn way_to(&mut self, number: u64) -> Result<(Arc<Node>, Vec<Step>), Errno> {
        let (mut at, mut steps) = (number, Vec::new());
        while steps.len() < DEEPEST {
            let known = self.by_number.get_mut(&at).ok_or(Errno::STALE)?;
            known.used = true;
            if let Some(node) = &known.node {
                return Ok((Arc::clone(node), steps));
            }
            let place = known.place.as_ref().ok_or(Errno::STALE)?;
            steps.push(Step {
                number: at,
                name: Arc::clone(&place.name),
                key: known.key,
                kind: known.kind,
            });
            at = place.parent;
        }
        Err(Errno::STALE)
    }

    /// The number of `node`, which is a new one if the guest does not know it.
    fn add(&mut self, node: Node, limit: usize) -> Result<u64, Errno> {
        if let Some(number) = self.by_key.get(&node.key).copied() {
            self.hold(number, node, limit)?;
            return Ok(number);
        }
        if self.by_number.len() >= KNOWN_LIMIT {
            return Err(Errno::NFILE);
        }
        self.make_room(limit)?;
        self.last += 1;
        self.by_key.insert(node.key, self.last);
        let known = Known {
            key: node.key,
            kind: node.kind,
            node: Some(Arc::new(node)),
            place: None,
            lookups: 0,
            pinned: false,
            used: true,
            queued: false,
        };
        self.held += 1;
        self.by_number.insert(self.last, known);
        Ok(self.last)
    }

    /// Gives a node that the guest knows a descriptor, unless it has one.
    fn hold(&mut self, number: u64, node: Node, limit: usize) -> Result<Arc<Node>, Errno> {
        let known = self.by_number.get_mut(&number).ok_or(Errno::STALE)?;
        known.used = true;
        if let Some(node) = &known.node {
            return Ok(Arc::clone(node));
        }
        self.make_room(limit)?;
        let node = Arc::new(node);
        if let Some(known) = self.by_number.get_mut(&number) {
            known.kind = node.kind;
            known.node = Some(Arc::clone(&node));
            self.held += 1;
        }
        self.enqueue(number);
        Ok(node)
    }

    /// Lets go of descriptors until there is one to spare. Of two rounds the first gives those another chance that were used.
    fn make_room(&mut self, limit: usize) -> Result<(), Errno> {
        let mut left = self.queue.len() * 2;
        while self.held >= limit {
            left = usize::checked_sub(left, 1).ok_or(Errno::NFILE)?;
            let number = self.queue.pop_front().ok_or(Errno::NFILE)?;
            let Some(known) = self.by_number.get_mut(&number) else {
                continue;
            };
            let again = known.used || known.node.as_ref().is_some_and(is_shared);
            known.used = false;
            known.queued = known.may_be_let_go() && again;
            if known.queued {
                self.queue.push_back(number);
            } else if known.may_be_let_go() && known.node.take().is_some() {
                self.held -= 1;
            }
        }
        Ok(())
    }

    /// That `number` is at `place`, and nothing else is.
    fn put(&mut self, number: u64, place: Place) {
        let Some(known) = self.by_number.get_mut(&number) else {
            return;
        };
        if known.place.as_ref() == Some(&place) {
            return;
        }
        if let Some(before) = known.place.replace(place.clone()) {
            self.by_place.remove(&before);
        }
        if let Some(other) = self.by_place.insert(place, number)
            && let Some(other) = self.by_number.get_mut(&other)
        {
            other.place = None;
        }
        self.enqueue(number);
    }

    /// Who was there, and is nowhere now.
    fn vacate(&mut self, place: &Place) -> Option<u64> {
        let number = self.by_place.remove(place)?;
        self.by_number.get_mut(&number)?.place = None;
        Some(number)
    }

    fn enqueue(&mut self, number: u64) {
        let known = self.by_number.get_mut(&number);
        let Some(known) = known.filter(|known| !known.queued && known.may_be_let_go()) else {
            return;
        };
        known.queued = true;
        self.queue.push_back(number);
        // Numbers that were forgotten are taken out when they are the most.
        if self.queue.len() > 2 * self.by_number.len() + 64 {
            let by_number = &self.by_number;
            self.queue.retain(|number| by_number.contains_key(number));
        }
    }

    fn drop_unknown(&mut self, number: u64) {
        let unknown = |known: &Known| known.lookups == 0 && !known.pinned;
        if self.by_number.get(&number).is_some_and(unknown)
            && let Some(known) = self.by_number.remove(&number)
        {
            self.by_key.remove(&known.key);
            self.held -= usize::from(known.node.is_some());
            if let Some(place) = known.place {
                self.by_place.remove(&place);
            }
        }
    }
}

impl Known {
    /// It can be found again.
    fn may_be_let_go(&self) -> bool {
        self.node.is_some() && self.place.is_some() && !self.pinned
    }
}

/// Whether a request works on it or the guest has it open.
fn is_shared(node: &Arc<Node>) -> bool {
    Arc::strong_count(node) > 1
}
