//! The real backend: the engine of the image.

use crate::backend::{
    AttachLimits, AttachReport, Backend, BackendError, ExecReport, LoadOptions, Map, Measured, ObjectProgram, Probe,
    RefusedStub, ReplaceReport, Site,
};
use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::fmt::Write;
use ubpf_rs::{
    platform::{DirEntry, FileError},
    runtime::{Error, FunctionReport, Runtime, Status},
    tracer::{ProbeId, ProbeReport, TimerPeriod},
};

impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        match error {
            Error::Load(_) | Error::Verify(_) | Error::Object { .. } => Self::Load { reason: error.to_string() },
            // Where its memory lay stands on the console.
            Error::Stopped(stopped) => Self::Stopped { stop: stopped.to_string() },
            Error::Cancelled => Self::Cancelled,
            Error::UnknownFunction { name } => Self::UnknownFunction { name },
            Error::File(file) => Self::File { path: file.name, error: file.about },
            other => Self::Other { reason: other.to_string() },
        }
    }
}

impl From<ProbeReport> for Probe {
    fn from(report: ProbeReport) -> Self {
        let tenths = |count: u64, ns: u64| {
            let all = u128::from(count).wrapping_mul(10_000_000_000);
            all.checked_div(ns.into()).map_or(0, |tenths| tenths as u64)
        };
        let rates = TimerPeriod::of(report.point.site()).map(|timer| {
            [tenths(1, timer.period_ns), tenths(report.runs.saturating_add(report.left_out), report.timer_ns)]
        });
        Self {
            program: report.program,
            at_return: report.point.is_return(),
            runs: report.runs,
            outstanding: report.outstanding,
            abandoned: report.abandoned,
            misses: report.misses,
            left_out: report.left_out,
            failures: report.failures,
            detour: report.detour,
            mean_ns: report.run_ns.checked_div(report.timed_runs),
            rates,
        }
    }
}

impl From<FunctionReport> for Site {
    fn from(report: FunctionReport) -> Self {
        let probes = report.probes.into_iter().map(Probe::from).collect();
        Self { function: report.function, probes }
    }
}

