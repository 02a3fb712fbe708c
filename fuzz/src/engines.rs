//! Every engine on the same program: the interpreter, machine code that relies on the proofs, machine code that checks every
//! access, machine code for any x86-64. Fails when result, memory, output, budget left, or reason or place of a stop differ, or when
//! what was executed, helpers included, weighs more than what was charged.
#![no_main]

mod input;
#[path = "../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;
#[allow(dead_code, reason = "parts are for other tests")]
#[path = "../../lib-ubpf-rs/tests/engines/support.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use std::{
    cell::RefCell,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
};
use support::{listing, program_that_probes, Engines, TestHost, World};
use ubpf_rs::{
    helpers::Registry,
    isa::assemble,
    jit::{JitProgram, Options},
    maps::{Held, InUse, Map, Maps},
    program::{Abi, MapDef, MapFlags, MapKind, MapName, Program},
    verifier::{self, Environment, Policy, VerifiedProgram},
    vm::{executed, soundness::Numbers, Callee, Executable, Interpreter, Memory, Run, Slices, Stop, STACK_BYTES},
};

/// The reference, which sums up what it executes.
struct Weighed<'e> {
    interpreter: &'e Interpreter,
    executed: AtomicU64,
}

impl Executable for Weighed<'_> {
    fn run(&self, run: &mut Run<'_>) -> Result<u64, Stop> {
        executed::take();
        let mut weight = 0;
        let result = self.interpreter.run_watched(run, &mut |moment| {
            weight += self.verified().insn_charge(moment.pc);
        });
        self.executed.store(weight + executed::take(), Relaxed);
        result
    }
    fn run_in_slices(&self, run: &mut Run<'_>, _: Slices<'_>) -> Result<u64, Stop> {
        self.run(run)
    }
    fn verified(&self) -> &VerifiedProgram {
        self.interpreter.verified()
    }
    fn engine(&self) -> &'static str {
        self.interpreter.engine()
    }
    fn interprets(&self, run: &Run<'_>, in_slices: bool) -> bool {
        self.interpreter.interprets(run, in_slices)
    }
}

/// What was charged pays for what was executed.
fn weigh(engines: &Engines, world: &mut World, budget: u64) {
    let weighed = Weighed { interpreter: &engines.interpreter, executed: AtomicU64::new(0) };
    let charged = budget - world.run(&weighed, budget).budget_left;
    let executed = weighed.executed.load(Relaxed);
    assert!(executed <= charged, "{executed} executed, {charged} charged\n{}", listing(weighed.verified()));
}

/// Programs of a chain: how often each goes round, where it goes on, and what it gives where that is nowhere.
struct Link {
    rounds: u64,
    next: u64,
    gives: u64,
}

/// How a program of a chain is made ready.
#[derive(Clone, Copy, Debug)]
enum Way {
    Plain,
    Quick,
    Code(Options),
}

const WAYS: [Way; 5] = [
    Way::Plain,
    Way::Quick,
    Way::Code(Options { guard_all: false, baseline: false, metered: false }),
    Way::Code(Options { guard_all: true, baseline: true, metered: false }),
    Way::Code(Options { guard_all: false, baseline: false, metered: true }),
];

const PLACES: u64 = 4;

fn ready(link: &Link, maps: &Arc<Maps>, way: Way, helpers: &Registry) -> Arc<dyn Executable> {
    let Link { rounds, next, gives } = link;
    let text = format!(
        "r0 = 0\nagain:\nr0 += 1\nif r0 < {rounds} goto again\nr2 = map_index(0) ll\nr3 = {next}\ncall 12\nr0 = {gives}\nexit"
    );
    let program = Program::from_flat("link", &assemble(&text).expect("a text"), Abi::Linux).expect("a program");
    let infos = maps.infos().expect("memory");
    let env = Environment::new(helpers).with_maps(&infos);
    let verified = verifier::verify(program, Policy::Strict, &env, &mut verifier::Work::default());
    let verified = verified.expect("it is bounded");
    match way {
        Way::Plain => Arc::new(Interpreter::plain(verified)),
        Way::Quick => Arc::new(Interpreter::new(verified)),
        Way::Code(options) => {
            let code =
                JitProgram::with_maps(verified, Some(maps.clone()), &pages::Pages, options, &mut Default::default());
            Arc::new(code.unwrap_or_else(|(error, _)| panic!("{error}")))
        }
    }
}

