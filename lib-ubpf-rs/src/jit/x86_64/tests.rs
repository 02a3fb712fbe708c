//! Every form of the encoder, with every register it may take, read back by an independent disassembler.

use super::asm::{at, Alu, Asm, Cc, Gprs, Indexed, Shift, Unary, M, W};
use super::field;
use super::regs::Gpr::{self, *};
use super::trampoline::{way_out_of_thunk, write_gate, write_thunk, Counters, Gate, Thunk, GATE_BYTES, THUNK_BYTES};
use crate::platform::{OwnMark, Owner};
use iced_x86::{
    Decoder, DecoderOptions, Formatter, Instruction, InstructionInfoFactory, IntelFormatter, Mnemonic, OpAccess,
    Register,
};
use std::{format, string::String, vec::Vec};

const ALL: [Gpr; 15] = [Rax, Rcx, Rdx, Rbx, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15];
const DISPLACEMENTS: [i32; 7] = [0, 8, 127, -128, 128, -129, i32::MIN];
const IMMEDIATES: [i32; 9] = [0, 1, 127, -128, 128, -129, 0x12345, i32::MAX, i32::MIN];
const WIDTHS: [W; 2] = [W::D, W::Q];
const SIZES: [M; 4] = [M::B, M::H, M::D, M::Q];
const ALU: [(Alu, &str); 6] =
    [(Alu::Add, "add"), (Alu::Or, "or"), (Alu::And, "and"), (Alu::Sub, "sub"), (Alu::Xor, "xor"), (Alu::Cmp, "cmp")];
const SHIFTS: [(Shift, &str); 3] = [(Shift::Shl, "shl"), (Shift::Shr, "shr"), (Shift::Sar, "sar")];

/// Name of a register at a size.
fn name(reg: Gpr, size: M) -> String {
    const LEGACY: [&str; 8] = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
    let number = usize::from(reg.number());
    match (LEGACY.get(number), size) {
        (Some(name), M::Q) => format!("r{name}"),
        (Some(name), M::D) => format!("e{name}"),
        (Some(name), M::H) => String::from(*name),
        (Some(name), M::B) if number < 4 => format!("{}l", &name[..1]),
        (Some(name), M::B) => format!("{name}l"),
        (None, M::Q) => format!("r{number}"),
        (None, M::D) => format!("r{number}d"),
        (None, M::H) => format!("r{number}w"),
        (None, M::B) => format!("r{number}b"),
    }
}

fn of(width: W) -> M {
    match width {
        W::D => M::D,
        W::Q => M::Q,
    }
}

fn keyword(size: M) -> &'static str {
    match size {
        M::B => "byte",
        M::H => "word",
        M::D => "dword",
        M::Q => "qword",
    }
}

fn memory(base: Gpr, disp: i32) -> String {
    let base = name(base, M::Q);
    match disp {
        0 => format!("[{base}]"),
        d if d < 0 => format!("[{base}-{:#x}]", d.unsigned_abs()),
        d => format!("[{base}+{d:#x}]"),
    }
}

