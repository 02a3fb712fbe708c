//! One instruction on an abstract state: what it makes of it, and what that says of the instruction.

use super::{
    env::INNER,
    findings::{Claim, Failure, Findings, Need},
    idioms::{Idiom, Idioms},
    planted::{self, Bug},
    scalar::{Comparison, Part, Scalar},
    state::{State, END, FRAME, LENGTH, SHIFTED},
    structure::{call_target, wide_map},
    value::{Value, ValueKind, BITS, NO_ROOM},
    work::{price, Work},
    Context, Environment, Target, VerifyError,
};
use crate::{
    isa::{AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width},
    program::{
        limits::{MAX_FRAMES, MAX_STRING},
        ArgType, Cost, HelperSignature, MapDef, MapFamily, Program, RetType,
    },
};

/// Longest string argument, its NUL included.
const STRING: i64 = MAX_STRING as i64;

/// Where control goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FlowTo {
    /// To this instruction.
    To(usize),
    /// To either: the state is that of the first, [`AbstractMachine::taken`] that of the second.
    Fork { fall: usize, jump: usize },
    /// Into the function that starts there.
    Into(usize),
    /// Back to after this call.
    Back(usize),
    /// The run ends.
    End,
}

/// What an access reaches.
enum Reached {
    /// A known place of a frame.
    Slot { frame: u8, off: i64 },
    /// Somewhere in a part of a frame.
    Frame { frame: u8, from: i64, to: i64 },
    /// Memory other than the stack.
    Elsewhere,
    /// Wherever a check at run time lets it.
    Anywhere,
}

/// An access as its instruction describes it.
#[derive(Clone, Copy)]
struct Reach {
    base: Reg,
    off: i64,
    /// Bytes, at most.
    size: u64,
    /// The address must be a multiple of this.
    align: u64,
    write: bool,
}

/// Steps through a program.
pub(super) struct AbstractMachine<'a> {
    program: &'a Program,
    env: &'a Environment<'a>,
    idioms: Idioms,
    pub(super) findings: Findings,
    /// The state of the jump, after [`FlowTo::Fork`].
    pub(super) taken: State,
    /// What the last instruction costs at most, in units of budget, [its check](Self::check) aside; `None` for no limit.
    pub(super) cost: Option<u64>,
    /// Units of work that the last step took.
    pub(super) units: u64,
}

