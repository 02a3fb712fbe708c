//! Programs that a trampoline runs straight from a traced function, several at one site in several orders: what they leave in the map
//! and in the output ring, or in maps and rings of their own, how often they ran, and the registers of the traced function, beside the same
//! programs run by the interpreter one after the other. What each is said to cost must be no less than what it executes.
#![no_main]

#[allow(dead_code, reason = "a part is for other targets")]
mod input;
#[path = "../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;

use libfuzzer_sys::fuzz_target;
use pages::Pages;
use std::{
    arch::global_asm,
    cell::OnceCell,
    sync::OnceLock,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
};
use ubpf_platform_linux::platform;
use ubpf_rs::{
    helpers::{
        Names, Needs, Output, ReadMemory, Registry, RingLayout, Threads, Time, Traced, TracedCall, TwoKey, TwoKeyMaps,
    },
    isa::{self, AluOp, CmpOp, ImmKind, Insn, Operand, Reg, Size, Width},
    jit::{trampoline::Helpers, JitProgram, Options},
    maps::{self, Lane, Map, TwoKeyMap},
    platform::{Clock, Platform, Thread, Ticks},
    program::{Abi, MapDef, MapFlags, MapKind, MapName, Program},
    tracer::{
        helper_entry, Failed, Hook, HookProgram, RecordKind, Ring, SiteKind, Subject, Sums, TracerConfig,
        CONTEXT_BYTES, TRACER,
    },
    verifier::{self, Policy, Work},
    vm::{executed, soundness::Numbers, Detour, Direct, Executable, Interpreter, Memory, Run, STACK_BYTES},
};

/// Time stands still: machine code reads it as everybody.
struct Still;

const STILL: Ticks = Ticks { start: 0, scale: 0 };

impl Clock for Still {
    fn now_ns(&self) -> u64 {
        0
    }
    fn ticks(&self) -> Option<Ticks> {
        Some(STILL)
    }
}

/// A map and a ring for programs, and the maps that some have.
struct Surface {
    map: TwoKeyMap,
    ring: Ring,
    maps: Arc<maps::Maps>,
}

/// Maps of programs with numbers of Linux: bytes of a key and a value, entries; of a ring its bytes.
const MAPS: [(MapKind, [u32; 3]); 6] = [
    (MapKind::Hash, [8, 8, 4]),
    (MapKind::Hash, [4, 16, 6]),
    (MapKind::PercpuArray, [4, 8, 2]),
    (MapKind::PercpuHash, [8, 8, 3]),
    (MapKind::Ringbuf, [0, 0, 4096]),
    (MapKind::Array, [4, 24, 3]),
];
const RING: u64 = 4;

fn maps_of_programs() -> maps::Maps {
    let map = |(kind, [key_size, value_size, max_entries]): (MapKind, [u32; 3])| {
        let name = MapName::new("fuzzed").unwrap();
        Map::new(MapDef { kind, key_size, value_size, max_entries, flags: MapFlags::empty(), inner: None, name })
            .unwrap()
    };
    maps::Maps::new(MAPS.map(map).map(Arc::new).into()).unwrap()
}

/// What is in a map, and nothing from then on: keys with the sum of their first words, and the rest of the first value; records; what was lost.
fn empty(map: &Map) -> (Vec<Vec<u8>>, u64) {
    let (mut all, mut keys, mut next) = (Vec::new(), Vec::new(), Some(0));
    while let Some(at) = next {
        next = map.for_some(at, &mut |key, value| {
            let sum = value.iter().map(|slot| slot.word(0)).fold(0, u64::wrapping_add);
            let mut line = key.to_vec();
            line.extend(sum.to_le_bytes());
            line.extend(value.first().words().skip(1).flat_map(u64::to_le_bytes));
            all.push(line);
            keys.push(key.to_vec());
            true
        });
    }
    all.sort_unstable();
    let zeros = vec![0; map.def().value_size as usize];
    for key in keys {
        if map.delete(key[..].into(), &mut 0).is_err() {
            map.update(key[..].into(), zeros[..].into(), 0, &mut 0).unwrap();
        }
    }
    let mut record = [0; 4096];
    while let Some(len) = map.read_record(&mut record) {
        all.push(record[..len].to_vec());
    }
    (all, map.lost_full())
}

