//! How many columns a character takes on a terminal.

/// Ranges of characters that take two columns: East Asian wide ones and pictures.
const WIDE: &[(u32, u32)] = &[
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23ec),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x26aa, 0x26ab),
    (0x26bd, 0x26be),
    (0x26c4, 0x26c5),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274c),
    (0x2753, 0x2755),
    (0x2795, 0x2797),
    (0x2b1b, 0x2b1c),
    (0x2e80, 0x303e),
    (0x3041, 0x33ff),
    (0x3400, 0x4dbf),
    (0x4e00, 0xa4cf),
    (0xa960, 0xa97c),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff01, 0xff60),
    (0xffe0, 0xffe6),
    (0x17000, 0x1b2fb),
    (0x1f300, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f900, 0x1faff),
    (0x20000, 0x3fffd),
];

/// Ranges of characters that stand on the one before them.
const NONE: &[(u32, u32)] = &[
    (0x300, 0x36f),
    (0x483, 0x489),
    (0x591, 0x5bd),
    (0x610, 0x61a),
    (0x64b, 0x65f),
    (0x900, 0x902),
    (0xe31, 0xe31),
    (0xe34, 0xe3a),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x2064),
    (0x20d0, 0x20f0),
    (0x302a, 0x302d),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0x1f3fb, 0x1f3ff),
    (0xe0100, 0xe01ef),
];

/// Columns that a character takes.
pub(super) fn width(c: char) -> usize {
    let code = u32::from(c);
    let among = |ranges: &[(u32, u32)]| {
        let at = ranges.partition_point(|range| range.1 < code);
        ranges.get(at).is_some_and(|range| range.0 <= code)
    };
    match code {
        0..0x300 => 1,
        _ if among(NONE) => 0,
        _ if among(WIDE) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_ascend() {
        for ranges in [WIDE, NONE] {
            assert!(ranges.iter().all(|range| range.0 <= range.1));
            assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }

    #[test]
    fn columns() {
        for (text, columns) in [("aä€", 3), ("漢字", 4), ("한글", 4), ("e\u{301}", 1), ("🦀", 2)] {
            assert_eq!(text.chars().map(width).sum::<usize>(), columns, "{text}");
        }
    }
}
