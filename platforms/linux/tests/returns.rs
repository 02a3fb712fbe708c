//! Programs at returns: of functions that return, and of functions that are left in other ways.
#![cfg(cxx)]

#[path = "common/direct.rs"]
mod direct;

use direct::records_directly;
use std::{
    collections::HashMap,
    ffi::{c_int, c_long, c_uint},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, LazyLock, Mutex, MutexGuard,
    },
    thread,
};
use ubpf_platform_linux::{platform, records, symbols};
use ubpf_rs::runtime::{Symbol, SymbolTable};
use ubpf_rs::tracer::{
    AttachError, AttachOptions, AttachRequest, Failed, Hook, HookProgram, Point, ProbeId, ProbeReport, Ring, Site,
    SiteKind, TracerConfig, TRACER,
};
use ubpf_rs::vm::{Detour, Given};

extern "C" {
    fn returns_self_test() -> c_uint;
    fn returns_sum(a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long, g: c_long) -> c_long;
    fn returns_recursion(n: c_long) -> c_long;
    fn returns_even(n: c_long) -> c_long;
    fn returns_jump(depth: c_long) -> c_long;
    fn returns_catches(depth: c_long, left: &mut c_long) -> c_long;
    fn returns_again(times: c_long) -> c_long;
    fn returns_calls_leaf(n: c_long) -> c_long;
    fn returns_vforks() -> c_long;
    fn returns_thread(how: c_long) -> c_int;
    fn returns_park() -> c_int;
    fn returns_resume() -> c_long;
    fn returns_forked(times: c_long) -> c_long;
    fn returns_calls_even_below(depth: c_long) -> c_long;
    fn returns_steps(at: u64, pads: &mut [u64; 2]) -> c_long;
    fn returns_steps_below(depth: c_long, at: u64, pads: &mut [u64; 2]) -> c_long;
    fn returns_walk(seed: u64, count: u64, calls: &mut [u64; 8]) -> c_long;
}

/// Calls that can be remembered at once, at least.
const FRAMES: usize = 448;

struct Image {
    functions: HashMap<String, (u64, u64)>,
}

/// Starts the tracer on this process, once. Tests take turns, since they share its functions.
fn image() -> (&'static Image, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static IMAGE: LazyLock<Image> = LazyLock::new(|| {
        let ring: &'static Ring = Box::leak(Box::new(Ring::new(1 << 16).unwrap()));
        TRACER.init(TracerConfig { return_frames: FRAMES, ..Default::default() }, platform(".".into()), ring).unwrap();
        let own = symbols::own().unwrap();
        let named = own.iter().map(Symbol::from);
        let table = SymbolTable::new(named).unwrap();
        TRACER.add_sites(&records::own().patchable, SiteKind::Patchable, &|address| table.neighbours(address));
        Image { functions: own.into_iter().map(|s| (s.name, (s.address, s.size))).collect() }
    });
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (&IMAGE, turn)
}

impl Image {
    fn site(&self, function: &str) -> Site {
        let (start, len) = self.functions[function];
        TRACER.site_in(start, len).unwrap_or_else(|| panic!("no site in {function}"))
    }

    fn attach_as(
        &self,
        program: &str,
        function: &str,
        point: fn(Site) -> Point,
        body: &Arc<impl HookProgram + 'static>,
    ) -> ProbeId {
        let (point, options, body) = (point(self.site(function)), AttachOptions::default(), body.clone());
        TRACER.attach(AttachRequest { point, function, start: 0, program, body, options }).unwrap()
    }

    fn attach(&self, function: &str, point: fn(Site) -> Point, body: &Arc<impl HookProgram + 'static>) -> ProbeId {
        self.attach_as("program", function, point, body)
    }

    fn report(&self, function: &str, id: ProbeId) -> ProbeReport {
        TRACER.probes(self.site(function)).into_iter().find(|p| p.id == id).unwrap()
    }

    /// Runs, misses, outstanding, abandoned.
    fn counts(&self, function: &str, id: ProbeId) -> [u64; 4] {
        let ProbeReport { hits, runs, misses, outstanding, abandoned, .. } = self.report(function, id);
        assert_eq!(hits, runs + misses + outstanding + abandoned);
        [runs, misses, outstanding, abandoned]
    }
}

fn detach(id: ProbeId) {
    TRACER.detach(id).unwrap();
}

/// Remembers the last call that it saw, and leaves nothing in the registers that it may change as it was.
#[derive(Default)]
struct Saw {
    runs: AtomicU64,
    value: AtomicU64,
    arguments: [AtomicU64; 6],
    entered_ns: AtomicU64,
    timed: AtomicBool,
}

impl HookProgram for Saw {
    fn run(&self, hook: Hook<'_>) -> Result<(), Failed> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if let Some(returned) = hook.returned {
            self.value.store(returned.value, Ordering::SeqCst);
            self.entered_ns.store(returned.entered_ns, Ordering::SeqCst);
            for (to, from) in self.arguments.iter().zip(returned.arguments) {
                to.store(from, Ordering::SeqCst);
            }
        }
        clobber();
        Ok(())
    }

    fn wants_entry_time(&self) -> bool {
        self.timed.load(Ordering::SeqCst)
    }
}

fn clobber() {
    // SAFETY: changes registers only, all of which are declared as changed; the x87 stack is as before.
    unsafe {
        std::arch::asm!(
            "pcmpeqd xmm0, xmm0",
            "movdqa xmm1, xmm0",
            "fninit",
            "fldz",
            "fstp st(0)",
            "mov rax, -1",
            "mov rdx, -1",
            clobber_abi("C"),
        );
    }
}

