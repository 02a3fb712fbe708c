//! Commands that take long give way in between, where the platform's threads are cooperative.

use crate::backend::Backend;
use ubpf_rs::platform::{Cancelled, Slice};

/// The pace of a command, or of a piece of input or output.
pub(crate) struct Pace<'b> {
    backend: &'b dyn Backend,
    slice: Slice,
}

impl<'b> Pace<'b> {
    /// From now on.
    pub(crate) fn new(backend: &'b dyn Backend) -> Self {
        Self { backend, slice: Slice::new(backend.now_ns()) }
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
        give_way(self.backend, &mut self.slice)
    }
}

/// Gives way when the slice is over, and begins the next one; whether it was.
pub(crate) fn give_way(backend: &dyn Backend, slice: &mut Slice) -> bool {
    slice.give_way_if_over(|| backend.now_ns(), || backend.give_way())
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
