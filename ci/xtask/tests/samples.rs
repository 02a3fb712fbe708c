//! The sample programs, compiled at both levels: what each does, that what it is about is in it, and that its
//! disassembly is what LLVM prints.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};
use ubpf_program_tests::{check, parse, BoundMaps, Case, Engine};
use ubpf_rs::{
    isa::{decode, AluOp, Call, Insn, Reg, Size},
    jit::{JitProgram, Options},
    verifier::VerifiedProgram,
    vm::{Executable, Interpreter},
};

#[path = "../../../lib-ubpf-rs/tests/engines/pages.rs"]
mod pages;

const LEVELS: [&str; 2] = ["O0", "O2"];

/// What is given to a sample and what must become of it, in the format of `tests/programs`; `{about}` is the PC of what
/// it is about.
const CASES: &[(&str, &str)] = &[
    ("noop", "-> r0 0"),
    // The first call of a function, and a later one.
    ("count", "<- mem 0010000000000000 00 *120\n-> r0 0\n-> map 0x1000 1 1"),
    ("count", "<- mem 0010000000000000 00 *120\n<- map 0x1000 1 41\n-> r0 0\n-> map 0x1000 1 42"),
    ("count", "<- mem 0020000000000000 00 *120\n<- map 0x1000 1 41\n-> r0 0\n-> map 0x1000 1 41\n-> map 0x2000 1 1"),
    ("get_count", "<- mem \"myfun\"\n<- map 0x5005 1 4\n-> r0 4"),
    ("get_count", "<- mem \"myfun\"\n-> r0 0"),
    ("get_count", "<- mem \"unknown\"\n<- map 0x5005 1 4\n-> r0 0"),
    ("notify", "<- mem 0550000000000000 00 *120\n-> r0 0\n-> output Notify: 0x5005"),
    ("loop_fail", "-> refused infinite loop at PC {about}"),
    ("oob", "-> stop PC {about} load 0x0 4"),
    ("oob", "<- mem 01 02 03 04\n-> stop PC {about} load 0x0 4"),
    ("hello", "<- abi uio\n-> r0 0\n-> output hello"),
    ("loop", "<- abi uio\n<- budget 100000\n-> stop PC {about} budget"),
    // Three turns are paid for, and of the fourth the helper's price of 16 but for one.
    ("loop2", "<- abi uio\n<- budget {three_turns}\n-> stop PC {about} budget"),
    ("oob2", "<- abi uio\n<- mem 00 *64\n-> stop PC {about} load mem+0x100000 1"),
    ("oob2", "<- abi uio\n-> stop PC {about} load 0x100000 1"),
    ("read_symbol", "<- abi uio\n<- mem \"bytes\"\n-> r0 0x13121110"),
    ("read_symbol", "<- abi uio\n<- mem \"known\"\n-> r0 0"),
    ("read_symbol", "<- abi uio\n<- mem \"unknown\"\n-> r0 0xffffffff"),
    // By RFC 9669, division by zero gives 0.
    ("zerodiv", "<- abi uio\n-> r0 0"),
];

/// The folder of the compiled samples.
fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let made = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("samples").output();
        let made = made.expect("cargo xtask samples");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let lines = String::from_utf8(made.stdout).expect("a path");
        lines.lines().last().expect("a path").into()
    });
    &FOLDER
}

