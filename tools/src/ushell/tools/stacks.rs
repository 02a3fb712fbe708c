//! Stack traces of tools (`stacks.h`), with names.

use super::{stage::Stage, Failure};
use crate::names::Function;
use std::collections::{BTreeSet, HashMap};

/// Traces by number, each as the names of functions, the innermost first.
#[derive(Default)]
pub struct Stacks {
    /// Addresses of those that were looked up.
    traces: HashMap<u64, Vec<u64>>,
    /// Names of addresses.
    names: HashMap<u64, Function>,
    /// Whether calls end there.
    calls: HashMap<u64, bool>,
    /// They have callers alone.
    of_callers: bool,
}

/// Traces that are looked up one by one, before all of a map are.
const FEW: usize = 8;
/// What stands in place of functions that cannot be told: one of them keeps no frame pointer, and what the register held led elsewhere.
pub const NO_FRAME_POINTERS: &str = "[no frame pointers]";

impl Stacks {
    /// Of traces that begin with a caller; else they begin with a function.
    pub fn of_callers() -> Self {
        Self { of_callers: true, ..Self::default() }
    }

    /// The place of the first caller in a trace.
    fn first_caller(&self) -> usize {
        usize::from(!self.of_callers)
    }

    /// Looks up those of these numbers that are not known yet; numbers below zero are errors of the program, and have none.
    pub fn look_up(
        &mut self,
        stage: &mut Stage,
        map: &str,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Result<(), Failure> {
        let known = |number: &u64| (*number as i64) < 0 || self.traces.contains_key(number);
        let missing: BTreeSet<u64> = numbers.into_iter().filter(|number| !known(number)).collect();
        let found = match missing.len() > FEW {
            true => stage.words(map)?,
            false => missing
                .into_iter()
                .map(|number| Ok((number, stage.value(map, number)?)))
                .collect::<Result<_, Failure>>()?,
        };
        let (mut addresses, mut callers) = (BTreeSet::new(), BTreeSet::new());
        for (number, mut trace) in found {
            trace.truncate(trace.iter().rposition(|&address| address != 0).map_or(0, |last| last + 1));
            // The call stands before the place that it returns to.
            trace.iter_mut().skip(self.first_caller()).for_each(|address| *address = address.saturating_sub(1));
            addresses.extend(trace.iter().copied());
            callers.extend(trace.iter().skip(self.first_caller()).copied());
            self.traces.insert(number, trace);
        }
        self.learn(stage, addresses)?;
        callers.retain(|address| !self.calls.contains_key(address));
        for address in callers {
            self.calls.insert(address, is_call(&stage.bytes(address.saturating_sub(6), 7)?));
        }
        Ok(())
    }

    /// Asks for the names of addresses that are not known yet.
    pub fn learn(&mut self, stage: &mut Stage, addresses: impl IntoIterator<Item = u64>) -> Result<(), Failure> {
        let unknown = addresses.into_iter().filter(|address| !self.names.contains_key(address)).collect();
        self.names.extend(stage.names_of(unknown)?);
        Ok(())
    }

    /// The name of an address.
    pub fn name(&self, address: u64) -> Function {
        self.names.get(&address).cloned().unwrap_or_else(|| format!("{address:#x}").into())
    }

    /// The functions of a trace.
    pub fn functions(&self, number: u64) -> Vec<Function> {
        let trace = self.traces.get(&number).map_or(&[][..], Vec::as_slice);
        // An address that no call stands before is nobody's caller, and so is nothing behind it.
        let is_caller = |address: &u64| self.calls.get(address).copied().unwrap_or(true);
        let first = self.first_caller().min(trace.len());
        let known = first + trace.iter().skip(first).take_while(|address| is_caller(address)).count();
        let mut functions: Vec<Function> = trace.iter().take(known).map(|&address| self.name(address)).collect();
        if known < trace.len() {
            functions.push(NO_FRAME_POINTERS.into());
        }
        functions
    }

    /// As lines.
    pub fn text(functions: &[Function]) -> String {
        match functions {
            [] => "      (no stack: there was no room for it)\n".into(),
            functions => functions.iter().map(|function| format!("      {function}\n")).collect(),
        }
    }
}

/// Whether a call of x86-64 ends with the last of seven bytes.
fn is_call(bytes: &[u8]) -> bool {
    let Ok(bytes) = <[u8; 7]>::try_from(bytes) else { return false };
    let direct = bytes[2] == 0xe8;
    direct || bytes.windows(2).any(|pair| pair[0] == 0xff && pair[1] >> 3 & 7 == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_from_other_instructions() {
        for (bytes, is) in [
            ([0x90, 0x90, 0xe8, 1, 2, 3, 4], true),
            ([0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0], true),
            ([0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd3], true),
            ([0x90, 0xff, 0x15, 1, 2, 3, 4], true),
            ([0xff, 0x94, 0x24, 1, 2, 3, 4], true),
            ([0x90, 0x90, 0xe9, 1, 2, 3, 4], false),
            ([0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0], false),
            ([0; 7], false),
        ] {
            assert_eq!(is_call(&bytes), is, "{bytes:x?}");
        }
        assert!(!is_call(&[0xe8, 0, 0, 0, 0]));
    }

    #[test]
    fn a_stack_ends_where_it_can_be_none() {
        let names = [(0x10, "leaf"), (0x1f, "caller"), (0x2f, "data")].map(|(at, name)| (at, name.into()));
        let traces = [(1, vec![0x10, 0x1f]), (2, vec![0x10, 0x1f, 0x2f, 0x1f]), (3, vec![]), (4, vec![0x10])];
        let calls = [(0x1f, true), (0x2f, false)];
        let stacks = Stacks { traces: traces.into(), names: names.into(), calls: calls.into(), ..Stacks::default() };
        let functions = |number| stacks.functions(number).iter().map(Function::to_string).collect::<Vec<_>>();
        assert_eq!(functions(1), ["leaf", "caller"]);
        assert_eq!(functions(2), ["leaf", "caller", NO_FRAME_POINTERS]);
        assert_eq!((functions(3), functions(4)), (vec![], vec!["leaf".to_string()]));
    }
}
