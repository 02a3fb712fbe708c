//! A small assembler: reads what the instructions' `Display` writes, one instruction a line, and besides that labels,
//! comments and raw bytes.
//!
//! ```text
//! start:                  # a label; `goto start`, `call local start`
//!     r0 = 0              # also `// …` and `; …`
//!     if r1 == 0x10 goto +1
//!     r2 = 0x1122334455667788 ll
//!     .hex 95 00 00 00 00 00 00 00
//! ```

use super::{
    ops::{AtomicForm, AtomicRow},
    AluOp, AtomicOp, Call, CmpOp, Endianness, ImmKind, Insn, Operand, Reg, Size, Width,
};
use alloc::{string::String, vec::Vec};

/// What is wrong with a line of assembly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AsmError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: AsmProblem,
}

/// What is wrong with a line of assembly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AsmProblem {
    /// Something else stands where this should.
    Expected {
        /// What should stand there.
        what: &'static str,
        /// The rest of the line.
        at: String,
    },
    /// A number is too large for its field.
    OutOfRange {
        /// The number.
        number: i128,
        /// The field.
        what: &'static str,
    },
    /// No such label.
    UnknownLabel(String),
    /// Two lines have the same label.
    DuplicateLabel(String),
    /// Raw bytes before it are no whole number of slots.
    Unaligned,
    /// The form does not exist: an atomic byte and the like.
    NoSuchForm,
    /// No memory.
    NoMemory,
}

use AsmProblem::{DuplicateLabel, NoMemory, NoSuchForm, OutOfRange, Unaligned, UnknownLabel};

/// Assembles a program to its bytes.
pub fn assemble(text: &str) -> Result<Vec<u8>, AsmError> {
    let mut output = Assembly::default();
    for (index, line) in text.lines().enumerate() {
        let line_number = index.wrapping_add(1);
        output.line(line, line_number).map_err(|problem| AsmError { line: line_number, problem })?;
    }
    output.finish()
}

/// A jump or call whose distance is not known yet.
struct Fixup<'t> {
    label: &'t str,
    line: usize,
    pc: usize,
    insn: Insn,
}

#[derive(Default)]
struct Assembly<'t> {
    bytes: Vec<u8>,
    labels: Vec<(&'t str, usize, usize)>,
    fixups: Vec<Fixup<'t>>,
}

impl<'t> Assembly<'t> {
    fn line(&mut self, line: &'t str, number: usize) -> Result<(), AsmProblem> {
        let mut text = Text(without_comment(line).trim());
        while let Some(label) = text.label() {
            let pc = self.pc()?;
            push(&mut self.labels, (label, pc, number))?;
        }
        if text.0.is_empty() {
            return Ok(());
        }
        if text.word(".hex") {
            return self.hex(&mut text);
        }
        let pc = self.pc()?;
        let (insn, label) = text.instruction()?;
        text.end()?;
        if let Some(label) = label {
            let fixup = Fixup { label, line: number, pc, insn };
            push(&mut self.fixups, fixup)?;
        }
        self.put(&insn)
    }

    fn pc(&self) -> Result<usize, AsmProblem> {
        if !self.bytes.len().is_multiple_of(8) {
            return Err(Unaligned);
        }
        Ok(self.bytes.len() / 8)
    }

    fn put(&mut self, insn: &Insn) -> Result<(), AsmProblem> {
        let (first, second) = insn.to_raw().ok_or(NoSuchForm)?;
        self.bytes.try_reserve(16).map_err(|_| NoMemory)?;
        self.bytes.extend_from_slice(&first.to_bytes());
        if let Some(second) = second {
            self.bytes.extend_from_slice(&second.to_bytes());
        }
        Ok(())
    }

