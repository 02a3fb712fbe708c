//! Names of functions: as the image has them, as the source has them, and how a person names them.

use serde_json::{json, Value as Json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};
use ubpf_client::machine::quote;
use ubpf_names::{of_source, without_parameters};
use ubpf_rs::{
    object::LONGEST_TEXT,
    platform::{fits, is_pattern, SYSCALL},
};

/// A function, or what stands in the place of one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Function {
    /// As it is shown.
    shown: String,
    /// As the image has it, where that is another name.
    symbol: Option<String>,
}

impl Function {
    /// That of this name in the image, which may have its address behind it; `mangled`: shown as it is there.
    pub fn of(symbol: &str, mangled: bool) -> Self {
        let (name, address) = parts(symbol);
        match of_source(name).filter(|_| !mangled) {
            Some(source) => {
                let shown = address.map_or(source.clone(), |address| format!("{source} {address}"));
                Self { shown, symbol: Some(symbol.into()) }
            }
            None => symbol.into(),
        }
    }

    /// As the image has it.
    pub fn symbol(&self) -> &str {
        self.symbol.as_deref().unwrap_or(&self.shown)
    }

    /// As it is shown before the arguments of a call.
    pub fn without_parameters(&self) -> &str {
        if self.symbol.is_some() {
            without_parameters(&self.shown)
        } else {
            &self.shown
        }
    }

    /// Puts it into a value: under this name as it is shown, and as `symbol` as the image has it where that differs.
    pub fn put(&self, value: &mut Json, name: &str) {
        value[name] = json!(self.shown);
        if let Some(symbol) = &self.symbol {
            value["symbol"] = json!(symbol);
        }
    }

    /// The same of several, with `symbols` for all of them where one differs.
    pub fn put_all(all: &[Self], value: &mut Json, name: &str) {
        value[name] = all.iter().map(|one| one.shown.as_str()).collect();
        if all.iter().any(|one| one.symbol.is_some()) {
            value["symbols"] = all.iter().map(Self::symbol).collect();
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What has no other name.
impl From<String> for Function {
    fn from(shown: String) -> Self {
        Self { shown, symbol: None }
    }
}

impl From<&str> for Function {
    fn from(shown: &str) -> Self {
        shown.to_string().into()
    }
}

/// A line with each name that a compiler has made as the source has it.
pub fn line_of_source(line: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    let (mut text, mut rest) = (String::new(), line);
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        text.push_str(&of_source(word).unwrap_or_else(|| word.into()));
        let next = behind.find(is_part).unwrap_or(behind.len());
        let (between, behind) = behind.split_at(next);
        text.push_str(between);
        rest = behind;
    }
    text
}

/// Patterns that fit all names that the source has otherwise than C: as compilers have made them, and as an image may know them itself.
pub const OF_OTHERS: [&str; 4] = ["_Z*", "_R*", "*::*", "*(*"];

/// A line of `functions`: the name, and the address where several functions have it.
pub fn parts(line: &str) -> (&str, Option<&str>) {
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_hexdigit());
    match line.rsplit_once(' ').filter(|(_, last)| last.strip_prefix("0x").is_some_and(is_hex)) {
        Some((name, address)) => (name, Some(address)),
        None => (line, None),
    }
}

/// Finds what people mean by names of functions. What it needs to know of an image it asks once.
#[derive(Default)]
pub struct Resolver {
    others: Option<Vec<Other>>,
}

impl Resolver {
    /// What the image is to be told of a function or pattern that a person has named: as many names and patterns as it takes for all functions
    /// that it fits, and no other ones. A function is named as the image has it, or as the source has it: `Ledger<long>::total() const`, or
    /// without the parameters; spaces make no difference. `ask` gives the lines that a command says. The error is why it cannot be told.
    pub fn targets<E>(
        &mut self,
        named: &str,
        ask: &mut dyn FnMut(&str) -> Result<Vec<String>, E>,
    ) -> Result<Result<Vec<String>, String>, E> {
        let as_it_is = || Ok(Ok(vec![named.to_string()]));
        if named.starts_with(SYSCALL) {
            return as_it_is();
        }
        let known = match self.others.take() {
            Some(known) => known,
            None => Other::all(ask)?,
        };
        let known = self.others.insert(known);
        let short = squeezed(named);
        let those = |wanted: &dyn Fn(&Other) -> bool| -> Others<'_> {
            let one = |other: &Other| One { wanted: wanted(other), several: other.several };
            known.iter().map(|other| (other.symbol.as_str(), one(other))).collect()
        };
        // A name may have a `*`, and is that function.
        if named.contains('*') && known.iter().any(|other| other.source == short) {
            return Ok(cover(&those(&|other| other.source == short)));
        }
        // The image finds it by itself where the name fits as it is.
        let others = those(&|other| !is_like(named, &other.symbol) && other.is_called(&short));
        if others.values().all(|one| !one.wanted) {
            return as_it_is();
        }
        let mut found = match cover(&others) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let known = ask(&format!("functions {}", quote(named)))?;
        if known.iter().any(|line| is_like(named, parts(line).0)) {
            found.insert(0, named.into());
        }
        Ok(Ok(found))
    }
}

