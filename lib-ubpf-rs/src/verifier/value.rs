//! What a register or a stack slot holds: a number, or a pointer with what is known of its offset.

use super::{
    planted::{self, Bug},
    scalar::{Part, Scalar},
};
use crate::isa::AluOp;

/// Width of a register.
pub(super) const BITS: u32 = 64;

/// Longest argument for which proofs hold: lengths stay positive as 32-bit numbers.
pub(super) const ARGUMENT_MAX: u64 = i32::MAX as u64;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ValueKind {
    /// Nothing has set it.
    Unset,
    /// A number.
    Scalar,
    /// An address in the argument, counted from its start. A packet is an argument whose end is at a known pointer: a
    /// pointer into it with room 0.
    Argument,
    /// An address in the stack, counted from the end of the frame with this number (0 is the outermost function's).
    Stack(u8),
    /// An address in a value of one of the program's maps, counted from its start; with `nullable`, perhaps the null pointer instead.
    Object {
        /// The map's place in the list.
        index: u16,
        /// Whether it may be null.
        nullable: bool,
    },
    /// The map in this place of the list, or one that it holds, to be given to helpers; with `nullable`, perhaps 0 instead.
    Map {
        /// The map's place.
        index: u16,
        /// Whether it may be 0.
        nullable: bool,
    },
    /// An address in a record that the program holds, counted from its start; with `nullable`, perhaps the null pointer instead.
    Record {
        /// Its number among those that are held.
        number: u8,
        /// Whether it may be null: it is not held then.
        nullable: bool,
    },
}

impl ValueKind {
    /// Whether it may be null instead.
    pub(crate) fn is_nullable(self) -> bool {
        matches!(
            self,
            ValueKind::Object { nullable: true, .. }
                | ValueKind::Record { nullable: true, .. }
                | ValueKind::Map { nullable: true, .. }
        )
    }

    /// The same, which may be null or may not.
    pub(super) fn or_null(self, nullable: bool) -> ValueKind {
        match self {
            ValueKind::Object { index, .. } => ValueKind::Object { index, nullable },
            ValueKind::Record { number, .. } => ValueKind::Record { number, nullable },
            ValueKind::Map { index, .. } => ValueKind::Map { index, nullable },
            other => other,
        }
    }

    /// Whether both are the same, but that one may be null.
    fn is_like(self, other: ValueKind) -> bool {
        self.or_null(false) == other.or_null(false)
    }
}

/// No relation to the argument's length.
pub(super) const NO_ROOM: u32 = u32::MAX;

/// What is known of one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Value {
    pub(super) kind: ValueKind,
    /// Values with the same id, unless 0, are equal.
    pub(super) id: u32,
    /// The number, or a pointer's offset, plus this is at most the argument's length; or [`NO_ROOM`].
    pub(super) room: u32,
    /// The number, or a pointer's offset.
    pub(super) num: Scalar,
}

impl Value {
    pub(super) const UNSET: Value = Value { kind: ValueKind::Unset, id: 0, room: NO_ROOM, num: Scalar::unknown(BITS) };
    pub(super) const UNKNOWN: Value = Value::scalar(Scalar::unknown(BITS));

    /// Becomes a copy of the other. By its parts: where code is small rather than fast a compiler copies all of it byte by byte, and a
    /// comparison sets a thousand values.
    pub(super) fn set(&mut self, other: &Value) {
        let Value { kind, id, room, num: Scalar { tnum, whole, half } } = other;
        self.num.tnum = *tnum;
        self.num.whole = *whole;
        self.num.half = *half;
        self.kind = *kind;
        self.id = *id;
        self.room = *room;
    }

    pub(super) const fn scalar(num: Scalar) -> Value {
        Value { kind: ValueKind::Scalar, id: 0, room: NO_ROOM, num }
    }

    pub(super) const fn constant(value: u64) -> Value {
        Value::scalar(Scalar::constant(BITS, value))
    }

    /// The start of the memory that `kind` names.
    pub(super) const fn pointer(kind: ValueKind) -> Value {
        Value { kind, ..Value::constant(0) }
    }