/// Machine code of a program: copies its argument to [`SEEN`], and leaves no register but the stack pointer as it was.
#[no_mangle]
static RETURNS_SEEN: [AtomicU64; 9] = [const { AtomicU64::new(0) }; 9];
std::arch::global_asm!(
    ".globl returns_record",
    "returns_record:",
    "mov [rip + RETURNS_SEEN + 64], rsi",
    "mov rsi, rdi",
    "lea rdi, [rip + RETURNS_SEEN]",
    "mov ecx, 8",
    "rep movsq",
    "mov rax, -1",
    "mov rcx, rax",
    "mov rdx, rax",
    "mov rbx, rax",
    "mov rbp, rax",
    "mov rsi, rax",
    "mov rdi, rax",
    "mov r8, rax",
    "mov r9, rax",
    "mov r10, rax",
    "mov r11, rax",
    "mov r12, rax",
    "mov r13, rax",
    "mov r14, rax",
    "mov r15, rax",
    "ret",
);
extern "C" {
    fn returns_record();
}

/// That program. Runs that took the general way are counted.
#[derive(Default)]
struct Direct(AtomicU64);
impl HookProgram for Direct {
    fn run(&self, _: Hook<'_>) -> Result<(), Failed> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn direct(&self) -> Result<ubpf_rs::vm::Direct, Detour> {
        Ok(records_directly(returns_record, Given::Call, 0, 64))
    }
}

/// What is in the registers at the entry of [`returns_bare`], beside the stack, and what it leaves there, in the order of Linux.
const BARE: [u64; 15] = [0, 0, 0, 0, 0xbb, 0xb0, 0x11, 0x10, 0x9, 0x8, 0xa0, 0xc0, 0xd0, 0x51, 0xd1];
/// What it adds to those that it changes.
const BARE_MORE: u64 = 0x1000;
/// The stack pointer at the call.
#[no_mangle]
static RETURNS_STACK: AtomicU64 = AtomicU64::new(0);
/// The first byte of its argument that [`returns_record_words`] looks at.
#[no_mangle]
static RETURNS_FIRST: AtomicU64 = AtomicU64::new(0);
std::arch::global_asm!(
    ".pushsection .text.returns_bare,\"ax\",@progbits",
    ".globl returns_bare",
    ".type returns_bare, @function",
    "returns_bare:",
    "77: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
    // Longer than the step of the counter by which time is read, which is 10 ns on some CPUs: a call has taken some time.
    ".rept 1000",
    "nop",
    ".endr",
    ".irp register, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi",
    "add \\register, {BARE_MORE}",
    ".endr",
    "ret",
    ".size returns_bare, . - returns_bare",
    ".popsection",
    ".pushsection __patchable_function_entries,\"aw\",@progbits",
    ".balign 8",
    ".quad 77b",
    ".popsection",
    ".globl returns_calls_bare",
    "returns_calls_bare:",
    "push rbx",
    "push rbp",
    "mov ebp, 0xbb",
    "mov ebx, 0xb0",
    "mov r11d, 0x11",
    "mov r10d, 0x10",
    "mov r9d, 0x9",
    "mov r8d, 0x8",
    "mov eax, 0xa0",
    "mov ecx, 0xc0",
    "mov edx, 0xd0",
    "mov esi, 0x51",
    "mov edi, 0xd1",
    "mov [rip + RETURNS_STACK], rsp",
    "call returns_bare",
    ".irp register, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi",
    "sub \\register, {BARE_MORE}",
    ".endr",
    // All of them together, if they are as they were.
    "add rax, rbx",
    "add rax, rbp",
    ".irp register, r11, r10, r9, r8, rcx, rdx, rsi, rdi",
    "add rax, \\register",
    ".endr",
    "pop rbp",
    "pop rbx",
    "ret",
    ".globl returns_record_words",
    "returns_record_words:",
    "add rdi, [rip + RETURNS_FIRST]",
    "jmp returns_record",
    BARE_MORE = const BARE_MORE,
);
extern "C" {
    fn returns_calls_bare() -> u64;
    fn returns_record_words();
}

