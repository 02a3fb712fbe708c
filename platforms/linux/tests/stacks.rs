//! Stacks of traced functions: those that are known, those with programs at returns in them, and frame pointers that lead anywhere.
#![cfg(stacks)]

use std::{
    collections::HashMap,
    ffi::{c_int, c_long, c_void},
    ptr,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, LazyLock, Mutex, MutexGuard,
    },
    thread,
};
use ubpf_platform_linux::{platform, records, symbols};
use ubpf_rs::platform::Platform;
use ubpf_rs::runtime::{Symbol, SymbolTable};
use ubpf_rs::tracer::{
    stack_used, AttachOptions, AttachRequest, Failed, Hook, HookProgram, Point, ProbeId, Ring, Site, SiteKind,
    TracerConfig, TRACER,
};

extern "C" {
    fn stacks_begin(which: c_int, number: c_long, pointer: *mut c_void) -> c_long;
    fn calling_begin(which: c_int, number: c_long, pointer: *mut c_void) -> c_long;
}

/// Addresses of a trace at most.
const MOST: usize = 127;
const ENTRY: fn(Site) -> Point = Point::Entry;
const RETURN: fn(Site) -> Point = Point::Return;

struct Image {
    platform: Platform,
    functions: HashMap<String, (u64, u64)>,
}

/// Starts the tracer on this process, once. Tests take turns, since they share its functions.
fn image() -> (&'static Image, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static IMAGE: LazyLock<Image> = LazyLock::new(|| {
        let ring: &'static Ring = Box::leak(Box::new(Ring::new(1 << 16).unwrap()));
        let platform = platform(".".into());
        TRACER.init(TracerConfig::default(), platform, ring).unwrap();
        let own = symbols::own().unwrap();
        let named = own.iter().map(Symbol::from);
        let table = SymbolTable::new(named).unwrap();
        TRACER.add_sites(&records::own().patchable, SiteKind::Patchable, &|address| table.neighbours(address));
        let calling = table.with_prefix(b"calling_").map(|symbol| symbol.address);
        TRACER.add_sites(&calling.collect::<Vec<_>>(), SiteKind::Instrumented, &|address| table.neighbours(address));
        Image { platform, functions: own.into_iter().map(|s| (s.name, (s.address, s.size))).collect() }
    });
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (&IMAGE, turn)
}

/// Keeps the last stack that it saw.
struct Saw {
    platform: Platform,
    stack: Mutex<Vec<u64>>,
}

impl HookProgram for Saw {
    fn run(&self, hook: Hook<'_>) -> Result<(), Failed> {
        let mut room = [0; MOST];
        let found = hook.stack_at.addresses(self.platform.probe_read, &mut room);
        *self.stack.lock().unwrap() = room[..found].to_vec();
        Ok(())
    }
}

impl Image {
    fn attach(&self, program: &str, function: &str, point: fn(Site) -> Point) -> (ProbeId, Arc<Saw>) {
        let (start, len) = self.functions[function];
        let site = TRACER.site_in(start, len).unwrap_or_else(|| panic!("no site in {function}"));
        let body = Arc::new(Saw { platform: self.platform, stack: Mutex::default() });
        let (point, options) = (point(site), AttachOptions::default());
        let id = TRACER.attach(AttachRequest { point, function, start, program, body: body.clone(), options }).unwrap();
        (id, body)
    }

    /// The function in which the call before an address stands, or the one that begins there.
    fn name(&self, address: u64) -> &str {
        let within = |(start, size): (u64, u64)| address == start || address.wrapping_sub(1 + start) < size;
        self.functions.iter().find(|(_, place)| within(**place)).map_or("?", |(name, _)| name)
    }

    /// What a program at `stacks_leaf` sees of this call, by names, as far as they are of the functions in C.
    fn names(&self, saw: &Saw, which: c_int, number: c_long, pointer: *mut c_void) -> Vec<&str> {
        saw.stack.lock().unwrap().clear();
        // SAFETY: a function of numbers; a pointer is not looked at, or the end of a stack. `errno` is a variable of this thread.
        let errno = unsafe {
            *libc::__errno_location() = 77;
            stacks_begin(which, number, pointer);
            *libc::__errno_location()
        };
        assert_eq!(errno, 77, "an error of the application's is as it was");
        let stack = saw.stack.lock().unwrap();
        assert_eq!(self.functions["stacks_leaf"].0, stack[0], "first comes where the function begins");
        stack.iter().map(|&address| self.name(address)).take_while(|name| name.starts_with("stacks_")).collect()
    }
}

