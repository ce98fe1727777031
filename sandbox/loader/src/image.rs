//! Mapping an ELF file the way the kernel would, elf(5). A program that cannot be mapped ends by a fault, as under Linux, whose
//! execve(2) has no caller any more by then.

use crate::system::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, PAGE, PROT_EXEC, PROT_NONE,
    PROT_READ, PROT_WRITE, SYS_MMAP, SYS_MUNMAP, SYS_PREAD64, TASK_SIZE, fault, memset, page_down, page_up,
    syscall,
};

/// As many as the app kernel lets through.
const MAX_HEADERS: usize = 128;

#[repr(C)]
#[derive(Clone, Copy)]
struct ElfHeader {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    rest: [u16; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

impl ProgramHeader {
    /// What load_elf_binary() of fs/binfmt_elf.c asks of a segment, wherever it comes to lie.
    fn fits(&self) -> bool {
        self.filesz <= self.memsz
            && self.memsz <= TASK_SIZE
            && self.vaddr <= TASK_SIZE - self.memsz
            && self.vaddr < TASK_SIZE
    }
}

const PT_LOAD: u32 = 1;
const PT_PHDR: u32 = 6;
const ET_DYN: u16 = 3;

static mut HEADERS: [ProgramHeader; MAX_HEADERS] = [ProgramHeader {
    kind: 0,
    flags: 0,
    offset: 0,
    vaddr: 0,
    paddr: 0,
    filesz: 0,
    memsz: 0,
    align: 0,
}; MAX_HEADERS];

/// What became of one mapped ELF file.
#[derive(Clone, Copy)]
pub(crate) struct Image {
    pub(crate) bias: u64,
    pub(crate) entry: u64,
    pub(crate) phdr: u64,
    pub(crate) phnum: u64,
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) code_end: u64,
    pub(crate) data_start: u64,
    pub(crate) data_end: u64,
}

fn failed(result: i64) -> bool {
    (-4095..0).contains(&result)
}

fn map(address: u64, length: u64, protection: u64, flags: u64, fd: i64, offset: u64) -> i64 {
    // SAFETY: addresses are chosen so that neither this program nor its stack is replaced: without
    // MAP_FIXED the kernel chooses, MAP_FIXED is used only inside a range reserved before.
    unsafe {
        syscall(
            SYS_MMAP, address, length, protection, flags, fd as u64, offset,
        )
    }
}

fn read_at(fd: i32, buffer: *mut u8, length: usize, offset: u64) {
    // SAFETY: callers pass a buffer of at least `length` bytes.
    let count = unsafe {
        syscall(
            SYS_PREAD64,
            fd as u64,
            buffer as u64,
            length as u64,
            offset,
            0,
            0,
        )
    };
    if count != length as i64 {
        fault();
    }
}

/// Reserve the whole span of an image, so that its segments cannot land on something else.
fn reserve(span: u64, align: u64, hint: u64) -> u64 {
    if hint != 0 {
        let aligned = hint & !(align - 1);
        let at = map(
            aligned,
            span,
            PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
            -1,
            0,
        );
        if !failed(at) {
            return at as u64;
        }
    }
    let slack = if align > PAGE { align } else { 0 };
    let at = map(
        0,
        span + slack,
        PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    );
    if failed(at) {
        fault();
    }
    let at = at as u64;
    let start = (at + slack) & !(align - 1);
    // SAFETY: gives back what was reserved around the aligned span just now.
    unsafe {
        if start > at {
            syscall(SYS_MUNMAP, at, start - at, 0, 0, 0, 0);
        }
        let end = at + span + slack;
        if end > start + span {
            syscall(SYS_MUNMAP, start + span, end - (start + span), 0, 0, 0, 0);
        }
    }
    start
}

pub(crate) fn load(fd: i32, hint: u64) -> Image {
    let mut header = ElfHeader {
        ident: [0; 16],
        kind: 0,
        machine: 0,
        version: 0,
        entry: 0,
        phoff: 0,
        shoff: 0,
        flags: 0,
        ehsize: 0,
        phentsize: 0,
        phnum: 0,
        rest: [0; 3],
    };
    read_at(fd, (&raw mut header).cast(), size_of::<ElfHeader>(), 0);
    let count = header.phnum as usize;
    if count == 0 || count > MAX_HEADERS || header.phentsize as usize != size_of::<ProgramHeader>()
    {
        fault();
    }
    // SAFETY: single-threaded; the previous image's headers are not used any more.
    let headers = unsafe { &mut (&mut *(&raw mut HEADERS))[..count] };
    read_at(
        fd,
        headers.as_mut_ptr().cast(),
        size_of_val(headers),
        header.phoff,
    );
    let headers: &[ProgramHeader] = headers;

    let (mut low, mut high, mut align) = (u64::MAX, 0u64, PAGE);
    for segment in headers.iter().filter(|h| h.kind == PT_LOAD) {
        if !segment.fits() {
            fault();
        }
        low = low.min(page_down(segment.vaddr));
        high = high.max(page_up(segment.vaddr.wrapping_add(segment.memsz)));
        if segment.align.is_power_of_two() && segment.align > align && segment.align <= 1 << 30 {
            align = segment.align;
        }
    }
    if low >= high {
        fault();
    }
    let bias = if header.kind == ET_DYN {
        reserve(high - low, align, hint).wrapping_sub(low)
    } else {
        let at = map(
            low,
            high - low,
            PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
            -1,
            0,
        );
        if at != low as i64 {
            fault();
        }
        0
    };
    let mut image = Image {
        bias,
        entry: header.entry.wrapping_add(bias),
        phdr: 0,
        phnum: count as u64,
        low: low.wrapping_add(bias),
        high: high.wrapping_add(bias),
        code_end: 0,
        data_start: 0,
        data_end: 0,
    };
    for segment in headers {
        if segment.kind == PT_PHDR {
            image.phdr = segment.vaddr.wrapping_add(bias);
        }
        if segment.kind == PT_LOAD {
            load_segment(fd, segment, &mut image, header.phoff);
        }
    }
    image
}

fn load_segment(fd: i32, segment: &ProgramHeader, image: &mut Image, phoff: u64) {
    let protection = u64::from(segment.flags >> 2 & 1)
        | u64::from(segment.flags & 2)
        | u64::from(segment.flags & 1) << 2;
    let address = segment.vaddr.wrapping_add(image.bias);
    let start = page_down(address);
    let file_end = address.wrapping_add(segment.filesz);
    let memory_end = address.wrapping_add(segment.memsz);
    if image.phdr == 0
        && phoff >= segment.offset
        && phoff < segment.offset.wrapping_add(segment.filesz)
    {
        image.phdr = phoff - segment.offset + address;
    }
    if protection & 4 != 0 {
        image.code_end = image.code_end.max(file_end);
    }
    if file_end > image.data_end {
        image.data_start = address;
        image.data_end = file_end;
    }
    let mut zero_from = start;
    if segment.filesz != 0 {
        let in_page = address - start;
        if segment.offset < in_page {
            fault();
        }
        let at = map(
            start,
            file_end - start,
            protection,
            MAP_PRIVATE | MAP_FIXED,
            i64::from(fd),
            segment.offset - in_page,
        );
        if failed(at) {
            fault();
        }
        zero_from = page_up(file_end);
        if memory_end > file_end && protection & 2 != 0 && file_end & (PAGE - 1) != 0 {
            // SAFETY: the rest of the last, writable, private page of the segment just mapped.
            unsafe { memset(file_end as *mut u8, 0, (zero_from - file_end) as usize) };
        }
    }
    let zero_to = page_up(memory_end);
    if zero_to > zero_from {
        let at = map(
            zero_from,
            zero_to - zero_from,
            // As elf_load() of fs/binfmt_elf.c: what is not of the file can be written whatever the segment says.
            PROT_READ | PROT_WRITE | protection & PROT_EXEC,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
            -1,
            0,
        );
        if failed(at) {
            fault();
        }
    }
}
