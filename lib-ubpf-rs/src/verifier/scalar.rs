//! What is known of a number: bits, and ranges of the whole and of its low half, unsigned and signed.
//!
//! The functions take the width of a whole number in bits: 64 in the verifier, less in the tests, which try every case of a
//! small width. The half has half as many bits. Each function is *sound*: whatever numbers the operands stand for, the result
//! stands for the number that the instruction computes from them.

use super::{
    planted::{self, Bug},
    tnum::{low_mask, Tnum},
};
use crate::isa::AluOp;

/// Ranges of one number, ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    pub(super) umin: u64,
    pub(super) umax: u64,
    pub(super) smin: i64,
    pub(super) smax: i64,
}

/// Which part of a number an operation works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// All bits.
    Whole,
    /// The low half; arithmetic clears the upper one.
    Half,
}

/// What is known of one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scalar {
    pub(super) tnum: Tnum,
    pub(super) whole: Bounds,
    pub(super) half: Bounds,
}

/// A comparison that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Equal,
    Differ,
    Below,
    BelowOrEqual,
    Less,
    LessOrEqual,
    /// A common bit is set.
    Meet,
    /// No common bit is set.
    Disjoint,
}

/// The low `bits` bits as a signed number.
pub(super) const fn signed(bits: u32, value: u64) -> i64 {
    let shift = 64u32.wrapping_sub(bits);
    (value.wrapping_shl(shift) as i64).wrapping_shr(shift)
}

const fn half(bits: u32) -> u32 {
    bits / 2
}

fn max<T: Ord>(a: T, b: T) -> T {
    core::cmp::max(a, b)
}

fn min<T: Ord>(a: T, b: T) -> T {
    core::cmp::min(a, b)
}

impl Bounds {
    pub(super) const fn full(bits: u32) -> Bounds {
        Bounds {
            umin: 0,
            umax: low_mask(bits),
            smin: signed(bits, 1u64.wrapping_shl(bits.wrapping_sub(1))),
            smax: low_mask(bits.wrapping_sub(1)) as i64,
        }
    }

    const fn constant(bits: u32, value: u64) -> Bounds {
        let value = value & low_mask(bits);
        let number = signed(bits, value);
        Bounds { umin: value, umax: value, smin: number, smax: number }
    }

    fn unsigned(bits: u32, umin: u64, umax: u64) -> Bounds {
        Bounds { umin, umax, ..Bounds::full(bits) }
    }

    fn is_constant(&self) -> bool {
        self.umin == self.umax
    }

    fn is_empty(&self) -> bool {
        self.umin > self.umax || self.smin > self.smax
    }

    fn contains(&self, bits: u32, value: u64) -> bool {
        let value = value & low_mask(bits);
        let number = signed(bits, value);
        (self.umin..=self.umax).contains(&value) && (self.smin..=self.smax).contains(&number)
    }

    fn includes(&self, other: &Bounds) -> bool {
        self.umin <= other.umin && self.umax >= other.umax && self.smin <= other.smin && self.smax >= other.smax
    }

    fn clip_unsigned(&mut self, umin: u64, umax: u64) {
        self.umin = max(self.umin, umin);
        self.umax = min(self.umax, umax);
    }

    fn clip_signed(&mut self, smin: i64, smax: i64) {
        self.smin = max(self.smin, smin);
        self.smax = min(self.smax, smax);
    }

    fn clip(&mut self, other: &Bounds) {
        self.clip_unsigned(other.umin, other.umax);
        self.clip_signed(other.smin, other.smax);
    }

    fn union(&self, other: &Bounds) -> Bounds {
        Bounds {
            umin: min(self.umin, other.umin),
            umax: max(self.umax, other.umax),
            smin: min(self.smin, other.smin),
            smax: max(self.smax, other.smax),
        }
    }

    /// What the bits say.
    fn learn_bits(&mut self, bits: u32, tnum: Tnum) {
        let sign = 1u64.wrapping_shl(bits.wrapping_sub(1));
        self.clip_unsigned(tnum.value, tnum.value | tnum.mask);
        let least = signed(bits, tnum.value | (tnum.mask & sign));
        let most = signed(bits, tnum.value | (tnum.mask & !sign));
        self.clip_signed(least, most);
        self.learn_multiple(tnum);
    }