fn detach(id: ProbeId) {
    TRACER.detach(id).unwrap();
}

const KNOWN: [&str; 4] = ["stacks_leaf", "stacks_branch", "stacks_root", "stacks_begin"];

#[test]
fn a_stack_is_told_at_entries_and_returns() {
    let (image, _turn) = image();
    for point in [ENTRY, RETURN] {
        let (id, saw) = image.attach("saw", "stacks_leaf", point);
        assert_eq!(image.names(&saw, 0, 7, ptr::null_mut()), KNOWN);
        // Nothing of it is anywhere in this function's caller but one address.
        let stack = saw.stack.lock().unwrap().clone();
        assert!(stack[1..].iter().all(|address| !image.functions.values().any(|place| place.0 == *address)));
        detach(id);
    }
}

/// Where calls come back through the pad, their callers are told all the same.
#[test]
fn programs_at_returns_hide_no_caller() {
    let (image, _turn) = image();
    for point in [ENTRY, RETURN] {
        let (id, saw) = image.attach("saw", "stacks_leaf", point);
        let others = ["stacks_leaf", "stacks_branch", "stacks_root", "stacks_recursion"];
        let others = others.map(|function| image.attach("other", function, RETURN).0);
        assert_eq!(image.names(&saw, 0, 7, ptr::null_mut()), KNOWN);
        let deep = image.names(&saw, 3, 20, ptr::null_mut());
        assert_eq!((&deep[..3], deep.len(), deep.last()), (&KNOWN[..3], 3 + 21 + 1, Some(&"stacks_begin")));
        others.into_iter().for_each(detach);
        assert_eq!(image.names(&saw, 0, 7, ptr::null_mut()), KNOWN);
        detach(id);
    }
}

#[test]
fn a_deep_stack_is_cut() {
    let (image, _turn) = image();
    let (id, saw) = image.attach("saw", "stacks_leaf", ENTRY);
    let deep = image.names(&saw, 3, 1000, ptr::null_mut());
    assert_eq!((deep.len(), deep[3], deep[MOST - 1]), (MOST, "stacks_recursion", "stacks_recursion"));
    detach(id);
    let (used, has) = stack_used();
    println!("hooks have used {used} of {has} bytes of their stack");
    assert!(used > 0 && used <= has / 2, "{used} of {has} bytes");
}

/// Whatever the frame pointer is, the function and its caller are told, the walk ends, and nothing faults.
#[test]
fn any_frame_pointer_is_survived() {
    let (image, _turn) = image();
    let (id, saw) = image.attach("saw", "stacks_leaf", ENTRY);
    // SAFETY: two fresh pages, of which the second is taken away; nobody else knows them.
    let page = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(ptr::null_mut(), 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).cast::<u64>();
        assert_eq!(libc::munmap(page.byte_add(4096).cast(), 4096), 0);
        page
    };
    let mut frames = [0u64; 64];
    let at = |frames: &[u64; 64], number: usize| frames.as_ptr() as u64 + 8 * number as u64;
    let circle = [(0, 10), (10, 0)];
    let forward_only: Vec<(usize, usize)> = (0..30).map(|n| (2 * n, 2 * n + 2)).collect();
    let ends_in_nothing = at(&frames, 0);
    let mut see = |links: &[(usize, usize)], pointer: u64| {
        frames.fill(0);
        for &(from, to) in links {
            (frames[from], frames[from + 1]) = (at(&frames, to), 0x1000 + from as u64);
        }
        let names = image.names(&saw, 1, 3, pointer as *mut c_void);
        assert_eq!(names[..2], ["stacks_leaf", "stacks_with_pointer"], "{pointer:#x}");
        saw.stack.lock().unwrap()[2..].to_vec()
    };
    let nowhere = [0, 1, 8, 0xfff8, page as u64 + 4096, page as u64 + 4095, u64::MAX, u64::MAX - 7];
    for pointer in nowhere.into_iter().chain([0x8000_0000_0000_0000, 0xdead_beef_dead_bee8, 0xffff_ffff_ff60_0000]) {
        assert_eq!(see(&[], pointer), [0; 0], "{pointer:#x}");
    }
    assert_eq!(see(&[], ends_in_nothing), [0; 0]);
    assert_eq!(see(&[], page as u64 + 4088), [0; 0]);
    assert_eq!(see(&[(0, 0)], ends_in_nothing), [0x1000, 0x1000], "on the spot, with one change of the stack");
    assert_eq!(see(&circle, ends_in_nothing), [0x1000, 0x100a, 0x1000, 0x100a], "and no second one");
    let forward: Vec<u64> = (0..30).map(|n| 0x1000 + 2 * n).collect();
    assert_eq!(see(&forward_only, ends_in_nothing), forward);
    // Into memory that ends in the middle of a frame.
    // SAFETY: words of the page.
    unsafe { (page.write(page as u64 + 4088), page.add(1).write(77)) };
    assert_eq!(see(&[], page as u64), [77]);
    detach(id);
}

