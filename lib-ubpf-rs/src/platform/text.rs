//! Names from outside: how much of one is shown, and copies that may find no memory.

use alloc::string::String;

/// Most characters of a name in a message.
const MOST: usize = 100;

/// A name for a message: its beginning where it is long, and without characters that change how a line looks.
pub fn shown(name: &str) -> String {
    let mut chars = name.chars();
    let mut text = String::with_capacity(name.len().min(MOST) + 3);
    text.extend(chars.by_ref().take(MOST).map(|c| if c.is_control() { '?' } else { c }));
    if chars.next().is_some() {
        text.push_str("...");
    }
    text
}

/// A copy; `None` without memory.
pub fn copied(text: &str) -> Option<String> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).ok()?;
    copy.push_str(text);
    Some(copy)
}

/// Copies as much of a text as there is room for; how many bytes that are.
pub fn copy_of(text: &str, into: &mut [u8]) -> usize {
    into.iter_mut().zip(text.bytes()).map(|(to, from)| *to = from).count()
}

/// Where a text has a part first, in bytes: names are short, and the standard library's search is made for long texts, in 8 KiB of code.
pub fn find(text: &str, part: &str) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    text.as_bytes().windows(part.len()).position(|bytes| bytes == part.as_bytes())
}

/// How patterns of system calls begin: `syscall:openat` fits each handler of it.
pub const SYSCALL: &str = "syscall:";
/// What the names of handlers of system calls begin with that set `errno` and return -1.
const SETS_ERRNO: &str = "uk_syscall_e_";
/// What those of all handlers begin with: one gives `-errno`, one sets `errno`, one is for calls within the kernel.
const HANDLERS: [&str; 3] = ["uk_syscall_r_", SETS_ERRNO, "uk_syscall_do_"];

/// The system call that a function is a handler of. Those that are given what they were called with begin with one more `e_`.
pub fn syscall_of(function: &str) -> Option<&str> {
    let call = HANDLERS.iter().find_map(|handler| function.strip_prefix(handler))?;
    Some(call.strip_prefix("e_").unwrap_or(call))
}

/// Whether a function is such a handler that sets `errno` and returns -1.
pub fn sets_errno(function: &str) -> bool {
    function.starts_with(SETS_ERRNO)
}

/// Whether a text is a pattern, which may fit more than one name.
pub fn is_pattern(text: &str) -> bool {
    text.contains('*') || text.starts_with(SYSCALL)
}

/// Whether the name of a function fits a pattern, in which `*` stands for any characters.
pub fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix(SYSCALL) {
        Some(calls) => syscall_of(name).is_some_and(|call| is_like(calls, call)),
        None => is_like(pattern, name),
    }
}

fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let after = find(rest, part).and_then(|at| rest.get(at.saturating_add(part.len())..));
        match after {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_where_the_standard_library_finds_them() {
        for text in ["", "a", "aab", "aaab", "\u{20ac}a\u{20ac}b"] {
            for part in ["", "a", "b", "ab", "aab", "\u{20ac}", "\u{20ac}b", "c"] {
                assert_eq!(find(text, part), text.find(part), "{part:?} in {text:?}");
            }
        }
    }

    #[test]
    fn patterns_of_system_calls_fit_their_handlers() {
        let fitting = |pattern| {
            let names =
                ["uk_syscall_r_open", "uk_syscall_e_open", "uk_syscall_do_openat", "uk_syscall_r_e_clone", "open"];
            names.into_iter().filter(|name| fits(pattern, name)).collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(fitting("syscall:open"), ["uk_syscall_r_open", "uk_syscall_e_open"]);
        assert_eq!(fitting("syscall:open*").len(), 3);
        assert_eq!(fitting("syscall:clone"), ["uk_syscall_r_e_clone"]);
        assert_eq!(fitting("syscall:*").len(), 4);
        assert_eq!(fitting("open"), ["open"]);
        assert!(is_pattern("syscall:open") && is_pattern("o*") && !is_pattern("open"));
    }

    #[test]
    fn a_long_name_is_cut_and_a_wild_one_tamed() {
        assert_eq!(shown("myfun"), "myfun");
        assert_eq!(shown("a\u{1b}[31m\nb"), "a?[31m?b");
        let long = "\u{20ac}".repeat(100_000);
        assert_eq!(shown(&long), "\u{20ac}".repeat(100) + "...");
        assert_eq!(shown(&long[..300]), long[..300]);
    }
}
