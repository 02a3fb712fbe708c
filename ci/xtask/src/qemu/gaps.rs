//! The application goes on while a command works: a thread that is always ready never waits longer than [`LIMIT`], whatever the command,
//! and the worst that files can do to it. With one nanosecond of guest time for each instruction, what is found is a count and no time.

use super::machine::{archive, Machine, Options};
use crate::{
    samples,
    unikraft::{self, Checkout},
    Result,
};
use std::{fmt::Write as _, io::Write as _, path::Path, time::Duration};
use ubpf_client::text::TextClient;

/// Instructions that a command may execute at a stretch.
const LIMIT: u64 = 1_000_000;
/// Longest wait for an answer: what takes a second on a CPU takes long when its instructions are counted.
const PATIENCE: Duration = Duration::from_secs(600);
/// Symbols of a large image.
const SYMBOLS: usize = 20_000;
/// Files in a folder.
const FILES: usize = 2_000;
/// Instructions of the longest program.
const INSNS: usize = 65_536;

/// Commands, each with what its answer must contain.
const COMMANDS: &[(&str, &str)] = &[
    ("version", "ushell"),
    ("help", "bpf_attach"),
    ("status", "platform"),
    ("pages", "none"),
    ("ls many", "file-1999"),
    ("ls -l many", "file-1999"),
    ("cat large.txt", "the end"),
    ("bpf_exec spin.bin --engine interp", "exhausted"),
    ("bpf_exec spin.bin --engine jit", "exhausted"),
    ("bpf_exec counted.bin --engine interp", ""),
    ("bpf_exec counted.bin --engine jit", ""),
    ("bpf_exec calls.bin --engine interp", "exhausted"),
    ("bpf_exec calls.bin --engine jit", "exhausted"),
    ("bpf_exec straight.bin --engine interp", ""),
    ("bpf_exec straight.bin --engine jit", ""),
    ("bpf_exec branches.bin --engine interp", ""),
    ("bpf_exec branches.bin --engine jit", ""),
    ("bpf_exec loads.bin a --policy checked --engine jit", ""),
    ("bpf_exec loads.bin --engine interp", ""),
    ("bpf_exec cells.bin a", ""),
    ("bpf_exec chains.bin a", ""),
    ("bpf_exec chains.bin a --policy strict", ""),
    ("bpf_exec heads.bin a", ""),
    ("bpf_exec functions.bin --engine jit", ""),
    ("bpf_exec functions.bin --policy checked --engine jit", ""),
    ("bpf_exec one_target.bin a", ""),
    ("bpf_exec sections.bin a", ""),
    ("bpf_exec groups.bin a --policy checked --engine jit", ""),
    ("bpf_attach myfun count.bin", "successfully"),
    ("bpf_list -v", "count.bin"),
    ("bench myfun count.bin", "a hit costs"),
    ("bench myfun spin.bin --runs 100", "was stopped"),
    ("stats on", ""),
    ("stats off", ""),
    ("bpf_detach myfun", "successfully"),
    ("load symbols.txt", "symbols loaded"),
    ("load rubbish.txt", "no symbols"),
    ("bpf_get_addr generated_19999", "0x"),
    ("functions", "myfun"),
    ("functions nothing", ""),
    ("bpf_attach myfum count.bin", "did you mean"),
    ("complete \"bpf_attach m\"", "myfun"),
    ("bpf_probe_read 0x100000 65536", "0x"),
    ("rm large.txt", ""),
];

/// Plays them.
pub fn run(root: &Path, image: &Path) -> Result<()> {
    let machine = start(root, image)?;
    play(&mut TextClient::at_prompt(&machine.socket)?)
}

/// Options of the image that [`in_unikraft`] builds.
const OPTIONS: &str = "CONFIG_LIBVFSCORE_AUTOMOUNT_CI_INITRD=y
CONFIG_LIBUBPF_RS=y
CONFIG_LIBUSHELL_RS=y
";

/// Plays them in an image of Unikraft.
pub fn in_unikraft(root: &Path, checkout: &Path) -> Result<()> {
    let build = Checkout::new(checkout)?.build(root, "gaps", "all", OPTIONS)?;
    let mut machine = start(root, &unikraft::image(&build))?;
    machine.wait_within(PATIENCE, "that the application is ready", |console| console.contains("gaps: ready"))?;
    play(&mut TextClient::synchronised(&machine.socket)?)
}

fn start(root: &Path, image: &Path) -> Result<Machine> {
    let options = Options { memory: 128, initrd: Some(archive(&files(root)?)), icount: true, ..Options::default() };
    Machine::start(root, image, &options)
}

