//! Bytes, instructions and text say the same thing, whichever way one goes.

use ubpf_rs::isa::{assemble, decode, encode, Call, DecodeError, Insn, RawInsn};

/// Values at which the offset and immediate fields behave differently.
const OFFSETS: &[i16] = &[0, 1, 8, 16, 32, 24, -1, -8, i16::MIN, i16::MAX];
const IMMEDIATES: &[i32] = &[
    0,
    1,
    7,
    8,
    10,
    11,
    16,
    32,
    64,
    -1,
    -2,
    0x40,
    0x41,
    0x50,
    0x51,
    0xa0,
    0xa1,
    0xe1,
    0xf1,
    0x100,
    0x110,
    i32::MIN,
    i32::MAX,
];

/// Every opcode with each of these values in every field; the second slot of a wide instruction follows.
fn every_form(mut visit: impl FnMut(&[u8])) {
    for opcode in 0..=255u8 {
        for registers in 0..=255u8 {
            let (dst, src) = (registers & 15, registers >> 4);
            for &off in OFFSETS {
                for &imm in IMMEDIATES {
                    let raw = RawInsn { opcode, dst, src, off, imm };
                    let mut bytes = raw.to_bytes().to_vec();
                    if opcode == 0x18 {
                        let imm = imm.rotate_left(7);
                        let second = RawInsn { imm, ..RawInsn::default() };
                        bytes.extend(second.to_bytes());
                    }
                    visit(&bytes);
                }
            }
        }
    }
}

