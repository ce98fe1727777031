//! A machine: its memory, devices and virtual CPUs put together, and how they are run and stopped.

use std::fs::OpenOptions;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use kvm_bindings::{KVM_PIT_SPEAKER_DUMMY, kvm_pit_config};
use kvm_ioctls::{IoEventAddress, Kvm, VcpuFd, VmFd};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use crate::bus::lock;
use crate::control::Control;
use crate::legacy::{Clock, Keyboard, Port, SERIAL_INTERRUPT, SerialLine, ports};
use crate::vcpu::{self, Buses};
use crate::virtio::Device;
use crate::virtio::balloon::{self, Balloon};
use crate::virtio::block::Block;
use crate::virtio::mmio::{self, Transport};
use crate::virtio::net::{Mac, Net, Tap};
use crate::virtio::rng::Rng;
use crate::virtio::vsock::Socket;
use crate::{Config, VmmError, boot, jail, memory};

/// How a guest ended its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It wrote 0 to our port.
    Shutdown,
    /// It reset the machine, as a kernel does to reboot.
    Reset,
    /// Its processor met an error while handling an error while handling an error.
    TripleFault,
    /// The host asked for it.
    Stopped,
}

/// What a virtual CPU is to do now.
pub(crate) enum Order {
    Run,
    Stop,
}

struct State {
    paused: bool,
    /// How the machine ends, the first of all reasons.
    end: Option<Result<End, VmmError>>,
    /// Which virtual CPUs are known to stand still.
    standing: Vec<bool>,
    marks: Vec<(u8, Duration)>,
    /// When the guest's first instruction was about to run.
    entered: Option<Duration>,
}

/// What virtual CPUs, devices and the control socket have in common.
pub(crate) struct Shared {
    start: Instant,
    state: Mutex<State>,
    changed: Condvar,
    /// Wakes the thread of the devices.
    ended: EventFd,
}

impl Shared {
    fn new(start: Instant, vcpus: u8) -> Result<Shared, VmmError> {
        Ok(Shared {
            start,
            state: Mutex::new(State {
                paused: false,
                end: None,
                standing: vec![false; vcpus.into()],
                marks: Vec::new(),
                entered: None,
            }),
            changed: Condvar::new(),
            ended: EventFd::new(EFD_NONBLOCK).map_err(VmmError::step("eventfd"))?,
        })
    }

    /// Ends the machine; only the first end counts.
    pub(crate) fn end(&self, end: Result<End, VmmError>) {
        lock(&self.state).end.get_or_insert(end);
        self.changed.notify_all();
        // It fails only when it has been written already.
        self.ended.write(1).ok();
    }

    /// The guest has come as far as `number`. The first 64 marks are kept.
    pub(crate) fn mark(&self, number: u8) {
        let mut state = lock(&self.state);
        if state.marks.len() < 64 {
            state.marks.push((number, self.start.elapsed()));
        }
    }

    /// The first virtual CPU is about to run.
    pub(crate) fn enter(&self) {
        lock(&self.state).entered = Some(self.start.elapsed());
    }

    /// When the guest's first instruction was about to run, from the monitor's start.
    pub(crate) fn entered(&self) -> Option<Duration> {
        lock(&self.state).entered
    }

    /// Boot marks and when they were made, from the monitor's start.
    pub(crate) fn marks(&self) -> Vec<(u8, Duration)> {
        lock(&self.state).marks.clone()
    }

    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.state).paused
    }

    /// Asked by each virtual CPU before it runs: stands still while the machine is paused.
    pub(crate) fn order(&self, vcpu: u8) -> Order {
        let mut state = lock(&self.state);
        loop {
            if state.end.is_some() {
                return Order::Stop;
            }
            if !state.paused {
                state.standing[usize::from(vcpu)] = false;
                return Order::Run;
            }
            state.standing[usize::from(vcpu)] = true;
            self.changed.notify_all();
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn has_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }
}

/// The threads of the virtual CPUs.
#[derive(Default)]
pub(crate) struct VcpuThreads(Vec<JoinHandle<()>>);

/// A signal that does nothing but end KVM_RUN.
extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

impl VcpuThreads {
    /// Makes every virtual CPU look at its orders. One that was about to run when the signal came misses it,
    /// which is why this is repeated until the effect is there.
    fn kick(&self) {
        for thread in &self.0 {
            // It fails only for a thread that has ended.
            thread.kill(SIGRTMIN()).ok();
        }
    }

