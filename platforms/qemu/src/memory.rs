//! Page tables, stacks with guard pages, the heap, and memory for generated code.
//!
//! Everything is mapped one to one. Up to `SMALL_END` in 4 KiB pages with exact rights, above that in 2 MiB pages
//! without execution. Page 0 and the page under each stack are not mapped.

use core::alloc::GlobalAlloc;
use core::ptr::{addr_of, NonNull};
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicU8};

use linked_list_allocator::LockedHeap;
use ubpf_rs::platform::{ExecBlock, ExecMemory};
use x86_64::instructions::tlb;
use x86_64::structures::paging::{PageTable, PageTableFlags as Flags};
use x86_64::{PhysAddr, VirtAddr};

use crate::cell::{IrqCell, RawCell};
use crate::startinfo::StartInfo;
use crate::{cpu, platform};

/// Size of a small page.
pub const PAGE: usize = 4096;
const LARGE: usize = 2 << 20;
const SMALL_TABLES: usize = 4;
const SMALL_END: usize = SMALL_TABLES * LARGE;
/// Where device memory may begin on the machines of QEMU.
const DEVICES: usize = 0x8000_0000;
const EXEC_PAGES: usize = 64;

/// PML4, PDPT and four page directories, filled by boot.S.
#[no_mangle]
static BOOT_TABLES: RawCell<[PageTable; 6]> = RawCell::new([const { PageTable::new() }; 6]);
static SMALL: RawCell<[PageTable; SMALL_TABLES]> = RawCell::new([const { PageTable::new() }; SMALL_TABLES]);

#[global_allocator]
static HEAP: Heap = Heap(LockedHeap::empty());

/// What the application's allocations leave, so that the shell goes on when the application has taken all it can.
pub const SHELL_RESERVE: usize = 512 << 10;
/// What large allocations leave for small ones, which nobody expects to fail.
const SMALL_RESERVE: usize = 256 << 10;
/// Whoever allocates so much can be told that there is no memory.
const LARGE_ALLOCATION: usize = 16 << 10;

/// A heap in which large allocations fail before small ones do.
struct Heap(LockedHeap);

// SAFETY: passes everything on to an allocator, or allocates nothing.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: alloc::alloc::Layout) -> *mut u8 {
        if layout.size() >= LARGE_ALLOCATION && !leaves_enough(layout.size(), SMALL_RESERVE) {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: alloc::alloc::Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block, layout) }
    }
}

/// Whether an allocation of this size leaves so much of the heap.
pub fn leaves_enough(size: usize, reserve: usize) -> bool {
    HEAP.0.lock().free() >= size.saturating_add(reserve)
}

static EXEC_POOL: RawCell<Pages<EXEC_PAGES>> = RawCell::new(Pages([[0; PAGE]; EXEC_PAGES]));
static EXEC_STATES: IrqCell<[ExecPage; EXEC_PAGES]> = IrqCell::new([ExecPage::Free; EXEC_PAGES]);

/// What a page for generated code is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExecPage {
    Free,
    Open,
    Sealed,
}

#[repr(C, align(4096))]
struct Pages<const N: usize>([[u8; PAGE]; N]);

/// A stack above a page that is not mapped.
#[repr(C, align(4096))]
pub struct Stack {
    guard: [u8; PAGE],
    bytes: [u8; Stack::BYTES],
}

impl Stack {
    /// Usable bytes.
    pub const BYTES: usize = 16 * PAGE;

    /// An unused stack.
    pub const fn new() -> Self {
        Self { guard: [0; PAGE], bytes: [0; Self::BYTES] }
    }
}

extern "C" {
    static image_start: u8;
    static text_end: u8;
    static rodata_end: u8;
    static image_end: u8;
}

/// Addresses of the image's parts.
pub struct Layout;

impl Layout {
    /// The text: read and execute.
    pub fn text() -> core::ops::Range<usize> {
        addr_of!(image_start) as usize..addr_of!(text_end) as usize
    }
    /// Constants: read only.
    pub fn rodata() -> core::ops::Range<usize> {
        addr_of!(text_end) as usize..addr_of!(rodata_end) as usize
    }
    fn end() -> usize {
        addr_of!(image_end) as usize
    }
}

/// End of the memory that may be read as such; set once at the start.
static RAM_END: spin::Once<usize> = spin::Once::new();

/// End of the RAM; addresses from here on belong to devices or nobody.
pub fn ram_end() -> usize {
    RAM_END.get().copied().unwrap_or(0)
}

