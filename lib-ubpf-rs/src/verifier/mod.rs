//! From [`Program`] to [`VerifiedProgram`], with what is proved and what is guarded at run time. Knows
//! nothing about the addresses, maps or engines of the run.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod chunks;
mod cost;
mod env;
mod error;
mod explore;
mod findings;
mod fixpoint;
mod idioms;
mod machine;
mod missing;
mod records;
mod scalar;
mod shown;
mod state;
mod structure;
mod tnum;
mod value;
mod verified;
mod widen;
mod work;

#[cfg(test)]
mod scalar_tests;

#[cfg(not(any(test, feature = "fuzz")))]
pub(crate) use crate::program::planted;
#[cfg(any(test, feature = "fuzz"))]
pub use crate::program::planted;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use env::INNER;
pub use env::{Context, Environment, HelperLookup, MapInfo};
pub use error::{VerifyError, Warning};
pub use findings::{Known, Need};
pub use state::{Concrete, State};
pub(crate) use value::ValueKind;
pub use verified::{Access, Target, Uses, VerifiedProgram};
pub(crate) use work::pieces;
pub use work::{Cap, Work};

use crate::{
    isa::{Call, Insn, Reg},
    program::{words, Program},
};
use alloc::vec::Vec;
use cost::Unbounded;
use explore::Explorer;
use findings::Findings;
use fixpoint::{Fixpoint, Plan};
use structure::Structure;
use verified::{Fact, Note};
use work::price;

words! {
    /// How much must be proved before a program is admitted.
    Policy;
    /// Structure only; every access is checked at run time.
    Checked: "checked";
    /// What is proved is bare, the rest is checked at run time (the shell's default).
    Guarded: "guarded";
    /// Everything must be proved, the end included.
    Strict: "strict";
}

/// One of the two analyses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pass {
    /// One state per instruction and chain of calls, joined over all ways there.
    Joined,
    /// Path by path, where the first pass has not proved everything.
    Paths,
}

/// What an analysis does.
pub enum Event<'s> {
    /// It is before an instruction; the same one may come several times.
    Before {
        /// The analysis.
        pass: Pass,
        /// The instruction.
        pc: usize,
        /// What it knows there.
        state: &'s State,
    },
    /// It has seen every path: each run is, before each instruction, in one of the states shown.
    Complete(Pass),
}

/// Is shown what the analyses do.
pub type Observer<'o> = dyn FnMut(Event<'_>) + 'o;

/// Checks a program and says how each access is made safe. What that costs is spent from `work`; of the limit of an account, enough is
/// kept back to take the program without a proof, and to compile it.
pub fn verify(
    program: Program,
    policy: Policy,
    env: &Environment<'_>,
    work: &mut Work<'_>,
) -> Result<VerifiedProgram, VerifyError> {
    verify_observed(program, policy, env, work, None)
}

/// Like [`verify`], showing the states on which the result rests.
pub fn verify_observed(
    program: Program,
    policy: Policy,
    env: &Environment<'_>,
    work: &mut Work<'_>,
    observer: Option<&mut Observer<'_>>,
) -> Result<VerifiedProgram, VerifyError> {
    let insns = program.insns.len();
    let held = insns.saturating_mul(BYTES_PER_INSN);
    work.hold(held)?;
    let found = structure::check(&program, policy, env, work)?;
    let analysis = match policy {
        Policy::Checked => Err(None),
        Policy::Guarded | Policy::Strict => {
            work.keep_back(kept_back(insns as u64));
            let analysis = analyse(&program, policy, env, &found, observer, work);
            work.keep_back(0);
            match analysis {
                Err(VerifyError::Unfinished { cap }) if cap != Cap::Cancelled => Err(Some(cap)),
                other => Ok(other?),
            }
        }
    };
    if let Ok(analysis) = &analysis {
        missing::check(&program, &analysis.findings, env, work)?;
    }
    check_marked(&program, &found, analysis.as_ref().ok().map(|analysis| &analysis.findings), work)?;
    let verified = match analysis {
        Ok(analysis) if policy == Policy::Strict => {
            check_strict(&analysis, work)?;
            finish(program, policy, env, found, analysis, work)
        }
        Ok(analysis) => finish(program, policy, env, found, analysis, work),
        Err(cap) => unproved(program, policy, env, found, cap, work),
    }?;
    work.release(held);
    work.hold(verified.bytes())?;
    Ok(verified)
}

