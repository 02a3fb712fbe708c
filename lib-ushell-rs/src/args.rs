//! Binds a command's words to its argument line, the one place that says what a command takes: the same text is
//! shown by `help`, checked here, and drives completion.
//!
//! `FUNC [FILE...] [--hits N] [-v] on|off`: a bare token must be given, one in brackets may be, `...` may repeat,
//! one that starts with `-` is an option (with a value where a second token stands in the brackets), and
//! `a|b` allows exactly these words. A word `--` ends the options.

use alloc::{string::String, vec::Vec};
use ubpf_rs::platform::find;

/// Why the words do not fit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum ArgsError {
    /// A required argument is not there.
    #[error("{name} is missing")]
    Missing {
        /// Name in the argument line.
        name: String,
    },
    /// More words than arguments.
    #[error("`{word}` is one argument too many")]
    Excess {
        /// The first word too many.
        word: String,
    },
    /// An option without its value.
    #[error("option {flag} needs a value: {name}")]
    NoValue {
        /// The option.
        flag: String,
        /// Name of the value.
        name: String,
    },
    /// An option the command does not have.
    #[error("there is no option {flag}")]
    UnknownOption {
        /// The option.
        flag: String,
    },
    /// No memory for the arguments.
    #[error("out of memory")]
    NoMemory,
    /// None of the words allowed here.
    #[error("`{word}` is not one of {allowed}")]
    NotAllowed {
        /// The word.
        word: String,
        /// The words allowed.
        allowed: String,
    },
}

/// What is wrong with an argument line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum LineError {
    /// A character that cannot be shown.
    #[error("it has a control character")]
    Control,
    /// Brackets that do not open and close one after the other, or have nothing in them.
    #[error("each `[` needs a `]`, with something between")]
    Brackets,
    /// What can never be given.
    #[error("nothing can follow an argument that may be repeated, and none that must be given one that may be")]
    Order,
    /// A name without letters, or a choice with an empty part.
    #[error("an argument has no name")]
    NoName,
}

/// Checks an argument line, so that words can be bound to it.
pub fn check_line(spec: &str) -> Result<(), LineError> {
    if spec.chars().any(char::is_control) {
        return Err(LineError::Control);
    }
    let mut open = false;
    for c in spec.chars() {
        match (c, open) {
            ('[', false) => open = true,
            (']', true) => open = false,
            ('[' | ']', _) => return Err(LineError::Brackets),
            _ => {}
        }
    }
    if open || find(spec, "[]").is_some() {
        return Err(LineError::Brackets);
    }
    let (mut optional, mut repeated) = (false, false);
    for item in items(spec) {
        let name = match item {
            Item::Flag(flag, value) => {
                if flag.trim_start_matches('-').is_empty() || value.is_some_and(|v| v.trim().is_empty()) {
                    return Err(LineError::NoName);
                }
                continue;
            }
            Item::Required(name) | Item::Optional(name) | Item::Repeated(name) => name,
        };
        if name.split('|').any(|part| part.trim().is_empty()) {
            return Err(LineError::NoName);
        }
        let must = matches!(item, Item::Required(_));
        if repeated || must && optional {
            return Err(LineError::Order);
        }
        optional |= !must;
        repeated |= matches!(item, Item::Repeated(_));
    }
    Ok(())
}

