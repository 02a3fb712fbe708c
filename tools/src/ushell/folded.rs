//! Stacks by names, with how often each was seen: folded lines, and flame graphs made of them. For every tool that tells of stacks.

use inferno::flamegraph::{self, Options};
use std::{collections::BTreeMap, fmt::Display, fs, path::Path};

/// Stacks, the outermost function first.
#[derive(Default)]
pub struct Folded(BTreeMap<Vec<String>, u64>);

/// Of stacks as they are walked: their innermost function comes first.
impl<N: Display> FromIterator<(Vec<N>, u64)> for Folded {
    fn from_iter<I: IntoIterator<Item = (Vec<N>, u64)>>(stacks: I) -> Self {
        let mut all = BTreeMap::new();
        for (stack, count) in stacks {
            let outermost_first = stack.iter().rev().map(|name| clean(&name.to_string())).collect();
            let sum: &mut u64 = all.entry(outermost_first).or_default();
            *sum = sum.saturating_add(count);
        }
        Self(all)
    }
}

impl Folded {
    /// A line for each: the functions, with `;` between them, and how often.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(stack, count)| format!("{} {count}", stack.join(";")))
    }

    /// Writes a flame graph into a file: a picture that opens in a browser, and searches. `of`: what is counted.
    pub fn write_svg(&self, path: &Path, title: &str, of: &str) -> Result<(), String> {
        let picture = self.svg(title, of)?;
        fs::write(path, picture).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn svg(&self, title: &str, of: &str) -> Result<Vec<u8>, String> {
        if self.0.is_empty() {
            return Err("there are no stacks for a flame graph".into());
        }
        // What an image says may be too large for any sum.
        if self.0.values().try_fold(0u64, |sum, count| sum.checked_add(*count)).is_none() {
            return Err("the counts are too large for a flame graph".into());
        }
        let mut options = Options::default();
        (options.title, options.count_name, options.deterministic) = (title.into(), of.into(), true);
        let lines: Vec<String> = self.lines().collect();
        let mut picture = Vec::new();
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)
            .map_err(|error| format!("no flame graph can be made: {error}"))?;
        Ok(picture)
    }
}

/// A name as it can stand in a folded line.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c == ';' { ':' } else { c }).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(stacks: &[(&[&str], u64)]) -> Folded {
        let named = |stack: &[&str]| stack.iter().map(|name| name.to_string()).collect();
        stacks.iter().map(|(stack, count)| (named(stack), *count)).collect()
    }

    #[test]
    fn stacks_are_folded() {
        let all = folded(&[(&["leaf", "f(a; b)\n", "main"], 2), (&["main"], 1), (&["leaf", "f(a; b)\n", "main"], 3)]);
        assert_eq!(all.lines().collect::<Vec<_>>(), ["main 1", "main;f(a: b);leaf 5"]);
    }

    #[test]
    fn a_flame_graph_names_what_it_shows() {
        let all = folded(&[(&["leaf<int>", "branch", "main"], 7), (&["main"], 1)]);
        let picture = String::from_utf8(all.svg("Calls of leaf", "calls").unwrap()).unwrap();
        for part in
            ["<svg", "Calls of leaf", "leaf&lt;int&gt; (7 calls, 87.50%)", "branch (7 calls", "main (8 calls, 100"]
        {
            assert!(picture.contains(part), "{part}:\n{picture}");
        }
        assert!(Folded::default().svg("t", "calls").is_err());
        assert!(folded(&[(&["x"], u64::MAX), (&["y"], 1)]).svg("t", "calls").is_err());
    }
}
