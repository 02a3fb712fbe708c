//! Programs that take the place of others while functions are called: each call is seen by one of the two, also at its return, and maps go on.

#[path = "common/objects.rs"]
mod common;

use common::*;
use std::{
    ffi::c_void,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
};
use ubpf_rs::{
    isa::assemble,
    runtime::{AttachLimits, Engine, LoadOptions, Runtime},
};

extern "C" {
    fn gcc_patchable_empty();
    fn gcc_patchable_calls(back: extern "C" fn(*mut c_void) -> i64, with: *mut c_void) -> i64;
}

const EMPTY: &str = "gcc_patchable_empty";

fn empty() {
    // SAFETY: takes nothing.
    unsafe { gcc_patchable_empty() }
}

/// Calls back, and returns then.
fn calls(mut back: impl FnMut()) {
    extern "C" fn run<F: FnMut()>(back: *mut c_void) -> i64 {
        // SAFETY: `calls` hands on what it was given.
        unsafe { (*back.cast::<F>())() };
        1
    }
    fn of<F: FnMut()>(_: &F) -> extern "C" fn(*mut c_void) -> i64 {
        run::<F>
    }
    let run = of(&back);
    // SAFETY: the function gives the closure back to the function made for it.
    assert_eq!(unsafe { gcc_patchable_calls(run, (&raw mut back).cast()) }, 2);
}

/// The versions of one object.
fn versions() -> bool {
    packed_as("replaced", &["-DVERSION=1"], ("first", "replaced"))
        && packed_as("replaced", &["-DVERSION=2"], ("second", "replaced"))
        && packed_as("replaced", &["-DVERSION=2", "-DCALLS=128"], ("smaller", "replaced"))
        && packed_as("replaced", &["-DVERSION=2", "-DMORE"], ("more", "replaced"))
        && packed_as("replaced", &["-DVERSION=2", "-DWITHOUT_SHORT"], ("without", "replaced"))
        && packed_as("replaced", &["-DVERSION=2"], ("renamed", "renamed"))
}

/// Attaches the first version: where its sections say, and what goes the short way.
fn attach(engine: &Runtime, on: Engine) {
    engine.attach_object("first.pkg", &options(on), AttachLimits::default()).unwrap();
    let short = LoadOptions { program: Some("counts"), ..options(on) };
    engine.attach_file(EMPTY, "replaced", &short, AttachLimits::default()).unwrap();
}

fn replace(engine: &Runtime, old: &str, new: &str, on: Engine) -> Result<usize, String> {
    let replaced = engine.replace(old, new, &options(on), &[]);
    replaced.map(|report| report.count).map_err(|error| error.to_string())
}

#[test]
fn each_call_is_seen_by_one_of_two_programs() {
    if !versions() {
        return;
    }
    const EXCHANGES: usize = 24;
    const OF_ONE: u64 = 32_768;
    for on in BOTH {
        let (engine, _turn) = engine();
        attach(engine, on);
        let (over, rounds) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 2]);
        thread::scope(|scope| {
            for (own, thread) in rounds.iter().zip(0..) {
                let over = &over;
                scope.spawn(move || {
                    for number in (0..OF_ONE).take_while(|_| !over.load(SeqCst)) {
                        call(thread * OF_ONE + number, 0);
                        empty();
                        recursion(9);
                        own.fetch_add(1, SeqCst);
                    }
                });
            }
            for number in 0..EXCHANGES {
                let new = ["second.pkg", "first.pkg"][number % 2];
                assert_eq!(replace(engine, "replaced", new, on).unwrap(), 5, "{new}");
                thread::yield_now();
            }
            over.store(true, SeqCst);
        });
        let rounds = rounds.map(AtomicU64::into_inner);
        let all: u64 = rounds.iter().sum();
        let seen = numbers(engine, "replaced.seen");
        for (number, count) in (0..).zip(seen) {
            let (thread, call) = (number / OF_ONE, number % OF_ONE);
            assert_eq!(count, u64::from(call < rounds[thread as usize]), "call {call} of thread {thread}");
        }
        let counted = data(engine, "replaced..bss");
        let by_both = |at: usize| counted[at] + counted[at + 1];
        assert_eq!([by_both(0), by_both(2), by_both(4), counted[6]], [all, 10 * all, all, 0], "{counted:?} {rounds:?}");
        assert!(counted[..6].iter().all(|count| *count > 0), "each of them was there: {counted:?}");
        for function in engine.list(None).unwrap() {
            for probe in function.probes {
                assert_eq!(
                    (probe.misses, probe.failures, probe.outstanding, probe.abandoned),
                    (0, 0, 0, 0),
                    "{probe:?}"
                );
                assert_eq!(probe.hits, probe.runs);
            }
        }
        detach(engine);
    }
}