/// Records a part of what programs of a kind are given.
struct Words(Given, u64, AtomicU64);
impl HookProgram for Words {
    fn run(&self, _: Hook<'_>) -> Result<(), Failed> {
        self.2.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn direct(&self) -> Result<ubpf_rs::vm::Direct, Detour> {
        Ok(records_directly(returns_record_words, self.0, self.1, self.1 + 64))
    }
    fn wants_entry_time(&self) -> bool {
        self.0 == Given::Call
    }
}

/// What a program that runs directly finds in eight words of its argument, at a call of the function, and what it was told how long that is.
fn words_seen(image: &Image, given: Given, first: u64, point: fn(Site) -> Point, arguments: Option<u8>) -> [u64; 9] {
    let body = Arc::new(Words(given, 8 * first, AtomicU64::new(0)));
    RETURNS_FIRST.store(8 * first, Ordering::SeqCst);
    let options = AttachOptions { arguments, ..AttachOptions::default() };
    let (point, program, function) = (point(image.site("returns_bare")), "words", "returns_bare");
    let id = TRACER.attach(AttachRequest { point, function, start: 0, program, body: body.clone(), options }).unwrap();
    for _ in 0..2 {
        // SAFETY: changes what a function may change.
        assert_eq!(unsafe { returns_calls_bare() }, BARE.iter().sum::<u64>(), "every register is as it was");
    }
    assert_eq!(image.counts(function, id)[..], [2, 0, 0, 0][..]);
    detach(id);
    // Only the first call of a thread may have found no counters of its own.
    assert!(body.2.load(Ordering::SeqCst) < 2);
    RETURNS_SEEN.each_ref().map(|word| word.load(Ordering::SeqCst))
}

#[test]
fn programs_that_run_directly_are_given_registers_and_arguments() {
    let (image, _turn) = image();
    // A program that looks at the key alone was here before: the gates are as they are after other programs.
    let key = image.site("returns_bare").key();
    for point in [ENTRY, RETURN] {
        let at_return = point(image.site("returns_bare")).is_return();
        let seen = [0, 8, 13].map(|first| words_seen(image, Given::Registers, first, point, None));
        let stack = RETURNS_STACK.load(Ordering::SeqCst);
        let more = if at_return { BARE_MORE } else { 0 };
        let registers = BARE.iter().enumerate().map(|(n, &value)| if n > 5 { value + more } else { value });
        let home = seen[2][3];
        let (ip, stack) = if at_return { (home, stack) } else { (key, stack - 8) };
        let all: Vec<u64> = registers.chain([0, ip, 0, 0, stack, 0]).collect();
        assert_eq!(seen[0], [&all[..8], &[168]].concat()[..], "{at_return}");
        assert_eq!(seen[1], [&all[8..16], &[168]].concat()[..], "{at_return}");
        assert_eq!(seen[2], [&all[13..], &[168]].concat()[..], "{at_return}");
        assert!(
            !at_return || (1..64).contains(&home.wrapping_sub(returns_calls_bare as *const () as u64 + 60)),
            "{home:x}"
        );

        let [a, b, c, d, e, f] = [14, 13, 12, 11, 9, 8].map(|n| BARE[n]);
        let result = BARE[10] + BARE_MORE;
        let expected = match at_return {
            false => [a, b, c, d, e, f, 0, 0, 168],
            true => [a, b, result, 0, 0, 0, 0, 0, 168],
        };
        assert_eq!(words_seen(image, Given::Arguments(6), 0, point, Some(2)), expected);
        let expected = match at_return {
            false => [d, e, f, 0, 0, 0, 0, 0, 168],
            true => [d, e, f, result, 0, 0, 0, 0, 168],
        };
        assert_eq!(words_seen(image, Given::Arguments(6), 3, point, None), expected);
        let mut seen = words_seen(image, Given::Call, 1, point, None);
        // How long it took.
        let ns = std::mem::take(&mut seen[7]);
        assert_eq!((1..1_000_000_000).contains(&ns), at_return, "{ns}");
        let length = ubpf_rs::tracer::CONTEXT_BYTES as u64;
        let expected = if at_return { [result, a, b, c, d, e, f, 0, length] } else { [0, 0, 0, 0, 0, 0, 0, 0, length] };
        assert_eq!(seen, expected);
    }
}

/// When a call was entered is told in the general way alone: a program that looks there is never called without it.
#[test]
fn programs_that_look_when_a_call_began_take_the_general_way() {
    let (image, _turn) = image();
    let body = Arc::new(Words(Given::Call, 16, AtomicU64::new(0)));
    let id = image.attach("returns_bare", RETURN, &body);
    for _ in 0..3 {
        // SAFETY: changes what a function may change.
        assert_eq!(unsafe { returns_calls_bare() }, BARE.iter().sum::<u64>());
    }
    assert_eq!(image.counts("returns_bare", id)[..], [3, 0, 0, 0][..]);
    assert_eq!(body.2.load(Ordering::SeqCst), 3);
    detach(id);
}

#[test]
fn programs_that_run_directly_are_told_the_same_and_change_nothing() {
    let (image, _turn) = image();
    let direct: Arc<Direct> = Arc::default();
    let names = ["returns_pair", "returns_doubles", "returns_x87", "returns_sum", "returns_recursion"];
    let ids = names.map(|function| {
        let second = image.attach_as("second", function, RETURN, &direct);
        (function, image.attach(function, RETURN, &direct), second)
    });
    for round in 1..=3 {
        // SAFETY: functions of numbers.
        unsafe {
            assert_eq!(returns_self_test(), 0);
            assert_eq!(returns_recursion(50), 1275);
            assert_eq!(returns_sum(10, 20, 30, 40, 50, 60, 70), 1400);
        }
        let seen = RETURNS_SEEN.each_ref().map(|word| word.load(Ordering::SeqCst));
        let key = image.site("returns_sum").key();
        assert_eq!(seen, [key, 1400, 10, 20, 30, 40, 50, 60, ubpf_rs::tracer::CONTEXT_BYTES as u64]);
        for (function, first, second) in &ids {
            let calls = match *function {
                "returns_recursion" => 51,
                "returns_sum" => 2,
                _ => 1,
            };
            for id in [first, second] {
                assert_eq!(image.counts(function, *id), [calls * round, 0, 0, 0], "{function}");
            }
        }
    }
    // The first call of this thread may have found no counters of its own.
    let general = direct.0.load(Ordering::SeqCst);
    assert!(general <= 2, "{general}");
    ids.into_iter().for_each(|(_, first, second)| {
        detach(first);
        detach(second);
    });
    // SAFETY: as above.
    assert_eq!(unsafe { (returns_self_test(), returns_recursion(20_000)) }, (0, 200_010_000));
}

/// A function is called above the pad, so that the CPU expects its return there: its site jumps to the gate, also where it called that before.
#[test]
fn sites_jump_where_calls_come_back_and_are_as_before_when_all_programs_have_gone() {
    let (image, _turn) = image();
    let (saw, direct): (Arc<Saw>, Arc<Direct>) = Default::default();
    let site = image.site("returns_leaf");
    // SAFETY: the text of a function.
    let text = || unsafe { (site.addr as *const [u8; 5]).read_volatile() };
    // SAFETY: a function of a number.
    let call = |n| assert_eq!(unsafe { returns_calls_leaf(n) }, n + 1);
    let (before, calls, jumps) = (text(), 0xe8, 0xe9);
    for body_is_direct in [true, false] {
        let attach = |point| match body_is_direct {
            true => image.attach("returns_leaf", point, &direct),
            false => image.attach("returns_leaf", point, &saw),
        };
        let exit = attach(RETURN);
        call(1);
        assert_eq!(text()[0], jumps);
        let entry = image.attach("returns_leaf", ENTRY, &direct);
        detach(exit);
        call(2);
        assert_eq!(text()[0], jumps);
        detach(entry);
        assert_eq!(text(), before);
        let entry = image.attach("returns_leaf", ENTRY, &direct);
        call(3);
        assert_eq!(text()[0], calls);
        let exit = attach(RETURN);
        call(4);
        assert_eq!(text()[0], jumps);
        assert_eq!((image.counts("returns_leaf", entry)[0], image.counts("returns_leaf", exit)), (2, [1, 0, 0, 0]));
        detach(entry);
        call(5);
        assert_eq!(image.counts("returns_leaf", exit), [2, 0, 0, 0]);
        detach(exit);
        call(6);
        assert_eq!(text(), before);
    }
}

/// What is attached to a function while somebody looks at others is no reason to count its runs twice.
#[test]
fn runs_are_reported_once_while_programs_come_and_go() {
    let (image, _turn) = image();
    let direct: Arc<Direct> = Arc::default();
    let first = image.attach("returns_leaf", ENTRY, &direct);
    for (function, point) in [("returns_sum", ENTRY), ("returns_sum", RETURN)] {
        let id = image.attach(function, point, &direct);
        // SAFETY: a function of numbers.
        (0..100).for_each(|_| assert_eq!(unsafe { returns_sum(1, 0, 0, 0, 0, 0, 0) }, 1));
        let mut later = None;
        let reports = TRACER.reports(None, || {
            later.get_or_insert_with(|| image.attach_as("later", function, point, &direct));
            Ok(())
        });
        let reports = reports.unwrap();
        let report = reports.iter().find(|report| report.id == id).unwrap();
        assert_eq!((reports.len(), report.runs, report.hits), (2, 100, 100), "{report:?}");
        detach(later.unwrap());
        detach(id);
    }
    detach(first);
}

/// The program that comes later has no part in calls that are on their way, whichever way they take.
#[test]
fn direct_programs_come_and_go_while_calls_are_on_their_way() {
    let (image, _turn) = image();
    const NAME: &str = "returns_calls_leaf";
    let direct: Arc<Direct> = Arc::default();
    let id = image.attach(NAME, RETURN, &direct);
    // SAFETY: a function of a number.
    assert_eq!(unsafe { returns_calls_leaf(1) }, 2);
    on_the_way(image, &|| {
        let later = image.attach_as("later", NAME, RETURN, &direct);
        assert_eq!((image.counts(NAME, id), image.counts(NAME, later)), ([1, 0, 1, 0], [0; 4]));
    });
    let later = TRACER.find_probe(image.site(NAME), Some("later")).unwrap();
    assert_eq!((image.counts(NAME, id), image.counts(NAME, later)), ([2, 0, 0, 0], [0; 4]));
    // SAFETY: as above.
    assert_eq!(unsafe { returns_calls_leaf(1) }, 2);
    assert_eq!((image.counts(NAME, id), image.counts(NAME, later)), ([3, 0, 0, 0], [1, 0, 0, 0]));
    on_the_way(image, &|| detach(id));
    assert_eq!(image.counts(NAME, later), [2, 0, 0, 0]);
    detach(later);
}

const RETURN: fn(Site) -> Point = Point::Return;
const ENTRY: fn(Site) -> Point = Point::Entry;

#[test]
fn results_of_every_kind_survive_programs_at_returns() {
    let (image, _turn) = image();
    for with_entry in [false, true] {
        let saw: Arc<Saw> = Arc::default();
        let mut ids = Vec::new();
        for function in ["returns_pair", "returns_doubles", "returns_x87", "returns_sum"] {
            ids.push((function, image.attach(function, RETURN, &saw)));
            if with_entry {
                ids.push((function, image.attach(function, ENTRY, &saw)));
            }
        }
        for round in 1..=3 {
            // SAFETY: a function without arguments.
            assert_eq!(unsafe { returns_self_test() }, 0);
            for (function, id) in &ids {
                assert_eq!(image.counts(function, *id), [round, 0, 0, 0], "{function}");
            }
        }
        ids.into_iter().for_each(|(_, id)| detach(id));
        // SAFETY: as above.
        assert_eq!(unsafe { returns_self_test() }, 0);
        assert_eq!(saw.runs.load(Ordering::SeqCst), if with_entry { 24 } else { 12 });
    }
}

#[test]
fn a_program_at_the_return_is_told_the_result_and_what_the_function_was_given() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    for timed in [false, true] {
        saw.timed.store(timed, Ordering::SeqCst);
        let id = image.attach("returns_sum", RETURN, &saw);
        // SAFETY: a function of numbers.
        assert_eq!(unsafe { returns_sum(10, 20, 30, 40, 50, 60, 70) }, 1400);
        detach(id);
        assert_eq!(saw.value.load(Ordering::SeqCst), 1400);
        let arguments = saw.arguments.each_ref().map(|argument| argument.load(Ordering::SeqCst));
        assert_eq!(arguments, [10, 20, 30, 40, 50, 60]);
        assert_eq!(saw.entered_ns.load(Ordering::SeqCst) > 0, timed);
    }
}

