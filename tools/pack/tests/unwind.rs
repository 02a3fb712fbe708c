//! Unwind tables and stacks that lie: every walk ends.

use ubpf_pack::{End, Kept, Unwinder};

const MOST: usize = 127;

fn own() -> (Vec<u8>, Unwinder) {
    let file = std::fs::read("/proc/self/exe").unwrap();
    let unwinder = Unwinder::read(&file).unwrap();
    (file, unwinder)
}

/// Numbers that look like chance.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn any_stack_has_an_end() {
    let (_, unwinder) = own();
    let (name, first) = &unwinder.known()[0];
    assert!(!name.is_empty());
    let mut chance = Chance(0x1f2e_3d4c_5b6a_7988);
    let mut depths = 0;
    for _ in 0..2_000 {
        let place = first.wrapping_add(chance.next() % 0x10_0000);
        let registers = [0; 8].map(|_: u64| chance.next() % 4 * 8 + 0x7000);
        let registers = [place, 0x7000, registers[2], registers[3], 0, 0, 0, 0];
        // A stack full of addresses of the image, and of itself.
        let word = |chance: &mut Chance| match chance.next() % 3 {
            0 => 0x7000 + chance.next() % 512,
            _ => first.wrapping_add(chance.next() % 0x10_0000),
        };
        let stack: Vec<u8> = (0..64).flat_map(|_| word(&mut chance).to_le_bytes()).collect();
        let (calls, _) = unwinder.calls(Kept::new(registers), &stack, 0, MOST);
        assert!((1..=MOST).contains(&calls.len()));
        assert_eq!(calls[0], place);
        depths += calls.len();
    }
    assert!(depths > 2_000, "some of them lead on");
}

#[test]
fn what_is_not_there_is_said() {
    let (file, unwinder) = own();
    // Not where the program begins: that is the outermost.
    let place = unwinder.known().iter().find(|(name, _)| name != "_start").unwrap().1;
    assert_eq!(unwinder.calls(Kept::new([place, 0x7000, 0, 0, 0, 0, 0, 0]), &[], 0, MOST), (vec![place], End::Cut));
    assert_eq!(unwinder.calls(Kept::new([1, 0x7000, 0, 0, 0, 0, 0, 0]), &[0; 64], 0, MOST), (vec![1], End::Unknown));
    assert_eq!(unwinder.calls(Kept::new([0; 8]), &[0; 64], 0, MOST), (vec![], End::Outermost));
    let moved = unwinder.calls(Kept::new([place + 0x5000, 0x7000, 0, 0, 0, 0, 0, 0]), &[], 0x5000, MOST);
    assert_eq!(moved, (vec![place + 0x5000], End::Cut));
    assert_eq!(unwinder.calls(Kept::new([place, 0x7000, 0, 0, 0, 0, 0, 0]), &[0; 64], 0, 0), (vec![], End::Enough));
    assert!(Unwinder::read(b"nothing").is_err() && Unwinder::read(&file[..64]).is_err());
}

/// Tables with wrong bytes in them are read as far as they go, and followed nowhere for ever.
#[test]
fn tables_that_lie() {
    let (file, unwinder) = own();
    let place = unwinder.known()[0].1;
    let section = {
        use object::{Object as _, ObjectSection as _};
        object::File::parse(&*file).unwrap().section_by_name(".eh_frame").unwrap().file_range().unwrap()
    };
    let mut chance = Chance(77);
    for _ in 0..20 {
        let mut lying = file.clone();
        for _ in 0..200 {
            let at = section.0 + chance.next() % section.1;
            lying[at as usize] = chance.next() as u8;
        }
        let Ok(unwinder) = Unwinder::read(&lying) else { continue };
        for step in 0..200 {
            let place = place.wrapping_add(step * 64);
            let (calls, _) = unwinder.calls(Kept::new([place, 0x7000, 0x7010, 0, 0, 0, 0, 0]), &[0x70; 512], 0, MOST);
            assert!(calls.len() <= MOST);
        }
    }
}
