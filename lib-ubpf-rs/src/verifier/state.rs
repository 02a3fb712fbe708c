//! The abstract state of a program before one instruction: registers, stack, frames.

use super::{
    planted::{self, Bug},
    records::References,
    scalar::Scalar,
    tnum::{low_mask, Tnum},
    value::{Value, ValueKind, BITS, NO_ROOM},
    widen::Thresholds,
    work::price,
    VerifyError,
};
use crate::{
    isa::{Reg, Size},
    program::limits::FRAME_BYTES,
};
use alloc::{format, string::String, vec::Vec};

/// Bytes of a frame.
pub(super) const FRAME: i64 = FRAME_BYTES as i64;
/// Bit of the ids of values that were shifted left by 32 bits: shifted back, they are equal again to those with the id
/// without it.
pub(super) const SHIFTED: u32 = 1 << 31;
/// Ids from here on say more than that values are equal.
const RESERVED: u32 = 1 << 30;
/// Id of the argument's length, and of its end: an address that counts from its start and is as far from it as it is long.
pub(super) const LENGTH: u32 = RESERVED;
pub(super) const END: u32 = RESERVED + 1;
/// Bytes of a cell.
const CELL: i64 = 4;

/// What four aligned bytes of the stack hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Content {
    /// Not known.
    Unknown,
    /// A 32-bit number, zero-extended in the cell's value.
    Word,
    /// The first half of eight bytes with the cell's value.
    Long,
    /// The second half of them.
    Tail,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell {
    content: Content,
    value: Value,
}

impl Cell {
    const UNKNOWN: Cell = Cell { content: Content::Unknown, value: Value::UNKNOWN };
}

/// A caller, while its callee runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    /// The call.
    pub(super) pc: usize,
    /// Its r6 to r9.
    saved: [Value; 4],
    /// Where its cells begin.
    base: usize,
}

/// What is known before an instruction.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) regs: [Value; Reg::COUNT],
    /// Cells of all frames, outermost first, each from its end downwards; deeper ones are not known.
    cells: Vec<Cell>,
    /// Where the innermost frame's cells begin.
    base: usize,
    /// The callers, outermost first.
    pub(super) frames: Vec<Caller>,
    /// Least length of the argument on this path.
    pub(super) argument_min: u32,
    /// What is held of rings.
    pub(super) records: References,
    next_id: u32,
}

impl State {
    /// Nothing known of anything; takes no memory.
    pub(super) const EMPTY: State = State {
        regs: [Value::UNSET; Reg::COUNT],
        cells: Vec::new(),
        base: 0,
        frames: Vec::new(),
        argument_min: 0,
        records: References::NONE,
        next_id: 1,
    };

    /// As a program starts.
    pub(super) fn start() -> State {
        let mut state = State::EMPTY;
        state.set(Reg::R1, Value::pointer(ValueKind::Argument));
        let length = Value::length();
        state.set(Reg::R2, Value { id: LENGTH, ..length });
        state.set(Reg::R10, Value::pointer(ValueKind::Stack(0)));
        state
    }

    /// Becomes a copy, using the memory it has.
    pub(super) fn copy_from(&mut self, other: &State) -> Result<(), VerifyError> {
        let cells = other.cells.len().saturating_sub(self.cells.len());
        let frames = other.frames.len().saturating_sub(self.frames.len());
        self.cells.try_reserve_exact(cells).map_err(|_| VerifyError::NoMemory)?;
        self.frames.try_reserve_exact(frames).map_err(|_| VerifyError::NoMemory)?;
        self.regs = other.regs;
        self.cells.clone_from(&other.cells);
        self.frames.clone_from(&other.frames);
        self.base = other.base;
        self.argument_min = other.argument_min;
        self.records = other.records;
        self.next_id = other.next_id;
        Ok(())
    }