#[test]
fn recursion_deeper_than_there_is_room_is_missed_and_goes_on() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    let id = image.attach("returns_recursion", RETURN, &saw);
    // SAFETY: a function of a number.
    let recursion = |n: i64| assert_eq!(unsafe { returns_recursion(n) }, n * (n + 1) / 2);
    recursion(200);
    assert_eq!(image.counts("returns_recursion", id), [201, 0, 0, 0]);
    recursion(20_000);
    let [runs, misses, outstanding, abandoned] = image.counts("returns_recursion", id);
    assert_eq!((runs + misses, outstanding, abandoned), (201 + 20_001, 0, 0));
    assert!(runs >= 201 + FRAMES as u64 && misses > 10_000, "{runs} runs, {misses} misses");
    // What was in the way is gone.
    recursion(200);
    assert_eq!(image.counts("returns_recursion", id), [runs + 201, misses, 0, 0]);
    detach(id);
    recursion(20_000);
}

#[test]
fn calls_in_place_of_returns_have_frames_of_their_own() {
    let (image, _turn) = image();
    let (even, odd) = (Arc::<Saw>::default(), Arc::<Saw>::default());
    let ids = [image.attach("returns_even", RETURN, &even), image.attach("returns_odd", RETURN, &odd)];
    // SAFETY: a function of a number.
    let call = |n| unsafe { returns_even(n) };
    assert_eq!((call(0), call(1), call(10), call(11)), (1, 2, 1, 2));
    assert_eq!(image.counts("returns_even", ids[0]), [1 + 1 + 6 + 6, 0, 0, 0]);
    assert_eq!(image.counts("returns_odd", ids[1]), [1 + 5 + 6, 0, 0, 0]);
    assert_eq!(even.value.load(Ordering::SeqCst), 2);
    // More than one slot may have.
    assert_eq!(call(10_000), 1);
    let all: Vec<[u64; 4]> =
        ids.iter().zip(["returns_even", "returns_odd"]).map(|(id, f)| image.counts(f, *id)).collect();
    assert_eq!(all[0][0] + all[0][1] + all[1][0] + all[1][1], 26 + 10_001);
    assert_eq!((all[0][0] + all[1][0], &all[0][2..], &all[1][2..]), (26 + 32, &[0, 0][..], &[0, 0][..]));
    ids.into_iter().for_each(detach);
}