#[test]
fn every_valid_instruction_survives_text_and_bytes() {
    let (mut valid, mut opcodes) = (0, std::collections::BTreeSet::new());
    every_form(|bytes| {
        let Ok(insns) = decode(bytes) else { return };
        valid += 1;
        opcodes.insert(bytes[0]);
        let insn = insns[0];
        let text = insn.to_string();
        let assembled = assemble(&text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
        assert_eq!(decode(&assembled).unwrap()[0], insn, "`{text}`");
        let encoded = encode(&insns).unwrap();
        assert_eq!(encoded, assembled, "`{text}`");
        // An older compiler's call through a register has the register in the immediate; ours is the newer form.
        if !matches!(insn, Insn::Call(Call::Register(_))) {
            assert_eq!(encoded, bytes, "`{text}`");
        }
    });
    assert!(valid > 100_000, "{valid}");
    // Arithmetic 53, jumps and calls 49, loads 7, stores 8, atomics 4, wide load 1, legacy packet access 6.
    assert_eq!(opcodes.len(), 128);
}

#[test]
fn assembled_text_means_the_bytes_of_the_standard() {
    // From RFC 9669 section 3: opcode, registers, offset, immediate.
    for (text, hex) in [
        ("r0 = 0", "b700000000000000"),
        ("w3 = -1", "b4030000ffffffff"),
        ("r1 += r2", "0f21000000000000"),
        ("r1 s/= 5", "3701010005000000"),
        ("w1 s%= w2", "9c21010000000000"),
        ("r1 = (s8)r2", "bf21080000000000"),
        ("r1 = (s32)r2", "bf21200000000000"),
        ("r5 = be32 r5", "dc05000020000000"),
        ("r5 = bswap64 r5", "d705000040000000"),
        ("r4 = -r4", "8704000000000000"),
        ("r1 = 0x1122334455667788 ll", "18010000887766550000000044332211"),
        ("r1 = *(u8 *)(r2 - 1)", "7121ffff00000000"),
        ("r1 = *(s16 *)(r2 + 2)", "8921020000000000"),
        ("*(u32 *)(r10 - 4) = 7", "620afcff07000000"),
        ("w1 = *(u32 *)(r2 + 0)", "6121000000000000"),
        ("*(u32 *)(r10 - 4) = w6", "636afcff00000000"),
        ("lock *(u32 *)(r1 + 0) += w2", "c321000000000000"),
        ("w2 = atomic_fetch_add((u32 *)(r1 + 0), w2)", "c321000001000000"),
        ("*(u64 *)(r10 - 8) = r6", "7b6af8ff00000000"),
        ("lock *(u64 *)(r1 + 0) += r2", "db21000000000000"),
        ("r2 = atomic_fetch_or((u32 *)(r1 + 4), r2)", "c321040041000000"),
        ("r2 = xchg_64(r1 + 0, r2)", "db210000e1000000"),
        ("w0 = cmpxchg32_32(r1 + 0, w0, w2)", "c3210000f1000000"),
        // Bytes as clang 22 writes them.
        ("r0 = load_acquire((u64 *)(r10 - 8))", "dba0f8ff00010000"),
        ("w0 = load_acquire((u8 *)(r1 + 3))", "d310030000010000"),
        ("store_release((u64 *)(r10 - 8), r2)", "db2af8ff10010000"),
        ("store_release((u16 *)(r1 + 0), w2)", "cb21000010010000"),
        ("goto +3", "0500030000000000"),
        ("gotol -2", "06000000feffffff"),
        ("if w1 s>= 9 goto -1", "7601ffff09000000"),
        ("if r1 & r2 goto +0", "4d21000000000000"),
        ("call 6", "8500000006000000"),
        ("call local -3", "85100000fdffffff"),
        ("callx r7", "8d07000000000000"),
        ("exit", "9500000000000000"),
    ] {
        let hex = format!(".hex {hex}");
        assert_eq!(assemble(text), assemble(&hex), "{text}");
    }
}

#[test]
fn labels_become_distances() {
    let by_label = "
        start: r2 = 1 ll       # two slots
        if r2 == 0 goto end    // forwards, over a call
        call local function
        goto start
        gotol end
    end: exit
    function: other: exit      ; two names for one place
    ";
    let by_distance = "
        r2 = 1 ll
        if r2 == 0 goto +3
        call local +3
        goto -5
        gotol +0
        exit
        exit
    ";
    assert_eq!(assemble(by_label), assemble(by_distance));
}

#[test]
fn a_mistake_is_named_with_its_line() {
    for (text, message) in [
        ("exit\n  r11 = 1", "line 2: a register is expected at `r11 = 1`"),
        ("r1 =", "line 1: a number is expected at ``"),
        ("r1 = w2", "line 1: a 64-bit register (r0 to r10) is expected at `w2`"),
        (
            "r1 = 0x80000000",
            "line 1: 2147483648 does not fit into the 32 signed bits of an immediate (end it with `ll` for 64)",
        ),
        ("exit now", "line 1: the end of the line is expected at `now`"),
        ("goto nowhere", "line 1: there is no label `nowhere`"),
        ("a: exit\na: exit", "line 2: label `a` stands on two lines"),
        (".hex 95\nexit", "line 2: the bytes before are no whole number of 8-byte instructions"),
        (".hex 9", "line 1: a pair of hexadecimal digits is expected at `9`"),
        ("lock *(u8 *)(r1 + 0) += r2", "line 1: there is no such instruction"),
        ("goto +40000", "line 1: 40000 does not fit into the 16-bit distance of goto (gotol has 32 bits)"),
        ("r1 = *(u32 *)(r2 + 32768)", "line 1: 32768 does not fit into the 16 signed bits of an offset"),
        ("r1 = -r2", "line 1: the destination register again is expected at `r2`"),
    ] {
        assert_eq!(assemble(text).unwrap_err().to_string(), message);
    }
}

/// A small generator (xorshift64): the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn any_bytes_decode_or_are_refused() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..100_000 {
        let len = random.next() as usize % 41;
        let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        match decode(&bytes) {
            Ok(insns) => assert_eq!(insns.len() * 8, len),
            Err(DecodeError::OddLength { .. }) => assert!(!len.is_multiple_of(8)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn any_text_assembles_or_is_refused() {
    const PARTS: &[&str] = &[
        "r1",
        "w2",
        "r10",
        "=",
        "+=",
        "-",
        "(",
        ")",
        "*",
        "u32",
        "s8",
        "goto",
        "gotol",
        "if",
        "==",
        "s>",
        "lock",
        "call",
        "local",
        "callx",
        "exit",
        "ll",
        "1",
        "-2",
        "0x",
        "0xffffffffffffffff",
        "le16",
        "bswap64",
        "xchg_64",
        "atomic_fetch_add",
        ",",
        "skb",
        "[",
        "]",
        "a",
        ":",
        ".hex",
        "9",
        "é",
        "\u{0}",
        "\n",
        "#",
        "99999999999999999999999",
        "map_fd",
        "s",
        "+",
    ];
    let mut random = Random(7);
    for _ in 0..100_000 {
        let mut text = String::new();
        for _ in 0..random.next() % 12 {
            text += PARTS[random.next() as usize % PARTS.len()];
            if random.next().is_multiple_of(2) {
                text.push(' ');
            }
        }
        if let Err(error) = assemble(&text) {
            assert!(error.line >= 1 && !error.problem.to_string().is_empty());
        }
    }
}