impl<'a> AbstractMachine<'a> {
    pub(super) fn new(
        program: &'a Program,
        env: &'a Environment<'a>,
        work: &mut Work<'_>,
    ) -> Result<AbstractMachine<'a>, VerifyError> {
        Ok(AbstractMachine {
            program,
            env,
            idioms: Idioms::new(program, work)?,
            findings: Findings::new(program.insns.len(), env.search(), work)?,
            taken: State::EMPTY,
            cost: Some(0),
            units: 0,
        })
    }

    /// Executes the instruction at `pc`.
    pub(super) fn step(&mut self, state: &mut State, pc: usize) -> Result<FlowTo, VerifyError> {
        self.findings.reach(pc);
        self.units = price::STEP;
        let next = pc.wrapping_add(1);
        let target = |off: i64| (next as i64).wrapping_add(off) as usize;
        let Some(insn) = self.program.insns.get(pc) else {
            return Ok(FlowTo::End);
        };
        self.cost = Some(super::cost::weight(insn));
        match *insn {
            Insn::Alu { op, width, dst, src } => self.alu(state, pc, (op, part(width)), dst, src),
            Insn::MovSx { width, from, dst, src } => self.mov_sx(state, pc, part(width), from, dst, src),
            Insn::Neg { width, dst } => {
                let value = self.read(state, dst, pc);
                let zero = Value::constant(0);
                state.set(dst, zero.alu(part(width), AluOp::Sub, &value, state.argument_min));
            }
            Insn::Endian { kind, size, dst } => self.endian(state, pc, kind, size, dst),
            Insn::LoadImm64 { dst, kind, imm } => {
                state.set(dst, wide(kind, imm));
                return Ok(FlowTo::To(next.wrapping_add(1)));
            }
            Insn::Load { size, signed, dst, base, off } => {
                let reach = Reach::of(base, off, size);
                let place = self.access(state, pc, reach);
                let value = match self.frozen(state, reach) {
                    Some(word) => constant(word, size, signed),
                    None => load(state, place, size, signed),
                };
                state.set(dst, value);
            }
            Insn::Store { size, base, off, src } => {
                let reach = Reach { write: true, ..Reach::of(base, off, size) };
                let place = self.access(state, pc, reach);
                let value = self.stored(state, pc, src);
                self.store(state, place, size, value)?;
            }
            Insn::Atomic { op, size, base, off, src } => {
                let reach = Reach {
                    write: op != AtomicOp::LoadAcquire,
                    align: size.bytes() as u64,
                    ..Reach::of(base, off, size)
                };
                self.atomic(state, pc, op, size, reach, src)?;
            }
            Insn::Jump { off, .. } => return Ok(FlowTo::To(target(i64::from(off)))),
            Insn::Branch { op, width, dst, src, off } => {
                let compare = Compare { op, part: part(width), dst, src };
                return self.branch(state, pc, compare, target(i64::from(off)));
            }
            Insn::Call(call) => return self.call(state, pc, call),
            Insn::Exit => return Ok(self.exit(state, pc)),
            Insn::WideTail | Insn::LegacyPacket { .. } => return Ok(FlowTo::End),
        }
        Ok(FlowTo::To(next))
    }

    /// What the check of an access at `pc` is charged, by the paths that have led there; `None` where none has.
    pub(super) fn check(&self, pc: usize) -> Option<u64> {
        let note = self.findings.notes.get(pc).filter(|note| note.fact.contains(super::verified::Fact::REACHED))?;
        Some(note.check(self.program.insns.get(pc)?).into())
    }

    /// A write, paid by what it changes: what may go to many places forgets all of them.
    fn store(&mut self, state: &mut State, place: Reached, size: Size, value: Value) -> Result<(), VerifyError> {
        self.spend(match place {
            Reached::Slot { off, .. } => {
                price::WRITE.saturating_mul(State::cells_between(off, off.wrapping_add(size.bytes() as i64)))
            }
            Reached::Frame { from, to, .. } => price::WRITE.saturating_mul(State::cells_between(from, to)),
            Reached::Elsewhere => 0,
            Reached::Anywhere => state.copy_price(),
        });
        match place {
            Reached::Slot { frame, off } => state.write(frame, off, size, value),
            Reached::Frame { frame, from, to } => state.write_somewhere(frame, from, to),
            Reached::Elsewhere => Ok(()),
            Reached::Anywhere if planted::active(Bug::WildStore) => Ok(()),
            Reached::Anywhere => {
                state.forget_stack();
                Ok(())
            }
        }
    }

    fn spend(&mut self, units: u64) {
        if planted::active(Bug::FreeStates) {
            return;
        }
        self.units = self.units.saturating_add(units);
    }

    /// A register's value; one that nothing has set may hold anything.
    fn read(&mut self, state: &State, reg: Reg, pc: usize) -> Value {
        let value = *state.get(reg);
        if value.kind != ValueKind::Unset {
            return value;
        }
        self.findings.unset(reg, pc);
        Value::UNKNOWN
    }

    fn operand(&mut self, state: &State, operand: Operand, pc: usize) -> Value {
        match operand {
            Operand::Reg(reg) => self.read(state, reg, pc),
            Operand::Imm(imm) => Value::constant(imm as i64 as u64),
        }
    }

    /// The value of a move or a store: it and the register it comes from are known to be equal.
    fn stored(&mut self, state: &mut State, pc: usize, operand: Operand) -> Value {
        let value = self.operand(state, operand, pc);
        match operand {
            Operand::Reg(reg) if value.kind != ValueKind::Unset && state.get(reg).kind != ValueKind::Unset => {
                state.share(reg)
            }
            _ => value,
        }
    }

    fn alu(&mut self, state: &mut State, pc: usize, (op, part): (AluOp, Part), dst: Reg, src: Operand) {
        if op == AluOp::Mov {
            let value = self.stored(state, pc, src);
            let whole = part == Part::Whole || value.is_scalar() && value.num.whole.umax <= u64::from(u32::MAX);
            state.set(dst, if whole { value } else { Value::scalar(value.number().low_half(BITS)) });
            return;
        }
        let b = self.operand(state, src, pc);
        // A register combined with itself needs no value: its own is forgotten or doubled.
        let cleared = src == Operand::Reg(dst) && matches!(op, AluOp::Xor | AluOp::Sub);
        if cleared && state.get(dst).is_scalar() {
            state.set(dst, Value::constant(0));
            return;
        }
        let a = self.read(state, dst, pc);
        if matches!(op, AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod) {
            self.divisor(pc, part, &b);
        }
        self.findings.count(pc, op, part, &a, src);
        if let Some(value) = self.idiom(state, pc, (op, part), &a) {
            state.set(dst, value);
            return;
        }
        if op == AluOp::Mul {
            self.spend(price::MULTIPLY.saturating_mul(a.num.tnum.width().into()));
        }
        let mut value = a.alu(part, op, &b, state.argument_min);
        if part == Part::Whole && b.as_constant() == Some(32) {
            value.id = shifted_id(op, &a, &value);
        }
        if part == Part::Whole && op == AluOp::Add && (is_end(&a, &b) || is_end(&b, &a)) {
            value.id = END;
        }
        state.set(dst, value);
    }

    /// The result of an instruction that is part of an idiom.
    fn idiom(&mut self, state: &mut State, pc: usize, (op, part): (AluOp, Part), a: &Value) -> Option<Value> {
        if !matches!(op, AluOp::And | AluOp::Sub) || !a.is_scalar() {
            return None;
        }
        match self.idioms.at(pc)? {
            Idiom::Equal(reg) if state.get(reg).is_scalar() => Some(state.share(reg)),
            Idiom::Remainder { divisor, mask } => {
                let bits = match part {
                    Part::Whole => a.num.tnum,
                    Part::Half => a.num.low_half(BITS).tnum,
                };
                let part_of = (bits.value | bits.mask) & !mask != 0;
                if part_of && !planted::active(Bug::RemainderOfPart) {
                    return None;
                }
                let divisor = self.operand(state, divisor, pc);
                let divisor = Some(divisor).filter(Value::is_scalar)?;
                Some(a.alu(part, AluOp::Mod, &divisor, state.argument_min))
            }
            Idiom::Equal(_) | Idiom::Moved { .. } => None,
        }
    }

    fn divisor(&mut self, pc: usize, part: Part, divisor: &Value) {
        let num = divisor.number();
        let (contains_zero, contains_minus_one) = match part {
            Part::Whole => (num.contains(BITS, 0), num.contains(BITS, u64::MAX)),
            Part::Half => {
                let low = num.low_half(BITS);
                (low.contains(BITS, 0), low.contains(BITS, u64::from(u32::MAX)))
            }
        };
        self.findings.divisor(pc, contains_zero, contains_minus_one);
    }

    fn mov_sx(&mut self, state: &mut State, pc: usize, part: Part, from: Size, dst: Reg, src: Reg) {
        let value = self.stored(state, pc, Operand::Reg(src));
        let num = value.number().sign_extend(BITS, bits(from));
        let num = match part {
            Part::Whole => num,
            Part::Half => num.low_half(BITS),
        };
        let same = value.is_scalar() && num == value.num;
        state.set(dst, if same { value } else { Value::scalar(num) });
    }

    fn endian(&mut self, state: &mut State, pc: usize, kind: Endianness, size: Size, dst: Reg) {
        let value = self.read(state, dst, pc).number();
        let swap = match kind {
            Endianness::ToLe => cfg!(target_endian = "big"),
            Endianness::ToBe => cfg!(target_endian = "little"),
            Endianness::Swap => true,
        };
        let num = if swap { value.swap_bytes(BITS, bits(size)) } else { value.truncate(BITS, bits(size)) };
        state.set(dst, Value::scalar(num));
    }

    /// What an access reads of a value that nobody can change: it is known before the program runs.
    fn frozen(&self, state: &State, reach: Reach) -> Option<u64> {
        let base = state.get(reach.base);
        let ValueKind::Object { index, nullable: false } = base.kind else {
            return None;
        };
        let from = (base.num.value()? as i64).checked_add(reach.off)?;
        let from = usize::try_from(from).ok()?;
        let bytes = self.env.map(index)?.frozen?;
        let bytes = bytes.get(from..from.checked_add(reach.size as usize)?)?;
        let mut word = [0; 8];
        word.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }

    /// Decides how an access is made safe, and what it reaches.
    fn access(&mut self, state: &State, pc: usize, reach: Reach) -> Reached {
        let base = self.read(state, reach.base, pc);
        let (proof, target) = self.prove(state, &base, reach);
        match proof {
            Ok((place, claim)) => {
                self.findings.prove(pc, target, claim);
                place
            }
            Err(Need::Pointer) if base.is_scalar() && !reach.write && self.program.is_probing(pc) => {
                self.findings.probe(pc);
                Reached::Elsewhere
            }
            Err(need) => {
                let failure = Failure::new(pc, reach.base, &base, reach.off, need);
                self.findings.guard(pc, target, failure);
                Reached::Anywhere
            }
        }
    }

    /// The place that an access surely lies in, with what that says of the argument.
    fn prove(&self, state: &State, base: &Value, reach: Reach) -> (Result<(Reached, Claim), Need>, Target) {
        let least = i128::from(base.num.whole.smin).wrapping_add(i128::from(reach.off));
        let end = i128::from(base.num.whole.smax).wrapping_add(i128::from(reach.off));
        let size = match reach.size {
            _ if planted::active(Bug::AccessSize) => 1,
            size => size,
        };
        let end = end.wrapping_add(i128::from(size));
        let aligned = reach.align <= 1 || {
            let moved = base.num.tnum.add(super::tnum::Tnum::constant(reach.off as u64));
            (moved.value | moved.mask) & reach.align.wrapping_sub(1) == 0
        };
        match base.kind {
            ValueKind::Unset | ValueKind::Scalar | ValueKind::Map { .. } => (Err(Need::Pointer), Target::Unknown),
            ValueKind::Stack(frame) => {
                let place = place_in_frame(frame, base, reach, least as i64, end as i64);
                (prove_stack(place, reach, (least, end), aligned), Target::Stack)
            }
            ValueKind::Argument => (prove_argument(state, self.env.context, base, reach, least, end), Target::Argument),
            ValueKind::Object { index, nullable } => {
                let Some(map) = self.env.map(index) else {
                    return (Err(Need::Pointer), Target::Unknown);
                };
                let writable = map.def.is_writable_by_programs();
                let object = OwnMemory { nullable, size: map.def.value_size, writable };
                (object.prove(reach, (least, end), aligned), target_of(&map.def))
            }
            ValueKind::Record { number, nullable } => {
                let Some(size) = state.records.size(number) else {
                    return (Err(Need::Pointer), Target::Unknown);
                };
                (OwnMemory { nullable, size, writable: true }.prove(reach, (least, end), aligned), Target::Unknown)
            }
        }
    }

    fn atomic(
        &mut self,
        state: &mut State,
        pc: usize,
        op: AtomicOp,
        size: Size,
        reach: Reach,
        src: Reg,
    ) -> Result<(), VerifyError> {
        let place = self.access(state, pc, reach);
        match op {
            AtomicOp::LoadAcquire => {
                let value = load(state, place, size, false);
                state.set(src, value);
                return Ok(());
            }
            AtomicOp::StoreRelease => {
                let value = self.stored(state, pc, Operand::Reg(src));
                return self.store(state, place, size, value);
            }
            _ => {}
        }
        self.read(state, src, pc);
        let old = match place {
            Reached::Slot { frame, off } => state.read(frame, off, size),
            _ => Value::scalar(unknown(size)),
        };
        self.store(state, place, size, Value::UNKNOWN)?;
        let old = Value { id: 0, ..old };
        if let AtomicOp::CmpXchg = op {
            self.read(state, Reg::R0, pc);
        }
        if let Some(reg) = op.result(src) {
            state.set(reg, old);
        }
        Ok(())
    }

    fn branch(&mut self, state: &mut State, pc: usize, compare: Compare, jump: usize) -> Result<FlowTo, VerifyError> {
        let fall = pc.wrapping_add(1);
        self.read(state, compare.dst, pc);
        self.operand(state, compare.src, pc);
        // Each side may learn of both registers, and that a record is not there.
        let passes = if state.records.first().is_some() { 6 } else { 4 };
        let refine = state.values().saturating_mul(price::REFINE.saturating_mul(passes));
        self.spend(state.copy_price().saturating_add(refine));
        self.taken.copy_from(state)?;
        let jumps = assume(&mut self.taken, compare, true);
        let falls = assume(state, compare, false);
        if let Some(Idiom::Moved { of, from, by, width }) = self.idioms.at(pc) {
            let part = part(width);
            for side in [&mut *state, &mut self.taken] {
                if compare.dst == of {
                    learn_moved(side, from, of, (AluOp::Sub, by, part));
                } else {
                    learn_moved(side, of, from, (AluOp::Add, by, part));
                }
            }
        }
        Ok(match (falls, jumps) {
            (true, true) => FlowTo::Fork { fall, jump },
            (true, false) => FlowTo::To(fall),
            (false, true) => {
                core::mem::swap(state, &mut self.taken);
                FlowTo::To(jump)
            }
            // Cannot be; the path is not followed.
            (false, false) => FlowTo::End,
        })
    }

    fn call(&mut self, state: &mut State, pc: usize, call: Call) -> Result<FlowTo, VerifyError> {
        match call {
            Call::Helper(number) => self.helper(state, pc, u64::from(number)),
            Call::Register(reg) => match self.read(state, reg, pc).as_constant() {
                Some(number) => self.helper(state, pc, number),
                None => {
                    self.cost = None;
                    self.findings.call(pc, u64::MAX);
                    self.spend(state.copy_price());
                    state.forget_stack();
                    state.forget_records();
                    Ok(called(state, pc, Value::UNKNOWN))
                }
            },
            Call::Local(off) => {
                // The run stops when there is no frame left.
                if state.depth().wrapping_add(1) >= MAX_FRAMES {
                    self.findings.too_deep(pc);
                    return Ok(FlowTo::End);
                }
                let Some(target) = call_target(pc, off) else {
                    return Ok(FlowTo::End);
                };
                self.spend(price::SEARCH);
                state.enter(pc)?;
                Ok(FlowTo::Into(target))
            }
            Call::Btf(_) => Ok(FlowTo::End),
        }
    }

    fn helper(&mut self, state: &mut State, pc: usize, number: u64) -> Result<FlowTo, VerifyError> {
        let number = u32::try_from(number).ok();
        let signature = number.and_then(|n| self.env.helpers.signature(self.program.abi, n));
        let Some(signature) = signature else {
            // A number in a register that names no helper: the run stops here.
            return Ok(FlowTo::End);
        };
        // All of the stack may be forgotten.
        self.spend(state.copy_price());
        let HelperGiven { map, size, released } = self.arguments(state, pc, &signature)?;
        let cost = self.cost.unwrap_or(u64::MAX);
        self.findings.call(pc, cost);
        match released {
            Released::Nothing => {}
            Released::Record(number) => state.release(number),
            Released::Unknown => state.forget_records(),
        }
        let result = match signature.ret {
            RetType::Scalar => Value::UNKNOWN,
            RetType::TailCall if !self.is_last(state) => {
                let what = "a tail call from a function after which its caller goes on";
                return Err(VerifyError::Unsupported { pc, what });
            }
            RetType::TailCall => {
                self.ends(state, pc);
                Value::UNKNOWN
            }
            RetType::Void => Value::constant(0),
            RetType::EndIfZero => {
                self.ends(state, pc);
                Value::scalar(Scalar::range(BITS, 1, u64::MAX))
            }
            RetType::RecordOrNull => match state.records.reserve(size, pc) {
                Some(number) => state.nullable(ValueKind::Record { number, nullable: true }),
                // That it is held is not forgotten.
                None => Value::UNKNOWN,
            },
            RetType::MapValueOrNull => match map {
                Some(index) => {
                    let index = if planted::active(Bug::FirstMap) { 0 } else { index };
                    let holds_maps = self.env.map(index).is_some_and(|map| map.def.kind.holds_maps());
                    state.nullable(match holds_maps {
                        true => ValueKind::Map { index: index | INNER, nullable: true },
                        false => ValueKind::Object { index, nullable: true },
                    })
                }
                None => Value::UNKNOWN,
            },
        };
        Ok(called(state, pc, result))
    }

    /// Whether nothing is left to be done when the innermost function is over: each caller ends, too.
    fn is_last(&self, state: &State) -> bool {
        state.calls().all(|call| matches!(self.program.insns.get(call.wrapping_add(1)), Some(Insn::Exit)))
    }

    /// Checks a helper's arguments against its signature and adds up its cost.
    fn arguments(
        &mut self,
        state: &mut State,
        pc: usize,
        signature: &HelperSignature,
    ) -> Result<HelperGiven, VerifyError> {
        let mut given = HelperGiven { map: None, size: 0, released: Released::Nothing };
        let mut cost = u64::from(signature.cost.base).saturating_add(self.cost.unwrap_or(0));
        let regs = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        for (index, (kind, reg)) in signature.args.iter().zip(regs).enumerate() {
            if *kind == ArgType::Unused {
                continue;
            }
            let length = regs.get(index.wrapping_add(1)).copied();
            self.argument(state, pc, *kind, (reg, length), &mut given)?;
            let bytes = self.argument_cost(state, pc, *kind, reg, given.map, &signature.cost);
            let search = if kind.is_memory() { self.findings.search } else { 0 };
            cost = cost.saturating_add(bytes).saturating_add(search.into());
            self.read(state, reg, pc);
        }
        let walk = signature.cost.walk;
        let walk = match signature.args.iter().any(|kind| matches!(kind, ArgType::Map(_))) {
            true => self.sized_by(given.map, |def| def.most_walked(walk)).1,
            false => walk,
        };
        cost = cost.saturating_add(walk.into());
        self.cost = (cost < u64::MAX).then_some(cost);
        Ok(given)
    }

    /// Checks one argument. `length`: the register behind it, which says of how many bytes it is, where the kind is of that sort.
    fn argument(
        &mut self,
        state: &mut State,
        pc: usize,
        kind: ArgType,
        (reg, length): (Reg, Option<Reg>),
        given: &mut HelperGiven,
    ) -> Result<(), VerifyError> {
        match kind {
            ArgType::Unused | ArgType::Scalar | ArgType::AnyAddress | ArgType::Length => {}
            ArgType::CString => self.string(state, pc, reg),
            ArgType::Map(family) => given.map = self.map_argument(state, pc, reg, family),
            ArgType::RecordSize => {
                let least = self.read(state, reg, pc).number().whole.umin;
                given.size = u32::try_from(least).unwrap_or(u32::MAX);
            }
            ArgType::Record => given.released = self.record(state, pc, reg),
            ArgType::MapKey => {
                let size = self.sized_by(given.map, |def| def.key_size).0;
                self.of_map(state, pc, reg, size);
            }
            ArgType::MapValue => {
                let size = self.sized_by(given.map, |def| def.value_size).0;
                self.of_map(state, pc, reg, size);
            }
            ArgType::MemRead => {
                let most = self.most(state, pc, length);
                self.memory(state, pc, reg, most, false);
            }
            ArgType::WriteWord => {
                let place = self.memory(state, pc, reg, 8, true);
                if !planted::active(Bug::KeptWord) {
                    self.store(state, place, Size::DW, Value::UNKNOWN)?;
                }
            }
            ArgType::MemWrite => {
                let most = self.most(state, pc, length);
                self.written(state, pc, reg, most)?;
            }
            ArgType::MapValueOut => {
                let (known, most) = self.sized_by(given.map, |def| def.value_size);
                if known.is_none() {
                    self.of_map(state, pc, reg, None);
                }
                self.written(state, pc, reg, most.into())?;
            }
        }
        Ok(())
    }

    /// What the bytes that an argument stands for add to a helper's cost.
    fn argument_cost(
        &mut self,
        state: &State,
        pc: usize,
        kind: ArgType,
        reg: Reg,
        map: Option<u16>,
        cost: &Cost,
    ) -> u64 {
        let bytes = match kind {
            ArgType::CString => return cost.of_string(STRING as u64),
            ArgType::Length => self.read(state, reg, pc).number().whole.umax,
            ArgType::MapKey => self.sized_by(map, |def| def.key_size).1.into(),
            ArgType::MapValue => self.sized_by(map, MapDef::bytes_changed).1.into(),
            ArgType::MapValueOut => self.sized_by(map, |def| def.value_size).1.into(),
            ArgType::Unused | ArgType::Scalar | ArgType::AnyAddress | ArgType::Map(_) => 0,
            ArgType::RecordSize | ArgType::Record => 0,
            ArgType::MemRead | ArgType::WriteWord | ArgType::MemWrite => 0,
        };
        cost.of_bytes(bytes)
    }

    /// The record in a register, which is to be released. When it is not known, the helper finds out; then it may be any that is held.
    fn record(&mut self, state: &State, pc: usize, reg: Reg) -> Released {
        let value = self.read(state, reg, pc);
        let start = value.num.value() == Some(0);
        if let (ValueKind::Record { number, nullable: false }, true) = (value.kind, start) {
            self.findings.prove(pc, Target::Unknown, Claim::NONE);
            return Released::Record(number);
        }
        let failure = Failure::new(pc, reg, &value, 0, Need::Record);
        self.findings.guard(pc, Target::Unknown, failure);
        match value.kind {
            ValueKind::Record { number, .. } if start => Released::Record(number),
            _ => Released::Unknown,
        }
    }

    /// The place of the map in a register, where it is always the same one and the helper takes it. What it is not is found out again
    /// when the helper is called.
    fn map_argument(&mut self, state: &State, pc: usize, reg: Reg, family: MapFamily) -> Option<u16> {
        let value = self.read(state, reg, pc);
        let slot = match (value.kind, value.num.value()) {
            (ValueKind::Map { index, nullable: false }, Some(0)) => Some(index),
            _ => None,
        };
        let taken = |slot: &u16| self.env.map(*slot).is_some_and(|map| map.def.kind.offers(family));
        let slot = slot.filter(taken);
        self.findings.map(pc, slot);
        if slot.is_none() {
            let failure = Failure::new(pc, reg, &value, 0, Need::Map(family));
            self.findings.guard(pc, Target::Unknown, failure);
        }
        slot
    }

    /// How long a key or a value of a map is, and how long it is at most where the map is not known.
    fn sized_by(&self, map: Option<u16>, size: impl Fn(&MapDef) -> u32) -> (Option<u32>, u32) {
        match map.and_then(|slot| self.env.map(slot)) {
            Some(map) => (Some(size(&map.def)), size(&map.def)),
            None => (None, self.env.definitions().map(|def| size(&def)).fold(0, u32::max)),
        }
    }

    /// A key or a value of so many bytes.
    fn of_map(&mut self, state: &State, pc: usize, reg: Reg, size: Option<u32>) {
        match size {
            Some(size) => _ = self.memory(state, pc, reg, size.into(), false),
            None => {
                let base = self.read(state, reg, pc);
                let failure = Failure::new(pc, reg, &base, 0, Need::KnownMap);
                self.findings.guard(pc, Target::Unknown, failure);
            }
        }
    }

    /// Memory of at most so many bytes that a helper writes.
    fn written(&mut self, state: &mut State, pc: usize, reg: Reg, most: u64) -> Result<(), VerifyError> {
        let place = match self.memory(state, pc, reg, most, true) {
            // How long it is may be known no better.
            Reached::Slot { frame, off } => Reached::Frame { frame, from: off, to: 0 },
            place => place,
        };
        self.store(state, place, Size::B, Value::UNKNOWN)
    }

    /// The greatest number in a register that says how long something is.
    fn most(&mut self, state: &State, pc: usize, length: Option<Reg>) -> u64 {
        match length {
            Some(reg) => self.read(state, reg, pc).number().whole.umax,
            None => u64::MAX,
        }
    }

    fn memory(&mut self, state: &State, pc: usize, base: Reg, most: u64, write: bool) -> Reached {
        if most == 0 {
            return Reached::Elsewhere;
        }
        let reach = Reach { base, off: 0, size: most, align: 1, write };
        self.access(state, pc, reach)
    }

    /// A string in the stack, or in data that nobody changes, that is known to end.
    fn string(&mut self, state: &State, pc: usize, reg: Reg) {
        let base = self.read(state, reg, pc);
        let (target, ends) = match (base.kind, base.num.value()) {
            (ValueKind::Stack(frame), Some(off)) => {
                let from = off as i64;
                let most = FRAME.min(from.wrapping_neg()).min(STRING);
                let mut bytes = (0..most).map(|i| from.wrapping_add(i));
                self.spend(price::READ.saturating_mul(most as u64));
                let inside = from >= FRAME.wrapping_neg();
                let nul = |at| state.read(frame, at, Size::B).num.value() == Some(0);
                (Target::Stack, inside && bytes.any(nul))
            }
            (ValueKind::Stack(_), None) => (Target::Stack, false),
            (ValueKind::Argument, _) => (Target::Argument, false),
            (ValueKind::Object { index, nullable: false }, Some(off)) => {
                let frozen = self.env.map(index).and_then(|map| map.frozen).unwrap_or(&[]);
                let string = usize::try_from(off).ok().and_then(|off| frozen.get(off..)).unwrap_or(&[]);
                self.spend(price::READ.saturating_mul(MAX_STRING as u64));
                (Target::Rodata, string.iter().take(MAX_STRING).any(|&byte| byte == 0))
            }
            _ => (Target::Unknown, false),
        };
        if ends {
            let stack = if target == Target::Stack { below(base.num.whole.smin.into()) } else { 0 };
            return self.findings.prove(pc, target, Claim { stack, ..Claim::NONE });
        }
        let failure = Failure::new(pc, reg, &base, 0, Need::StringEnd);
        self.findings.guard(pc, target, failure);
    }

    fn exit(&mut self, state: &mut State, pc: usize) -> FlowTo {
        self.spend(state.values().saturating_mul(price::REFINE));
        match state.leave() {
            Some(call) => FlowTo::Back(call),
            None => {
                self.read(state, Reg::R0, pc);
                self.ends(state, pc);
                FlowTo::End
            }
        }
    }

    /// The program may end here: it should hold nothing.
    fn ends(&mut self, state: &State, pc: usize) {
        if let Some(reserved) = state.records.first() {
            self.findings.held.get_or_insert((pc, reserved as usize));
        }
    }
}