#[test]
fn what_a_longjmp_leaves_is_taken_back_when_its_place_is_used_again() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    let id = image.attach("returns_jumps", RETURN, &saw);
    // Far below this function's own things, so that what is left there stays.
    for round in 1..=50u64 {
        // SAFETY: a function of a number.
        assert_eq!(unsafe { returns_jump(19) }, 1);
        let [runs, misses, outstanding, abandoned] = image.counts("returns_jumps", id);
        assert_eq!((runs, misses, outstanding + abandoned), (0, 0, 20 * round));
        assert!(outstanding <= 20, "{outstanding}");
    }
    detach(id);
    // SAFETY: as above.
    assert_eq!(unsafe { returns_jump(19) }, 1);
}

#[test]
fn exceptions_pass_through() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    let ids = ["returns_throws", "returns_catches"]
        .map(|function| (function, image.attach(function, ENTRY, &saw), image.attach(function, RETURN, &saw)));
    for depth in [0, 1, 30] {
        let mut left = 0;
        // SAFETY: the function adds to `left`.
        assert_eq!(unsafe { returns_catches(depth, &mut left) }, 42);
        assert_eq!(left, depth + 1, "every destructor ran once");
    }
    let [_, catches] = ids.map(|(function, _, id)| image.counts(function, id));
    assert_eq!(catches, [3, 0, 0, 0]);
    let [runs, misses, outstanding, abandoned] = image.counts(ids[0].0, ids[0].2);
    assert_eq!((runs, misses, outstanding + abandoned), (0, 0, 1 + 2 + 31));
    for (_, entry, exit) in ids {
        detach(entry);
        detach(exit);
    }
}

#[test]
fn functions_that_go_on_twice_return_once() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    let names = ["returns_again", "returns_vforks", "returns_ends_child", "returns_leaf"];
    let ids = names.map(|function| (function, image.attach(function, RETURN, &saw)));
    // SAFETY: functions of numbers.
    unsafe {
        assert_eq!(returns_again(5), 5);
        assert_eq!(returns_vforks(), 7);
        assert_eq!(returns_vforks(), 7);
    }
    let counts = ids.map(|(function, id)| image.counts(function, id));
    assert_eq!(counts[0], [1, 0, 0, 0]);
    assert_eq!(counts[1], [2, 0, 0, 0]);
    assert_eq!((counts[2][0], counts[2][2] + counts[2][3]), (0, 2));
    assert_eq!(counts[3], [2, 0, 0, 0]);
    ids.into_iter().for_each(|(_, id)| detach(id));
}

