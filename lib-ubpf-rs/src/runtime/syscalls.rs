//! Handlers of system calls: an image has several of each, and one may be made of a call of another.

use super::{Error, Runtime};
use crate::{
    platform::{syscall_of, Pace},
    tracer::led_to,
};
use alloc::{string::String, vec::Vec};

impl Runtime {
    /// Leaves out handlers that call another one of the same system call: what comes to them comes to that one, and is to be told of once.
    pub(super) fn without_callers(&self, handlers: &mut Vec<String>, pace: &mut Pace<'_>) -> Result<(), Error> {
        let mut at = 0;
        while let Some(handler) = handlers.get(at) {
            pace.point()?;
            match self.calls_another(handler, handlers)? {
                true => drop(handlers.remove(at)),
                false => at = at.saturating_add(1),
            }
        }
        Ok(())
    }

    /// Whether the text of a handler has a call of another one of these that is of the same system call, or a jump to it.
    fn calls_another(&self, handler: &str, all: &[String]) -> Result<bool, Error> {
        let image = self.services.image.read();
        let start_of = |name: &str| image.symbols.address(name.as_bytes());
        let (Some(start), Some(of)) = (start_of(handler), syscall_of(handler)) else {
            return Ok(false);
        };
        // Found once: what a call or jump at each byte of the text would lead to is compared with them.
        let mut others = Vec::new();
        for other in all.iter().filter(|other| *other != handler && syscall_of(other) == Some(of)) {
            others.try_reserve(1).map_err(|_| Error::NoMemory)?;
            others.extend(start_of(other));
        }
        if others.is_empty() {
            return Ok(false);
        }
        let end = image.symbols.neighbours(start).next.unwrap_or(start);
        /// The longest of what is looked for.
        const CALL: usize = 5;
        let (mut piece, mut at) = ([0; 128], start);
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(piece.len());
            let read = piece.get_mut(..length).map_or(0, |piece| self.platform().probe_read.read(at, piece));
            let text = piece.get(..read).unwrap_or(&[]);
            let mut targets = (at..).zip(0..read).filter_map(|(site, from)| led_to(site, text.get(from..)?));
            // One that lies across the end of the piece is found in the next one.
            if targets.any(|target| others.contains(&target)) {
                return Ok(true);
            }
            at = at.saturating_add(text.len().saturating_sub(CALL - 1).max(1) as u64);
            if text.len() < CALL {
                return Ok(false);
            }
        }
        Ok(false)
    }
}
