//! Soundness of the transfer functions: exhaustive at small widths, at random at the full width.

use super::{
    scalar::{signed, Comparison, Part, Scalar},
    tnum::{low_mask, Tnum},
};
use crate::isa::AluOp;
use std::vec::Vec;

const FACTS: [Comparison; 8] = [
    Comparison::Equal,
    Comparison::Differ,
    Comparison::Below,
    Comparison::BelowOrEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Meet,
    Comparison::Disjoint,
];

/// What the instruction computes on numbers of `bits` bits (RFC 9669 section 4.1, scaled).
fn compute(bits: u32, op: AluOp, a: u64, b: u64) -> u64 {
    let (a, b) = (a & low_mask(bits), b & low_mask(bits));
    let (x, y) = (signed(bits, a), signed(bits, b));
    let count = (b & u64::from(bits - 1)) as u32;
    let result = match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Sdiv if y == 0 => 0,
        AluOp::Sdiv => x.wrapping_div(y) as u64,
        AluOp::Smod if y == 0 => a,
        AluOp::Smod => x.wrapping_rem(y) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Mov => b,
        AluOp::Lsh => a << count,
        AluOp::Rsh => a >> count,
        AluOp::Arsh => (x >> count) as u64,
    };
    result & low_mask(bits)
}

fn part_bits(bits: u32, part: Part) -> u32 {
    match part {
        Part::Whole => bits,
        Part::Half => bits / 2,
    }
}

fn holds(bits: u32, fact: Comparison, a: u64, b: u64) -> bool {
    let (a, b) = (a & low_mask(bits), b & low_mask(bits));
    let (x, y) = (signed(bits, a), signed(bits, b));
    match fact {
        Comparison::Equal => a == b,
        Comparison::Differ => a != b,
        Comparison::Below => a < b,
        Comparison::BelowOrEqual => a <= b,
        Comparison::Less => x < y,
        Comparison::LessOrEqual => x <= y,
        Comparison::Meet => a & b != 0,
        Comparison::Disjoint => a & b == 0,
    }
}

/// Every scalar of `bits` bits that is a range or a pattern of bits, with the numbers it stands for.
fn all(bits: u32) -> Vec<(Scalar, Vec<u64>)> {
    let top = 1u64 << bits;
    let mut scalars = Vec::new();
    for low in 0..top {
        for high in low..top {
            scalars.push(Scalar::range(bits, low, high));
            let (least, most) = (signed(bits, low), signed(bits, high));
            scalars.push(Scalar::signed_range(bits, least.min(most), least.max(most)));
        }
        for mask in 0..top {
            if low & mask == 0 {
                scalars.push(Scalar::from_bits(bits, Tnum { value: low, mask }));
            }
        }
    }
    let with_members = scalars.into_iter().map(|s| (s, members(bits, &s)));
    let mut distinct: Vec<(Scalar, Vec<u64>)> = Vec::new();
    for one in with_members {
        if !distinct.iter().any(|other| other.0 == one.0) {
            distinct.push(one);
        }
    }
    distinct
}

fn members(bits: u32, scalar: &Scalar) -> Vec<u64> {
    (0..1u64 << bits).filter(|&v| scalar.contains(bits, v)).collect()
}

fn check_alu(
    bits: u32,
    part: Part,
    op: AluOp,
    a: &(Scalar, Vec<u64>),
    b: &(Scalar, Vec<u64>),
) -> Result<(), std::string::String> {
    let result = Scalar::alu(bits, part, op, &a.0, &b.0);
    for &x in &a.1 {
        for &y in &b.1 {
            let value = compute(part_bits(bits, part), op, x, y);
            if !result.contains(bits, value) {
                return Err(std::format!(
                    "{op:?} {part:?} of {x} in {:?} and {y} in {:?}: {value} is not in {result:?}",
                    a.0,
                    b.0
                ));
            }
        }
    }
    Ok(())
}

fn check_fact(
    bits: u32,
    part: Part,
    fact: Comparison,
    a: &(Scalar, Vec<u64>),
    b: &(Scalar, Vec<u64>),
) -> Result<(), std::string::String> {
    let (mut x, mut y) = (a.0, b.0);
    let possible = Scalar::assume(bits, part, fact, &mut x, &mut y);
    for &v in &a.1 {
        for &w in &b.1 {
            let kept = possible && x.contains(bits, v) && y.contains(bits, w);
            if holds(part_bits(bits, part), fact, v, w) && !kept {
                return Err(std::format!(
                    "{fact:?} {part:?} of {v} in {:?} and {w} in {:?} is lost: {x:?} {y:?}",
                    a.0,
                    b.0
                ));
            }
        }
    }
    Ok(())
}

/// All operations and comparisons of all pairs of scalars of a small width.
pub(super) fn exhaustive(bits: u32) -> Result<(), std::string::String> {
    let scalars = all(bits);
    for a in &scalars {
        for b in &scalars {
            for part in [Part::Whole, Part::Half] {
                AluOp::ALL.iter().try_for_each(|&op| check_alu(bits, part, op, a, b))?;
                FACTS.iter().try_for_each(|&fact| check_fact(bits, part, fact, a, b))?;
            }
        }
    }
    Ok(())
}

#[test]
fn operations_and_comparisons_of_scalars_of_four_bits_are_sound() {
    exhaustive(4).unwrap();
}

#[test]
fn conversions_of_all_scalars_of_six_bits_are_sound() {
    for (scalar, numbers) in all(6).iter() {
        for &v in numbers {
            assert!(scalar.low_half(6).contains(6, v & 7));
            for from in [2, 3] {
                assert!(scalar.truncate(6, from).contains(6, v & low_mask(from)));
                let extended = signed(from, v) as u64 & 0x3f;
                assert!(scalar.sign_extend(6, from).contains(6, extended), "{scalar:?} {v}");
            }
        }
    }
}