/// One element of an argument line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<'s> {
    /// Must be given.
    Required(&'s str),
    /// May be given.
    Optional(&'s str),
    /// May be given any number of times.
    Repeated(&'s str),
    /// An option, with the name of its value if it takes one.
    Flag(&'s str, Option<&'s str>),
}

/// The elements of an argument line.
pub fn items(spec: &str) -> impl Iterator<Item = Item<'_>> {
    let mut rest = spec;
    core::iter::from_fn(move || {
        rest = rest.trim_start();
        let (inner, after, bracket) = match rest.strip_prefix('[') {
            Some(open) => {
                let (inner, after) = open.split_once(']').unwrap_or((open, ""));
                (inner, after, true)
            }
            None => {
                let (inner, after) = rest.split_once(' ').unwrap_or((rest, ""));
                (inner, after, false)
            }
        };
        rest = after;
        (!inner.is_empty()).then(|| item(inner, bracket))
    })
}

fn item(inner: &str, optional: bool) -> Item<'_> {
    if inner.starts_with('-') {
        return match inner.split_once(' ') {
            Some((flag, value)) => Item::Flag(flag, Some(value)),
            None => Item::Flag(inner, None),
        };
    }
    match (inner.strip_suffix("..."), optional) {
        (Some(name), _) => Item::Repeated(name),
        (None, true) => Item::Optional(inner),
        (None, false) => Item::Required(inner),
    }
}

/// The name of the positional argument with this index, if the command takes so many.
pub fn positional(spec: &str, index: usize) -> Option<&str> {
    let mut left = index;
    for item in items(spec) {
        match item {
            Item::Flag(..) => {}
            Item::Repeated(name) => return Some(name),
            Item::Required(name) | Item::Optional(name) if left == 0 => return Some(name),
            Item::Required(_) | Item::Optional(_) => left = left.saturating_sub(1),
        }
    }
    None
}

/// Words bound to an argument line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Args<'w> {
    positional: Vec<&'w str>,
    options: Vec<(&'w str, &'w str)>,
}

impl<'w> Args<'w> {
    /// Binds `words` (without the command's name) to `spec`.
    pub fn bind(spec: &str, words: &'w [String]) -> Result<Self, ArgsError> {
        let mut args = Self::default();
        args.sort(spec, words)?;
        args.check(spec)?;
        Ok(args)
    }

    /// Sorts words into options and positional arguments.
    fn sort(&mut self, spec: &str, words: &'w [String]) -> Result<(), ArgsError> {
        let has_options = items(spec).any(|item| matches!(item, Item::Flag(..)));
        let mut words = words.iter();
        let mut open = has_options;
        while let Some(word) = words.next() {
            if open && word == "--" {
                open = false;
                continue;
            }
            let flag = items(spec).find_map(|item| match item {
                Item::Flag(flag, value) if open && flag == word => Some(value),
                _ => None,
            });
            match flag {
                Some(None) => self.add_option(word, "")?,
                Some(Some(name)) => {
                    let value =
                        words.next().ok_or_else(|| ArgsError::NoValue { flag: word.clone(), name: name.into() })?;
                    self.add_option(word, value)?;
                }
                None if open && word.starts_with("--") => return Err(ArgsError::UnknownOption { flag: word.clone() }),
                None => {
                    let room = self.positional.try_reserve(1);
                    room.map_err(|_| ArgsError::NoMemory)?;
                    self.positional.push(word);
                }
            }
        }
        Ok(())
    }

    fn add_option(&mut self, flag: &'w str, value: &'w str) -> Result<(), ArgsError> {
        let room = self.options.try_reserve(1);
        room.map_err(|_| ArgsError::NoMemory)?;
        self.options.push((flag, value));
        Ok(())
    }

    fn check(&self, spec: &str) -> Result<(), ArgsError> {
        let mut given = self.positional.iter();
        for item in items(spec) {
            let (name, word) = match item {
                Item::Flag(..) => continue,
                Item::Repeated(_) => return Ok(()),
                Item::Required(name) => {
                    let missing = || ArgsError::Missing { name: name.into() };
                    (name, Some(given.next().ok_or_else(missing)?))
                }
                Item::Optional(name) => (name, given.next()),
            };
            let Some(&word) = word else { continue };
            if name.contains('|') && !name.split('|').any(|allowed| allowed == word) {
                return Err(ArgsError::NotAllowed { word: word.into(), allowed: name.replace('|', ", ") });
            }
        }
        match given.next() {
            Some(&word) => Err(ArgsError::Excess { word: word.into() }),
            None => Ok(()),
        }
    }