/// So few entries that chosen keys fill it, and so few records that the ring overflows.
const ENTRIES: usize = 16;

impl Surface {
    fn new() -> Surface {
        let maps = Arc::new(maps_of_programs());
        Surface { map: TwoKeyMap::new(ENTRIES).unwrap(), ring: Ring::new(0).unwrap(), maps }
    }

    /// What programs left, ready for the next ones.
    fn take(&self) -> Left {
        TRACER.tally(None);
        let mut map = Vec::new();
        self.map.for_each(|a, b, value| map.push((a, b, value)));
        map.sort_unstable();
        map.iter().for_each(|&(a, b, _)| _ = self.map.del(a, b));
        let mut said = Vec::new();
        self.ring.drain(&mut |record| said.push((record.kind, record.time_ns)));
        let maps = self.maps.iter().map(|map| empty(map)).collect();
        (map, said, self.ring.lost(), maps)
    }
}

type Left = (Vec<(u64, u64, u64)>, Vec<(RecordKind, u64)>, u64, Vec<(Vec<Vec<u8>>, u64)>);

impl TwoKeyMaps for Surface {
    fn two_key(&self) -> TwoKey<'_> {
        TwoKey::Map(&self.map)
    }
}

impl Names for Surface {
    fn symbol_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
    fn trace_address(&self, _name: &[u8]) -> Option<u64> {
        None
    }
}

impl Output for Surface {
    fn notify(&self, address: u64) {
        self.ring.push_notify(0, address);
    }
    fn puts(&self, _text: &[u8]) {}
    fn ring(&self) -> Option<RingLayout> {
        Some(self.ring.layout())
    }
}

impl ReadMemory for Surface {
    fn probe_read(&self, _address: u64, _dst: &mut [u8]) -> usize {
        0
    }
}

impl TracedCall for Surface {
    fn traced(&self) -> Option<Traced> {
        None
    }
    fn stack(&self, _out: &mut [u64]) -> usize {
        0
    }
}

impl Time for Surface {
    fn now_ns(&self) -> u64 {
        0
    }
    fn ticks(&self) -> Option<Ticks> {
        Some(STILL)
    }
}

impl Threads for Surface {
    fn thread(&self) -> Thread {
        Thread::ONLY
    }
    fn thread_name(&self, into: &mut [u8]) -> usize {
        into.iter_mut().zip(*b"fuzz").map(|(to, from)| *to = from).count()
    }
}

impl Sums for Surface {
    fn add_often(&self, key1: u64, key2: u64, more: u64, times: u64) {
        self.map.add_often(key1, key2, more, times);
    }
}

/// A program as the tracer runs it.
struct Probe {
    code: JitProgram,
    helpers: OnceLock<Option<Helpers>>,
    world: &'static World,
    /// Runs that took the general way.
    general: Arc<AtomicU64>,
}

impl HookProgram for Probe {
    fn run(&self, mut hook: Hook<'_>) -> Result<(), Failed> {
        self.general.fetch_add(1, Relaxed);
        let budget = hook.budget;
        let (context, stack, _) = hook.split();
        // A stop is no failure here: its report would go into the ring.
        let _ = run(&self.code, &mut context[..CONTEXT_BYTES], stack, budget, self.world);
        Ok(())
    }
    fn direct(&self) -> Result<Direct, Detour> {
        let direct = self.code.direct()?;
        if direct.needs.is_empty() {
            return Ok(direct);
        }
        let made = || {
            let (registry, host) = (&self.world.registry, &self.world.real);
            let abi = self.code.verified().program().abi;
            let maps = has_maps(abi).then(|| host.maps.clone());
            Helpers::new(&direct, (abi, maps), registry, host, helper_entry())
        };
        let helpers = self.helpers.get_or_init(made).as_ref().ok_or(Detour::Memory)?;
        Ok(Direct { block: helpers.block(), ..direct })
    }
}

