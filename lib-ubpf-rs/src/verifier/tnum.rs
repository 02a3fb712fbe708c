//! Tristate numbers: of each bit is known that it is 0, that it is 1, or nothing.

/// `mask` has the unknown bits, `value` the known ones; no bit is in both. Stands for all numbers that agree with `value`
/// outside of `mask`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tnum {
    pub(super) value: u64,
    pub(super) mask: u64,
}

/// The low `bits` bits, 1 to 64 of them.
pub(super) const fn low_mask(bits: u32) -> u64 {
    u64::MAX >> 64u32.wrapping_sub(bits)
}

impl Tnum {
    pub(super) const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// Nothing is known of the low `bits` bits, the others are 0.
    pub(super) const fn unknown(bits: u32) -> Tnum {
        Tnum { value: 0, mask: low_mask(bits) }
    }

    /// The closest for all numbers from `min` to `max`: the common leading bits.
    pub(super) const fn range(min: u64, max: u64) -> Tnum {
        let mask = match (min ^ max).leading_zeros() {
            64 => 0,
            zeros => u64::MAX >> zeros,
        };
        Tnum { value: min & !mask, mask }
    }

    pub(super) const fn contains(self, number: u64) -> bool {
        (number ^ self.value) & !self.mask == 0
    }

    /// Whether all numbers of `other` are in `self`.
    pub(super) const fn includes(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && (self.value ^ other.value) & !self.mask == 0
    }

    /// The low `bits` bits; the others become 0.
    pub(super) const fn truncate(self, bits: u32) -> Tnum {
        let keep = low_mask(bits);
        Tnum { value: self.value & keep, mask: self.mask & keep }
    }

    /// What both allow, or `None` when they contradict.
    pub(super) const fn intersect(self, other: Tnum) -> Option<Tnum> {
        if (self.value ^ other.value) & !self.mask & !other.mask != 0 {
            return None;
        }
        let mask = self.mask & other.mask;
        Some(Tnum { value: (self.value | other.value) & !mask, mask })
    }

    /// What either allows.
    pub(super) const fn union(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask | (self.value ^ other.value);
        Tnum { value: self.value & !mask, mask }
    }

    pub(super) const fn and(self, other: Tnum) -> Tnum {
        let value = self.value & other.value;
        let possible = (self.value | self.mask) & (other.value | other.mask);
        Tnum { value, mask: possible & !value }
    }

    pub(super) const fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    pub(super) const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum { value: (self.value ^ other.value) & !mask, mask }
    }

    /// A sum's bit is unknown where an operand's is, or where a carry may or may not arrive.
    pub(super) const fn add(self, other: Tnum) -> Tnum {
        let least = self.value.wrapping_add(other.value);
        let most = least.wrapping_add(self.mask.wrapping_add(other.mask));
        let mask = (least ^ most) | self.mask | other.mask;
        Tnum { value: least & !mask, mask }
    }

    pub(super) const fn sub(self, other: Tnum) -> Tnum {
        let difference = self.value.wrapping_sub(other.value);
        let most = difference.wrapping_add(self.mask);
        let least = difference.wrapping_sub(other.mask);
        let mask = (most ^ least) | self.mask | other.mask;
        Tnum { value: difference & !mask, mask }
    }

    /// The sum of the shifted multiplicands, for each bit of `self` that may be set.
    pub(super) const fn mul(self, other: Tnum) -> Tnum {
        let known = Tnum::constant(self.value.wrapping_mul(other.value));
        let (mut a, mut b) = (self, other);
        let mut unknown = Tnum::constant(0);
        while a.value | a.mask != 0 {
            // All ones where the bit may be set, and where it is not known: no jump depends on the bits.
            let may = ((a.value | a.mask) & 1).wrapping_neg();
            let open = (a.mask & 1).wrapping_neg();
            unknown = unknown.add(Tnum { value: 0, mask: (b.mask | b.value & open) & may });
            a = a.shr(1);
            b = b.shl(1);
        }
        known.add(unknown)
    }

    /// Bits up to the highest that may be set.
    pub(super) const fn width(self) -> u32 {
        u64::BITS.wrapping_sub((self.value | self.mask).leading_zeros())
    }

    pub(super) const fn shl(self, count: u32) -> Tnum {
        Tnum { value: self.value.wrapping_shl(count), mask: self.mask.wrapping_shl(count) }
    }

    pub(super) const fn shr(self, count: u32) -> Tnum {
        Tnum { value: self.value.wrapping_shr(count), mask: self.mask.wrapping_shr(count) }
    }

    /// Arithmetic shift of the low `bits` bits: an unknown sign bit makes unknown bits.
    pub(super) const fn sar(self, bits: u32, count: u32) -> Tnum {
        let keep = low_mask(bits);
        let shift = 64u32.wrapping_sub(bits);
        let value = ((self.value.wrapping_shl(shift) as i64).wrapping_shr(shift)).wrapping_shr(count);
        let mask = ((self.mask.wrapping_shl(shift) as i64).wrapping_shr(shift)).wrapping_shr(count);
        Tnum { value: value as u64 & keep, mask: mask as u64 & keep }
    }
}
