//! Counts by powers of two, as programs keep them: drawn.

use crate::json;
use serde_json::{json, Value as Json};
use std::fmt::Write;
use ubpf_pack::Value;

/// What `hist` says.
pub const HELP: &str = "Usage: hist MAP [UNIT]
draw counts by powers of two
MAP is an array of which entry N counts what is from 2^N on; or its values have such an array, alone or as `slots`: then a
picture for each key. UNIT stands above the numbers. The tool draws it of what `map dump` says.
";

/// In the list of commands.
pub const SUMMARY: &str = "hist MAP [UNIT]              draw counts by powers of two";

/// Powers of two that a number can have.
const SLOTS: usize = 64;
/// Characters of the longest bar.
const WIDTH: u128 = 40;

/// Counts, with the key that they are under where each key has some.
#[derive(Debug, PartialEq)]
pub struct Histogram {
    key: Option<Value>,
    /// Counts of numbers below zero, by their amounts.
    below: Vec<u64>,
    slots: Vec<u64>,
}

/// Numbers from and to, and how many there were.
type HistogramRow = (i128, i128, u64);

/// The counts in the entries of a map.
pub fn of(entries: Vec<(Value, Value)>) -> Result<Vec<Histogram>, String> {
    let counts: Option<Vec<(usize, u64)>> = entries
        .iter()
        .map(|(key, value)| Some((usize::try_from(number(key)?).ok().filter(|&slot| slot < SLOTS)?, number(value)?)))
        .collect();
    if let Some(counts) = counts.filter(|counts| !counts.is_empty()) {
        let mut slots = vec![0; SLOTS];
        counts.iter().for_each(|&(slot, count)| slots[slot] = count);
        return Ok(vec![Histogram { key: None, below: Vec::new(), slots }]);
    }
    let each = entries.into_iter().map(|(key, value)| {
        let slots =
            slots(&value).ok_or_else(|| format!("under {key} there are no counts by powers of two: {value}"))?;
        Ok(Histogram { key: Some(key), below: Vec::new(), slots })
    });
    each.collect()
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Signed(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn slots(value: &Value) -> Option<Vec<u64>> {
    let list = match value {
        Value::List(list) => list,
        Value::Fields(fields) => {
            let lists = || {
                fields.iter().filter_map(|(name, field)| match field {
                    Value::List(list) => Some((name, list)),
                    _ => None,
                })
            };
            let named = lists().find(|(name, _)| *name == "slots");
            named.or_else(|| lists().next().filter(|_| lists().count() == 1))?.1
        }
        _ => return None,
    };
    let slots: Vec<u64> = list.iter().map(number).collect::<Option<_>>()?;
    (1..=SLOTS).contains(&slots.len()).then_some(slots)
}

impl Histogram {
    /// Counts of which entry N is for numbers from 2^N on, and entry 64 + N for those below zero of such an amount.
    pub fn of_powers(counts: &[(u64, u64)]) -> Self {
        let (mut slots, mut below) = (vec![0; SLOTS], vec![0; SLOTS]);
        for &(slot, count) in counts {
            let slot = slot as usize;
            if let Some(here) = slots.get_mut(slot).or_else(|| below.get_mut(slot.wrapping_sub(SLOTS))) {
                *here = u64::saturating_add(*here, count);
            }
        }
        Self { key: None, below, slots }
    }

    /// Slots from the first to the last that counts something: the numbers of each, and how many there were. Those below zero come first.
    fn rows(&self) -> impl Iterator<Item = HistogramRow> + use<> {
        let below = self.below.iter().copied().enumerate();
        let below =
            below.rev().map(|(slot, count)| ((1 - (2i128 << slot)).max(i64::MIN.into()), -(1i128 << slot), count));
        let above = self.slots.iter().copied().enumerate().map(|(slot, count)| {
            let from = if slot == 0 { 0 } else { 1i128 << slot };
            (from, (2i128 << slot) - 1, count)
        });
        let all: Vec<HistogramRow> = below.chain(above).skip_while(|row| row.2 == 0).collect();
        let used = all.iter().rposition(|row| row.2 > 0).map_or(0, |last| last + 1);
        all.into_iter().take(used)
    }

    /// As a picture.
    pub fn picture(&self, unit: &str) -> String {
        let mut text = String::new();
        if let Some(key) = &self.key {
            let _ = writeln!(text, "{key}:");
        }
        let most = self.rows().map(|row| row.2).max().unwrap_or(0);
        if most == 0 {
            text.push_str("nothing was counted\n");
            return text;
        }
        let columns =
            self.rows().map(|(from, to, _)| to.to_string().len().max(from.to_string().len())).max().unwrap_or(0);
        let _ = writeln!(text, "{unit:>width$} : count", width = 2 * columns + 4);
        for (from, to, count) in self.rows() {
            let bar = (WIDTH * u128::from(count)).div_ceil(u128::from(most)) as usize;
            let _ = writeln!(text, "{from:>columns$} -> {to:<columns$} : {count:<8} |{:<40}|", "*".repeat(bar));
        }
        text
    }

    /// As JSON.
    pub fn json(&self) -> Json {
        let rows = self.rows().map(|(from, to, count)| json!({ "from": from, "to": to, "count": count }));
        json!({ "key": self.key.as_ref().map(json::value), "slots": rows.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u64, value: Value) -> (Value, Value) {
        (Value::Number(key), value)
    }

    #[test]
    fn arrays_are_drawn() {
        let counts = [4, 0, 1].into_iter().enumerate();
        let all = of(counts.map(|(key, count)| entry(key as u64, Value::Number(count))).collect()).unwrap();
        let picture = "    ns : count\n\
            0 -> 1 : 4        |****************************************|\n\
            2 -> 3 : 0        |                                        |\n\
            4 -> 7 : 1        |**********                              |\n";
        assert_eq!(all[0].picture("ns"), picture);
        let rows = r#"{"key":null,"slots":[{"count":4,"from":0,"to":1},{"count":0,"from":2,"to":3},{"count":1,"from":4,"to":7}]}"#;
        assert_eq!(all[0].json().to_string(), rows);
    }

    #[test]
    fn numbers_below_zero_are_drawn_above_the_others() {
        let one = Histogram::of_powers(&[(0, 1), (2, 4), (65, 2), (127, 0), (128, 9)]);
        let bar = format!("{:<40}", "*".repeat(20));
        let picture = format!("  number : count\n-3 -> -2 : 2        |{bar}|\n");
        assert!(one.picture("number").starts_with(&picture), "{}", one.picture("number"));
        let rows: Vec<HistogramRow> = one.rows().collect();
        assert_eq!(rows, [(-3, -2, 2), (-1, -1, 0), (0, 1, 1), (2, 3, 0), (4, 7, 4)]);
        let none_above: Vec<HistogramRow> = Histogram::of_powers(&[(68, 5), (66, 1)]).rows().collect();
        assert_eq!(none_above, [(-31, -16, 5), (-15, -8, 0), (-7, -4, 1)]);
        let ends = Histogram::of_powers(&[(63, 1), (127, 1)]).json();
        assert_eq!(ends["slots"][0]["from"], i64::MIN);
        assert_eq!(ends["slots"][127]["to"], u64::MAX);
        let most = Histogram::of_powers(&[(0, u64::MAX), (0, 1)]);
        assert_eq!(most.json()["slots"][0]["count"], u64::MAX);
    }

    #[test]
    fn each_key_may_have_its_own() {
        let list = Value::List(vec![Value::Number(0), Value::Signed(2)]);
        let fields = Value::Fields(vec![("latency".into(), Value::Number(9)), ("slots".into(), list.clone())]);
        let all = of(vec![entry(7, list), entry(100, fields)]).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].slots, all[1].slots);
        assert!(all[1].picture("").starts_with("100:\n"));
        assert!(of(vec![entry(1, Value::Text(vec![]))]).unwrap_err().contains("no counts"));
        // A hash by numbers that are no powers.
        assert!(of(vec![entry(64, Value::Number(1))]).is_err());
        let giant = Value::List(vec![Value::Number(u64::MAX); 64]);
        assert_eq!(of(vec![entry(0, giant)]).unwrap()[0].picture("x").lines().count(), 66);
        assert_eq!(of(vec![entry(9, Value::Number(1))]).unwrap()[0].picture("").lines().count(), 2);
        assert!(of(vec![entry(0, Value::List(vec![Value::Number(1); 65]))]).is_err());
        let empty = of(vec![entry(0, Value::Number(0))]).unwrap();
        assert_eq!(empty[0].picture("x"), "nothing was counted\n");
    }
}
