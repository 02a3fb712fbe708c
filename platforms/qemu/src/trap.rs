//! Descriptor tables, interrupts by the two PICs, exceptions.
//!
//! Every vector has a stack of its own class, because precompiled code uses the red zone: 0 double faults, 1 faults,
//! 2 breakpoints, 3 interrupts, 4 NMI; each CPU has its own. Handlers run with interrupts off; none may fault in its own class.

use core::ptr::{addr_of, addr_of_mut};
use core::sync::atomic::{AtomicU16, Ordering};

use x86_64::instructions::port::Port;
use x86_64::instructions::segmentation::{Segment, CS, SS};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::control::Cr2;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;
use x86_64::VirtAddr;

use crate::cell::RawCell;
use crate::cpu::{self, CPUS};
use crate::{fault, memory::Stack, platform, serial, time, timer};

const NMI: u64 = 2;
const BREAKPOINT: u64 = 3;
const FIRST_IRQ: u64 = 32;
const STACKS: usize = 5;
const INTERRUPT_STACK: usize = 3;

/// Registers at an interrupt, as trap.S pushes them.
#[repr(C)]
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl Frame {
    /// The registers in the order of Linux.
    fn registers(&self) -> [u64; 21] {
        let Self { r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax, .. } = *self;
        let Self { rip, cs, rflags, rsp, ss, .. } = *self;
        [r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, 0, rip, cs, rflags, rsp, ss]
    }
}

extern "C" {
    static trap_stubs: u8;
    static probe_begin: u8;
    static probe_fault: u8;
    static pair_begin: u8;
    static pair_fault: u8;
    fn probe_pair(from: u64, to: *mut [u64; 2]) -> u32;
    fn probe_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
}

static TRAP_STACKS: RawCell<[Stack; STACKS * CPUS]> = RawCell::new([const { Stack::new() }; STACKS * CPUS]);
static TSS: RawCell<[TaskStateSegment; CPUS]> = RawCell::new([const { TaskStateSegment::new() }; CPUS]);
static GDT: RawCell<[GlobalDescriptorTable; CPUS]> = RawCell::new([const { GlobalDescriptorTable::new() }; CPUS]);
static IDT: RawCell<InterruptDescriptorTable> = RawCell::new(InterruptDescriptorTable::new());
/// One bit for each interrupt line of a serial device.
static SERIAL_LINES: AtomicU16 = AtomicU16::new(0);

/// The guard pages of the handlers' stacks.
pub fn guards() -> impl Iterator<Item = usize> {
    (0..STACKS * CPUS).map(|number| TRAP_STACKS.get() as usize + number * size_of::<Stack>())
}

/// Loads the first CPU's tables; interrupts stay off.
pub fn init() {
    // SAFETY: called once before any interrupt is possible; nobody else refers to the table.
    fill_idt(unsafe { &mut *IDT.get() });
    load_tables();
    remap_pics();
}

/// Fills and loads this CPU's tables, with the interrupt table that `init` filled.
pub fn load_tables() {
    let cpu = cpu::number();
    // SAFETY: called once on each CPU, which only touches its own tables; all tables are statics and stay.
    unsafe {
        let tss = TSS.get().cast::<TaskStateSegment>().add(cpu);
        for (number, guard) in guards().skip(cpu * STACKS).take(STACKS).enumerate() {
            (*tss).interrupt_stack_table[number] = VirtAddr::new((guard + size_of::<Stack>()) as u64);
        }
        let gdt = &mut *GDT.get().cast::<GlobalDescriptorTable>().add(cpu);
        let code = gdt.append(Descriptor::kernel_code_segment());
        let data = gdt.append(Descriptor::kernel_data_segment());
        let task = gdt.append(Descriptor::tss_segment(&*tss));
        gdt.load_unsafe();
        CS::set_reg(code);
        SS::set_reg(data);
        load_tss(task);
        (*IDT.get()).load_unsafe();
    }
}

fn fill_idt(idt: &mut InterruptDescriptorTable) {
    let stub = |vector: usize| VirtAddr::new((addr_of!(trap_stubs) as usize + 16 * vector) as u64);
    macro_rules! exceptions {
        ($($field:ident $vector:literal $stack:literal),*) => {
            $(
                // SAFETY: the stub of this vector saves and restores all registers; stack index below STACKS.
                unsafe { idt.$field.set_handler_addr(stub($vector)).set_stack_index($stack) };
            )*
        };
    }
    exceptions!(
        divide_error 0 1, debug 1 2, non_maskable_interrupt 2 4, breakpoint 3 2, overflow 4 1,
        bound_range_exceeded 5 1, invalid_opcode 6 1, device_not_available 7 1, double_fault 8 0, invalid_tss 10 1,
        segment_not_present 11 1, stack_segment_fault 12 1, general_protection_fault 13 1, page_fault 14 1,
        x87_floating_point 16 1, alignment_check 17 1, machine_check 18 0, simd_floating_point 19 1
    );
    for vector in 32..51u8 {
        // SAFETY: as above.
        unsafe { idt[vector].set_handler_addr(stub(usize::from(vector))).set_stack_index(INTERRUPT_STACK as u16) };
    }
}

