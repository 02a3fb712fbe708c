//! Widening: what grows at a loop's head grows to the next number that the program itself compares with, then to the limit, so
//! that the analysis of a loop ends after a few rounds.

use super::{
    scalar::{Bounds, Scalar},
    tnum::Tnum,
    value::{Value, BITS, NO_ROOM},
    work::{pieces, price, Work},
    VerifyError,
};
use crate::isa::{AluOp, Insn, Operand};
use alloc::vec::Vec;

/// Most numbers that are remembered.
const MOST: usize = 256;

/// How far what grows goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// To the next number of the program.
    Next,
    /// To the limit of what grows.
    Limit,
    /// Nothing is kept of a value that changes.
    Top,
}

/// Numbers at which growth halts.
#[derive(Debug)]
pub(super) struct Thresholds<'a> {
    /// Ascending.
    pub(super) numbers: &'a [i64],
    pub(super) step: Step,
}

/// The numbers that a program compares with or limits by, and their neighbours; ascending.
pub(super) fn numbers(insns: &[Insn], work: &mut Work<'_>) -> Result<Vec<i64>, VerifyError> {
    let mut list = Vec::new();
    list.try_reserve_exact(MOST).map_err(|_| VerifyError::NoMemory)?;
    for piece in pieces(0..insns.len()) {
        work.spend_each(piece.len(), price::GLANCE)?;
        for number in piece.filter_map(|pc| insns.get(pc).and_then(number)) {
            if list.len().saturating_add(3) <= MOST {
                list.extend([number.wrapping_sub(1), number, number.wrapping_add(1)]);
            }
        }
    }
    crate::platform::sort(&mut list);
    list.dedup();
    Ok(list)
}

/// The number that an instruction compares with or limits by.
fn number(insn: &Insn) -> Option<i64> {
    match *insn {
        Insn::Branch { src: Operand::Imm(imm), .. } => Some(imm.into()),
        Insn::Alu { op: AluOp::Mov | AluOp::And | AluOp::Mod, src: Operand::Imm(imm), .. } => Some(imm.into()),
        Insn::LoadImm64 { imm, .. } => Some(imm as i64),
        _ => None,
    }
}

impl Thresholds<'_> {
    /// Stands for what either value stands for, and for more where the second has more.
    pub(super) fn widen(&self, old: &Value, new: &Value, argument_min: (u32, u32)) -> Value {
        let mut joined = old.union(new, argument_min);
        if joined.kind != old.kind {
            return joined;
        }
        if joined.num != old.num {
            joined.num = match self.step {
                Step::Top => Scalar::unknown(BITS),
                Step::Next | Step::Limit => self.grow(&old.num, &joined.num),
            };
        }
        if joined.room != old.room(argument_min.0) {
            joined.room = match (joined.room, self.step) {
                (NO_ROOM, _) | (_, Step::Limit | Step::Top) => NO_ROOM,
                (_, Step::Next) => 0,
            };
        }
        // Growth stops there; a contradiction cannot be, since what is clipped stands for all of the old value.
        let grown = joined;
        if joined.settle_room() {
            joined
        } else {
            grown
        }
    }

    fn grow(&self, old: &Scalar, joined: &Scalar) -> Scalar {
        let mut num = *joined;
        self.grow_bounds(BITS, &old.whole, &mut num.whole);
        self.grow_bounds(BITS / 2, &old.half, &mut num.half);
        num.tnum = grow_bits(old.tnum, num.tnum);
        let grown = num;
        // What the parts say of each other; they cannot contradict, since each stands for all of `joined`.
        if num.settle(BITS) {
            return num;
        }
        grown
    }

    fn grow_bounds(&self, bits: u32, old: &Bounds, new: &mut Bounds) {
        let full = Bounds::full(bits);
        if new.umax > old.umax {
            let next = i64::try_from(new.umax).ok().and_then(|n| self.at_least(n));
            let next = next.and_then(|n| u64::try_from(n).ok());
            new.umax = next.unwrap_or(full.umax).min(full.umax);
        }
        if new.umin < old.umin {
            let least = i64::try_from(new.umin).ok().and_then(|n| self.at_most(n));
            new.umin = least.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        }
        if new.smax > old.smax {
            new.smax = self.at_least(new.smax).unwrap_or(full.smax).min(full.smax);
        }
        if new.smin < old.smin {
            new.smin = self.at_most(new.smin).unwrap_or(full.smin).max(full.smin);
        }
    }

    fn at_least(&self, number: i64) -> Option<i64> {
        let index = self.numbers.partition_point(|&n| n < number);
        let found = self.numbers.get(index).copied();
        found.filter(|_| self.step == Step::Next)
    }

    fn at_most(&self, number: i64) -> Option<i64> {
        let index = self.numbers.partition_point(|&n| n <= number);
        let found = self.numbers.get(index.wrapping_sub(1)).copied();
        found.filter(|_| self.step == Step::Next)
    }
}

/// From the lowest bit that is newly unknown on, nothing is known.
fn grow_bits(old: Tnum, joined: Tnum) -> Tnum {
    let new = joined.mask & !old.mask;
    if new == 0 {
        return joined;
    }
    let mask = joined.mask | u64::MAX.wrapping_shl(new.trailing_zeros());
    Tnum { value: joined.value & !mask, mask }
}
