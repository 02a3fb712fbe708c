//! Accesses through one register that are checked together: wherever one of them fails, all before it took place and none after it.

use crate::support::{program, Engines, World};
use ubpf_rs::isa::{assemble, decode, Insn};

/// What a register may point at.
#[derive(Clone, Copy, Debug)]
enum Base {
    Argument,
    Stack,
    Arena,
    Rodata(u64),
}

impl Base {
    /// Code that has its address in r6.
    fn code(self) -> String {
        match self {
            Base::Argument => "r6 = r8\n".into(),
            Base::Stack => "r6 = r10\nr6 += -512\n".into(),
            Base::Arena => "call 100\nr6 = r0\n".into(),
            Base::Rodata(address) => format!("r6 = {address:#x} ll\n"),
        }
    }

    fn bytes(self) -> i64 {
        match self {
            Base::Argument => 61,
            Base::Stack => 512,
            Base::Arena => 256,
            Base::Rodata(_) => 32,
        }
    }
}

/// What is done with r6; r7 is the address of the argument.
const BODIES: [&str; 6] = [
    // Read, changed, written.
    "r1 = *(u32 *)(r6 + 0)\nr1 += 1\n*(u32 *)(r6 + 0) = r1\n",
    // Every size, a branch between, and another register between.
    "r0 = *(u8 *)(r6 + 0)\n*(u16 *)(r6 + 2) = 7\n*(u8 *)(r8 + 5) = 1\nr1 = *(u32 *)(r6 + 4)\nif r1 > 77 goto +1\n\
     *(u8 *)(r6 + 1) = 3\n*(u64 *)(r6 + 8) = r0\n",
    // The register itself is loaded at the end, and used again.
    "r1 = *(u16 *)(r6 + 1)\nr2 = *(u16 *)(r6 - 1)\n*(u8 *)(r6 + 2) = r2\nr6 = *(u64 *)(r6 - 4)\nr6 = *(u64 *)(r6 + 0)\n",
    // A loop that leads to the middle.
    "r1 = 3\nr2 = *(u8 *)(r6 + 3)\nr3 = *(u8 *)(r6 + 2)\nr0 += r2\nr1 += -1\nr6 += 1\nif r1 != 0 goto -6\n",
    // Two registers whose accesses alternate, and an atomic one.
    "r7 = r6\nr7 += 4\nr1 = *(u8 *)(r6 + 0)\n*(u8 *)(r7 + 0) = r1\n*(u8 *)(r6 + 1) = r1\nlock *(u32 *)(r8 + 0) += r1\n\
     r2 = *(u8 *)(r7 + 1)\n*(u8 *)(r6 + 2) = r2\nr3 = *(u16 *)(r7 + 2)\n",
    // Far apart, with a large constant between.
    "r1 = *(u8 *)(r6 + 0)\nr2 = 0x123456789abcdef ll\n*(u64 *)(r6 + 16) = r2\nr3 = *(u8 *)(r6 + 7)\n*(u8 *)(r6 + 8) = r3\n",
];

fn code(base: Base, distance: i64, body: &str) -> Vec<Insn> {
    // What `mix` makes the distance of; the verifier does not know.
    let rotated = (distance as u64).rotate_right(28);
    let zeros = "r2 = 0\nr3 = 0\nr4 = 0\nr5 = 0\n";
    let text =
        format!("r8 = r1\n{}r1 = {rotated:#x} ll\n{zeros}call 101\nr6 += r0\n{body}r0 += r1\nexit\n", base.code());
    let bytes = assemble(&text).unwrap_or_else(|e| panic!("line {}: {}\n{text}", e.line, e.problem));
    decode(&bytes).unwrap()
}

#[test]
fn accesses_checked_together_stop_where_the_first_of_them_fails() {
    let mut world = World::new();
    let rodata = Base::Rodata(world.rodata());
    let (mut ended, mut stopped) = (0, 0);
    for base in [Base::Argument, Base::Stack, Base::Arena, rodata] {
        let ends = (-20..20).chain(base.bytes() - 20..base.bytes() + 20);
        for (distance, body) in ends.flat_map(|d| BODIES.map(|body| (d, body))) {
            let insns = code(base, distance, body);
            let engines = Engines::new(program(insns), &world.registry).unwrap().with_linked();
            match engines.agree(&mut world, 1000).result {
                Ok(_) => ended += 1,
                Err(_) => stopped += 1,
            }
            if distance % 4 == 0 {
                engines.agree_at_every_budget(&mut world, 300, 60);
            }
        }
    }
    assert!(ended > 300 && stopped > 300, "{ended} {stopped}");
}
