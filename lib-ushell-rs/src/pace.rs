//! Commands that take long give way in between, where the platform's threads are cooperative.

use crate::backend::Backend;
use ubpf_rs::platform::{Cancelled, SLICE_NS};

/// The pace of a command, or of a piece of input or output.
pub(crate) struct Pace<'b> {
    backend: &'b dyn Backend,
    begin: u64,
}

impl<'b> Pace<'b> {
    /// From now on.
    pub(crate) fn new(backend: &'b dyn Backend) -> Self {
        Self { backend, begin: backend.now_ns() }
    }

    /// Between two pieces of work: gives way when it is time. An error when the command is to end.
    pub(crate) fn point(&mut self) -> Result<(), Cancelled> {
        match self.give_way() && self.backend.is_cancelled() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    /// Between two commands: gives way when it is time; whether it was.
    pub(crate) fn give_way(&mut self) -> bool {
        let due = self.backend.now_ns().wrapping_sub(self.begin) >= SLICE_NS;
        if due {
            self.backend.give_way();
            self.begin = self.backend.now_ns();
        }
        due
    }
}

/// Shows the names of all traceable functions to `visit` until it returns false, and gives way in between.
pub(crate) fn all_functions(backend: &dyn Backend, visit: &mut dyn FnMut(&str) -> bool) -> Result<(), Cancelled> {
    let mut pace = Pace::new(backend);
    let mut answer = Ok(());
    let mut next = Some(0);
    while let Some(first) = next {
        let mut ended = false;
        next = backend.functions(first, &mut |name, _| {
            answer = pace.point();
            ended = answer.is_err() || !visit(name);
            !ended
        });
        if ended {
            return answer;
        }
        pace.point()?;
    }
    Ok(())
}
