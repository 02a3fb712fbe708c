//! Stacks that are followed here by the unwind tables of a file, of what samples bring along (`unwound.h`): no frame pointers are needed.

use super::{
    image_file::read_file,
    stacks::Stacks,
    stage::{self, Stage},
    Failure,
};
use crate::names::Function;
use clap::{Arg, ArgMatches};
use std::collections::{BTreeMap, HashMap};
use ubpf_pack::{End, Kept, Unwinder};
use ubpf_tools::cli::path;

/// Addresses of a stack, at most.
const MOST: usize = 127;

/// The option for the file.
pub fn dwarf() -> Arg {
    path("dwarf").long("dwarf").value_name("FILE").conflicts_with("interval").help(
        "Follow calls by the unwind tables of the image's debug file (.dbg), or of the program itself; tells all of it at the end",
    )
}

/// What the command line says of it.
pub fn read_dwarf(matches: &ArgMatches) -> Result<Option<Unwinding>, String> {
    Ok(read_file(matches, "dwarf", Unwinder::read)?.map(Unwinding))
}

/// What follows calls.
pub struct Unwinding(Unwinder);

/// The same, of an image that runs.
pub struct Located<'u> {
    unwinder: &'u Unwinder,
    /// How far the image lies from where its file says.
    moved: u64,
}

/// Where it was and where calls return to, the innermost first, and why there are no more.
pub type Stack = (Vec<u64>, End);

impl Unwinding {
    /// Finds the image.
    pub fn located(&self, stage: &mut Stage) -> Result<Located<'_>, Failure> {
        for (name, address) in self.0.known() {
            if let Some(found) = stage.address_of(name)? {
                return Ok(Located { unwinder: &self.0, moved: found.wrapping_sub(*address) });
            }
        }
        let reason = "--dwarf: the image knows none of the file's functions: is it the file of another one?";
        Err(Failure::Refused(reason.into()))
    }
}

impl Located<'_> {
    /// Takes the samples in a ring as they come, each with the words that the programs put before, until the end.
    pub fn follow<const ABOUT: usize>(
        &self,
        stage: &mut Stage,
        ring: &str,
        mut take: impl FnMut([u64; ABOUT], Stack),
    ) -> Result<(), Failure> {
        stage.follow(ring, |words| {
            if let Some((&about, sample)) = words.split_first_chunk::<ABOUT>() {
                if let Some(stack) = self.stack(sample) {
                    take(about, stack);
                }
            }
            stage::Told::default()
        })
    }

    /// The stack of a sample: of its registers, how much of the stack was read, and that.
    fn stack(&self, sample: &[u64]) -> Option<Stack> {
        let (registers, rest) = sample.split_first_chunk::<8>()?;
        let (read, stack) = rest.split_first()?;
        let stack: Vec<u8> = stack.iter().flat_map(|word| word.to_le_bytes()).collect();
        let stack = usize::try_from(*read).ok().and_then(|read| stack.get(..read)).unwrap_or(&stack);
        Some(self.unwinder.calls(Kept::new(*registers), stack, self.moved, MOST))
    }
}

/// Learns the names of what stands in stacks.
fn learned<'s>(stage: &mut Stage, stacks: impl Iterator<Item = &'s Stack>) -> Result<Stacks, Failure> {
    let mut names = Stacks::default();
    names.learn(stage, stacks.flat_map(|(calls, _)| sites(calls)))?;
    Ok(names)
}

/// The same, and of the functions whose returns those are of.
pub fn learned_at_returns<'s>(
    stage: &mut Stage,
    returns: impl Iterator<Item = (u64, &'s Stack)> + Clone,
) -> Result<Stacks, Failure> {
    let mut names = learned(stage, returns.clone().map(|(_, stack)| stack))?;
    names.learn(stage, returns.map(|(function, _)| function))?;
    Ok(names)
}

/// A function that returns, and those of the stack that it returns to.
pub fn functions_at_return(names: &Stacks, function: u64, stack: &Stack) -> Vec<Function> {
    [vec![names.name(function)], functions(names, stack)].concat()
}

/// The functions of a stack, the innermost first.
fn functions(names: &Stacks, (calls, end): &Stack) -> Vec<Function> {
    sites(calls).map(|address| names.name(address)).chain(why(*end).map(Function::from)).collect()
}

/// Counts of stacks by names of functions.
pub fn named(stage: &mut Stage, counts: HashMap<Stack, u64>) -> Result<BTreeMap<Vec<Function>, u64>, Failure> {
    let (names, mut stacks) = (learned(stage, counts.keys())?, BTreeMap::new());
    for (stack, count) in counts {
        let sum: &mut u64 = stacks.entry(functions(&names, &stack)).or_default();
        *sum = sum.saturating_add(count);
    }
    Ok(stacks)
}

/// Where it was, and where the calls stand that led there: before the places that they return to.
fn sites(calls: &[u64]) -> impl Iterator<Item = u64> + '_ {
    calls.iter().enumerate().map(|(at, address)| address.saturating_sub(u64::from(at > 0)))
}

/// What stands in place of callers that are not known.
fn why(end: End) -> Option<&'static str> {
    match end {
        End::Outermost | End::Enough => None,
        End::Unknown => Some("[no unwind information]"),
        End::Cut => Some("[stack cut off]"),
    }
}
