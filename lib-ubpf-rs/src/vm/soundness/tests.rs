//! Many random programs, and mistakes that they must find.

use super::{random_program, random_program_with_maps, text, verify, verify_with_maps, Checked, Numbers};
use crate::{
    isa::Insn,
    verifier::{
        planted::{self, Bug},
        Access,
    },
};
use std::{format, string::String, vec::Vec};

/// Runs many random programs, each with several arguments; the first mistake of the verifier.
fn random_programs(seed: u64, programs: usize) -> Result<(usize, usize), String> {
    try_programs(seed, programs, random_program, verify)
}

fn with_maps(seed: u64, programs: usize) -> Result<(usize, usize), String> {
    try_programs(seed, programs, random_program_with_maps, verify_with_maps)
}

fn try_programs(
    seed: u64,
    programs: usize,
    make: fn(&mut Numbers<'_>) -> Vec<Insn>,
    verify: fn(&[Insn]) -> Option<Checked>,
) -> Result<(usize, usize), String> {
    let mut numbers = Numbers::Random(seed);
    let (mut admitted, mut proved) = (0, 0);
    for _ in 0..programs {
        let insns = make(&mut numbers);
        let Some(checked) = verify(&insns) else {
            continue;
        };
        admitted += 1;
        proved += (0..insns.len()).filter(|&pc| checked.verified.access(pc) == Access::Proved).count();
        for _ in 0..6 {
            let len = numbers.pick(&[16, 24, 40, 128, 128, 200]);
            let mut argument: Vec<u8> = (0..len).map(|_| numbers.pick(&[0, 0, 0, 1, 0x7f, 0x80, 0xff])).collect();
            checked.run(&mut argument, 600).map_err(|error| format!("{error}\n{}", text(&insns)))?;
        }
    }
    Ok((admitted, proved))
}

#[test]
fn random_programs_stay_within_what_the_verifier_says() {
    let seed = std::env::var("UBPF_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x0123_4567_89ab_cdef);
    let programs = std::env::var("UBPF_PROGRAMS").ok().and_then(|s| s.parse().ok()).unwrap_or(3_000);
    let (admitted, proved) = random_programs(seed, programs).unwrap_or_else(|error| panic!("{error}"));
    assert!(admitted > programs / 4, "{admitted} of {programs} programs are admitted");
    assert!(proved > programs, "{proved} accesses are proved");
}

#[test]
fn random_programs_with_maps_stay_within_what_the_verifier_says() {
    let (admitted, proved) = with_maps(0x0123_4567_89ab_cdef, 2_000).unwrap_or_else(|error| panic!("{error}"));
    assert!(admitted > 400, "{admitted} programs are admitted");
    assert!(proved > 2_000, "{proved} accesses are proved");
}

#[test]
fn mistakes_with_values_of_maps_are_found() {
    for bug in [
        Bug::MovedNull,
        Bug::NullBothSides,
        Bug::FirstMap,
        Bug::AccessSize,
        Bug::StaleRecord,
        Bug::HeldOnOneWay,
        Bug::KeptWord,
    ] {
        let found = planted::with(bug, || with_maps(0x9e37_79b9_7f4a_7c15, PROGRAMS));
        assert!(found.is_err(), "{bug:?} is not found");
    }
}

const FOUND_BY_PROGRAMS: [Bug; 18] = [
    Bug::AddWraps,
    Bug::HalfIsWhole,
    Bug::BitwiseHalf,
    Bug::SignedLoad,
    Bug::AccessSize,
    Bug::PartialSpill,
    Bug::JoinKeepsFirst,
    Bug::WildStore,
    Bug::RoomBeyond,
    Bug::ShiftBeyond,
    Bug::FewPasses,
    Bug::StraightRecursion,
    Bug::SameFrame,
    Bug::ShiftedAlike,
    Bug::ReachForgotten,
    Bug::StaleRelation,
    Bug::RemainderOfPart,
    Bug::AnyEnd,
];

/// Programs tried at most for one mistake.
const PROGRAMS: usize = 20_000;

#[test]
fn every_planted_mistake_is_found_by_random_programs() {
    for bug in FOUND_BY_PROGRAMS {
        let found = planted::with(bug, || random_programs(0x9e37_79b9_7f4a_7c15, PROGRAMS));
        assert!(found.is_err(), "{bug:?} is not found");
    }
}
