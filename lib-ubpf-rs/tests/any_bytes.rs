//! No bytes, whatever they are, make the loader, the verifier, the interpreter or the symbol reader panic, write outside
//! of a program's memory, or run for ever; and the policy does not change what an admitted program does.

mod common;

use common::Nobody;
use std::collections::BTreeMap;
use ubpf_rs::{
    helpers::Registry,
    isa::{encode, AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width},
    program::{Abi, Program},
    runtime::SymbolTable,
    verifier::{self, Policy},
    vm::{Executable, Interpreter, Memory, Run, Stop, StopKind, STACK_BYTES},
};

/// A small generator (xorshift64): the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn reg(&mut self) -> Reg {
        Reg::new(self.below(11) as u8).unwrap()
    }

    fn imm(&mut self) -> i32 {
        let any = self.next() as i32;
        let near = (self.next() % 16) as i32 - 8;
        self.one(&[any, near, near, 0, 1, -1, i32::MIN, i32::MAX, 31, 32, 63, 64])
    }

    /// Offsets within and around the memory that programs have.
    fn off(&mut self) -> i16 {
        let near = (self.next() % 40) as i16 - 20;
        self.one(&[near, near, -8, -16, -512, 0, 8, i16::MIN, i16::MAX])
    }

    fn operand(&mut self) -> Operand {
        if self.below(2) == 0 {
            Operand::Imm(self.imm())
        } else {
            Operand::Reg(self.reg())
        }
    }

    fn size(&mut self) -> Size {
        self.one(&[Size::B, Size::H, Size::W, Size::DW])
    }

    fn width(&mut self) -> Width {
        self.one(&[Width::W32, Width::W64])
    }
}

/// A random instruction, mostly one that the verifier lets pass.
fn insn(random: &mut Random, pc: usize, len: usize) -> Insn {
    let (dst, src, width) = (random.reg(), random.reg(), random.width());
    let dst = if dst == Reg::R10 && random.below(20) > 0 { Reg::R0 } else { dst };
    let base = random.one(&[Reg::R10, Reg::R10, Reg::R1, Reg::R1, src]);
    let distance = random.below(len + 2) as i32 - pc as i32 - 1;
    match random.below(24) {
        0..8 => Insn::Alu { op: random.one(&AluOp::ALL), width, dst, src: random.operand() },
        8 => Insn::MovSx { width, from: random.one(&[Size::B, Size::H]), dst, src },
        9 => Insn::Neg { width, dst },
        10 => Insn::Endian {
            kind: random.one(&[Endianness::ToLe, Endianness::ToBe, Endianness::Swap]),
            size: random.one(&[Size::H, Size::W, Size::DW]),
            dst,
        },
        11..14 => Insn::Load {
            size: random.one(&[Size::B, Size::H, Size::W]),
            signed: random.below(2) == 0,
            dst,
            base,
            off: random.off(),
        },
        14..17 => Insn::Store { size: random.size(), base, off: random.off(), src: random.operand() },
        17 => Insn::Atomic {
            op: random.one(&AtomicOp::ALL),
            size: random.one(&[Size::W, Size::DW]),
            base,
            off: random.off(),
            src: dst,
        },
        18 => Insn::Jump { off: distance, long: random.below(2) == 0 },
        19 | 20 => Insn::Branch {
            op: random.one(&CmpOp::ALL),
            width,
            dst: random.reg(),
            src: random.operand(),
            off: distance as i16,
        },
        21 => Insn::Call(Call::Helper(random.below(7) as u32)),
        22 => Insn::Call(match random.below(3) {
            0 => Call::Register(src),
            _ => Call::Local(distance),
        }),
        _ => Insn::Exit,
    }
}

fn program(random: &mut Random) -> Vec<u8> {
    let len = 1 + random.below(24);
    let mut insns = Vec::new();
    while insns.len() < len {
        if random.below(20) == 0 {
            insns.push(Insn::LoadImm64 {
                kind: ImmKind::Value,
                dst: random.one(&[Reg::R0, Reg::R3, Reg::R6]),
                imm: random.next() << random.below(32),
            });
            insns.push(Insn::WideTail);
        } else {
            insns.push(insn(random, insns.len(), len));
        }
    }
    insns.push(Insn::Exit);
    encode(&insns).unwrap()
}

const MARK: u8 = 0xa5;
const BUDGET: u64 = 5_000;

/// Argument between marked bytes, and a stack: the same addresses for every run.
struct Ground {
    area: Box<[u64; 16]>,
    stack: Box<[u64; STACK_BYTES / 8]>,
    helpers: Registry,
}

/// What a run left behind.
#[derive(PartialEq, Debug)]
struct Outcome {
    result: Result<u64, Stop>,
    argument: Vec<u8>,
}

impl Ground {
    fn new() -> Ground {
        Ground {
            area: Box::new([0; 16]),
            stack: Box::new([0; STACK_BYTES / 8]),
            helpers: Registry::with_builtins().unwrap(),
        }
    }

