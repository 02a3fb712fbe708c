//! The tour: plays the reference session against any running target and checks both sides. It speaks to the shell
//! over a Unix socket and reads the console from a file or a socket; it knows nothing else of the target.

mod console;

use crate::{usage, Result};
use console::Console;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use ubpf_client::text::TextClient;

const BODY: &str = "body of function myfun";
const NOTIFY: &str = "Notify: myfun";
/// Longest wait for a line of the application.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the target is.
pub struct Target {
    /// Socket of the shell.
    pub socket: PathBuf,
    /// Console: a file that grows, or a socket.
    pub console: PathBuf,
    /// Folder with the compiled samples (`*.bin`, `*.pkg`), uploaded before the tour.
    pub programs: PathBuf,
}

/// What the tour does with a program file that it needs.
const PROGRAMS: &[&str] = &["count.bin", "get_count.bin", "notify.bin", "loop_fail.bin", "oob.bin", "calls.pkg"];

/// `cargo xtask tour --socket SHELL --console FILE|SOCKET`
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut socket, mut console) = (None, None);
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().map(PathBuf::from);
        match option.as_str() {
            "--socket" => socket = value,
            "--console" => console = value,
            other => return Err(usage(format!("tour: unknown option {other}"))),
        }
    }
    let (Some(socket), Some(console)) = (socket, console) else {
        return Err(usage("usage: cargo xtask tour --socket SHELL --console FILE|SOCKET"));
    };
    crate::setup::ensure()?;
    let programs = crate::samples::build(root)?.join("O0");
    run(&Target { socket, console, programs })
}

/// Plays the tour; prints both sides; fails at the first thing that is not as it must be.
pub fn run(target: &Target) -> Result<()> {
    let console = Console::open(&target.console).map_err(|error| format!("{}: {error}", target.console.display()))?;
    let mut shell = Shell::connect(&target.socket)?;
    upload(&mut shell, &target.programs)?;
    clean(&mut shell)?;
    let tour = played(&mut shell, &console);
    println!("--- console ---");
    for line in console.lines() {
        println!("{line}");
    }
    println!("---------------");
    let seen = tour?;
    println!("tour: passed ({seen} calls counted)");
    Ok(())
}

/// The target's shell; both sides of what is said are printed.
struct Shell(TextClient);

impl Shell {
    fn connect(socket: &Path) -> Result<Shell> {
        Ok(Shell(TextClient::synchronised(socket)?))
    }

    /// Runs a command; the lines of its answer.
    fn command(&mut self, line: &str) -> Result<Vec<String>> {
        println!("> {line}");
        let answer = self.0.command(line)?;
        print!("{answer}");
        Ok(answer.lines().map(String::from).collect())
    }
}

fn upload(shell: &mut Shell, programs: &Path) -> Result<()> {
    for file in PROGRAMS {
        shell.0.send(file, &std::fs::read(programs.join(file))?)?;
    }
    Ok(())
}

/// Takes off what an earlier session may have left.
fn clean(shell: &mut Shell) -> Result<()> {
    shell.command("bpf_detach myfun")?;
    shell.command("prog unload calls").map(drop)
}

fn played(shell: &mut Shell, console: &Console) -> Result<u64> {
    let before = count(shell)?;
    let counted = counting(shell, console)?;
    let after = count(shell)?;
    check_equal("calls counted", &(after - before), &counted)?;
    detached_counts_no_more(shell, console, after)?;
    returning(shell, console)?;
    object(shell, console)?;
    timed(shell, console)?;
    refused(shell)?;
    stopped(shell, console)?;
    Ok(counted)
}

