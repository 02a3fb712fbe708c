//! Objects of clang and gcc, run by `ubpf`: with their data, their maps and the functions they call, on both engines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use ubpf_rs::{
    object::{Object, Wish},
    program::Abi,
};

fn ubpf(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ubpf")).args(args).output().expect("ubpf runs")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

const CLANG: &[&[&str]] = &[
    &["clang", "-target", "bpf", "-g", "-O2", "-mcpu=v1"],
    &["clang", "-target", "bpf", "-g", "-O1", "-mcpu=v3"],
    &["clang", "-target", "bpf", "-g", "-O2", "-mcpu=v3"],
    &["clang", "-target", "bpf", "-g", "-Os", "-mcpu=v2"],
];
const GCC: &[&str] = &["bpf-gcc", "-gbtf", "-O2"];

/// Compiles a file, or gives `None` where this compiler is not there.
fn compile(compiler: &[&str], input: &Path) -> Option<String> {
    let stem = input.file_stem()?.to_string_lossy();
    let flags = compiler[1..].concat().replace(['/', '='], "");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let output = folder.join(format!("objects-{}{flags}-{stem}.o", compiler[0]));
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).arg("-I").arg(root().join("include")).arg("-c").arg(input).arg("-o").arg(&output);
    match command.status() {
        Ok(status) => assert!(status.success(), "{}: {compiler:?}", input.display()),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            return None;
        }
    }
    Some(output.to_string_lossy().into())
}

fn source(name: &str) -> PathBuf {
    root().join(format!("tests/objects/{name}.c"))
}