fn run(
    code: &dyn Executable,
    context: &mut [u8],
    stack: &mut [u8],
    budget: u64,
    world: &World,
) -> Result<u64, ubpf_rs::vm::Stop> {
    let len = context.len() as u64;
    let lane = Lane::claim().expect("there is one");
    let memory = with_maps(Memory::new(context, stack), code, &world.real).in_lane(lane.number());
    let mut run =
        Run { args: [memory.argument().base, len], memory, budget, helpers: &world.registry, host: &world.real };
    code.run(&mut run)
}

/// Whether programs of these numbers have maps.
fn has_maps(abi: Abi) -> bool {
    abi == Abi::Linux
}

fn with_maps<'a>(memory: Memory<'a>, code: &dyn Executable, surface: &'a Surface) -> Memory<'a> {
    match has_maps(code.verified().program().abi) {
        true => memory.with_maps(&surface.maps),
        false => memory,
    }
}

struct World {
    registry: Registry,
    /// What hooks use.
    real: Surface,
    /// What the interpreter uses.
    expected: Surface,
}

thread_local! {
    static WORLD: OnceCell<&'static World> = const { OnceCell::new() };
}

fn start() -> &'static World {
    let world: &'static World = Box::leak(Box::new(World {
        registry: Registry::with_builtins().unwrap(),
        real: Surface::new(),
        expected: Surface::new(),
    }));
    let platform = Platform { clock: &Still, ..platform(".".into()) };
    assert!(TRACER.init(TracerConfig::default(), platform, &world.real.ring).is_ok());
    TRACER.set_sums(&world.real);
    world
}

// What is in each register, before and behind the call of the traced function: rax, rcx, rdx, rbx, rbp, rsi, rdi, r8 to r15.
global_asm!(
    ".text",
    "ubpf_fuzz_call:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rsi",
    "push rdi",
    "mov rax, rsi",
    "mov rcx, [rax + 8]",
    "mov rdx, [rax + 16]",
    "mov rbx, [rax + 24]",
    "mov rbp, [rax + 32]",
    "mov rsi, [rax + 40]",
    "mov rdi, [rax + 48]",
    "mov r8, [rax + 56]",
    "mov r9, [rax + 64]",
    "mov r10, [rax + 72]",
    "mov r11, [rax + 80]",
    "mov r12, [rax + 88]",
    "mov r13, [rax + 96]",
    "mov r14, [rax + 104]",
    "mov r15, [rax + 112]",
    "mov rax, [rax]",
    // The traced function lies 16-aligned behind its own call.
    "call [rsp]",
    "push rax",
    "mov rax, [rsp + 16]",
    "mov [rax + 8], rcx",
    "mov [rax + 16], rdx",
    "mov [rax + 24], rbx",
    "mov [rax + 32], rbp",
    "mov [rax + 40], rsi",
    "mov [rax + 48], rdi",
    "mov [rax + 56], r8",
    "mov [rax + 64], r9",
    "mov [rax + 72], r10",
    "mov [rax + 80], r11",
    "mov [rax + 88], r12",
    "mov [rax + 96], r13",
    "mov [rax + 104], r14",
    "mov [rax + 112], r15",
    "pop rcx",
    "mov [rax], rcx",
    "pop rdi",
    "pop rsi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
);

extern "sysv64" {
    fn ubpf_fuzz_call(function: u64, registers: *mut [u64; 15]);
}

