//! The tracer on real C code, compiled by gcc and clang for each kind of entry stub.

#[path = "common/direct.rs"]
mod direct;

use direct::records_directly;
use std::{
    arch::asm,
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, LazyLock, Mutex, MutexGuard,
    },
    thread,
    time::Duration,
};
use ubpf_platform_linux::{platform, records, symbols};
use ubpf_rs::platform::{PatchError, TextPatch};
use ubpf_rs::runtime::{Symbol, SymbolTable};
use ubpf_rs::tracer::{
    AttachError, AttachOptions, AttachRequest, DetachError, Failed, Fault, Hook, HookProgram, Point, ProbeId,
    ProbeReport, RecordKind, Ring, Site, SiteKind, TracerConfig, TRACER,
};
use ubpf_rs::vm::{Detour, Given};

const VARIANTS: &[&str] = &[
    "gcc_patchable",
    "gcc_patchable_cet",
    "gcc_fentry",
    "gcc_pg",
    "gcc_instrument",
    #[cfg(clang)]
    "clang_patchable",
    #[cfg(clang)]
    "clang_patchable_cet",
    #[cfg(clang)]
    "clang_instrument",
];
const FUNCTIONS: &[&str] =
    &["empty", "myfun", "doubles", "on_stack", "variadic", "structure", "recursion", "leaf", "ipa_ra"];

macro_rules! c_functions {
    ($($name:ident),* $(,)?) => {
        extern "C" { $(fn $name();)* }
    };
}
c_functions!(
    gcc_patchable_myfun,
    gcc_patchable_empty,
    gcc_patchable_cet_myfun,
    gcc_fentry_myfun,
    gcc_fentry_empty,
    gcc_pg_myfun
);
c_functions!(gcc_instrument_myfun);
extern "C" {
    fn gcc_patchable_self_test() -> u32;
    fn gcc_patchable_cet_self_test() -> u32;
    fn gcc_fentry_self_test() -> u32;
    fn gcc_pg_self_test() -> u32;
    fn gcc_instrument_self_test() -> u32;
    fn gcc_patchable_recursion(n: i64) -> i64;
}
#[cfg(clang)]
extern "C" {
    fn clang_patchable_self_test() -> u32;
    fn clang_patchable_cet_self_test() -> u32;
    fn clang_instrument_self_test() -> u32;
}

fn self_test(variant: &str) -> u32 {
    let test: unsafe extern "C" fn() -> u32 = match variant {
        "gcc_patchable" => gcc_patchable_self_test,
        "gcc_patchable_cet" => gcc_patchable_cet_self_test,
        "gcc_fentry" => gcc_fentry_self_test,
        "gcc_pg" => gcc_pg_self_test,
        "gcc_instrument" => gcc_instrument_self_test,
        #[cfg(clang)]
        "clang_patchable" => clang_patchable_self_test,
        #[cfg(clang)]
        "clang_patchable_cet" => clang_patchable_cet_self_test,
        #[cfg(clang)]
        "clang_instrument" => clang_instrument_self_test,
        _ => panic!("no variant {variant}"),
    };
    // SAFETY: plain C functions without arguments.
    unsafe { test() }
}

struct Image {
    ring: &'static Ring,
    functions: HashMap<String, (u64, u64)>,
}

/// Patches the text, unless it is told to refuse.
struct Refusing(&'static dyn TextPatch);
static REFUSE: AtomicBool = AtomicBool::new(false);
/// As where other CPUs run that cannot be stopped.
static SEVERAL_CPUS: AtomicBool = AtomicBool::new(false);
/// Refuses at this address alone.
static REFUSED_AT: AtomicU64 = AtomicU64::new(0);
/// Calls [`TOGETHER`] behind each change of the text.
static CALL_MEANWHILE: AtomicBool = AtomicBool::new(false);

/// Functions with stubs of each kind.
const TOGETHER: [(&str, unsafe extern "C" fn()); 5] = [
    ("gcc_patchable_myfun", gcc_patchable_myfun),
    ("gcc_patchable_empty", gcc_patchable_empty),
    ("gcc_fentry_myfun", gcc_fentry_myfun),
    ("gcc_pg_myfun", gcc_pg_myfun),
    ("gcc_instrument_myfun", gcc_instrument_myfun),
];

fn call_together() {
    // SAFETY: C functions without arguments.
    TOGETHER.iter().for_each(|(_, function)| unsafe { function() });
}

// SAFETY: no byte is changed but those named, where the old ones stand, and each change is one step for whoever executes it.
unsafe impl TextPatch for Refusing {
    unsafe fn replace(&self, addr: usize, old: &[u8], new: &[u8]) -> Result<(), PatchError> {
        if REFUSE.load(Ordering::SeqCst) {
            return Err(PatchError::NotWritable { addr, code: 1 });
        }
        if SEVERAL_CPUS.load(Ordering::SeqCst) {
            let remedy = "run it on one CPU";
            return Err(PatchError::SeveralCpus { remedy });
        }
        if REFUSED_AT.load(Ordering::SeqCst) == addr as u64 {
            return Err(PatchError::Mismatch { addr });
        }
        // SAFETY: as the caller promises.
        let done = unsafe { self.0.replace(addr, old, new) };
        if CALL_MEANWHILE.load(Ordering::SeqCst) {
            call_together();
        }
        done
    }
}

/// Symbols of this process.
fn table() -> SymbolTable {
    let own = symbols::own().unwrap();
    let named = own.iter().map(Symbol::from);
    SymbolTable::new(named).unwrap()
}

/// Starts the tracer on this process, once. Tests take turns, since they share its functions.
fn image() -> (&'static Image, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static IMAGE: LazyLock<Image> = LazyLock::new(|| {
        let ring: &'static Ring = Box::leak(Box::new(Ring::new(1 << 16).unwrap()));
        let mut platform = platform(".".into());
        platform.text = Some(Box::leak(Box::new(Refusing(platform.text.unwrap()))));
        TRACER.init(TracerConfig::default(), platform, ring).unwrap();
        let records = records::own();
        let table = table();
        let around = |address| table.neighbours(address);
        let patchable = TRACER.add_sites(&records.patchable, SiteKind::Patchable, &around);
        let mcount = TRACER.add_sites(&records.mcount, SiteKind::Mcount, &around);
        println!("patchable {patchable:?} mcount {mcount:?}");
        assert_eq!((patchable.refused, mcount.refused), (0, 0));
        assert!(patchable.rewritten >= 2 * FUNCTIONS.len() && mcount.rewritten == 0);
        let symbols = symbols::own().unwrap();
        let functions: HashMap<_, _> = symbols.into_iter().map(|s| (s.name, (s.address, s.size))).collect();
        let instrumented: Vec<u64> =
            functions.iter().filter(|f| f.0.contains("_instrument_")).map(|f| f.1 .0).collect();
        TRACER.add_sites(&instrumented, SiteKind::Instrumented, &around);
        Image { ring, functions }
    });
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (&IMAGE, turn)
}