/// What is marked as missing must not be reached; without an analysis, every branch may be taken.
fn check_marked(
    program: &Program,
    found: &Structure,
    findings: Option<&Findings>,
    work: &mut Work<'_>,
) -> Result<(), VerifyError> {
    let reached = |pc: usize| match findings {
        Some(findings) => findings.notes.get(pc).is_some_and(|note| note.fact.contains(Fact::REACHED)),
        None => found.reachable.get(pc) == Some(&true),
    };
    for mut piece in pieces(0..program.insns.len()) {
        work.spend_each(piece.len(), price::GLANCE)?;
        let marked = |pc: &usize| matches!(program.insns.get(*pc), Some(Insn::Call(Call::Btf(_))));
        if let Some(pc) = piece.find(|pc| marked(pc) && reached(*pc)) {
            return Err(VerifyError::Missing { pc });
        }
    }
    Ok(())
}

/// Bytes that verification takes for each instruction, states aside: the instruction itself, what is found out of it in each of the
/// analyses, and lists of slots.
const BYTES_PER_INSN: usize = size_of::<Insn>() + 2 * size_of::<Note>() + 52;
/// Units that an analysis leaves: to take the program unproved, and to compile it. (The compiler tries longer with small programs.)
fn kept_back(insns: u64) -> u64 {
    let small = insns.min(8192).saturating_mul(600);
    insns.saturating_mul(500).saturating_add(small)
}

/// What is known of a program in the end.
struct Analysis {
    findings: Findings,
    worst_cost: Result<u64, Unbounded>,
    steps: usize,
    /// The limit that the analysis came to.
    cap: Option<Cap>,
}

impl Analysis {
    /// Whether nothing is left that going path by path could prove.
    fn is_complete(&self, lost_pointer: bool) -> bool {
        let findings = &self.findings;
        let proved = findings.failures.is_empty() && !findings.more_failures;
        let hopeless = !lost_pointer && findings.fails_on_every_path();
        (proved || hopeless)
            && self.worst_cost.is_ok()
            && findings.too_deep.is_none()
            && findings.held.is_none()
            && findings.unset.iter().all(Option::is_none)
    }
}

/// Steps that the first analysis may take: so many per instruction, and so many more.
const JOINED_STEPS: (usize, usize) = (64, 16_384);
/// Steps that the second one may take where guards do instead, and where they do not.
const PATHS_STEPS_GUARDED: (usize, usize) = (8, 2_048);
const PATHS_STEPS_STRICT: (usize, usize) = (64, 262_144);

fn limit(program: &Program, (per_insn, more): (usize, usize)) -> usize {
    let insns = program.insns.len();
    insns.saturating_mul(per_insn).saturating_add(more)
}

/// Runs the first analysis, and the second where that has left something. [`VerifyError::Unfinished`] when the first comes to a limit.
fn analyse(
    program: &Program,
    policy: Policy,
    env: &Environment<'_>,
    found: &Structure,
    mut observer: Option<&mut Observer<'_>>,
    work: &mut Work<'_>,
) -> Result<Analysis, VerifyError> {
    let plan = Plan::new(program, work)?;
    let mut joined = Fixpoint::new(program, found, env, &plan, observer.as_deref_mut(), work)?;
    let ended = joined.run(program.entry, limit(program, JOINED_STEPS));
    let (steps, lost_pointer) = (joined.steps, joined.lost_pointer);
    let findings = joined.findings();
    ended?;
    let worst_cost = cost::worst(program, &found.functions, &findings, plan.loops, work);
    let (worst_cost, cap) = match worst_cost {
        Err(VerifyError::Unfinished { cap }) if cap != Cap::Cancelled => {
            let what = "cost that takes too long to be found out";
            (Err(Unbounded { pc: 0, what }), Some(cap))
        }
        other => (other?, None),
    };
    let mut analysis = Analysis { findings, worst_cost, steps, cap };
    // Without a branch there is one path.
    if !analysis.is_complete(lost_pointer) && plan.count() > 0 {
        explore(&mut analysis, program, policy, env, &plan, observer, work)?;
    }
    Ok(analysis)
}