impl Backend for &'static Runtime {
    fn list_files(&self, directory: &str) -> Result<Vec<DirEntry>, FileError> {
        self.platform().files.list(directory)
    }
    fn read_file(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.platform().files.read(path, self.config().file_limit)
    }
    fn write_file(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        self.platform().files.write(path, contents)
    }
    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        self.platform().files.remove(path)
    }

    fn load_symbols(&self, path: &str) -> Result<usize, BackendError> {
        Ok(Runtime::load_symbols(self, path)?)
    }

    fn exec(&self, path: &str, argument: &mut [u8], options: &LoadOptions) -> Result<ExecReport, BackendError> {
        let report = self.exec_file(path, argument, options)?;
        let (value, verdict, charged) = (report.value, report.verdict, Some(report.charged));
        Ok(ExecReport { value, verdict, charged, warnings: report.warnings })
    }

    fn attach(
        &self,
        function: &str,
        path: &str,
        options: &LoadOptions,
        limits: &AttachLimits,
    ) -> Result<AttachReport, BackendError> {
        Ok(self.attach_file(function, path, options, *limits)?)
    }
    fn detach_probe(&self, id: ProbeId) {
        // It may have gone, and what cannot be taken out of the text does nothing.
        _ = Runtime::detach_probe(self, id);
    }
    fn is_attached(&self, id: ProbeId) -> bool {
        Runtime::is_attached(self, id)
    }
    fn detach(&self, function: &str, program: Option<&str>) -> Result<usize, BackendError> {
        Ok(Runtime::detach(self, function, program)?)
    }
    fn measure(&self, function: &str, path: &str, options: &LoadOptions, calls: u64) -> Result<Measured, BackendError> {
        Ok(Runtime::measure(self, function, path, options, calls)?)
    }
    fn sites(&self, function: Option<&str>) -> Result<Vec<Site>, BackendError> {
        let mut reports = self.list(function)?;
        for report in &mut reports {
            // Where others have the name, too, the address says which one it is.
            let site = report.probes.first().map(|probe| probe.point.site().addr);
            if let Some(site) = site.filter(|_| self.has_several(&report.function)) {
                self.with_symbol(site, &mut |name, distance| {
                    let start = site.saturating_sub(distance);
                    report.function = alloc::format!("{name} {start:#x}");
                });
            }
        }
        Ok(reports.into_iter().map(Site::from).collect())
    }
    fn functions(&self, first: usize, visit: &mut dyn FnMut(&str, Option<u64>) -> bool) -> Option<usize> {
        Runtime::functions(self, first, visit)
    }
    fn functions_called(&self, name: &str) -> Vec<u64> {
        Runtime::functions_called(self, name)
    }
    fn refused_stubs(&self, first: usize, visit: RefusedStub<'_>) -> Option<usize> {
        Runtime::refused_stubs(self, first, &mut |name, address, reason| visit(name, address, &reason))
    }

    #[cfg(feature = "packages")]
    fn load_object(&self, path: &str, options: &LoadOptions, values: &[(&str, &str)]) -> Result<String, BackendError> {
        Ok(Runtime::load_object(self, path, options, values)?)
    }
    #[cfg(feature = "packages")]
    fn detach_object(&self, name: &str) -> Result<usize, BackendError> {
        Ok(Runtime::detach_object(self, name)?)
    }
    #[cfg(feature = "packages")]
    fn unload_object(&self, name: &str) -> bool {
        Runtime::unload_object(self, name)
    }
    #[cfg(feature = "packages")]
    fn attach_object(
        &self,
        path: &str,
        options: &LoadOptions,
        limits: &AttachLimits,
    ) -> Result<AttachReport, BackendError> {
        Ok(Runtime::attach_object(self, path, options, *limits)?)
    }
    fn replace_at(
        &self,
        function: &str,
        old: &str,
        path: &str,
        options: &LoadOptions,
    ) -> Result<ReplaceReport, BackendError> {
        Ok(Runtime::replace_at(self, function, old, path, options)?)
    }
    #[cfg(feature = "packages")]
    fn replace(
        &self,
        old: &str,
        path: &str,
        options: &LoadOptions,
        values: &[(&str, &str)],
    ) -> Result<ReplaceReport, BackendError> {
        Ok(Runtime::replace(self, old, path, options, values)?)
    }
    #[cfg(feature = "packages")]
    fn object_programs(
        &self,
        first: usize,
        visit: &mut dyn FnMut(&str, bool, ObjectProgram<'_>) -> bool,
    ) -> Option<usize> {
        Runtime::object_programs(self, first, visit)
    }
    #[cfg(feature = "packages")]
    fn maps(&self, first: usize, visit: &mut dyn FnMut(&str, &Map, bool) -> bool) -> Option<usize> {
        Runtime::maps(self, first, visit)
    }
    #[cfg(feature = "packages")]
    fn map(&self, name: &str) -> Option<Arc<Map>> {
        Runtime::map(self, name)
    }
    #[cfg(feature = "packages")]
    fn map_types(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        Runtime::map_types(self, name)
    }
    #[cfg(feature = "packages")]
    fn hold(&self, map: &str, key: &[u8], what: &str) -> Result<(), BackendError> {
        Ok(Runtime::hold(self, map, key, what)?)
    }
    #[cfg(feature = "packages")]
    fn held_name(&self, map: &Map, key: &[u8]) -> Option<String> {
        Runtime::held_name(self, map, key)
    }
    #[cfg(feature = "packages")]
    fn keep_map(&self, name: &str, keep: bool) -> bool {
        Runtime::keep_map(self, name, keep)
    }

    fn map_get(&self, key1: u64, key2: u64) -> Option<u64> {
        Runtime::map_get(self, key1, key2)
    }
    fn map_put(&self, key1: u64, key2: u64, value: u64) -> Result<(), BackendError> {
        Ok(Runtime::map_put(self, key1, key2, value)?)
    }
    fn map_del(&self, key1: u64, key2: u64) -> bool {
        Runtime::map_del(self, key1, key2)
    }

    fn map_entries(&self, first: usize, visit: &mut dyn FnMut(u64, u64, u64) -> bool) -> Option<usize> {
        Runtime::map_entries(self, first, visit)
    }

    fn symbol_address(&self, name: &str) -> Option<u64> {
        Runtime::symbol_address(self, name)
    }
    fn function_at(&self, address: u64) -> Option<(String, u64)> {
        Runtime::function_at(self, address)
    }
    fn trace_address(&self, name: &str) -> Option<u64> {
        Runtime::trace_address(self, name)
    }
    fn probe_read(&self, address: u64, into: &mut [u8]) -> usize {
        Runtime::probe_read(self, address, into)
    }
    fn map_note(&self) -> Option<String> {
        Runtime::map_note(self)
    }
    fn now_ns(&self) -> u64 {
        Runtime::now_ns(self)
    }

    fn status(&self, out: &mut dyn Write) {
        let _ = write_status(&Runtime::status(self), out);
        self.linked_programs(&mut |name| {
            let _ = writeln!(out, "program of the image: {name}");
        });
    }
    fn set_stats(&self, measure: bool) -> Result<(), BackendError> {
        Ok(Runtime::set_stats(self, measure)?)
    }
    fn give_way(&self) {
        self.platform().give_way.give_way();
    }
    fn set_own(&self, own: bool) -> bool {
        self.platform().cpu.set_own(own)
    }
    fn is_cancelled(&self) -> bool {
        self.platform().give_way.is_cancelled()
    }
}