/// Calls the traced function with these numbers in all registers but the stack pointer; they must come back.
fn call(seed: u64) {
    let mut registers: [u64; 15] = std::array::from_fn(|i| (seed + i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let before = registers;
    // SAFETY: the traced function returns at once; what is attached there keeps the stack.
    unsafe { ubpf_fuzz_call(Subject::address(), &mut registers) };
    assert_eq!(registers, before, "registers of the traced function");
}

/// A program that can be called directly, most often: arithmetic, loads from the context, jumps forwards, counted loops, helpers.
fn program(numbers: &mut Numbers<'_>, abi: Abi) -> Vec<Insn> {
    let len = 1 + numbers.below(12);
    let mut insns = Vec::new();
    // What is never set starts as zero; here it is what the one before left, if somebody made a mistake.
    for _ in 0..len {
        piece(numbers, &mut insns, abi);
    }
    insns.push(Insn::Exit);
    insns
}

/// A wide load of a map.
fn map(slot: u64) -> [Insn; 2] {
    [Insn::LoadImm64 { dst: Reg::R1, kind: ImmKind::MapIndex, imm: slot }, Insn::WideTail]
}

fn store(base: Reg, off: i16, src: Operand) -> Insn {
    Insn::Store { size: Size::DW, base, off, src }
}

fn helper(number: u32) -> Insn {
    Insn::Call(isa::Call::Helper(number))
}

/// Fills in the distance of a branch, which is to lead behind the last instruction.
fn lead_here(insns: &mut [Insn], branch: usize) {
    let distance = (insns.len() - branch - 1) as i16;
    if let Some(Insn::Branch { off, .. }) = insns.get_mut(branch) {
        *off = distance;
    }
}

/// Leads on when r0 is 0.
fn unless_found(insns: &mut Vec<Insn>) -> usize {
    insns.push(Insn::Branch { op: CmpOp::Eq, width: Width::W64, dst: Reg::R0, src: Operand::Imm(0), off: 0 });
    insns.len() - 1
}

/// Something is done to one of the maps. No register holds an address afterwards: it would be another one in each engine.
fn use_map(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>) {
    let src = register(numbers);
    match numbers.below(4) {
        0 => write_record(numbers, insns, src),
        _ => change_value(numbers, insns, src),
    }
    for reg in 1..6 {
        insns.push(alu(AluOp::Mov, Reg::new(reg).unwrap(), Operand::Imm(reg.into())));
    }
}

/// A value is read, added to, replaced or removed, under a key of few, of which most are there.
fn change_value(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, src: Reg) {
    let slot = numbers.pick(&[0, 0, 1, 1, 2, 3, 5]);
    let (kind, [key_size, _, entries]) = MAPS[slot as usize];
    insns.push(store(Reg::R10, -24, Operand::Reg(src)));
    insns.push(store(Reg::R10, -16, Operand::Imm(numbers.below(9) as i32)));
    // The other half of a short key is no part of it.
    insns.push(store(Reg::R10, -8, Operand::Reg(src)));
    let size = if key_size == 4 { Size::W } else { Size::DW };
    let key = Operand::Imm(numbers.below(u64::from(entries) + 2) as i32);
    insns.push(Insn::Store { size, base: Reg::R10, off: -8, src: key });
    insns.extend(map(slot));
    insns.push(alu(AluOp::Mov, Reg::R2, Operand::Reg(Reg::R10)));
    insns.push(alu(AluOp::Add, Reg::R2, Operand::Imm(-8)));
    let of_cpus = kind.is_per_cpu();
    match numbers.below(6) {
        0 | 1 => {
            insns.push(alu(AluOp::Mov, Reg::R3, Operand::Reg(Reg::R10)));
            insns.push(alu(AluOp::Add, Reg::R3, Operand::Imm(-24)));
            // Of several slots, which one is a run's own differs.
            if of_cpus {
                insns.push(store(Reg::R10, -24, Operand::Imm(0)));
            }
            let flags = if of_cpus { 1 } else { numbers.pick(&[0, 0, 1, 2]) };
            insns.push(alu(AluOp::Mov, Reg::R4, Operand::Imm(flags)));
            insns.push(helper(2));
        }
        2 => insns.push(helper(3)),
        _ => {
            insns.push(helper(1));
            let branch = unless_found(insns);
            let load = Insn::Load { size: Size::DW, signed: false, dst: Reg::R5, base: Reg::R0, off: 0 };
            insns.push(load);
            if of_cpus || numbers.below(2) == 0 {
                insns.push(alu(AluOp::Add, Reg::R5, Operand::Imm(3)));
                insns.push(store(Reg::R0, 0, Operand::Reg(Reg::R5)));
            }
            let found = if of_cpus { Operand::Imm(7) } else { Operand::Reg(Reg::R5) };
            insns.push(alu(AluOp::Mov, Reg::R0, found));
            lead_here(insns, branch);
        }
    }
}

/// A record is reserved, filled, lent to a helper now and then, and submitted or discarded.
fn write_record(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, src: Reg) {
    insns.push(alu(AluOp::Mov, Reg::R4, Operand::Reg(src)));
    insns.extend(map(RING));
    insns.push(alu(AluOp::Mov, Reg::R2, Operand::Imm(numbers.pick(&[32, 32, 37, 1000, 4088, 4089]))));
    insns.push(alu(AluOp::Mov, Reg::R3, Operand::Imm(i32::from(numbers.below(16) == 0))));
    insns.push(helper(131));
    let branch = unless_found(insns);
    insns.push(alu(AluOp::Mov, Reg::R6, Operand::Reg(Reg::R0)));
    insns.push(store(Reg::R6, 0, Operand::Imm(numbers.below(6) as i32)));
    insns.push(store(Reg::R6, 8, Operand::Reg(Reg::R4)));
    let lent = numbers.below(4);
    if lent == 0 {
        insns.push(alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R6)));
        insns.push(alu(AluOp::Add, Reg::R1, Operand::Imm(16)));
        insns.push(alu(AluOp::Mov, Reg::R2, Operand::Imm(16)));
        insns.push(helper(16));
    } else if lent == 1 {
        insns.extend(map(0));
        insns.push(alu(AluOp::Mov, Reg::R2, Operand::Reg(Reg::R6)));
        insns.push(alu(AluOp::Mov, Reg::R3, Operand::Reg(Reg::R6)));
        insns.push(alu(AluOp::Add, Reg::R3, Operand::Imm(8)));
        insns.push(alu(AluOp::Mov, Reg::R4, Operand::Imm(numbers.pick(&[0, 1]))));
        insns.push(helper(2));
        insns.push(store(Reg::R6, 24, Operand::Reg(Reg::R0)));
    }
    insns.push(alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R6)));
    insns.push(alu(AluOp::Mov, Reg::R2, Operand::Imm(0)));
    insns.push(helper(numbers.pick(&[132, 132, 133])));
    insns.push(alu(AluOp::Mov, Reg::R0, Operand::Imm(1)));
    lead_here(insns, branch);
    insns.push(alu(AluOp::Mov, Reg::R6, Operand::Imm(6)));
}