    /// The length of the argument.
    pub(super) fn length() -> Value {
        Value { room: 0, ..Value::scalar(Scalar::range(BITS, 0, ARGUMENT_MAX)) }
    }

    pub(super) fn is_scalar(&self) -> bool {
        self.kind == ValueKind::Scalar
    }

    /// The number, if it is known.
    pub(super) fn as_constant(&self) -> Option<u64> {
        self.num.value().filter(|_| self.is_scalar())
    }

    /// The room, also of numbers that cannot exceed the argument's least length.
    pub(super) fn room(&self, argument_min: u32) -> u32 {
        if !matches!(self.kind, ValueKind::Scalar | ValueKind::Argument) {
            return NO_ROOM;
        }
        let spare = u64::from(argument_min).checked_sub(self.num.whole.umax);
        match spare.and_then(|s| u32::try_from(s).ok()) {
            Some(spare) if self.room == NO_ROOM || spare > self.room => spare,
            _ => self.room,
        }
    }

    /// The number as far as this part of it goes; a pointer's number is unknown.
    pub(super) fn number(&self) -> Scalar {
        match self.kind {
            ValueKind::Scalar => self.num,
            _ => Scalar::unknown(BITS),
        }
    }

    /// `self op other`. What an instruction makes of pointers, other than moving them, is an unknown number.
    pub(super) fn alu(&self, part: Part, op: AluOp, other: &Value, argument_min: u32) -> Value {
        let num = || Scalar::alu(BITS, part, op, &self.num, &other.num);
        match (self.is_scalar(), other.is_scalar()) {
            (true, true) => {
                let mut result = Value::scalar(num());
                result.room = room_after(part, op, self, other, argument_min);
                result
            }
            (false, true) if part == Part::Whole && matches!(op, AluOp::Add | AluOp::Sub) => {
                let room = room_after(part, op, self, other, argument_min);
                self.moved(num(), room)
            }
            (true, false) if part == Part::Whole && op == AluOp::Add => {
                let room = room_after(part, op, other, self, argument_min);
                other.moved(num(), room)
            }
            (false, false) if part == Part::Whole && op == AluOp::Sub && self.same_memory(other) => {
                Value::scalar(num())
            }
            _ => {
                let unknown = Scalar::unknown(BITS);
                Value::scalar(Scalar::alu(BITS, part, op, &self.number_or(&unknown), &other.number_or(&unknown)))
            }
        }
    }

    fn number_or(&self, unknown: &Scalar) -> Scalar {
        if self.is_scalar() {
            self.num
        } else {
            *unknown
        }
    }

    /// Offsets of both count from the same address.
    pub(super) fn same_memory(&self, other: &Value) -> bool {
        // Two pointers to values of one map may point into different values.
        matches!(self.kind, ValueKind::Argument | ValueKind::Stack(_)) && self.kind == other.kind
    }

    /// A pointer with another offset. A null pointer plus something is no pointer any more.
    fn moved(&self, num: Scalar, room: u32) -> Value {
        match self.kind {
            ValueKind::Object { .. } if planted::active(Bug::MovedNull) => Value { id: 0, num, ..*self },
            ValueKind::Argument
            | ValueKind::Stack(_)
            | ValueKind::Object { nullable: false, .. }
            | ValueKind::Record { nullable: false, .. } => Value { kind: self.kind, id: 0, room, num },
            _ => Value::UNKNOWN,
        }
    }

    /// Whether it stands for all that `other` stands for; ids are compared elsewhere.
    pub(super) fn includes(&self, other: &Value, argument_min: u32) -> bool {
        let kind = match (self.kind, other.kind) {
            (ValueKind::Unset, _) => return true,
            (a, b) => a.is_like(b) && (a.is_nullable() || !b.is_nullable()),
        };
        if self.is_unknown() && other.kind != ValueKind::Unset {
            return true;
        }
        let room = self.room == NO_ROOM || {
            let room = other.room(argument_min);
            room != NO_ROOM && room >= self.room
        };
        kind && room && self.num.includes(&other.num)
    }