/// Sets the rights of all pages and makes the rest of the RAM the heap. Call once, first of all.
pub fn init(info: &StartInfo, guards: impl Iterator<Item = usize>) {
    let ram_end = info.ram_end;
    assert!(Layout::end() <= SMALL_END && Layout::end() < ram_end, "the image does not fit");
    RAM_END.call_once(|| ram_end);
    let tables = SMALL.get() as *mut PageTable;
    for page in (0..SMALL_END).step_by(PAGE) {
        set_page(page, rights_at_start(page));
    }
    for guard in guards.chain([0]) {
        set_page(guard, Flags::empty());
    }
    for number in 0..2048 {
        let address = number * LARGE;
        let entry = if number < SMALL_TABLES {
            (tables as usize + number * PAGE, Flags::PRESENT | Flags::WRITABLE)
        } else if address < ram_end {
            (address, Flags::PRESENT | Flags::WRITABLE | Flags::HUGE_PAGE | Flags::NO_EXECUTE)
        } else if address >= DEVICES {
            let device = Flags::NO_CACHE | Flags::WRITE_THROUGH | Flags::NO_EXECUTE;
            (address, Flags::PRESENT | Flags::WRITABLE | Flags::HUGE_PAGE | device)
        } else {
            (0, Flags::empty())
        };
        // SAFETY: the page directories follow each other from index 2 on, 512 entries each; one CPU runs.
        unsafe {
            let directory = BOOT_TABLES.get().cast::<PageTable>().add(2 + number / 512);
            (&mut (*directory))[number % 512].set_addr(PhysAddr::new(entry.0 as u64), entry.1);
        }
    }
    tlb::flush_all();
    let heap_end = info.initrd.as_ref().map_or(ram_end, |initrd| initrd.start.max(Layout::end()) & !(PAGE - 1));
    let start = Layout::end();
    // SAFETY: this memory is mapped, writable and used by nobody: it lies between the image and the initrd.
    unsafe { HEAP.0.lock().init(start as *mut u8, heap_end.saturating_sub(start)) };
}

fn rights_at_start(page: usize) -> Flags {
    let read = Flags::PRESENT;
    if Layout::text().contains(&page) {
        read
    } else if Layout::rodata().contains(&page) {
        read | Flags::NO_EXECUTE
    } else {
        read | Flags::WRITABLE | Flags::NO_EXECUTE
    }
}

/// Sets the rights of the small page at `page`.
fn set_page(page: usize, flags: Flags) {
    map_page(page, page, flags);
}

/// Maps the small page at `page` to the memory at `target`.
fn map_page(page: usize, target: usize, flags: Flags) {
    // SAFETY: the tables are only changed here and at the start, with one CPU running; `page` is below SMALL_END,
    // as the callers only pass pages of the image.
    unsafe {
        let table = SMALL.get().cast::<PageTable>().add(page / LARGE);
        (&mut (*table))[page % LARGE / PAGE].set_addr(PhysAddr::new(target as u64), flags);
    }
    tlb::flush(VirtAddr::new(page as u64));
}

/// The rights of the page that holds `address`, by walking the tables (below 4 GiB).
pub fn rights(address: usize) -> Flags {
    let number = address / LARGE;
    if number >= 2048 {
        return Flags::empty();
    }
    // SAFETY: reads entries of the tables; indices are in range as just checked.
    unsafe {
        if number < SMALL_TABLES {
            let table = SMALL.get().cast::<PageTable>().add(number);
            return (&(*table))[address % LARGE / PAGE].flags();
        }
        let directory = BOOT_TABLES.get().cast::<PageTable>().add(2 + number / 512);
        (&(*directory))[number % 512].flags()
    }
}

/// Bytes of the heap: used and in all.
pub fn heap_usage() -> (usize, usize) {
    let heap = HEAP.0.lock();
    (heap.used(), heap.size())
}

/// An integer that the device may change at any time.
///
/// # Safety
/// All zeros are a value, and shared references allow changes.
pub unsafe trait Shared: 'static {}
// SAFETY: atomic integers.
unsafe impl Shared for AtomicU8 {}
// SAFETY: as above.
unsafe impl Shared for AtomicU16 {}
// SAFETY: as above.
unsafe impl Shared for AtomicU32 {}
// SAFETY: as above.
unsafe impl Shared for AtomicU64 {}

