//! What compilers make of a remainder, of a mask used twice, of a range check that begins above zero: instructions whose registers
//! are bound to each other. They are found in the text once, in stretches that nothing jumps into, so that what holds between two
//! registers there holds on every path; the analyses then know more of the result than the operands' ranges say.

use super::{
    planted::{self, Bug},
    structure::{call_target, filled, successors},
    work::{pieces, price, Work},
    VerifyError,
};
use crate::{
    isa::{AluOp, Call, Insn, Operand, Reg, Width},
    program::Program,
};
use alloc::vec::Vec;

/// Most of them that are remembered.
const MOST: usize = 1024;

/// What is known of one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Idiom {
    /// `a -= b`, where `b` is `(a & mask) / divisor * divisor`: what is left is the remainder, if the mask changes nothing of `a`.
    Remainder { divisor: Operand, mask: u64 },
    /// `a &= mask`, where this register holds `a & mask` already.
    Equal(Reg),
    /// A comparison, where the register `of` holds `from + by` at this width, and one of the two is compared.
    Moved { of: Reg, from: Reg, by: i32, width: Width },
}

/// What a register holds of another one, which has not changed since.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RegisterForm {
    Copy(Width),
    Masked(u64),
    /// Of a copy of this width, or of a masked one.
    Quotient(Option<Width>, u64, Operand),
    Product(Option<Width>, u64, Operand),
    Plus(Width, i32),
}

#[derive(Clone, Copy)]
struct Link {
    from: Reg,
    form: RegisterForm,
}

/// The idioms of a program, ascending by PC.
pub(super) struct Idioms(Vec<(u32, Idiom)>);

impl Idioms {
    pub(super) fn new(program: &Program, work: &mut Work<'_>) -> Result<Idioms, VerifyError> {
        let insns = program.insns.as_slice();
        let mut entered = filled(insns.len(), false, work)?;
        let mut mark = |pc: Option<usize>| {
            if let Some(flag) = pc.and_then(|pc| entered.get_mut(pc)) {
                *flag = true;
            }
        };
        mark(Some(program.entry));
        for piece in pieces(0..insns.len()) {
            work.spend_each(piece.len(), price::LOOK)?;
            for pc in piece {
                mark(successors(insns, pc).jump);
                if let Some(Insn::Call(Call::Local(off))) = insns.get(pc) {
                    mark(call_target(pc, *off));
                }
            }
        }
        let mut scan = Scan { links: [None; Reg::COUNT] };
        let mut list = Vec::new();
        for piece in pieces(0..insns.len()) {
            work.spend_each(piece.len(), price::RELATE)?;
            for pc in piece {
                if entered.get(pc) == Some(&true) {
                    scan.forget();
                }
                let Some(idiom) = insns.get(pc).and_then(|insn| scan.step(insn)) else {
                    continue;
                };
                if list.len() < MOST && list.try_reserve(1).is_ok() {
                    list.push((pc as u32, idiom));
                }
            }
        }
        Ok(Idioms(list))
    }

    /// What is known of the instruction at `pc`.
    pub(super) fn at(&self, pc: usize) -> Option<Idiom> {
        let index = self.0.binary_search_by_key(&pc, |one| one.0 as usize);
        self.0.get(index.ok()?).map(|one| one.1)
    }
}

struct Scan {
    links: [Option<Link>; Reg::COUNT],
}

impl Scan {
    fn forget(&mut self) {
        self.links = [None; Reg::COUNT];
    }

    fn get(&self, reg: Reg) -> Option<Link> {
        self.links.get(reg.index()).copied().flatten()
    }

    /// A register changes: what it held, and what others held of it, is gone.
    fn change(&mut self, reg: Reg, link: Option<Link>) {
        for slot in &mut self.links {
            let gone = slot.is_some_and(|link| link.from == reg || link.form.divides_by(reg));
            if gone && !planted::active(Bug::StaleRelation) {
                *slot = None;
            }
        }
        if let Some(slot) = self.links.get_mut(reg.index()) {
            *slot = link.filter(|link| link.from != reg && !link.form.divides_by(reg));
        }
    }

