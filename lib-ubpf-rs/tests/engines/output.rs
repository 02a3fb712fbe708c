//! Machine code and others at the same output ring, and machine code that reads the time.

use crate::support::{compile, registry, run_on, TestHost};
use std::{
    arch::x86_64::_rdtsc,
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};
use ubpf_rs::{
    isa::assemble,
    jit::{JitProgram, Options},
    platform::Ticks,
    program::{Abi, Program},
    tracer::{RecordKind, Ring},
    verifier::{self, Policy},
};

fn code(source: &str, abi: Abi) -> JitProgram {
    let bytes = assemble(source).unwrap();
    let program = Program::from_flat("output", &bytes, abi).unwrap();
    let verified = verifier::verify(
        program,
        Policy::Guarded,
        &verifier::Environment::new(&registry()),
        &mut verifier::Work::default(),
    )
    .unwrap();
    compile(verified, Options::default())
}

fn counter() -> u64 {
    // SAFETY: every 64-bit CPU has a TSC.
    unsafe { _rdtsc() }
}

/// 2.5 ns per count.
const TICKS: Ticks = Ticks { start: 12_345, scale: 5 << 31 };

/// Programs and Rust fill a small ring that somebody empties meanwhile: each record comes out whole and once, those of one producer
/// in their order, and what did not fit is counted.
#[test]
fn producers_of_both_kinds_lose_nothing_that_is_not_counted() {
    const EACH: u64 = 2_000;
    let host = TestHost::with_output(Ring::new(64 * 256).unwrap(), TICKS);
    let registry = registry();
    let notify = [1, 2].map(|key| code(&format!("r1 = {key}\ncall 3\nexit"), Abi::Classic));
    let text = || {
        let _ = host.ring().push_text(TICKS.ns(counter()), &[b'x'; 100]);
    };
    let start = TICKS.ns(counter());
    let (done, tries) = (AtomicBool::new(false), AtomicU64::new(0));
    let produce = |one: &dyn Fn()| {
        while !done.load(Ordering::Relaxed) {
            (0..10).for_each(|_| one());
            tries.fetch_add(10, Ordering::Relaxed);
            thread::yield_now();
        }
    };
    let mut seen = BTreeMap::<u64, u64>::new();
    let mut last = BTreeMap::<u64, u64>::new();
    let mut next = 0;
    let mut empty = |seen: &mut BTreeMap<u64, u64>| {
        host.ring().drain(&mut |record| {
            assert_eq!(record.sequence, next);
            next += 1;
            let key = match record.kind {
                RecordKind::Notify { key } => key,
                RecordKind::Text => {
                    assert_eq!(record.text(), [b'x'; 100]);
                    3
                }
                RecordKind::Error(_) => panic!("{record:?}"),
            };
            let end = TICKS.ns(counter());
            let since = last.insert(key, record.time_ns).unwrap_or(start);
            // One counter of a core may be behind another's a little.
            assert!(since <= record.time_ns + 1_000 && record.time_ns <= end + 1_000);
            *seen.entry(key).or_default() += 1;
        });
    };
    thread::scope(|scope| {
        for notify in &notify {
            let once = || assert_eq!(run_on(&host, &registry, notify), Ok(0));
            scope.spawn(move || produce(&once));
        }
        scope.spawn(|| produce(&text));
        while seen.len() < 3 || seen.values().any(|&count| count < EACH) {
            empty(&mut seen);
            thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    empty(&mut seen);
    let total: u64 = seen.values().sum();
    assert_eq!(total + host.ring().lost(), tries.into_inner());
}

#[test]
fn a_full_ring_counts_what_programs_lose() {
    let host = TestHost::with_output(Ring::new(0).unwrap(), TICKS);
    let (registry, notify) = (registry(), code("r1 = 7\ncall 3\nexit", Abi::Classic));
    for _ in 0..10 {
        assert_eq!(run_on(&host, &registry, &notify), Ok(0));
    }
    let capacity = host.ring().capacity();
    assert_eq!(host.ring().lost(), 10 - capacity as u64);
    let mut kinds = Vec::new();
    host.ring().drain(&mut |r| kinds.push((r.kind, r.text().len())));
    assert_eq!(kinds, vec![(RecordKind::Notify { key: 7 }, 0); capacity]);
}

#[test]
fn programs_read_the_time_of_the_platform() {
    let host = TestHost::with_output(Ring::new(0).unwrap(), TICKS);
    let registry = registry();
    // Twice, and the difference: the arguments of the call stay.
    let twice = code(
        "r1 = 5\nr3 = 6\ncall 6\nr6 = r0\ncall 6\nr0 -= r6\nif r1 != 5 goto +1\nif r3 == 6 goto +1\nr0 = -1\nexit",
        Abi::Uio,
    );
    let once = code("call 6\nexit", Abi::Uio);
    for _ in 0..1000 {
        let before = TICKS.ns(counter());
        let now = run_on(&host, &registry, &once).unwrap();
        let after = TICKS.ns(counter());
        assert!(before <= now + 1_000 && now <= after + 1_000);
        let took = run_on(&host, &registry, &twice).unwrap();
        assert!(took < 1 << 40, "{took:#x}");
    }
}
