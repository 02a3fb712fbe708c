//! Writes what hooks queued to the console, in order.

use super::{measure::is_measured, Runtime};
use crate::tracer::{Record, RecordKind};
use alloc::vec::Vec;
use core::fmt::Write;

/// One console line; text that finds no memory is cut.
struct Line(Vec<u8>);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        if self.0.try_reserve(bytes.len()).is_ok() {
            self.0.extend_from_slice(bytes);
        }
    }
}

impl Runtime {
    /// Writes everything that hooks and programs have queued to the console. Platforms that own the console call it before
    /// every write, others now and then. Notes of programs that are measured are left out. Returns the number of messages.
    pub fn drain_console(&self) -> usize {
        self.try_drain_console().unwrap_or(0)
    }

    /// As [`drain_console`](Self::drain_console); `None` while somebody else does it.
    pub fn try_drain_console(&self) -> Option<usize> {
        let mut line = Line(Vec::new());
        self.services.ring.drain(&mut |record| {
            if matches!(record.kind, RecordKind::Notify { key } if is_measured(key)) {
                return;
            }
            line.0.clear();
            self.format(record, &mut line);
            self.services.platform.console.write(&line.0);
        })
    }

    fn format(&self, record: &Record, line: &mut Line) {
        match record.kind {
            RecordKind::Notify { key } => {
                let image = self.services.image.read();
                let _ = match image.symbols.containing(key) {
                    Some((symbol, _)) => write!(line, "Notify: {}", symbol.name),
                    None => write!(line, "Notify: {key:#x}"),
                };
            }
            RecordKind::Text => line.push(record.text()),
            RecordKind::Error(fault) => {
                let _ = write!(line, "uBPF error: {fault}");
                if !record.text().is_empty() {
                    line.push(b"\nin program ");
                    line.push(record.text());
                }
            }
        }
        if line.0.last() != Some(&b'\n') {
            line.push(b"\n");
        }
    }
}
