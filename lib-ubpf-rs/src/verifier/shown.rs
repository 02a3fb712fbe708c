//! States as text, as `ubpf verify -v` shows them.

use super::{
    env::INNER,
    scalar::Scalar,
    tnum::Tnum,
    value::{Value, ValueKind, BITS},
    State,
};
use crate::isa::Size;
use core::fmt;

/// `17`, `0..=255`, `argument+4`, `stack-8`, `?`: as `ubpf verify -v` and errors show it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ValueKind::Unset => return f.write_str("unset"),
            ValueKind::Scalar => return number(f, &self.num),
            ValueKind::Argument => f.write_str("argument")?,
            ValueKind::Stack(0) => f.write_str("stack")?,
            ValueKind::Stack(frame) => write!(f, "stack{frame}")?,
            ValueKind::Object { index, .. } if index & INNER != 0 => write!(f, "map{}.value", index & !INNER)?,
            ValueKind::Object { index, .. } => write!(f, "value{index}")?,
            ValueKind::Record { number, .. } => write!(f, "record{number}")?,
            ValueKind::Map { index, .. } if index & INNER != 0 => write!(f, "map{}.map", index & !INNER)?,
            ValueKind::Map { index, .. } => write!(f, "map{index}")?,
        }
        if self.kind.is_nullable() {
            f.write_str(" or null")?;
        }
        match self.num.value() {
            Some(0) => Ok(()),
            Some(offset) => write!(f, "{:+}", offset as i64),
            None => {
                f.write_str("+(")?;
                number(f, &self.num)?;
                f.write_str(")")
            }
        }
    }
}

/// Small numbers in decimal, large ones in hexadecimal; the signed range where it is the closer one.
fn number(f: &mut fmt::Formatter<'_>, num: &Scalar) -> fmt::Result {
    let whole = &num.whole;
    if let Some(value) = num.value() {
        return match value as i64 {
            -0xffff..0 => write!(f, "{}", value as i64),
            _ => one(f, value),
        };
    }
    if *num == Scalar::unknown(BITS) {
        return f.write_str("?");
    }
    if whole.smin < 0 && whole.smax.abs_diff(whole.smin) < whole.umax.abs_diff(whole.umin) {
        return write!(f, "{}..={}", whole.smin, whole.smax);
    }
    one(f, whole.umin)?;
    f.write_str("..=")?;
    one(f, whole.umax)?;
    let known = !num.tnum.mask & Tnum::range(whole.umin, whole.umax).mask;
    match (known, num.tnum.value) {
        (0, _) => Ok(()),
        (_, 0) => write!(f, "&{:#x}", num.tnum.mask),
        (_, value) => write!(f, "&{:#x}|{value:#x}", num.tnum.mask),
    }
}

fn one(f: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
    match value {
        0..=0xffff => write!(f, "{value}"),
        _ => write!(f, "{value:#x}"),
    }
}

/// The registers that are set, then the known words of the innermost frame: `r1=argument r2=0..=255 r10=stack [-8]=7`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.regs.iter().enumerate().filter(|(_, v)| v.kind != ValueKind::Unset);
        for (index, (number, value)) in set.enumerate() {
            write!(f, "{}r{number}={value}", if index == 0 { "" } else { " " })?;
        }
        for (off, size, value) in self.known_cells(self.depth()).filter(|(.., v)| !v.is_unknown()) {
            let kind = if size == Size::W { "u32" } else { "u64" };
            write!(f, " {kind}[{off}]={value}")?;
        }
        if self.argument_min > 0 {
            write!(f, " argument has {} bytes", self.argument_min)?;
        }
        Ok(())
    }
}
