//! Input that waits while a command runs: where the next command may begin, and the `^C` that ends the one that runs.

/// What `^C` sends.
pub const INTERRUPT: u8 = 3;

/// Ends a frame.
const END: u8 = 4;

/// How many of these bytes go to the shell at once: up to the first with which it may begin to work. What follows waits where a `^C`
/// in it can be found.
pub(crate) fn piece(bytes: impl Iterator<Item = u8>) -> usize {
    let mut count: usize = 0;
    for byte in bytes {
        count = count.saturating_add(1);
        if matches!(byte, b'\n' | b'\r' | b'\t' | INTERRUPT | END) {
            break;
        }
    }
    count
}

/// Where among bytes that begin behind a command the `^C` is that ends it. The contents of a file are none, so it is not looked for behind
/// a line that begins with `put`.
pub(crate) fn interrupt(bytes: impl Iterator<Item = u8>) -> Option<usize> {
    const PUT: &[u8] = b"put ";
    // How much of that the line begins with; `None` when it is another.
    let mut put = Some(0);
    for (at, byte) in bytes.enumerate() {
        match (byte, put) {
            (INTERRUPT, _) => return Some(at),
            (b'\r' | b'\n', Some(seen)) if seen == PUT.len() => return None,
            (b'\r' | b'\n', _) => put = Some(0),
            (b' ' | b'\t', Some(0)) => {}
            (_, Some(seen)) if seen == PUT.len() => {}
            (byte, Some(seen)) => {
                let same = PUT.get(seen) == Some(&byte);
                put = same.then_some(seen.saturating_add(1));
            }
            (_, None) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_where_a_command_may_begin() {
        for (bytes, count) in [(&b"help"[..], 4), (b"help\nls\n", 5), (b"\x03ls", 1), (b"ls \t", 4), (b"", 0)] {
            assert_eq!(piece(bytes.iter().copied()), count, "{bytes:?}");
        }
    }

    #[test]
    fn the_interrupt_is_found_behind_lines_but_not_in_a_file() {
        for (bytes, at) in [
            (&b"\x03"[..], Some(0)),
            (b"ls\nstatus\n\x03\x03", Some(10)),
            (b"ls", None),
            (b"put x 3 7\n\x03\x03\x03", None),
            (b"  put x 3 7\r\x03", None),
            (b"ls\nput x 3 7\n\x03", None),
            (b"put \x03", Some(4)),
            (b"puts\n\x03", Some(5)),
            (b"input 1\n\x03", Some(8)),
        ] {
            assert_eq!(interrupt(bytes.iter().copied()), at, "{bytes:?}");
        }
    }
}