    /// Returns when all virtual CPUs stand still.
    pub(crate) fn pause(&self, shared: &Shared) {
        let mut state = lock(&shared.state);
        state.paused = true;
        while !state.standing.iter().all(|standing| *standing) && state.end.is_none() {
            self.kick();
            (state, _) = shared
                .changed
                .wait_timeout(state, Duration::from_millis(5))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    #[expect(clippy::unused_self, reason = "only who has the threads may")]
    pub(crate) fn resume(&self, shared: &Shared) {
        lock(&shared.state).paused = false;
        shared.changed.notify_all();
    }

    fn join(&mut self) {
        for thread in self.0.drain(..) {
            while !thread.is_finished() {
                thread.kill(SIGRTMIN()).ok();
                thread::sleep(Duration::from_millis(1));
            }
            thread.join().ok();
        }
    }
}

/// The device on the bus of events that only wakes its thread.
struct Ended(Arc<Shared>);

impl MutEventSubscriber for Ended {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        if let Err(error) = ops.add(Events::new(&self.0.ended, EventSet::IN)) {
            self.0.end(Err(VmmError::Step {
                step: "epoll",
                source: io::Error::other(error),
            }));
        }
    }

    fn process(&mut self, _events: Events, _ops: &mut EventOps<'_>) {}
}

type Loop = EventManager<Arc<Mutex<dyn MutEventSubscriber + Send>>>;

/// Boots a machine and returns how it ended.
///
/// # Errors
/// When the configuration is wrong, the host lacks something, or KVM cannot run the guest.
pub fn run(config: &Config) -> Result<End, VmmError> {
    let start = Instant::now();
    config.check()?;
    let kvm = open_kvm()?;
    let vm = create_vm(&kvm)?;
    let memory = memory::allocate(config.memory_mib)?;
    let shared = Arc::new(Shared::new(start, config.vcpus)?);
    let balloon = Arc::new(balloon::Size::default());
    let transports = transports(config, &memory, &balloon)?;
    let cmdline = cmdline(config, transports.len())?;
    let entry = boot::load(config, &cmdline, &memory)?;
    memory::give_to(&vm, &memory)?;

    let mut events: Loop = Loop::new().map_err(VmmError::step_events)?;
    let buses = Arc::new(buses(config, &vm, &transports, &shared)?);
    let threads = Arc::new(Mutex::new(VcpuThreads::default()));
    for transport in &transports {
        events.add_subscriber(Arc::clone(transport) as Arc<Mutex<dyn MutEventSubscriber + Send>>);
    }
    events.add_subscriber(Arc::new(Mutex::new(Ended(Arc::clone(&shared)))));
    if let Some(path) = &config.control {
        let control = Control::new(
            path,
            Arc::clone(&shared),
            Arc::clone(&threads),
            transports.clone(),
            balloon,
        )?;
        events.add_subscriber(Arc::new(Mutex::new(control)));
    }
    let vcpus = (0..config.vcpus)
        .map(|id| vcpu::create(&kvm, &vm, id, entry))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(jail) = &config.jail {
        jail::enter(jail, config.socket_directory())?;
    }
    start_vcpus(vcpus, &buses, &shared, &threads)?;
    // In debug builds, too, and whether there is a jail or not.
    jail::confine_devices()?;
    while !shared.has_ended() {
        if let Err(error) = events.run() {
            shared.end(Err(VmmError::step_events(error)));
        }
    }
    lock(&threads).join();
    let end = lock(&shared.state).end.take();
    end.unwrap_or(Ok(End::Stopped))
}

impl VmmError {
    fn step_events(error: event_manager::Error) -> VmmError {
        VmmError::Step {
            step: "events",
            source: io::Error::other(error),
        }
    }
}

fn open_kvm() -> Result<Kvm, VmmError> {
    let kvm = Kvm::new().map_err(|errno| VmmError::NoKvm {
        source: io::Error::from_raw_os_error(errno.errno()),
    })?;
    if std::path::Path::new("/sys/module/kvm_pvm").exists() {
        return Err(VmmError::PagetableKvm);
    }
    /// The only one that there will ever be, says its documentation.
    const API_VERSION: i32 = 12;
    if kvm.get_api_version() != API_VERSION {
        return Err(VmmError::NoKvm {
            source: io::Error::other("not the KVM device"),
        });
    }
    Ok(kvm)
}

/// A VM with interrupt controllers and timer.
fn create_vm(kvm: &Kvm) -> Result<VmFd, VmmError> {
    /// Three pages that Intel's processors need, in the gap below 4 GiB.
    const TSS: usize = 0xfffb_d000;
    let vm = kvm.create_vm().map_err(VmmError::kvm("KVM_CREATE_VM"))?;
    vm.set_tss_address(TSS)
        .map_err(VmmError::kvm("KVM_SET_TSS_ADDR"))?;
    vm.create_irq_chip()
        .map_err(VmmError::kvm("KVM_CREATE_IRQCHIP"))?;
    let pit = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..Default::default()
    };
    vm.create_pit2(pit)
        .map_err(VmmError::kvm("KVM_CREATE_PIT2"))?;
    Ok(vm)
}

/// The virtio devices in the order of their addresses.
fn transports(
    config: &Config,
    memory: &GuestMemoryMmap,
    balloon: &Arc<balloon::Size>,
) -> Result<Vec<Arc<Mutex<Transport>>>, VmmError> {
    let mut devices: Vec<Box<dyn Device>> = Vec::new();
    for disk in &config.disks {
        let file = OpenOptions::new()
            .read(true)
            .write(!disk.read_only)
            .open(&disk.path)
            .map_err(VmmError::io("open", &disk.path))?;
        let block = Block::new(file, disk.read_only, &disk.serial)
            .map_err(VmmError::io("read the size of", &disk.path))?;
        devices.push(Box::new(block));
    }
    if let Some(vsock) = &config.vsock {
        let socket = Socket::new(vsock.cid, &vsock.socket)
            .map_err(VmmError::io("make the socket", &vsock.socket))?;
        devices.push(Box::new(socket));
    }
    for tap in &config.taps {
        let mac: Mac = tap.mac.parse().map_err(|problem| VmmError::Config {
            field: "taps.mac",
            value: tap.mac.clone(),
            problem,
        })?;
        let opened = Tap::open(&tap.name).map_err(VmmError::io("open the tap", &tap.name))?;
        devices.push(Box::new(Net::new(opened, mac, tap.mtu.unwrap_or(1500))));
    }
    devices.push(Box::new(Rng));
    devices.push(Box::new(Balloon::new(Arc::clone(balloon))));
    devices
        .into_iter()
        .map(|device| {
            let transport = Transport::new(device, memory.clone());
            let transport = transport.map_err(VmmError::step("eventfd"))?;
            Ok(Arc::new(Mutex::new(transport)))
        })
        .collect()
}

/// The interrupt lines that no other device has.
const LINES: &[u32] = &[
    5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
];

fn mmio_address(index: usize) -> u64 {
    memory::MMIO_START + index as u64 * mmio::LENGTH
}

/// The configured command line with the devices added, by which the kernel finds them.
fn cmdline(config: &Config, devices: usize) -> Result<String, VmmError> {
    use std::fmt::Write;
    if devices > LINES.len() {
        return Err(VmmError::Devices {
            count: devices,
            limit: LINES.len(),
        });
    }
    let mut cmdline = config.cmdline.clone();
    for (index, line) in LINES.iter().enumerate().take(devices) {
        let address = mmio_address(index);
        // Writing to a string does not fail.
        write!(cmdline, " virtio_mmio.device=4K@{address:#x}:{line}").ok();
    }
    Ok(cmdline)
}

/// Connects devices, buses and interrupts.
fn buses(
    config: &Config,
    vm: &VmFd,
    transports: &[Arc<Mutex<Transport>>],
    shared: &Arc<Shared>,
) -> Result<Buses, VmmError> {
    let mut buses = Buses {
        ports: Default::default(),
        memory: Default::default(),
    };
    let serial = SerialLine::new(&config.serial)?;
    vm.register_irqfd(serial.interrupt(), SERIAL_INTERRUPT)
        .map_err(VmmError::kvm("KVM_IRQFD"))?;
    let keyboard = Keyboard {
        shared: Arc::clone(shared),
    };
    let port = Port {
        shared: Arc::clone(shared),
    };
    let mut add = |(start, length), device| buses.ports.add(start, length, device);
    add(ports::SERIAL, Arc::new(Mutex::new(serial)));
    add(ports::KEYBOARD, Arc::new(Mutex::new(keyboard)));
    add(ports::CLOCK, Arc::new(Mutex::new(Clock::default())));
    add(ports::CAISSON, Arc::new(Mutex::new(port)));
    for ((index, transport), line) in transports.iter().enumerate().zip(LINES) {
        let address = mmio_address(index);
        let device = lock(transport);
        vm.register_irqfd(device.interrupt().event(), *line)
            .map_err(VmmError::kvm("KVM_IRQFD"))?;
        for (queue, kick) in (0_u32..).zip(device.kicks()) {
            let notify = IoEventAddress::Mmio(address + mmio::NOTIFY_OFFSET);
            vm.register_ioevent(kick, &notify, queue)
                .map_err(VmmError::kvm("KVM_IOEVENTFD"))?;
        }
        drop(device);
        let device = Arc::clone(transport);
        buses.memory.add(address, mmio::LENGTH, device);
    }
    Ok(buses)
}

/// Each in a thread of its own, under the profile for such threads.
fn start_vcpus(
    vcpus: Vec<VcpuFd>,
    buses: &Arc<Buses>,
    shared: &Arc<Shared>,
    threads: &Mutex<VcpuThreads>,
) -> Result<(), VmmError> {
    register_signal_handler(SIGRTMIN(), ignore).map_err(|error| VmmError::Step {
        step: "signal handler",
        source: io::Error::from_raw_os_error(error.errno()),
    })?;
    for (id, vcpu) in (0..).zip(vcpus) {
        let buses = Arc::clone(buses);
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name(format!("vcpu-{id}"))
            .spawn(move || match jail::confine_vcpu() {
                Ok(()) => vcpu::run(id, vcpu, &buses, &shared),
                Err(error) => shared.end(Err(error)),
            })
            .map_err(VmmError::step("thread of a virtual CPU"))?;
        lock(threads).0.push(thread);
    }
    Ok(())
}