/// What a helper is given, as far as it says what becomes of the state.
struct HelperGiven {
    /// The place of the map.
    map: Option<u16>,
    /// Bytes of the record that it reserves, at least.
    size: u32,
    released: Released,
}

/// Which record is not held any more.
enum Released {
    Nothing,
    Record(u8),
    /// One that is not known.
    Unknown,
}

impl Reach {
    fn of(base: Reg, off: i16, size: Size) -> Reach {
        Reach { base, off: i64::from(off), size: size.bytes() as u64, align: 1, write: false }
    }
}

fn part(width: Width) -> Part {
    match width {
        Width::W64 => Part::Whole,
        Width::W32 => Part::Half,
    }
}

fn bits(size: Size) -> u32 {
    (size.bytes() as u32).wrapping_mul(8)
}

/// Any number of this size.
fn unknown(size: Size) -> Scalar {
    match size {
        Size::DW => Scalar::unknown(BITS),
        _ => Scalar::range(BITS, 0, super::tnum::low_mask(bits(size))),
    }
}

/// What a wide load gives.
fn wide(kind: ImmKind, imm: u64) -> Value {
    let (slot, offset) = wide_map(imm);
    // The structural pass has seen to it that there is such a map.
    let index = slot as u16;
    match kind {
        ImmKind::Value => Value::constant(imm),
        ImmKind::MapIndex => Value::pointer(ValueKind::Map { index, nullable: false }),
        ImmKind::MapIndexValue => {
            let kind = ValueKind::Object { index, nullable: false };
            Value { kind, ..Value::constant(offset.into()) }
        }
        ImmKind::MapFd | ImmKind::MapValue | ImmKind::Variable | ImmKind::Code => Value::UNKNOWN,
    }
}