/// A function that the source has otherwise than C.
struct Other {
    /// As the image has it.
    symbol: String,
    /// As the source has it, without spaces.
    source: String,
    /// The same without the parameters.
    head: String,
    /// Several functions have the name.
    several: bool,
}

impl Other {
    /// All of an image.
    fn all<E>(ask: &mut dyn FnMut(&str) -> Result<Vec<String>, E>) -> Result<Vec<Self>, E> {
        let mut all = Vec::new();
        for pattern in OF_OTHERS {
            let lines = ask(&format!("functions {}", quote(pattern)))?;
            all.extend(lines.iter().map(|line| Self::of(line)));
        }
        Ok(all)
    }

    /// That of a line of `functions`.
    fn of(line: &str) -> Self {
        let (symbol, address) = parts(line);
        let source = of_source(symbol).unwrap_or_else(|| symbol.into());
        let (head, several) = (squeezed(without_parameters(&source)), address.is_some());
        Self { symbol: symbol.into(), source: squeezed(&source), head, several }
    }

    /// Whether it goes by this name, or fits this pattern, which has no spaces.
    fn is_called(&self, short: &str) -> bool {
        is_like(short, &self.source) || is_like(short, &self.head)
    }
}

/// Those names.
type Others<'n> = BTreeMap<&'n str, One>;

#[derive(Default)]
struct One {
    wanted: bool,
    /// Several functions have it.
    several: bool,
}

fn is_like(named: &str, name: &str) -> bool {
    if is_pattern(named) {
        fits(named, name)
    } else {
        named == name
    }
}

/// Whether the function in a line of `functions` goes by this name, or fits this pattern, as the source has it.
pub fn is_called(named: &str, line: &str) -> bool {
    Other::of(line).is_called(&squeezed(named))
}