fn play(client: &mut TextClient) -> Result<()> {
    client.stream.set_read_timeout(Some(PATIENCE))?;
    let symbols = symbols(client)?;
    client.put("symbols.txt", symbols.as_bytes())?;
    client.number("gap")?;
    let mut broken = 0;
    let mut tell = |command: &str, gap: u64| {
        let more = if gap > LIMIT { ": TOO LONG" } else { "" };
        println!("{gap:>9} instructions at a stretch: {command}{more}");
        broken += usize::from(gap > LIMIT);
    };
    for (command, words) in COMMANDS {
        client.expect(command, words).map_err(|error| format!("{command}: {error}"))?;
        tell(command, client.number("gap")?);
    }
    client.put("large.bin", &vec![b'x'; 1 << 20])?;
    tell("put of 1 MiB", client.number("gap")?);
    match broken {
        0 => Ok(()),
        broken => Err(format!("{broken} commands hold the CPU for more than {LIMIT} instructions").into()),
    }
}

/// Commands that take long: the first for hours.
const LONG: &[&str] = &[
    "bench myfun spin.bin --runs 1000000",
    "bpf_exec chains.bin a",
    "bpf_exec loads.bin a --policy checked --engine jit",
    "load symbols.txt",
];

/// `^C` ends the command that runs, whether it comes later or was typed ahead, and no other: what was typed behind the command is done.
pub fn interrupts(root: &Path, image: &Path) -> Result<()> {
    let options = Options { memory: 128, initrd: Some(archive(&files(root)?)), ..Options::default() };
    let machine = Machine::start(root, image, &options)?;
    let mut client = TextClient::at_prompt(&machine.socket)?;
    let symbols = symbols(&mut client)?;
    client.put("symbols.txt", symbols.as_bytes())?;
    client.stream.set_read_timeout(Some(PATIENCE))?;
    for command in LONG {
        for pause in [0, 30] {
            let typed = format!("{command}\nversion\n");
            client.stream.write_all(typed.as_bytes())?;
            std::thread::sleep(Duration::from_millis(pause));
            client.stream.write_all(b"\x03")?;
            let both = |text: &[u8]| text.ends_with(b"\n> ") && text.windows(6).any(|word| word == b"ushell");
            let answers = String::from_utf8_lossy(&client.until(both)?).replace('\r', "");
            if !answers.contains("cancelled\n> ushell") {
                return Err(format!("`{command}`, ^C after {pause} ms: {answers:?}").into());
            }
        }
    }
    // Nothing is left of them.
    client.expect("status", "attached programs: 0\n")?;
    client.expect("bpf_attach myfun count.bin", "successfully")?;
    client.expect("bpf_detach myfun", "successfully")
}

/// An instruction.
fn insn(op: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let ([a, b], [c, d, e, f]) = (off.to_le_bytes(), imm.to_le_bytes());
    [op, src << 4 | dst, a, b, c, d, e, f]
}