/// A number that was read, as the register then holds it.
fn constant(word: u64, size: Size, signed: bool) -> Value {
    let number = Scalar::constant(BITS, word);
    match signed {
        true => Value::scalar(number.sign_extend(BITS, bits(size))),
        false => Value::scalar(number),
    }
}

/// Whether the sum is the argument's end.
fn is_end(start: &Value, length: &Value) -> bool {
    start.kind == ValueKind::Argument && start.num.value() == Some(0) && length.id == LENGTH
}

/// A number of 32 bits that is shifted up and down again is the one it was.
fn shifted_id(op: AluOp, before: &Value, after: &Value) -> u32 {
    if !before.is_scalar() || before.id == 0 {
        return 0;
    }
    let shifted = before.id & SHIFTED != 0;
    match op {
        AluOp::Lsh if !shifted && before.num.whole.umax <= u64::from(u32::MAX) => before.id | SHIFTED,
        AluOp::Rsh if shifted => before.id & !SHIFTED,
        AluOp::Arsh if shifted && after.num.whole.smin >= 0 => before.id & !SHIFTED,
        _ => 0,
    }
}

fn place_in_frame(frame: u8, base: &Value, reach: Reach, from: i64, to: i64) -> Reached {
    let access = matches!(reach.size, 1 | 2 | 4 | 8);
    match base.num.value() {
        Some(_) if access => Reached::Slot { frame, off: from },
        _ => Reached::Frame { frame, from, to },
    }
}

