//! Finds bytes in bytes, in time that grows with both, whatever they are.

/// Odd, so that nothing of an older byte is shifted out.
const FACTOR: u64 = 0x0100_0000_01b3;
/// Candidates that are looked at: a repetitive text has no more of them than this.
const CANDIDATES: usize = 64;

/// Whether `all` holds `part`, wherever: a hash is rolled over all of it (Rabin and Karp).
pub fn holds(all: &[u8], part: &[u8]) -> bool {
    if part.len() > all.len() {
        return false;
    }
    let step = |hash: u64, byte: u8| hash.wrapping_mul(FACTOR).wrapping_add(u64::from(byte));
    let of = |bytes: &[u8]| bytes.iter().fold(0, |hash, &byte| step(hash, byte));
    let wanted = of(part);
    // What the oldest byte counts.
    let oldest = part.iter().fold(1u64, |power, _| power.wrapping_mul(FACTOR));
    let mut hash = of(&all[..part.len()]);
    let mut missed = 0;
    for at in 0..=all.len() - part.len() {
        if hash == wanted {
            if &all[at..at + part.len()] == part {
                return true;
            }
            missed += 1;
            if missed > CANDIDATES {
                return false;
            }
        }
        if let Some(&next) = all.get(at + part.len()) {
            let gone = u64::from(all[at]).wrapping_mul(oldest);
            hash = step(hash, next).wrapping_sub(gone);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn found_and_not_found() {
        for (all, part, found) in [
            (&b"abcabd"[..], &b"abd"[..], true),
            (b"abcabd", b"abcabd", true),
            (b"abcabd", b"", true),
            (b"", b"", true),
            (b"", b"a", false),
            (b"abcabd", b"bdx", false),
            (b"aaaaaaaaab", b"aab", true),
        ] {
            assert_eq!(holds(all, part), found, "{all:?} {part:?}");
        }
    }

    /// Counted by how long it takes to run at all: trying each place would be 2^40 comparisons.
    #[test]
    fn a_repetitive_text_takes_as_long_as_any() {
        let mut part = vec![0; 1 << 20];
        let all = vec![0; 1 << 21];
        assert!(holds(&all, &part));
        part.push(1);
        assert!(!holds(&all, &part));
    }
}