fn code(level: &str, name: &str) -> Vec<u8> {
    let path = folder().join(level).join(name).with_extension("bin");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether an instruction is the one its sample is about.
fn is_about(name: &str, insns: &[Insn], pc: usize) -> bool {
    match (name, insns[pc]) {
        ("oob", Insn::Load { size: Size::W, base, off: 0, .. }) => base != Reg::R10,
        ("oob2", Insn::Load { size: Size::B, base, .. }) => base != Reg::R10,
        ("zerodiv", Insn::Alu { op: AluOp::Div, .. }) => true,
        ("loop_fail", Insn::Jump { off: -1, .. }) => true,
        ("loop", Insn::Jump { off, .. }) => off < 0,
        ("loop", Insn::Branch { off, .. }) => off < 0,
        ("loop2", Insn::Call(Call::Helper(6))) => true,
        ("count", Insn::Call(Call::Helper(32))) => true,
        ("get_count", Insn::Call(Call::Helper(0 | 4))) => true,
        ("notify", Insn::Call(Call::Helper(3))) => true,
        ("hello", Insn::Call(Call::Helper(7))) => true,
        ("read_symbol", Insn::Call(Call::Helper(4 | 5))) => true,
        ("noop", Insn::Exit) => true,
        _ => false,
    }
}

fn about(name: &str, insns: &[Insn]) -> Vec<usize> {
    (0..insns.len()).filter(|&pc| is_about(name, insns, pc)).collect()
}

/// What three turns of a loop with a helper of price 16 cost, and 15 more.
fn three_turns(insns: &[Insn]) -> u32 {
    let weight = |insns: &[Insn]| insns.iter().map(Insn::weight).sum::<u32>();
    let back = insns.iter().enumerate().find_map(|(pc, insn)| match *insn {
        Insn::Jump { off, .. } if off < 0 => Some((pc, -off as usize)),
        Insn::Branch { off, .. } if off < 0 => Some((pc, -i32::from(off) as usize)),
        _ => None,
    });
    let round = back.map_or(0, |(pc, off)| weight(&insns[pc + 1 - off..=pc]));
    weight(insns) + 3 * (round + 16) + 15
}

struct Interp;

impl Engine for Interp {
    fn prepare(&self, program: VerifiedProgram, _maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        Ok(Box::new(Interpreter::new(program)))
    }
}

struct Jit;

impl Engine for Jit {
    fn prepare(&self, program: VerifiedProgram, maps: BoundMaps) -> Result<Box<dyn Executable>, String> {
        let code = JitProgram::with_maps(program, maps, &pages::Pages, Options::default(), &mut Default::default());
        code.map(|code| Box::new(code) as _).map_err(|(error, _)| error.to_string())
    }
}

fn case(name: &str, text: &str, code: Vec<u8>) -> Case {
    let insns = decode(&code).expect("a program");
    let about = about(name, &insns)[0].to_string();
    let budget = three_turns(&insns).to_string();
    let text = text.replace("{about}", &about);
    let text = text.replace("{three_turns}", &budget);
    let mut cases = parse(&format!("== {name}\n{text}\n")).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut case = cases.remove(0);
    case.code = code;
    case
}

#[test]
fn every_sample_does_what_it_is_for() {
    for level in LEVELS {
        for (name, text) in CASES {
            let case = case(name, text, code(level, name));
            for (kind, engine) in [("interpreter", &Interp as &dyn Engine), ("compiler", &Jit)] {
                let faults = check(level, &case, engine);
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                assert!(faults.is_empty(), "{kind}: {text}\n{}", faults.join("\n"));
            }
        }
    }
}

#[test]
fn every_sample_is_tested() {
    for level in LEVELS {
        let files = fs::read_dir(folder().join(level)).expect("the samples").flatten();
        let programs = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "bin"));
        for path in programs {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            assert!(CASES.iter().any(|case| case.0 == name), "{name} has no case");
        }
    }
}

/// No optimisation level takes away what a sample is about.
#[test]
fn what_a_sample_is_about_is_in_it() {
    for level in LEVELS {
        for (name, _) in CASES {
            let insns = decode(&code(level, name)).expect("a program");
            assert!(!about(name, &insns).is_empty(), "{name} at -{level}");
        }
        let text = |name: &str| {
            let insns = decode(&code(level, name)).expect("a program");
            let about = about(name, &insns)[0];
            insns[about].to_string()
        };
        assert!(text("oob").starts_with("r0 = *(u32 *)(r"), "{}", text("oob"));
        assert!(text("oob2").contains(" = *(u8 *)(r"), "{}", text("oob2"));
        assert!(text("zerodiv").contains(" /= "), "{}", text("zerodiv"));
        assert_eq!(text("loop_fail"), "goto -1");
    }
    // Of the unoptimised ones by the reference compiler.
    let at_o0 = |name: &str| about(name, &decode(&code("O0", name)).expect("a program"))[0];
    assert_eq!((at_o0("loop_fail"), at_o0("oob")), (2, 4));
}

#[test]
fn the_disassembly_is_that_of_llvm() {
    for level in LEVELS {
        for (name, _) in CASES {
            let object = folder().join(level).join(name).with_extension("o");
            let mut objdump = Command::new("llvm-objdump");
            let output = objdump.args(["-d", "--no-show-raw-insn", "--no-print-imm-hex"]).arg(&object).output();
            let Ok(output) = output else {
                println!("llvm-objdump is not installed: nothing to compare with");
                return;
            };
            let text = String::from_utf8(output.stdout).expect("text");
            let theirs: Vec<(usize, String)> = text.lines().filter_map(objdump_line).collect();
            let insns = decode(&code(level, name)).expect("a program");
            let ours: Vec<(usize, String)> = insns
                .iter()
                .enumerate()
                .filter(|(_, insn)| !matches!(insn, Insn::WideTail))
                .map(|(pc, insn)| (pc, insn.to_string()))
                .collect();
            assert_eq!(ours, theirs, "{name} at -{level}");
        }
    }
}

/// `       4:\tr0 = *(u32 *)(r1 + 0)`; a jump's target may follow as `<LABEL>`, and newer versions call the register of an
/// access of 32 bits or less `w`.
fn objdump_line(line: &str) -> Option<(usize, String)> {
    let (pc, text) = line.split_once(":\t")?;
    let label = text.rsplit_once(" <").filter(|_| text.ends_with('>'));
    let text = label.map_or(text, |(text, _)| text);
    let mut text = text.trim().to_string();
    if text.contains(" *)(") {
        text = text.replace('w', "r");
    }
    Some((pc.trim().parse().ok()?, text))
}