    /// Where the low bits are known, the ends of the range have them too.
    fn learn_multiple(&mut self, tnum: Tnum) {
        let known = match tnum.mask.trailing_zeros() {
            0 | 64 => return,
            bits => low_mask(bits),
        };
        let rest = tnum.value & known;
        let down = self.umax.wrapping_sub(rest) & known;
        let up = rest.wrapping_sub(self.umin) & known;
        if let (Some(umin), Some(umax)) = (self.umin.checked_add(up), self.umax.checked_sub(down)) {
            self.clip_unsigned(umin, umax);
        }
    }

    /// What each sign's view says of the other.
    fn learn_signs(&mut self, bits: u32) {
        let (least, most) = (signed(bits, self.umin), signed(bits, self.umax));
        if least <= most {
            self.clip_signed(least, most);
        }
        if self.smin >= 0 || self.smax < 0 {
            let keep = low_mask(bits);
            self.clip_unsigned(self.smin as u64 & keep, self.smax as u64 & keep);
        }
    }
}

impl Scalar {
    pub(super) const fn unknown(bits: u32) -> Scalar {
        Scalar { tnum: Tnum::unknown(bits), whole: Bounds::full(bits), half: Bounds::full(half(bits)) }
    }

    pub(super) const fn constant(bits: u32, value: u64) -> Scalar {
        let value = value & low_mask(bits);
        Scalar {
            tnum: Tnum::constant(value),
            whole: Bounds::constant(bits, value),
            half: Bounds::constant(half(bits), value),
        }
    }

    /// All numbers whose known bits are these.
    pub(super) fn from_bits(bits: u32, tnum: Tnum) -> Scalar {
        if tnum.mask == 0 {
            return Scalar::constant(bits, tnum.value);
        }
        let unknown = Scalar::unknown(bits);
        Scalar { tnum, ..unknown }.settled(bits)
    }

    /// All numbers from `umin` to `umax`.
    pub(super) fn range(bits: u32, umin: u64, umax: u64) -> Scalar {
        let whole = Bounds::unsigned(bits, umin, umax);
        let unknown = Scalar::unknown(bits);
        Scalar { whole, ..unknown }.settled(bits)
    }

    /// All numbers from `smin` to `smax`.
    #[cfg(test)]
    pub(super) fn signed_range(bits: u32, smin: i64, smax: i64) -> Scalar {
        let full = Bounds::full(bits);
        let whole = Bounds { smin, smax, ..full };
        let unknown = Scalar::unknown(bits);
        Scalar { whole, ..unknown }.settled(bits)
    }

    /// The only number it can be.
    pub(super) const fn value(&self) -> Option<u64> {
        match self.tnum.mask {
            0 => Some(self.tnum.value),
            _ => None,
        }
    }

    pub(super) fn contains(&self, bits: u32, value: u64) -> bool {
        self.tnum.contains(value) && self.whole.contains(bits, value) && self.half.contains(half(bits), value)
    }

    /// Whether it stands for all that `other` stands for.
    pub(super) fn includes(&self, other: &Scalar) -> bool {
        self.tnum.includes(other.tnum) && self.whole.includes(&other.whole) && self.half.includes(&other.half)
    }

    /// Makes use of a limit of the unsigned number. False when there is no such number.
    pub(super) fn at_most(&mut self, bits: u32, most: u64) -> bool {
        self.whole.clip_unsigned(0, most);
        !self.whole.is_empty() && self.settle(bits)
    }

    /// Stands for what either stands for.
    pub(super) fn union(&self, other: &Scalar) -> Scalar {
        Scalar {
            tnum: self.tnum.union(other.tnum),
            whole: self.whole.union(&other.whole),
            half: self.half.union(&other.half),
        }
    }

    /// Lets each part of the knowledge sharpen the others. False when they contradict: there is no such number.
    pub(super) fn settle(&mut self, bits: u32) -> bool {
        if self.tnum.mask == 0 {
            return self.settle_constant(bits);
        }
        let half = half(bits);
        for _ in 0..2 {
            self.whole.learn_bits(bits, self.tnum);
            self.half.learn_bits(half, self.tnum.truncate(half));
            self.learn_halves(bits);
            self.whole.learn_signs(bits);
            self.half.learn_signs(half);
            if !self.learn_ranges(bits) {
                return false;
            }
        }
        true
    }

    fn settle_constant(&mut self, bits: u32) -> bool {
        let value = self.tnum.value;
        let possible = self.whole.contains(bits, value) && self.half.contains(half(bits), value);
        *self = Scalar::constant(bits, value);
        possible
    }

