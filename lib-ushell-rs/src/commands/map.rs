//! The two-key map that all programs share.

use crate::{
    backend::Backend,
    command::{Call, Command, Failure, Stream},
    Output,
};
use alloc::format;
use core::fmt::Write;

pub(super) const COMMANDS: &[Command] = &[
    Command::builtin("bpf_map_get", "K1 K2", "show a value of the map", get),
    Command::builtin(
        "bpf_map_list",
        "",
        "list the entries of the map\nOne in each line: K1, K2, V. They stand in no order.",
        list,
    ),
    Command::builtin("bpf_map_put", "K1 K2 V", "put a value into the map", put),
    Command::builtin("bpf_map_del", "K1 K2", "remove a value from the map", del),
];

fn no_entry(key1: u64, key2: u64) -> Failure {
    Failure::message(format!("no entry for keys {key1:#x} {key2:#x}"))
}

fn keys(call: &Call<'_>) -> Result<(u64, u64), Failure> {
    Ok((call.number(0, "K1")?, call.number(1, "K2")?))
}

fn get(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key1, key2) = keys(call)?;
    let value = call.backend.map_get(key1, key2);
    let value = value.ok_or_else(|| no_entry(key1, key2))?;
    let _ = writeln!(call.out, "{value}");
    Ok(())
}

fn list(call: &mut Call<'_>) -> Result<(), Failure> {
    call.stream(TwoKeyEntries { next: 0 });
    Ok(())
}

/// Entries of the map from place `next` on.
struct TwoKeyEntries {
    next: usize,
}

impl Stream for TwoKeyEntries {
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool {
        let next = backend.map_entries(self.next, &mut |key1, key2, value| {
            let room = out.has_room();
            if room {
                let _ = writeln!(out, "{key1:#x} {key2:#x} {value}");
            }
            room
        });
        self.next = next.unwrap_or(self.next);
        next.is_some()
    }
}

fn put(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key1, key2) = keys(call)?;
    Ok(call.backend.map_put(key1, key2, call.number(2, "V")?)?)
}

fn del(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key1, key2) = keys(call)?;
    match call.backend.map_del(key1, key2) {
        true => Ok(()),
        false => Err(no_entry(key1, key2)),
    }
}