/// A program at the returns of the function counts each call once. Where the function's stub does not say where it returns to, the shell does.
fn returning(shell: &mut Shell, console: &Console) -> Result<()> {
    const ATTACH: &str = "bpf_attach --exit myfun count.bin";
    console.wait_bodies(console.len(), 1)?;
    let answer = shell.command(ATTACH)?.concat();
    let other_stub = ["-mfentry", "-finstrument-functions"].iter().any(|flag| answer.contains(flag));
    if answer.starts_with("no program can be attached to the return of myfun: ") && other_stub {
        return Ok(());
    }
    expect(shell, "bpf_list myfun", &["myfun:", " - count.bin at exit"])?;
    expect(shell, "bpf_detach myfun", &["Program was detached successfully."])?;
    let before = count(shell)?;
    let start = at_a_body(console, shell, ATTACH, "Program was attached successfully.")?;
    console.wait_bodies(start, random(2, 4))?;
    let end = at_a_body(console, shell, "bpf_detach myfun", "Program was detached successfully.")?;
    let after = count(shell)?;
    check_equal("returns counted", &(after - before), &console.bodies(start, end))?;
    detached_counts_no_more(shell, console, after)
}

/// An object: loaded with a number set, attached to the function that its section names, exchanged for itself with another number while it
/// counts, its maps read when it has ended, and gone with it.
fn object(shell: &mut Shell, console: &Console) -> Result<()> {
    expect(shell, "prog load calls.pkg step=3", &["Object calls was loaded successfully."])?;
    let attached = "Program calls was attached to myfun successfully.";
    let start = at_a_body(console, shell, "prog attach calls", attached)?;
    console.wait_bodies(start, random(2, 4))?;
    let middle = at_a_body(
        console,
        shell,
        "prog replace calls calls.pkg step=5",
        "calls was replaced by calls.pkg successfully.",
    )?;
    console.wait_bodies(middle, random(2, 4))?;
    let end = at_a_body(console, shell, "bpf_detach myfun", "Program was detached successfully.")?;
    let (before, after) = (console.bodies(start, middle), console.bodies(middle, end));
    let calls = before + after;
    let dump = [format!("0: {}", 3 * before + 5 * after), format!("1: {calls}")];
    expect(shell, "map dump calls.counts", &dump.each_ref().map(String::as_str))?;
    expect(shell, "map lookup calls..bss 0", &[&calls.to_string()])?;
    expect(shell, "map update calls.counts 1 0", &[])?;
    expect(shell, "map lookup calls.counts 1", &["0"])?;
    expect(shell, "prog unload calls", &["Object calls was unloaded successfully."])?;
    expect(shell, "map list", &[])
}

/// A program that runs again and again, and nothing that ticks when it is gone.
fn timed(shell: &mut Shell, console: &Console) -> Result<()> {
    const TIMER: &str = "interval:ms:20";
    expect(shell, &format!("bpf_attach {TIMER} count.bin"), &["Program was attached successfully."])?;
    console.wait_bodies(console.len(), 3)?;
    let listed = shell.command(&format!("bpf_list {TIMER} -v"))?.concat();
    let number = |name: &str| {
        let (_, rest) = listed.split_once(name)?;
        rest.split([',', ')', ' ']).next()?.parse::<u64>().ok()
    };
    let (runs, failures) = (number("(runs ").unwrap_or(0), number("failures ").unwrap_or(u64::MAX));
    if runs < 3 || failures != 0 || !listed.contains("asked 50.0 Hz") {
        return Err(format!("a program that runs every 20 ms did not do well: {listed}").into());
    }
    expect(shell, &format!("bpf_detach {TIMER}"), &["Program was detached successfully."])?;
    let status = shell.command("status")?;
    match status.iter().any(|line| line == "timer ticks per second: 0") {
        true => Ok(()),
        false => Err("the timer goes on though no program is there".into()),
    }
}

/// Attach, notify, list, detach, with a random number of calls in each part. Gives the calls seen while `count` was
/// attached.
fn counting(shell: &mut Shell, console: &Console) -> Result<u64> {
    let start = at_a_body(console, shell, "bpf_attach myfun count.bin", "Program was attached successfully.")?;
    console.wait_bodies(start, random(1, 3))?;
    let notified = at_a_body(console, shell, "bpf_attach myfun notify.bin", "Program was attached successfully.")?;
    expect(shell, "bpf_list myfun", &["myfun:", " - count.bin", " - notify.bin"])?;
    console.wait_bodies(notified, random(2, 4))?;
    let silent = at_a_body(console, shell, "bpf_detach myfun notify.bin", "Program was detached successfully.")?;
    console.wait_bodies(silent, random(1, 3))?;
    let end = at_a_body(console, shell, "bpf_detach myfun count.bin", "Program was detached successfully.")?;
    check_notifications(console, notified, silent)?;
    Ok(console.bodies(start, end))
}