/// Without spaces, which people set as they like.
fn squeezed(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Names, and patterns `beginning*`, which fit those that are wanted and no others.
fn cover(names: &Others<'_>) -> Result<Vec<String>, String> {
    let all: Vec<(&str, &One)> = names.iter().map(|(name, one)| (*name, one)).collect();
    let (common, mut runs, mut found) = (common(&all), wanted_runs(&all), Vec::new());
    let common = |at: usize| common.get(at).copied().unwrap_or(0);
    while let Some((from, end)) = runs.pop() {
        let Some((first, one)) = all.get(from) else { continue };
        if end - from == 1 && !one.several && first.len() <= LONGEST_TEXT {
            found.push(first.to_string());
            continue;
        }
        // Where its names have least in common, a run is parted.
        let part = (from + 1..end).min_by_key(|at| common(*at));
        let shared = part.map_or(first.len(), common).min(LONGEST_TEXT - 1);
        // So much of a beginning others have as well.
        let beside = common(from).max(common(end));
        match (first.get(..shared).filter(|beginning| shared > beside && is_of_others(beginning)), part) {
            (Some(beginning), _) => found.push(format!("{beginning}*")),
            (None, Some(at)) => runs.extend([(at, end), (from, at)]),
            (None, None) => {
                let beginning: String = first.chars().take(100).collect();
                return Err(format!(
                    "what begins with {beginning} cannot be told from others by its name: name it by its address"
                ));
            }
        }
    }
    Ok(found)
}

/// How many bytes each name has in common with the one before it; at the end that of none.
fn common(all: &[(&str, &One)]) -> Vec<usize> {
    let pair = |pair: &[(&str, &One)]| match pair {
        [(a, _), (b, _)] => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    [0].into_iter().chain(all.windows(2).map(pair)).chain([0]).collect()
}

/// Stretches of names that are wanted, the last first.
fn wanted_runs(all: &[(&str, &One)]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in all.iter().enumerate().filter(|(_, (_, one))| one.wanted) {
        match runs.last_mut().filter(|run| run.1 == at) {
            Some(run) => run.1 = at + 1,
            None => runs.push((at, at + 1)),
        }
    }
    runs.reverse();
    runs
}

/// Whether only names that the source has otherwise than C begin so, and it is no pattern by itself.
fn is_of_others(beginning: &str) -> bool {
    let is = ["_Z", "_R"].iter().any(|start| beginning.starts_with(start))
        || beginning.contains("::")
        || beginning.contains('(');
    is && !beginning.contains('*')
}

/// Addresses of which one question asks the names.
const ASKED_AT_ONCE: usize = 32;

/// The names of these addresses. `ask` runs a command and gives the lines that it says.
pub fn names<E>(
    addresses: BTreeSet<u64>,
    mut ask: impl FnMut(&str) -> Result<Vec<String>, E>,
) -> Result<HashMap<u64, String>, E> {
    let (addresses, mut names) = (addresses.into_iter().collect::<Vec<u64>>(), HashMap::new());
    for some in addresses.chunks(ASKED_AT_ONCE) {
        let words: String = some.iter().map(|address| format!(" {address:#x}")).collect();
        let said = ask(&format!("bpf_get_name{words}"))?;
        names.extend(some.iter().zip(said).map(|(&address, said)| (address, name_of(address, &said))));
    }
    Ok(names)
}

/// The name of an address, of what `bpf_get_name` says of it; the address where it is in no function that is known. The image knows only
/// where functions begin: what lies too far behind one is in none.
fn name_of(address: u64, said: &str) -> String {
    const LARGEST: u64 = 1 << 20;
    let near = |distance: &str| u64::from_str_radix(distance.strip_prefix("0x")?, 16).ok().filter(|&far| far < LARGEST);
    match said.rsplit_once('+').filter(|(_, distance)| near(distance).is_some()) {
        Some((name, _)) => name.into(),
        None => format!("{address:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_far_from_all_functions_have_no_name() {
        assert_eq!(name_of(0x1012, "f(a + b)+0x12"), "f(a + b)");
        for said in ["?", "last+0x7f0000000000", "x+12", ""] {
            assert_eq!(name_of(0x1012, said), "0x1012");
        }
    }

    #[test]
    fn many_addresses_are_asked_for_by_several_questions() {
        let mut questions = 0;
        let all = names((1..=70).collect(), |line| {
            questions += 1;
            let asked = line.strip_prefix("bpf_get_name ").unwrap().split(' ');
            Ok::<_, ()>(asked.map(|address| format!("of_{address}+0x1")).collect())
        });
        assert_eq!((all.as_ref().map(|names| names.len()), questions), (Ok(70), 3));
        assert!(all.unwrap().iter().all(|(address, name)| *name == format!("of_{address:#x}")));
    }

    /// An image with these functions: what it says to `functions PATTERN`.
    fn image(functions: &'static [&'static str]) -> impl FnMut(&str) -> Result<Vec<String>, ()> {
        move |line| {
            let pattern = line.strip_prefix("functions \"").and_then(|rest| rest.strip_suffix('"')).unwrap();
            let name = |line: &&&str| match is_pattern(pattern) {
                true => fits(pattern, parts(line).0),
                false => line.contains(pattern),
            };
            Ok(functions.iter().filter(name).map(|line| line.to_string()).collect())
        }
    }

    const FUNCTIONS: &[&str] = &[
        "main",
        "total",
        "_Z5totalv",
        "_ZN2ns1fEi",
        "_ZN2ns1fEl",
        "_ZN2ns1fEPc",
        "_ZN2ns1fEc",
        "_ZN2ns5Class3addEi",
        "_ZN2ns5Class3getEv",
        "_ZN2ns5Class3getEv.isra.0",
        "_ZNK2ns5Class4sizeEv",
        "_ZN2ns6Class23addEi",
        "_ZN2ns4swapIlEEvRT_S2_",
        "_ZNK6LedgerIlSt4lessIlEE5totalEv",
        "_ZN12_GLOBAL__N_14twinEv 0x10",
        "_ZN12_GLOBAL__N_14twinEv 0x20",
        "_ZN4shop5price17h0123456789abcdefE",
        "_RNvCs1234_4shop4till",
        // As an image knows them that looks for them itself.
        "own::Pair<int, long>::get(char*) const",
        "own::Pair<int, long>::get(char) const 0x30",
        "own::Pair<int, long>::get(char) const 0x40",
        "own::round",
    ];

    #[test]
    fn functions_are_found_by_names_of_the_source() {
        for (named, wanted) in [
            ("main", &["main"][..]),
            ("nothing", &["nothing"]),
            ("_ZN2ns*", &["_ZN2ns*"]),
            ("syscall:*", &["syscall:*"]),
            ("*", &["*"]),
            // In C, and in C++.
            ("total", &["total", "_Z5totalv"]),
            ("ns::f(int)", &["_ZN2ns1fEi"]),
            ("ns::f", &["_ZN2ns1fE*"]),
            ("ns::f(char*)", &["_ZN2ns1fEPc"]),
            ("ns::f(char)", &["_ZN2ns1fEc"]),
            ("ns::Class::*", &["_ZN2ns5Class3*", "_ZNK2ns5Class4sizeEv"]),
            ("ns::Class::get", &["_ZN2ns5Class3getEv*"]),
            ("ns::swap<long>", &["_ZN2ns4swapIlEEvRT_S2_"]),
            ("Ledger<long,std::less<long>>::total", &["_ZNK6LedgerIlSt4lessIlEE5totalEv"]),
            ("Ledger<*>::total() const", &["_ZNK6LedgerIlSt4lessIlEE5totalEv"]),
            ("(anonymous namespace)::twin", &["_ZN12_GLOBAL__N_14twinEv*"]),
            ("shop::price", &["_ZN4shop5price17h0123456789abcdefE"]),
            ("own::Pair<int,long>::get(char*) const", &["own::Pair<int, long>::get(char*) const"]),
            ("own::Pair<int,long>::get", &["own::Pair<int, long>::get(char*"]),
            ("own::*", &["own::*"]),
            ("shop::*", &["_RNvCs1234_4shop4till", "_ZN4shop5price17h0123456789abcdefE"]),
        ] {
            assert_eq!(
                Resolver::default().targets(named, &mut image(FUNCTIONS)),
                Ok(Ok(wanted.iter().map(|name| name.to_string()).collect())),
                "{named}"
            );
        }
    }

    #[test]
    fn an_image_is_asked_once_for_its_names() {
        let (mut image, mut asked, mut resolver) = (image(FUNCTIONS), Vec::new(), Resolver::default());
        let mut ask = |line: &str| {
            asked.push(line.to_string());
            image(line)
        };
        for named in ["ns::f(int)", "shop::price", "main"] {
            resolver.targets(named, &mut ask).unwrap().unwrap();
        }
        let unlike = asked.iter().collect::<BTreeSet<_>>();
        assert_eq!((asked.len(), unlike.len()), (OF_OTHERS.len() + 2, OF_OTHERS.len() + 2), "{asked:?}");
    }

    /// Whatever names there are: what is said fits what was wanted, and nothing else.
    #[test]
    fn patterns_fit_what_was_wanted_alone() {
        let long = "x".repeat(LONGEST_TEXT);
        let names: Vec<String> = (0..400u32)
            .map(|at| match at % 4 {
                0 => format!("_Z{:b}", at.wrapping_mul(2_654_435_761) >> 22),
                1 => format!("_Z{}", "a".repeat(at as usize / 4)),
                2 => format!("_Z{at}{long}"),
                _ => format!("_Z{:b}b", at),
            })
            .collect();
        for which in 2..9 {
            let mut all: Others<'_> = BTreeMap::new();
            for (at, name) in names.iter().enumerate() {
                all.entry(name).or_insert(One { wanted: at % which != 0, several: at % 5 == 0 });
            }
            let Ok(found) = cover(&all) else { continue };
            for (name, one) in &all {
                let count = found.iter().filter(|pattern| is_like(pattern, name)).count();
                assert_eq!(count, usize::from(one.wanted), "{name} of {found:?}");
            }
        }
        let alike = [format!("{long}a"), format!("{long}b")];
        let one = |wanted| One { wanted, several: false };
        let all = Others::from([(alike[0].as_str(), one(true)), (alike[1].as_str(), one(false))]);
        assert!(cover(&all).is_err_and(|reason| reason.contains("by its address")));
    }

    #[test]
    fn lines_have_names_of_the_source() {
        let line = " - _ZN2ns1fEi: _ZN2ns1fEl.cold (0x12), not_ZN2ns1fEi é";
        assert_eq!(line_of_source(line), " - ns::f(int): ns::f(long) [clone .cold] (0x12), not_ZN2ns1fEi é");
    }

    #[test]
    fn a_function_is_told_by_both_names() {
        let mut value = json!({});
        Function::of("_ZN2ns1fEi 0x10", false).put(&mut value, "function");
        assert_eq!(value, json!({ "function": "ns::f(int) 0x10", "symbol": "_ZN2ns1fEi 0x10" }));
        let all = [Function::of("_ZN2ns1fEi", false), Function::of("main", false)];
        Function::put_all(&all, &mut value, "stack");
        assert_eq!(
            (&value["stack"], &value["symbols"]),
            (&json!(["ns::f(int)", "main"]), &json!(["_ZN2ns1fEi", "main"]))
        );
        assert_eq!(Function::of("_ZN2ns1fEi", true).to_string(), "_ZN2ns1fEi");
    }
}