#[test]
fn limits_of_all_scalars_of_six_bits_are_sound() {
    for (scalar, numbers) in all(6) {
        for most in 0..64 {
            let mut limited = scalar;
            let possible = limited.at_most(6, most);
            for &number in numbers.iter().filter(|&&n| n <= most) {
                assert!(possible && limited.contains(6, number), "{scalar:?} {most}");
            }
            assert!(!possible || limited.whole.umax <= most, "{scalar:?} {most}");
        }
    }
}

/// What compilers make of `a % c`, and of `a % c` where only some bits of `a` may be set.
#[test]
fn a_number_less_its_quotient_times_the_divisor_is_the_remainder() {
    for bits in [4, 8] {
        for (a, c) in (0..1 << bits).flat_map(|a| (0..1 << bits).map(move |c| (a, c))) {
            for mask in (1..=bits).map(low_mask).filter(|mask| a & !mask == 0) {
                let quotient = compute(bits, AluOp::Div, a & mask, c);
                let product = compute(bits, AluOp::Mul, quotient, c);
                let left = compute(bits, AluOp::Sub, a, product);
                assert_eq!(left, compute(bits, AluOp::Mod, a, c));
            }
        }
    }
}

#[test]
fn joins_and_order_of_all_scalars_of_four_bits() {
    let scalars = all(4);
    for a in &scalars {
        for b in &scalars {
            let both = a.0.union(&b.0);
            assert!(both.includes(&a.0) && both.includes(&b.0), "{a:?} {b:?}");
            assert!(a.1.iter().chain(&b.1).all(|&v| both.contains(4, v)));
            if a.0.includes(&b.0) {
                assert!(b.1.iter().all(|v| a.1.contains(v)), "{a:?} {b:?}");
            }
        }
    }
}

/// A small generator of numbers that lie where bugs do (Marsaglia's xorshift).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Small, near a power of two, near the ends, or anything.
    pub(super) fn edge(&mut self) -> u64 {
        let near = (self.next() % 5).wrapping_sub(2);
        match self.next() % 6 {
            0 => near,
            1 => (1u64 << (self.next() % 64)).wrapping_add(near),
            2 => (u64::MAX << (self.next() % 64)).wrapping_add(near),
            3 => self.next() % 1024,
            4 => self.next() & 0xffff_ffff,
            _ => self.next(),
        }
    }

    /// A scalar with some of the numbers it stands for.
    fn scalar(&mut self) -> (Scalar, Vec<u64>) {
        let (a, b) = (self.edge(), self.edge());
        let scalar = match self.next() % 4 {
            0 => Scalar::range(64, a.min(b), a.max(b)),
            1 => Scalar::signed_range(64, (a as i64).min(b as i64), (a as i64).max(b as i64)),
            2 => Scalar::from_bits(64, Tnum { value: a & !b, mask: b }),
            _ => Scalar::constant(64, a),
        };
        let tnum = scalar.tnum;
        let ends = [scalar.whole.umin, scalar.whole.umax, scalar.whole.smin as u64, scalar.whole.smax as u64];
        let mut members: Vec<u64> = ends.into();
        for _ in 0..8 {
            members.push(tnum.value | (self.edge() & tnum.mask));
        }
        members.retain(|&v| scalar.contains(64, v));
        (scalar, members)
    }
}

/// Random pairs at the full width.
pub(super) fn random(seed: u64, pairs: usize) -> Result<(), std::string::String> {
    let mut numbers = Numbers(seed);
    for _ in 0..pairs {
        let (a, b) = (numbers.scalar(), numbers.scalar());
        for part in [Part::Whole, Part::Half] {
            AluOp::ALL.iter().try_for_each(|&op| check_alu(64, part, op, &a, &b))?;
            FACTS.iter().try_for_each(|&fact| check_fact(64, part, fact, &a, &b))?;
        }
        for &v in &a.1 {
            for from in [8, 16, 32] {
                let extended = signed(from, v) as u64;
                if !a.0.sign_extend(64, from).contains(64, extended) {
                    return Err(std::format!("sign extension of {v:#x} from {from} bits"));
                }
            }
            if !a.0.swap_bytes(64, 32).contains(64, u64::from((v as u32).swap_bytes())) {
                return Err(std::format!("byte swap of {v:#x}"));
            }
        }
    }
    Ok(())
}

#[test]
fn operations_and_comparisons_of_random_scalars_of_64_bits_are_sound() {
    random(0x9e37_79b9_7f4a_7c15, 2_000).unwrap();
}

/// The shift of a constant, the mask of an unknown, a comparison: results that programs rely on.
#[test]
fn results_are_as_close_as_programs_need() {
    let unknown = Scalar::unknown(64);
    let masked = Scalar::alu(64, Part::Whole, AluOp::And, &unknown, &Scalar::constant(64, 0xff));
    assert_eq!((masked.whole.umin, masked.whole.umax), (0, 0xff));
    let shifted = Scalar::alu(64, Part::Whole, AluOp::Lsh, &masked, &Scalar::constant(64, 3));
    assert_eq!((shifted.whole.umax, shifted.tnum.mask), (0x7f8, 0x7f8));
    let (mut index, mut limit) = (unknown, Scalar::constant(64, 100));
    assert!(Scalar::assume(64, Part::Half, Comparison::Below, &mut index, &mut limit));
    assert_eq!(index.low_half(64).whole.umax, 99);
    assert_eq!(index.whole.umax, u64::MAX - 0xffff_ffff + 99, "says little of the whole");
}