    fn hex(&mut self, text: &mut Text<'_>) -> Result<(), AsmProblem> {
        text.skip();
        while !text.0.is_empty() {
            let pair = text.0.get(..2);
            let byte = pair
                .filter(|pair| pair.bytes().all(|c| c.is_ascii_hexdigit()))
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| text.expected("a pair of hexadecimal digits"))?;
            push(&mut self.bytes, byte)?;
            text.0 = text.0.get(2..).unwrap_or("");
            text.skip();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, AsmError> {
        self.labels.sort_unstable();
        for (one, two) in self.labels.iter().zip(self.labels.iter().skip(1)) {
            if one.0 == two.0 {
                return Err(AsmError { line: two.2, problem: DuplicateLabel(one.0.into()) });
            }
        }
        for fixup in &self.fixups {
            let problem = |problem| AsmError { line: fixup.line, problem };
            let found = self.labels.binary_search_by(|label| label.0.cmp(fixup.label));
            let target = found.ok().and_then(|at| self.labels.get(at));
            let &(_, target, _) = target.ok_or_else(|| problem(UnknownLabel(fixup.label.into())))?;
            let off = (target as i64).wrapping_sub(fixup.pc as i64).wrapping_sub(1);
            let insn = with_distance(fixup.insn, off).map_err(problem)?;
            let (raw, _) = insn.to_raw().ok_or_else(|| problem(NoSuchForm))?;
            let start = fixup.pc.wrapping_mul(8);
            let slot = self.bytes.get_mut(start..start.wrapping_add(8));
            if let Some(slot) = slot {
                slot.copy_from_slice(&raw.to_bytes());
            }
        }
        Ok(self.bytes)
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), AsmProblem> {
    list.try_reserve(1).map_err(|_| NoMemory)?;
    list.push(item);
    Ok(())
}

fn without_comment(line: &str) -> &str {
    let ends = ["#", "//", ";"].iter().filter_map(|mark| line.find(mark));
    let end = ends.min().unwrap_or(line.len());
    line.get(..end).unwrap_or(line)
}

/// The same jump or call with this distance.
fn with_distance(insn: Insn, distance: i64) -> Result<Insn, AsmProblem> {
    let number = i128::from(distance);
    let short = |what| i16::try_from(distance).map_err(|_| OutOfRange { number, what });
    let wide = |what| i32::try_from(distance).map_err(|_| OutOfRange { number, what });
    match insn {
        Insn::Jump { long: false, .. } => {
            Ok(Insn::Jump { off: short("the 16-bit distance of goto (gotol has 32 bits)")?.into(), long: false })
        }
        Insn::Jump { long: true, .. } => Ok(Insn::Jump { off: wide("the 32-bit distance of gotol")?, long: true }),
        Insn::Branch { op, width, dst, src, .. } => {
            Ok(Insn::Branch { op, width, dst, src, off: short("the 16-bit distance of a conditional jump")? })
        }
        Insn::Call(Call::Local(_)) => Ok(Insn::Call(Call::Local(wide("the distance of a call")?))),
        _ => Err(NoSuchForm),
    }
}

/// Where a jump or call leads.
enum JumpTarget<'t> {
    Distance(i128),
    Label(&'t str),
}

type Parsed<'t> = (Insn, Option<&'t str>);

/// The rest of a line. White space may stand between any two parts.
struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    fn skip(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn expected(&self, what: &'static str) -> AsmProblem {
        AsmProblem::Expected { what, at: self.0.into() }
    }

    /// Takes a sign.
    fn sign(&mut self, sign: &str) -> bool {
        self.skip();
        match self.0.strip_prefix(sign) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, sign: &'static str) -> Result<(), AsmProblem> {
        if self.sign(sign) {
            return Ok(());
        }
        Err(self.expected(sign))
    }

    /// Takes a word, wholly.
    fn word(&mut self, word: &str) -> bool {
        let before = self.0;
        if self.sign(word) && !self.0.starts_with(in_word) {
            return true;
        }
        self.0 = before;
        false
    }

    fn end(&mut self) -> Result<(), AsmProblem> {
        self.skip();
        if self.0.is_empty() {
            return Ok(());
        }
        Err(self.expected("the end of the line"))
    }

    /// Takes letters, digits, `_` and `.`, not beginning with a digit.
    fn name(&mut self) -> Option<&'t str> {
        self.skip();
        let end = self.0.find(|c| !in_word(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at_checked(end)?;
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        Some(name)
    }

    fn label(&mut self) -> Option<&'t str> {
        let before = self.0;
        let label = self.name().filter(|_| self.sign(":"));
        if label.is_none() {
            self.0 = before;
        }
        label
    }

    fn number(&mut self) -> Result<i128, AsmProblem> {
        self.skip();
        let before = Text(self.0);
        let negative = self.sign("-");
        if !negative {
            self.sign("+");
        }
        self.skip();
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric());
        let (digits, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        let magnitude = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        let magnitude = magnitude.map_err(|_| before.expected("a number"))?;
        self.0 = rest;
        let magnitude = i128::from(magnitude);
        Ok(if negative { magnitude.wrapping_neg() } else { magnitude })
    }

    fn fitting<T: TryFrom<i128>>(&mut self, what: &'static str) -> Result<T, AsmProblem> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| OutOfRange { number, what })
    }

    fn imm(&mut self) -> Result<i32, AsmProblem> {
        self.fitting("the 32 signed bits of an immediate")
    }

    fn register(&mut self) -> Result<(Reg, Width), AsmProblem> {
        self.try_register().ok_or_else(|| self.expected("a register"))
    }

    fn try_register(&mut self) -> Option<(Reg, Width)> {
        let before = self.0;
        let parse = |text: &mut Self| {
            let name = text.name()?;
            let (width, digits) = match name.strip_prefix('r') {
                Some(digits) => (Width::W64, digits),
                None => (Width::W32, name.strip_prefix('w')?),
            };
            let plain = digits.len() == 1 || digits == "10";
            let number = digits.parse().ok().filter(|_| plain)?;
            Some((Reg::new(number)?, width))
        };
        let found = parse(self);
        if found.is_none() {
            self.0 = before;
        }
        found
    }

    fn same_register(&mut self, wanted: (Reg, Width)) -> Result<(), AsmProblem> {
        let before = Text(self.0);
        if self.register()? == wanted {
            return Ok(());
        }
        Err(before.expected("the destination register again"))
    }

    /// The register of a 32-bit or smaller access may also be written `w`, as LLVM does.
    fn register_for(&mut self, size: Size) -> Result<Reg, AsmProblem> {
        let before = Text(self.0);
        let (reg, width) = self.register()?;
        if width == Width::W32 && size == Size::DW {
            return Err(before.expected("a 64-bit register (r0 to r10)"));
        }
        Ok(reg)
    }

    fn register_of(&mut self, width: Width) -> Result<Reg, AsmProblem> {
        let before = Text(self.0);
        let (reg, found) = self.register()?;
        if found == width {
            return Ok(reg);
        }
        Err(before.expected(match width {
            Width::W32 => "a 32-bit register (w0 to w10)",
            Width::W64 => "a 64-bit register (r0 to r10)",
        }))
    }

    fn operand(&mut self, width: Width) -> Result<Operand, AsmProblem> {
        self.skip();
        if self.0.starts_with(['r', 'w']) {
            return self.register_of(width).map(Operand::Reg);
        }
        self.imm().map(Operand::Imm)
    }

    fn instruction(&mut self) -> Result<Parsed<'t>, AsmProblem> {
        if self.word("exit") {
            return Ok((Insn::Exit, None));
        }
        if self.word("callx") {
            let reg = self.register_of(Width::W64)?;
            return Ok((Insn::Call(Call::Register(reg)), None));
        }
        if self.word("call") {
            return self.call();
        }
        if self.word("gotol") {
            return self.to(Insn::Jump { off: 0, long: true });
        }
        if self.word("goto") {
            return self.to(Insn::Jump { off: 0, long: false });
        }
        if self.word("if") {
            return self.branch();
        }
        let insn = if self.word("lock") {
            self.lock()?
        } else if self.word("store_release") {
            self.store_release()?
        } else if self.sign("*") {
            self.store()?
        } else {
            self.assignment()?
        };
        Ok((insn, None))
    }