impl Image {
    fn site(&self, function: &str) -> Site {
        let (start, len) = self.functions[function];
        TRACER.site_in(start, len).unwrap_or_else(|| panic!("no site in {function}"))
    }

    fn attach_with(
        &self,
        function: &str,
        program: &str,
        body: Arc<dyn HookProgram>,
        options: AttachOptions,
    ) -> Result<ProbeId, AttachError> {
        TRACER.attach(AttachRequest {
            point: Point::Entry(self.site(function)),
            function,
            start: 0,
            program,
            body,
            options,
        })
    }

    fn attach(&self, function: &str, program: &str, body: Arc<dyn HookProgram>) -> ProbeId {
        self.attach_with(function, program, body, AttachOptions::default()).unwrap()
    }

    fn bytes(&self, function: &str) -> Vec<u8> {
        let (start, len) = self.functions[function];
        // SAFETY: the function's own text, which is mapped.
        unsafe { std::slice::from_raw_parts(start as *const u8, len as usize) }.to_vec()
    }

    fn report(&self, function: &str, id: ProbeId) -> ProbeReport {
        TRACER.probes(self.site(function)).into_iter().find(|p| p.id == id).unwrap()
    }
}

#[derive(Default)]
struct Count(AtomicU64);
impl HookProgram for Count {
    fn run(&self, _: Hook<'_>) -> Result<(), Failed> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
impl Count {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Leaves nothing in the vector registers and general registers that it may change as it was.
struct Clobber;
impl HookProgram for Clobber {
    fn run(&self, _: Hook<'_>) -> Result<(), Failed> {
        clobber();
        Ok(())
    }
}

fn clobber() {
    // SAFETY: changes registers only, all of which are declared as changed; wide ones where the CPU has them.
    unsafe {
        asm!(
            "pcmpeqd xmm0, xmm0",
            "movdqa xmm1, xmm0",
            "movdqa xmm2, xmm0",
            "movdqa xmm3, xmm0",
            "movdqa xmm4, xmm0",
            "movdqa xmm5, xmm0",
            "movdqa xmm6, xmm0",
            "movdqa xmm7, xmm0",
            "movdqa xmm8, xmm0",
            "movdqa xmm9, xmm0",
            "movdqa xmm10, xmm0",
            "movdqa xmm11, xmm0",
            "movdqa xmm12, xmm0",
            "movdqa xmm13, xmm0",
            "movdqa xmm14, xmm0",
            "movdqa xmm15, xmm0",
            "mov rax, -1",
            "mov rcx, -1",
            "mov rdx, -1",
            "mov rsi, -1",
            "mov rdi, -1",
            "mov r8, -1",
            "mov r9, -1",
            "mov r10, -1",
            "mov r11, -1",
            clobber_abi("C"),
        );
        if is_x86_feature_detected!("avx") {
            asm!("vzeroall", clobber_abi("C"));
        }
        if is_x86_feature_detected!("avx512f") {
            asm!("vpxorq zmm16, zmm16, zmm16", "vpxorq zmm31, zmm31, zmm31", "kxorw k1, k1, k1", clobber_abi("C"));
        }
    }
}

/// What a stub does to its function: all kinds, each compiler.
#[test]
fn every_kind_of_stub_survives_attached_programs_and_comes_back_as_it_was() {
    let (image, _turn) = image();
    for variant in VARIANTS {
        let names: Vec<_> = FUNCTIONS.iter().map(|f| format!("{variant}_{f}")).collect();
        let before: Vec<_> = names.iter().map(|n| image.bytes(n)).collect();
        assert_eq!(self_test(variant), 0, "{variant} before");
        let count = Arc::new(Count::default());
        let ids: Vec<_> = names
            .iter()
            .flat_map(|n| [image.attach(n, "clobber", Arc::new(Clobber)), image.attach(n, "count", count.clone())])
            .collect();
        assert_eq!(self_test(variant), 0, "{variant} with programs attached");
        let expected = 20_001 + 7; // recursion, and one call of each other function that self_test calls
        assert_eq!(count.get(), expected, "{variant}");
        ids.into_iter().for_each(|id| TRACER.detach(id).unwrap());
        let after: Vec<_> = names.iter().map(|n| image.bytes(n)).collect();
        assert_eq!(before, after, "{variant}");
        assert_eq!((self_test(variant), count.get()), (0, expected), "{variant} after");
    }
}

#[test]
fn gcc_nops_became_one_instruction() {
    let (image, _turn) = image();
    assert!(image.bytes("gcc_patchable_myfun").starts_with(&[0x0f, 0x1f, 0x44, 0x00, 0x00]));
    assert!(image.bytes("gcc_patchable_cet_myfun").starts_with(&[0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44]));
}

/// It holds the number of vector arguments of a variadic call.
#[test]
fn original_tracer_did_not_restore_rax() {
    let (image, _turn) = image();
    let id = image.attach("gcc_patchable_empty", "clobber", Arc::new(Clobber));
    let (mut rax, mut r10, mut r11, mut rcx): (u64, u64, u64, u64) = (1, 10, 11, 2);
    // SAFETY: the function is empty; whatever else a C call may change is declared.
    unsafe {
        asm!("call {f}", f = sym gcc_patchable_empty, inout("rax") rax, inout("r10") r10, inout("r11") r11,
            inout("rcx") rcx, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _);
    }
    TRACER.detach(id).unwrap();
    assert_eq!((rax, rcx, r10, r11), (1, 2, 10, 11));
}

#[repr(C, align(64))]
struct Vectors([u8; 32 * 64]);

#[test]
fn all_vector_registers_survive_a_hook() {
    let (image, _turn) = image();
    let mut given = Vectors([0; 2048]);
    (0..).zip(given.0.iter_mut()).for_each(|(i, b): (usize, _)| *b = (i % 251) as u8 + 1);
    let pass = |given: &Vectors| {
        let mut taken = Vectors([0; 2048]);
        // SAFETY: the CPU has the registers used (checked); the called function is empty; all are declared as changed.
        unsafe {
            if is_x86_feature_detected!("avx512f") {
                through_zmm(given, &mut taken);
                return (taken, 64);
            }
            through_xmm(given, &mut taken);
        }
        (taken, 16)
    };
    let id = image.attach("gcc_patchable_empty", "clobber", Arc::new(Clobber));
    let (taken, width) = pass(&given);
    let runs = image.report("gcc_patchable_empty", id).runs;
    TRACER.detach(id).unwrap();
    assert_eq!(runs, 1);
    for register in 0..if width == 64 { 32 } else { 16 } {
        let part = register * 64..register * 64 + width;
        assert_eq!(given.0[part.clone()], taken.0[part], "vector register {register}");
    }
}

macro_rules! through {
    ($name:ident, $instruction:literal, $width:literal, $($n:literal)*) => {
        /// # Safety
        /// The CPU must have these registers.
        unsafe fn $name(given: &Vectors, taken: &mut Vectors) {
            // SAFETY: see above; loads and stores stay within the two buffers.
            unsafe {
                asm!(
                    "mov r13, rbx",
                    "mov rbx, r14",
                    $(concat!($instruction, " ", $width, $n, ", [rbx + 64 * ", $n, "]"),)*
                    "call {f}",
                    $(concat!($instruction, " [r12 + 64 * ", $n, "], ", $width, $n),)*
                    "mov rbx, r13",
                    f = sym gcc_patchable_empty,
                    in("r14") given, in("r12") taken, out("r13") _,
                    clobber_abi("C"),
                );
            }
        }
    };
}
through!(through_xmm, "movaps", "xmm", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
through!(through_zmm, "vmovups", "zmm", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27
    28 29 30 31);

#[test]
fn original_tracer_kept_hook_state_in_globals_so_that_two_threads_lost_counts() {
    let (image, _turn) = image();
    const CALLS: u64 = 200_000;
    let functions =
        [("gcc_patchable_myfun", gcc_patchable_myfun as unsafe extern "C" fn()), ("gcc_pg_myfun", gcc_pg_myfun)];
    let counts: Vec<_> = functions.iter().map(|_| Arc::new(Count::default())).collect();
    let ids: Vec<_> = functions.iter().zip(&counts).map(|(f, c)| image.attach(f.0, "count", c.clone())).collect();
    thread::scope(|s| {
        for (_, function) in functions {
            // SAFETY: a C function without arguments that touches a counter of its own.
            s.spawn(move || (0..CALLS).for_each(|_| unsafe { function() }));
        }
    });
    for ((f, id), count) in functions.iter().zip(ids).zip(counts) {
        let report = image.report(f.0, id);
        assert_eq!((report.hits, report.runs, report.misses, count.get()), (CALLS, CALLS, 0, CALLS));
        TRACER.detach(id).unwrap();
    }
}

/// How many bytes of the stack below its own return address a call of `gcc_patchable_empty` has written to.
fn stack_used() -> u64 {
    let deepest: u64;
    // SAFETY: writes below the stack pointer only, within the thread's stack, where nothing is kept across this block; the
    // function is empty, and what a call may change is declared.
    unsafe {
        asm!(
            "mov rcx, 256",
            "2:",
            "neg rcx",
            "mov qword ptr [rsp + 8*rcx], 0x5a5a5a5a",
            "neg rcx",
            "dec rcx",
            "jnz 2b",
            "call {f}",
            "mov rcx, 256",
            "3:",
            "neg rcx",
            "cmp qword ptr [rsp + 8*rcx], 0x5a5a5a5a",
            "jne 4f",
            "neg rcx",
            "dec rcx",
            "jnz 3b",
            "4:",
            "neg rcx",
            f = sym gcc_patchable_empty,
            out("rcx") deepest,
            clobber_abi("C"),
        );
    }
    8 * deepest - 8
}

/// Stacks of Unikraft's threads are small, and a hook may come at their end.
#[test]
fn a_hook_takes_at_most_256_bytes_of_the_traced_stack() {
    let (image, _turn) = image();
    const NAME: &str = "gcc_patchable_empty";
    assert!(stack_used() < 64, "a call without a hook");
    let bodies: [Arc<dyn HookProgram>; 3] =
        [Arc::new(Clobber), Arc::new(Direct::default()), Arc::new(Count::default())];
    const POINTS: [fn(Site) -> Point; 2] = [Point::Entry, Point::Return];
    for body in bodies {
        for (first, second) in [(0, 0), (1, 1), (0, 1), (1, 0)] {
            let attach = |program, point: usize| {
                let (point, body) = (POINTS[point](image.site(NAME)), body.clone());
                let options = AttachOptions::default();
                TRACER.attach(AttachRequest { point, function: NAME, start: 0, program, body, options }).unwrap()
            };
            let first = attach("first", first);
            let one = stack_used();
            let second = attach("second", second);
            let two = stack_used();
            let runs = image.report(NAME, second).runs;
            assert_eq!(runs, 1);
            TRACER.detach(first).unwrap();
            TRACER.detach(second).unwrap();
            assert!((16..=256).contains(&one) && two <= 256, "{one} and {two}");
            println!("{one} and {two}");
        }
    }
}

/// More threads than hook areas, in one function: what cannot run is counted.
#[test]
fn a_shared_function_has_hits_equal_runs_plus_misses() {
    let (image, _turn) = image();
    const CALLS: u64 = 2_000;
    struct Slow(Count);
    impl HookProgram for Slow {
        fn run(&self, hook: Hook<'_>) -> Result<(), Failed> {
            if self.0.get().is_multiple_of(64) {
                thread::yield_now();
            }
            self.0.run(hook)
        }
    }
    let slow = Arc::new(Slow(Count::default()));
    let id = image.attach("gcc_fentry_myfun", "slow", slow.clone());
    thread::scope(|s| {
        for _ in 0..24 {
            // SAFETY: a C function without arguments; its counter is volatile and of no interest.
            s.spawn(|| (0..CALLS).for_each(|_| unsafe { gcc_fentry_myfun() }));
        }
    });
    let report = image.report("gcc_fentry_myfun", id);
    TRACER.detach(id).unwrap();
    assert_eq!((report.hits, report.runs), (24 * CALLS, slow.0.get()));
    assert_eq!(report.hits, report.runs + report.misses);
}

#[test]
fn a_traced_function_called_inside_a_hook_is_a_miss() {
    struct Calls;
    impl HookProgram for Calls {
        fn run(&self, _: Hook<'_>) -> Result<(), Failed> {
            // SAFETY: a C function without arguments.
            unsafe { gcc_patchable_cet_myfun() };
            Ok(())
        }
    }
    let (image, _turn) = image();
    let id = image.attach("gcc_patchable_cet_myfun", "calls", Arc::new(Calls));
    // SAFETY: a C function without arguments.
    unsafe { gcc_patchable_cet_myfun() };
    let report = image.report("gcc_patchable_cet_myfun", id);
    TRACER.detach(id).unwrap();
    assert_eq!((report.hits, report.runs, report.misses), (2, 1, 1));
}

#[test]
fn original_tracer_freed_twice_when_one_program_of_several_was_detached() {
    let (image, _turn) = image();
    // SAFETY: a C function without arguments.
    let call = || unsafe { gcc_pg_myfun() };
    let counts = [(); 3].map(|()| Arc::new(Count::default()));
    let before = image.bytes("gcc_pg_myfun");
    let ids: Vec<_> =
        ["a", "b", "c"].iter().zip(&counts).map(|(n, c)| image.attach("gcc_pg_myfun", n, c.clone())).collect();
    call();
    TRACER.detach(ids[1]).unwrap();
    call();
    let names: Vec<_> = TRACER.probes(image.site("gcc_pg_myfun")).into_iter().map(|p| p.program).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(TRACER.detach(ids[1]), Err(DetachError::NotAttached));
    TRACER.detach(ids[0]).unwrap();
    assert_ne!(image.bytes("gcc_pg_myfun"), before);
    TRACER.detach(ids[2]).unwrap();
    call();
    assert_eq!(image.bytes("gcc_pg_myfun"), before);
    assert_eq!(counts.each_ref().map(|c| c.get()), [2, 1, 2]);
    assert!(counts.iter().all(|c| Arc::strong_count(c) == 1), "programs are freed");
}

#[test]
fn the_same_program_is_attached_once() {
    let (image, _turn) = image();
    let id = image.attach("gcc_pg_myfun", "count.bin", Arc::new(Count::default()));
    let again = image.attach_with("gcc_pg_myfun", "count.bin", Arc::new(Count::default()), AttachOptions::default());
    assert!(matches!(again, Err(AttachError::AlreadyAttached { .. })), "{again:?}");
    TRACER.detach(id).unwrap();
}

/// Only recorded stubs are sites.
#[test]
fn original_tracer_took_any_nop_in_100_bytes_for_a_stub() {
    let (image, _turn) = image();
    let (start, len) = image.functions["gcc_patchable_self_test"];
    let own = TRACER.site_in(start, len).unwrap();
    assert_eq!(own.addr, start);
    let (start, len) = image.functions["ubpf_linux_records"];
    assert_eq!(TRACER.site_in(start, len), None);
    let site = Site { addr: start, kind: SiteKind::Patchable };
    let request = AttachRequest {
        point: Point::Entry(site),
        function: "no_stub",
        start: 0,
        program: "count",
        body: Arc::new(Count::default()),
        options: AttachOptions::default(),
    };
    assert!(matches!(TRACER.attach(request), Err(AttachError::NoSite { .. })));
    assert_eq!(
        TRACER.add_sites(&[start, 0, 8], SiteKind::Patchable, &|address| table().neighbours(address)).refused,
        2
    );
}

#[test]
fn the_no_probe_list_refuses_with_a_reason() {
    let (image, _turn) = image();
    let site = image.site("gcc_pg_myfun");
    let request = AttachRequest {
        point: Point::Entry(site),
        function: "memcpy",
        start: 0,
        program: "count",
        body: Arc::new(Count::default()),
        options: AttachOptions::default(),
    };
    let error = TRACER.attach(request).unwrap_err().to_string();
    assert_eq!(error, "function memcpy cannot be traced: hooks use it to copy memory");
}

/// Where other CPUs run that cannot be stopped, nothing is attached, the text stays as it is, and the answer says what to do.
#[test]
fn several_cpus_refuse_with_a_remedy() {
    let (image, _turn) = image();
    const NAME: &str = "gcc_fentry_empty";
    let before = image.bytes(NAME);
    let body = Arc::new(Count::default());
    SEVERAL_CPUS.store(true, Ordering::SeqCst);
    let attached = TRACER.attach(AttachRequest {
        point: Point::Entry(image.site(NAME)),
        function: NAME,
        start: 0,
        program: "count",
        body: body.clone(),
        options: AttachOptions::default(),
    });
    SEVERAL_CPUS.store(false, Ordering::SeqCst);
    assert_eq!(
        attached.unwrap_err().to_string(),
        "several CPUs run, and the others cannot be stopped while text is changed: run it on one CPU"
    );
    assert_eq!(image.bytes(NAME), before);
    assert_eq!(Arc::strong_count(&body), 1, "the program is given back");
}

/// Two programs for each of some functions, one of which has a program already.
fn requests<'r>(image: &Image, body: &Arc<Count>) -> Vec<AttachRequest<'r>> {
    let request = |function, program| AttachRequest {
        point: Point::Entry(image.site(function)),
        function,
        start: 0,
        program,
        body: body.clone(),
        options: AttachOptions::default(),
    };
    let each = |program| TOGETHER.iter().map(move |(function, _)| request(function, program));
    each("first").chain(each("second")).collect()
}

/// Programs that come together run from one moment on: none of them before all of the text is changed.
#[test]
fn programs_that_come_together_begin_together() {
    let (image, _turn) = image();
    let body = Arc::new(Count::default());
    let present = image.attach("gcc_pg_myfun", "present", Arc::new(Count::default()));
    CALL_MEANWHILE.store(true, Ordering::SeqCst);
    let first = TRACER.attach_all(&requests(image, &body), &mut |_, _| ());
    CALL_MEANWHILE.store(false, Ordering::SeqCst);
    let first = first.unwrap().raw();
    assert_eq!(body.get(), 0, "one ran before the others could");
    call_together();
    assert_eq!(body.get(), 2 * TOGETHER.len() as u64);
    for (function, _) in TOGETHER {
        let of = |p: ProbeReport| (p.id != present).then_some((p.program, p.hits));
        let probes: Vec<_> = TRACER.probes(image.site(function)).into_iter().filter_map(of).collect();
        assert_eq!(probes, [("first".to_string(), 1), ("second".to_string(), 1)], "{function}");
    }
    // Five functions were called behind each of three changes; the fourth program was there before.
    assert_eq!(image.report("gcc_pg_myfun", present).hits, 4);
    (first..first + 10).for_each(|id| TRACER.detach(ProbeId::from_raw(id)).unwrap());
    TRACER.detach(present).unwrap();
}

/// Where one of them cannot be attached none is: it is said which one, the text is as before, and nothing is kept.
#[test]
fn programs_that_come_together_are_all_attached_or_none_is() {
    let (image, _turn) = image();
    let body = Arc::new(Count::default());
    let present = image.attach("gcc_pg_myfun", "second", Arc::new(Count::default()));
    let text = || TOGETHER.map(|(function, _)| image.bytes(function));
    let (before, sites) = (text(), TRACER.all_probes().len());
    let attach = || {
        let mut refused = Vec::new();
        let done = TRACER.attach_all(&requests(image, &body), &mut |index, error| refused.push((index, error)));
        (done.unwrap_err(), refused)
    };
    let check = |index, error: AttachError| {
        assert_eq!(attach(), (error.clone(), vec![(index, error)]));
        assert_eq!((text(), TRACER.all_probes().len(), Arc::strong_count(&body)), (before.clone(), sites, 1));
        call_together();
        assert_eq!(body.get(), 0);
    };
    let (function, program) = ("gcc_pg_myfun".to_string(), "second".to_string());
    check(8, AttachError::AlreadyAttached { function, program });
    TRACER.detach(present).unwrap();
    let present = image.attach("gcc_pg_myfun", "present", Arc::new(Count::default()));
    let addr = image.site("gcc_fentry_myfun").addr;
    REFUSED_AT.store(addr, Ordering::SeqCst);
    check(2, AttachError::Patch(PatchError::Mismatch { addr: addr as usize }));
    REFUSED_AT.store(0, Ordering::SeqCst);
    TRACER.detach(present).unwrap();
    // With nothing in the way they are attached.
    let first = TRACER.attach_all(&requests(image, &body), &mut |_, _| ()).unwrap().raw();
    call_together();
    assert_eq!(body.get(), 2 * TOGETHER.len() as u64);
    (first..first + 10).for_each(|id| TRACER.detach(ProbeId::from_raw(id)).unwrap());
}

/// A program that keeps failing is counted, and reported at a bounded rate.
#[test]
fn failures_are_counted_and_reported_once() {
    struct Fails;
    impl HookProgram for Fails {
        fn run(&self, hook: Hook<'_>) -> Result<(), Failed> {
            Err(hook.fail(Fault::NoLane, "fails"))
        }
    }
    let (image, _turn) = image();
    image.ring.drain(&mut |_| ());
    let id = image.attach("gcc_pg_myfun", "fails", Arc::new(Fails));
    // SAFETY: a C function without arguments.
    (0..100).for_each(|_| unsafe { gcc_pg_myfun() });
    let report = image.report("gcc_pg_myfun", id);
    TRACER.detach(id).unwrap();
    let mut texts = Vec::new();
    image.ring.drain(&mut |r| {
        assert_eq!(r.kind, RecordKind::Error(Fault::NoLane));
        texts.push(String::from_utf8_lossy(r.text()).into_owned());
    });
    assert_eq!(texts, ["fails"]);
    assert_eq!((report.runs, report.failures, report.unreported), (100, 100, 99));
}

#[test]
fn probes_end_after_a_number_of_runs_or_a_time() {
    let (image, _turn) = image();
    // SAFETY: a C function without arguments.
    let call = || unsafe { gcc_pg_myfun() };
    let before = image.bytes("gcc_pg_myfun");
    let count = Arc::new(Count::default());
    let options = AttachOptions { max_runs: Some(3), ..Default::default() };
    image.attach_with("gcc_pg_myfun", "three", count.clone(), options).unwrap();
    (0..10).for_each(|_| call());
    assert_eq!((count.get(), TRACER.poll(), image.bytes("gcc_pg_myfun") == before), (3, 1, true));
    let options = AttachOptions { max_ns: Some(1_000_000), ..Default::default() };
    image.attach_with("gcc_pg_myfun", "brief", count.clone(), options).unwrap();
    thread::sleep(Duration::from_millis(2));
    assert_eq!((TRACER.poll(), image.bytes("gcc_pg_myfun") == before), (1, true));
}

#[test]
fn run_time_is_measured_only_with_statistics_on() {
    let (image, _turn) = image();
    // SAFETY: a C function without arguments.
    let call = || unsafe { gcc_instrument_myfun() };
    let id = image.attach("gcc_instrument_myfun", "count", Arc::new(Count::default()));
    call();
    TRACER.set_stats(true).unwrap();
    call();
    TRACER.set_stats(false).unwrap();
    let report = image.report("gcc_instrument_myfun", id);
    TRACER.detach(id).unwrap();
    assert_eq!((report.runs, report.timed_runs), (2, 1));
    assert!(report.run_ns > 0);
}

/// The context starts with the key, and the hook sees the arguments of the function.
#[test]
fn a_hook_sees_key_and_arguments() {
    struct Looks(AtomicU64, AtomicU64);
    impl HookProgram for Looks {
        fn run(&self, hook: Hook<'_>) -> Result<(), Failed> {
            self.0.store(u64::from_ne_bytes(hook.context[..8].try_into().unwrap()), Ordering::Relaxed);
            self.1.fetch_add(hook.frame.argument(0).unwrap(), Ordering::Relaxed);
            assert!(hook.context[8..].iter().all(|&b| b == 0));
            hook.context.fill(0xff);
            assert_eq!((hook.budget, &raw const *hook.stack as usize % 16), (62_500, 0));
            Ok(())
        }
    }
    let (image, _turn) = image();
    let looks = Arc::new(Looks(AtomicU64::new(0), AtomicU64::new(0)));
    let id = image.attach("gcc_patchable_recursion", "looks", looks.clone());
    // SAFETY: a C function of one number.
    let sum = unsafe { gcc_patchable_recursion(10) };
    TRACER.detach(id).unwrap();
    assert_eq!((sum, looks.1.load(Ordering::Relaxed)), (55, 55));
    assert_eq!(looks.0.load(Ordering::Relaxed), image.site("gcc_patchable_recursion").addr + 5);
}

/// Attach and detach while other threads run the function.
#[test]
fn patching_under_running_threads() {
    let (image, _turn) = image();
    let stop = AtomicU64::new(0);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while stop.load(Ordering::Relaxed) == 0 {
                    // SAFETY: a C function without arguments.
                    unsafe { gcc_patchable_myfun() };
                }
            });
        }
        for _ in 0..2_000 {
            let count = Arc::new(Count::default());
            let id = image.attach("gcc_patchable_myfun", "count", count.clone());
            TRACER.detach(id).unwrap();
            assert_eq!(Arc::strong_count(&count), 1);
        }
        stop.store(1, Ordering::Relaxed);
    });
}

