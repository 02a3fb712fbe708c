//! Counts by what they are of, as tables.

use super::stage::{several, Lost, Span};
use crate::names;
use clap::{value_parser, Arg, ArgMatches};
use serde_json::{json, Value as Json};
use std::{
    collections::HashMap,
    fmt::{self, Display, Write},
    hash::Hash,
};

/// The option for how much is shown.
pub fn top() -> Arg {
    let number = value_parser!(u64).range(1..);
    Arg::new("top").long("top").value_name("N").value_parser(number).help("Show the first N only")
}

/// What the command line says of it.
pub fn read_top(matches: &ArgMatches) -> usize {
    matches.get_one::<u64>("top").map_or(usize::MAX, |&top| usize::try_from(top).unwrap_or(usize::MAX))
}

/// The rows that are shown of all, and what is said of the others.
pub fn first<T>(rows: &[T], top: usize) -> (&[T], String) {
    match rows.get(..top) {
        Some(shown) if top < rows.len() => (shown, format!(", the first {top} shown")),
        _ => (rows, String::new()),
    }
}

/// Counts that only grow, looked at again and again.
pub struct Counts<K>(HashMap<K, u64>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    /// The counts as they are; where time is `parted`, what came since the look before.
    pub fn take(&mut self, now: Vec<(K, u64)>, parted: bool) -> Vec<(K, u64)> {
        let since = |(key, count): (K, u64)| {
            let before = self.0.insert(key.clone(), count).unwrap_or(0);
            (key, count.saturating_sub(before))
        };
        match parted {
            true => now.into_iter().map(since).collect(),
            false => now,
        }
    }
}

/// Several counts under each key.
pub type Words = Vec<((u64, usize), u64)>;

impl Counts<(u64, usize)> {
    /// The same of several counts under each key, by their places.
    pub fn take_words(&mut self, now: impl IntoIterator<Item = (u64, Vec<u64>)>, parted: bool) -> Words {
        let each = now
            .into_iter()
            .flat_map(|(key, words)| words.into_iter().enumerate().map(move |(place, word)| ((key, place), word)));
        self.take(each.collect(), parted)
    }
}

/// What is counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Name {
    Function(names::Function),
    Number(i128),
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(function) => function.fmt(f),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Name {
    fn put(&self, value: &mut Json, name: &str) {
        match self {
            Self::Function(function) => function.put(value, name),
            Self::Number(number) => value[name] = json!(number),
        }
    }
}

/// Counts, the largest first.
pub struct Table {
    pub span: Span,
    rows: Vec<(Name, u64)>,
    /// Rows that are shown.
    top: usize,
    lost: Lost,
}

impl Table {
    /// What has no count is left out.
    pub fn of(mut rows: Vec<(Name, u64)>, top: usize, span: Span, lost: Lost) -> Self {
        rows.retain(|row| row.1 > 0);
        rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Self { span, rows, top, lost }
    }

    /// Rows, those that are not shown as well.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn calls(&self) -> u64 {
        self.rows.iter().map(|row| row.1).fold(0, u64::saturating_add)
    }

    /// `what`: that of a row; `more`: what else is to be said of all.
    pub fn text(&self, what: &str, more: &str) -> String {
        let mut text = self.span.head();
        let _ = writeln!(text, "{:>12}  {what}", "calls");
        let (shown, rest) = first(&self.rows, self.top);
        for (name, count) in shown {
            let _ = writeln!(text, "{count:>12}  {name}");
        }
        let (calls, rows) = (several(self.calls(), "call"), several(self.len() as u64, what));
        let _ = writeln!(text, "{calls}, {rows} in {:.1} s{rest}{more}", self.span.seconds());
        text + &self.lost.text()
    }

    /// With the rows as `what` and `s`.
    pub fn json(&self, what: &str) -> Json {
        let (shown, _) = first(&self.rows, self.top);
        let rows = shown.iter().map(|(name, count)| {
            let mut row = json!({ "calls": count });
            name.put(&mut row, what);
            row
        });
        let rows: Vec<Json> = rows.collect();
        let all = json!({ "calls": self.calls(), "lost": self.lost.json(), format!("{what}s"): rows });
        self.span.json(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_too_large_together() {
        let rows = vec![(Name::Number(1), u64::MAX), (Name::Number(2), 1)];
        let table = Table::of(rows, usize::MAX, Span::default(), Lost::default());
        assert_eq!(table.json("value")["calls"], u64::MAX);
    }
}