/// Runs a command right after a line of the application, so that no call falls into it. Gives the number of
/// console lines then.
fn at_a_body(console: &Console, shell: &mut Shell, command: &str, answer: &str) -> Result<usize> {
    console.wait_bodies(console.len(), 1)?;
    let before = console.len();
    expect(shell, command, &[answer])?;
    std::thread::sleep(Duration::from_millis(20));
    let during = console.bodies(before, console.len());
    if during != 0 {
        return Err(format!("`{command}` took longer than the pause between two calls of myfun").into());
    }
    Ok(console.len())
}

/// Each call between attach and detach of `notify` is reported once, beside its line; no other call is. Where the
/// platform owns the console the notice stands before the line; elsewhere it may follow it, but not by a whole call.
fn check_notifications(console: &Console, from: usize, to: usize) -> Result<()> {
    let lines = console.lines();
    let (before, rest) = lines.split_at(from);
    let (within, after) = rest.split_at(to - from);
    let of_interest = |line: &&String| *line == BODY || *line == NOTIFY;
    let within: Vec<&String> = within.iter().filter(of_interest).collect();
    let order = within.first().map(|first| first.as_str());
    let pairs = within.chunks(2).all(|pair| match pair {
        [first, second] if order == Some(NOTIFY) => *first == NOTIFY && *second == BODY,
        [first, second] => *first == BODY && *second == NOTIFY,
        _ => false,
    });
    if within.is_empty() || !pairs {
        return Err(format!("while notify was attached, every call must have its notice: {within:?}").into());
    }
    if before.iter().chain(after).any(|line| line == NOTIFY) {
        return Err("a notice stands before the attach or after the detach of notify".into());
    }
    Ok(())
}

fn detached_counts_no_more(shell: &mut Shell, console: &Console, before: u64) -> Result<()> {
    console.wait_bodies(console.len(), 2)?;
    check_equal("count after the detach", &count(shell)?, &before)
}

fn refused(shell: &mut Shell) -> Result<()> {
    expect(shell, "bpf_exec loop_fail.bin", &["Failed to load code: infinite loop at PC 2"])
}

/// The program is stopped, the shell and the console say so, the application goes on.
fn stopped(shell: &mut Shell, console: &Console) -> Result<()> {
    let before = console.len();
    expect(shell, "bpf_exec oob.bin", &["BPF program execution failed."])?;
    console.wait_for(before, "uBPF error: out of bounds memory load at PC 4, addr 0x0, size 4")?;
    let regions = console.wait_for(before, "mem 0x0/0 stack 0x")?;
    if !regions.ends_with("/512") {
        return Err(format!("the stack of one frame has 512 bytes: {regions}").into());
    }
    console.wait_bodies(before, 2)?;
    Ok(())
}

fn count(shell: &mut Shell) -> Result<u64> {
    let answer = shell.command("bpf_exec get_count.bin myfun")?;
    let value = answer.iter().find_map(|line| line.strip_prefix("The program returned: "));
    let value = value.and_then(|text| text.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| format!("get_count answered {answer:?}").into())
}

/// Runs a command whose answer must begin with these lines.
fn expect(shell: &mut Shell, command: &str, wanted: &[&str]) -> Result<()> {
    let answer = shell.command(command)?;
    let same = answer.len() >= wanted.len() && answer.iter().zip(wanted).all(|(line, wanted)| line.starts_with(wanted));
    if same {
        return Ok(());
    }
    Err(format!("`{command}` answered {answer:?}, expected {wanted:?}").into())
}

fn check_equal<T: PartialEq + std::fmt::Display>(what: &str, found: &T, wanted: &T) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what}: {found}, expected {wanted}").into())
}

/// A number in `low..=high`, another one in each run.
fn random(low: u64, high: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |d| u64::from(d.subsec_nanos()));
    low + (nanos / 1000) % (high - low + 1)
}