/// Programs that run directly at both ends of functions that are left by jumps, by exceptions, by the end of a child or of their thread: those at
/// entries have run once for each call, and each call is accounted for at its return.
#[test]
fn functions_are_left_in_every_way_under_direct_programs_at_both_ends() {
    let (image, _turn) = image();
    const ROUNDS: u64 = 30;
    let direct: Arc<Direct> = Arc::default();
    // Calls in a round, and how many of them return.
    let functions = [
        ("returns_jumps", 13, 0),
        ("returns_throws", 10, 0),
        ("returns_catches", 1, 1),
        ("returns_again", 1, 1),
        ("returns_vforks", 1, 1),
        ("returns_ends_child", 1, 0),
        ("returns_leaf", 1, 1),
        ("returns_ends_thread", 2, 0),
        ("returns_even", 4, 4),
        ("returns_odd", 4, 4),
    ];
    let ids = functions
        .map(|(function, ..)| [image.attach(function, ENTRY, &direct), image.attach(function, RETURN, &direct)]);
    for _ in 0..ROUNDS {
        let mut left = 0;
        // SAFETY: functions of numbers; one adds to `left`.
        unsafe {
            assert_eq!(returns_jump(12), 1);
            assert_eq!((returns_catches(9, &mut left), left), (42, 10));
            assert_eq!((returns_again(5), returns_vforks()), (5, 7));
            assert_eq!((returns_thread(0), returns_thread(1)), (0, 0));
            assert_eq!(returns_even(7), 2);
        }
    }
    for ((function, calls, returning), ids) in functions.into_iter().zip(ids) {
        let [entry, exit] = ids;
        assert_eq!(image.counts(function, entry), [calls * ROUNDS, 0, 0, 0], "{function}");
        let [runs, misses, outstanding, abandoned] = image.counts(function, exit);
        assert_eq!((runs, misses), (returning * ROUNDS, 0), "{function}");
        assert_eq!(outstanding + abandoned, (calls - returning) * ROUNDS, "{function}");
        ids.into_iter().for_each(detach);
    }
}

#[test]
fn calls_of_threads_that_have_ended_are_abandoned() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    let id = image.attach("returns_ends_thread", RETURN, &saw);
    let threads = 20;
    for how in (0..threads).map(|n| n % 2) {
        // SAFETY: a function of a number.
        assert_eq!(unsafe { returns_thread(how) }, 0);
        let [runs, misses, outstanding, _] = image.counts("returns_ends_thread", id);
        assert_eq!((runs, misses, outstanding), (0, 0, 0));
    }
    assert_eq!(image.counts("returns_ends_thread", id), [0, 0, 0, threads as u64]);
    detach(id);
}

/// What `work` gives in a child, as its exit code; its signal as a negative number.
fn exit_code(work: impl FnOnce() -> c_int) -> c_int {
    let mut status = -1;
    // SAFETY: the child calls what is made for that, and ends without the handlers of this process; the status is a variable of ours.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            TRACER.after_fork();
            libc::_exit(work());
        }
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
    }
    if libc::WIFSIGNALED(status) {
        return -libc::WTERMSIG(status);
    }
    libc::WEXITSTATUS(status)
}

/// The stack of a call may be another thread's afterwards: that the one has ended which began it is no reason to forget where it returns to.
#[test]
fn a_call_comes_back_in_another_thread_when_its_own_has_ended() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    let id = image.attach("returns_parks", RETURN, &saw);
    for round in 1..=20 {
        // SAFETY: functions without arguments.
        assert_eq!(unsafe { returns_park() }, 0);
        assert_eq!(image.counts("returns_parks", id), [round - 1, 0, 0, 1], "nobody knows that it goes on");
        // Nor in a child, where that thread never was.
        // SAFETY: the child ends with the call, which is half way.
        let result = exit_code(|| unsafe { returns_resume() as c_int });
        assert_eq!(result, 42);
        // SAFETY: as above; the call is half way.
        assert_eq!(unsafe { returns_resume() }, 42);
        assert_eq!(image.counts("returns_parks", id), [round, 0, 0, 0]);
    }
    detach(id);
}

#[test]
fn a_call_comes_back_in_children_of_children() {
    extern "C" {
        fn ubpf_linux_own_thread() -> *mut u64;
    }
    // As the platform does it where it is started as a whole.
    extern "C" fn in_a_child() {
        TRACER.after_fork();
        // SAFETY: points to a variable of this thread.
        unsafe { *ubpf_linux_own_thread() = 0 };
    }
    let (image, _turn) = image();
    // SAFETY: what is called is made for that.
    assert_eq!(unsafe { libc::pthread_atfork(None, None, Some(in_a_child)) }, 0);
    let saw: Arc<Saw> = Arc::default();
    let id = image.attach("returns_forks", RETURN, &saw);
    for times in 0..=4 {
        // SAFETY: a function of a number.
        assert_eq!(unsafe { returns_forked(times) }, 9, "{times}");
    }
    assert_eq!(image.counts("returns_forks", id), [5, 0, 0, 0]);
    detach(id);
}