fn write_status(status: &Status, out: &mut dyn Write) -> core::fmt::Result {
    let on = if status.stats { "on" } else { "off" };
    let protected = match status.enforces_wx {
        None => "none",
        Some(true) => "never writable and executable at once",
        Some(false) => "writable and executable (not enforced)",
    };
    writeln!(out, "platform: {}", status.platform)?;
    if let Some(id) = status.image_id {
        out.write_str("image: ")?;
        id.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        writeln!(out)?;
    }
    match status.interpreted {
        None => writeln!(out, "engine: machine code")?,
        Some(why) => writeln!(out, "engine: interpreter ({why})")?,
    }
    writeln!(out, "programs loaded by the application: {}", status.programs)?;
    writeln!(out, "traceable functions: {}", status.sites)?;
    writeln!(out, "symbols: {}", status.symbols)?;
    writeln!(out, "attached programs: {}", status.probes)?;
    writeln!(out, "map entries: {} of {}", status.map_entries, status.map_capacity)?;
    writeln!(out, "lost map updates: {}", status.map_lost)?;
    writeln!(out, "lost console messages: {}", status.output_lost)?;
    writeln!(out, "stats: {on}")?;
    writeln!(out, "timer ticks per second: {}", status.ticks_per_second)?;
    writeln!(out, "memory for generated code: {protected}")?;
    let (areas, lists) = status.lost_hooks;
    if areas > 0 || lists > 0 {
        writeln!(out, "hooks that never returned: {areas}, each keeps its place among those that can run at once; replaced lists of programs kept for them: {lists}")?;
    }
    if status.full_stacks > 0 {
        writeln!(
            out,
            "hook stacks used to their end: {}, and perhaps memory below them: start again with a larger hook_stack",
            status.full_stacks
        )?;
    }
    if status.cramped_sites > 0 {
        writeln!(
            out,
            "functions whose programs take the long way, for want of executable memory: {}",
            status.cramped_sites
        )?;
    }
    match status.fallbacks {
        Some((count, why)) => writeln!(out, "left to the interpreter: {count} (the last: {why})"),
        None => Ok(()),
    }
}
