//! Work and memory that an object costs: both have an end, whatever is in it.

use crate::error::{refused, Error};
use alloc::vec::Vec;
use ubpf_rs::platform::{Cancelled, Pause};

/// Most steps for one object: an honest one takes a few for each of its bytes. A step is some nanoseconds.
const MOST: usize = 50_000_000;
/// Steps from one pause to the next.
const SLICE: usize = 2048;

/// The steps of one object.
pub struct Steps<'p> {
    pause: &'p mut Pause<'p>,
    left: usize,
    since: usize,
    /// Whether nobody wants the answer any more.
    pub cancelled: bool,
}

impl<'p> Steps<'p> {
    /// All of them, with a pause now and then.
    pub fn new(pause: &'p mut Pause<'p>) -> Steps<'p> {
        Steps { pause, left: MOST, since: 0, cancelled: false }
    }

    /// Takes so many steps.
    #[inline(never)]
    pub fn take(&mut self, count: usize) -> Result<(), Error> {
        let left = self.left.checked_sub(count);
        self.left = left.ok_or_else(|| refused!("it takes more than {MOST} steps to pack: it is no honest object"))?;
        Ok(self.pause(count)?)
    }

    /// Pauses, where as much was done as so many steps, of which the end is somebody else's matter.
    pub fn pause(&mut self, count: usize) -> Result<(), Cancelled> {
        self.since = self.since.saturating_add(count);
        if self.since < SLICE {
            return Ok(());
        }
        self.since = 0;
        let answer = (self.pause)();
        self.cancelled |= answer.is_err();
        answer
    }
}

/// A list that grows while there is memory.
pub trait Put<T> {
    /// Puts one behind the others.
    fn put(&mut self, one: T) -> Result<(), Error>;
    /// Puts all of them behind the others.
    fn put_all(&mut self, all: &[T]) -> Result<(), Error>
    where
        T: Copy;
    /// Makes it so long.
    fn grow(&mut self, len: usize, one: T) -> Result<(), Error>
    where
        T: Clone;
}

impl<T> Put<T> for Vec<T> {
    #[inline(never)]
    fn put(&mut self, one: T) -> Result<(), Error> {
        self.try_reserve(1)?;
        self.push(one);
        Ok(())
    }

    #[inline(never)]
    fn put_all(&mut self, all: &[T]) -> Result<(), Error>
    where
        T: Copy,
    {
        self.try_reserve(all.len())?;
        self.extend_from_slice(all);
        Ok(())
    }

    #[inline(never)]
    fn grow(&mut self, len: usize, one: T) -> Result<(), Error>
    where
        T: Clone,
    {
        self.try_reserve(len.saturating_sub(self.len()))?;
        self.resize(len, one);
        Ok(())
    }
}

/// A list of what comes, as far as it comes.
pub fn collected<T>(all: impl IntoIterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    for one in all {
        list.put(one?)?;
    }
    Ok(list)
}

/// Whether a mistake is planted for the fuzz target.
#[cfg(feature = "fuzz")]
macro_rules! planted {
    ($bug:ident) => {
        ubpf_rs::verifier::planted::active(ubpf_rs::verifier::planted::Bug::$bug)
    };
}
/// Whether a mistake is planted: never.
#[cfg(not(feature = "fuzz"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}
pub(crate) use planted;

/// Longest name that is read: those of compilers end before.
const LONGEST_NAME: usize = 2048;

/// The text that begins there and ends with a zero.
#[inline(never)]
pub fn name_at(strings: &[u8], at: usize) -> Option<&str> {
    let rest = strings.get(at..)?;
    let rest = rest.get(..LONGEST_NAME).unwrap_or(rest);
    let end = rest.iter().position(|&byte| byte == 0)?;
    core::str::from_utf8(rest.get(..end)?).ok()
}