    /// The whole says something of its half, and the half of the whole.
    fn learn_halves(&mut self, bits: u32) {
        let half = half(bits);
        let keep = low_mask(half);
        let (whole, low) = (&mut self.whole, &mut self.half);
        if whole.umin & !keep == whole.umax & !keep {
            low.clip_unsigned(whole.umin & keep, whole.umax & keep);
        }
        let narrow = Bounds::full(half);
        if whole.smin >= narrow.smin && whole.smax <= narrow.smax {
            low.clip_signed(whole.smin, whole.smax);
            whole.clip_signed(low.smin, low.smax);
        }
        whole.clip_unsigned((whole.umin & !keep) | low.umin, (whole.umax & !keep) | low.umax);
    }

    /// The ranges say something of the bits.
    fn learn_ranges(&mut self, bits: u32) -> bool {
        if self.whole.is_empty() || self.half.is_empty() {
            return false;
        }
        let keep = low_mask(half(bits));
        let mut low = Tnum::range(self.half.umin, self.half.umax);
        low.mask |= low_mask(bits) & !keep;
        let whole = Tnum::range(self.whole.umin, self.whole.umax);
        let known = self.tnum.intersect(whole);
        let Some(tnum) = known.and_then(|t| t.intersect(low)) else {
            return false;
        };
        self.tnum = tnum;
        true
    }

    /// Of operands that stand for some number, a sound result does too; should it not, nothing is claimed.
    fn settled(mut self, bits: u32) -> Scalar {
        if self.settle(bits) {
            return self;
        }
        Scalar::unknown(bits)
    }

    /// The low half, zero-extended.
    pub(super) fn low_half(&self, bits: u32) -> Scalar {
        if self.whole.umax <= low_mask(half(bits)) {
            return *self;
        }
        let whole = Bounds::unsigned(bits, self.half.umin, self.half.umax);
        let tnum = self.tnum.truncate(half(bits));
        let half = self.half;
        Scalar { tnum, whole, half }.settled(bits)
    }

    /// The low `from` bits, zero-extended.
    pub(super) fn truncate(&self, bits: u32, from: u32) -> Scalar {
        if self.whole.umax <= low_mask(from) {
            return *self;
        }
        if from == half(bits) {
            return self.low_half(bits);
        }
        Scalar::from_bits(bits, self.tnum.truncate(from))
    }

    /// The low `from` bits, sign-extended to the whole.
    pub(super) fn sign_extend(&self, bits: u32, from: u32) -> Scalar {
        let fits = Bounds::full(from);
        if self.whole.smin >= fits.smin && self.whole.smax <= fits.smax {
            return *self;
        }
        let shift = bits.wrapping_sub(from);
        let tnum = self.tnum.truncate(from).shl(shift).sar(bits, shift);
        let mut result = Scalar { tnum, ..Scalar::unknown(bits) };
        result.whole.clip_signed(fits.smin, fits.smax);
        if from == half(bits) {
            result.whole.clip_signed(self.half.smin, self.half.smax);
            result.half = self.half;
        }
        result.settled(bits)
    }

    /// The bytes of the low `size` bits in the other order, the rest 0.
    pub(super) fn swap_bytes(&self, bits: u32, size: u32) -> Scalar {
        let swap = |v: u64| v.swap_bytes().wrapping_shr(64u32.wrapping_sub(size));
        let low = self.tnum.truncate(size);
        let tnum = Tnum { value: swap(low.value), mask: swap(low.mask) };
        Scalar::from_bits(bits, tnum)
    }

    /// `a op b`.
    pub(super) fn alu(bits: u32, part: Part, op: AluOp, a: &Scalar, b: &Scalar) -> Scalar {
        let low = half(bits);
        match part {
            Part::Whole => {
                let tnum = bit_op(bits, op, (a.tnum, &a.whole), (b.tnum, &b.whole));
                if tnum.mask == 0 {
                    return Scalar::constant(bits, tnum.value);
                }
                let whole = bounds_op(bits, op, &a.whole, &b.whole);
                let half =
                    if op.low_half_is_closed() { bounds_op(low, op, &a.half, &b.half) } else { Bounds::full(low) };
                Scalar { tnum, whole, half }.settled(bits)
            }
            Part::Half => {
                let (x, y) = (a.tnum.truncate(low), b.tnum.truncate(low));
                let tnum = bit_op(low, op, (x, &a.half), (y, &b.half));
                let half = bounds_op(low, op, &a.half, &b.half);
                let whole = Bounds::unsigned(bits, half.umin, half.umax);
                Scalar { tnum, whole, half }.settled(bits)
            }
        }
    }