const MOV: u8 = 0xb7;
const ADD: u8 = 0x07;
const ADD_REG: u8 = 0x0f;
const JUMP: u8 = 0x05;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_LESS: u8 = 0xa5;
const LOAD: u8 = 0x79;
const LOAD_BYTE: u8 = 0x71;
const STORE_WORD: u8 = 0x63;
const MOV_REG: u8 = 0xbf;
const CALL: u8 = 0x85;
const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// Programs that take as long as they may, to be checked or to be run.
fn programs() -> [(&'static str, Vec<[u8; 8]>); 13] {
    let begin = insn(MOV, 0, 0, 0, 0);
    let long = |body: &dyn Fn(usize) -> [u8; 8]| {
        let body = (0..INSNS - 2).map(body);
        [begin].into_iter().chain(body).chain([EXIT]).collect()
    };
    let branch = |n: usize| match n % 2 {
        0 => insn(JUMP_EQUAL, 1, 0, 1, n as i32),
        _ => insn(ADD, 0, 0, 0, 1),
    };
    // An end that the verifier must believe in, and that never comes.
    let spin = vec![begin, insn(ADD, 0, 0, 0, 1), insn(JUMP_EQUAL, 1, 0, 1, 1), insn(JUMP, 0, 0, -3, 0), EXIT];
    let counted = vec![
        begin,
        insn(MOV, 1, 0, 0, 0),
        insn(ADD_REG, 0, 1, 0, 0),
        insn(ADD, 1, 0, 0, 1),
        insn(JUMP_LESS, 1, 0, -3, 100_000),
        EXIT,
    ];
    // Entries put into the map, again and again.
    let calls = vec![
        insn(MOV, 6, 0, 0, 0),
        insn(MOV, 1, 0, 0, 1),
        insn(MOV, 2, 0, 0, 2),
        insn(MOV, 3, 0, 0, 3),
        insn(CALL, 0, 0, 0, 1),
        insn(ADD, 6, 0, 0, 1),
        insn(JUMP_EQUAL, 6, 0, 1, -1),
        insn(JUMP, 0, 0, -7, 0),
        EXIT,
    ];
    [
        ("spin.bin", spin),
        ("counted.bin", counted),
        ("calls.bin", calls),
        ("straight.bin", long(&|_| insn(ADD, 0, 0, 0, 1))),
        ("branches.bin", long(&branch)),
        ("loads.bin", long(&|_| insn(LOAD, 2, 1, 0, 0))),
        // Every jump but the first few leads back to its own place.
        (
            "heads.bin",
            long(&|n| match n % 2 {
                0 => insn(LOAD_BYTE, 2, 1, 0, 0),
                _ => insn(JUMP_EQUAL, 2, 0, -2, n as i32),
            }),
        ),
        // As many as can be reached by one jump lead to one place.
        (
            "one_target.bin",
            long(&|n| match n {
                0 => insn(LOAD_BYTE, 2, 1, 0, 0),
                n if n < FARTHEST => insn(JUMP_EQUAL, 2, 0, (FARTHEST - n) as i16, n as i32),
                n => insn(ADD, 0, 0, 0, n as i32),
            }),
        ),
        // Accesses through numbers, whose origin is looked for far above.
        (
            "sections.bin",
            long(&|n| match n {
                0 => insn(MOV_REG, 2, 10, 0, 0),
                _ => insn(LOAD, 3, 2, 0, 0),
            }),
        ),
        // Through all registers in turn, so that all that belong together lie far apart.
        ("groups.bin", long(&|n| insn(LOAD, 0, (n % 9 + 1) as u8, 0, 0))),
        ("functions.bin", functions()),
        ("cells.bin", cells(1, 30_000)),
        ("chains.bin", cells(25, 3_000)),
    ]
}

/// How far a jump leads.
const FARTHEST: usize = 32_767;

/// Functions of two instructions each, each called once, by the one before.
fn functions() -> Vec<[u8; 8]> {
    let call = insn(CALL, 0, 1, 0, 1);
    (0..INSNS / 2 - 1).flat_map(|_| [call, EXIT]).chain([insn(MOV, 0, 0, 0, 0), EXIT]).collect()
}

/// Functions that call each other, with frames full of numbers of which little is known, and branches in the innermost one, each of which
/// has a copy of all of them. The first one calls the second so many times.
fn cells(chains: usize, branches: usize) -> Vec<[u8; 8]> {
    const CELLS: i16 = 128;
    const FUNCTIONS: usize = 7;
    let fill = |program: &mut Vec<[u8; 8]>| {
        program.extend((1..=CELLS).map(|cell| insn(STORE_WORD, 10, 8, -4 * cell, 0)));
    };
    let mut program = Vec::new();
    for function in 0..FUNCTIONS {
        program.push(match function {
            0 => insn(LOAD_BYTE, 8, 1, 0, 0),
            _ => insn(MOV_REG, 8, 1, 0, 0),
        });
        fill(&mut program);
        for left in (0..if function == 0 { chains } else { 1 }).rev() {
            let next = 2 * left as i32 + 2;
            program.extend([insn(MOV_REG, 1, 8, 0, 0), insn(CALL, 0, 1, 0, next)]);
        }
        program.extend([insn(MOV, 0, 0, 0, 0), EXIT]);
    }
    program.extend([insn(MOV_REG, 6, 1, 0, 0), insn(MOV_REG, 8, 1, 0, 0)]);
    fill(&mut program);
    let branch = |n: usize| insn(JUMP_EQUAL, 6, 0, (branches - n) as i16, (n * 7 % 200 + 20) as i32);
    program.extend((1..=branches).map(branch));
    program.extend([insn(MOV, 0, 0, 0, 0), EXIT]);
    program
}

fn files(root: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = samples::files(&samples::build(root)?.join("O0"))?;
    let programs = programs().into_iter();
    files.extend(programs.map(|(name, insns)| (name.to_owned(), insns.concat())));
    files.push(("rubbish.txt".into(), vec![b'x'; 900_000]));
    let mut large = "a line of a text that is long\n".repeat(30_000).into_bytes();
    large.extend(b"the end\n");
    files.push(("large.txt".into(), large));
    files.push(("many/".into(), Vec::new()));
    for number in 0..FILES {
        files.push((format!("many/file-{number}"), Vec::new()));
    }
    Ok(files)
}

/// The output of `nm` for an image with many more functions than this one.
fn symbols(client: &mut TextClient) -> Result<String> {
    let known = client.command("bpf_get_addr myfun")?;
    let known = known.trim().strip_prefix("0x").ok_or("no address of myfun")?;
    let mut text = format!("{known} T myfun\n");
    for number in (0..SYMBOLS).rev() {
        let _ = writeln!(text, "{:x} T generated_{number}", 0x4000_0000 + number * 16);
    }
    Ok(text)
}
