//! Objects of clang in the engine: packed, loaded with their maps and data, attached to real functions by the names of their sections.

#[path = "common/objects.rs"]
mod common;

use common::*;
use ubpf_rs::{
    isa::assemble,
    object::{self, ProgramKind, Wish},
    runtime::{AttachLimits, Engine, Error, LoadOptions, Runtime},
    tracer::SiteKind,
    verifier::Policy,
};

/// What `prog run` does, and the C interface: alike on both engines, and as `ubpf run` has it.
#[test]
fn programs_for_packets_run_on_one() {
    if !packed("packets") {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        let run = |program: &'static str, packet: &mut [u8]| {
            let options = LoadOptions { program: Some(program), ..options(on) };
            engine.exec_file("packets.pkg", packet, &options)
        };
        let mut packet = [0; 34];
        (packet[3], packet[12], packet[23]) = (9, 8, 17);
        let report = run("only_udp", &mut packet).unwrap();
        assert_eq!((report.value as u32, report.verdict), (2, Some("XDP_PASS")));
        let report = run("only_udp", &mut packet[..33]).unwrap();
        assert_eq!((report.value as u32, report.verdict), (1, Some("XDP_DROP")));
        let report = run("rewritten", &mut packet).unwrap();
        assert_eq!((report.value as u32, report.verdict, packet[0]), (34 * 256 + 9, None, 9));
        // Too short for what it does: it looks, and says so.
        let report = run("rewritten", &mut [1, 2, 3]).unwrap();
        assert_eq!(report.verdict, Some("TC_ACT_UNSPEC"));
        for (mut packet, reason) in [
            (vec![], "this program is given a packet, and there is none: --data FILE has its bytes"),
            (vec![0; 65_537], "a packet of 65537 bytes is too long: it has at most 65536"),
        ] {
            assert_eq!(run("only_udp", &mut packet).unwrap_err().to_string(), reason);
        }
        assert!(run("only_udp", &mut vec![0; 65_536]).is_ok());
        let error = engine.attach_file(
            MYFUN,
            "packets.pkg",
            &LoadOptions { program: Some("only_udp"), ..options(on) },
            AttachLimits::default(),
        );
        assert!(error.unwrap_err().to_string().contains("nothing hands packets to programs"));
    }
}

#[test]
fn a_program_knows_the_thread_that_it_runs_in() {
    if !packed("threads") {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        engine.attach_object("threads.pkg", &options(on), AttachLimits::default()).unwrap();
        let worker = std::thread::Builder::new().name("a worker of many".into());
        let thread = worker.spawn(|| {
            call(0, 0);
            // SAFETY: takes nothing.
            unsafe { libc::gettid() }
        });
        let thread = thread.unwrap().join().unwrap();
        let caller = bytes(engine, "threads..bss");
        let numbers = u64::from_le_bytes(*caller.first_chunk().unwrap());
        assert_eq!(numbers, u64::from(std::process::id()) << 32 | thread as u64);
        assert_eq!(&caller[8..], b"\0\0\0\0\0\0\0\0a worker of man\0");
        engine.detach(MYFUN, None).unwrap();
    }
}

/// As the program has it.
#[repr(C)]
struct Node {
    number: i32,
    small: i8,
    next: *const Node,
    numbers: [u16; 4],
}

/// Variables of this program, which programs read by their names.
#[export_name = "ubpf_test_number"]
#[used]
static NUMBER: i32 = -7;
#[export_name = "ubpf_test_numbers"]
#[used]
static NUMBERS: [u16; 4] = [1, 2, 3, 0xffff];

#[test]
fn variables_of_the_application_are_read_by_their_names() {
    if !packed("probing") {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        let options = LoadOptions { policy: Some(Policy::Strict), program: Some("globals"), ..options(on) };
        let report = engine.exec_file("probing.pkg", &mut [0; 168], &options).unwrap();
        assert_eq!(report.value as i32, -700 + 0xffff, "{on:?}");
    }
}