/// The kernel ends a process of which a thread meets a breakpoint while it blocks SIGTRAP: no patch may place one.
#[test]
fn what_a_thread_that_blocks_all_signals_runs_is_patched_under_it() {
    let (image, _turn) = image();
    const NAME: &str = "gcc_patchable_myfun";
    let before = image.bytes(NAME);
    let (stop, runs) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: a set of signals is plain data, and the mask is this thread's own.
            unsafe {
                let mut all: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&mut all);
                libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
            }
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: a C function without arguments that changes a counter of its own.
                unsafe { gcc_patchable_myfun() };
                runs.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..300 {
            let count = Arc::new(Count::default());
            let id = image.attach(NAME, "count", count.clone());
            let more = runs.load(Ordering::Relaxed) + 2;
            while runs.load(Ordering::Relaxed) < more {
                thread::yield_now();
            }
            TRACER.detach(id).unwrap();
            assert!(count.get() > 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(image.bytes(NAME), before);
}

/// What [`direct_record`] saw last: the first two words of its argument, and the length it was told.
#[no_mangle]
static DIRECT_SEEN: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

// Machine code as of a program: notes its arguments and leaves no register but the stack pointer as it was.
std::arch::global_asm!(
    ".globl direct_record",
    "direct_record:",
    "mov rax, [rdi]",
    "mov rcx, [rdi + 8]",
    "mov [rip + DIRECT_SEEN], rax",
    "mov [rip + DIRECT_SEEN + 8], rcx",
    "mov [rip + DIRECT_SEEN + 16], rsi",
    "mov qword ptr [rdi], -1",
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
    fn direct_record();
}

/// A program as machine code. Runs that took the general way are counted.
#[derive(Default)]
struct Direct(Count);
impl HookProgram for Direct {
    fn run(&self, hook: Hook<'_>) -> Result<(), Failed> {
        self.0.run(hook)
    }
    fn direct(&self) -> Result<ubpf_rs::vm::Direct, Detour> {
        Ok(records_directly(direct_record, Given::Call, 0, 16))
    }
}

#[test]
fn direct_programs_get_their_argument_and_every_register_survives_them() {
    let (image, _turn) = image();
    for variant in VARIANTS.iter().filter(|v| !v.ends_with("instrument")).take(4) {
        let names: Vec<_> = FUNCTIONS.iter().map(|f| format!("{variant}_{f}")).collect();
        let before: Vec<_> = names.iter().map(|n| image.bytes(n)).collect();
        let body = Arc::new(Direct::default());
        let attach = |program: &str| -> Vec<_> {
            let each = names.iter().map(|n| image.attach(n, program, body.clone()));
            each.collect()
        };
        let first = attach("first");
        assert_eq!(self_test(variant), 0, "{variant} with one program");
        let second = attach("second");
        assert_eq!(self_test(variant), 0, "{variant} with two programs");
        let runs = |name: &str, id| image.report(name, id).runs;
        let myfun = 1; // not called by the self test
        for (index, name) in names.iter().enumerate().filter(|(index, _)| *index != myfun) {
            let once = if name.ends_with("recursion") { 20_001 } else { 1 };
            assert_eq!(runs(name, first[index]), 2 * once, "{name}");
            assert_eq!(runs(name, second[index]), once, "{name}");
        }
        let seen = DIRECT_SEEN.each_ref().map(|word| word.load(Ordering::Relaxed));
        let keys: Vec<u64> = names.iter().map(|name| image.site(name).key()).collect();
        assert!(keys.contains(&seen[0]), "{seen:x?} is none of {keys:x?}");
        assert_eq!(seen[1..], [0, ubpf_rs::tracer::CONTEXT_BYTES as u64]);
        let all = first.into_iter().chain(second);
        all.for_each(|id| TRACER.detach(id).unwrap());
        let after: Vec<_> = names.iter().map(|n| image.bytes(n)).collect();
        assert_eq!(before, after, "{variant}");
        assert_eq!(body.0.get(), 0, "{variant}: the general way was taken");
    }
}

#[test]
fn runs_are_counted_whichever_way_they_took() {
    let (image, _turn) = image();
    const NAME: &str = "gcc_patchable_myfun";
    let call = |times| {
        // SAFETY: a C function without arguments that changes a counter of its own.
        (0..times).for_each(|_| unsafe { gcc_patchable_myfun() });
    };
    let direct = Arc::new(Direct::default());
    let id = image.attach(NAME, "direct", direct.clone());
    let runs = || image.report(NAME, id).runs;
    call(3);
    assert_eq!((runs(), direct.0.get()), (3, 0));
    let count = Arc::new(Count::default());
    let other = image.attach(NAME, "count", count.clone());
    call(4);
    assert_eq!((runs(), direct.0.get(), count.get()), (7, 4, 4));
    TRACER.detach(other).unwrap();
    call(5);
    assert_eq!((runs(), direct.0.get(), count.get()), (12, 4, 4));
    TRACER.set_stats(true).unwrap();
    call(6);
    TRACER.set_stats(false).unwrap();
    let report = image.report(NAME, id);
    assert_eq!((report.runs, report.timed_runs, report.misses), (18, 6, 0));
    call(7);
    assert_eq!((runs(), direct.0.get()), (25, 10));
    TRACER.detach(id).unwrap();
    call(1);
    assert_eq!(direct.0.get(), 10);
}

#[test]
fn threads_run_through_trampolines_that_come_and_go() {
    let (image, _turn) = image();
    const NAME: &str = "gcc_patchable_empty";
    const CALLS: u64 = 200_000;
    let direct: Arc<Direct> = Arc::default();
    let id = image.attach(NAME, "stays", direct.clone());
    let threads: Vec<_> = (0..3)
        .map(|_| {
            // SAFETY: a C function that does nothing.
            thread::spawn(|| (0..CALLS).for_each(|_| unsafe { gcc_patchable_empty() }))
        })
        .collect();
    let mut round = 0;
    while threads.iter().any(|t| !t.is_finished()) {
        round += 1;
        let body: Arc<dyn HookProgram> = match round % 3 {
            0 => Arc::new(Count::default()),
            _ => Arc::new(Direct::default()),
        };
        let guest = image.attach(NAME, "guest", body);
        TRACER.detach(guest).unwrap();
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
    let report = image.report(NAME, id);
    assert_eq!(report.hits, 3 * CALLS, "{report:?} after {round} rounds");
    TRACER.detach(id).unwrap();
}

/// More threads at a time than there are blocks of counters, and many more one after another.
#[test]
fn every_hit_of_many_threads_is_counted() {
    let (image, _turn) = image();
    const NAME: &str = "gcc_patchable_empty";
    const CALLS: u64 = 1_000;
    let body: Arc<Direct> = Arc::default();
    let id = image.attach(NAME, "direct", body.clone());
    // SAFETY: a C function that does nothing.
    let work = || (0..CALLS).for_each(|_| unsafe { gcc_patchable_empty() });
    let hits = || image.report(NAME, id).hits;
    for n in 1..=200 {
        thread::spawn(work).join().unwrap();
        assert_eq!(hits(), n * CALLS);
    }
    // Those who came one after another needed no more than their first hit to get a block.
    assert!(body.0.get() <= 200, "{} took the general way", body.0.get());
    let together = Arc::new(std::sync::Barrier::new(100));
    let threads: Vec<_> = (0..100)
        .map(|_| {
            let together = together.clone();
            thread::spawn(move || {
                work();
                together.wait();
                work();
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let report = image.report(NAME, id);
    assert_eq!(report.hits, (200 + 2 * 100) * CALLS);
    assert_eq!(report.hits, report.runs + report.misses);
    TRACER.detach(id).unwrap();
}

/// Hits inside a hook of programs that call nothing are hits like all others.
#[test]
fn a_direct_program_runs_inside_a_hook() {
    struct Calls;
    impl HookProgram for Calls {
        fn run(&self, _: Hook<'_>) -> Result<(), Failed> {
            // SAFETY: a C function that does nothing.
            unsafe { gcc_patchable_empty() };
            Ok(())
        }
    }
    let (image, _turn) = image();
    let outer = image.attach("gcc_patchable_myfun", "calls", Arc::new(Calls));
    let inner = image.attach("gcc_patchable_empty", "direct", Arc::new(Direct::default()));
    // SAFETY: a C function without arguments that changes a counter of its own.
    (0..5).for_each(|_| unsafe { gcc_patchable_myfun() });
    let report = image.report("gcc_patchable_empty", inner);
    assert_eq!((report.hits, report.runs, report.misses), (5, 5, 0));
    TRACER.detach(outer).unwrap();
    TRACER.detach(inner).unwrap();
}

/// A call that could not be taken out of the text is used again, and the stub comes back with the next detach.
#[test]
fn a_failed_detach_is_made_good_by_the_next_one() {
    let (image, _turn) = image();
    const NAME: &str = "gcc_fentry_empty";
    // SAFETY: a C function that does nothing.
    let call = || unsafe { gcc_fentry_empty() };
    let before = image.bytes(NAME);
    type Make = fn() -> Arc<dyn HookProgram>;
    let kinds: [Make; 2] = [|| Arc::new(Count::default()), || Arc::new(Direct::default())];
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let body = kinds[first]();
        let id = image.attach(NAME, "first", body.clone());
        call();
        REFUSE.store(true, Ordering::SeqCst);
        let failed = TRACER.detach(id);
        REFUSE.store(false, Ordering::SeqCst);
        assert!(matches!(failed, Err(DetachError::Patch(_))), "{failed:?}");
        assert_eq!(Arc::strong_count(&body), 1, "the program is gone");
        assert_ne!(image.bytes(NAME), before, "its call is not");
        call();
        let id = image.attach(NAME, "second", kinds[second]());
        call();
        let report = image.report(NAME, id);
        assert_eq!((report.hits, report.runs), (1, 1));
        TRACER.detach(id).unwrap();
        assert_eq!(image.bytes(NAME), before);
        call();
    }
}