    fn step(&mut self, insn: &Insn) -> Option<Idiom> {
        match *insn {
            Insn::Alu { op, width, dst, src } => {
                let idiom = self.idiom(op, width, dst, src);
                let link = self.after(op, width, dst, src);
                self.change(dst, link);
                idiom
            }
            Insn::Branch { dst, src: Operand::Imm(_), .. } => self.compared(dst),
            Insn::Branch { .. } => None,
            Insn::Call(_) | Insn::Jump { .. } | Insn::Exit => {
                self.forget();
                None
            }
            _ => {
                if let Some(reg) = insn.written() {
                    self.change(reg, None);
                }
                None
            }
        }
    }

    fn compared(&self, reg: Reg) -> Option<Idiom> {
        let all = self.links.iter().enumerate();
        let mut sums = all.filter_map(|(of, link)| match *link {
            Some(Link { from, form: RegisterForm::Plus(width, by) }) => Some((Reg::new(of as u8)?, from, width, by)),
            _ => None,
        });
        let found = sums.find(|&(of, from, ..)| of == reg || from == reg);
        found.map(|(of, from, width, by)| Idiom::Moved { of, from, by, width })
    }

    fn idiom(&self, op: AluOp, width: Width, dst: Reg, src: Operand) -> Option<Idiom> {
        match (op, src) {
            (AluOp::And, Operand::Imm(imm)) => {
                let wanted = RegisterForm::Masked(mask(imm)?);
                let is = |link: &Option<Link>| link.is_some_and(|link| link.from == dst && link.form == wanted);
                let holder = self.links.iter().position(is)?;
                Reg::new(holder as u8).map(Idiom::Equal)
            }
            (AluOp::Sub, Operand::Reg(product)) => match self.get(product)? {
                Link { from, form: RegisterForm::Product(of, mask, divisor) }
                    if from == dst && of.is_none_or(|of| of == width) =>
                {
                    Some(Idiom::Remainder { divisor, mask })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What the result holds of another register.
    fn after(&self, op: AluOp, width: Width, dst: Reg, src: Operand) -> Option<Link> {
        if let (AluOp::Mov, Operand::Reg(from)) = (op, src) {
            let form = RegisterForm::Copy(width);
            return Some(Link { from, form });
        }
        let Link { from, form } = self.get(dst)?;
        let form = match (op, form, src) {
            (AluOp::And, RegisterForm::Copy(_), Operand::Imm(imm)) => RegisterForm::Masked(mask(imm)?),
            (AluOp::Div, RegisterForm::Copy(of), by) if of == width => {
                RegisterForm::Quotient(Some(of), u64::MAX, divisor(by)?)
            }
            (AluOp::Div, RegisterForm::Masked(mask), by @ Operand::Imm(_)) => {
                RegisterForm::Quotient(None, mask, divisor(by)?)
            }
            (AluOp::Mul, RegisterForm::Quotient(of, mask, by), _) if by == src && of.is_none_or(|of| of == width) => {
                RegisterForm::Product(of, mask, by)
            }
            (AluOp::Add, RegisterForm::Copy(of), Operand::Imm(by)) if of == width => RegisterForm::Plus(of, by),
            (AluOp::Sub, RegisterForm::Copy(of), Operand::Imm(by)) if of == width => {
                RegisterForm::Plus(of, by.checked_neg()?)
            }
            _ => return None,
        };
        Some(Link { from, form })
    }
}

impl RegisterForm {
    fn divides_by(&self, reg: Reg) -> bool {
        let (RegisterForm::Quotient(_, _, by) | RegisterForm::Product(_, _, by)) = *self else {
            return false;
        };
        by == Operand::Reg(reg)
    }
}

/// A mask that keeps the same bits at either width.
fn mask(imm: i32) -> Option<u64> {
    u64::try_from(imm).ok()
}

/// A divisor that is the same number at either width, or a register.
fn divisor(by: Operand) -> Option<Operand> {
    match by {
        Operand::Imm(imm) if imm <= 0 => None,
        by => Some(by),
    }
}