/// Loads through the application's pointers give what is there, and nothing where there is nothing; and they are proved to be no more.
#[test]
fn loads_through_pointers_of_the_application() {
    if !packed("probing") {
        return;
    }
    let third = Node { number: -5, small: -128, next: std::ptr::null(), numbers: [0, 0, 0xffff, 0] };
    let second = Node { number: 40, small: -1, next: &third, numbers: [1, 2, 3, 4] };
    let first = Node { number: 2, small: 100, next: &second, numbers: [0, 0, 7, 0] };
    // It is followed to where nothing can be read.
    let lost = Node { number: 1, small: 1, next: 0x10 as *const Node, numbers: [0; 4] };
    for on in BOTH {
        let (engine, _turn) = engine();
        let options = LoadOptions { policy: Some(Policy::Strict), program: Some("walk"), ..options(on) };
        engine.load_object("probing.pkg", &options, &[]).unwrap();
        if on == Engine::Jit {
            engine.attach_file(MYFUN, "probing", &options, AttachLimits::default()).unwrap();
        }
        let walk = |first: u64| match on {
            // A hook that is interpreted may not take so long.
            Engine::Interpreter => {
                let mut context = [0; 168];
                context[..8].copy_from_slice(&first.to_le_bytes());
                engine.exec_file("probing", &mut context, &options).map(drop).unwrap();
            }
            _ => call(first, 0),
        };
        let counted = || {
            let mut words: Vec<i64> = data(engine, "probing..bss").into_iter().map(u64::cast_signed).collect();
            words.sort_unstable();
            words
        };
        walk(&raw const first as u64);
        // Small ones, nodes, numbers, others; in the order of their size.
        assert_eq!(counted(), [-29, 3, 37, 0xffff + 10], "{on:?}");
        walk(&raw const lost as u64);
        // The second of the two gives zeros, and no further one.
        assert_eq!(counted(), [-28, 5, 38, 0xffff + 10], "{on:?}");
        walk(u64::MAX);
        assert_eq!(counted(), [-28, 6, 38, 0xffff + 10], "{on:?}");
    }
}

#[test]
fn programs_are_attached_where_their_sections_say() {
    if !packed("entries") {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        let attached = engine.attach_object("entries.pkg", &options(on), AttachLimits::default()).unwrap();
        let expected = [("registers", MYFUN), ("words", MYFUN)];
        let attached = attached.attached.iter().map(|one| (one.program.as_str(), one.function.as_str()));
        assert_eq!(attached.collect::<Vec<_>>(), expected);
        call(5, 100);
        call(7, 200);
        call(7, 300);
        assert_eq!(numbers(engine, "entries.sums"), [19, 600, 19, 600]);
        assert_eq!(numbers(engine, "entries..bss"), [3]);
        let calls = engine.map("entries.calls").unwrap();
        assert_eq!(number(&calls, &7u64.to_le_bytes()), Some(2));
        drop(calls);
        // The maps go with the last program.
        engine.detach(MYFUN, Some("entries.pkg:registers")).unwrap();
        assert!(engine.map("entries.sums").is_some());
        engine.detach(MYFUN, Some("entries.pkg:words")).unwrap();
        assert_eq!(maps(engine), [""; 0]);
    }
}

#[test]
fn a_loaded_object_stays_and_is_one() {
    if !packed("hooks") {
        return;
    }
    let (engine, _turn) = engine();
    let strict = LoadOptions { policy: Some(Policy::Strict), ..LoadOptions::default() };
    assert_eq!(engine.load_object("hooks.pkg", &strict, &[("factor", "0x10")]).unwrap(), "hooks");
    let program = |name| LoadOptions { program: Some(name), ..LoadOptions::default() };
    // By the object's name, and by its file: the same maps.
    engine.attach_file(MYFUN, "hooks", &program("registers"), AttachLimits::default()).unwrap();
    engine.attach_file(MYFUN, "hooks.pkg", &program("words"), AttachLimits::default()).unwrap();
    call(2, 3);
    assert_eq!(numbers(engine, "hooks.sums"), [32, 3, 2, 3]);
    engine.detach(MYFUN, None).unwrap();
    assert_eq!(maps(engine), ["hooks..bss", "hooks..rodata", "hooks.calls", "hooks.sums"]);
    // Other numbers, or another file of this name: it must go first.
    let error = engine.load_object("hooks.pkg", &strict, &[("factor", "2")]).unwrap_err().to_string();
    assert!(error.contains("there is an object hooks already"), "{error}");
    changed("hooks.pkg", "other.pkg", |object| object.source = [9; 32]);
    let error = engine.load_object("other.pkg", &strict, &[]).unwrap_err().to_string();
    assert!(error.contains("there is an object hooks already"), "{error}");
    assert!(engine.unload_object("hooks") && !engine.unload_object("hooks"));
    assert_eq!(maps(engine), [""; 0]);
    for (value, said) in [
        (("factor", "-1"), "factor=-1: this is no number that the variable can hold"),
        (("factors", "1"), "factors=1: the object has no such variable"),
    ] {
        let error = engine.load_object("hooks.pkg", &strict, &[value]).unwrap_err().to_string();
        assert_eq!(error, said);
    }
    assert_eq!(maps(engine), [""; 0]);
}