/// Lets the interrupts of the timer and of the serial devices' lines through.
pub fn enable(serial_lines: impl Iterator<Item = u8>) {
    let lines = serial_lines.filter(|line| *line < 16).fold(0, |lines, line| lines | 1u16 << line);
    SERIAL_LINES.store(lines, Ordering::Relaxed);
    let mask = !(lines | 0b101); // timer and the second PIC
                                 // SAFETY: unmasks lines that have handlers.
    unsafe {
        Port::<u8>::new(0x21).write(mask as u8);
        Port::<u8>::new(0xa1).write((mask >> 8) as u8);
    }
    x86_64::instructions::interrupts::enable();
}

fn remap_pics() {
    let writes = [
        (0x20, 0x11),
        (0xa0, 0x11), // begin
        (0x21, 32),
        (0xa1, 40), // first vectors
        (0x21, 4),
        (0xa1, 2), // how they are wired
        (0x21, 3),
        (0xa1, 3), // 8086 mode, served without a word
        (0x21, 0xff),
        (0xa1, 0xff), // all masked
    ];
    for (port, value) in writes {
        // SAFETY: the PICs belong to us; all lines end up masked.
        unsafe { Port::<u8>::new(port).write(value) };
    }
}

/// Called by trap.S for every vector.
#[no_mangle]
extern "C" fn trap(frame: &mut Frame) {
    if frame.vector >= FIRST_IRQ {
        cpu::set_in_interrupt(true);
        interrupt(frame);
        cpu::set_in_interrupt(false);
        return;
    }
    if frame.vector == NMI && fault::is_dying() {
        fault::stop();
    }
    if frame.vector == BREAKPOINT && platform::wait_for_patch(frame.rip as usize - 1) {
        frame.rip -= 1; // executes what stands there now
        return;
    }
    let copying = addr_of!(probe_begin) as u64..addr_of!(probe_fault) as u64;
    let walking = addr_of!(pair_begin) as u64..addr_of!(pair_fault) as u64;
    let probing = [copying, walking].into_iter().find(|range| range.contains(&frame.rip));
    if let Some(probing) = probing.filter(|_| matches!(frame.vector, 13 | 14)) {
        let at_fault = *AT_FAULT.lock();
        if let Some(call) = at_fault {
            call();
        }
        frame.rip = probing.end;
        return;
    }
    fault::report(frame, Cr2::read_raw());
}

fn interrupt(frame: &Frame) {
    let vector = frame.vector;
    let line = vector - FIRST_IRQ;
    if (line == 0 || cpu::is_tick(vector)) && timer::is_on() {
        timer::tick(cpu::number(), &frame.registers());
    }
    if line >= 16 {
        return cpu::interrupt(vector);
    }
    if line == 0 {
        time::TICKS.fetch_add(1, Ordering::Relaxed);
    } else if SERIAL_LINES.load(Ordering::Relaxed) & 1 << line != 0 {
        serial::interrupt();
    }
}

/// What the handler calls when a read failed: for the test of functions that are traced there.
pub static AT_FAULT: spin::Mutex<Option<extern "C" fn()>> = spin::Mutex::new(None);

/// Whether who runs on the stack that holds this address may take a fault: not on the stack of a handler that runs for a fault, or may
/// have interrupted one that does.
pub fn may_fault(stack: usize) -> bool {
    let number = stack.wrapping_sub(TRAP_STACKS.get() as usize) / size_of::<Stack>();
    number >= STACKS * CPUS || number % STACKS == INTERRUPT_STACK
}

/// Copies from memory that may not be mapped; returns how many leading bytes were readable.
pub fn probe_read(address: usize, into: &mut [u8]) -> usize {
    // SAFETY: writes to `into` only; a fault while reading is caught in `trap`.
    let left = unsafe { probe_copy(addr_of_mut!(*into).cast(), address as *const u8, into.len()) };
    into.len() - left
}

/// Two words of memory that may not be mapped.
pub fn probe_pair_at(address: u64) -> Option<[u64; 2]> {
    let mut pair = [0; 2];
    // SAFETY: writes to `pair` only; a fault while reading is caught in `trap`.
    (unsafe { probe_pair(address, &raw mut pair) } != 0).then_some(pair)
}