/// A handler of a signal that comes at any instruction of a hook makes calls of its own, and in the pad it sees who called.
#[test]
fn whoever_looks_at_the_stack_from_within_the_pad_sees_the_caller() {
    let (image, _turn) = image();
    let (saw, direct): (Arc<Saw>, Arc<Direct>) = Default::default();
    // Told how long the call took; given registers.
    let times = Arc::new(Words(Given::Call, 8, AtomicU64::new(0)));
    let registers = Arc::new(Words(Given::Registers, 64, AtomicU64::new(0)));
    RETURNS_FIRST.store(8, Ordering::SeqCst);
    for (exit, with_entry) in [(0, false), (1, false), (1, true), (0, true), (2, false), (2, true), (3, true)] {
        let attach = |function, point| match exit {
            0 => image.attach(function, point, &saw),
            1 => image.attach(function, point, &direct),
            2 => image.attach(function, point, &times),
            _ => image.attach(function, point, &registers),
        };
        let id = attach("returns_leaf", RETURN);
        let entry = with_entry.then(|| match exit {
            3 => image.attach("returns_leaf", ENTRY, &registers),
            _ => image.attach("returns_leaf", ENTRY, &direct),
        });
        // What the handler calls comes back by the same ways.
        let even = attach("returns_even", RETURN);
        let even_entry = with_entry.then(|| image.attach("returns_even", ENTRY, &direct));
        let mut pads = [0; 2];
        // SAFETY: adds to `pads`.
        let steps = unsafe { returns_steps(0, &mut pads) } as u64;
        assert!(pads[0] > 20 && pads[1] == 0, "{exit} {with_entry}: {pads:?}");
        assert_eq!(image.counts("returns_leaf", id), [1, 0, 0, 0], "{exit} {with_entry}");
        assert_eq!(image.counts("returns_even", even), [2 * steps, 0, 0, 0], "{exit} {with_entry}");
        if let Some(entry) = even_entry {
            assert_eq!(image.counts("returns_even", entry), [2 * steps, 0, 0, 0], "{exit}");
            detach(entry);
        }
        detach(even);
        if let Some(entry) = entry {
            assert_eq!(image.counts("returns_leaf", entry), [1, 0, 0, 0], "{exit}");
            detach(entry);
        }
        detach(id);
    }
}