/// By the object's name or its file's, without those of its programs: from a function, and from wherever they are.
#[test]
fn programs_of_an_object_are_detached_together() {
    if !packed("hooks") {
        return;
    }
    let (engine, _turn) = engine();
    let attach = |point: &str, file: &str, program: &str| {
        let options = LoadOptions { program: Some(program), ..LoadOptions::default() };
        engine.attach_file(point, file, &options, AttachLimits::default()).unwrap();
    };
    let attach_all = || {
        attach(MYFUN, "hooks.pkg", "registers");
        attach(MYFUN, "hooks.pkg", "words");
    };
    attach_all();
    assert_eq!(engine.detach(MYFUN, Some("hooks.pkg")).unwrap(), 2);
    assert!(engine.detach(MYFUN, Some("hooks.pkg")).is_err());
    attach_all();
    // What only begins alike is another one.
    for other in ["hook", "hooks.p", "hooks.pkg:", "hooks.pkg:word", ""] {
        assert_eq!(engine.detach_object(other).unwrap(), 0, "{other}");
    }
    assert_eq!(engine.detach(MYFUN, Some("hooks.pkg:words")).unwrap(), 1);
    assert_eq!(engine.detach_object("hooks").unwrap(), 1);
    engine.load_object("hooks.pkg", &LoadOptions::default(), &[]).unwrap();
    attach(MYFUN, "hooks", "registers");
    attach_all();
    assert_eq!((engine.detach_object("hooks").unwrap(), engine.status().probes), (3, 0));
    assert!(engine.unload_object("hooks"));
}

#[test]
fn programs_that_cannot_be_attached_say_why() {
    if !packed("hooks") {
        return;
    }
    let (engine, _turn) = engine();
    let attach = |program| {
        let options = LoadOptions { program, ..LoadOptions::default() };
        engine.attach_file(MYFUN, "hooks.pkg", &options, AttachLimits::default()).unwrap_err()
    };
    let check = |program, said: &str| {
        let error = attach(Some(program)).to_string();
        assert!(error.contains(said), "{error}");
    };
    check("unfired", "hooks.pkg:unfired cannot be attached: nothing in a unikernel fires programs of its section");
    check("third", "hooks.pkg has no program third; it has registers, words, at_exit, unfired");
    let error = attach(None);
    assert!(matches!(error, Error::Object { .. }), "{error}");
    assert!(error.to_string().contains("has several programs, -p says which"), "{error}");
    assert_eq!(maps(engine), [""; 0]);
}

/// All programs of an object or none: one that cannot be attached is said, and nothing runs.
#[test]
fn an_object_is_attached_as_a_whole_or_not_at_all() {
    if !packed("hooks") || !packed("behind") || !packed("entries") {
        return;
    }
    let (engine, _turn) = engine();
    let attach = |path| engine.attach_object(path, &LoadOptions::default(), AttachLimits::default());
    let nothing = || engine.list(None).unwrap().is_empty() && maps(engine).is_empty();
    const ENTRIES: &str = ", and programs are attached at entries and returns only";
    let unfired = "hooks.pkg:unfired cannot be attached: nothing in a unikernel fires programs of its section";
    let behind = format!("behind.pkg:behind cannot be attached: it is for a place within a function{ENTRIES}");
    for (path, said) in [("hooks.pkg", unfired), ("behind.pkg", &behind)] {
        assert_eq!(attach(path).unwrap_err().to_string(), said);
        assert!(nothing(), "{path}");
    }
    // One by one those are attached that can be; then the object is there, and is still not attached as a whole.
    let one = LoadOptions { program: Some("words"), ..LoadOptions::default() };
    engine.attach_file(MYFUN, "hooks.pkg", &one, AttachLimits::default()).unwrap();
    assert!(matches!(attach("hooks"), Err(Error::NotAttachable(_))));
    assert_eq!(engine.detach(MYFUN, None).unwrap(), 1);
    assert!(nothing());
    // The second one fails: the first is taken off again.
    let one = LoadOptions { program: Some("words"), ..LoadOptions::default() };
    engine.load_object("entries.pkg", &LoadOptions::default(), &[]).unwrap();
    engine.attach_file(MYFUN, "entries", &one, AttachLimits::default()).unwrap();
    assert!(attach("entries").is_err());
    assert_eq!(engine.detach(MYFUN, None).unwrap(), 1, "only what was there before");
    attach("entries").unwrap();
}

