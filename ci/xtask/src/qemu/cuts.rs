//! A client that leaves after every byte of a session: one connection per byte position, one machine. The shell works
//! afterwards, and the application never missed a call.

use super::{
    abuse::Stage,
    machine::{Machine, Options},
    sample_files, samples,
};
use crate::Result;
use std::io::Write;
use ubpf_client::text::{put, TextClient};

/// Milliseconds between two calls of the traced function.
const PERIOD: u64 = 2;
const BODY: &str = "body of function myfun";

/// What is typed: commands of every kind, an upload, the terminal's and the machine's mode.
fn session() -> Vec<u8> {
    let parts: [&[u8]; 9] = [
        b"status\nhelp put\nls -l\n",
        b"bpf_exec get_count.bin myfun\nbpf_exec oob.bin\nbpf_exec loop_fail.bin\n",
        b"bpf_attach myfun notify.bin\nbpf_list myfun\n",
        b"bpf_map_put 7 8 9\nbpf_map_get 7 8\nno such 'command\n",
        &put("upload.bin", b"\x95\0\0\0\0\0\0\0\n> quit\nstatus\n"),
        b"bpf_detach myfun notify.bin\nrm upload.bin\n",
        b"mode terminal\nbpf_a\t myf\t\x01\x0b\x1b[A\x1b[D\x7f\x03\x12help\n",
        b"mode machine\nstatus\nbpf_list\n",
        b"mode plain\nquit\n\n",
    ];
    parts.concat()
}

/// Plays it.
pub fn run(stage: &Stage<'_>) -> Result<()> {
    let options =
        Options { command_line: format!("-- {PERIOD}"), initrd: Some(sample_files(stage.root)?), ..Options::default() };
    let mut machine = Machine::start(stage.root, stage.image, &options)?;
    let count = std::fs::read(samples::build(stage.root)?.join("O0/count.bin"))?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    client.put("tally.bin", &count)?;
    let lines_before = bodies(&machine);
    client.expect("bpf_attach myfun tally.bin", "attached successfully")?;
    let begin = client.number("bpf_time_get_ns")?;
    drop(client);
    let session = session();
    for end in 0..=session.len() {
        let played = cut(&machine, session.get(..end).unwrap_or(&[]));
        played.map_err(|error| format!("a client that leaves after byte {end}: {error}"))?;
    }
    // The lines of the client that left last may still be carried out.
    let mut client = TextClient::synchronised(&machine.socket)?;
    let elapsed = client.number("bpf_time_get_ns")?.saturating_sub(begin);
    client.expect("bpf_detach myfun tally.bin", "detached successfully")?;
    let calls = client.number("bpf_exec get_count.bin myfun")?;
    machine.wait_for(BODY)?;
    let lines = bodies(&machine) - lines_before;
    // One call each may fall between looking at the console and the attach or the detach.
    if lines < calls || lines > calls + 4 {
        return Err(format!("{calls} calls were counted, {lines} lines written").into());
    }
    let possible = elapsed / (PERIOD * 1_000_000);
    if calls * 2 < possible {
        return Err(format!("{calls} calls in a time for {possible}: the clients held the application up").into());
    }
    client.expect("pages", "writable and executable: none")?;
    println!(
        "{} clients left early; the shell works, {calls} calls of {possible} possible wrote {lines} lines",
        session.len() + 1
    );
    Ok(())
}

/// Comes, writes this, and goes.
fn cut(machine: &Machine, bytes: &[u8]) -> Result<()> {
    let mut client = TextClient::at_prompt(&machine.socket)?;
    client.stream.write_all(bytes)?;
    Ok(())
}

fn bodies(machine: &Machine) -> u64 {
    machine.console().matches(BODY).count() as u64
}