/// Whoever looks meanwhile sees each program once, with the calls that were made, each of them once.
#[test]
fn who_looks_while_programs_are_replaced_sees_each_of_them_once() {
    if !versions() {
        return;
    }
    const EXCHANGES: usize = 12;
    for on in BOTH {
        let (engine, _turn) = engine();
        attach(engine, on);
        // One that goes the short way.
        let (over, begun, ended) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let ids: Vec<_> = engine.list(Some(EMPTY)).unwrap()[0].probes.iter().map(|probe| probe.id).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    begun.fetch_add(1, SeqCst);
                    empty();
                    ended.fetch_add(1, SeqCst);
                    thread::yield_now();
                }
            });
            let looks = scope.spawn(|| {
                let mut looks = 0;
                while !over.load(SeqCst) {
                    let least = ended.load(SeqCst);
                    let list = engine.list(Some(EMPTY)).unwrap();
                    let most = begun.load(SeqCst);
                    let probes = list.first().map_or(&[][..], |function| &function.probes);
                    let there: Vec<_> = probes.iter().map(|probe| probe.id).collect();
                    assert_eq!(there, ids, "look {looks}");
                    for probe in probes {
                        assert!((least..=most).contains(&probe.hits), "look {looks}: {least} to {most}: {probe:?}");
                    }
                    looks += 1;
                    thread::yield_now();
                }
                looks
            });
            for number in 0..EXCHANGES {
                if looks.is_finished() {
                    break;
                }
                assert_eq!(replace(engine, "replaced", ["second.pkg", "first.pkg"][number % 2], on).unwrap(), 5);
            }
            over.store(true, SeqCst);
            assert!(looks.join().unwrap() > 0);
        });
        detach(engine);
    }
}

/// A call that is entered before and returns after it belongs to the new program, whose it is then alone.
#[test]
fn a_call_that_has_not_returned_belongs_to_the_new_program() {
    if !versions() {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        attach(engine, on);
        let report = || engine.list(Some("gcc_patchable_calls")).unwrap()[0].probes[0].clone();
        let before = report();
        calls(|| {
            calls(|| {
                assert_eq!(replace(engine, "replaced", "second.pkg", on).unwrap(), 5);
                let report = report();
                assert_eq!((report.id, report.hits, report.outstanding), (before.id, 2, 2));
            });
            assert_eq!(replace(engine, "replaced", "first.pkg", on).unwrap(), 5);
        });
        let counted = data(engine, "replaced..bss");
        assert_eq!(counted[2..4], [1, 1], "{counted:?}");
        let report = report();
        assert_eq!((report.hits, report.runs, report.outstanding, report.abandoned), (2, 2, 0, 0));
        detach(engine);
    }
}