#[test]
fn programs_at_entry_and_return_measure_each_call() {
    if !packed("latency") {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        engine.attach_object("latency.pkg", &options(on), AttachLimits::default()).unwrap();
        recursion(40);
        recursion(0);
        let slots = numbers(engine, "latency.slots");
        assert_eq!(slots.iter().sum::<u64>(), 42, "{slots:?}");
        assert_eq!(data(engine, "latency..bss"), [0], "each found its entry");
        assert_eq!(engine.map("latency.start").unwrap().len(), 0);
        let counts: Vec<_> = engine.list(Some(RECURSION)).unwrap()[0].probes.iter().map(|p| (p.hits, p.runs)).collect();
        assert_eq!(counts, [(42, 42), (42, 42)]);
        assert_eq!(engine.detach(RECURSION, None).unwrap(), 2);
        recursion(10);
    }
}

#[test]
fn a_program_of_fexit_finds_arguments_and_result_where_linux_has_them() {
    if !packed("result_array") || !packed("result_helpers") {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        let refused = engine.attach_object("result_array.pkg", &options(on), AttachLimits::default()).unwrap_err();
        assert!(refused.to_string().contains("say it with --args"), "{refused}");
        assert!(engine.list(None).unwrap().is_empty());
        let limits = AttachLimits { arguments: Some(1), ..AttachLimits::default() };
        engine.attach_object("result_array.pkg", &options(on), limits).unwrap();
        recursion(9);
        let sums: (u64, u64) = ((0..=9).sum(), (0..=9).map(|n| n * (n + 1) / 2).sum());
        let counted = data(engine, "result_array..bss");
        assert!(counted.contains(&sums.0) && counted.contains(&sums.1), "{counted:?} {sums:?}");
        engine.detach(RECURSION, None).unwrap();

        let limits = AttachLimits { cookie: 77_777, arguments: Some(3), ..AttachLimits::default() };
        engine.attach_object("result_helpers.pkg", &options(on), limits).unwrap();
        recursion(9);
        let start = engine.symbol_address(RECURSION).unwrap();
        let mut expected = [sums.0, sums.1, start, -22i64 as u64, 3, 77_777, sums.0, 0];
        let mut counted = data(engine, "result_helpers..bss");
        expected.sort();
        counted.sort();
        assert_eq!(counted, expected);
        engine.detach(RECURSION, None).unwrap();
    }
}

/// Programs of one function are told where it begins, and each the number that it was attached with, also where they run straight from it.
#[test]
fn each_program_is_told_of_its_own_attachment() {
    if !packed("site") {
        return;
    }
    let programs = [("entry_one", 1), ("entry_two", u64::MAX), ("exit_one", 1 << 40), ("exit_two", 0)];
    for on in BOTH {
        let (engine, _turn) = engine();
        engine.load_object("site.pkg", &options(on), &[]).unwrap();
        for (program, cookie) in programs {
            let wish = LoadOptions { program: Some(program), ..options(on) };
            let limits = AttachLimits { cookie, arguments: Some(1), ..AttachLimits::default() };
            engine.attach_file(RECURSION, "site", &wish, limits).unwrap();
        }
        let alone = LoadOptions { program: Some("alone"), ..options(on) };
        engine.attach_file(MYFUN, "site", &alone, AttachLimits { cookie: 7, ..AttachLimits::default() }).unwrap();
        for report in engine.list(None).unwrap() {
            assert_eq!(report.probes.iter().all(|probe| probe.detour.is_none()), on == Engine::Jit, "{report:?}");
        }
        recursion(9);
        (0..3).for_each(|_| call(0, 0));
        let start = engine.symbol_address(RECURSION).unwrap();
        let (told, calls) = (engine.map("site.told").unwrap(), engine.map("site.calls").unwrap());
        let sums: (u64, u64) = ((0..=9).sum(), (0..=9).map(|n| n * (n + 1) / 2).sum());
        for (index, argument) in [sums.0, 2 * sums.0, sums.1, sums.1].into_iter().enumerate() {
            let key = (index as u32).to_le_bytes();
            let mut words = [0; 32];
            told.value(key[..].into()).unwrap().first().copy_to(&mut words);
            let words: Vec<u64> = words.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
            assert_eq!(words, [start, programs[index].1, argument, 10], "{on:?} {:?}", programs[index]);
            assert_eq!(calls.value(key[..].into()).unwrap().iter().map(|slot| slot.word(0)).sum::<u64>(), 10);
        }
        assert_eq!(data(engine, "site..bss"), [21]);
        drop((told, calls));
        engine.detach(RECURSION, None).unwrap();
        engine.detach(MYFUN, None).unwrap();
        assert!(engine.unload_object("site"));
        assert_eq!(maps(engine), [""; 0]);
    }
}

