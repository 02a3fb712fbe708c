//! What a probe hangs on. Which points there are, and why there are no others, is said here alone.

use super::site::Site;
use crate::program::PointKind;

/// What a probe hangs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// Each entry of the function that has this site.
    Entry(Site),
    /// Each return of the function that has this site.
    Return(Site),
    /// Each time that this [timer](super::TimerPeriod) says.
    Timer(Site),
}

/// Makes the point of a kind at a site.
pub type AtSite = fn(Site) -> Point;

impl Point {
    /// How points of this kind are made, `offset` bytes behind the beginning of a function.
    ///
    /// # Errors
    /// Why there are none.
    pub const fn of(kind: PointKind, offset: u64) -> Result<AtSite, &'static str> {
        match (kind, offset) {
            (PointKind::Entry, 0) => Ok(Point::Entry),
            (PointKind::Entry, _) => {
                Err("it is for a place within a function, and programs are attached at entries and returns only")
            }
            (PointKind::Return, 0) => Ok(Point::Return),
            (PointKind::Return, _) => Err("it is for the return of a function, and names a place within it"),
            (PointKind::Timer, _) => Ok(Point::Timer),
        }
    }

    /// Its kind.
    pub const fn kind(self) -> PointKind {
        match self {
            Point::Entry(_) => PointKind::Entry,
            Point::Return(_) => PointKind::Return,
            Point::Timer(_) => PointKind::Timer,
        }
    }

    /// Whether it is passed when a call returns, and not when it begins.
    pub const fn is_return(self) -> bool {
        match self {
            Point::Entry(_) | Point::Timer(_) => false,
            Point::Return(_) => true,
        }
    }

    /// The site of its function, or that of the timer.
    pub const fn site(self) -> Site {
        match self {
            Point::Entry(site) | Point::Return(site) | Point::Timer(site) => site,
        }
    }

    /// What its programs know it by.
    pub fn key(self) -> u64 {
        match self {
            Point::Entry(site) | Point::Return(site) | Point::Timer(site) => site.key(),
        }
    }
}