    /// Bytes of memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        let cells = self.cells.capacity().wrapping_mul(size_of::<Cell>());
        let frames = self.frames.capacity().wrapping_mul(size_of::<Caller>());
        size_of::<State>().wrapping_add(cells).wrapping_add(frames)
    }

    /// How many values it has.
    pub(super) fn values(&self) -> u64 {
        let saved = self.frames.len().wrapping_mul(4);
        let all = Reg::COUNT.wrapping_add(self.cells.len()).wrapping_add(saved);
        all as u64
    }

    /// Units of work that a copy costs.
    pub(super) fn copy_price(&self) -> u64 {
        let (base, each) = price::COPY;
        base.saturating_add(self.values().saturating_mul(each))
    }

    /// What a register holds.
    pub(super) fn get(&self, reg: Reg) -> &Value {
        self.regs.get(reg.index()).unwrap_or(const { &Value::UNSET })
    }

    pub(super) fn set(&mut self, reg: Reg, value: Value) {
        if let Some(slot) = self.regs.get_mut(reg.index()) {
            *slot = value;
        }
    }

    /// An id for a value that will be copied; 0 where there are no more.
    pub(super) fn fresh_id(&mut self) -> u32 {
        if self.next_id >= RESERVED {
            return 0;
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }

    /// A pointer that may be null: whoever compares a copy with 0 learns of all of them.
    pub(super) fn nullable(&mut self, kind: ValueKind) -> Value {
        Value { id: self.fresh_id(), ..Value::pointer(kind) }
    }

    /// Copies a register, so that both are known to be equal.
    pub(super) fn share(&mut self, reg: Reg) -> Value {
        let fresh = self.next_id;
        let Some(slot) = self.regs.get_mut(reg.index()) else {
            return Value::UNSET;
        };
        if slot.id == 0 && slot.num.value().is_none() && fresh < RESERVED {
            slot.id = fresh;
            self.next_id = fresh.wrapping_add(1);
        }
        *slot
    }

    /// Reads a place of a frame, so that the place and what is read are known to be equal.
    pub(super) fn read_shared(&mut self, frame: u8, off: i64, size: Size) -> Value {
        let mut value = self.read(frame, off, size);
        if value.id != 0 || value.num.value().is_some() || self.next_id >= RESERVED {
            return value;
        }
        let number = Self::cell_number(off);
        let (base, end) = self.frame_cells(usize::from(frame));
        let index = base.saturating_add(number);
        let cell = self.cells.get_mut(index).filter(|_| index < end);
        let Some(cell) = cell.filter(|cell| cell.value == value) else {
            return value;
        };
        let whole = matches!((cell.content, size), (Content::Word, Size::W) | (Content::Long, Size::DW));
        if whole && off.rem_euclid(CELL) == 0 {
            value.id = self.next_id;
            cell.value.id = value.id;
            self.next_id = self.next_id.wrapping_add(1);
        }
        value
    }

    /// The calls that led into the innermost function.
    pub(super) fn calls(&self) -> impl Iterator<Item = usize> + '_ {
        self.frames.iter().map(|frame| frame.pc)
    }

    /// Number of the innermost frame.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    fn each_value(&mut self, mut change: impl FnMut(&mut Value)) {
        self.regs.iter_mut().for_each(&mut change);
        for cell in &mut self.cells {
            if matches!(cell.content, Content::Word | Content::Long) {
                change(&mut cell.value);
            }
        }
        for frame in &mut self.frames {
            frame.saved.iter_mut().for_each(&mut change);
        }
    }

    /// Sets a register after a comparison, and all values that are equal to it.
    pub(super) fn refine(&mut self, reg: Reg, value: Value) {
        let id = value.id;
        self.learn_argument(&value);
        self.set(reg, value);
        if id != 0 {
            self.each_value(|other| {
                if other.id == id {
                    let room = if value.room == NO_ROOM { other.room } else { value.room };
                    other.set(&value);
                    other.room = room;
                }
            });
        }
    }

    /// A record is not held any more; its addresses mean nothing from now on.
    pub(super) fn release(&mut self, number: u8) {
        self.records.release(number);
        self.each_value(|value| {
            let stale = matches!(value.kind, ValueKind::Record { number: of, .. } if of == number);
            if stale && !planted::active(Bug::StaleRecord) {
                *value = Value::UNKNOWN;
            }
        });
    }

    /// Any record may have been released.
    pub(super) fn forget_records(&mut self) {
        self.records.forget();
        self.each_value(|value| {
            if matches!(value.kind, ValueKind::Record { .. }) {
                *value = Value::UNKNOWN;
            }
        });
    }

    /// A number with room says how long the argument is at least.
    fn learn_argument(&mut self, value: &Value) {
        if value.room == NO_ROOM {
            return;
        }
        let least = value.num.whole.umin.saturating_add(u64::from(value.room));
        let least = u32::try_from(least).unwrap_or(0);
        self.argument_min = self.argument_min.max(least);
    }

    /// Goes into a function called at `pc`.
    pub(super) fn enter(&mut self, pc: usize) -> Result<(), VerifyError> {
        self.frames.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
        let saved = [Reg::R6, Reg::R7, Reg::R8, Reg::R9].map(|reg| *self.get(reg));
        let base = self.base;
        self.frames.push(Caller { pc, saved, base });
        self.base = self.cells.len();
        for reg in [Reg::R0, Reg::R6, Reg::R7, Reg::R8, Reg::R9] {
            self.set(reg, Value::UNSET);
        }
        let depth = match self.depth() as u8 {
            _ if planted::active(Bug::SameFrame) => 0,
            depth => depth,
        };
        self.set(Reg::R10, Value::pointer(ValueKind::Stack(depth)));
        Ok(())
    }

    /// Comes back from a function; the PC of the call, or `None` from the outermost.
    pub(super) fn leave(&mut self) -> Option<usize> {
        let gone = ValueKind::Stack(self.depth() as u8);
        let frame = self.frames.pop()?;
        self.cells.truncate(self.base);
        self.base = frame.base;
        let kept = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];
        for (reg, value) in kept.into_iter().zip(frame.saved) {
            self.set(reg, value);
        }
        self.forget_arguments();
        let depth = self.depth() as u8;
        self.set(Reg::R10, Value::pointer(ValueKind::Stack(depth)));
        self.each_value(|value| {
            if value.kind == gone {
                *value = Value::UNKNOWN;
            }
        });
        Some(frame.pc)
    }

    /// r1 to r5 after a call.
    pub(super) fn forget_arguments(&mut self) {
        for reg in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.set(reg, Value::UNSET);
        }
    }

    /// Something may have been written anywhere in the stack.
    pub(super) fn forget_stack(&mut self) {
        self.cells.fill(Cell::UNKNOWN);
    }

    /// Cells that the bytes from `from` to `to` below the end of a frame are part of.
    pub(super) fn cells_between(from: i64, to: i64) -> u64 {
        let (high, low) = (Self::cell_number(from), Self::cell_number(to.wrapping_sub(1)));
        high.saturating_sub(low).saturating_add(1) as u64
    }

    /// First cell of a frame, and the cell after its last that is known.
    fn frame_cells(&self, frame: usize) -> (usize, usize) {
        let base = |n: usize| match self.frames.get(n) {
            Some(frame) => frame.base,
            None => self.base,
        };
        let end = if frame >= self.depth() { self.cells.len() } else { base(frame.wrapping_add(1)) };
        (base(frame), end)
    }

    /// Number of the cell with the byte at `off` below the end of a frame.
    fn cell_number(off: i64) -> usize {
        (off.wrapping_neg().wrapping_sub(1) / CELL) as usize
    }

    fn cell(&self, frame: usize, number: usize) -> Cell {
        let (base, end) = self.frame_cells(frame);
        let index = base.saturating_add(number);
        let cell = self.cells.get(index).filter(|_| index < end);
        *cell.unwrap_or(const { &Cell::UNKNOWN })
    }

    /// Writes a cell; grows the innermost frame when needed. What is not stored is unknown.
    fn put(&mut self, frame: usize, number: usize, cell: Cell) -> Result<(), VerifyError> {
        let (base, end) = self.frame_cells(frame);
        let index = base.saturating_add(number);
        if index >= end && frame == self.depth() && number < (FRAME / CELL) as usize {
            if cell.content == Content::Unknown {
                return Ok(());
            }
            let missing = index.wrapping_add(1).saturating_sub(self.cells.len());
            self.cells.try_reserve(missing).map_err(|_| VerifyError::NoMemory)?;
            self.cells.resize(index.wrapping_add(1), Cell::UNKNOWN);
        } else if index >= end {
            // Beyond the known cells of a caller's frame: stays unknown.
            return Ok(());
        }
        if let Some(slot) = self.cells.get_mut(index) {
            *slot = cell;
        }
        Ok(())
    }

    /// Forgets a cell, and the other half of eight bytes that it is part of.
    fn forget(&mut self, frame: usize, number: usize) -> Result<(), VerifyError> {
        let other = match self.cell(frame, number).content {
            Content::Long => number.wrapping_sub(1),
            Content::Tail => number.wrapping_add(1),
            Content::Unknown | Content::Word => number,
        };
        self.put(frame, other, Cell::UNKNOWN)?;
        self.put(frame, number, Cell::UNKNOWN)
    }

    /// Turns the eight bytes that a cell is part of into two words.
    fn split(&mut self, frame: usize, number: usize) -> Result<(), VerifyError> {
        let first = match self.cell(frame, number).content {
            Content::Long => number,
            Content::Tail => number.wrapping_add(1),
            Content::Unknown | Content::Word => return Ok(()),
        };
        let value = self.cell(frame, first).value;
        let halves = if value.is_scalar() {
            let tnum = value.num.tnum;
            [value.num.low_half(BITS), Scalar::from_bits(BITS, tnum.shr(32))]
                .map(|num| Cell { content: Content::Word, value: Value::scalar(num) })
        } else {
            [Cell::UNKNOWN; 2]
        };
        self.put(frame, first, halves[0])?;
        self.put(frame, first.wrapping_sub(1), halves[1])
    }

    /// Writes to a known place of a frame: `off` bytes above its end, hence negative.
    pub(super) fn write(&mut self, frame: u8, off: i64, size: Size, value: Value) -> Result<(), VerifyError> {
        let frame = usize::from(frame);
        let last = off.wrapping_add(size.bytes() as i64).wrapping_sub(1);
        let (high, low) = (Self::cell_number(off), Self::cell_number(last));
        if !planted::active(Bug::PartialSpill) {
            (low..=high).try_for_each(|number| self.split(frame, number))?;
        }
        let aligned = off.rem_euclid(CELL) == 0;
        match size {
            Size::DW if aligned => {
                let long = Cell { content: Content::Long, value };
                let tail = Cell { content: Content::Tail, ..Cell::UNKNOWN };
                self.put(frame, high, long)?;
                self.put(frame, low, tail)
            }
            Size::W if aligned && value.is_scalar() => {
                let num = value.num.low_half(BITS);
                let same = num == value.num;
                let value = if same { value } else { Value::scalar(num) };
                self.put(frame, high, Cell { content: Content::Word, value })
            }
            Size::B | Size::H if high == low => self.write_part(frame, high, off, size, &value),
            _ => (low..=high).try_for_each(|number| self.put(frame, number, Cell::UNKNOWN)),
        }
    }

    /// Replaces the bits of one or two bytes of a cell.
    fn write_part(
        &mut self,
        frame: usize,
        number: usize,
        off: i64,
        size: Size,
        value: &Value,
    ) -> Result<(), VerifyError> {
        let bits = (size.bytes() as u32).wrapping_mul(8);
        let shift = (off.rem_euclid(CELL) as u32).wrapping_mul(8);
        let old = match self.cell(frame, number) {
            Cell { content: Content::Word, value } => value.num.tnum,
            _ => Tnum::unknown(32),
        };
        let hole = low_mask(bits).wrapping_shl(shift);
        let new = value.number().tnum.truncate(bits).shl(shift);
        let tnum = Tnum { value: (old.value & !hole) | new.value, mask: (old.mask & !hole) | new.mask };
        let cell = Cell { content: Content::Word, value: Value::scalar(Scalar::from_bits(BITS, tnum)) };
        self.put(frame, number, cell)
    }

    /// Something was written somewhere in `from..to`.
    pub(super) fn write_somewhere(&mut self, frame: u8, from: i64, to: i64) -> Result<(), VerifyError> {
        let frame = usize::from(frame);
        let (high, low) = (Self::cell_number(from), Self::cell_number(to.wrapping_sub(1)));
        let (base, end) = self.frame_cells(frame);
        let high = high.min(end.saturating_sub(base));
        for number in low..=high {
            self.split(frame, number)?;
            self.put(frame, number, Cell::UNKNOWN)?;
        }
        Ok(())
    }

    /// Reads from a known place of a frame.
    pub(super) fn read(&self, frame: u8, off: i64, size: Size) -> Value {
        let frame = usize::from(frame);
        let number = Self::cell_number(off);
        let cell = self.cell(frame, number);
        let aligned = off.rem_euclid(CELL) == 0;
        match (size, cell.content) {
            (Size::DW, Content::Long) if aligned => cell.value,
            (Size::DW, Content::Word) if aligned => {
                let high = self.cell(frame, number.wrapping_sub(1));
                let high = match high.content {
                    Content::Word => high.value.num.tnum,
                    _ => Tnum::unknown(32),
                };
                Value::scalar(Scalar::from_bits(BITS, cell.value.num.tnum.or(high.shl(32))))
            }
            (Size::W, Content::Word) if aligned => cell.value,
            (Size::W, Content::Long) if aligned && cell.value.is_scalar() => {
                let num = cell.value.num.low_half(BITS);
                let same = num == cell.value.num;
                if same {
                    cell.value
                } else {
                    Value::scalar(num)
                }
            }
            (Size::DW, _) => Value::UNKNOWN,
            _ => self.read_part(frame, number, off, size),
        }
    }

    /// Reads up to four bytes within one cell.
    fn read_part(&self, frame: usize, number: usize, off: i64, size: Size) -> Value {
        let bits = (size.bytes() as u32).wrapping_mul(8);
        let start = off.rem_euclid(CELL);
        let mut tnum = Tnum::unknown(64);
        if start.wrapping_add(size.bytes() as i64) <= CELL {
            let cell = self.cell(frame, number);
            tnum = match cell.content {
                Content::Word | Content::Long => cell.value.number().tnum,
                Content::Tail => self.cell(frame, number.wrapping_add(1)).value.number().tnum.shr(32),
                Content::Unknown => tnum,
            };
        }
        let shift = (start as u32).wrapping_mul(8);
        Value::scalar(Scalar::from_bits(BITS, tnum.shr(shift).truncate(bits)))
    }

    /// Whether it stands for all that `other` stands for, both being before the same instruction. Counts the values that it compares.
    pub(super) fn includes(&self, other: &State, compared: &mut u64) -> bool {
        let mut ids = Ids::default();
        let mut one = |a: &Value, b: &Value| {
            *compared = compared.wrapping_add(1);
            a.includes(b, other.argument_min) && ids.includes(a.id, b.id)
        };
        let less = self.argument_min > other.argument_min || !self.records.include(&other.records);
        if less || !self.same_callers(other) {
            return false;
        }
        if !self.regs.iter().zip(&other.regs).all(|(a, b)| one(a, b)) {
            return false;
        }
        for (a, b) in self.frames.iter().zip(&other.frames) {
            if !a.saved.iter().zip(&b.saved).all(|(a, b)| one(a, b)) {
                return false;
            }
        }
        (0..=self.depth()).all(|frame| {
            let (mine, others) = (self.frame(frame), other.frame(frame));
            mine.iter().enumerate().all(|(number, a)| {
                let b = others.get(number).unwrap_or(const { &Cell::UNKNOWN });
                match (a.content, b.content) {
                    (Content::Unknown, _) => true,
                    (Content::Tail, Content::Tail) => true,
                    (x, y) => x == y && one(&a.value, &b.value),
                }
            })
        })
    }

    /// The known cells of a frame.
    fn frame(&self, frame: usize) -> &[Cell] {
        let (base, end) = self.frame_cells(frame);
        self.cells.get(base..end).unwrap_or(&[])
    }

    fn same_callers(&self, other: &State) -> bool {
        let (a, b) = (&self.frames, &other.frames);
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.pc == b.pc)
    }

    /// Becomes what stands for both, the other being before the same instruction with the same callers; with
    /// thresholds, what grows grows to the next one. True when a pointer was forgotten. `pay` is told how many values are joined next,
    /// frame by frame: where it fails, the state is of no use any more.
    pub(super) fn join(
        &mut self,
        other: &State,
        widen: Option<&Thresholds<'_>>,
        mut pay: impl FnMut(u64) -> Result<(), VerifyError>,
    ) -> Result<bool, VerifyError> {
        pay(self.values().saturating_sub(self.cells.len() as u64))?;
        let mut ids = Ids::default();
        let mut lost = false;
        let mins = (self.argument_min, other.argument_min);
        let mut one = |a: &mut Value, b: &Value| {
            let mut joined = match widen {
                None => a.union(b, mins),
                Some(thresholds) => thresholds.widen(a, b, mins),
            };
            joined.id = ids.join(a.id, b.id);
            lost |= joined.is_scalar() && !(a.is_scalar() && b.is_scalar());
            *a = joined;
        };
        for (a, b) in self.regs.iter_mut().zip(&other.regs) {
            one(a, b);
        }
        for (a, b) in self.frames.iter_mut().zip(&other.frames) {
            a.saved.iter_mut().zip(&b.saved).for_each(|(a, b)| one(a, b));
        }
        lost |= self.join_cells(other, one, pay)?;
        self.records.join(&other.records);
        self.argument_min = mins.0.min(mins.1);
        if widen.is_some() && self.argument_min < mins.0 {
            self.argument_min = 0;
        }
        self.next_id = ids.next();
        Ok(lost)
    }

    fn join_cells(
        &mut self,
        other: &State,
        mut one: impl FnMut(&mut Value, &Value),
        mut pay: impl FnMut(u64) -> Result<(), VerifyError>,
    ) -> Result<bool, VerifyError> {
        let mut lost = false;
        for frame in 0..=self.depth() {
            let (base, end) = self.frame_cells(frame);
            pay(end.saturating_sub(base) as u64)?;
            for number in 0..end.saturating_sub(base) {
                let b = other.cell(frame, number);
                let a = self.cell(frame, number);
                if a.content != b.content {
                    lost |= !(a.value.is_scalar() && b.value.is_scalar());
                    self.forget(frame, number)?;
                } else if matches!(a.content, Content::Word | Content::Long) {
                    if let Some(cell) = self.cells.get_mut(base.saturating_add(number)) {
                        one(&mut cell.value, &b.value);
                    }
                }
            }
        }
        Ok(lost)
    }

    /// What is known of a frame: offset from its end, size, value.
    pub(super) fn known_cells(&self, frame: usize) -> impl Iterator<Item = (i64, Size, &Value)> {
        let (base, end) = self.frame_cells(frame);
        let cells = self.cells.get(base..end).unwrap_or(&[]);
        cells.iter().enumerate().filter_map(|(number, cell)| {
            let off = (number as i64).wrapping_add(1).wrapping_mul(CELL).wrapping_neg();
            match cell.content {
                Content::Word => Some((off, Size::W, &cell.value)),
                Content::Long => Some((off, Size::DW, &cell.value)),
                Content::Unknown | Content::Tail => None,
            }
        })
    }
}

