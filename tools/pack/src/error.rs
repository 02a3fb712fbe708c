//! Why there is no package.

use alloc::{boxed::Box, collections::TryReserveError, string::String};
use core::fmt::{self, Write};
use ubpf_rs::platform::{boxed, Cancelled};

/// Why there is no package. The wording is for the person who has the object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PackError {
    /// What is wrong with the object, and where.
    Refused(String),
    /// No memory.
    NoMemory,
    /// Nobody wants the answer any more.
    Cancelled,
}

/// The same while it is handed on at every call, where it is small: a text, or none where there is no memory, or where somebody wanted no
/// answer, which [`Steps`](crate::work::Steps) knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(pub Option<Box<[String; 1]>>);

/// Most bytes of a message: names come from the object.
const LONGEST: usize = 1024;

impl Error {
    /// An error in words.
    #[cold]
    #[inline(never)]
    pub fn new(words: fmt::Arguments<'_>) -> Error {
        Error(text(words, LONGEST).ok().and_then(boxed))
    }

    /// The same error, told of something.
    #[cold]
    #[inline(never)]
    pub fn of(self, what: fmt::Arguments<'_>) -> Error {
        match self.0.as_deref() {
            Some([reason]) => Error::new(format_args!("{what}: {reason}")),
            None => self,
        }
    }
}

/// An [`Error`] in the words of `format!`.
macro_rules! refused {
    ($($words:tt)*) => { $crate::error::Error::new(format_args!($($words)*)) };
}
pub(crate) use refused;

impl From<TryReserveError> for Error {
    fn from(_: TryReserveError) -> Self {
        Error(None)
    }
}

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Self {
        Error(None)
    }
}

#[cfg(feature = "host")]
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.0.map_or_else(|| "out of memory".into(), |reason| reason.into_iter().collect())
    }
}

#[cfg(feature = "host")]
impl From<PackError> for String {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Refused(reason) => reason,
            PackError::NoMemory => "out of memory".into(),
            PackError::Cancelled => "cancelled".into(),
        }
    }
}

/// A text of at most so many bytes; what is behind them is left out.
pub fn text(words: fmt::Arguments<'_>, most: usize) -> Result<String, Error> {
    let mut bounded = Bounded { text: String::new(), left: most };
    bounded.write_fmt(words).map_err(|_| Error(None))?;
    Ok(bounded.text)
}

struct Bounded {
    text: String,
    left: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let fits = (0..=self.left).rev().find_map(|end| part.get(..end.min(part.len()))).unwrap_or_default();
        self.left = if fits.len() == part.len() { self.left.saturating_sub(part.len()) } else { 0 };
        self.text.try_reserve(fits.len()).map_err(|_| fmt::Error)?;
        self.text.push_str(fits);
        Ok(())
    }
}