    /// Any number at all: also what a pointer is when nobody asks.
    pub(super) fn is_unknown(&self) -> bool {
        self.kind == ValueKind::Scalar && self.room == NO_ROOM && self.num == const { Scalar::unknown(BITS) }
    }

    /// What room says of the number: it is at most the longest argument's length less the room. False when there is no such number.
    pub(super) fn settle_room(&mut self) -> bool {
        if self.room == NO_ROOM || !matches!(self.kind, ValueKind::Scalar | ValueKind::Argument) {
            return true;
        }
        let most = ARGUMENT_MAX.saturating_sub(u64::from(self.room));
        self.num.whole.umax <= most || self.num.at_most(BITS, most)
    }

    /// Stands for what either stands for; ids are joined elsewhere.
    pub(super) fn union(&self, other: &Value, argument_min: (u32, u32)) -> Value {
        if planted::active(Bug::JoinKeepsFirst) && self.is_scalar() {
            return *self;
        }
        let kind = match (self.kind, other.kind) {
            (ValueKind::Unset, _) | (_, ValueKind::Unset) => return Value::UNSET,
            (a, b) if a.is_like(b) => a.or_null(a.is_nullable() || b.is_nullable()),
            _ => return Value::UNKNOWN,
        };
        let (a, b) = (self.room(argument_min.0), other.room(argument_min.1));
        let room = if a == NO_ROOM || b == NO_ROOM { NO_ROOM } else { a.min(b) };
        Value { kind, id: 0, room, num: self.num.union(&other.num) }
    }
}

/// The room of `a op b`. An operation on the low half alone comes to the same where the number fits there, and a number
/// with room does.
fn room_after(part: Part, op: AluOp, a: &Value, b: &Value, argument_min: u32) -> u32 {
    if a.kind != ValueKind::Argument && !a.is_scalar() {
        return NO_ROOM;
    }
    let (room, by) = (a.room(argument_min), &b.num.whole);
    match op {
        AluOp::Add if part == Part::Whole && by.smax < 0 => {
            grown(a, room, by.smax.unsigned_abs(), by.smin.unsigned_abs())
        }
        AluOp::Add => {
            let other = b.room(argument_min);
            match (reduced(room, by.umax), reduced(other, a.num.whole.umax)) {
                (NO_ROOM, room) | (room, NO_ROOM) => room,
                (one, other) => one.max(other),
            }
        }
        AluOp::Sub if by.smin >= 0 => grown(a, room, by.umin, by.umax),
        // The remainder is less than the divisor.
        AluOp::Mod if a.is_scalar() && b.is_scalar() && by.umin > 0 && part == Part::Whole => {
            match (room, b.room(argument_min)) {
                (room, NO_ROOM) => room,
                (NO_ROOM, other) => other.saturating_add(1),
                (room, other) => max(room, other.saturating_add(1)),
            }
        }
        // Results that are no greater than `a`.
        AluOp::And | AluOp::Rsh | AluOp::Div | AluOp::Mod if a.is_scalar() => room,
        _ => NO_ROOM,
    }
}

fn max(a: u32, b: u32) -> u32 {
    if a > b {
        a
    } else {
        b
    }
}

/// The room of a number after at most `most` was added to it.
fn reduced(room: u32, most: u64) -> u32 {
    if room == NO_ROOM {
        return NO_ROOM;
    }
    let left = u64::from(room).checked_sub(most);
    left.and_then(|l| u32::try_from(l).ok()).unwrap_or(NO_ROOM)
}

/// The room of `a` after `least..=most` was subtracted, where that does not fall below zero.
fn grown(a: &Value, room: u32, least: u64, most: u64) -> u32 {
    if room == NO_ROOM || most > a.num.whole.umin {
        return NO_ROOM;
    }
    let room = u64::from(room).saturating_add(least);
    u32::try_from(room.min(ARGUMENT_MAX)).unwrap_or(NO_ROOM)
}