/// An access to a frame of the stack lies in it; `place` is where it does then.
fn prove_stack(
    place: Reached,
    reach: Reach,
    (least, end): (i128, i128),
    aligned: bool,
) -> Result<(Reached, Claim), Need> {
    let inside = least >= i128::from(FRAME.wrapping_neg()) && end <= 0;
    match (inside, aligned) {
        (true, true) => Ok((place, Claim { stack: below(least), ..Claim::NONE })),
        (true, false) => Err(Need::Alignment(reach.align)),
        (false, _) => Err(Need::Within { least: FRAME.wrapping_neg(), most: 0i64.saturating_sub_unsigned(reach.size) }),
    }
}

/// An access to the argument lies in what it is known to have, or in what every argument has for which proofs hold.
fn prove_argument(
    state: &State,
    context: Context,
    base: &Value,
    reach: Reach,
    least: i128,
    end: i128,
) -> Result<(Reached, Claim), Need> {
    if reach.align > 1 {
        return Err(Need::Alignment(reach.align));
    }
    let room = base.room(state.argument_min);
    let past = i128::from(reach.off).wrapping_add(i128::from(reach.size));
    let has_room = room != NO_ROOM && past <= i128::from(room);
    let claim = |needed| Claim {
        stack: 0,
        needed,
        first: u64::try_from(least).unwrap_or(0),
        end: match u64::try_from(end) {
            _ if planted::active(Bug::ReachForgotten) => needed,
            Ok(end) => end,
            Err(_) => u64::MAX,
        },
    };
    if least >= 0 && (end <= i128::from(state.argument_min) || has_room) {
        return Ok((Reached::Elsewhere, claim(0)));
    }
    if least >= 0 && end <= i128::from(context.bytes) {
        return Ok((Reached::Elsewhere, claim(end as u64)));
    }
    let most = i64::from(state.argument_min).max(context.bytes.into());
    Err(Need::Within { least: 0, most: most.saturating_sub_unsigned(reach.size) })
}

