//! Unsigned division by a constant as a product, a method of T. Granlund and P. Montgomery ("Division by Invariant Integers using
//! Multiplication", 1994).

/// With `n` of N bits: `n / divisor = (factor * n) >> (N + shift)`, where the factor is one bit longer than N if `long`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reciprocal {
    /// Its low N bits.
    pub(super) factor: u64,
    pub(super) shift: u8,
    pub(super) long: bool,
}

impl Reciprocal {
    /// For divisors from 3 that are no power of two and that an immediate can hold; else `None`.
    pub(super) fn of(divisor: i32, bits: u32) -> Option<Reciprocal> {
        let c = u128::try_from(divisor).ok()?;
        if c < 3 || c.is_power_of_two() {
            return None;
        }
        // The rounded-up factor is exact for all `n` when its error is at most 2^shift; with 2^shift >= c that is always so.
        (0..=31).find_map(|shift| {
            let power = 1u128 << (bits + shift);
            let factor = power.div_ceil(c);
            let error = factor.wrapping_mul(c).wrapping_sub(power);
            (error <= 1 << shift).then_some(Reciprocal {
                factor: if bits == 64 { factor as u64 } else { u64::from(factor as u32) },
                shift: shift as u8,
                long: factor >> bits != 0,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotient(r: Reciprocal, n: u64, bits: u32) -> u64 {
        let factor = u128::from(r.factor) + (u128::from(r.long) << bits);
        // At most 65 + 64 bits: the upper part first.
        let (high, low) = (factor >> 32, factor & 0xffff_ffff);
        let n = u128::from(n);
        let sum = high * n + ((low * n) >> 32);
        (sum >> (bits - 32 + u32::from(r.shift))) as u64
    }

    #[test]
    fn a_product_gives_the_quotient_at_every_step_of_it() {
        let special = [10, 31, 60, 641, 1000, 65521, 1_000_000, 1_000_000_007];
        let large = (0..2000).map(|i| i32::MAX - i);
        let divisors = (0..3000).chain(special).chain(large);
        for divisor in divisors.filter(|&d| d > 2 && d & (d - 1) != 0) {
            for (bits, most) in [(32, u64::from(u32::MAX)), (64, u64::MAX)] {
                let reciprocal = Reciprocal::of(divisor, bits).unwrap();
                assert!(u32::from(reciprocal.shift) < 32 && reciprocal.factor <= most);
                let c = divisor as u64;
                let last = most / c;
                for multiple in [0, 1, 2, last / 3, last / 2, last - 1, last] {
                    let near = [multiple * c, (multiple * c).saturating_sub(1), (multiple * c).saturating_add(c / 2)];
                    for n in near.into_iter().chain([most]).filter(|&n| n <= most) {
                        assert_eq!(quotient(reciprocal, n, bits), n / c, "{n} / {c}, {bits}");
                    }
                }
            }
        }
    }
}