fn run_chain(code: &dyn Executable, maps: &Maps, budget: u64, helpers: &Registry) -> (Result<u64, Stop>, u64) {
    let (mut argument, mut stack) = ([0; 64], vec![0u64; STACK_BYTES / 8]);
    // SAFETY: plain memory of that length, borrowed exclusively.
    let stack = unsafe { std::slice::from_raw_parts_mut(stack.as_mut_ptr().cast(), STACK_BYTES) };
    let memory = Memory::new(&mut argument, stack).with_maps(maps);
    let host = TestHost::new(1);
    let mut run = Run { args: [memory.argument().base, 64], memory, budget, helpers, host: &host };
    let result = code.run(&mut run);
    (result, run.budget)
}

/// Programs that go on in each other, each on an engine of its own: where they end, and that all of them are paid of one budget.
fn chain(numbers: &mut Numbers<'_>, helpers: &Registry) {
    const BUDGET: u64 = 1_000_000;
    let count = 1 + numbers.below(PLACES);
    let links: Vec<Link> = (0..count)
        .map(|gives| Link { rounds: 1 + numbers.below(30), next: numbers.below(PLACES + 1), gives })
        .collect();
    let name = MapName::new("calls").expect("a name");
    let (kind, flags) = (MapKind::ProgArray, MapFlags::empty());
    let def = MapDef { kind, key_size: 4, value_size: 4, max_entries: PLACES as u32, flags, inner: None, name };
    let array = || {
        let map = Arc::new(Map::new(def).expect("a map"));
        (map.clone(), Arc::new(Maps::new(vec![map]).expect("a list")))
    };
    let (_, empty) = array();
    let alone = |link| {
        let (result, left) = run_chain(&*ready(link, &empty, Way::Plain, helpers), &empty, BUDGET, helpers);
        (result, BUDGET - left)
    };
    let costs: Vec<u64> = links.iter().map(|link| alone(link).1).collect();
    // What is to come of it.
    let (mut at, mut calls, mut cost) = (0, 0, costs[0]);
    while let Some(next) = costs.get(links[at].next as usize).filter(|_| calls < 33) {
        (at, calls, cost) = (links[at].next as usize, calls + 1, cost + next);
    }
    let less = numbers.below(cost + 1);
    let mut stopped = None;
    let one = WAYS[numbers.below(WAYS.len() as u64) as usize];
    for way in [Some(Way::Plain), Some(one), None] {
        let (map, maps) = array();
        let in_use = InUse::new(maps.clone());
        let mut first = None;
        for (key, link) in (0u32..).zip(&links) {
            // Or each in another one.
            let way = way.unwrap_or_else(|| WAYS[numbers.below(WAYS.len() as u64) as usize]);
            let code = ready(link, &maps, way, helpers);
            first.get_or_insert(code.clone());
            let callee = Callee { name: "link".into(), code, maps: Some(maps.clone()), helpers: None };
            map.hold(key.to_le_bytes()[..].into(), Held::Program(Arc::new(callee)), 0).expect("room");
        }
        let code = first.expect("a program");
        assert_eq!(run_chain(&*code, &maps, BUDGET, helpers), (Ok(links[at].gives), BUDGET - cost), "{way:?}");
        let found = run_chain(&*code, &maps, less, helpers);
        assert!(found.1 <= less);
        assert_eq!(found, *stopped.get_or_insert(found), "{way:?} with {less} of {cost}");
        drop(in_use);
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(init: input::plant(), |data: &[u8]| {
    let mut numbers = Numbers::Bytes(data);
    if numbers.below(32) == 31 {
        return WORLD.with_borrow(|world| chain(&mut numbers, &world.registry));
    }
    let budget = numbers.pick(&[2000, 300, 40, 20_000]);
    let length = numbers.pick(&[61, 64, 16, 0]);
    let Some(insns) = input::instructions(&mut numbers) else {
        return;
    };
    WORLD.with_borrow_mut(|world| {
        world.argument_len = length;
        let Ok(engines) = Engines::new(program_that_probes(insns), &world.registry) else {
            return;
        };
        let full = engines.agree(world, budget);
        weigh(&engines, world, budget);
        // A stop somewhere on the way too.
        let used = budget - full.budget_left;
        let less = numbers.below(used + 1);
        engines.agree(world, less);
        weigh(&engines, world, less);
    });
});
