//! The shell on standard input and output, over an engine that has no files and no application to trace:
//! `cargo run -p ushell-rs --example terminal`.

use std::{
    io::{self, Read, Write},
    sync::OnceLock,
    time::Instant,
};
use ubpf_rs::{
    platform::{Clock, Platform},
    runtime::{Config, Runtime},
};
use ushell_rs::Shell;

struct Uptime;

impl Clock for Uptime {
    fn now_ns(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// Sends what the shell has to say.
fn say(shell: &mut Shell) -> io::Result<()> {
    let (mut out, mut piece) = (io::stdout(), [0; 512]);
    loop {
        let count = shell.drain(&mut piece);
        if count == 0 {
            return out.flush();
        }
        out.write_all(piece.get(..count).unwrap_or(&[]))?;
    }
}

fn main() -> io::Result<()> {
    let platform = Platform::bare("terminal", &Uptime);
    let engine = Runtime::init(platform, Config::default()).map_err(io::Error::other)?;
    let mut shell = Shell::new(engine, ushell_rs::Config::default());
    shell.connected();
    say(&mut shell)?;
    let mut input = [0; 512];
    while !shell.wants_close() {
        let count = io::stdin().read(&mut input)?;
        let mut rest = input.get(..count).unwrap_or(&[]);
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            // It takes less where nobody reads what it has to say.
            let taken = shell.feed(rest);
            rest = rest.get(taken..).unwrap_or(&[]);
            say(&mut shell)?;
        }
    }
    println!();
    Ok(())
}