/// A program that says nothing of where it belongs is attached to returns when it is told to; one that says that it is for entries is not.
#[test]
fn flat_programs_at_returns_are_told_result_arguments_and_time() {
    let (engine, _turn) = engine();
    // Adds the result under 1, the first argument under 2, and 1 under 3 if time has gone by.
    let text =
        "r6 = r1\nr1 = 0\nr2 = 1\nr3 = *(u64 *)(r6 + 8)\ncall 32\nr1 = 0\nr2 = 2\nr3 = *(u64 *)(r6 + 16)\ncall 32\n\
                r4 = *(u64 *)(r6 + 64)\nif r4 == 0 goto +4\nr1 = 0\nr2 = 3\nr3 = 1\ncall 32\nr0 = 0\nexit";
    std::fs::write(folder().join("result.bin"), assemble(text).unwrap()).unwrap();
    let limits = AttachLimits { at_return: true, ..AttachLimits::default() };
    for on in BOTH {
        engine.attach_file(RECURSION, "result.bin", &options(on), limits).unwrap();
        engine.attach_file(RECURSION, "result.bin", &options(on), AttachLimits::default()).unwrap();
        recursion(4);
        let value = |key| engine.map_get(0, key);
        assert_eq!((value(1), value(2), value(3)), (Some(20), Some(10), Some(5)));
        let probes = &engine.list(Some(RECURSION)).unwrap()[0].probes;
        let kinds: Vec<_> = probes.iter().map(|probe| (probe.point.is_return(), probe.runs)).collect();
        assert_eq!(kinds, [(true, 5), (false, 5)]);
        engine.reset().unwrap();
    }
    if packed("entries") {
        let one = LoadOptions { program: Some("words"), ..LoadOptions::default() };
        let refused = engine.attach_file(RECURSION, "entries.pkg", &one, limits).unwrap_err().to_string();
        assert!(refused.contains("its section says that it is for the entry of a function"), "{refused}");
    }
}

#[test]
fn a_package_of_another_image_is_refused() {
    if !packed("hooks") {
        return;
    }
    let (engine, _turn) = engine();
    let mut own = [0; 32];
    own[..16].copy_from_slice(&IMAGE);
    for (id, fits) in [(own, true), ([7; 32], false), ([0; 32], true)] {
        changed("hooks.pkg", "image.pkg", |object| object.image = id);
        let loaded = engine.load_object("image.pkg", &LoadOptions::default(), &[]);
        assert_eq!(loaded.is_ok(), fits, "{loaded:?}");
        match loaded {
            Ok(name) => assert!(engine.unload_object(&name)),
            Err(error) => assert!(error.to_string().contains("made for another image"), "{error}"),
        }
        assert_eq!(maps(engine), [""; 0]);
    }
}

/// An author may ask for more than the image does, and never for less.
#[test]
fn the_wish_of_a_package_weakens_no_policy() {
    if !packed("hooks") {
        return;
    }
    let (engine, _turn) = engine();
    let unproved = assemble("r1 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r1 + 0)\nexit").unwrap().leak();
    for (wish, policy, loads) in [
        (Wish::None, None, true),
        (Wish::Strict, None, false),
        (Wish::Strict, Some(Policy::Checked), false),
        (Wish::Guarded, Some(Policy::Checked), true),
        (Wish::Guarded, Some(Policy::Strict), false),
        (Wish::None, Some(Policy::Strict), false),
    ] {
        changed("hooks.pkg", "wish.pkg", |object| {
            object.wish = wish;
            object.programs.truncate(1);
            object.slots.clear();
            object.functions.clear();
            object.programs[0].kind = ProgramKind::Memory;
            object.programs[0].code = unproved;
        });
        let options = LoadOptions { policy, ..LoadOptions::default() };
        let loaded = engine.load_object("wish.pkg", &options, &[]);
        assert_eq!(loaded.is_ok(), loads, "{wish:?} {policy:?}: {loaded:?}");
        loaded.iter().for_each(|name| assert!(engine.unload_object(name)));
    }
}