    fn to(&mut self, insn: Insn) -> Result<Parsed<'t>, AsmProblem> {
        self.skip();
        let target = match self.name() {
            Some(label) => JumpTarget::Label(label),
            None => JumpTarget::Distance(self.number()?),
        };
        match target {
            JumpTarget::Label(label) => Ok((insn, Some(label))),
            JumpTarget::Distance(number) => {
                let what = "the distance of a jump";
                let distance = i64::try_from(number).map_err(|_| OutOfRange { number, what })?;
                Ok((with_distance(insn, distance)?, None))
            }
        }
    }

    fn call(&mut self) -> Result<Parsed<'t>, AsmProblem> {
        if self.word("local") {
            return self.to(Insn::Call(Call::Local(0)));
        }
        if self.word("btf") {
            let id = self.fitting("32 bits")?;
            return Ok((Insn::Call(Call::Btf(id)), None));
        }
        let number = self.number()?;
        let what = "32 bits";
        let signed = i32::try_from(number).map(|number| number as u32);
        let helper = signed.or_else(|_| u32::try_from(number));
        let helper = helper.map_err(|_| OutOfRange { number, what })?;
        Ok((Insn::Call(Call::Helper(helper)), None))
    }

    fn branch(&mut self) -> Result<Parsed<'t>, AsmProblem> {
        let (dst, width) = self.register()?;
        let op = self.condition()?;
        let src = self.operand(width)?;
        if !self.word("goto") {
            return Err(self.expected("goto"));
        }
        self.to(Insn::Branch { op, width, dst, src, off: 0 })
    }

    fn condition(&mut self) -> Result<CmpOp, AsmProblem> {
        self.skip();
        let fitting = CmpOp::TABLE.iter().filter(|(_, row)| self.0.starts_with(row.sign));
        let longest = fitting.max_by_key(|(_, row)| row.sign.len());
        let (op, row) = longest.ok_or_else(|| self.expected("a comparison"))?;
        self.need(row.sign)?;
        Ok(*op)
    }

    /// `(u32 *)`, with the star before it taken already; whether the type is signed.
    fn pointer_type(&mut self) -> Result<(Size, bool), AsmProblem> {
        self.need("(")?;
        let before = Text(self.0);
        let name = self.name().unwrap_or("");
        let row = Size::TABLE.iter().find(|(_, row)| row.unsigned == name || row.signed == name);
        let (size, row) = row.ok_or_else(|| before.expected("a type (u8 to u64, s8 to s32)"))?;
        self.need("*")?;
        self.need(")")?;
        Ok((*size, row.signed == name))
    }

    /// `r1 + 8`
    fn address(&mut self) -> Result<(Reg, i16), AsmProblem> {
        let base = self.register_of(Width::W64)?;
        self.skip();
        if !self.0.starts_with(['+', '-']) {
            return Err(self.expected("+ or -"));
        }
        Ok((base, self.fitting("the 16 signed bits of an offset")?))
    }

    /// `(u32 *)(r1 + 8)`
    fn memory(&mut self) -> Result<(Size, bool, Reg, i16), AsmProblem> {
        let (size, signed) = self.pointer_type()?;
        self.need("(")?;
        let (base, off) = self.address()?;
        self.need(")")?;
        Ok((size, signed, base, off))
    }

    fn unsigned_memory(&mut self) -> Result<(Size, Reg, i16), AsmProblem> {
        let before = Text(self.0);
        let (size, signed, base, off) = self.memory()?;
        if signed {
            return Err(before.expected("an unsigned type"));
        }
        Ok((size, base, off))
    }

    fn store(&mut self) -> Result<Insn, AsmProblem> {
        let (size, base, off) = self.unsigned_memory()?;
        self.need("=")?;
        self.skip();
        let src = if self.0.starts_with(['r', 'w']) {
            Operand::Reg(self.register_for(size)?)
        } else {
            Operand::Imm(self.imm()?)
        };
        Ok(Insn::Store { size, base, off, src })
    }

    fn lock(&mut self) -> Result<Insn, AsmProblem> {
        self.need("*")?;
        let (size, base, off) = self.unsigned_memory()?;
        let signs = AtomicOp::TABLE.iter().filter(|(_, row)| row.form == AtomicForm::Sign);
        let found = signs.map(|(op, row)| (*op, row.text)).find(|(_, sign)| self.sign(sign));
        let (op, _) = found.ok_or_else(|| self.expected("+=, |=, &= or ^="))?;
        let src = self.register_for(size)?;
        Ok(Insn::Atomic { op, size, base, off, src })
    }

    fn store_release(&mut self) -> Result<Insn, AsmProblem> {
        self.need("(")?;
        let (size, base, off) = self.unsigned_memory()?;
        self.need(",")?;
        let src = self.register_for(size)?;
        self.need(")")?;
        let op = AtomicOp::StoreRelease;
        Ok(Insn::Atomic { op, size, base, off, src })
    }

    fn assignment(&mut self) -> Result<Insn, AsmProblem> {
        let (dst, width) = self.register()?;
        self.skip();
        let row = AluOp::TABLE.iter().find(|(_, row)| self.0.starts_with(row.sign));
        let &(op, ref row) = row.ok_or_else(|| self.expected("an assignment"))?;
        self.need(row.sign)?;
        if op == AluOp::Mov {
            return self.value(dst, width);
        }
        let src = self.operand(width)?;
        Ok(Insn::Alu { op, width, dst, src })
    }

    /// What stands to the right of `dst =`.
    fn value(&mut self, dst: Reg, width: Width) -> Result<Insn, AsmProblem> {
        self.skip();
        if self.sign("(") {
            return self.sign_extension(dst, width);
        }
        if self.sign("*") {
            return self.load(dst, width);
        }
        let before = self.0;
        if self.sign("-") {
            if self.try_register().is_some() {
                self.0 = before;
                self.need("-")?;
                self.same_register((dst, width))?;
                return Ok(Insn::Neg { width, dst });
            }
            self.0 = before;
        }
        if self.try_register().is_some() {
            self.0 = before;
            let (op, src) = (AluOp::Mov, Operand::Reg(self.register_of(width)?));
            return Ok(Insn::Alu { op, width, dst, src });
        }
        if let Some(name) = self.name() {
            return match self.named(name, dst, width)? {
                Some(insn) => Ok(insn),
                None => Err(Text(before).expected("a value")),
            };
        }
        let number = self.number()?;
        if self.word("ll") {
            return wide(ImmKind::Value, dst, width, number);
        }
        let what = "the 32 signed bits of an immediate (end it with `ll` for 64)";
        let imm = i32::try_from(number).map_err(|_| OutOfRange { number, what })?;
        let (op, src) = (AluOp::Mov, Operand::Imm(imm));
        Ok(Insn::Alu { op, width, dst, src })
    }

    fn sign_extension(&mut self, dst: Reg, width: Width) -> Result<Insn, AsmProblem> {
        let before = Text(self.0);
        let from = match self.name() {
            Some("s8") => Size::B,
            Some("s16") => Size::H,
            Some("s32") => Size::W,
            _ => return Err(before.expected("s8, s16 or s32")),
        };
        self.need(")")?;
        let src = self.register_of(width)?;
        Ok(Insn::MovSx { width, from, dst, src })
    }

    fn load(&mut self, dst: Reg, width: Width) -> Result<Insn, AsmProblem> {
        let before = self.0;
        let (kind, signed) = self.pointer_type()?;
        if self.word("skb") {
            return self.packet(kind, signed, dst);
        }
        self.0 = before;
        let (size, signed, base, off) = self.memory()?;
        if width == Width::W32 && (signed || size == Size::DW) {
            return Err(NoSuchForm);
        }
        Ok(Insn::Load { size, signed, dst, base, off })
    }

    fn packet(&mut self, size: Size, signed: bool, dst: Reg) -> Result<Insn, AsmProblem> {
        if signed || dst != Reg::R0 {
            return Err(NoSuchForm);
        }
        self.need("[")?;
        let index = self.try_register().map(|(reg, _)| reg);
        self.skip();
        let imm = if index.is_some() && self.0.starts_with(']') { 0 } else { self.imm()? };
        self.need("]")?;
        Ok(Insn::LegacyPacket { size, index, imm })
    }

    /// Values that begin with a word.
    fn named(&mut self, name: &str, dst: Reg, width: Width) -> Result<Option<Insn>, AsmProblem> {
        if let Some((kind, size)) = endian(name) {
            self.same_register((dst, Width::W64))?;
            return Ok(Some(Insn::Endian { kind, size, dst }));
        }
        if let Some((kind, _)) = ImmKind::TABLE.iter().find(|(_, row)| row.name == name) {
            self.need("(")?;
            let number = self.number()?;
            self.need(")")?;
            if !self.word("ll") {
                return Err(self.expected("ll"));
            }
            return wide(*kind, dst, width, number).map(Some);
        }
        let op = |(op, row): &(AtomicOp, _)| named_atomic(row, name).map(|of| (*op, of));
        let Some((op, of)) = AtomicOp::TABLE.iter().find_map(op) else {
            return Ok(None);
        };
        if of.is_some_and(|of| of != width) {
            return Err(NoSuchForm);
        }
        match op.row().form {
            AtomicForm::Exchange | AtomicForm::CompareExchange => self.exchange(op, dst, width).map(Some),
            AtomicForm::Load => self.load_acquire(op, dst, width).map(Some),
            AtomicForm::Fetch => self.fetch(op, dst, width).map(Some),
            AtomicForm::Sign | AtomicForm::Store => Ok(None),
        }
    }

    fn load_acquire(&mut self, op: AtomicOp, src: Reg, width: Width) -> Result<Insn, AsmProblem> {
        self.need("(")?;
        let (size, base, off) = self.unsigned_memory()?;
        self.need(")")?;
        if (width == Width::W64) != (size == Size::DW) {
            return Err(NoSuchForm);
        }
        Ok(Insn::Atomic { op, size, base, off, src })
    }

    fn exchange(&mut self, op: AtomicOp, dst: Reg, width: Width) -> Result<Insn, AsmProblem> {
        self.need("(")?;
        let (base, off) = self.address()?;
        self.need(",")?;
        let src = if op.row().form == AtomicForm::CompareExchange {
            if dst != Reg::R0 {
                return Err(NoSuchForm);
            }
            self.same_register((Reg::R0, width))?;
            self.need(",")?;
            self.register_of(width)?
        } else {
            self.same_register((dst, width))?;
            dst
        };
        self.need(")")?;
        let size = match width {
            Width::W32 => Size::W,
            Width::W64 => Size::DW,
        };
        Ok(Insn::Atomic { op, size, base, off, src })
    }

    fn fetch(&mut self, op: AtomicOp, dst: Reg, width: Width) -> Result<Insn, AsmProblem> {
        self.need("(")?;
        let (size, base, off) = self.unsigned_memory()?;
        self.need(",")?;
        self.same_register((dst, width))?;
        self.need(")")?;
        if width == Width::W32 && size != Size::W {
            return Err(NoSuchForm);
        }
        Ok(Insn::Atomic { op, size, base, off, src: dst })
    }
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// Whether a value that begins with this word is of that operation, and the width that the word says.
fn named_atomic(row: &AtomicRow, name: &str) -> Option<Option<Width>> {
    match (row.form, name.strip_prefix(row.text)?) {
        (AtomicForm::Exchange | AtomicForm::CompareExchange, "_64") => Some(Some(Width::W64)),
        (AtomicForm::Exchange | AtomicForm::CompareExchange, "32_32") => Some(Some(Width::W32)),
        (AtomicForm::Fetch | AtomicForm::Load, "") => Some(None),
        _ => None,
    }
}

fn endian(name: &str) -> Option<(Endianness, Size)> {
    let digits = name.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let name = name.strip_suffix(digits)?;
    let (kind, _) = Endianness::TABLE.iter().find(|(_, row)| row.name == name)?;
    let size = match digits {
        "16" => Size::H,
        "32" => Size::W,
        "64" => Size::DW,
        _ => return None,
    };
    Some((*kind, size))
}

fn wide(kind: ImmKind, dst: Reg, width: Width, number: i128) -> Result<Insn, AsmProblem> {
    if width == Width::W32 {
        return Err(NoSuchForm);
    }
    let what = "64 bits";
    let signed = i64::try_from(number).map(|number| number as u64);
    let imm = signed.or_else(|_| u64::try_from(number)).map_err(|_| OutOfRange { number, what })?;
    Ok(Insn::LoadImm64 { kind, dst, imm })
}