    /// Loads and runs bytes; `None` when they are refused.
    fn run(&mut self, bytes: &[u8], abi: Abi, policy: Policy) -> Option<Outcome> {
        let program = Program::from_flat("random", bytes, abi).ok()?;
        let verified = verifier::verify(
            program,
            policy,
            &verifier::Environment::new(&self.helpers),
            &mut verifier::Work::default(),
        )
        .ok()?;
        self.area.fill(u64::from_ne_bytes([MARK; 8]));
        self.stack.fill(0);
        // SAFETY: the words are plain memory of these sizes, borrowed for as long as the bytes are used.
        let (area, stack) = unsafe {
            (
                std::slice::from_raw_parts_mut(self.area.as_mut_ptr().cast::<u8>(), 128),
                std::slice::from_raw_parts_mut(self.stack.as_mut_ptr().cast(), STACK_BYTES),
            )
        };
        let argument = &mut area[32..96];
        argument.fill(3);
        let memory = Memory::new(argument, stack);
        let mut run =
            Run { args: [memory.argument().base, 64], memory, budget: BUDGET, helpers: &self.helpers, host: &Nobody };
        let result = Interpreter::new(verified).run(&mut run);
        assert!(run.budget <= BUDGET);
        drop(run);
        let (before, after) = (&area[..32], &area[96..]);
        assert!(before.iter().chain(after).all(|&b| b == MARK), "written outside");
        let argument = area[32..96].to_vec();
        Some(Outcome { result, argument })
    }
}

#[test]
fn random_bytes_are_refused_or_run() {
    let (mut random, mut ground) = (Random(0x1234_5678_9abc_def1), Ground::new());
    for _ in 0..50_000 {
        let len = random.below(12) * 8 + usize::from(random.below(10) == 0);
        let bytes = random.bytes(len);
        let abi = random.one(&[Abi::Classic, Abi::Uio, Abi::Linux]);
        for policy in [Policy::Checked, Policy::Guarded, Policy::Strict] {
            ground.run(&bytes, abi, policy);
        }
    }
}

#[test]
fn random_programs_do_the_same_under_every_policy_that_admits_them() {
    let (mut random, mut ground) = (Random(0xdead_beef_cafe), Ground::new());
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..60_000 {
        let bytes = program(&mut random);
        let checked = ground.run(&bytes, Abi::Classic, Policy::Checked);
        let guarded = ground.run(&bytes, Abi::Classic, Policy::Guarded);
        // Checks are charged: a program may end of its budget sooner with all of them.
        let cut = |outcome: &Outcome| matches!(outcome.result, Err(Stop { kind: StopKind::BudgetExhausted, .. }));
        let both = checked.as_ref().zip(guarded.as_ref());
        if let Some((checked, guarded)) = both.filter(|(checked, guarded)| !cut(checked) && !cut(guarded)) {
            assert_eq!(checked, guarded, "{bytes:02x?}");
        }
        let end = match &guarded {
            None => "refused",
            Some(Outcome { result: Ok(_), .. }) => "ended",
            Some(_) => "stopped",
        };
        *ends.entry(end).or_default() += 1;
        let Some(strict) = ground.run(&bytes, Abi::Classic, Policy::Strict) else {
            continue;
        };
        *ends.entry("proved").or_default() += 1;
        // What is proved does not go out of bounds; helpers may still refuse their arguments.
        if let Err(stop) = &strict.result {
            let text = stop.to_string();
            assert!(!text.contains("memory load at") && !text.contains("memory store at"), "{text}");
        }
        assert_eq!(Some(strict), guarded, "{bytes:02x?}");
    }
    // The generator reaches all of them often enough to mean something.
    for end in ["refused", "ended", "stopped", "proved"] {
        assert!(ends.get(end).is_some_and(|&n| n > 200), "{ends:?}");
    }
}

#[test]
fn a_megabyte_of_anything_is_refused_or_run() {
    let (mut random, mut ground) = (Random(99), Ground::new());
    let exits = encode(&[Insn::Exit]).unwrap().repeat(131_072);
    let noise = random.bytes(1 << 20);
    let jumps: Vec<u8> =
        (0..65_535).flat_map(|_| [0x05, 0, 0, 0, 0, 0, 0, 0]).chain([0x95, 0, 0, 0, 0, 0, 0, 0]).collect();
    let back: Vec<u8> =
        (0..65_535).flat_map(|_| [0x15, 0, 0xff, 0xff, 1, 0, 0, 0]).chain([0x95, 0, 0, 0, 0, 0, 0, 0]).collect();
    for bytes in [&exits, &noise, &jumps, &back] {
        for policy in [Policy::Checked, Policy::Guarded, Policy::Strict] {
            ground.run(bytes, Abi::Classic, policy);
        }
    }
}

#[test]
fn any_bytes_are_a_symbol_file_or_none() {
    let mut random = Random(5);
    const PIECES: &[&[u8]] = &[
        b"0000000000001000",
        b"ffffffffffffffff",
        b"1",
        b"fffffffffffffffff",
        b" T ",
        b" t ",
        b" U ",
        b" ",
        b"\t",
        b"\n",
        b"\r\n",
        b"main",
        b"\xff\xfe",
        b"\0",
        b"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
    ];
    for _ in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..random.below(30) {
            text.extend_from_slice(random.one(PIECES));
        }
        let Ok(table) = SymbolTable::from_nm(&text) else {
            continue;
        };
        let symbols: Vec<_> = table.iter().collect();
        assert_eq!(symbols.len(), table.len());
        assert!(symbols.is_sorted_by_key(|symbol| symbol.address));
        for symbol in &symbols {
            let found = table.addresses(symbol.name.as_bytes());
            assert!(found.into_iter().any(|address| address == symbol.address));
            assert_eq!(table.containing(symbol.address).unwrap().1, 0);
        }
        let _ = table.containing(random.next());
        let named = symbols.iter().filter(|s| s.name.starts_with("ma"));
        assert_eq!(table.with_prefix(b"ma").count(), named.count());
    }
    for _ in 0..2_000 {
        let len = random.below(300);
        let _ = SymbolTable::from_nm(&random.bytes(len));
    }
}