/// Where the first analysis was enough, the stack need not hold the second one's state.
#[inline(never)]
fn explore(
    analysis: &mut Analysis,
    program: &Program,
    policy: Policy,
    env: &Environment<'_>,
    plan: &Plan,
    observer: Option<&mut Observer<'_>>,
    work: &mut Work<'_>,
) -> Result<(), VerifyError> {
    let steps = match policy {
        Policy::Strict => PATHS_STEPS_STRICT,
        Policy::Guarded | Policy::Checked => PATHS_STEPS_GUARDED,
    };
    let mut paths = Explorer::new(program, env, plan, observer, work)?;
    let ended = paths.run(program.entry, limit(program, steps));
    analysis.steps = analysis.steps.saturating_add(paths.steps);
    let (findings, worst_cost) = paths.result();
    match ended {
        Err(VerifyError::Unfinished { cap }) if cap != Cap::Cancelled => {
            analysis.cap = Some(cap);
            return Ok(());
        }
        other => other?,
    }
    analysis.findings.combine(&findings, work)?;
    analysis.worst_cost = match (analysis.worst_cost, worst_cost) {
        (Ok(a), Ok(b)) => Ok(a.min(b)),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(_), Err(unbounded)) => Err(unbounded),
    };
    Ok(())
}

/// A program of which nothing is known but its structure: every access is checked.
fn unproved(
    program: Program,
    policy: Policy,
    env: &Environment<'_>,
    found: Structure,
    cap: Option<Cap>,
    work: &mut Work<'_>,
) -> Result<VerifiedProgram, VerifyError> {
    if let (Policy::Strict, Some(cap)) = (policy, cap) {
        return Err(VerifyError::TooComplex { cap });
    }
    let mut findings = Findings::new(program.insns.len(), env.search(), work)?;
    for piece in pieces(0..program.insns.len()) {
        work.spend_each(piece.len(), price::LOOK)?;
        for pc in piece.filter(|&pc| found.reachable.get(pc) == Some(&true)) {
            if let (Some(note), Some(insn)) = (findings.notes.get_mut(pc), program.insns.get(pc)) {
                note.fact = worst_fact(insn);
                note.fact.set(Fact::PROBING, program.is_probing(pc));
                note.cost = findings.search;
            }
        }
    }
    let warned = policy == Policy::Guarded;
    findings.unset = if warned { found.unset } else { [None; Reg::COUNT] };
    let analysis =
        Analysis { findings, worst_cost: Err(Unbounded { pc: 0, what: "" }), steps: program.insns.len(), cap };
    finish(program, policy, env, found, analysis, work)
}

fn worst_fact(insn: &Insn) -> Fact {
    let fact = Fact::REACHED | Fact::MAYBE_ZERO | Fact::MAYBE_MINUS_ONE;
    match insn {
        Insn::Load { .. } | Insn::Store { .. } | Insn::Atomic { .. } => fact | Fact::ACCESS | Fact::GUARDED,
        _ => fact,
    }
}

fn finish(
    program: Program,
    policy: Policy,
    env: &Environment<'_>,
    found: Structure,
    analysis: Analysis,
    work: &mut Work<'_>,
) -> Result<VerifiedProgram, VerifyError> {
    let Analysis { findings, worst_cost, steps, cap } = analysis;
    let worst_cost = worst_cost.ok();
    let (uses, accesses) = uses(&program, &findings, work)?;
    let unproved = cap.filter(|_| worst_cost.is_none() && steps == program.insns.len());
    let warnings = warnings(&findings, unproved)?;
    let weights = verified::weights(&program.insns, &findings.notes, work)?;
    let mut maps = Vec::new();
    maps.try_reserve_exact(env.maps.len()).map_err(|_| VerifyError::NoMemory)?;
    maps.extend(env.maps.iter().map(|map| map.def));
    let mut verified = VerifiedProgram {
        weights,
        program,
        notes: findings.notes,
        functions: found.functions,
        policy,
        uses,
        worst_cost,
        argument_needed: findings.argument_needed,
        argument_first: findings.argument_first,
        argument_reach: findings.argument_reach,
        stack_reach: findings.stack_reach,
        steps,
        cap,
        warnings,
        maps,
        accesses,
        longest: 0,
    };
    verified.find_longest(work)?;
    Ok(verified)
}