/// Any but r1, which is an address, and another one in each engine.
fn register(numbers: &mut Numbers<'_>) -> Reg {
    Reg::new([0, 2, 3, 4, 5, 6, 7, 8, 9][numbers.below(9) as usize]).unwrap()
}

fn alu(op: AluOp, dst: Reg, src: Operand) -> Insn {
    let width = Width::W64;
    Insn::Alu { op, width, dst, src }
}

fn piece(numbers: &mut Numbers<'_>, insns: &mut Vec<Insn>, abi: Abi) {
    let imm = |n: u64| Operand::Imm(n as i32);
    let (dst, src) = (register(numbers), register(numbers));
    let load = |numbers: &mut Numbers<'_>, dst| Insn::Load {
        size: numbers.pick(&[Size::B, Size::W, Size::DW]),
        signed: false,
        dst,
        base: Reg::R1,
        off: numbers.pick(&[0, 0, 8, 24, 40, 56]),
    };
    match numbers.below(11) {
        0 | 1 => {
            let op = numbers.pick(&[AluOp::Add, AluOp::Xor, AluOp::Mul, AluOp::Mov, AluOp::Div, AluOp::Lsh]);
            insns.push(alu(op, dst, Operand::Reg(src)));
        }
        2 => insns.push(alu(AluOp::Add, dst, imm(numbers.below(100)))),
        // As long as r1 is the argument.
        3 if !insns.iter().any(|insn| insn.written() == Some(Reg::R1)) => {
            insns.push(load(numbers, dst));
        }
        3 => insns.push(alu(AluOp::Xor, dst, Operand::Reg(src))),
        4 => {
            let op = numbers.pick(&[CmpOp::Eq, CmpOp::Gt, CmpOp::Slt, CmpOp::Set]);
            let (width, src, off) = (Width::W64, imm(numbers.below(4)), 1);
            insns.push(Insn::Branch { op, width, dst, src, off });
            insns.push(alu(AluOp::Add, dst, imm(1)));
        }
        5 => {
            insns.push(alu(AluOp::Mov, dst, imm(0)));
            insns.push(alu(AluOp::Add, dst, imm(1)));
            let (op, width) = (CmpOp::Lt, Width::W64);
            let (src, off) = (imm(1 + numbers.below(5)), -2);
            insns.push(Insn::Branch { op, width, dst, src, off });
        }
        6..=9 if has_maps(abi) => use_map(numbers, insns),
        _ if has_maps(abi) => {
            insns.push(helper(numbers.pick(&[5, 14, 8])));
            // Which lane it is differs.
            insns.push(alu(AluOp::Mov, Reg::R0, imm(2)));
        }
        6..=9 => {
            // What it knows, under a key of few: other programs read it, or find the map full.
            insns.push(alu(AluOp::Mov, Reg::R3, Operand::Reg(src)));
            let key = numbers.below(24);
            insns.push(alu(AluOp::Mov, Reg::R1, imm(key)));
            if numbers.below(4) == 0 {
                insns.push(alu(AluOp::Mov, Reg::R2, imm(numbers.below(2))));
            } else {
                // All of them have one hash: whoever looks for one walks over the others.
                insns.push(alu(AluOp::Lsh, Reg::R1, imm(32)));
                insns.push(alu(AluOp::Mov, Reg::R2, imm(key)));
            }
            insns.push(Insn::Call(isa::Call::Helper(numbers.pick(&[1, 2, 2]))));
        }
        _ => {
            insns.push(alu(AluOp::Mov, Reg::R1, Operand::Reg(src)));
            insns.push(Insn::Call(isa::Call::Helper(numbers.pick(&[6, 8, 8]))));
        }
    }
}

