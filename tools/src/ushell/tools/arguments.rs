//! Arguments of functions, and conditions on them, as the person writes them and as the programs take them (`arguments.h`).

use clap::{Arg, ArgAction, ArgMatches};

/// Types that an argument may have: a name, its bits, whether it has a sign.
const TYPES: &[(&str, u32, bool)] = &[
    ("u8", 8, false),
    ("u16", 16, false),
    ("u32", 32, false),
    ("u64", 64, false),
    ("s8", 8, true),
    ("s16", 16, true),
    ("s32", 32, true),
    ("s64", 64, true),
    ("bool", 8, false),
    ("char", 8, true),
    ("short", 16, true),
    ("int", 32, true),
    ("unsigned", 32, false),
    ("long", 64, true),
    ("size_t", 64, false),
];

/// The registers that arguments are passed in.
const ARGUMENTS: u32 = 6;
/// Conditions that programs have room for.
const CONDITIONS: usize = 4;

/// How conditions compare; the place is the programs' number of it, from 1 on.
const RELATIONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// An argument with its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Argument {
    pub number: u32,
    pub bits: u32,
    pub signed: bool,
}

/// Numbers that a program is given, by name.
pub type Values = Vec<(&'static str, String)>;

impl Argument {
    /// `N` or `N:TYPE`.
    pub fn read(text: &str) -> Result<Self, String> {
        let (number, kind) = text.split_once(':').unwrap_or((text, "long"));
        let number = number.parse().ok().filter(|number| (1..=ARGUMENTS).contains(number));
        let number = number.ok_or_else(|| {
            format!("`{text}`: the number of an argument is expected, 1 to {ARGUMENTS}, and perhaps its type: 2:int")
        })?;
        let known = TYPES.iter().find(|(name, ..)| *name == kind).ok_or_else(|| {
            let names: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).collect();
            format!("`{kind}` is none of the types {}", names.join(", "))
        })?;
        Ok(Self { number, bits: known.1, signed: known.2 })
    }

    /// The number that 64 bits stand for.
    pub fn value(self, word: u64) -> i128 {
        match self.signed {
            true => (word as i64).into(),
            false => word.into(),
        }
    }

    /// What the program that shows it is given.
    pub fn values(self) -> Values {
        let Self { number, bits, signed } = self;
        vec![
            ("argument", number.to_string()),
            ("argument_bits", bits.to_string()),
            ("argument_signed", u32::from(signed).to_string()),
        ]
    }
}

/// A condition on an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Condition {
    argument: Argument,
    /// Place in [`RELATIONS`].
    relation: usize,
    number: u64,
}

impl Condition {
    /// `argN[:TYPE] RELATION NUMBER`.
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`: argN[:TYPE] == NUMBER is expected, or another of {}", RELATIONS.join(" "));
        let at = text.find(['=', '!', '<', '>']).ok_or_else(wrong)?;
        let (left, rest) = text.split_at(at);
        let end = rest.find(|c| !['=', '!', '<', '>'].contains(&c)).ok_or_else(wrong)?;
        let (relation, right) = rest.split_at(end);
        let relation = RELATIONS.iter().position(|known| *known == relation).ok_or_else(wrong)?;
        let argument = Argument::read(left.trim().strip_prefix("arg").ok_or_else(wrong)?)?;
        let number = ubpf_pack::number(right.trim()).ok_or_else(wrong)?;
        let range = ubpf_pack::range(argument.bits, argument.signed);
        if !range.contains(&number) {
            return Err(format!("`{text}`: the argument has {} to {}", range.start(), range.end()));
        }
        Ok(Self { argument, relation, number: number as u64 })
    }
}

/// The option for conditions.
pub fn conditions() -> Arg {
    Arg::new("if")
        .long("if")
        .value_name("CONDITION")
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .help("Only calls for which this holds, as 'arg2:int >= 100'; may be repeated, and then all have to hold")
}

/// What the programs are given for those of the command line.
pub fn read_conditions(matches: &ArgMatches) -> Result<Values, String> {
    let texts = matches.get_many::<String>("if").into_iter().flatten();
    let conditions: Vec<Condition> =
        texts.map(|text| Condition::read(text).map_err(|error| format!("--if: {error}"))).collect::<Result<_, _>>()?;
    if conditions.len() > CONDITIONS {
        return Err(format!("--if: at most {CONDITIONS} times"));
    }
    Ok(conditions.iter().zip(NAMES).flat_map(|(condition, names)| condition.values(names)).collect())
}

/// The variables of each condition.
const NAMES: [[&str; 5]; CONDITIONS] = [
    ["if1_relation", "if1_argument", "if1_bits", "if1_signed", "if1_number"],
    ["if2_relation", "if2_argument", "if2_bits", "if2_signed", "if2_number"],
    ["if3_relation", "if3_argument", "if3_bits", "if3_signed", "if3_number"],
    ["if4_relation", "if4_argument", "if4_bits", "if4_signed", "if4_number"],
];

impl Condition {
    fn values(&self, names: [&'static str; 5]) -> [(&'static str, String); 5] {
        let Argument { number, bits, signed } = self.argument;
        let values = [self.relation as u64 + 1, number.into(), bits.into(), signed.into(), self.number];
        let mut values = values.iter();
        names.map(|name| (name, values.next().unwrap_or(&0).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_as_they_are_written() {
        let long = Argument { number: 1, bits: 64, signed: true };
        assert_eq!(Argument::read("1"), Ok(long));
        assert_eq!(Argument::read("6:u8"), Ok(Argument { number: 6, bits: 8, signed: false }));
        assert_eq!((long.value(u64::MAX), Argument { signed: false, ..long }.value(u64::MAX)), (-1, u64::MAX.into()));
        for wrong in ["", "0", "7", "1:", "1:float", ":int", "-1", "arg1"] {
            assert!(Argument::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn conditions_as_they_are_written() {
        let read = |text: &str| {
            let condition = Condition::read(text)?;
            Ok::<_, String>((condition.argument.number, RELATIONS[condition.relation], condition.number))
        };
        assert_eq!(read("arg1 > 100"), Ok((1, ">", 100)));
        assert_eq!(read("arg2:int<=-0x10"), Ok((2, "<=", -16i64 as u64)));
        assert_eq!(read(" arg3 == 0"), Ok((3, "==", 0)));
        for wrong in ["", "arg1", "arg1 >", "arg1 => 1", "1 > 1", "arg7 > 1", "arg1 > x", "arg1:u8 > 256", "arg1 > 1 2"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
