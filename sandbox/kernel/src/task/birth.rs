//! What a new process inherits, written down when it is made.
//!
//! The host runs clone(2) and does not say which process comes of it; the child may make its first notified call
//! much later, when its parent has changed or is gone. So each record has a number, and before a clone is let
//! through that number is made the caller's host `RLIMIT_LOCKS`, which the host kernel copies to the child in the
//! same moment as everything else. Linux has not enforced this limit since 2.4.25, and a guest can neither change nor
//! see the host's value: its own is kept in [`Process::limits`].
//!
//! Must never: let a guest choose the number, or answer for a number that was not given out.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::namespaces::{Net, Uts};

use super::{Credentials, Executable, Fs, KeptLimits, Process, Thread, lock};

/// `RLIMIT_LOCKS`, asm-generic/resource.h.
pub const MARK_RESOURCE: u32 = 10;

/// How many records are kept before those that nobody can need any more are looked for.
const MANY: usize = 512;

/// A process that was made so long ago is expected to have been found.
pub const RECENT: Duration = Duration::from_secs(10);

/// The file system state of a child, see clone(2) of `CLONE_FS`.
#[derive(Clone, Debug)]
pub enum InheritedFs {
    Shared(Arc<Mutex<Fs>>),
    Copied(Fs),
}

/// The state that the children of one thread are born with.
#[derive(Clone, Debug)]
pub struct Birth {
    pub credentials: Arc<Credentials>,
    pub fs: InheritedFs,
    pub exe: Option<Arc<Executable>>,
    pub dumpable: bool,
    /// Signals whose handlers do not restart calls.
    pub unrestarting: u64,
    /// A UTS namespace other than the container's.
    pub uts: Option<Arc<Uts>>,
    /// A network other than the pod's.
    pub net: Option<Arc<Net>>,
    /// Of one child alone, whose namespaces are not to outlive it here.
    pub once: bool,
    /// Limits as the guest sees them, where the host does not keep them.
    pub limits: KeptLimits,
}

impl Birth {
    /// Of a child that `thread` makes now.
    pub fn of(thread: &Thread, shares_fs: bool) -> Birth {
        let process = &thread.process;
        let spaces = thread.spaces();
        let fs = thread.fs();
        let fs = if shares_fs {
            InheritedFs::Shared(fs)
        } else {
            InheritedFs::Copied(lock(&fs).clone())
        };
        Birth {
            credentials: thread.credentials(),
            fs,
            exe: lock(&process.exe).clone(),
            dumpable: process.is_dumpable(),
            unrestarting: process.unrestarting.load(Ordering::Acquire),
            uts: spaces.uts,
            net: spaces.net,
            once: false,
            limits: *lock(&process.limits),
        }
    }

    fn is_same(&self, other: &Birth) -> bool {
        let fs = match (&self.fs, &other.fs) {
            (InheritedFs::Shared(one), InheritedFs::Shared(two)) => Arc::ptr_eq(one, two),
            (InheritedFs::Copied(one), InheritedFs::Copied(two)) => {
                Arc::ptr_eq(&one.root, &two.root)
                    && Arc::ptr_eq(&one.cwd, &two.cwd)
                    && one.umask == two.umask
                    && one.mounts.as_ref().map(Arc::as_ptr) == two.mounts.as_ref().map(Arc::as_ptr)
            }
            _ => false,
        };
        let exe = match (&self.exe, &other.exe) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        };
        let uts = |birth: &Birth| birth.uts.as_ref().map(Arc::as_ptr);
        let net = |birth: &Birth| birth.net.as_ref().map(Arc::as_ptr);
        let rest = |birth: &Birth| {
            let flags = (birth.dumpable, birth.once);
            (
                flags,
                birth.unrestarting,
                birth.limits,
                uts(birth),
                net(birth),
            )
        };
        fs && exe && rest(self) == rest(other) && Arc::ptr_eq(&self.credentials, &other.credentials)
    }
}

/// A clone(2) for which namespaces were made: without these flags it is to come again.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    pub tid: i32,
    pub flags: u64,
    /// Of its record.
    pub number: u64,
}

/// All records by number.
#[derive(Debug, Default)]
pub struct Births(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    latest: u64,
    by_number: HashMap<u64, Record>,
}

#[derive(Debug)]
struct Record {
    birth: Arc<Birth>,
    used: Instant,
    /// [`Process::serial`] of whose child it is.
    maker: u64,
}

impl Births {
    /// See to it that the next process that `process` makes is born so.
    pub fn announce(&self, process: &Process, birth: Birth) -> Result<(), Errno> {
        let mut current = lock(&process.offspring);
        if let Some((number, known)) = &*current
            && known.is_same(&birth)
            && self.touch(*number)
        {
            return Ok(());
        }
        let birth = Arc::new(birth);
        let number = self.record(process, birth.clone());
        mark(process.pid, number)?;
        *current = Some((number, birth));
        Ok(())
    }

    /// The same for one child with namespaces of its own. Returns the record's number.
    pub fn announce_once(&self, process: &Process, birth: Birth) -> Result<u64, Errno> {
        let mut current = lock(&process.offspring);
        let birth = Birth {
            once: true,
            ..birth
        };
        let number = self.record(process, Arc::new(birth));
        // The next one is announced anew.
        *current = None;
        mark(process.pid, number).inspect_err(|_| self.forget(number))?;
        Ok(number)
    }

