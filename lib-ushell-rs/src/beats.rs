//! A reader in frames hears that a command is at work, however long it has nothing to say.

use crate::frame::{Frame, Kind, AROUND};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often the reader hears of it, in nanoseconds. A client that hears nothing at all takes the shell for dead after some seconds.
pub const BEAT_NS: u64 = 250_000_000;

/// What a platform tells the reader while [`Shell::feed`](crate::Shell::feed) or [`Shell::drain`](crate::Shell::drain) is at work: there the
/// shell cannot be asked for output. It is one shell's, by its [`Config`](crate::Config), and that shell's thread alone uses it:
/// [`beat`](Self::beat) where it gives way.
#[derive(Debug)]
pub struct Beats {
    /// When the next one is due, in nanoseconds; 0: none may be written.
    due: AtomicU64,
}

impl Beats {
    /// None may be written.
    #[allow(clippy::new_without_default)] // for statics
    pub const fn new() -> Self {
        Self { due: AtomicU64::new(0) }
    }

    /// From now on they may be written.
    pub(crate) fn begin(&self, now_ns: u64) {
        self.due.store(now_ns.saturating_add(BEAT_NS), Relaxed);
    }

    /// From now on none may be written.
    pub(crate) fn stop(&self) {
        self.due.store(0, Relaxed);
    }

    /// Gives `write` what is to be written at once, behind all that was drained, if it is time by `clock`, that of the shell's engine. What
    /// there is no room for is left out: the reader finds the next frame all the same. Where a part of what was drained waits for room
    /// itself, nothing may be written.
    pub fn beat(&self, clock: impl FnOnce() -> u64, write: impl FnOnce(&[u8])) {
        let due = self.due.load(Relaxed);
        if due == 0 {
            return;
        }
        let now_ns = clock();
        if now_ns < due {
            return;
        }
        self.begin(now_ns);
        let (mut bytes, mut len) = ([0; AROUND], 0);
        Frame { kind: Kind::Working, id: 0, place: 0, payload: &[] }.write(|byte| {
            bytes.get_mut(len..).and_then(<[u8]>::first_mut).into_iter().for_each(|slot| *slot = byte);
            len = len.saturating_add(1);
        });
        write(bytes.get(..len).unwrap_or_default());
    }
}