/// A concrete machine, to compare with a state.
pub struct Concrete<'c> {
    /// r0 to r10.
    pub regs: &'c [u64],
    /// PCs of the calls that led here, outermost first.
    pub calls: &'c [usize],
    /// Address and length of the argument.
    pub argument: (u64, u64),
    /// End of the stack: r10 of the outermost function.
    pub stack_top: u64,
    /// Reads the program's memory.
    pub read: &'c dyn Fn(u64, Size) -> Option<u64>,
    /// Whether a value of the map in this place begins at an address.
    pub begins: &'c dyn Fn(u16, u64) -> bool,
    /// Whether a number stands for the map in this place.
    pub stands: &'c dyn Fn(u16, u64) -> bool,
    /// Address and length of the records that the run holds.
    pub records: &'c [(u64, u64)],
}

impl State {
    /// Whether a machine is one that the state stands for; else what is not.
    pub fn admits(&self, machine: &Concrete<'_>) -> Result<(), String> {
        if !self.calls().eq(machine.calls.iter().copied()) {
            return Err("other callers".into());
        }
        if u64::from(self.argument_min) > machine.argument.1 {
            return Err(format!("an argument of {} bytes", machine.argument.1));
        }
        if !self.records.may_be(machine.records.len()) {
            return Err(format!("{} records are held", machine.records.len()));
        }
        let mut equal: Vec<(u32, u64)> = Vec::new();
        for (number, (value, &is)) in self.regs.iter().zip(machine.regs).enumerate() {
            let what = |e| format!("r{number}={is:#x}: {e}");
            machine.check(&self.records, value, is, &mut equal).map_err(what)?;
        }
        for depth in 0..=self.depth() {
            let top = frame_end(machine.stack_top, depth);
            for (off, size, value) in self.known_cells(depth) {
                let is = (machine.read)(top.wrapping_add(off as u64), size).unwrap_or(0);
                let what = |e| format!("stack{depth}[{off}]={is:#x}: {e}");
                machine.check(&self.records, value, is, &mut equal).map_err(what)?;
            }
        }
        Ok(())
    }
}