    /// Makes use of a comparison that holds. False when it cannot hold.
    pub(super) fn assume(bits: u32, part: Part, fact: Comparison, a: &mut Scalar, b: &mut Scalar) -> bool {
        let width = match part {
            Part::Whole => bits,
            Part::Half => half(bits),
        };
        let possible = match fact {
            Comparison::Meet => meet(width, a, b),
            Comparison::Disjoint => disjoint(width, a, b),
            Comparison::Equal => {
                equal_bits(width, a, b) && {
                    let (x, y) = (a.part(part), b.part(part));
                    x.clip(y);
                    *y = *x;
                    !x.is_empty()
                }
            }
            Comparison::Differ => differ(width, a.part(part), b.part(part)),
            Comparison::Below => below(a.part(part), b.part(part)),
            Comparison::BelowOrEqual => below_or_equal(a.part(part), b.part(part)),
            Comparison::Less => less(a.part(part), b.part(part)),
            Comparison::LessOrEqual => less_or_equal(a.part(part), b.part(part)),
        };
        if part == Part::Half && planted::active(Bug::HalfIsWhole) {
            a.whole.clip_unsigned(a.half.umin, a.half.umax);
        }
        possible && a.settle(bits) && b.settle(bits)
    }

    fn part(&mut self, part: Part) -> &mut Bounds {
        match part {
            Part::Whole => &mut self.whole,
            Part::Half => &mut self.half,
        }
    }
}

/// The shift count, if it is known; counts are taken modulo the width.
fn shift_count(bits: u32, b: &Bounds) -> Option<u32> {
    let count = b.umin & u64::from(bits.wrapping_sub(1));
    b.is_constant().then_some(count as u32)
}

/// Least and greatest shift count.
fn shift_range(bits: u32, b: &Bounds) -> (u32, u32) {
    let top = bits.wrapping_sub(1);
    if planted::active(Bug::ShiftBeyond) && b.is_constant() {
        return (min(b.umin, 63) as u32, min(b.umin, 63) as u32);
    }
    if b.umax <= u64::from(top) {
        return (b.umin as u32, b.umax as u32);
    }
    match shift_count(bits, b) {
        Some(count) => (count, count),
        None => (0, top),
    }
}

/// What is known of the result's bits.
fn bit_op(bits: u32, op: AluOp, (a, bounds): (Tnum, &Bounds), (b, count): (Tnum, &Bounds)) -> Tnum {
    let unknown = Tnum::unknown(bits);
    let shift = || shift_count(bits, count);
    let result = match op {
        AluOp::Add => a.add(b),
        AluOp::Sub => a.sub(b),
        AluOp::Mul => a.mul(b),
        AluOp::Or => a.or(b),
        AluOp::And => a.and(b),
        AluOp::Xor => a.xor(b),
        AluOp::Mov => b,
        AluOp::Lsh => shift().map_or(unknown, |n| a.shl(n)),
        AluOp::Rsh => shift().map_or(unknown, |n| a.shr(n)),
        AluOp::Arsh => shift().map_or(unknown, |n| a.sar(bits, n)),
        AluOp::Mod if b.mask == 0 && b.value.is_power_of_two() => a.and(Tnum::constant(b.value.wrapping_sub(1))),
        AluOp::Mod if bounds.umax < count.umin => a,
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => unknown,
    };
    result.truncate(bits)
}

/// What is known of the result's ranges; [`Scalar::settle`] adds what the bits say.
fn bounds_op(bits: u32, op: AluOp, a: &Bounds, b: &Bounds) -> Bounds {
    match op {
        AluOp::Add => add(bits, a, b),
        AluOp::Sub => sub(bits, a, b),
        AluOp::Mul => mul(bits, a, b),
        AluOp::Div => div(bits, a, b),
        AluOp::Mod => modulo(bits, a, b),
        AluOp::Sdiv => signed_div(bits, a, b),
        AluOp::Smod => signed_modulo(bits, a, b),
        AluOp::And if planted::active(Bug::BitwiseHalf) && bits <= 32 => Bounds::unsigned(bits, 0, min(a.umin, b.umin)),
        AluOp::And => Bounds::unsigned(bits, 0, min(a.umax, b.umax)),
        AluOp::Or => Bounds::unsigned(bits, max(a.umin, b.umin), low_mask(bits)),
        AluOp::Xor => Bounds::full(bits),
        AluOp::Mov => *b,
        AluOp::Lsh => shift_left(bits, a, b),
        AluOp::Rsh => {
            let (least, most) = shift_range(bits, b);
            Bounds::unsigned(bits, a.umin.wrapping_shr(most), a.umax.wrapping_shr(least))
        }
        AluOp::Arsh => {
            let (least, most) = shift_range(bits, b);
            let ends = |v: i64| (v.wrapping_shr(least), v.wrapping_shr(most));
            let (low, high) = (ends(a.smin), ends(a.smax));
            Bounds { smin: min(low.0, low.1), smax: max(high.0, high.1), ..Bounds::full(bits) }
        }
    }
}

