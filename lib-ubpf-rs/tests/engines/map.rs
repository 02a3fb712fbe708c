//! Machine code and others at the same map.

use crate::support::{compile, program, registry, run_on, TestHost};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use ubpf_rs::{
    isa::assemble,
    jit::{JitProgram, Options},
    program::{Abi, Program},
    verifier::{self, Policy},
};

fn code(source: &str) -> JitProgram {
    let bytes = assemble(source).unwrap();
    let insns = Program::from_flat("map", &bytes, Abi::Classic).unwrap().insns;
    let verified = verifier::verify(
        program(insns),
        Policy::Strict,
        &verifier::Environment::new(&registry()),
        &mut verifier::Work::default(),
    )
    .unwrap();
    compile(verified, Options::default())
}

/// Two keys that take turns in a map of two slots: what is found under one never belongs to the other, and what machine code
/// stores under one never ends under the other.
#[test]
fn keys_that_come_and_go_are_not_mixed_up() {
    const MISS: u64 = u64::MAX;
    let host = TestHost::new(1);
    let registry = registry();
    let get = ["r1 = 10\nr2 = 1\ncall 0\nexit", "r1 = 20\nr2 = 1\ncall 0\nexit"].map(code);
    let put = ["r1 = 10\nr2 = 1\nr3 = 1000\ncall 1\nexit", "r1 = 20\nr2 = 1\nr3 = 2000\ncall 1\nexit"].map(code);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..100_000 {
                let (key, value) = if round % 2 == 0 { (10, 1000) } else { (20, 2000) };
                // A full map refuses: the other thread may have put its key back.
                let _ = host.map().put(key, 1, value);
                host.map().del(key, 1);
            }
            done.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for put in &put {
                    assert_eq!(run_on(&host, &registry, put), Ok(0));
                }
            }
        });
        let mut found = [0; 2];
        while !done.load(Ordering::Relaxed) {
            for (index, (get, value)) in get.iter().zip([1000, 2000]).enumerate() {
                let answer = run_on(&host, &registry, get).unwrap();
                assert!(answer == MISS || answer == value, "key {index} gave {answer}");
                found[index] += u64::from(answer == value);
            }
        }
        assert!(found.iter().sum::<u64>() > 0, "nothing was ever found");
    });
}