/// Another thread takes away the memory that frames lie in, and puts it back, all the time.
#[test]
fn frames_that_go_meanwhile_end_the_walk() {
    const FRAMES: usize = 100;
    let (image, _turn) = image();
    let (id, saw) = image.attach("saw", "stacks_leaf", ENTRY);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let map = |at: *mut c_void, flags| {
        // SAFETY: fresh pages, or those of this test.
        let pages = unsafe { libc::mmap(at, 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) }.cast::<u64>();
        for frame in 0..FRAMES {
            // SAFETY: words of the two pages, of which nobody else knows.
            unsafe {
                pages.add(10 * frame).write_volatile(pages.add(10 * (frame + 1)) as u64);
                pages.add(10 * frame + 1).write_volatile(0x1000 + frame as u64);
            }
        }
        pages as u64
    };
    let pages = map(ptr::null_mut(), flags);
    let over = AtomicBool::new(false);
    let (mut whole, mut cut) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // SAFETY: pages of this test, which a fault-safe read alone looks at.
                unsafe {
                    libc::mprotect((pages + 4096) as *mut c_void, 4096, libc::PROT_NONE);
                    libc::mprotect(pages as *mut c_void, 4096, libc::PROT_NONE);
                }
                map(pages as *mut c_void, flags | libc::MAP_FIXED);
            }
        });
        while whole + cut < 5000 || cut == 0 && whole < 100_000 {
            let names = image.names(&saw, 1, 3, pages as *mut c_void);
            assert_eq!(names[..2], ["stacks_leaf", "stacks_with_pointer"]);
            let rest = saw.stack.lock().unwrap()[2..].to_vec();
            assert!(rest.iter().copied().eq((0x1000..).take(rest.len())), "{rest:x?}");
            *(if rest.len() == FRAMES { &mut whole } else { &mut cut }) += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(cut > 0, "{whole} {cut}");
    detach(id);
}

#[test]
fn a_changed_stack_is_followed() {
    let (image, _turn) = image();
    let (id, saw) = image.attach("saw", "stacks_leaf", ENTRY);
    let mut stack = vec![0u64; 32 << 10];
    // SAFETY: the end of a stack that is long enough, with room above, and aligned.
    let top = unsafe { stack.as_mut_ptr().add(16 << 10) };
    let top = (top as u64 & !15) as *mut c_void;
    assert_eq!(
        image.names(&saw, 2, 3, top),
        ["stacks_leaf", "stacks_branch", "stacks_root", "stacks_on_stack", "stacks_begin"]
    );
    detach(id);
}

/// Functions that call the tracer by themselves have their frame already, and are told once.
#[test]
fn functions_that_call_the_tracer_are_told_once() {
    let (image, _turn) = image();
    let (id, saw) = image.attach("saw", "calling_leaf", ENTRY);
    // SAFETY: a function of numbers; the pointer is not looked at.
    let call = |which, number| unsafe { calling_begin(which, number, ptr::null_mut()) };
    let names = || {
        let stack = saw.stack.lock().unwrap();
        let names = stack.iter().map(|&address| image.name(address));
        names.take_while(|name| name.starts_with("calling_")).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(call(0, 7), 18);
    assert_eq!(names(), KNOWN.map(|name| name.replace("stacks", "calling")));
    detach(id);
    let (id, saw) = image.attach("saw", "calling_recursion", ENTRY);
    call(3, 3);
    let stack = saw.stack.lock().unwrap();
    let recursion = stack.iter().filter(|&&address| image.name(address) == "calling_recursion");
    assert_eq!(recursion.count(), 4);
    detach(id);
}
