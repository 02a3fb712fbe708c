//! Programs of which only the number of runs matters: they add a constant to one value of the two-key map, as `count` does.

use crate::{
    helpers::Inline,
    isa::{AluOp, Call, ImmKind, Insn, Operand, Reg, Size, Width},
    program::Program,
    vm::Adds,
};

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RegisterValue {
    /// Address of the argument.
    Argument,
    /// Its first word.
    Key,
    Number(u64),
    Other,
}

/// What a verified program adds, if it does nothing else: straight code with one call, of `bpf_map_add`.
pub(super) fn adds(program: &Program) -> Option<Adds> {
    let mut registers = [RegisterValue::Other; Reg::COUNT];
    *registers.get_mut(Reg::R1.index())? = RegisterValue::Argument;
    let mut found = None;
    for insn in program.insns.get(program.entry..)? {
        let get = |reg: Reg| registers.get(reg.index()).copied().unwrap_or(RegisterValue::Other);
        let (dst, value) = match *insn {
            Insn::Exit => return found,
            Insn::WideTail => continue,
            Insn::Alu { op: AluOp::Mov, width, dst, src } => (dst, moved(width, src, get)),
            Insn::LoadImm64 { kind: ImmKind::Value, dst, imm } => (dst, RegisterValue::Number(imm)),
            Insn::Load { size: Size::DW, base, off: 0, dst, .. } if get(base) == RegisterValue::Argument => {
                (dst, RegisterValue::Key)
            }
            Insn::Alu { dst, .. } | Insn::Load { dst, .. } => (dst, RegisterValue::Other),
            Insn::Call(Call::Helper(number)) if found.is_none() => {
                let values = [Reg::R1, Reg::R2, Reg::R3].map(get);
                let [RegisterValue::Key, RegisterValue::Number(key2), RegisterValue::Number(more)] = values else {
                    return None;
                };
                if Inline::of(program.abi, number) != Some(Inline::MapAdd) {
                    return None;
                }
                found = Some(Adds { key2, more });
                registers = [RegisterValue::Other; Reg::COUNT];
                continue;
            }
            _ => return None,
        };
        *registers.get_mut(dst.index())? = value;
    }
    None
}

fn moved(width: Width, src: Operand, get: impl Fn(Reg) -> RegisterValue) -> RegisterValue {
    match (width, src) {
        (Width::W64, Operand::Imm(imm)) => RegisterValue::Number(i64::from(imm) as u64),
        (Width::W32, Operand::Imm(imm)) => RegisterValue::Number(u64::from(imm as u32)),
        (Width::W64, Operand::Reg(reg)) => get(reg),
        (Width::W32, Operand::Reg(_)) => RegisterValue::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{isa::assemble, program::Abi};

    fn of(text: &str) -> Option<(u64, u64)> {
        let bytes = assemble(text).unwrap();
        let program = Program::from_flat("test", &bytes, Abi::Classic).unwrap();
        adds(&program).map(|adds| (adds.key2, adds.more))
    }

    #[test]
    fn only_what_adds_a_constant_under_the_key_of_its_site() {
        let count = "r1 = *(u64 *)(r1 + 0)\nr2 = 7\nr3 = -1\ncall 32\nr0 = 0\nexit";
        assert_eq!(of(count), Some((7, u64::MAX)));
        let moved = "r6 = r1\nr7 = *(u64 *)(r6 + 0)\nr1 = r7\nr2 = 1\nr8 = 2\nr3 = r8\ncall 32\nr0 = 0\nexit";
        assert_eq!(of(moved), Some((1, 2)));
        for other in [
            "r2 = 7\nr3 = 1\ncall 32\nr0 = 0\nexit",
            "r1 = *(u64 *)(r1 + 8)\nr2 = 7\nr3 = 1\ncall 32\nr0 = 0\nexit",
            "r1 = *(u32 *)(r1 + 0)\nr2 = 7\nr3 = 1\ncall 32\nr0 = 0\nexit",
            "r1 = *(u64 *)(r1 + 0)\nr2 = r1\nr3 = 1\ncall 32\nr0 = 0\nexit",
            "r1 = *(u64 *)(r1 + 0)\nr1 += 1\nr2 = 7\nr3 = 1\ncall 32\nr0 = 0\nexit",
            "r1 = *(u64 *)(r1 + 0)\nr2 = 7\nr3 = 1\ncall 1\nr0 = 0\nexit",
            "r1 = *(u64 *)(r1 + 0)\nr6 = r1\nr2 = 7\nr3 = 1\ncall 32\nr1 = r6\nr2 = 7\ncall 0\nexit",
            "r1 = *(u64 *)(r1 + 0)\nr2 = 7\nr3 = 1\nif r1 == 5 goto +1\ncall 32\nr0 = 0\nexit",
            "r0 = 0\nexit",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