/// Sums that wrap around for all operands or for none keep their order.
fn add(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    let mut result = Bounds::full(bits);
    let top = u128::from(low_mask(bits));
    let least = u128::from(a.umin).wrapping_add(u128::from(b.umin));
    let most = u128::from(a.umax).wrapping_add(u128::from(b.umax));
    if most <= top || least > top || planted::active(Bug::AddWraps) {
        result.umin = least as u64 & low_mask(bits);
        result.umax = most as u64 & low_mask(bits);
    }
    let least = i128::from(a.smin).wrapping_add(i128::from(b.smin));
    let most = i128::from(a.smax).wrapping_add(i128::from(b.smax));
    set_signed(&mut result, least, most);
    result
}

fn sub(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    let mut result = Bounds::full(bits);
    let least = i128::from(a.umin).wrapping_sub(i128::from(b.umax));
    let most = i128::from(a.umax).wrapping_sub(i128::from(b.umin));
    if least >= 0 || most < 0 {
        result.umin = least as u64 & low_mask(bits);
        result.umax = most as u64 & low_mask(bits);
    }
    let least = i128::from(a.smin).wrapping_sub(i128::from(b.smax));
    let most = i128::from(a.smax).wrapping_sub(i128::from(b.smin));
    set_signed(&mut result, least, most);
    result
}

/// Takes a signed range over when no end of it wraps around.
fn set_signed(result: &mut Bounds, least: i128, most: i128) {
    if least >= i128::from(result.smin) && most <= i128::from(result.smax) {
        result.smin = least as i64;
        result.smax = most as i64;
    }
}

fn mul(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    let mut result = Bounds::full(bits);
    let most = u128::from(a.umax).wrapping_mul(u128::from(b.umax));
    if most <= u128::from(low_mask(bits)) {
        result.umin = a.umin.wrapping_mul(b.umin);
        result.umax = most as u64;
    }
    let product = |x: i64, y: i64| i128::from(x).wrapping_mul(i128::from(y));
    let corners = [product(a.smin, b.smin), product(a.smin, b.smax), product(a.smax, b.smin), product(a.smax, b.smax)];
    let least = corners.into_iter().fold(i128::MAX, min);
    let most = corners.into_iter().fold(i128::MIN, max);
    set_signed(&mut result, least, most);
    result
}

fn div(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    let most = a.umax.checked_div(b.umin).unwrap_or(a.umax);
    let least = if b.umin == 0 { 0 } else { a.umin.checked_div(b.umax).unwrap_or(0) };
    Bounds::unsigned(bits, least, most)
}

fn modulo(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    if b.umin > a.umax {
        return *a;
    }
    let most = if b.umin == 0 { a.umax } else { min(a.umax, b.umax.wrapping_sub(1)) };
    Bounds::unsigned(bits, 0, most)
}

/// With a constant divisor that can neither be zero nor overflow.
fn signed_div(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    let full = Bounds::full(bits);
    if !b.is_constant() || matches!(b.smin, 0 | -1) {
        return full;
    }
    let end = |v: i64| v.checked_div(b.smin).unwrap_or(0);
    let (x, y) = (end(a.smin), end(a.smax));
    let (smin, smax) = (min(x, y), max(x, y));
    Bounds { smin, smax, ..full }
}

/// The remainder has the dividend's sign and is smaller than the divisor.
fn signed_modulo(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    let full = Bounds::full(bits);
    if !b.is_constant() || matches!(b.smin, 0 | -1) {
        return full;
    }
    let most = b.smin.unsigned_abs().wrapping_sub(1) as i64;
    let smin = if a.smin >= 0 { 0 } else { max(a.smin, most.wrapping_neg()) };
    let smax = if a.smax <= 0 { 0 } else { min(a.smax, most) };
    Bounds { smin, smax, ..full }
}

