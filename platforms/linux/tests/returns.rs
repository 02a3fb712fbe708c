//! Programs at returns: of functions that return, and of functions that are left in other ways.
#![cfg(cxx)]

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
        let named = own.iter().map(|s| Symbol { address: s.address, name: &s.name, function: s.is_function });
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
    fn direct(&self) -> Option<ubpf_rs::vm::Direct> {
        Some(ubpf_rs::vm::Direct {
            // SAFETY: the function lives for ever; it changes the registers named below.
            code: unsafe { ubpf_rs::vm::CodeAddress::new(returns_record as *const () as usize) },
            inline: 0,
            clobbers: !(1 << 4),
            reads_argument: true,
            reads_length: true,
            needs: ubpf_rs::helpers::Needs::empty(),
            block: 0,
            stack: 0,
            argument: 64,
            argument_needed: 0,
            cost: 30,
            adds: None,
        })
    }
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
    for general in [true, false] {
        let id = match general {
            true => image.attach("returns_leaf", RETURN, &saw),
            false => image.attach("returns_leaf", RETURN, &direct),
        };
        let even = image.attach("returns_even", RETURN, &saw);
        let mut pads = [0; 2];
        // SAFETY: adds to `pads`.
        let steps = unsafe { returns_steps(0, &mut pads) } as u64;
        assert!(pads[0] > 30 && pads[1] == 0, "{pads:?}");
        assert_eq!(image.counts("returns_leaf", id), [1, 0, 0, 0]);
        assert_eq!(image.counts("returns_even", even), [2 * steps, 0, 0, 0]);
        detach(even);
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
    let entries: Vec<_> = names[..4].iter().map(|name| image.attach(name, ENTRY, &at_entry)).collect();
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