/// Zeroed memory for a device and the driver, for good; at the same address for both.
pub fn shared<T: Shared>(count: usize) -> Option<&'static [T]> {
    const LINE: usize = 64;
    let layout = core::alloc::Layout::array::<T>(count).ok()?.align_to(LINE).ok()?;
    // SAFETY: the size is not zero: there is no queue without entries.
    let start = NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) })?;
    // SAFETY: so many values were allocated, zero is one of them, and they are never freed.
    Some(unsafe { core::slice::from_raw_parts(start.as_ptr().cast(), count) })
}

/// Generated code lives in pages of the image itself, so it is near the text.
pub struct CodeMemory;

impl CodeMemory {
    fn base() -> usize {
        EXEC_POOL.get() as usize
    }

    /// Whether the page at `address` belongs to a sealed block.
    pub fn is_sealed(address: usize) -> bool {
        let page = address.wrapping_sub(Self::base()) / PAGE;
        EXEC_STATES.with(|states| states.get(page) == Some(&ExecPage::Sealed))
    }

    /// Brings all pages of a block from one state to another; false when it is no block in that state.
    fn change(block: ExecBlock, from: &[ExecPage], to: ExecPage) -> bool {
        let offset = block.exec.wrapping_sub(Self::base());
        let first = offset / PAGE;
        let changed = EXEC_STATES.with(|states| {
            let Some(states) = first.checked_add(block.len.div_ceil(PAGE)).and_then(|end| states.get_mut(first..end))
            else {
                return false;
            };
            let right = offset.is_multiple_of(PAGE) && states.iter().all(|state| from.contains(state));
            if right {
                states.fill(to);
            }
            right
        });
        if !changed {
            return false;
        }
        let flags = match to {
            ExecPage::Sealed => Flags::PRESENT,
            ExecPage::Free | ExecPage::Open => Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE,
        };
        for page in (block.exec..block.exec + block.len).step_by(PAGE) {
            set_page(page, flags);
        }
        cpu::sync_other();
        true
    }
}

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ExecMemory for CodeMemory {
    fn alloc(&self, len: usize) -> Option<ExecBlock> {
        let pages = len.div_ceil(PAGE).max(1);
        let first = EXEC_STATES.with(|states| {
            let first = (0..(EXEC_PAGES + 1).checked_sub(pages)?)
                .find(|at| states[*at..at + pages].iter().all(|state| *state == ExecPage::Free))?;
            states[first..first + pages].fill(ExecPage::Open);
            Some(first)
        })?;
        let exec = Self::base() + first * PAGE;
        Some(ExecBlock { write: exec, exec, len: pages * PAGE })
    }

    fn seal(&self, block: ExecBlock) -> bool {
        Self::change(block, &[ExecPage::Open], ExecPage::Sealed)
    }

    unsafe fn free(&self, block: ExecBlock) {
        Self::change(block, &[ExecPage::Open, ExecPage::Sealed], ExecPage::Free);
    }

    fn enforces_wx(&self) -> bool {
        true
    }

    fn rewrites(&self) -> bool {
        true
    }

    unsafe fn rewrite(&self, at: usize, code: &[u8]) -> bool {
        let Some(end) = at.checked_add(code.len()).filter(|_| at >= Self::base()) else { return false };
        let sealed = (at & !(PAGE - 1)..end).step_by(PAGE).all(Self::is_sealed);
        if sealed {
            platform::write_code(at, code);
        }
        sealed
    }
}

/// Two pages whose addresses are lent to text pages while text is written; their own memory is never used.
static WINDOW: RawCell<Pages<2>> = RawCell::new(Pages([[0; PAGE]; 2]));

/// Writes to the text through another mapping, which is writable but not executable and exists only meanwhile.
/// The caller has interrupts off and has checked the range, which spans at most two pages.
pub fn write_text(address: usize, bytes: &[u8]) {
    let window = WINDOW.get() as usize;
    let first = address & !(PAGE - 1);
    for offset in [0, PAGE] {
        map_page(window + offset, first + offset, Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE);
    }
    let to = (window + address - first) as *mut u8;
    if bytes.len() > 8 {
        // SAFETY: as below; nobody executes what is replaced, so it may be written in any way.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    } else {
        for (offset, byte) in bytes.iter().enumerate() {
            // SAFETY: the window is mapped to the page of `address` and the one after it.
            unsafe { to.add(offset).write_volatile(*byte) };
        }
    }
    for offset in [0, PAGE] {
        set_page(window + offset, Flags::PRESENT | Flags::NO_EXECUTE);
    }
    // Serialises: the next instructions are fetched anew.
    let _ = core::arch::x86_64::__cpuid(0);
}