    /// The positional argument with this index.
    pub fn get(&self, index: usize) -> Option<&'w str> {
        self.positional.get(index).copied()
    }

    /// A required positional argument: binding has made sure that it is there.
    pub fn required(&self, index: usize) -> &'w str {
        self.get(index).unwrap_or("")
    }

    /// The positional arguments from this index on.
    pub fn from(&self, index: usize) -> &[&'w str] {
        self.positional.get(index..).unwrap_or(&[])
    }

    /// The value of an option (empty for one without value); the last one wins.
    pub fn option(&self, flag: &str) -> Option<&'w str> {
        let mut given = self.options.iter().rev();
        given.find(|(name, _)| *name == flag).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    type Bound = (Vec<String>, Vec<(String, String)>);

    fn bind(spec: &str, line: &str) -> Result<Bound, String> {
        let words = crate::words::split(line).unwrap();
        let args = Args::bind(spec, &words).map_err(|e| e.to_string())?;
        let own = |(a, b): &(&str, &str)| (a.to_string(), b.to_string());
        let positional = args.positional.iter().map(|w| w.to_string()).collect();
        Ok((positional, args.options.iter().map(own).collect()))
    }

    fn fits(spec: &str, line: &str) -> bool {
        bind(spec, line).is_ok()
    }

    #[test]
    fn counts() {
        assert!(fits("", ""));
        assert!(!fits("", "a"));
        assert!(fits("A [B]", "1") && fits("A [B]", "1 2"));
        assert_eq!(bind("A [B]", "").unwrap_err(), "A is missing");
        assert_eq!(bind("A [B]", "1 2 3").unwrap_err(), "`3` is one argument too many");
        assert!(fits("A [B...]", "1 2 3 4"));
    }

    #[test]
    fn options() {
        let spec = "FUNC FILE [--hits N] [-v]";
        let (words, options) = bind(spec, "f --hits 3 x -v").unwrap();
        assert_eq!(words, ["f", "x"]);
        assert_eq!(options[0], ("--hits".into(), "3".into()));
        assert_eq!(options[1], ("-v".into(), "".into()));
        assert_eq!(bind(spec, "f x --hits").unwrap_err(), "option --hits needs a value: N");
        assert_eq!(bind(spec, "f x --foo").unwrap_err(), "there is no option --foo");
        assert!(fits(spec, "f -- --foo"));
        assert!(fits("A", "--foo"), "a command without options takes any word");
    }

    #[test]
    fn argument_lines() {
        for good in ["", "A", "LEVEL [FILE...] [-v] [--hits N]", "[ARG...]", "A [B] [C]", "on|off [X]"] {
            assert_eq!(check_line(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("[A", LineError::Brackets),
            ("A]", LineError::Brackets),
            ("[[A]]", LineError::Brackets),
            ("A []", LineError::Brackets),
            ("[A] B", LineError::Order),
            ("[A...] [B]", LineError::Order),
            ("a||b", LineError::NoName),
            ("[...]", LineError::NoName),
            ("[--]", LineError::NoName),
            ("A\x1b[31m", LineError::Control),
        ] {
            assert_eq!(check_line(bad), Err(why), "{bad}");
        }
        for command in crate::commands::all() {
            assert_eq!(crate::command::check(command), Ok(()), "{}", command.usage());
        }
    }

    #[test]
    fn alternatives() {
        assert!(fits("on|off", "on"));
        assert_eq!(bind("on|off", "of").unwrap_err(), "`of` is not one of on, off");
    }

    #[test]
    fn names_of_positions() {
        assert_eq!(positional("FUNC [FILE...] [-v]", 0), Some("FUNC"));
        assert_eq!(positional("[-v] FUNC [FILE...]", 7), Some("FILE"));
        assert_eq!(positional("A", 1), None);
    }
}