fn frame_end(stack_top: u64, depth: usize) -> u64 {
    stack_top.wrapping_sub((depth as u64).wrapping_mul(FRAME as u64))
}

impl Concrete<'_> {
    /// Whether it is an address in a record that has so many bytes at least. Of different records, addresses count from different ones.
    fn is_record(&self, size: Option<u32>, value: &Value, is: u64) -> bool {
        let mut offsets = self.records.iter().map(|&(base, len)| (is.wrapping_sub(base), len));
        let large = |len| size.is_some_and(|size| len >= u64::from(size));
        offsets.any(|(offset, len)| value.num.contains(BITS, offset) && large(len))
    }

    fn check(&self, records: &References, value: &Value, is: u64, equal: &mut Vec<(u32, u64)>) -> Result<(), String> {
        let num = match value.kind {
            ValueKind::Unset => return Ok(()),
            kind if kind.is_nullable() && is == 0 => return Ok(()),
            ValueKind::Record { number, .. } if !self.is_record(records.size(number), value, is) => {
                return Err(format!("not {value}"))
            }
            ValueKind::Record { .. } => return Ok(()),
            ValueKind::Object { index, .. } => match value.num.value() {
                Some(offset) if !(self.begins)(index, is.wrapping_sub(offset)) => return Err(format!("not {value}")),
                _ => return Ok(()),
            },
            ValueKind::Scalar => is,
            ValueKind::Map { index, .. } if !(self.stands)(index, is) => return Err(format!("not {value}")),
            ValueKind::Map { .. } => 0,
            ValueKind::Argument => is.wrapping_sub(self.argument.0),
            ValueKind::Stack(frame) => is.wrapping_sub(frame_end(self.stack_top, usize::from(frame))),
        };
        if !value.num.contains(BITS, num) {
            return Err(format!("not {value}"));
        }
        if matches!(value.id, LENGTH | END) && num != self.argument.1 {
            return Err(format!("{value} is not the length"));
        }
        let end = num.checked_add(u64::from(value.room));
        if value.room != NO_ROOM && end.is_none_or(|end| end > self.argument.1) {
            return Err(format!("{value} without room of {}", value.room));
        }
        match equal.iter().find(|known| value.id != 0 && known.0 == value.id) {
            Some(known) if known.1 != is => Err(format!("not equal to {:#x}", known.1)),
            Some(_) => Ok(()),
            None => {
                equal.push((value.id, is));
                Ok(())
            }
        }
    }
}

