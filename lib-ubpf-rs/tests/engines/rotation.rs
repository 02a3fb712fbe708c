//! Shifts that make a rotation together, those that nearly do, and products by small constants.

use crate::support::{program, Engines, World};
use ubpf_rs::isa::{assemble, decode};

const NUMBER: u64 = 0x8123_4567_89ab_cdef;

/// All registers are looked at afterwards.
fn agree(world: &mut World, body: &str) -> u64 {
    let known: String = (0..10).map(|r| format!("r{r} = {:#x} ll\n", NUMBER.rotate_left(3 * r))).collect();
    let sum: String = (1..10).map(|r| format!("r0 *= 31\nr0 += r{r}\n")).collect();
    let text = format!("{known}{body}{sum}exit\n");
    let bytes = assemble(&text).unwrap_or_else(|e| panic!("line {}: {}\n{text}", e.line, e.problem));
    let insns = decode(&bytes).unwrap();
    let engines = Engines::new(program(insns), &world.registry).unwrap();
    engines.agree(world, 1000).result.unwrap()
}

#[test]
fn shifts_and_what_looks_like_a_rotation_give_what_the_interpreter_gives() {
    let mut world = World::new();
    let mut results = std::collections::BTreeSet::new();
    for (t, x) in [(3, 6), (4, 0), (0, 4), (1, 2), (9, 8)] {
        for (w, bits) in [('r', 64), ('w', 32)] {
            for left in [1, 7, bits / 2, bits - 1] {
                let right = bits - left;
                let rotations = [(left, right), (left, right - 1), (left + 1, right)];
                for (l, r) in rotations.into_iter().filter(|&(l, r)| l < bits && r > 0) {
                    for moved in ['r', 'w'] {
                        let bodies = [
                            // The other register is used afterwards, and then it is not.
                            format!("{moved}{t} = {moved}{x}\n{w}{t} >>= {r}\n{w}{x} <<= {l}\n{w}{x} |= {w}{t}\n"),
                            format!("{moved}{t} = {moved}{x}\n{w}{t} <<= {l}\n{w}{x} >>= {r}\n{w}{x} |= {w}{t}\nr{t} = 1\n"),
                            // A jump leads into the middle.
                            format!("if r5 == 3 goto +1\n{moved}{t} = {moved}{x}\n{w}{t} >>= {r}\n{w}{x} <<= {l}\n{w}{x} |= {w}{t}\n"),
                            format!("if r5 != 3 goto +1\n{moved}{t} = {moved}{x}\n{w}{t} >>= {r}\n{w}{x} <<= {l}\n{w}{x} |= {w}{t}\n"),
                        ];
                        results.extend(bodies.map(|body| agree(&mut world, &body)));
                    }
                }
            }
        }
    }
    assert!(results.len() > 300, "{}", results.len());
}

#[test]
fn products_by_small_constants_are_those_of_the_interpreter() {
    let mut world = World::new();
    for factor in -9..=33 {
        for body in ["r3 *= {}\n", "w3 *= {}\n", "r5 *= {}\nw0 *= {}\n", "r7 *= {}\nw7 *= {}\n"] {
            agree(&mut world, &body.replace("{}", &factor.to_string()));
        }
    }
}
