//! The files leave nothing of the instruction set out.

use std::collections::BTreeSet;
use ubpf_program_tests::{parse, End, FILES};
use ubpf_rs::isa::{decode, Insn};

/// The raw form of every instruction of every program that is loaded, as opcode and what else selects the operation:
/// the immediate of atomics and byte swaps, the offset of arithmetic, the source field of calls.
fn forms(loaded: bool) -> BTreeSet<(u8, i64)> {
    let mut forms = BTreeSet::new();
    for (_, text) in FILES {
        for case in parse(text).unwrap() {
            let refused = matches!(case.expected.end, End::Refused(_));
            let Ok(insns) = decode(&case.code) else {
                continue;
            };
            if refused == loaded {
                continue;
            }
            for insn in insns.iter().filter(|insn| !matches!(insn, Insn::WideTail)) {
                let (raw, _) = insn.to_raw().unwrap();
                let selects = match (insn, raw.opcode & 7) {
                    (Insn::Atomic { .. } | Insn::Endian { .. }, _) => i64::from(raw.imm),
                    (_, 4 | 7) => i64::from(raw.off),
                    (Insn::Call(_), _) => i64::from(raw.src),
                    _ => 0,
                };
                forms.insert((raw.opcode, selects));
            }
        }
    }
    forms
}

#[test]
fn every_operation_is_run_by_a_program() {
    let forms = forms(true);
    let opcodes: BTreeSet<u8> = forms.iter().map(|form| form.0).collect();
    // All of RFC 9669 but the six legacy packet accesses, and the ordered accesses of 1 and 2 bytes.
    assert_eq!(opcodes.len(), 120 + 2);
    let number_of = |wanted: &[u8]| forms.iter().filter(|form| wanted.contains(&form.0)).count();
    assert_eq!(number_of(&[0xc3, 0xdb, 0xcb, 0xd3]), 20 + 8, "atomics: ten in two sizes, two in four");
    assert_eq!(number_of(&[0xd4, 0xdc, 0xd7]), 9, "byte swaps: three in three sizes");
    assert_eq!(number_of(&[0xbc, 0xbf]), 3 + 4, "moves: plain and sign-extending");
    let divisions = [0x34, 0x3c, 0x37, 0x3f, 0x94, 0x9c, 0x97, 0x9f];
    assert_eq!(number_of(&divisions), 16, "unsigned and signed");
    assert_eq!(number_of(&[0x85]), 3, "helpers, local functions, and what is missing where nothing goes");
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    let refused = forms(false);
    for packet_access in [0x20, 0x28, 0x30, 0x40, 0x48, 0x50] {
        assert!(refused.contains(&(packet_access, 0)), "{packet_access:#x}");
    }
    assert!(refused.contains(&(0x85, 2)), "call by BTF id");
}