/// What a program gives on each engine.
fn gives(object: &str, args: &[&str], expected: u64) {
    for engine in ["interp", "jit"] {
        let output = ubpf(&[&["run", object, "--engine", engine], args].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let number = text
            .split_whitespace()
            .next()
            .and_then(|word| word.strip_prefix("0x"))
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        // Results are ints, whose upper half compilers leave as it comes.
        let number = number.map(|number| number & 0xffff_ffff);
        assert_eq!(number, Some(expected), "{object} {engine}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn refusal(object: &str, args: &[&str]) -> String {
    let output = ubpf(&[&["run", object], args].concat());
    assert_eq!(output.status.code(), Some(2), "{object}");
    String::from_utf8_lossy(&output.stderr).into()
}

/// Runs a source's program as each compiler makes it.
fn each(compilers: &[&[&str]], name: &str, args: &[&str], expected: u64) {
    for compiler in compilers {
        if let Some(object) = compile(compiler, &source(name)) {
            gives(&object, args, expected);
        }
    }
}

/// Memory of 256 bytes, zeros but for some.
fn memory(places: &[(usize, u8)]) -> String {
    let mut bytes = [0; 256];
    places.iter().for_each(|&(at, byte)| bytes[at] = byte);
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn programs_with_data_maps_and_functions() {
    let all = [CLANG, &[GCC]].concat();
    // 3 + 1 + 4 of the table, 41, 1.
    each(&all, "globals", &[], 50);
    each(&all, "maps", &["-p", "first"], 10);
    each(&all, "maps", &["-p", "second"], 0xffff_ffff);
    each(&all, "legacy_maps", &[], 2);
    each(&all, "calls", &["-p", "first"], 120);
    each(&all, "calls", &["-p", "second"], 7);
    each(&all, "externs", &[], 1);
}

#[test]
fn calls_through_pointers() {
    each(CLANG, "pointers", &["-p", "by_table", "--mem-hex", "05"], 0x50);
    each(CLANG, "pointers", &["-p", "by_table", "--mem-hex", "0506"], 16);
    each(CLANG, "pointers", &["-p", "by_value", "--mem-hex", "05"], 16);
    each(CLANG, "pointers", &["-p", "by_value", "--mem-hex", "0506"], 0x50);
}

#[test]
fn maps_that_hold_maps() {
    let all = [CLANG, &[GCC]].concat();
    // 5 in one map and in another, no map, one of the large ones, none.
    each(&all, "maps_of_maps", &["-p", "all"], 505_910);
    each(CLANG, "maps_of_maps", &["-p", "all", "--policy", "strict"], 505_910);
}

#[test]
fn records_of_rings() {
    each(CLANG, "rings", &["-p", "odd_ones", "--policy", "strict"], 5_400);
    let Some(object) = compile(CLANG[0], &source("rings")) else { return };
    for (name, reason) in [
        ("forgotten", "may still be held where the program ends"),
        ("submitted_twice", "record argument at PC"),
        ("written_late", "memory access at PC"),
    ] {
        let refused = refusal(&object, &["-p", name, "--policy", "strict"]);
        assert!(refused.contains(reason), "{name}: {refused}");
    }
    gives(&object, &["-p", "forgotten"], 1);
}

#[test]
fn programs_that_are_given_packets() {
    let packet = |protocol: u8| {
        let mut bytes = [0; 34];
        bytes[12] = 8;
        bytes[14] = 0x45;
        bytes[3] = 9;
        bytes[23] = protocol;
        bytes
    };
    let gives = |name: &str, bytes: &[u8], expected| {
        each(CLANG, "packets", &["-p", name, "--policy", "strict", "--mem-hex", &hex(bytes)], expected);
    };
    gives("only_udp", &packet(17), 2);
    gives("only_udp", &packet(6), 1);
    gives("only_udp", &packet(17)[..33], 1);
    gives("bytes_of_type", &[1, 2, 3], 6);
    gives("bytes_of_type", &[1; 20], 14);
    gives("only_udp", &[0], 1);
    gives("rewritten", &[1, 2, 3, 4, 5], 5 * 256 + 4);
    gives("rewritten", &[1, 2, 3], 0xffff_ffff);
    let Some(object) = compile(CLANG[0], &source("packets")) else { return };
    for name in ["unchecked", "beyond"] {
        let refused = refusal(&object, &["-p", name, "--policy", "strict", "--mem-hex", &hex(&[0; 64])]);
        assert!(refused.contains("is not proved to be in bounds"), "{name}: {refused}");
    }
    let short = ubpf(&["run", &object, "-p", "unchecked", "--mem-hex", "0102"]);
    assert_eq!(short.status.code(), Some(3), "{short:?}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packet");
    fs::write(&file, packet(17)).unwrap();
    let (file, after) = (file.to_string_lossy(), format!("{}-after", file.display()));
    let run = ubpf(&["run", &object, "-p", "only_udp", "--data", &file]);
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "0x2 XDP_PASS");
    // What the program has changed is in the packet afterwards.
    let run = ubpf(&["run", &object, "-p", "rewritten", "--data", &file, "--data-out", &after]);
    assert!(run.status.success(), "{run:?}");
    let mut expected = packet(17);
    expected[0] = expected[3];
    assert_eq!(fs::read(&after).unwrap(), expected);
    fs::write(&*file, vec![0; 65_537]).unwrap();
    for (args, reason) in [
        (vec!["-p", "only_udp"], "there is none: --data FILE"),
        (vec!["-p", "only_udp", "--mem-hex", ""], "there is none: --data FILE"),
        (vec!["-p", "only_udp", "--data", &*file], "a packet of 65537 bytes is too long: it has at most 65536"),
    ] {
        let run = ubpf(&[&["run", &object], &args[..]].concat());
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(64) && said.contains(reason), "{args:?}: {said}");
    }
}

/// What a global function is given is claimed by nobody: each call is verified with what it gives.
#[test]
fn global_functions_are_verified_with_what_each_call_gives() {
    let registers = memory(&[(112, 41)]);
    let strict = |name, expected| {
        each(CLANG, "global_functions", &["-p", name, "--policy", "strict", "--mem-hex", &registers], expected);
    };
    strict("right", 7 + 100 + 41 + 3 + 1000);
    strict("never_null", 3);
    for compiler in CLANG {
        let Some(object) = compile(compiler, &source("global_functions")) else { return };
        for name in ["perhaps_null", "number", "too_short", "no_context"] {
            let refused = refusal(&object, &["-p", name, "--policy", "strict", "--mem-hex", &registers]);
            assert!(refused.contains("is not proved to be in bounds"), "{name}: {refused}");
        }
    }
}

/// Nothing here fires these programs; they are verified with what Linux would give them, and run on what is given.
#[test]
fn contexts_of_sections_that_nothing_fires() {
    let words = |count: usize| hex(&[&[3u8][..], &vec![0; 8 * count - 9], &[4, 0, 0, 0, 0, 0, 0, 0]].concat());
    let record = [&[0u8; 8][..], &[3], &[0; 8182], &[4]].concat();
    let strict =
        |name, given: &str| each(CLANG, "contexts", &["-p", name, "--policy", "strict", "--mem-hex", given], 7);
    strict("tracepoint", &hex(&record));
    for name in ["raw", "lsm", "iter", "typed"] {
        strict(name, &words(12));
    }
    strict("sample", &words(23));
    let Some(object) = compile(CLANG[0], &source("contexts")) else { return };
    for name in ["beyond_tracepoint", "beyond_raw", "beyond_sample"] {
        let refused = refusal(&object, &["-p", name, "--policy", "strict", "--mem-hex", &hex(&[0; 9000])]);
        assert!(refused.contains("is not proved to be in bounds"), "{name}: {refused}");
    }
    // With less than Linux gives, what is there is checked.
    let short = ubpf(&["run", &object, "-p", "raw", "--mem-hex", &words(11)]);
    assert_eq!(short.status.code(), Some(3), "{short:?}");
}

#[test]
fn helpers_that_call_functions() {
    let strict = |name: &str, expected| each(CLANG, "callbacks", &["-p", name, "--policy", "strict"], expected);
    strict("rounds", 10_045);
    strict("ended", 4_006);
    strict("nested", 10);
    strict("wrong", 2_900);
    strict("elements", 7_091);
    strict("deleted", 404_176);
    let object = compile(CLANG[0], &source("callbacks"));
    for (name, reason, stop) in
        [("recursive", "ninth stack frame", "needs more than 8 stack frames"), ("endless", "", "budget exhausted")]
    {
        let Some(object) = &object else { return };
        let run = |policy: &str, engine: &str| {
            let output = ubpf(&["run", object, "-p", name, "--policy", policy, "--engine", engine]);
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        if !reason.is_empty() {
            let (code, text) = run("strict", "jit");
            assert!(code == Some(2) && text.contains(reason), "{name}: {text}");
        }
        for engine in ["interp", "jit"] {
            let (code, text) = run("guarded", engine);
            assert!(code == Some(3) && text.contains(stop), "{name} {engine}: {text}");
        }
    }
}

#[test]
fn fields_that_an_image_does_not_have() {
    let registers = memory(&[(104, 7), (105, 1)]);
    let memory = memory(&[]);
    each(CLANG, "core", &["-p", "registers", "--mem-hex", &registers], 0x107);
    // It asks first, and takes the other way.
    each(CLANG, "core", &["-p", "asks", "--mem-hex", &memory], 3);
    for compiler in CLANG {
        let Some(object) = compile(compiler, &source("core")) else { continue };
        let said = refusal(&object, &["-p", "needs", "--mem-hex", &memory]);
        assert!(said.contains(" needs real_parent of struct task_struct, which this image does not have"), "{said}");
    }
}

#[test]
fn a_constant_decides_a_branch() {
    let Some(object) = compile(CLANG[2], &source("globals")) else { return };
    let package = format!("{object}.pkg");
    for (setting, expected) in [("limit=2", 4 + 41 + 1), ("verbose=1", 0xffff_ffff), ("started=0", 8 + 1 + 1)] {
        let packed = ubpf(&["pack", &object, "-o", &package, setting]);
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        gives(&package, &[], expected);
    }
    let packed = ubpf(&["pack", &object, "-o", &package, "limits=2"]);
    assert_eq!(packed.status.code(), Some(2));
}

#[test]
fn a_package_is_as_the_command_line_has_it() {
    let Some(object) = compile(CLANG[2], &source("maps")) else { return };
    let package = format!("{object}.as.pkg");
    let stem = Path::new(&object).file_stem().unwrap().to_str().unwrap();
    let packed = |input: &str, options: &[&str], name: &str, abi: Abi, wish: Wish| {
        let _ = fs::remove_file(&package);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ubpf"));
        command.args(["pack", input, "-o", &package]).args(options).stdin(fs::File::open(&object).unwrap());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        let bytes = fs::read(&package).unwrap();
        let found = Object::parse(&bytes).unwrap();
        assert_eq!((found.name, found.abi, found.wish), (name, abi, wish));
        let programs: Vec<&str> = found.programs.iter().map(|program| program.name).collect();
        assert_eq!(programs, ["first", "second"]);
        assert_eq!(found.maps.len(), 3);
        bytes
    };
    let one = packed(&object, &[], stem, Abi::Linux, Wish::None);
    assert!(one == packed(&object, &[], stem, Abi::Linux, Wish::None), "the same bytes each time");
    packed(&object, &["--policy", "guarded"], stem, Abi::Linux, Wish::Guarded);
    packed(&object, &["--name", "other", "--abi", "uio", "--policy", "strict"], "other", Abi::Uio, Wish::Strict);
    // What comes from standard input has no file's name.
    packed("-", &[], "object", Abi::Linux, Wish::None);
    // What cannot be packed leaves what is there.
    let before = packed(&object, &[], stem, Abi::Linux, Wish::None);
    for options in [&["--name", "a b"][..], &["nothing=1"], &["--abi", "none"]] {
        let output = ubpf(&[&["pack", &object, "-o", &package], options].concat());
        assert!(!output.status.success() && !output.stderr.is_empty(), "{options:?}");
        assert!(fs::read(&package).unwrap() == before, "{options:?}");
    }
}

#[test]
fn the_program_of_several() {
    let Some(object) = compile(CLANG[2], &source("calls")) else { return };
    let said = refusal(&object, &[]);
    assert!(said.contains("which program? -p NAME says it; there are first, second"), "{said}");
    let said = refusal(&object, &["-p", "third"]);
    assert!(said.contains("there is no program third; there are first, second"), "{said}");
}

#[test]
fn programs_go_on_in_others() {
    let all = [CLANG, &[GCC]].concat();
    each(&all, "tail_calls", &["-p", "first"], 123);
    each(&all, "tail_calls", &["-p", "third"], 3);
    // Once, and 33 times more.
    each(&all, "tail_calls", &["-p", "circle"], 34);
    each(CLANG, "tail_calls", &["-p", "circle", "--policy", "strict"], 34);
    // The map that it finds has no such place, and the run goes on in the other program.
    each(&all, "held", &["-p", "start", "--mem-hex", &"00".repeat(60)], 5);
}

/// What a flat program cannot have, and an object has: a table, a literal, a pointer to a function.
#[test]
fn what_flat_programs_lack() {
    const TABLE: &str = "static const unsigned tab[16] = {3,1,4,1,5,9,2,6,5,3,5,8,9,7,9,3};\n\
        unsigned long f(unsigned char *m, unsigned long n)\n\
        { unsigned long s = 0; for (unsigned long i = 0; i < n; i++) s = s * 3 + tab[m[i] & 15]; return s; }";
    const LITERAL: &str = "#include <ubpf/classic/bpf_helpers.h>\n\
        uint64_t prog(struct UbpfTracerCtx *c)\n\
        { uint64_t a = bpf_get_ret_addr(\"myfun\"); return a + 5; }";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let compiled = |name: &str, text: &str| {
        let path = folder.join(format!("lacks-{name}.c"));
        fs::write(&path, text).unwrap();
        CLANG.iter().filter_map(|compiler| compile(compiler, &path)).collect::<Vec<String>>()
    };
    for object in compiled("table", TABLE) {
        gives(&object, &["--mem-hex", "000102"], (3 * 3 + 1) * 3 + 4);
    }
    for object in compiled("literal", LITERAL) {
        // The host knows no traced function.
        gives(&object, &[], 5);
    }
}

#[test]
fn each_program_of_an_object_is_verified() {
    let Some(object) = compile(CLANG[2], &source("maps")) else { return };
    for policy in ["guarded", "strict"] {
        let output = ubpf(&["verify", "--policy", policy, &object]);
        let text = String::from_utf8_lossy(&output.stdout);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert_eq!(rows[0][1..4], ["kprobe/myfun", "first", "ok"], "{text}");
        assert_eq!(rows[1][1..4], ["kretprobe/myfun", "second", "ok"], "{text}");
        assert_eq!(rows[0][7], "0", "all accesses are proved: {text}");
    }
    // With its own types nothing is missing, as for the kernel that it was made for.
    let Some(object) = compile(CLANG[2], &source("core")) else { return };
    let text = ubpf(&["verify", &object]);
    let text = String::from_utf8_lossy(&text.stdout);
    let needs = text.lines().find(|line| line.contains("\tneeds\t")).expect("its row");
    assert!(!needs.contains("task_struct"), "{needs}");
}

/// Fields are found by name in the types of an image; what is not there, or not clear, is told by its name, and only where it is needed.
#[test]
fn fields_of_an_image_are_found_by_name() {
    let Some(object) = compile(CLANG[2], &source("image_types")) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for dwarf in ["-gdwarf-4", "-gdwarf-5"] {
        let image = folder.join(format!("objects-image{dwarf}"));
        let units = ["one", "two"].map(|unit| root().join(format!("tests/objects/image/{unit}.c")));
        let linked = Command::new("cc").arg(dwarf).arg("-O0").args(units).arg("-o").arg(&image).status();
        if !linked.is_ok_and(|status| status.success()) {
            return;
        }
        let package = format!("{object}{dwarf}.pkg");
        let packed = ubpf(&["pack", &object, "-o", &package, "--image", image.to_str().unwrap()]);
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let bytes = fs::read(&package).unwrap();
        let id = ubpf(&["image-id", image.to_str().unwrap()]);
        let id = String::from_utf8(id.stdout).unwrap();
        let own = hex(&Object::parse(&bytes).unwrap().image);
        assert_eq!(own, format!("{}{}", id.trim(), "0".repeat(32)), "the package is for this image");
        gives(&package, &["-p", "fields"], 16 * 10000 + 24 * 100 + 28 + 2 * 12 + 8);
        gives(&package, &["-p", "bits"], 76 * 10000 + (64 - 12) * 100 + 64 - 9);
        gives(&package, &["-p", "exists"], 1 + 4 + 16 + 700 + 88_000);
        let missing = |program: &str, said: &str| {
            let text = refusal(&package, &["-p", program]);
            assert!(text.contains(said), "{program}: {text}");
        };
        missing("gone", "gone of struct item, which this image does not have");
        missing("wide", "wide of item, which has 8 bytes in this image, and not 4");
        missing("twice", "value of differs, of which this image has several that differ");
    }
    // What is no image, and one without types.
    for (path, said) in [("tests/objects/maps.c", "ELF"), ("/bin/true", "")] {
        let path = root().join(path);
        let packed = ubpf(&["pack", &object, "-o", &format!("{object}.none"), "--image", path.to_str().unwrap()]);
        assert_eq!(packed.status.code(), Some(2), "{}", path.display());
        let text = String::from_utf8_lossy(&packed.stderr);
        assert!(!text.is_empty() && text.contains(said), "{text}");
    }
    // Without an image none of it is there.
    let text = refusal(&object, &["-p", "fields"]);
    assert!(text.contains("count of struct item, which this image does not have"), "{text}");
}

/// A source for each kind of map and of section: the same number on both engines, with what is proved and with accesses checked, whatever compiled it.
#[test]
fn each_kind_of_map_and_section() {
    let zeros = memory(&[]);
    let registers = memory(&[(112, 41), (0, 41)]);
    let all: Vec<Vec<&str>> = ["-O1", "-O2", "-O3", "-Os"]
        .into_iter()
        .flat_map(|level| ["-mcpu=v1", "-mcpu=v2", "-mcpu=v3"].map(|cpu| (level, cpu)))
        .map(|(level, cpu)| vec!["clang", "-target", "bpf", "-g", level, cpu])
        .chain(["-O1", "-O2", "-Os"].map(|level| vec!["bpf-gcc", "-gbtf", level]))
        .collect();
    for (name, program, argument, expected) in [
        ("array", "fill", &zeros, 140 + 2000),
        ("hash", "life", &zeros, 14),
        ("lru", "many", &zeros, 19),
        ("events", "tell", &zeros, 3),
        ("text", "words", &zeros, 212),
        ("entry_sections", "by_kprobe", &registers, 42),
        ("entry_sections", "by_pattern", &registers, 42),
        ("entry_sections", "by_fentry", &registers, 42),
        ("unfired_sections", "by_iter", &zeros, 5),
        ("packet_sections", "by_socket", &zeros, 3),
    ] {
        for compiler in &all {
            let Some(object) = compile(compiler, &source(name)) else { continue };
            gives(&object, &["-p", program, "--mem-hex", argument], expected);
            gives(&object, &["-p", program, "--mem-hex", argument, "--policy", "checked"], expected);
        }
    }
    // Without types, what needs none.
    for level in ["-O0", "-O2"] {
        let compiler = ["clang", "-target", "bpf", level];
        for (name, program, expected) in [("unfired_sections", "by_tp", 1), ("packet_sections", "by_xdp", 2)] {
            let Some(object) = compile(&compiler, &source(name)) else { continue };
            gives(&object, &["-p", program, "--mem-hex", &zeros], expected);
        }
    }
}