fn shift_left(bits: u32, a: &Bounds, b: &Bounds) -> Bounds {
    let mut result = Bounds::full(bits);
    let (least, most) = shift_range(bits, b);
    if a.umax <= low_mask(bits).wrapping_shr(most) {
        result.umin = a.umin.wrapping_shl(least);
        result.umax = a.umax.wrapping_shl(most);
    }
    if least == most {
        let shifted = |v: i64| i128::from(v).wrapping_shl(least);
        set_signed(&mut result, shifted(a.smin), shifted(a.smax));
    }
    result
}

fn below(a: &mut Bounds, b: &mut Bounds) -> bool {
    let (Some(most), Some(least)) = (b.umax.checked_sub(1), a.umin.checked_add(1)) else {
        return false;
    };
    a.umax = min(a.umax, most);
    b.umin = max(b.umin, least);
    !a.is_empty() && !b.is_empty()
}

fn below_or_equal(a: &mut Bounds, b: &mut Bounds) -> bool {
    a.umax = min(a.umax, b.umax);
    b.umin = max(b.umin, a.umin);
    !a.is_empty() && !b.is_empty()
}

fn less(a: &mut Bounds, b: &mut Bounds) -> bool {
    let (Some(most), Some(least)) = (b.smax.checked_sub(1), a.smin.checked_add(1)) else {
        return false;
    };
    a.smax = min(a.smax, most);
    b.smin = max(b.smin, least);
    !a.is_empty() && !b.is_empty()
}

fn less_or_equal(a: &mut Bounds, b: &mut Bounds) -> bool {
    a.smax = min(a.smax, b.smax);
    b.smin = max(b.smin, a.smin);
    !a.is_empty() && !b.is_empty()
}

/// A number that is not a known one is not at the end of its range where that end is the known one.
fn differ(bits: u32, a: &mut Bounds, b: &mut Bounds) -> bool {
    if b.is_constant() && !trim(bits, a, b.umin) {
        return false;
    }
    if a.is_constant() && !trim(bits, b, a.umin) {
        return false;
    }
    true
}

fn trim(bits: u32, a: &mut Bounds, not: u64) -> bool {
    if a.is_constant() {
        return a.umin != not;
    }
    if a.umin == not {
        a.umin = a.umin.wrapping_add(1);
    } else if a.umax == not {
        a.umax = a.umax.wrapping_sub(1);
    }
    let not = signed(bits, not);
    if a.smin == a.smax {
        return a.smin != not;
    }
    if a.smin == not {
        a.smin = a.smin.wrapping_add(1);
    } else if a.smax == not {
        a.smax = a.smax.wrapping_sub(1);
    }
    true
}

/// The low `width` bits are the same.
fn equal_bits(width: u32, a: &mut Scalar, b: &mut Scalar) -> bool {
    let keep = low_mask(width);
    let Some(common) = a.tnum.truncate(width).intersect(b.tnum.truncate(width)) else {
        return false;
    };
    for side in [a, b] {
        side.tnum.value = (side.tnum.value & !keep) | common.value;
        side.tnum.mask = (side.tnum.mask & !keep) | common.mask;
    }
    true
}

fn meet(width: u32, a: &mut Scalar, b: &mut Scalar) -> bool {
    let keep = low_mask(width);
    let possible = |t: Tnum| (t.value | t.mask) & keep;
    if possible(a.tnum) & possible(b.tnum) == 0 {
        return false;
    }
    let (x, y) = (a.tnum, b.tnum);
    set_only_bit(&mut a.tnum, y, keep);
    set_only_bit(&mut b.tnum, x, keep);
    true
}

/// When the other number is a single bit, this one has it.
fn set_only_bit(tnum: &mut Tnum, other: Tnum, keep: u64) {
    let bit = other.value & keep;
    if other.mask & keep == 0 && bit.is_power_of_two() {
        tnum.value |= bit;
        tnum.mask &= !bit;
    }
}

fn disjoint(width: u32, a: &mut Scalar, b: &mut Scalar) -> bool {
    let keep = low_mask(width);
    if a.tnum.value & b.tnum.value & keep != 0 {
        return false;
    }
    let (x, y) = (a.tnum.value & keep, b.tnum.value & keep);
    a.tnum.mask &= !y;
    b.tnum.mask &= !x;
    true
}