#[test]
fn what_cannot_be_replaced_stays_as_it_is() {
    if !versions() {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        attach(engine, on);
        let (list, names) = (engine.list(None).unwrap(), maps(engine));
        std::fs::write(folder().join("flat.bin"), assemble("r0 = 0\nexit").unwrap()).unwrap();
        for (old, new, reason) in [
            ("replaced", "smaller.pkg", "map seen cannot be kept: its entries were 65536 before and 128 now"),
            ("replaced", "more.pkg", "map .bss cannot be kept: its values had (bytes) 56 before and 64 now"),
            ("replaced", "without.pkg", "the new object has no program counts, which is attached"),
            ("replaced", "flat.bin", "flat.bin is no package"),
            ("replaced", "none.pkg", "none.pkg: no such file"),
            ("others", "second.pkg", "there is neither an object others nor an attached program"),
            ("first.pkg:other", "second.pkg", "there is neither an object first.pkg:other nor"),
        ] {
            let refused = replace(engine, old, new, on).unwrap_err();
            assert!(refused.contains(reason), "{old} by {new}: {refused}");
            assert_eq!(engine.list(None).unwrap(), list, "{old} by {new}");
            assert_eq!(maps(engine), names, "{old} by {new}");
        }
        let kept = engine.replace("replaced", "second.pkg", &options(on), &[("counted", "1")]).unwrap_err().to_string();
        assert!(kept.contains("no such variable") || kept.contains("keep their values"), "{kept}");
        call(7, 0);
        assert_eq!(data(engine, "replaced..bss")[..2], [1, 0]);
        // What is constant is set anew.
        engine.replace("replaced", "first.pkg", &options(on), &[("version", "2")]).unwrap();
        call(7, 0);
        assert_eq!(data(engine, "replaced..bss")[..2], [1, 1]);
        assert_eq!(numbers(engine, "replaced.seen")[7], 2);
        detach(engine);
    }
}

/// An object that was loaded to stay stays as another one, with its maps under the other name.
#[test]
fn an_object_goes_on_under_another_name() {
    if !versions() {
        return;
    }
    let (engine, _turn) = engine();
    engine.load_object("first.pkg", &LoadOptions::default(), &[]).unwrap();
    let goes_on = |object: &str| {
        let program = LoadOptions { program: Some("goes_on"), ..LoadOptions::default() };
        engine.exec_file(object, &mut [0; 168], &program).unwrap();
        data(engine, &format!("{object}..bss"))[2..4].to_vec()
    };
    assert_eq!(goes_on("replaced"), [1, 0]);
    assert!(engine.keep_map("replaced.seen", true));
    assert_eq!(replace(engine, "replaced", "renamed.pkg", Engine::Auto).unwrap(), 0);
    // Maps of programs are those of the new one.
    assert_eq!(goes_on("renamed"), [1, 1]);
    let own = [".bss", ".rodata", "entered", "next", "seen"].map(|map| format!("renamed.{map}"));
    assert_eq!(maps(engine), own);
    let refused = replace(engine, "replaced", "first.pkg", Engine::Auto).unwrap_err();
    assert!(refused.contains("there is neither"), "{refused}");
    // Another object has the name.
    engine.load_object("first.pkg", &LoadOptions::default(), &[]).unwrap();
    let refused = replace(engine, "replaced", "renamed.pkg", Engine::Auto).unwrap_err();
    assert!(refused.contains("there is an object renamed already") || refused.contains("there is a map"), "{refused}");
    assert!(engine.unload_object("replaced") && engine.unload_object("renamed"));
    assert_eq!(maps(engine), ["renamed.seen"]);
    assert!(engine.keep_map("renamed.seen", false));
}

