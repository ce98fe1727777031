//! A machine: its memory, devices and virtual CPUs put together and run.

use std::fs::OpenOptions;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use kvm_bindings::{KVM_PIT_SPEAKER_DUMMY, kvm_pit_config};
use kvm_ioctls::{IoEventAddress, Kvm, VmFd};

use crate::boot::Place;
use crate::bus::lock;
use crate::control::Control;
use crate::legacy::{Clock, Keyboard, Port, SERIAL_INTERRUPT, SerialLine, ports};
use crate::memory::{Hotplug, Ram};
use crate::shared::{End, Shared};
use crate::sizes::Sizes;
use crate::threads::{self, VcpuThreads};
use crate::vcpu::{self, Buses};
use crate::virtio::Device;
use crate::virtio::balloon::Balloon;
use crate::virtio::block::Block;
use crate::virtio::fs::{Channel, Fs};
use crate::virtio::mem::{self, Mem};
use crate::virtio::mmio::{self, Transport};
use crate::virtio::net::{Mac, Net, Tap};
use crate::virtio::rng::Rng;
use crate::virtio::vsock::Socket;
use crate::{Config, VmmError, boot, jail, memory};

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
    let vm = Arc::new(create_vm(&kvm)?);
    let memory = memory::allocate(config.memory_mib)?;
    let ram = Ram::new(memory.clone());
    let shared = Arc::new(Shared::new(start, config.vcpus)?);
    let sizes = Sizes::new(config);
    let mut transports = transports(config, &ram, &sizes, &shared)?;
    if config.growth_mib > 0 {
        let device = growth(config, &vm, &ram, &sizes);
        transports.push(transport(Box::new(device), &ram)?);
    }
    let places = places(transports.len())?;
    let cmdline = cmdline(config, &places);
    let entry = boot::load(config, &cmdline, &places, &memory)?;
    memory::give_to(&vm, &memory)?;

    let mut events: Loop = Loop::new().map_err(VmmError::step_events)?;
    let buses = Arc::new(buses(config, &vm, &transports, &places, &shared)?);
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
            sizes,
        )?;
        events.add_subscriber(Arc::new(Mutex::new(control)));
    }
    let vcpus = (0..config.vcpus)
        .map(|id| vcpu::create(&kvm, &vm, id, entry))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(jail) = &config.jail {
        jail::enter(jail, config.socket_directory())?;
    }
    threads::start(vcpus, &buses, &shared, &threads)?;
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
    ram: &Ram,
    sizes: &Sizes,
    shared: &Arc<Shared>,
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
    if let Some(fs) = &config.fs {
        devices.push(file_system(fs, shared)?);
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
    devices.push(Box::new(Balloon::new(Arc::clone(&sizes.balloon))));
    devices
        .into_iter()
        .map(|device| transport(device, ram))
        .collect()
}

fn transport(device: Box<dyn Device>, ram: &Ram) -> Result<Arc<Mutex<Transport>>, VmmError> {
    let transport = Transport::new(device, ram.clone());
    let transport = transport.map_err(VmmError::step("eventfd"))?;
    Ok(Arc::new(Mutex::new(transport)))
}

/// The device by which the guest gets more memory.
fn growth(config: &Config, vm: &Arc<VmFd>, ram: &Ram, sizes: &Sizes) -> Mem<Hotplug> {
    let start = memory::growth_start(config.memory_mib);
    let count = (u64::from(config.growth_mib) << 20) / mem::BLOCK_BYTES;
    let blocks = Hotplug::new(Arc::clone(vm), ram.clone(), start);
    Mem::new(blocks, start, count as usize, Arc::clone(&sizes.added))
}

/// The device whose server is at the other end of standard input. When that goes, so does the machine.
fn file_system(
    config: &crate::config::Fs,
    shared: &Arc<Shared>,
) -> Result<Box<dyn Device>, VmmError> {
    let socket = rustix::stdio::stdin().try_clone_to_owned();
    let channel = socket.and_then(Channel::new);
    let channel = channel.map_err(VmmError::step("standard input for the file system"))?;
    let shared = Arc::clone(shared);
    let on_lost = move |problem: &str| {
        let problem = problem.to_owned();
        shared.end(Err(VmmError::Share { problem }));
    };
    Ok(Box::new(Fs::new(channel, &config.tag, Box::new(on_lost))))
}

/// The interrupt lines that no other device has.
const LINES: &[u32] = &[
    5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
];

/// Where each of `count` devices is.
fn places(count: usize) -> Result<Vec<Place>, VmmError> {
    if count > LINES.len() {
        return Err(VmmError::Devices {
            count,
            limit: LINES.len(),
        });
    }
    let addresses = (memory::MMIO_START..).step_by(mmio::LENGTH as usize);
    let places = addresses.zip(LINES).take(count);
    Ok(places
        .map(|(address, line)| Place {
            address,
            line: *line,
        })
        .collect())
}

/// The configured command line with the devices added, by which kernels without ACPI find them.
fn cmdline(config: &Config, places: &[Place]) -> String {
    use std::fmt::Write;
    let mut cmdline = config.cmdline.clone();
    for Place { address, line } in places {
        // Writing to a string does not fail.
        write!(cmdline, " virtio_mmio.device=4K@{address:#x}:{line}").ok();
    }
    cmdline
}

/// Connects devices, buses and interrupts.
fn buses(
    config: &Config,
    vm: &VmFd,
    transports: &[Arc<Mutex<Transport>>],
    places: &[Place],
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
    for (transport, Place { address, line }) in transports.iter().zip(places.iter().copied()) {
        let device = lock(transport);
        vm.register_irqfd(device.interrupt().event(), line)
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