/// How far a place lies below the end of its frame.
fn below(least: i128) -> u64 {
    u64::try_from(least.wrapping_neg()).unwrap_or(0)
}

/// Where the values of a map lie.
fn target_of(def: &MapDef) -> Target {
    if def.is_writable_by_programs() {
        Target::Arena
    } else {
        Target::Rodata
    }
}

/// Memory of its own that a pointer leads to: a value, a record.
struct OwnMemory {
    nullable: bool,
    /// Bytes that it has at least.
    size: u32,
    writable: bool,
}

impl OwnMemory {
    fn prove(&self, reach: Reach, (least, end): (i128, i128), aligned: bool) -> Result<(Reached, Claim), Need> {
        if self.nullable {
            return Err(Need::NotNull);
        }
        if reach.write && !self.writable {
            return Err(Need::Writable);
        }
        if least < 0 || end > i128::from(self.size) {
            let most = i64::from(self.size).saturating_sub_unsigned(reach.size);
            return Err(Need::Within { least: 0, most });
        }
        if !aligned {
            return Err(Need::Alignment(reach.align));
        }
        Ok((Reached::Elsewhere, Claim::NONE))
    }
}

/// After a helper.
fn called(state: &mut State, pc: usize, result: Value) -> FlowTo {
    state.forget_arguments();
    state.set(Reg::R0, result);
    FlowTo::To(pc.wrapping_add(1))
}