#[test]
fn a_flat_program_is_replaced_at_all_of_its_functions() {
    // Adds 1 under a key of its own.
    let program = |key: u64| assemble(&format!("r1 = 0\nr2 = {key}\nr3 = 1\ncall 32\nr0 = 0\nexit")).unwrap();
    let (engine, _turn) = engine();
    for (name, key) in [("one.bin", 1), ("two.bin", 2), ("three.bin", 3)] {
        std::fs::write(folder().join(name), program(key)).unwrap();
    }
    let counts = || [1, 2, 3].map(|key| engine.map_get(0, key).unwrap_or(0));
    for on in BOTH {
        let five = AttachLimits { max_runs: Some(5), ..AttachLimits::default() };
        engine.attach_file(MYFUN, "one.bin", &options(on), five).unwrap();
        engine.attach_file(MYFUN, "three.bin", &options(on), AttachLimits::default()).unwrap();
        engine.attach_file(EMPTY, "one.bin", &options(on), AttachLimits::default()).unwrap();
        (0..3).for_each(|_| call(0, 0));
        empty();
        assert_eq!(counts(), [4, 0, 3], "{on:?}");
        assert_eq!(replace(engine, "one.bin", "two.bin", on).unwrap(), 2);
        let names = |function| -> Vec<_> {
            engine.list(Some(function)).unwrap()[0].probes.iter().map(|probe| probe.program.clone()).collect()
        };
        assert_eq!(names(MYFUN), ["two.bin", "three.bin"]);
        (0..4).for_each(|_| call(0, 0));
        empty();
        // It may run five times in all, three of which were those of the old one.
        assert_eq!(counts(), [4, 3, 7], "{on:?}");
        assert_eq!((names(MYFUN), names(EMPTY)), (vec!["three.bin".into()], vec!["two.bin".into()]));
        let refused = replace(engine, "two.bin", "two.bin", on);
        assert_eq!(refused, Ok(1), "by itself");
        engine.attach_file(MYFUN, "two.bin", &options(on), AttachLimits::default()).unwrap();
        let refused = replace(engine, "three.bin", "two.bin", on).unwrap_err();
        assert!(refused.contains("already attached"), "{refused}");
        assert!(replace(engine, "one.bin", "two.bin", on).unwrap_err().contains("neither an object one.bin"));
        engine.reset().unwrap();
    }
}

/// At one function only, by its name and by what it was attached as; the other one keeps what it has.
#[test]
fn a_program_takes_the_place_of_one_at_one_function() {
    let (engine, _turn) = engine();
    // `bpf_map_add`, under a key of its own.
    let adds = |key: u32| assemble(&format!("r1 = {key}\nr2 = 0\nr3 = 1\ncall 32\nr0 = 0\nexit")).unwrap();
    let files = ["first.bin", "second.bin"];
    for (file, key) in files.iter().zip(1..) {
        std::fs::write(folder().join(file), adds(key)).unwrap();
        let _ = engine.map_del(key.into(), 0);
    }
    let ids = files.map(|file| engine.load_file(file, &LoadOptions::default()).unwrap());
    engine.attach(MYFUN, ids[0], AttachLimits::default()).unwrap();
    let probe = engine.attach(EMPTY, ids[0], AttachLimits::default()).unwrap();
    let (over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    call(0, 0);
                    empty();
                    rounds.fetch_add(1, SeqCst);
                }
            });
        }
        let exchange = |number: usize| {
            let (old, new) = (number % 2, 1 - number % 2);
            thread::yield_now();
            match number % 3 {
                0 => engine.replace_probe(probe, ids[new]).map(|()| 1),
                _ => {
                    engine.replace_at(EMPTY, files[old], files[new], &LoadOptions::default()).map(|report| report.count)
                }
            }
        };
        let exchanged: Vec<_> = (0..24).map(exchange).collect();
        over.store(true, SeqCst);
        assert!(exchanged.iter().all(|count| matches!(count, Ok(1))), "{exchanged:?}");
    });
    let rounds = rounds.into_inner();
    let [first, second] = [1, 2].map(|key| engine.map_get(key, 0).unwrap_or(0));
    assert_eq!(first + second, 2 * rounds, "each call is seen by one of the two");
    assert!(first >= rounds && second > 0, "{first} {second} {rounds}");
    let list = |function| engine.list(Some(function)).unwrap().remove(0).probes.remove(0);
    let (there, elsewhere) = (list(EMPTY), list(MYFUN));
    assert_eq!((there.id, there.runs, there.misses, there.failures), (probe, rounds, 0, 0));
    assert_eq!((elsewhere.program.as_str(), elsewhere.runs), (files[0], rounds));
    let refused = engine.replace_at(EMPTY, "none.bin", files[0], &LoadOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("none.bin"), "{refused}");
    engine.detach(EMPTY, None).unwrap();
    assert!(engine.replace_probe(probe, ids[0]).is_err());
    engine.detach(MYFUN, None).unwrap();
}