/// Whether the tracer surely calls it directly, whatever stands beside it: it is over soon, and takes little of the traced stack.
fn is_called_directly(direct: &Direct) -> bool {
    const MOST: u64 = 256;
    // The return address, rax, all other registers that may have to be kept, and the program's own return address.
    const LEAST: u64 = 8 * (2 + 14 + 1);
    // What a helper or a routine takes, and the lane.
    let called = if direct.needs.contains(Needs::HELPERS) { 80 } else { 48 };
    let helper = if direct.needs.is_empty() { 0 } else { called + 8 };
    let taken = direct.stack + direct.argument.max(1).next_multiple_of(8) + helper;
    direct.cost <= 8_192 && LEAST + taken <= MOST
}

/// A program on both engines.
struct Made {
    probe: Arc<Probe>,
    plain: Interpreter,
    /// What it is said to cost when it is called directly; `None` where it may go the general way.
    cost: Option<u64>,
}

fn make(numbers: &mut Numbers<'_>, world: &'static World, general: &Arc<AtomicU64>) -> Option<Made> {
    let abi = numbers.pick(&[Abi::Uio, Abi::Linux]);
    let insns = program(numbers, abi);
    let program = Program { name: "fuzz".into(), insns, entry: 0, abi, probing: Vec::new() };
    let maps = has_maps(abi).then(|| world.real.maps.clone());
    let infos = maps.as_ref().map_or(Vec::new(), |maps| maps.infos().unwrap());
    let environment = verifier::Environment::new(&world.registry).with_maps(&infos);
    let verified = verifier::verify(program, Policy::Guarded, &environment, &mut Work::default()).ok()?;
    let code = JitProgram::with_maps(verified.clone(), maps, &Near, Options::default(), &mut Work::default());
    let code = code.unwrap_or_else(|(error, _)| panic!("{error}"));
    let direct = code.direct().ok().filter(is_called_directly);
    Some(Made {
        cost: direct.map(|direct| direct.cost),
        plain: Interpreter::plain(verified),
        probe: Arc::new(Probe { code, helpers: OnceLock::new(), world, general: general.clone() }),
    })
}

/// Where trampolines reach: the platform's own memory.
struct Near;

