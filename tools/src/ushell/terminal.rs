//! The person's terminal while a conversation lasts.

use nix::{
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::termios::{self, LocalFlags, SetArg, Termios},
};
use signal_hook::{
    consts::{SIGHUP, SIGTERM},
    iterator::Signals,
};
use std::{io, os::fd::AsFd, thread};

/// `^C` is a key like others, and ends neither this tool nor what it was started with. Dropped, or ended by a signal, the
/// terminal is as it was.
pub struct Terminal(Option<Termios>);

impl Terminal {
    pub fn take() -> Self {
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(before) = before.clone() {
            restore_at_signals(before);
        }
        if let Some(mut changed) = before.clone() {
            // Keys come at once and unseen while a command runs, so that `^C` is found.
            let off = LocalFlags::ISIG | LocalFlags::ICANON | LocalFlags::ECHO;
            changed.local_flags.remove(off);
            set(&changed);
        }
        Self(before)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            set(before);
        }
    }
}

/// A terminal that is gone needs no settings.
fn set(settings: &Termios) {
    let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, settings);
}

fn restore_at_signals(settings: Termios) {
    // Without these signals the terminal is restored at every other end.
    let Ok(mut signals) = Signals::new([SIGTERM, SIGHUP]) else {
        return;
    };
    // Termios of this crate holds a cell and cannot be sent; its plain form can.
    let settings: libc::termios = settings.into();
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Not waiting for what the terminal has not shown yet: it may be gone.
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &settings.into());
            let _ = nix::unistd::write(io::stdout(), b"\x1b[?2004l");
            std::process::exit(128 + signal);
        }
    });
}

/// What was typed while a command ran.
#[derive(Default)]
pub struct Ahead(Vec<u8>);

impl Ahead {
    /// Takes the keys that wait; tells whether `^C` is among them: what was typed before it is forgotten.
    pub fn take_keys(&mut self) -> bool {
        let mut page = [0; 256];
        while waits() {
            match nix::unistd::read(io::stdin(), &mut page) {
                Ok(count @ 1..) => self.0.extend(&page[..count]),
                _ => break,
            }
        }
        self.cut()
    }

    fn cut(&mut self) -> bool {
        let last = self.0.iter().rposition(|&key| key == 3);
        if let Some(last) = last {
            self.0.drain(..=last);
        }
        last.is_some()
    }

    /// The whole lines, and what stands behind them.
    pub fn lines(&mut self) -> (Vec<String>, String) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.0)).replace('\r', "\n");
        let text = text.replace(|c: char| c.is_control() && c != '\n', "");
        let mut lines: Vec<String> = text.split('\n').map(String::from).collect();
        let rest = lines.pop().unwrap_or_default();
        (lines, rest)
    }
}

fn waits() -> bool {
    let input = io::stdin();
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::Ahead;

    #[test]
    fn what_is_typed_behind_an_interrupt_is_kept() {
        let mut ahead = Ahead(b"ls\rx\x03\x03quit\rver".to_vec());
        assert!(ahead.cut());
        assert_eq!(ahead.lines(), (vec!["quit".into()], "ver".into()));
        assert!(!ahead.cut());
    }
}