    /// The child that was announced with this number is the next one.
    pub fn announce_again(&self, process: &Process, number: u64) -> Result<(), Errno> {
        let mut current = lock(&process.offspring);
        *current = None;
        self.touch(number);
        mark(process.pid, number)
    }

    pub fn forget(&self, number: u64) {
        let record = lock(&self.0).by_number.remove(&number);
        // Namespaces end without the lock.
        drop(record);
    }

    /// The child that had this record is known now.
    pub fn spend(&self, birth: &Arc<Birth>) {
        if !birth.once {
            return;
        }
        let mut records = lock(&self.0);
        let spent = |record: &Record| Arc::ptr_eq(&record.birth, birth);
        records.by_number.retain(|_, record| !spent(record));
    }

    /// What the process `pid` was born with. `ESRCH` if its mark is none of ours, or forgotten.
    pub fn of(&self, pid: i32) -> Result<Arc<Birth>, Errno> {
        let (number, _) = caisson_sys::limit::get(pid, MARK_RESOURCE)?;
        let records = lock(&self.0);
        let record = records.by_number.get(&number).ok_or(Errno::SRCH)?;
        Ok(record.birth.clone())
    }

    fn record(&self, maker: &Process, birth: Arc<Birth>) -> u64 {
        let mut records = lock(&self.0);
        records.latest += 1;
        let number = records.latest;
        let used = Instant::now();
        let record = Record {
            birth,
            used,
            maker: maker.serial,
        };
        records.by_number.insert(number, record);
        number
    }

    fn touch(&self, number: u64) -> bool {
        let mut records = lock(&self.0);
        let record = records.by_number.get_mut(&number);
        record.map(|record| record.used = Instant::now()).is_some()
    }

    pub fn are_many(&self) -> bool {
        let records = lock(&self.0);
        records.by_number.len() >= MANY && records.latest.is_multiple_of(MANY as u64 / 2)
    }

    /// Forget what no process to come can ask for and was not used for `age`: to be called when all living processes have
    /// been found.
    pub fn forget_old(&self, living: &[Arc<Process>], age: Duration) {
        let current: Vec<u64> = living
            .iter()
            .filter_map(|process| lock(&process.offspring).as_ref().map(|(number, _)| *number))
            .collect();
        let mut records = lock(&self.0);
        records
            .by_number
            .retain(|number, record| current.contains(number) || record.used.elapsed() < age);
    }

    /// Forget what others than `makers` have announced, who were alive before all living processes were looked for. It is too
    /// much for every day: orphans in a pid namespace of others are not found.
    pub fn forget_others(&self, makers: &[Arc<Process>]) {
        let makers: HashSet<u64> = makers.iter().map(|maker| maker.serial).collect();
        let mut records = lock(&self.0);
        records
            .by_number
            .retain(|_, record| makers.contains(&record.maker));
    }
}

fn mark(pid: i32, number: u64) -> Result<(), Errno> {
    match caisson_sys::limit::set(pid, MARK_RESOURCE, number, u64::MAX) {
        // A host without CAP_SYS_RESOURCE and with a limit of its own, which is far above our numbers.
        Err(Errno::PERM) => {
            let (_, hard) = caisson_sys::limit::get(pid, MARK_RESOURCE)?;
            caisson_sys::limit::set(pid, MARK_RESOURCE, number, hard)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Directory;
    use caisson_wire::CapabilitySets;

    fn birth(uid: u32) -> Birth {
        let null = std::fs::File::open("/dev/null").expect("opened");
        let directory = Directory::new(null.into());
        let credentials = Credentials::of(uid, uid, &[], CapabilitySets::default());
        Birth {
            credentials: Arc::new(credentials),
            fs: InheritedFs::Copied(Fs {
                root: directory.clone(),
                cwd: directory,
                umask: 0o22,
                mounts: None,
            }),
            exe: None,
            dumpable: true,
            unrestarting: 0,
            uts: None,
            net: None,
            once: false,
            limits: KeptLimits::default(),
        }
    }

    fn maker() -> Arc<Process> {
        let birth = birth(0);
        let InheritedFs::Copied(fs) = birth.fs else {
            unreachable!("as made above");
        };
        let null = std::fs::File::open("/dev/null").expect("opened");
        let fs = Arc::new(Mutex::new(fs));
        Arc::new(Process::new(1, 1, null.into(), fs, birth.credentials, None))
    }

    #[test]
    fn equal_credentials_of_another_moment_are_another_birth() {
        let one = birth(1000);
        assert!(one.is_same(&one.clone()));
        assert!(!one.is_same(&birth(1000)));
        let mut other = one.clone();
        other.dumpable = false;
        assert!(!one.is_same(&other));
    }

    #[test]
    fn a_process_without_a_mark_was_not_born_here() {
        let births = Births::default();
        births.record(&maker(), Arc::new(birth(0)));
        // Our own limit is no mark.
        assert_eq!(
            births.of(std::process::id() as i32).err(),
            Some(Errno::SRCH)
        );
    }

    #[test]
    fn fresh_records_are_kept_while_their_makers_live() {
        let births = Births::default();
        let maker = maker();
        let number = births.record(&maker, Arc::new(birth(0)));
        births.forget_old(&[], RECENT);
        births.forget_others(&[maker]);
        assert!(births.touch(number));
        births.forget_others(&[]);
        assert!(!births.touch(number));
    }
}