/// What is used, and how many accesses are proved and guarded.
fn uses(program: &Program, findings: &Findings, work: &mut Work<'_>) -> Result<(Uses, (usize, usize)), Cap> {
    let mut uses = Uses::empty();
    uses.set(Uses::UNSET, findings.unset.iter().any(Option::is_some));
    let (mut proved, mut guarded) = (0usize, 0usize);
    for piece in pieces(0..program.insns.len()) {
        work.spend_each(piece.len(), price::LOOK.saturating_mul(2))?;
        for pc in piece {
            let (Some(insn), Some(note)) = (program.insns.get(pc), findings.notes.get(pc)) else {
                continue;
            };
            if note.fact.contains(Fact::REACHED) {
                uses |= uses_of(&program.insns, pc, insn, note);
            }
            let access = note.fact.contains(Fact::ACCESS);
            let checked = note.fact.contains(Fact::GUARDED);
            proved = proved.wrapping_add(usize::from(access && !checked));
            guarded = guarded.wrapping_add(usize::from(access && checked));
        }
    }
    Ok((uses, (proved, guarded)))
}

fn uses_of(insns: &[Insn], pc: usize, insn: &Insn, note: &Note) -> Uses {
    let when = |on, uses| if on { uses } else { Uses::empty() };
    let back = structure::successors(insns, pc).jump.is_some_and(|to| to <= pc);
    let plain = match insn {
        Insn::Load { .. } | Insn::Store { .. } | Insn::Atomic { .. } => Uses::MEMORY,
        Insn::Call(Call::Helper(_)) => Uses::HELPERS,
        Insn::Call(Call::Register(_)) => Uses::HELPERS | Uses::CALLX,
        Insn::Call(Call::Local(_)) => Uses::LOCAL_CALLS,
        _ => Uses::empty(),
    };
    plain
        | when(note.fact.contains(Fact::GUARDED), Uses::GUARDED)
        | when(insn.read().contains(&Some(Reg::R10)), Uses::STACK)
        | when(back, Uses::LOOPS)
}

const NINTH_FRAME: &str = "call that needs a ninth stack frame (a program has eight)";
const _: () = assert!(crate::program::limits::MAX_FRAMES == 8, "NINTH_FRAME");

fn check_strict(analysis: &Analysis, work: &mut Work<'_>) -> Result<(), VerifyError> {
    let findings = &analysis.findings;
    if let Some((register, pc)) = findings.unset_registers().next() {
        return Err(VerifyError::UnsetRegister { pc, register });
    }
    if let Some(failure) = findings.failures.iter().min_by_key(|f| f.pc) {
        let findings::Failure { pc, base, known, off, need } = *failure;
        return Err(VerifyError::UnprovedAccess { pc, base, known, off, need });
    }
    // Of those that are left, none was kept.
    let failed = |note: &Note| note.fact.contains(Fact::FAILED);
    if findings.more_failures {
        for piece in pieces(0..findings.notes.len()) {
            work.spend_each(piece.len(), price::GLANCE)?;
            let notes = findings.notes.get(piece).unwrap_or_default();
            if notes.iter().any(failed) {
                return Err(VerifyError::TooComplex { cap: Cap::Memory });
            }
        }
    }
    if let Some((pc, reserved)) = findings.held {
        return Err(VerifyError::HeldRecord { pc, reserved });
    }
    if let Some(pc) = findings.too_deep {
        return Err(VerifyError::UnprovedEnd { pc, what: NINTH_FRAME });
    }
    match analysis.worst_cost {
        Ok(_) => Ok(()),
        Err(Unbounded { pc, what }) => Err(VerifyError::UnprovedEnd { pc, what }),
    }
}

/// What the person who loads the program is told.
fn warnings(findings: &Findings, unproved: Option<Cap>) -> Result<Vec<Warning>, VerifyError> {
    let mut warnings = Vec::new();
    let unproved = unproved.map(|cap| Warning::Unproved { cap });
    let held = findings.held.map(|(pc, reserved)| Warning::HeldRecord { pc, reserved });
    let unset = findings.unset_registers().map(|(register, pc)| Warning::UnsetRegister { pc, register });
    for warning in unproved.into_iter().chain(held).chain(unset) {
        warnings.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
        warnings.push(warning);
    }
    Ok(warnings)
}
