//! Proved accesses through a sum of two registers.

use crate::support::{program, Engines, World};
use ubpf_rs::isa::{assemble, decode};
use ubpf_rs::vm::Executable;

#[test]
fn accesses_through_a_sum_are_those_of_the_interpreter() {
    let mut world = World::new();
    let mut programs = 0;
    // Pointer, number, their sum, and another register.
    let registers =
        [(1, 3, 4, 5), (7, 0, 6, 8), (6, 7, 0, 2), (2, 8, 9, 7), (8, 5, 7, 0), (10, 3, 4, 6), (10, 7, 2, 9)];
    for (p, n, s, x) in registers {
        let start = if p == 10 {
            format!("*(u64 *)(r10 - 64) = r2\nr{n} = 20\n")
        } else {
            format!("r{p} = r1\nr{n} = *(u8 *)(r{p} + 3)\nr{n} &= 31\n")
        };
        let off = if p == 10 { "- 84" } else { "+ 1" };
        for (size, _) in [("u8", 1), ("u16", 2), ("u32", 4), ("u64", 8)] {
            for (first, second) in [(p, n), (n, p)] {
                let sum = format!("r{s} = r{first}\nr{s} += r{second}\n");
                let bodies = [
                    format!("{sum}r{s} = *({size} *)(r{s} {off})\n"),
                    format!("{sum}r{x} = *({size} *)(r{s} {off})\n"),
                    format!("{sum}r{x} = *({size} *)(r{s} {off})\nr{s} -= r{p}\n"),
                    format!("{sum}*({size} *)(r{s} {off}) = r{x}\nr{s} = 1\n"),
                    format!("{sum}*({size} *)(r{s} {off}) = r{x}\nr{x} = *({size} *)(r{s} {off})\nr{s} = 1\n"),
                    // A jump leads to the access.
                    format!("r{s} = r{p}\nif r{n} == 7 goto +2\n{sum}r{s} = *({size} *)(r{s} {off})\n"),
                ];
                // At offset -84 the last reads the frame as it is.
                for body in bodies {
                    let text = format!(
                        "r0 = 9\nif r2 < 61 goto +{}\n{start}r{x} = 0x7766554433221100 ll\n{body}\
                         r0 = r{x}\nr0 ^= r{n}\nexit\n",
                        start.lines().count() + body.lines().count() + 4
                    );
                    let bytes = assemble(&text).unwrap_or_else(|e| panic!("{}: {}\n{text}", e.line, e.problem));
                    let insns = decode(&bytes).unwrap();
                    let engines = Engines::new(program(insns), &world.registry);
                    let engines = engines.unwrap_or_else(|e| panic!("{e}\n{text}")).with_linked();
                    programs += usize::from(engines.interpreter.verified().accesses().1 == 0);
                    engines.agree(&mut world, 1000).result.unwrap();
                }
            }
        }
    }
    assert!(programs > 200, "{programs} are proved");
}
