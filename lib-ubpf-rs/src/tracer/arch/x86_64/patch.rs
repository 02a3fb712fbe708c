//! Bytes of entry stubs on x86-64: pure functions; who writes them is [`TextPatch`](crate::platform::TextPatch).

/// Length of every stub and of the call that replaces it.
pub const STUB_LEN: usize = 5;

/// The one five-byte nop that stands at a site while nothing is attached, unless the compiler put another one there.
pub const NOP5: [u8; STUB_LEN] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// What gcc emits for `-fpatchable-function-entry=5`.
pub const FIVE_NOPS: [u8; STUB_LEN] = [0x90; STUB_LEN];

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// What stands at a recorded address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stub {
    /// One five-byte nop, `offset` bytes behind the recorded address.
    Nop5 {
        /// 4 when an `endbr64` stands before it.
        offset: usize,
        /// The nop as the compiler wrote it.
        bytes: [u8; STUB_LEN],
    },
    /// Five one-byte nops, to be rewritten before use: a thread may stand between two of them.
    FiveNops {
        /// 4 when an `endbr64` stands before it.
        offset: usize,
    },
}

/// Recognises the stub at a recorded address from its bytes; `None` when it is something else.
pub fn recognise(bytes: &[u8]) -> Option<Stub> {
    let (offset, rest) = match bytes.strip_prefix(&ENDBR64) {
        Some(rest) => (ENDBR64.len(), rest),
        None => (0, bytes),
    };
    let stub: [u8; STUB_LEN] = rest.get(..STUB_LEN)?.try_into().ok()?;
    match stub {
        FIVE_NOPS => Some(Stub::FiveNops { offset }),
        // nopl disp8(%rax,%rax,1): clang writes the displacement 8.
        [0x0f, 0x1f, 0x44, 0x00, _] => Some(Stub::Nop5 {
            offset,
            bytes: stub,
        }),
        // nopw with an operand-size prefix, another five-byte form.
        [0x66, 0x0f, 0x1f, 0x40, _] => Some(Stub::Nop5 {
            offset,
            bytes: stub,
        }),
        _ => None,
    }
}

/// `call target` placed at `site`; `None` when the target is more than 2 GiB away.
pub fn call(site: u64, target: u64) -> Option<[u8; STUB_LEN]> {
    let from = site.wrapping_add(STUB_LEN as u64);
    let distance = i32::try_from(target.wrapping_sub(from) as i64).ok()?;
    let [a, b, c, d] = distance.to_le_bytes();
    Some([0xe8, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_of_gcc_and_clang() {
        let check = |bytes: &[u8], expected| assert_eq!(recognise(bytes), expected, "{bytes:02x?}");
        let clang = [0x0f, 0x1f, 0x44, 0x00, 0x08];
        check(
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0xc3],
            Some(Stub::FiveNops { offset: 0 }),
        );
        check(
            &clang,
            Some(Stub::Nop5 {
                offset: 0,
                bytes: clang,
            }),
        );
        check(
            &NOP5,
            Some(Stub::Nop5 {
                offset: 0,
                bytes: NOP5,
            }),
        );
        let behind = [0xf3, 0x0f, 0x1e, 0xfa, 0x90, 0x90, 0x90, 0x90, 0x90];
        check(&behind, Some(Stub::FiveNops { offset: 4 }));
        check(&[0x90, 0x90, 0x90, 0x90], None);
        check(&[0x90, 0x90, 0x90, 0x90, 0xc3], None);
        check(&[0x55, 0x48, 0x89, 0xe5, 0x90], None);
        check(&[], None);
    }

    #[test]
    fn call_reaches_two_gibibytes_both_ways() {
        assert_eq!(call(0x1000, 0x1005), Some([0xe8, 0, 0, 0, 0]));
        assert_eq!(call(0x1000, 0x1000), Some([0xe8, 0xfb, 0xff, 0xff, 0xff]));
        assert_eq!(
            call(0x1000, 0x1005 + 0x7fff_ffff),
            Some([0xe8, 0xff, 0xff, 0xff, 0x7f])
        );
        assert_eq!(call(0x1000, 0x1005 + 0x8000_0000), None);
    }
}