/// Threads call, jump and end within calls, programs come and go, and somebody looks, all at once.
#[test]
fn nothing_that_happens_at_once_harms_a_call() {
    let (image, _turn) = image();
    let rounds = std::env::var("UBPF_WALK_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(20_000) / 100;
    let (saw, direct): (Arc<Saw>, Arc<Direct>) = Default::default();
    let ends = image.attach("returns_ends_thread", RETURN, &saw);
    let others = [("returns_jumps", RETURN), ("returns_sum", ENTRY), ("returns_even", RETURN)]
        .map(|(function, point)| image.attach(function, point, &saw));
    let over = AtomicBool::new(false);
    let calls = || {
        (0..rounds * 5).for_each(|_| {
            let mut left = 0;
            // SAFETY: functions of numbers; one adds to `left`.
            unsafe {
                assert_eq!(returns_recursion(60), 1830);
                assert_eq!((returns_even(7), returns_even(8)), (2, 1));
                assert_eq!(returns_jump(12), 1);
                assert_eq!((returns_catches(9, &mut left), left), (42, 10));
                assert_eq!(returns_self_test(), 0);
            }
        });
    };
    // SAFETY: a function of a number.
    let end_threads = || (0..rounds as i64).for_each(|n| assert_eq!(unsafe { returns_thread(n % 2) }, 0));
    let come_and_go = || {
        while !over.load(Ordering::SeqCst) {
            for function in ["returns_recursion", "returns_odd", "returns_throws", "returns_pair", "returns_x87"] {
                let first = image.attach_as("one", function, RETURN, &direct);
                let second = image.attach_as("two", function, ENTRY, &direct);
                detach(first);
                let third = image.attach_as("three", function, RETURN, &saw);
                detach(second);
                detach(third);
            }
        }
    };
    let look = || {
        while !over.load(Ordering::SeqCst) {
            TRACER.all_probes();
        }
    };
    thread::scope(|scope| {
        let working = [scope.spawn(calls), scope.spawn(calls), scope.spawn(calls), scope.spawn(end_threads)];
        let others = [scope.spawn(end_threads), scope.spawn(come_and_go), scope.spawn(look)];
        let results = working.map(|thread| thread.join());
        over.store(true, Ordering::SeqCst);
        results.into_iter().chain(others.map(|thread| thread.join())).for_each(|result| result.unwrap());
    });
    assert_eq!(image.counts("returns_ends_thread", ends).iter().sum::<u64>(), rounds as u64 * 2);
    others.into_iter().chain([ends]).for_each(detach);
}

/// A handler of a signal jumps out of a hook that has just taken a place, whoever had it before. Those that are on their way come back.
#[test]
fn jumps_out_of_every_instruction_at_an_entry_harm_no_other_call() {
    let (image, _turn) = image();
    let saw: Arc<Saw> = Arc::default();
    let names = ["returns_leaf", "returns_steps_below", "returns_even", "returns_odd"];
    let ids = names.map(|name| image.attach(name, RETURN, &saw));
    // In a child, since hooks that are left keep their areas.
    let all = exit_code(|| {
        let mut pads = [0; 2];
        // Each place has had a frame above another one.
        // SAFETY: functions of numbers; the last adds to `pads`.
        let mut well = |depth, at| unsafe {
            returns_calls_even_below(depth * 2) == 1 && returns_steps_below(depth, at, &mut pads) > 0
        };
        let all = (1..=150).all(|at| [20, 60, 100].into_iter().all(|depth| well(depth, at)));
        c_int::from(all)
    });
    assert_eq!(all, 1);
    ids.into_iter().for_each(detach);
}

/// Does something.
struct Does(Box<dyn Fn() + Send + Sync>);
impl HookProgram for Does {
    fn run(&self, _: Hook<'_>) -> Result<(), Failed> {
        (self.0)();
        Ok(())
    }
}

/// Lets a call of `returns_calls_leaf` be on its way while something is done.
fn on_the_way(image: &Image, work: &dyn Fn()) {
    static STAGE: AtomicU64 = AtomicU64::new(0);
    STAGE.store(0, Ordering::SeqCst);
    let stops = Arc::new(Does(Box::new(|| {
        STAGE.store(1, Ordering::SeqCst);
        while STAGE.load(Ordering::SeqCst) == 1 {
            thread::yield_now();
        }
    })));
    let id = image.attach("returns_leaf", ENTRY, &stops);
    // SAFETY: a function of a number.
    let call = thread::spawn(|| unsafe { returns_calls_leaf(5) });
    while STAGE.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    work();
    STAGE.store(2, Ordering::SeqCst);
    assert_eq!(call.join().unwrap(), 6);
    detach(id);
}

#[test]
fn programs_come_and_go_while_calls_are_on_their_way() {
    let (image, _turn) = image();
    const NAME: &str = "returns_calls_leaf";
    let (first, second) = (Arc::<Saw>::default(), Arc::<Saw>::default());
    let id = image.attach(NAME, RETURN, &first);
    on_the_way(image, &|| {
        assert_eq!(image.counts(NAME, id), [0, 0, 1, 0]);
        let later = image.attach_as("later", NAME, RETURN, &second);
        assert_eq!(image.counts(NAME, later), [0, 0, 0, 0]);
        assert_eq!(image.counts(NAME, id), [0, 0, 1, 0]);
        detach(later);
    });
    assert_eq!(image.counts(NAME, id), [1, 0, 0, 0]);
    // One of two goes, then the last, and one that comes has no part in it.
    let other = image.attach_as("other", NAME, RETURN, &second);
    on_the_way(image, &|| detach(id));
    assert_eq!(image.counts(NAME, other), [1, 0, 0, 0]);
    on_the_way(image, &|| detach(other));
    let third = image.attach(NAME, RETURN, &first);
    detach(third);
    on_the_way(image, &|| {
        image.attach(NAME, RETURN, &first);
    });
    let there = TRACER.find_probe(image.site(NAME), None).unwrap();
    assert_eq!(image.counts(NAME, there), [0, 0, 0, 0]);
    detach(there);
    assert_eq!((first.runs.load(Ordering::SeqCst), second.runs.load(Ordering::SeqCst)), (1, 1));
}

/// The calls of a walk that an environment variable may make longer, by so many threads at once, while somebody looks.
#[test]
fn every_call_of_a_random_walk_is_accounted_for() {
    let (image, _turn) = image();
    let calls = std::env::var("UBPF_WALK_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(20_000);
    for threads in [1, 2] {
        walk(image, threads, calls / threads);
    }
}

fn walk(image: &Image, threads: u64, calls: u64) {
    const WALK: u64 = 1_000;
    let names: Vec<String> = (0..8).map(|n| format!("walk_{n}")).collect();
    let (at_return, at_entry) = (Arc::<Saw>::default(), Arc::<Saw>::default());
    let run = move |thread: u64| {
        let (mut all, mut sums) = ([0; 8], Vec::new());
        for round in 0..calls.div_ceil(WALK) {
            // SAFETY: adds to `all`.
            sums.push(unsafe { returns_walk(round * 2 + thread, WALK, &mut all) });
        }
        (all, sums)
    };
    // What it gives when nobody looks.
    let plain: Vec<_> = (0..threads).map(run).collect();
    // Some run directly, and some have one at the entry beside.
    let direct: Arc<Direct> = Arc::default();
    let attach = |(n, name): (usize, &String)| match n % 2 {
        0 => image.attach(name, RETURN, &at_return),
        _ => image.attach(name, RETURN, &direct),
    };
    let ids: Vec<_> = names.iter().enumerate().map(attach).collect();
    let attach = |(n, name): (usize, &String)| match n / 2 {
        0 => image.attach(name, ENTRY, &at_entry),
        _ => image.attach(name, ENTRY, &direct),
    };
    let entries: Vec<_> = names[..4].iter().enumerate().map(attach).collect();
    let running: Vec<_> = (0..threads).map(|thread| thread::spawn(move || run(thread))).collect();
    let mut looks = 0;
    while running.iter().any(|thread| !thread.is_finished()) {
        TRACER.all_probes();
        looks += 1;
    }
    let traced: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(traced, plain, "the application is as it was; {looks} looks");
    let (mut sums, mut indirect) = ([0; 4], 0);
    for (n, (name, id)) in names.iter().zip(&ids).enumerate() {
        let counts = image.counts(name, *id);
        let called: u64 = traced.iter().map(|(calls, _)| calls[n]).sum();
        assert_eq!(counts.iter().sum::<u64>(), called, "{name}: {counts:?}");
        assert_eq!(counts[2], 0, "{name}: all threads have ended");
        indirect += if n % 2 == 0 { counts[0] } else { 0 };
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    println!("{threads} threads: {sums:?} (runs, misses, outstanding, abandoned), {looks} looks");
    assert_eq!(at_return.runs.load(Ordering::SeqCst), indirect);
    assert!(sums[0] > 0 && sums[3] > 0, "{sums:?}");
    ids.into_iter().chain(entries).for_each(detach);
}

#[test]
fn functions_that_return_twice_are_refused_by_name() {
    let (image, _turn) = image();
    let (point, options) = (Point::Return(image.site("returns_leaf")), AttachOptions::default());
    for function in ["setjmp", "vfork", "__sigsetjmp"] {
        let body: Arc<Saw> = Arc::default();
        let refused = TRACER.attach(AttachRequest { point, function, start: 0, program: "p", body, options });
        assert!(matches!(refused, Err(AttachError::NoReturn { .. })), "{refused:?}");
    }
}
