//! A program, or an object with all of its programs, takes the place of another one that is loaded or attached.

use super::{
    attached::TracedProgram,
    copy,
    objects::{self, Instance, MadeObject},
    programs::Loaded,
    room_for_small_things, shown,
    trace::AttachLimits,
    Error, LoadOptions, ProgramId, Refusal, Runtime,
};
use crate::tracer::{DetachError, HookProgram, Present, ProbeId, Successor, TRACER};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::any::Any;

/// What was replaced.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplaceReport {
    /// Remarks on the new program, as in [`ExecReport`](super::ExecReport).
    pub warnings: Vec<String>,
    /// At how many functions.
    pub count: usize,
}

impl Runtime {
    /// Lets a program or an object take the place of another one. `old` is an object by its name, or a program as [`list`](Self::list) shows
    /// it; of an object's program, its object is meant. Each attached program is exchanged for the new one, at all functions at one moment, so
    /// that each call is seen by one of the two; what was said when it was attached (limits, cookie, who owns it) is said of the new one, which
    /// also goes on with its counts. Calls that were entered before and have not returned are those of the new one.
    ///
    /// An object is exchanged as a whole: the new one must have each program that is attached, by its name. Maps go on with what is in them,
    /// and so do variables; constants and maps of programs are the new object's. `values` are as for [`load_object`](Self::load_object).
    ///
    /// # Errors
    /// Nothing is changed then. [`Error::Object`]: there is no such program or object, a map is defined otherwise, or a program is missing in the
    /// new object; [`Error::NotAttachable`]: a new program cannot be where the old one is; those of loading.
    pub fn replace(
        &self,
        old: &str,
        path: &str,
        options: &LoadOptions<'_>,
        values: &[(&str, &str)],
    ) -> Result<ReplaceReport, Error> {
        room_for_small_things()?;
        let report = match self.known_object(old) {
            Some(instance) => self.replace_object(&instance, path, options, values),
            None => match attached_as(old) {
                None => {
                    let old = shown(old);
                    let reason = format!(
                        "there is neither an object {old} nor an attached program (`prog list` and `bpf_list` show those there are)"
                    );
                    Err(Error::Object { reason })
                }
                Some(Some(instance)) => self.replace_object(&instance, path, options, values),
                Some(None) => self.replace_program(old, path, options, values),
            },
        };
        self.drain_console();
        report
    }

    fn replace_program(
        &self,
        old: &str,
        path: &str,
        options: &LoadOptions<'_>,
        values: &[(&str, &str)],
    ) -> Result<ReplaceReport, Error> {
        if let Some((name, _)) = values.first() {
            return Err(Error::Object { reason: format!("{name}: {} is no object and has no variables", shown(old)) });
        }
        let loaded = self.prepare_file(path, options)?;
        self.take_place(loaded, &|present| present.program == old)
    }

    /// Lets the program in a file take the place of an attached one at one function, as [`replace`](Self::replace) does it at all of them.
    ///
    /// # Errors
    /// Nothing is changed then. Those of [`attach`](Self::attach) about the function; [`Error::NotAttached`]; [`Error::NotAttachable`]; those of
    /// loading.
    pub fn replace_at(
        &self,
        function: &str,
        old: &str,
        path: &str,
        options: &LoadOptions<'_>,
    ) -> Result<ReplaceReport, Error> {
        room_for_small_things()?;
        let (called, site) = self.resolve(function)?;
        let loaded = self.prepare_file(path, options)?;
        let is_old = |present: &Present<'_>| present.program == old && present.point.site() == site;
        let report = self.take_place(loaded, &is_old);
        self.drain_console();
        match report? {
            ReplaceReport { count: 0, .. } => Err(Error::NotAttached(Refusal::new(shown(&called), shown(old)))),
            report => Ok(report),
        }
    }

    /// Lets a loaded program take the place of an attached one, in the same way. The id is then that of the new one.
    ///
    /// # Errors
    /// Nothing is changed then. [`Error::Detach`]: it is not attached (any more); [`Error::StaleProgram`]; [`Error::NotAttachable`];
    /// [`Error::Attach`]: the new program is there already, or somebody else is at work.
    pub fn replace_probe(&self, id: ProbeId, program: ProgramId) -> Result<(), Error> {
        room_for_small_things()?;
        let loaded = self.programs.lock().get(program)?;
        let report = self.take_place(loaded, &|present| present.id == id);
        self.drain_console();
        match report?.count {
            0 => Err(DetachError::NotAttached.into()),
            _ => Ok(()),
        }
    }