/// Exactly one instruction, which reads like `expected`.
fn check(emit: impl Fn(&mut Asm<'_>), expected: &str) {
    let mut buffer = [0x90; 32];
    let mut asm = Asm::new(&mut buffer);
    emit(&mut asm);
    let (len, writes) = (asm.len(), asm.writes());
    let mut decoder = Decoder::new(64, &buffer[..len], DecoderOptions::NONE);
    let instruction = decoder.decode();
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_small_hex_numbers_in_decimal(false);
    options.set_space_after_operand_separator(true);
    options.set_memory_size_options(iced_x86::MemorySizeOptions::Always);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    let mut found = String::new();
    formatter.format(&instruction, &mut found);
    assert_eq!(found, expected, "{:02x?}", &buffer[..len]);
    assert_eq!(instruction.len(), len, "{expected}: {:02x?}", &buffer[..len]);
    assert_eq!(written([instruction]), writes, "registers that `{expected}` changes");
}

/// Registers that instructions change, the stack pointer aside; one that is pushed and popped is not changed.
fn written(instructions: impl IntoIterator<Item = Instruction>) -> Gprs {
    let mut factory = InstructionInfoFactory::new();
    let (mut changed, mut pushed, mut popped) = (0, 0, 0);
    for instruction in instructions {
        let saved = 1 << ((instruction.op0_register().full_register() as u32).wrapping_sub(Register::RAX as u32) % 16);
        match instruction.mnemonic() {
            Mnemonic::Push if instruction.op0_register() != Register::None => pushed |= saved,
            Mnemonic::Pop if pushed != 0 => popped |= saved,
            _ => {
                for used in factory.info(&instruction).used_registers() {
                    let full = used.register().full_register();
                    let changes = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
                    if changes && full.is_gpr64() && full != Register::RSP {
                        changed |= 1 << (full as u32 - Register::RAX as u32);
                    }
                }
            }
        }
    }
    assert_eq!(pushed & !popped & changed, 0, "pushed, changed and not popped");
    changed & !(pushed & popped)
}

fn hex(value: i64, width: M) -> String {
    match width {
        M::Q => format!("{value:#x}"),
        M::D => format!("{:#x}", value as u32),
        M::H => format!("{:#x}", value as u16),
        M::B => format!("{:#x}", value as u8),
    }
}

#[test]
fn two_registers() {
    for (a, b) in ALL.iter().flat_map(|&a| ALL.map(|b| (a, b))) {
        for w in WIDTHS {
            let (x, y) = (name(a, of(w)), name(b, of(w)));
            check(|asm| asm.mov_rr(w, a, b), &format!("mov {x}, {y}"));
            check(|asm| asm.test_rr(w, a, b), &format!("test {x}, {y}"));
            check(|asm| asm.imul_rr(w, a, b), &format!("imul {x}, {y}"));
            for (op, word) in ALU {
                check(|asm| asm.alu_rr(w, op, a, b), &format!("{word} {x}, {y}"));
            }
            for (op, word) in SHIFTS {
                let expected = format!("{word}x {x}, {y}, {}", name(R9, of(w)));
                check(|asm| asm.shiftx(w, op, a, b, R9), &expected);
                let expected = format!("{word}x {x}, {}, {y}", name(Rbx, of(w)));
                check(|asm| asm.shiftx(w, op, a, Rbx, b), &expected);
            }
            for size in [M::B, M::H] {
                check(|asm| asm.movsx_rr(w, size, a, b), &format!("movsx {x}, {}", name(b, size)));
            }
        }
        let (x, y) = (name(a, M::D), name(b, M::D));
        for size in [M::B, M::H] {
            check(|asm| asm.movzx_rr(size, a, b), &format!("movzx {x}, {}", name(b, size)));
        }
        check(|asm| asm.movsx_rr(W::Q, M::D, a, b), &format!("movsxd {}, {y}", name(a, M::Q)));
        let sum = format!("lea {}, [{}+{}]", name(a, M::Q), name(b, M::Q), name(Rcx, M::Q));
        check(|asm| asm.lea_sum(a, b, Rcx), &sum);
        let sum = format!("lea {}, [{}+{}]", name(a, M::Q), name(Rdi, M::Q), name(b, M::Q));
        check(|asm| asm.lea_sum(a, Rdi, b), &sum);
        for (w, scale) in WIDTHS.iter().flat_map(|&w| [1, 2, 3].map(|scale| (w, scale))) {
            let base = name(b, M::Q);
            let expected = format!("lea {}, [{base}+{base}*{}]", name(a, of(w)), 1 << scale);
            check(|asm| asm.lea_scaled(w, a, b, b, scale), &expected);
        }
    }
}

#[test]
fn indexed_operands() {
    let places = ALL.iter().flat_map(|&base| ALL.map(|index| (base, index)));
    for (base, index) in places {
        for (reg, disp) in [Rax, Rbp, Rsi, R8, R13].into_iter().zip([0, 1, -128, 128, -32768]) {
            let place = Indexed { base, index, disp };
            let operand = memory(base, disp);
            let index = name(index, M::Q);
            let split = operand.find(['+', '-', ']']).unwrap();
            let operand = format!("{}+{index}{}", &operand[..split], &operand[split..]);
            for size in SIZES {
                let x = name(reg, size);
                let expected = format!("mov {} ptr {operand}, {x}", keyword(size));
                check(|asm| asm.store_indexed(size, place, reg), &expected);
                let expected = match size {
                    M::B | M::H => {
                        format!("movzx {}, {} ptr {operand}", name(reg, M::D), keyword(size))
                    }
                    M::D | M::Q => format!("mov {x}, {} ptr {operand}", keyword(size)),
                };
                check(|asm| asm.load_indexed(size, reg, place), &expected);
            }
        }
    }
}

#[test]
fn one_register() {
    for a in ALL {
        for w in WIDTHS {
            let x = name(a, of(w));
            for count in [1, 7, 31] {
                check(|asm| asm.rotate_left(w, a, count), &format!("rol {x}, {count:#x}"));
            }
            for (op, word) in [(Unary::Neg, "neg"), (Unary::Mul, "mul"), (Unary::Div, "div"), (Unary::Idiv, "idiv")] {
                check(|asm| asm.unary(w, op, a), &format!("{word} {x}"));
            }
            for (op, word) in SHIFTS {
                check(|asm| asm.shift_cl(w, op, a), &format!("{word} {x}, cl"));
                for count in [1, 2, 31] {
                    check(|asm| asm.shift_ri(w, op, a, count), &format!("{word} {x}, {}", hex(count.into(), M::B)));
                }
            }
            check(|asm| asm.step(w, true, a), &format!("inc {x}"));
            check(|asm| asm.step(w, false, a), &format!("dec {x}"));
            check(|asm| asm.bswap(w, a), &format!("bswap {x}"));
        }
        check(|asm| asm.swap_bytes_16(a), &format!("rol {}, 0x8", name(a, M::H)));
        check(|asm| asm.push(a), &format!("push {}", name(a, M::Q)));
        check(|asm| asm.pop(a), &format!("pop {}", name(a, M::Q)));
    }
    check(|asm| asm.sign_to_rdx(W::D), "cdq");
    check(|asm| asm.sign_to_rdx(W::Q), "cqo");
    check(|asm| asm.ret(), "ret");
}

#[test]
fn immediates() {
    for (a, imm) in ALL.iter().flat_map(|&a| IMMEDIATES.map(|imm| (a, imm))) {
        for w in WIDTHS {
            let (x, value) = (name(a, of(w)), hex(imm.into(), of(w)));
            for (op, word) in ALU {
                check(|asm| asm.alu_ri(w, op, a, imm), &format!("{word} {x}, {value}"));
            }
            let from = if a == Rbx { Rcx } else { Rbx };
            let expected = format!("imul {x}, {}, {value}", name(from, of(w)));
            check(|asm| asm.imul_rri(w, a, from, imm), &expected);
            // The flags are the same for a narrower register.
            let size = match imm {
                0..=0x7f => M::B,
                0x80.. => M::D,
                _ => of(w),
            };
            check(|asm| asm.test_ri(w, a, imm), &format!("test {}, {}", name(a, size), hex(imm.into(), size)));
        }
        let value = i64::from(imm);
        let expected = match imm {
            0 => format!("xor {0}, {0}", name(a, M::D)),
            1.. => format!("mov {}, {imm:#x}", name(a, M::D)),
            _ => format!("mov {}, {value:#x}", name(a, M::Q)),
        };
        check(|asm| asm.mov_ri(a, value as u64), &expected);
        let wide = 0x1234_5678_9abc_def0;
        check(|asm| asm.mov_ri(a, wide), &format!("mov {}, {wide:#x}", name(a, M::Q)));
        check(|asm| asm.push_imm(imm), &format!("push {value:#x}"));
    }
}

#[test]
fn memory_operands() {
    for (a, b) in ALL.iter().flat_map(|&a| ALL.map(|b| (a, b))) {
        for disp in DISPLACEMENTS {
            let mem = at(b, disp);
            let sized = |size| format!("{} ptr {}", keyword(size), memory(b, disp));
            for size in SIZES {
                let (x, place) = (name(a, size), sized(size));
                check(|asm| asm.store(size, mem, a), &format!("mov {place}, {x}"));
                let (zeroes, sign) = match size {
                    M::B | M::H => (format!("movzx {}", name(a, M::D)), "movsx"),
                    M::D => (format!("mov {}", name(a, M::D)), "movsxd"),
                    M::Q => (format!("mov {}", name(a, M::Q)), "mov"),
                };
                check(|asm| asm.load(size, a, mem), &format!("{zeroes}, {place}"));
                check(|asm| asm.load_sx(size, a, mem), &format!("{sign} {}, {place}", name(a, M::Q)));
            }
            for w in WIDTHS {
                let (x, place) = (name(a, of(w)), sized(of(w)));
                check(|asm| asm.lea(w, a, mem), &format!("lea {x}, {}", memory(b, disp)));
                check(|asm| asm.lock_xadd(w, mem, a), &format!("lock xadd {place}, {x}"));
                check(|asm| asm.lock_cmpxchg(w, mem, a), &format!("lock cmpxchg {place}, {x}"));
                check(|asm| asm.xchg(w, mem, a), &format!("xchg {place}, {x}"));
                for (op, word) in ALU {
                    check(|asm| asm.alu_rm(w, op, a, mem), &format!("{word} {x}, {place}"));
                    if op != Alu::Cmp {
                        check(|asm| asm.lock_alu(w, op, mem, a), &format!("lock {word} {place}, {x}"));
                    }
                }
            }
            if a == Rax {
                check(|asm| asm.call_mem(mem, 0), &format!("call {}", sized(M::Q)));
                for (size, imm) in SIZES.iter().flat_map(|&s| IMMEDIATES.map(|imm| (s, imm))) {
                    let expected = format!("mov {}, {}", sized(size), hex(imm.into(), size));
                    check(|asm| asm.store_imm(size, mem, imm), &expected);
                }
            }
        }
    }
}

#[test]
fn jumps() {
    const CONDITIONS: [(Cc, &str); 10] = [
        (Cc::B, "jb"),
        (Cc::Ae, "jae"),
        (Cc::E, "je"),
        (Cc::Ne, "jne"),
        (Cc::Be, "jbe"),
        (Cc::A, "ja"),
        (Cc::L, "jl"),
        (Cc::Ge, "jge"),
        (Cc::Le, "jle"),
        (Cc::G, "jg"),
    ];
    for (target, len) in [(0, 2), (129, 2), (130, 6), (1 << 20, 6)] {
        for (cc, word) in CONDITIONS {
            check(|asm| asm.jcc(cc, target), &format!("{word} {target:#x}"));
            check(|asm| asm.jcc_long(cc, target), &format!("{word} {target:#x}"));
            assert_eq!(length(|asm| asm.jcc(cc, target)), len);
            assert_eq!(cc.inverse().inverse(), cc);
        }
        check(|asm| asm.jmp(target), &format!("jmp {target:#x}"));
        check(|asm| asm.jmp_long(target), &format!("jmp {target:#x}"));
        check(|asm| asm.call(target), &format!("call {target:#x}"));
    }
    let mut buffer = [0; 16];
    let mut asm = Asm::new(&mut buffer);
    let over = asm.skip_if(Cc::E);
    let end = asm.skip();
    asm.land(over);
    asm.ret();
    asm.land(end);
    assert_eq!(buffer[..5], [0x74, 2, 0xeb, 1, 0xc3]);
}

fn length(emit: impl Fn(&mut Asm<'_>)) -> usize {
    let mut asm = Asm::default();
    emit(&mut asm);
    asm.len()
}

#[test]
fn bytes_beyond_the_buffer_are_only_counted() {
    let all: Vec<Gpr> = ALL.into();
    let mut buffer = [0; 3];
    let mut asm = Asm::new(&mut buffer);
    all.iter().for_each(|&reg| asm.push(reg));
    assert_eq!(asm.len(), 7 + 2 * 8);
    assert_eq!(buffer, [0x50, 0x51, 0x52]);
}

/// A gate as text: offset, instruction.
fn gate(counters: Counters, own: Option<OwnMark>) -> Vec<(u64, String)> {
    let mut out = [0; GATE_BYTES];
    let at = 0x1000;
    assert!(write_gate(&mut out, Gate { at, counters, own, target: 0x3000, general: 0x4000 }));
    let mut decoder = Decoder::with_ip(64, &out, at, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    let mut list = Vec::new();
    while decoder.can_decode() {
        let insn = decoder.decode();
        assert!(!insn.is_invalid(), "{out:x?}");
        let mut text = String::new();
        formatter.format(&insn, &mut text);
        list.push((insn.ip() - at, text));
    }
    list.retain(|(_, text)| text != "int3");
    list
}

#[test]
fn gates_count_in_every_way() {
    let shared = |locked| {
        let listing = gate(Counters::Shared { entered: 0x2000, left: 0x2008, locked }, None);
        let texts: Vec<_> = listing.into_iter().map(|(_, text)| text).collect();
        let lock = if locked { "lock " } else { "" };
        let counts = |what: &str| format!("{lock}{what}");
        assert_eq!(
            texts,
            [
                "push rax",
                &counts("inc qword ptr [2000h]"),
                "jmp qword ptr [3000h]",
                &counts("inc qword ptr [2008h]"),
                "pop rax",
                "ret",
                &counts("dec qword ptr [2000h]"),
                "pop rax",
                "jmp 0000000000004000h",
            ]
        );
    };
    shared(true);
    shared(false);
    for (owner, name) in [(Owner::Thread, "fs"), (Owner::Cpu, "gs")] {
        let own = Some(OwnMark::OfThread { offset: 8 });
        let listing = gate(Counters::Own { owner, offset: -0x20, entered: 0x100, left: 0x108 }, own);
        let find = format!("mov rax,{name}:[0FFFFFFFFFFFFFFE0h]");
        let texts: Vec<_> = listing.iter().map(|(_, text)| text.as_str()).collect();
        let none = listing.iter().rposition(|(_, text)| text == "pop rax");
        let skip = format!("je short {:016X}h", 0x1000 + listing[none.unwrap()].0);
        assert_eq!(
            texts,
            [
                "push rax",
                &find,
                "test rax,rax",
                &skip,
                "inc qword ptr [rax+100h]",
                "jmp qword ptr [3000h]",
                &find,
                "inc qword ptr [rax+108h]",
                "pop rax",
                "ret",
                "dec qword ptr [rax+100h]",
                "pop rax",
                "jmp 0000000000004000h",
            ]
        );
    }
}

/// What the site jumps to leads to the gate as a call would, and to the body without a return.
#[test]
fn thunks_stand_for_calls_and_count_in_every_way() {
    let own = Counters::Own { owner: Owner::Thread, offset: -0x20, entered: 0x100, left: 0x108 };
    let shared = |locked| Counters::Shared { entered: 0x2000, left: 0x2008, locked };
    let cases: [(Counters, &[&str]); 3] = [
        (own, &["mov rax,fs:[0FFFFFFFFFFFFFFE0h]", "inc qword ptr [rax+108h]"]),
        (shared(true), &["lock inc qword ptr [2008h]"]),
        (shared(false), &["inc qword ptr [2008h]"]),
    ];
    for (counters, counts) in cases {
        let (mut out, at, key) = ([0; THUNK_BYTES], 0x1000, 0x1234_5678_9abc_def0);
        assert!(write_thunk(&mut out, Thunk { at, key, gate: 0x3000, counters, return_call: 0x4000 }));
        let from = |start: u64| {
            let mut decoder = Decoder::with_ip(64, &out[(start - at) as usize..], start, DecoderOptions::NONE);
            let mut formatter = IntelFormatter::new();
            let next = || {
                let (insn, mut text) = (decoder.decode(), String::new());
                formatter.format(&insn, &mut text);
                text
            };
            core::iter::repeat_with(next).take(6).collect::<Vec<_>>()
        };
        assert_eq!(
            from(at)[..3],
            ["push 0FFFFFFFF9ABCDEF0h", "mov dword ptr [rsp+4],12345678h", "jmp 0000000000003000h"]
        );
        let stays = ["pop rax", "lea rsp,[rsp+8]", "jmp qword ptr [rsp-8]"];
        let comes_back = ["pop rax", "lea rsp,[rsp+10h]", "jmp 0000000000004000h"];
        for (way, ends) in [(false, stays), (true, comes_back)] {
            assert_eq!(from(way_out_of_thunk(at, way))[..counts.len() + 3], [counts, &ends].concat());
        }
    }
    let far = Thunk { at: 1 << 40, key: 0, gate: 0x3000, counters: own, return_call: 1 << 40 };
    assert!(!write_thunk(&mut [0; THUNK_BYTES], far));
    assert!(!write_thunk(&mut [0; THUNK_BYTES - 1], Thunk { at: 0x1000, return_call: 0x4000, ..far }));
}

/// What may be the engine's own work goes to the general entry uncounted, with every register as it came.
#[test]
fn gates_send_the_engines_own_work_elsewhere() {
    let same = OwnMark::Same { running: 0x2010, own: 0x2018 };
    let of_thread = OwnMark::OfThread { offset: -0x18 };
    let looks: [(OwnMark, &[&str], &str); 2] = [
        (same, &["mov rax,[2010h]", "cmp rax,[2018h]"], "je"),
        (of_thread, &["cmp qword ptr fs:[0FFFFFFFFFFFFFFE8h],0"], "jne"),
    ];
    for (locked, (own, look, jump)) in [false, true].into_iter().flat_map(|locked| looks.map(|look| (locked, look))) {
        let listing = gate(Counters::Shared { entered: 0x2000, left: 0x2008, locked }, Some(own));
        let texts: Vec<_> = listing.iter().map(|(_, text)| text.as_str()).collect();
        let last = listing.iter().rposition(|(_, text)| text == "pop rax").unwrap();
        let skip = format!("{jump} short {:016X}h", 0x1000 + listing[last].0);
        assert_eq!(texts[..look.len() + 2], [&["push rax"], look, &[&skip]].concat());
        assert_eq!(texts[last..], ["pop rax", "jmp 0000000000004000h"]);
    }
}

#[test]
fn a_gate_that_does_not_reach_its_variables_is_not_made() {
    let gate = Gate {
        at: 1 << 40,
        counters: Counters::Shared { entered: 0x2000, left: 0x2008, locked: true },
        own: None,
        target: (1 << 40) + 0x1000,
        general: (1 << 40) + 0x2000,
    };
    assert!(!write_gate(&mut [0; GATE_BYTES], gate));
    assert!(!write_gate(&mut [0; GATE_BYTES - 1], gate));
}

/// Nobody saves the vector registers of a traced function while such code runs.
#[test]
fn shared_routines_use_no_vector_register() {
    let (start, end) = super::shared_code();
    // SAFETY: this program's own text between two labels of one section.
    let bytes = unsafe { core::slice::from_raw_parts(start as *const u8, end - start) };
    let mut decoder = Decoder::with_ip(64, bytes, start as u64, DecoderOptions::NONE);
    let mut factory = InstructionInfoFactory::new();
    let mut count = 0;
    while decoder.can_decode() {
        let insn = decoder.decode();
        assert!(!insn.is_invalid());
        for used in factory.info(&insn).used_registers() {
            let register = used.register();
            let general = register.is_gpr() || register.is_segment_register();
            assert!(general, "{insn} uses {register:?}");
        }
        count += 1;
    }
    assert!(count > 200, "{count} instructions");
}

/// What emitted code takes a routine to change is what it changes, on every way through it.
#[test]
fn shared_routines_change_what_is_said_of_them() {
    let routines = super::inline_routines();
    let (_, end) = super::shared_code();
    // As they stand one behind the other.
    let routines = [
        routines.func_ip,
        routines.cookie,
        routines.time,
        routines.notify,
        routines.map_get,
        routines.map_put,
        routines.map_add,
    ];
    let said =
        [field::FUNC_IP, field::COOKIE, field::TIME, field::NOTIFY, field::MAP_GET, field::MAP_PUT, field::MAP_ADD];
    let ends = routines.iter().skip(1).chain([&end]);
    for ((&start, &end), said) in routines.iter().zip(ends).zip(said) {
        // SAFETY: this program's own text between two labels of one section.
        let bytes = unsafe { core::slice::from_raw_parts(start as *const u8, end - start) };
        let instructions = Decoder::with_ip(64, bytes, start as u64, DecoderOptions::NONE).into_iter();
        assert_eq!(written(instructions) & !said.writes, 0, "routine at {start:#x}");
    }
}
