//! The tools of `ushell` against an application in a running image whose calls are known: each tool is started, the application works, the
//! tool ends, and what it told is compared with a count that does not come from the engine: lines of the application's console, answers
//! to a client, or the application's own statistics. It speaks to the image over its shell alone.

mod redis;
pub mod running;
mod sqlite;

use crate::{setup, usage, Result};
use running::Image;
use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

const USAGE: &str = "usage: cargo xtask tools --socket SHELL (--sqlite CONSOLE | --redis PORT)
  --socket SHELL    the socket of the image's shell
  --sqlite CONSOLE  examples/sqlite runs in the image, its console goes to this file
  --redis PORT      examples/redis runs in the image, this port of 127.0.0.1 leads to it
Both images were built with CONFIG_LIBUBPF_RS_SCOPE_IMAGE=y.";

/// `cargo xtask tools --socket SHELL (--sqlite CONSOLE | --redis PORT)`
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--socket", socket, "--sqlite", console] => sqlite::play(&image(root, socket)?, &PathBuf::from(console)),
        ["--socket", socket, "--redis", port] => {
            let port = port.parse().map_err(|_| usage(format!("{port} is no number of a port\n{USAGE}")))?;
            redis::play(&image(root, socket)?, port)
        }
        _ => Err(usage(USAGE)),
    }
}

fn image(root: &Path, socket: &str) -> Result<Image> {
    setup::ensure()?;
    Image::new(root, Path::new(socket))
}

/// A tool against an application: its name, and what says what was found, or what was told instead.
type Check<A> = (&'static str, fn(&mut A) -> Result<String>);

/// Plays all of them; fails at the first that tells something else than the application did.
fn all<A>(image: &Image, application: &mut A, name: &str, checks: &[Check<A>]) -> Result<()> {
    for (tool, check) in checks {
        let said = check(application).map_err(|error| format!("{tool}: {error}"))?;
        println!("{tool}: {said}");
    }
    image.expect_nothing()?;
    println!("tools: passed ({} on {name})", checks.len());
    Ok(())
}

/// An error unless this holds; the text says what was told and what was expected.
pub fn expect(holds: bool, text: impl FnOnce() -> String) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(text().into()),
    }
}

/// A number of calls is that of whole rounds of the application, each of which makes `each` of them; gives how many rounds.
fn rounds(what: &str, calls: u64, each: u64, of: &RangeInclusive<u64>) -> Result<u64> {
    let rounds = calls / each;
    expect(calls.is_multiple_of(each) && of.contains(&rounds), || {
        format!("{what}: {calls} calls were told; the application made {each} in each of {of:?} rounds")
    })?;
    Ok(rounds)
}

#[cfg(test)]
mod tests {
    use super::rounds;

    #[test]
    fn calls_are_those_of_whole_rounds() {
        assert_eq!(rounds("f", 3000, 1000, &(2..=3)).ok(), Some(3));
        for (calls, of) in [(3001, 2..=3), (2999, 2..=3), (4000, 2..=3), (1000, 2..=3), (0, 2..=3)] {
            assert!(rounds("f", calls, 1000, &of).is_err(), "{calls}");
        }
    }
}