    /// Exchanges the attached programs that are wanted for this one.
    fn take_place(&self, loaded: Loaded, is_wanted: &dyn Fn(&Present<'_>) -> bool) -> Result<ReplaceReport, Error> {
        let warnings = loaded.remarks();
        let body = self.body(loaded);
        let count = TRACER.replace(&mut |present| match is_wanted(present) {
            true => successor(present, &body).map(Some),
            false => Ok(None),
        })?;
        Ok(ReplaceReport { warnings, count })
    }

    fn replace_object(
        &self,
        old: &Arc<Instance>,
        path: &str,
        options: &LoadOptions<'_>,
        values: &[(&str, &str)],
    ) -> Result<ReplaceReport, Error> {
        objects::packages_are_taken()?;
        let bytes = self.read_programs(path)?;
        if !crate::object::is_package(&bytes) {
            return Err(objects::no_package(path));
        }
        let object = self.parsed(&bytes, options)?;
        let before = self.maps_before(old.maps())?;
        let MadeObject { instance, fresh, types } = self.make_object(&object, options, values, &before)?;
        let mut bodies = Vec::new();
        for name in instance.program_names() {
            room_for_small_things()?;
            bodies.try_reserve(1).map_err(|_| Error::NoMemory)?;
            bodies.push((name, self.body(instance.pick(path, Some(name))?)));
        }
        let maps = instance.maps().map_or(&[][..], |maps| maps.list());
        let mut changes = self.rename_maps((instance.name(), maps), &before, fresh, &types)?;
        let exchanged = self.objects.lock().exchange(old, &instance);
        let replaced = exchanged.and_then(|stays| {
            let count = TRACER.replace(&mut |present| {
                let Some(attached) = of_object(present.body, old) else { return Ok(None) };
                let next = instance.successor(old, &attached.loaded.code)?;
                let body = bodies.iter().find(|(name, _)| *name == next);
                body.map(|(_, body)| successor(present, body)).transpose()
            });
            let count = count.and_then(|count| match count == 0 && !stays {
                true => Err(Error::Object { reason: format!("{} is neither attached nor loaded to stay", old.name()) }),
                false => Ok(count),
            });
            // That it was exchanged before says that it can be exchanged back.
            count.inspect_err(|_| _ = self.objects.lock().exchange(&instance, old))
        });
        match replaced {
            Ok(count) => Ok(ReplaceReport { warnings: Vec::new(), count }),
            Err(error) => {
                self.exchange_maps(&mut changes);
                Err(error)
            }
        }
    }
}

fn attached(body: &dyn HookProgram) -> Option<&TracedProgram> {
    let body: &dyn Any = body;
    body.downcast_ref()
}

/// An attached program if it is one of this object.
fn of_object<'b>(body: &'b dyn HookProgram, object: &Arc<Instance>) -> Option<&'b TracedProgram> {
    let is_own = |own: &Arc<dyn Any + Send + Sync>| core::ptr::addr_eq(Arc::as_ptr(own), Arc::as_ptr(object));
    attached(body).filter(|one| one.loaded.object.as_ref().is_some_and(is_own))
}

/// The object, if it is of one, of the attached program of this name; `None` where there is no such program.
fn attached_as(program: &str) -> Option<Option<Arc<Instance>>> {
    let mut found = None;
    TRACER.for_each_present(&mut |present| {
        if present.program == program {
            found = Some(attached(present.body).and_then(|one| one.loaded.object.clone()?.downcast().ok()));
        }
    });
    found
}

/// A program in the place of an attached one, if it can be there.
fn successor(present: &Present<'_>, body: &Arc<TracedProgram>) -> Result<Successor, Error> {
    room_for_small_things()?;
    let loaded: &Loaded = &body.loaded;
    let site = present.point.site();
    let elsewhere = "its section says that it belongs elsewhere than what it is to replace";
    let refused = |reason: &'static str| Error::NotAttachable(Refusal::new(loaded.name.to_string(), reason));
    let limits: AttachLimits = present.options;
    match objects::point(loaded, site, &limits) {
        Ok(point) if point == present.point => Ok(Successor { program: copy(&loaded.name)?, body: body.clone() }),
        Ok(_) => Err(refused(elsewhere)),
        Err(reason) => Err(refused(reason)),
    }
}