#[test]
fn what_is_refused_leaves_nothing() {
    if !packed("core") || !packed("held") || !packed("maps") {
        return;
    }
    let (engine, _turn) = engine();
    let refused = |file: &str| {
        let error = engine.load_object(file, &LoadOptions::default(), &[]).unwrap_err().to_string();
        assert_eq!(maps(engine), [""; 0], "{error}");
        error
    };
    let error = refused("core.pkg");
    assert!(error.contains("needs: PC ") && error.contains(" needs "), "{error}");
    // What is held is no map of the definition, or a program where a map is to be.
    changed("held.pkg", "others.pkg", |object| {
        object.maps.iter_mut().filter(|map| map.name == "one").for_each(|map| map.max_entries = 3)
    });
    let error = refused("others.pkg");
    assert!(error.contains("map outer: the map holds maps of one definition"), "{error}");
    changed("held.pkg", "mixed.pkg", |object| object.entries[0].value = object::MapContent::Program(0));
    let error = refused("mixed.pkg");
    assert!(error.contains("map outer: the map holds maps of one definition"), "{error}");
    // Programs of an array are given the same.
    changed("held.pkg", "kinds.pkg", |object| {
        object
            .programs
            .iter_mut()
            .filter(|program| program.name == "tail")
            .for_each(|program| program.kind = ProgramKind::Socket);
    });
    let error = refused("kinds.pkg");
    assert!(error.contains("are given something else"), "{error}");
    std::fs::write(folder().join("flat.bin"), [0x95, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert!(refused("flat.bin").contains("flat.bin is no package"));
    let package = std::fs::read(folder().join("maps.pkg")).unwrap();
    for (at, end) in [(40, package.len()), (package.len() - 9, package.len()), (0, package.len() - 8)] {
        let mut damaged = package[..end].to_vec();
        damaged[at.max(8)] ^= 1;
        std::fs::write(folder().join("damaged.pkg"), damaged).unwrap();
        refused("damaged.pkg");
    }
    // The whole one is loaded after all of that.
    engine.load_object("maps.pkg", &LoadOptions::default(), &[]).unwrap();
    assert_eq!(maps(engine), ["common", "maps.counts", "maps.seen"]);
}

#[test]
fn programs_run_from_the_shell() {
    if !packed("globals") || !packed("calls") {
        return;
    }
    for on in BOTH {
        let (engine, _turn) = engine();
        let run = |file: &str, program| {
            let options = LoadOptions { program, ..options(on) };
            engine.exec_file(file, &mut [], &options).map(|report| report.value & 0xffff_ffff)
        };
        assert_eq!(run("globals.pkg", None).unwrap(), 50);
        // A new one each time, unless it is loaded.
        assert_eq!(run("globals.pkg", None).unwrap(), 50);
        engine.load_object("globals.pkg", &LoadOptions::default(), &[("limit", "1")]).unwrap();
        assert_eq!(run("globals", None).unwrap(), 3 + 41 + 1);
        assert_eq!(run("globals.pkg", None).unwrap(), 6 + 42 + 2);
        assert_eq!(run("calls.pkg", Some("first")).unwrap(), 120);
        assert!(run("calls.pkg", None).is_err());
    }
}

#[test]
fn values_per_cpu_are_counted_and_added_up() {
    if !packed("percpu") {
        return;
    }
    for way in all_ways() {
        let (engine, _turn) = engine();
        engine.load_object("percpu.pkg", &way, &[]).unwrap();
        let program = |name| LoadOptions { program: Some(name), ..way };
        engine.attach_file(MYFUN, "percpu", &program("hit"), AttachLimits::default()).unwrap();
        (0..40).for_each(|_| call(0, 0));
        let total = engine.exec_file("percpu", &mut [0; 168], &program("total")).unwrap();
        assert_eq!(total.value & 0xffff_ffff, 40 * 100 + 10, "{way:?}");
        let lately = engine.map("percpu.lately").unwrap();
        let sum = |number: u64| {
            Some(lately.value(number.to_le_bytes()[..].into())?.iter().map(|slot| slot.word(0)).sum::<u64>())
        };
        assert_eq!(([37, 38, 39, 40].map(sum), lately.len(), sum(1)), ([Some(1); 4], 4, None));
        drop(lately);
        engine.detach(MYFUN, None).unwrap();
        assert!(engine.unload_object("percpu"));
        assert_eq!(maps(engine), [""; 0]);
    }
}

/// The first word of the value of a hash map.
fn hits(engine: &Runtime, name: &str, key: u64) -> Option<u64> {
    number(&engine.map(name).unwrap(), &key.to_le_bytes())
}

#[test]
fn maps_hold_maps_and_programs_find_what_is_put_there() {
    if !packed("maps_of_maps") {
        return;
    }
    for way in all_ways() {
        let (engine, _turn) = engine();
        engine.load_object("maps_of_maps.pkg", &way, &[]).unwrap();
        let all = LoadOptions { program: Some("all"), ..way };
        let shown = engine.exec_file("maps_of_maps", &mut [0; 168], &all).unwrap();
        assert_eq!(shown.value & 0xffff_ffff, 505_910, "{way:?}");

        let hit = LoadOptions { program: Some("hit"), ..way };
        engine.attach_file(MYFUN, "maps_of_maps", &hit, AttachLimits::default()).unwrap();
        (0..4).for_each(|_| call(0, 0));
        assert_eq!(numbers(engine, "maps_of_maps.even"), [6, 0, 5, 0]);
        assert_eq!(numbers(engine, "maps_of_maps.odd"), [0, 6, 0, 5]);
        // Another map takes the place of one, and then nothing.
        let name = |map: &str, key: u32| engine.held_name(&engine.map(map).unwrap(), &key.to_le_bytes());
        let held = |key| name("maps_of_maps.by_parity", key);
        assert_eq!(
            [held(0), held(1), held(2)].map(|name| name.unwrap_or_default()),
            ["maps_of_maps.even", "maps_of_maps.odd", ""]
        );
        engine.hold("maps_of_maps.by_parity", &[0; 4], "maps_of_maps.others").unwrap();
        (0..2).for_each(|_| call(0, 0));
        assert_eq!(numbers(engine, "maps_of_maps.others"), [1, 0, 0, 0]);
        assert_eq!(numbers(engine, "maps_of_maps.even"), [6, 0, 5, 0]);
        let parities = engine.map("maps_of_maps.by_parity").unwrap();
        parities.delete([0; 4][..].into(), &mut 0).unwrap();
        assert_eq!((parities.len(), parities.settle()), (1, true));
        (0..2).for_each(|_| call(0, 0));
        assert_eq!(numbers(engine, "maps_of_maps..bss"), [8]);
        assert_eq!(hits(engine, "maps_of_maps.small", 7), Some(2));

        // What is no such map is refused, and nothing is lost.
        let refused = |map: &str, what: &str| engine.hold(map, &[1, 0, 0, 0], what).unwrap_err().to_string();
        assert!(refused("maps_of_maps.by_parity", "maps_of_maps.small").contains("holds maps of one definition"));
        assert!(refused("maps_of_maps.by_parity", "maps_of_maps.by_parity").contains("holds maps of one definition"));
        assert!(refused("maps_of_maps.even", "maps_of_maps.odd").contains("do not do that"));
        assert!(refused("maps_of_maps.by_parity", "nothing").contains("there is no map `nothing`"));
        assert_eq!(held(1).as_deref(), Some("maps_of_maps.odd"));
        drop(parities);
        engine.detach(MYFUN, None).unwrap();
        assert!(engine.unload_object("maps_of_maps"));
        assert_eq!(maps(engine), [""; 0]);
    }
}

#[test]
fn programs_go_on_in_others_of_an_array() {
    if !packed("tail_calls") {
        return;
    }
    for way in all_ways() {
        let (engine, _turn) = engine();
        engine.load_object("tail_calls.pkg", &way, &[]).unwrap();
        let run = |program| {
            let way = LoadOptions { program: Some(program), ..way };
            engine.exec_file("tail_calls", &mut [0; 168], &way).unwrap().value & 0xffff_ffff
        };
        let path = || numbers(engine, "tail_calls..bss")[0];
        assert_eq!(run("circle"), 34, "{way:?}");
        let first = LoadOptions { program: Some("first"), ..way };
        engine.attach_file(MYFUN, "tail_calls", &first, AttachLimits::default()).unwrap();
        call(0, 0);
        assert_eq!(path(), 123);
        // Others take their places, of this object by their names.
        let held = |key: u32| engine.held_name(&engine.map("tail_calls.calls").unwrap(), &key.to_le_bytes());
        assert_eq!(held(2).as_deref(), Some("tail_calls:third"));
        engine.hold("tail_calls.calls", &[1, 0, 0, 0], "third").unwrap();
        engine.hold("tail_calls.calls", &[7, 0, 0, 0], "tail_calls:second").unwrap();
        // Third, second, third and so on, until 33 tail calls were made: each adds a digit.
        run("first");
        let digits = std::iter::once(1).chain((0..33).map(|at| 3 - at % 2));
        assert_eq!(path(), digits.fold(123u64, |path, digit| path.wrapping_mul(10).wrapping_add(digit)));
        for key in [1u32, 7] {
            engine.map("tail_calls.calls").unwrap().delete(key.to_le_bytes()[..].into(), &mut 0).unwrap();
        }
        let before = path();
        call(0, 0);
        assert_eq!(path(), before.wrapping_mul(100).wrapping_add(19), "it falls through");

        let refused = |what: &str| engine.hold("tail_calls.calls", &[0; 4], what).unwrap_err().to_string();
        assert!(refused("other").contains("are given something else"), "{}", refused("other"));
        assert!(refused("nothing").contains("has no program nothing"), "{}", refused("nothing"));
        assert!(refused("no:thing").contains("there is no program no:thing"), "{}", refused("no:thing"));
        engine.detach(MYFUN, None).unwrap();
        assert!(engine.unload_object("tail_calls"));
        assert_eq!(maps(engine), [""; 0], "programs that call themselves through their own map go with it");
    }
}

/// A program that a tail call led to is named where it is stopped, also by who began it.
#[test]
fn a_stop_behind_a_tail_call_says_in_which_program() {
    if !packed("tail_calls") {
        return;
    }
    let bad = assemble("r1 = 0\nr0 = *(u64 *)(r1 + 0)\nexit").unwrap().leak();
    changed("tail_calls.pkg", "stops.pkg", |object| {
        let third = object.programs.iter().position(|program| program.name == "third").unwrap();
        object.programs[third].code = bad;
        object.slots.retain(|slot| slot.program as usize != third);
        object.functions.retain(|function| function.program as usize != third);
    });
    for on in BOTH {
        let (engine, _turn) = engine();
        let run = |program| {
            let way = LoadOptions { program: Some(program), policy: Some(Policy::Guarded), ..options(on) };
            engine.exec_file("stops.pkg", &mut [0; 168], &way).unwrap_err().to_string()
        };
        let stop = "out of bounds memory load at PC 1, addr 0x0, size 8";
        assert_eq!(run("third"), stop, "{on:?}");
        assert_eq!(run("first"), format!("{stop}\nin program tail_calls:third"), "{on:?}");
    }
}

extern "C" {
    fn gcc_instrument_myfun();
}

#[test]
fn where_registers_are_gone_none_looks_at_them_not_even_by_a_tail_call() {
    if !packed("tail_calls") {
        return;
    }
    const INSTRUMENTED: &str = "gcc_instrument_myfun";
    let (engine, _turn) = engine();
    engine.add_sites(&[gcc_instrument_myfun as *const () as u64], SiteKind::Instrumented);
    engine.load_object("tail_calls.pkg", &LoadOptions::default(), &[]).unwrap();
    let attach = |program| {
        let way = LoadOptions { program: Some(program), ..LoadOptions::default() };
        engine.attach_file(INSTRUMENTED, "tail_calls", &way, AttachLimits::default())
    };
    let error = attach("first").unwrap_err().to_string();
    assert!(error.contains("it looks at registers, which are gone"), "{error}");
    attach("other").unwrap();
    engine.detach(INSTRUMENTED, None).unwrap();
    assert!(engine.unload_object("tail_calls"));
}

#[test]
fn maps_without_keys_are_filled_and_drained() {
    if !packed("queues") {
        return;
    }
    for way in all_ways() {
        let (engine, _turn) = engine();
        engine.load_object("queues.pkg", &way, &[]).unwrap();
        let program = |name| LoadOptions { program: Some(name), ..way };
        engine.attach_file(MYFUN, "queues", &program("hit"), AttachLimits::default()).unwrap();
        (0..30).for_each(|_| call(0, 0));
        let [oldest, newest] = ["queues.oldest", "queues.newest"].map(|name| engine.map(name).unwrap());
        assert_eq!((oldest.len(), newest.len(), oldest.lost_full()), (4, 4, 26));
        let words = data(engine, "queues..bss");
        assert_eq!(words.iter().sum::<u64>(), 30 + 26 + 10, "{words:?}");
        let drain = engine.exec_file("queues", &mut [0; 168], &program("drain")).unwrap();
        assert_eq!(drain.value & 0xffff_ffff, 12_340 * 100 + 30, "{way:?}");
        assert_eq!((oldest.len(), newest.len()), (0, 3));
        drop((oldest, newest));
        engine.detach(MYFUN, None).unwrap();
        assert!(engine.unload_object("queues"));
    }
}

#[test]
fn the_longest_prefix_is_found() {
    if !packed("prefixes") {
        return;
    }
    for way in all_ways() {
        let (engine, _turn) = engine();
        let routed = engine.exec_file("prefixes.pkg", &mut [0; 168], &way).unwrap();
        // 10.1, 10.7, 10.6, the first 15 and 9 bits of 10.7, 11.7; 10.1 when the shortest has gone.
        assert_eq!(routed.value & 0xffff_ffff, 1_233_199, "{way:?}");
    }
}