/// Pairs of ids in two states.
#[derive(Default)]
struct Ids {
    pairs: [(u32, u32); Ids::MOST],
    len: usize,
}

impl Ids {
    /// Equalities beyond this many are forgotten.
    const MOST: usize = 16;

    fn find(&mut self, pair: (u32, u32)) -> Option<usize> {
        let known = self.pairs.get(..self.len).unwrap_or(&[]);
        if let Some(found) = known.iter().position(|&p| p == pair) {
            return Some(found);
        }
        let slot = self.pairs.get_mut(self.len)?;
        *slot = pair;
        self.len = self.len.wrapping_add(1);
        Some(self.len.wrapping_sub(1))
    }

    /// Whether values equal in the one state are equal in the other, and those shifted there come from the same ones.
    fn includes(&mut self, a: u32, b: u32) -> bool {
        if a == 0 {
            return true;
        }
        if (a ^ b) & SHIFTED != 0 {
            return false;
        }
        let whole = if planted::active(Bug::ShiftedAlike) { u32::MAX } else { !SHIFTED };
        if a & !SHIFTED >= RESERVED {
            return a == b;
        }
        let (a, b) = (a & whole, b & whole);
        let known = self.pairs.get(..self.len).unwrap_or(&[]);
        match known.iter().find(|p| p.0 == a) {
            Some(pair) => pair.1 == b && b != 0,
            None => self.find((a, b)).is_some(),
        }
    }

    /// The id of values that are equal in both.
    fn join(&mut self, a: u32, b: u32) -> u32 {
        if a == 0 || b == 0 {
            return 0;
        }
        if a == b && a & !SHIFTED >= RESERVED {
            return a;
        }
        self.find((a, b)).map_or(0, |index| (index as u32).wrapping_add(1))
    }

    fn next(&self) -> u32 {
        (self.len as u32).wrapping_add(1)
    }
}
