//! Bytes of entry stubs on x86-64: pure functions; who writes them is [`TextPatch`](crate::platform::TextPatch).

pub use super::super::stub::{Rewrite, Stub};
pub use super::nops::{nops, ENDBR64, FIVE_NOPS, LONGEST_NOP, NOP, STUB_LEN};

/// The one five-byte nop that stands at a site while nothing is attached, unless the compiler put another one there.
pub const NOP5: [u8; STUB_LEN] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// Makes a nop, or five of one byte, one of five bytes and a rest.
fn rewrite(bytes: &[u8]) -> Option<Rewrite> {
    // Of 9 and 10 bytes the last ones stay: they are operands of the last nop.
    let rest: &[u8] = match bytes.len() {
        5 => &[],
        6 => &[0x90],
        7 => &[0x66, 0x90],
        8 => &[0x0f, 0x1f, 0x00],
        9 => &[0x0f, 0x1f, 0x40],
        10 => &[0x0f, 0x1f, 0x44],
        _ => return None,
    };
    let mut written = [0; Rewrite::LONGEST];
    let fresh = written.get_mut(..STUB_LEN + rest.len())?;
    fresh.iter_mut().zip(NOP5.iter().chain(rest)).for_each(|(to, from)| *to = *from);
    Rewrite::new(bytes.get(..fresh.len())?, fresh)
}

/// Recognises the stub at an entry from its bytes; `None` when it is something else.
pub fn recognise(bytes: &[u8]) -> Option<Stub> {
    let (offset, length) = super::nops::stub(bytes)?;
    let nops = bytes.get(offset..offset + length)?;
    match <[u8; STUB_LEN]>::try_from(nops) {
        Ok(bytes) if bytes != FIVE_NOPS => Some(Stub::Nop5 { offset, bytes }),
        _ => Some(Stub::Nops { offset, length, rewrite: rewrite(nops)? }),
    }
}

/// `call target` placed at `site`; `None` when the target is more than 2 GiB away.
pub fn call(site: u64, target: u64) -> Option<[u8; STUB_LEN]> {
    transfer(0xe8, site, target)
}

/// `jmp target`, likewise.
#[cfg(feature = "jit")]
pub fn jump(site: u64, target: u64) -> Option<[u8; STUB_LEN]> {
    transfer(0xe9, site, target)
}

fn transfer(opcode: u8, site: u64, target: u64) -> Option<[u8; STUB_LEN]> {
    let from = site.wrapping_add(STUB_LEN as u64);
    let distance = i32::try_from(target.wrapping_sub(from) as i64).ok()?;
    let [a, b, c, d] = distance.to_le_bytes();
    Some([opcode, a, b, c, d])
}

/// Where a direct call or jump leads that begins with `bytes` at `site`; `None` for anything else.
pub fn led_to(site: u64, bytes: &[u8]) -> Option<u64> {
    let (length, distance) = match *bytes {
        [0xe8 | 0xe9, a, b, c, d, ..] => (STUB_LEN as u64, i64::from(i32::from_le_bytes([a, b, c, d]))),
        [0xeb, distance, ..] => (2, i64::from(distance as i8)),
        _ => return None,
    };
    Some(site.wrapping_add(length).wrapping_add_signed(distance))
}

#[cfg(test)]
mod tests {
    use super::{super::nops::nop, *};
    use std::vec::Vec;

    #[test]
    fn stubs_of_gcc_and_clang() {
        let check = |bytes: &[u8], expected| assert_eq!(recognise(bytes), expected, "{bytes:02x?}");
        let clang = [0x0f, 0x1f, 0x44, 0x00, 0x08];
        let five = |offset| Some(Stub::Nops { offset, length: 5, rewrite: rewrite(&FIVE_NOPS).unwrap() });
        check(&[0x90, 0x90, 0x90, 0x90, 0x90, 0xc3], five(0));
        check(&clang, Some(Stub::Nop5 { offset: 0, bytes: clang }));
        check(&NOP5, Some(Stub::Nop5 { offset: 0, bytes: NOP5 }));
        let behind = [0xf3, 0x0f, 0x1e, 0xfa, 0x90, 0x90, 0x90, 0x90, 0x90];
        check(&behind, five(4));
        check(&[0x90, 0x90, 0x90, 0x90], None);
        check(&[0x90, 0x90, 0x90, 0x90, 0xc3], None);
        check(&[0x55, 0x48, 0x89, 0xe5, 0x90], None);
        check(&[], None);
    }

    #[test]
    fn a_longer_nop_becomes_one_of_five_bytes_and_others() {
        // As the assemblers of gcc and clang write them.
        let longer: [&[u8]; 6] = [
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x08],
            &[0x0f, 0x1f, 0x80, 0x00, 0x02, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x02, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x02, 0x00, 0x00],
            &[0x2e, 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x02, 0x00, 0x00],
            &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x12, 0x34, 0x56, 0x78, 0x9a],
        ];
        for was in longer {
            let text: Vec<u8> = was.iter().chain(&[0xc3; 16]).copied().collect();
            let Some(Stub::Nops { offset: 0, length, rewrite }) = recognise(&text) else {
                panic!("{was:02x?}");
            };
            assert_eq!((length, rewrite.old()), (was.len(), &was[..was.len().min(8)]));
            let mut text = text;
            text[..rewrite.fresh().len()].copy_from_slice(rewrite.fresh());
            assert_eq!((nop(&text), nops(&text)), (Some(5), was.len()), "{text:02x?}");
        }
        // Clang's eleven bytes for some processors.
        let eleven = [0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 2, 0, 0, 0xc3];
        assert_eq!((recognise(&eleven), nops(&eleven)), (None, 11));
    }

    #[test]
    fn calls_and_jumps_lead_where_they_were_made_for() {
        let call = call(0x1000, 0x0123).unwrap();
        assert_eq!(led_to(0x1000, &call), Some(0x0123));
        assert_eq!(led_to(0x1000, &call[..4]), None);
        assert_eq!(led_to(0x1000, &[0xe9, 0, 1, 0, 0, 0x90]), Some(0x1105));
        assert_eq!(
            [[0xeb, 0xfe], [0xeb, 0x10], [0x0f, 0xe9]].map(|at| led_to(0x1000, &at)),
            [Some(0x1000), Some(0x1012), None]
        );
        assert_eq!(led_to(0x1000, &[]), None);
    }

    #[test]
    fn call_reaches_two_gibibytes_both_ways() {
        assert_eq!(call(0x1000, 0x1005), Some([0xe8, 0, 0, 0, 0]));
        assert_eq!(call(0x1000, 0x1000), Some([0xe8, 0xfb, 0xff, 0xff, 0xff]));
        assert_eq!(call(0x1000, 0x1005 + 0x7fff_ffff), Some([0xe8, 0xff, 0xff, 0xff, 0x7f]));
        assert_eq!(call(0x1000, 0x1005 + 0x8000_0000), None);
    }
}
