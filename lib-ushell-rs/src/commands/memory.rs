//! Addresses, memory and time of the application.

use crate::{
    backend::Backend,
    command::{parse_number, Call, Command, Failure, Stream},
    output::Printable,
    Output,
};
use alloc::format;
use core::fmt::Write;

pub(super) const COMMANDS: &[Command] = &[
    Command::builtin("bpf_get_addr", "NAME", "show the address of a symbol", address),
    Command::builtin(
        "bpf_get_ret_addr",
        "FUNC",
        "show the address by which a traced function is known\n\
         It is the first key under which count.bin counts.",
        trace_address,
    ),
    Command::builtin(
        "bpf_get_name",
        "ADDR...",
        "show which functions addresses lie in\nA line for each: name, `+` and the distance; `?` where none is known.",
        names,
    ),
    Command::builtin(
        "bpf_probe_read",
        "ADDR SIZE",
        "show memory of the application\nAt most 65536 bytes; memory that is not mapped ends it.",
        probe_read,
    ),
    Command::builtin("bpf_time_get_ns", "", "show the time in nanoseconds", time),
];

const MOST: u64 = 65536;
const ROW: usize = 16;

fn names(call: &mut Call<'_>) -> Result<(), Failure> {
    for word in call.args.from(0) {
        let address = parse_number(word, "ADDR")?;
        let _ = match call.backend.function_at(address) {
            Some((name, distance)) => writeln!(call.out, "{}+{distance:#x}", Printable(&name)),
            None => writeln!(call.out, "?"),
        };
    }
    Ok(())
}

fn show(call: &mut Call<'_>, address: Option<u64>) -> Result<(), Failure> {
    let unknown = || format!("unknown symbol `{}`", call.args.required(0));
    let address = address.ok_or_else(|| Failure::message(unknown()))?;
    let _ = writeln!(call.out, "{address:#x}");
    Ok(())
}

fn address(call: &mut Call<'_>) -> Result<(), Failure> {
    let address = call.backend.symbol_address(call.args.required(0));
    show(call, address)
}

fn trace_address(call: &mut Call<'_>) -> Result<(), Failure> {
    let name = call.args.required(0);
    let address = call.backend.trace_address(name);
    if address.is_none() {
        return Err(super::programs::unknown_function(call.backend, name));
    }
    show(call, address)
}

fn time(call: &mut Call<'_>) -> Result<(), Failure> {
    let _ = writeln!(call.out, "{}", call.backend.now_ns());
    Ok(())
}

fn probe_read(call: &mut Call<'_>) -> Result<(), Failure> {
    let (address, size) = (call.number(0, "ADDR")?, call.number(1, "SIZE")?);
    if size == 0 || size > MOST {
        return Err(Failure::message(format!("SIZE: 1 to {MOST} bytes")));
    }
    if call.backend.probe_read(address, &mut [0]) == 0 {
        return Err(Failure::message(format!("address {address:#x} is not readable")));
    }
    call.stream(MemoryDump { address, left: size });
    Ok(())
}

/// Rows of memory, each read when it is written.
struct MemoryDump {
    address: u64,
    left: u64,
}

impl Stream for MemoryDump {
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool {
        let mut row = [0; ROW];
        let wanted = usize::try_from(self.left).unwrap_or(ROW).min(ROW);
        let row = row.get_mut(..wanted).unwrap_or(&mut []);
        let count = backend.probe_read(self.address, row).min(wanted);
        let bytes = row.get(..count).unwrap_or(&[]);
        if !bytes.is_empty() {
            dump_row(self.address, bytes, out);
        }
        self.address = self.address.saturating_add(count as u64);
        self.left = self.left.saturating_sub(count as u64);
        if count < wanted {
            let _ = writeln!(out, "{:#x}: not readable", self.address);
        }
        self.left > 0 && count == wanted
    }
}

pub(super) fn dump_row(address: u64, bytes: &[u8], out: &mut Output) {
    let _ = write!(out, "{address:#018x}:");
    for column in 0..ROW {
        let _ = match bytes.get(column) {
            Some(byte) => write!(out, " {byte:02x}"),
            None => write!(out, "   "),
        };
    }
    out.bytes(b"  ");
    for &byte in bytes {
        let shown = if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'.' };
        out.bytes(&[shown]);
    }
    out.bytes(b"\n");
}
