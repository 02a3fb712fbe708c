//! The nearest known name to a mistyped one.

use alloc::{string::String, vec::Vec};

/// Remembers the nearest of the names it is shown.
pub(crate) struct Nearest<'a> {
    wanted: &'a str,
    best: Option<(usize, String)>,
}

impl<'a> Nearest<'a> {
    pub(crate) fn new(wanted: &'a str) -> Self {
        Self { wanted, best: None }
    }

    /// Considers one name.
    pub(crate) fn offer(&mut self, name: &str) {
        // Long names have no business here: the distance takes time proportional to both lengths.
        if name.len() > 64 || self.wanted.len() > 64 {
            return;
        }
        let allowed = (self.wanted.len() / 4).saturating_add(1).min(3);
        if name.len().abs_diff(self.wanted.len()) > allowed {
            return;
        }
        let distance = distance(self.wanted.as_bytes(), name.as_bytes());
        let better = self.best.as_ref().is_none_or(|(best, _)| distance < *best);
        if distance <= allowed && better {
            self.best = Some((distance, name.into()));
        }
    }

    /// The nearest name, if one is near enough.
    pub(crate) fn found(self) -> Option<String> {
        self.best.map(|(_, name)| name)
    }
}

/// Levenshtein distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, &y) in row.iter_mut().skip(1).zip(b) {
            let replace = diagonal.saturating_add(usize::from(x != y));
            let shift = left.min(*cell).saturating_add(1);
            diagonal = *cell;
            left = replace.min(shift);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b""), 3);
        assert_eq!(distance(b"same", b"same"), 0);
    }

    #[test]
    fn only_near_names() {
        let mut nearest = Nearest::new("bpf_lst");
        for name in ["bpf_exec", "bpf_list", "help"] {
            nearest.offer(name);
        }
        assert_eq!(nearest.found().as_deref(), Some("bpf_list"));
        let mut nearest = Nearest::new("zzz");
        nearest.offer("ls");
        assert_eq!(nearest.found(), None);
    }
}