// SAFETY: a block is one mapping of its own, or one part of one, writable until it is sealed and executable afterwards.
unsafe impl ubpf_rs::platform::ExecMemory for Near {
    fn alloc(&self, len: usize) -> Option<ubpf_rs::platform::ExecBlock> {
        exec().alloc(len)
    }
    fn seal(&self, block: ubpf_rs::platform::ExecBlock) -> bool {
        exec().seal(block)
    }
    unsafe fn free(&self, block: ubpf_rs::platform::ExecBlock) {
        // SAFETY: as the caller promises.
        unsafe { exec().free(block) }
    }
    fn enforces_wx(&self) -> bool {
        true
    }
}

fn exec() -> &'static dyn ubpf_rs::platform::ExecMemory {
    static FALLBACK: Pages = Pages;
    thread_local! {
        static EXEC: OnceCell<&'static dyn ubpf_rs::platform::ExecMemory> = const { OnceCell::new() };
    }
    EXEC.with(|exec| *exec.get_or_init(|| platform(".".into()).exec.unwrap_or(&FALLBACK)))
}

/// What a program leaves when the interpreter runs it, and that it was said to cost no less than it executes.
fn expect(made: &Made, world: &World) {
    let mut context = [0; CONTEXT_BYTES];
    context[..8].copy_from_slice(&Subject::key(SiteKind::Patchable).to_ne_bytes());
    let mut stack = vec![0u64; STACK_BYTES / 8];
    // SAFETY: plain memory of that size, borrowed for as long as the bytes are used.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    executed::take();
    let verified = made.plain.verified();
    let mut weight = 0;
    let len = context.len() as u64;
    let memory = with_maps(Memory::new(&mut context, stack), &made.plain, &world.expected);
    let mut run = Run {
        args: [memory.argument().base, len],
        memory,
        budget: TracerConfig::default().budget,
        helpers: &world.registry,
        host: &world.expected,
    };
    // A program that is stopped is stopped in a hook, too.
    let _ = made.plain.run_watched(&mut run, &mut |moment| {
        weight += verified.insn_charge(moment.pc);
    });
    weight += executed::take();
    if let Some(cost) = made.cost {
        assert!(weight <= cost, "{weight} executed, said to cost {cost}");
    }
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let world = WORLD.with(|world| *world.get_or_init(start));
    let mut numbers = Numbers::Bytes(data);
    let general = Arc::new(AtomicU64::new(0));
    let programs: Vec<Made> = (0..1 + numbers.below(3))
        .filter_map(|_| make(&mut numbers, world, &general))
        .collect();
    if programs.is_empty() {
        return;
    }
    let order: Vec<usize> = (0..1 + numbers.below(5))
        .map(|_| numbers.below(programs.len() as u64) as usize)
        .collect();
    let mut subject = Subject::take(SiteKind::Patchable).expect("nobody else has it");
    let mut calls = vec![0; order.len()];
    let mut seed = 1;
    // After each that is attached: the trampoline is made anew, and what was counted is kept.
    for count in 1..=order.len() {
        subject.attach(programs[order[count - 1]].probe.clone()).expect("there is room");
        for _ in 0..1 + numbers.below(2) {
            seed += 1;
            call(seed);
            for (calls, &which) in calls[..count].iter_mut().zip(&order) {
                *calls += 1;
                expect(&programs[which], world);
            }
        }
        let (found, expected) = (world.real.take(), world.expected.take());
        if found != expected {
            for (which, made) in programs.iter().enumerate() {
                let insns = &made.plain.verified().program().insns;
                eprintln!("program {which}:\n{}", insns.iter().map(|insn| format!("  {insn}\n")).collect::<String>());
            }
            eprintln!("attached: {:?}, calls {calls:?}", &order[..count]);
        }
        assert_eq!(found, expected, "what programs left: found, expected");
        let runs: Vec<u64> = subject.reports().iter().map(|report| report.runs).collect();
        assert_eq!(runs, calls[..count], "runs counted");
        let direct = order[..count].iter().all(|&which| programs[which].cost.is_some());
        assert!(!direct || general.load(Relaxed) == 0, "called directly");
    }
});
