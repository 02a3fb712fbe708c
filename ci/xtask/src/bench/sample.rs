//! Figures of several processes.

use crate::Result;
use std::collections::BTreeMap;

/// The figures of each process, by name.
#[derive(Default)]
pub struct Samples {
    processes: Vec<BTreeMap<String, f64>>,
}

/// A figure over all processes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Samples {
    /// Adds what one process printed: lines of name, tabulator, value.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let figures = text.lines().filter_map(|line| line.split_once('\t'));
        let figures: BTreeMap<String, f64> =
            figures.map(|(name, value)| Ok((name.into(), value.parse::<f64>()?))).collect::<Result<_>>()?;
        match figures.is_empty() {
            true => Err("a measuring process printed no figure".into()),
            false => {
                self.processes.push(figures);
                Ok(())
            }
        }
    }

    /// Names of the figures that begin so, without that beginning.
    pub fn names(&self, beginning: &str) -> Vec<String> {
        let first = self.processes.first().into_iter().flat_map(BTreeMap::keys);
        first.filter_map(|name| Some(name.strip_prefix(beginning)?.to_owned())).collect()
    }

    /// One figure.
    pub fn of(&self, name: &str) -> Result<Spread> {
        self.over(|get| get(name))
    }

    /// What is worked out of the figures of each process by itself.
    pub fn over(&self, formula: impl Fn(&dyn Fn(&str) -> Option<f64>) -> Option<f64>) -> Result<Spread> {
        let one = |figures: &BTreeMap<String, f64>| formula(&|name: &str| figures.get(name).copied());
        let values: Option<Vec<f64>> = self.processes.iter().map(one).collect();
        let spread = values.and_then(Spread::of);
        spread.ok_or_else(|| "a figure is missing that another is made of".into())
    }
}

impl Spread {
    /// Of these values; `None` where there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        Some(Spread { median: *values.get(values.len() / 2)?, low: *values.first()?, high: *values.last()? })
    }

    /// Of something that is the same each time.
    pub fn exact(value: f64) -> Spread {
        Spread { median: value, low: value, high: value }
    }
}

/// The geometric mean; `None` where one is missing or there are none.
pub fn geometric_mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let logarithms: Option<Vec<f64>> = values.map(|value| Some(value?.ln())).collect();
    let logarithms = logarithms.filter(|all| !all.is_empty())?;
    Some((logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_each_process() {
        let mut samples = Samples::default();
        for text in ["a\t1\nb\t2\n", "a\t10\nb\t30\n", "a\t2\nb\t8\n"] {
            samples.add(text).unwrap();
        }
        let ratio = samples.over(|get| Some(get("b")? / get("a")?)).unwrap();
        assert_eq!(ratio, Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert!(samples.of("c").is_err() && samples.add("no figure").is_err());
    }

    #[test]
    fn geometric_means() {
        let mean = |values: &[Option<f64>]| geometric_mean(values.iter().copied());
        assert_eq!(mean(&[Some(4.0), Some(1.0)]).map(f64::round), Some(2.0));
        assert_eq!((mean(&[]), mean(&[Some(1.0), None])), (None, None));
    }
}
