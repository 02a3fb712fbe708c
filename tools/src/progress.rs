//! How far something is, on standard error where that is a terminal, once it has taken half a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    sync::{
        mpsc::{channel, RecvTimeoutError, Sender},
        Mutex, PoisonError,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What ends before is not shown.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// The one that is shown: who writes meanwhile moves it aside.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nothing: only that something goes on, and for how long.
    Time,
    /// So many of something.
    Items(u64),
    /// So many bytes.
    Bytes(u64),
}

/// Shown until it is dropped.
pub struct Progress {
    bar: ProgressBar,
    /// Dropped, it ends the thread that waits to show it.
    waiting: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins; `what` is short.
    pub fn new(what: &str, unit: Unit) -> Self {
        let (length, form) = match unit {
            Unit::Time => (None, "{msg}: {elapsed}"),
            Unit::Items(count) => (Some(count), "{msg}: {pos} of {len}"),
            Unit::Bytes(count) => (Some(count), "{msg}: {bytes} of {total_bytes} ({percent} %)"),
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        let bar = bar.with_message(what.to_owned());
        let bar = match ProgressStyle::with_template(form) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        let (end, ended) = channel();
        let later = bar.clone();
        let waiter = thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                later.set_draw_target(ProgressDrawTarget::stderr());
                later.enable_steady_tick(TICK);
                *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(later);
            }
        });
        Self { bar, waiting: Some((end, waiter)) }
    }

    /// Says how many are done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, waiter)) = self.waiting.take() {
            drop(end);
            // It does not panic; if it did, there is nothing to take back.
            let _ = waiter.join();
        }
        SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.bar.finish_and_clear();
    }
}

/// Does something while no progress stands on the terminal.
pub fn aside(act: impl FnOnce()) {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match shown.as_ref() {
        Some(bar) => bar.suspend(act),
        None => act(),
    }
}