fn load(state: &mut State, place: Reached, size: Size, signed: bool) -> Value {
    let value = match place {
        Reached::Slot { frame, off } => state.read_shared(frame, off, size),
        _ => Value::scalar(unknown(size)),
    };
    if !signed || planted::active(Bug::SignedLoad) {
        return value;
    }
    let num = value.num.sign_extend(BITS, bits(size));
    if num == value.num {
        return value;
    }
    Value::scalar(num)
}

/// A conditional jump.
#[derive(Clone, Copy)]
struct Compare {
    op: CmpOp,
    part: Part,
    dst: Reg,
    src: Operand,
}

/// The fact that an outcome states; with `true`, of the operands in reverse order.
fn fact(op: CmpOp, outcome: bool) -> (Comparison, bool) {
    match (op, outcome) {
        (CmpOp::Eq, true) | (CmpOp::Ne, false) => (Comparison::Equal, false),
        (CmpOp::Eq, false) | (CmpOp::Ne, true) => (Comparison::Differ, false),
        (CmpOp::Gt, true) | (CmpOp::Le, false) => (Comparison::Below, true),
        (CmpOp::Gt, false) | (CmpOp::Le, true) => (Comparison::BelowOrEqual, false),
        (CmpOp::Ge, true) | (CmpOp::Lt, false) => (Comparison::BelowOrEqual, true),
        (CmpOp::Ge, false) | (CmpOp::Lt, true) => (Comparison::Below, false),
        (CmpOp::Sgt, true) | (CmpOp::Sle, false) => (Comparison::Less, true),
        (CmpOp::Sgt, false) | (CmpOp::Sle, true) => (Comparison::LessOrEqual, false),
        (CmpOp::Sge, true) | (CmpOp::Slt, false) => (Comparison::LessOrEqual, true),
        (CmpOp::Sge, false) | (CmpOp::Slt, true) => (Comparison::Less, false),
        (CmpOp::Set, true) => (Comparison::Meet, false),
        (CmpOp::Set, false) => (Comparison::Disjoint, false),
    }
}

/// Makes use of the outcome of a comparison; false when it cannot be.
fn assume(state: &mut State, compare: Compare, outcome: bool) -> bool {
    let known = |value: &Value| match value.kind {
        ValueKind::Unset => Value::UNKNOWN,
        _ => *value,
    };
    let a = known(state.get(compare.dst));
    let b = match compare.src {
        Operand::Reg(reg) => known(state.get(reg)),
        Operand::Imm(imm) => Value::constant(imm as i64 as u64),
    };
    let (fact, reversed) = fact(compare.op, outcome);
    if compare.src == Operand::Reg(compare.dst) || a.id != 0 && a.id == b.id {
        return !matches!(fact, Comparison::Differ | Comparison::Below | Comparison::Less);
    }
    let (mut x, mut y) = if reversed { (b, a) } else { (a, b) };
    if !learn(fact, compare.part, &mut x, &mut y, state.argument_min) {
        return false;
    }
    let (new_a, new_b) = if reversed { (y, x) } else { (x, y) };
    if new_a != a {
        state.refine(compare.dst, new_a);
        settle_record(state, &a, &new_a);
    }
    match compare.src {
        Operand::Reg(reg) if new_b != b => {
            state.refine(reg, new_b);
            settle_record(state, &b, &new_b);
        }
        _ => {}
    }
    true
}

/// A record whose address turned out to be 0 was not reserved.
fn settle_record(state: &mut State, before: &Value, after: &Value) {
    if let (ValueKind::Record { number, .. }, ValueKind::Scalar) = (before.kind, after.kind) {
        state.release(number);
    }
}

/// One register is another one plus or less a number: what was learned of the other says something of it.
fn learn_moved(state: &mut State, reg: Reg, other: Reg, (op, by, part): (AluOp, i32, Part)) {
    let (old, other) = (*state.get(reg), *state.get(other));
    if !old.is_scalar() || !other.is_scalar() {
        return;
    }
    let by = Scalar::constant(BITS, by as i64 as u64);
    let mut number = Scalar::alu(BITS, part, op, &other.num, &by);
    let mut new = old;
    let possible = Scalar::assume(BITS, part, Comparison::Equal, &mut new.num, &mut number);
    if possible && new != old {
        state.refine(reg, new);
    }
}

/// What a fact says of two values; false when it cannot be.
fn learn(fact: Comparison, part: Part, a: &mut Value, b: &mut Value, argument_min: u32) -> bool {
    let numbers = a.is_scalar() && b.is_scalar();
    let same = part == Part::Whole && a.same_memory(b);
    let offsets = same
        && (matches!(fact, Comparison::Equal | Comparison::Differ)
            || a.kind == ValueKind::Argument && offsets_keep_order(fact, a, b));
    if numbers || offsets {
        if !Scalar::assume(BITS, part, fact, &mut a.num, &mut b.num) {
            return false;
        }
    } else if part == Part::Whole && matches!(fact, Comparison::Equal | Comparison::Differ) {
        return learn_null(fact, a, b) && learn_null(fact, b, a);
    }
    if numbers || same && a.kind == ValueKind::Argument {
        learn_room(fact, part, a, b, argument_min);
        learn_end(fact, a, b, argument_min);
        learn_end(fact, b, a, argument_min);
        return a.settle_room() && b.settle_room();
    }
    true
}

/// What is no greater than the argument's length and differs from it is less. (Numbers that have room fit half a register.)
fn learn_end(fact: Comparison, a: &mut Value, end: &Value, argument_min: u32) {
    let exact = matches!(end.id, LENGTH | END) || planted::active(Bug::AnyEnd);
    if fact == Comparison::Differ && exact && a.room(argument_min) == 0 {
        a.room = 1;
    }
}

/// Whether addresses in the argument are in the order of their offsets: no sum wraps around.
fn offsets_keep_order(fact: Comparison, a: &Value, b: &Value) -> bool {
    let narrow = |value: &Value| value.num.whole.umax <= u64::from(u32::MAX);
    matches!(fact, Comparison::Below | Comparison::BelowOrEqual) && narrow(a) && narrow(b)
}

/// A pointer that may be null, compared with 0.
fn learn_null(fact: Comparison, pointer: &mut Value, other: &Value) -> bool {
    if !matches!(pointer.kind, ValueKind::Object { .. } | ValueKind::Record { .. } | ValueKind::Map { .. })
        || other.as_constant() != Some(0)
    {
        return true;
    }
    match (fact, pointer.kind.is_nullable()) {
        (Comparison::Equal, true) if !planted::active(Bug::NullBothSides) => {
            *pointer = Value { id: pointer.id, ..Value::constant(0) }
        }
        (_, true) => pointer.kind = pointer.kind.or_null(false),
        // Within its object or just behind, it is not null.
        (Comparison::Equal, false) => return pointer.num.value() != Some(0),
        (_, false) => {}
    }
    true
}

/// What a comparison with a number that has room says: `a` below `b` has the room of `b` and one more.
fn learn_room(fact: Comparison, part: Part, a: &mut Value, b: &mut Value, argument_min: u32) {
    let room = b.room(argument_min);
    // Seen as unsigned numbers of 64 bits, the order is the same for numbers of 31 bits.
    let narrow = a.num.whole.umax <= u64::from(u32::MAX);
    let unsigned = match (fact, part) {
        (Comparison::Less | Comparison::LessOrEqual, Part::Whole) => a.num.whole.smin >= 0,
        (Comparison::Less | Comparison::LessOrEqual, Part::Half) => narrow && a.num.half.smin >= 0,
        (_, Part::Half) => narrow,
        // Addresses: the offset must not wrap around.
        (_, Part::Whole) => a.is_scalar() || narrow,
    };
    if !unsigned {
        return;
    }
    let better = |have: u32, new: u32| match have {
        NO_ROOM => new,
        have => have.max(new),
    };
    match fact {
        Comparison::Below | Comparison::Less if room != NO_ROOM => {
            a.room = better(a.room, room.saturating_add(1).min(NO_ROOM.wrapping_sub(1)));
        }
        Comparison::BelowOrEqual | Comparison::LessOrEqual if room != NO_ROOM => {
            let room = room.wrapping_add(u32::from(planted::active(Bug::RoomBeyond)));
            a.room = better(a.room, room);
        }
        Comparison::Equal => {
            let other = a.room(argument_min);
            if room != NO_ROOM {
                a.room = better(a.room, room);
            }
            let fits = part == Part::Whole || b.num.whole.umax <= u64::from(u32::MAX);
            if other != NO_ROOM && fits {
                b.room = better(b.room, other);
            }
        }
        _ => {}
    }
}
