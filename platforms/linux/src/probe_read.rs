//! Fault-safe reads: the kernel copies from this process to itself and reports what is not mapped.

use ubpf_rs::platform::{FaultSafeRead, Walk};

const PAGE: u64 = 4096;

/// Reads this process's memory by `process_vm_readv`.
pub struct SelfRead;

// SAFETY: a fault ends the read, and nothing but the destination is written.
unsafe impl FaultSafeRead for SelfRead {
    fn read(&self, addr: u64, dst: &mut [u8]) -> usize {
        let mut done = 0;
        // Two pages at a time: a transfer is all or nothing within one of them.
        while let Some(rest) = dst.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(at) = addr.checked_add(done as u64) else {
                break;
            };
            let piece = rest.len().min((2 * PAGE - at % PAGE) as usize);
            let copied = read_two_pages(at, &mut rest[..piece]);
            done += copied;
            if copied < piece {
                break;
            }
        }
        done
    }

    /// As much of the stack as the kernel copies at once has many frames in it.
    fn walk(&self, walk: &Walk, out: &mut [u64]) -> usize {
        let (mut piece, mut base, mut len, mut left) = ([0u8; PIECE], 0, 0, MOST_PIECES);
        walk.go(out, |at| {
            let mut offset = at.wrapping_sub(base) as usize;
            if offset.checked_add(16).is_none_or(|end| end > len) {
                left = left.checked_sub(1)?;
                (base, len, offset) = (at, read_two_pages(at, &mut piece), 0);
            }
            let words = piece.get(offset..offset + 16).filter(|_| offset + 16 <= len)?;
            let word = |at: usize| words.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_ne_bytes);
            Some([word(0)?, word(8)?])
        })
    }
}

/// Bytes of a stack that are copied at once, and how often: a walk ends in time whatever it meets.
const PIECE: usize = 4096;
const MOST_PIECES: usize = 4;

/// Copies what lies in one page, or in two; how many bytes, without the second one where that is not mapped.
fn read_two_pages(addr: u64, dst: &mut [u8]) -> usize {
    let first = dst.len().min((PAGE - addr % PAGE) as usize);
    let local = libc::iovec { iov_base: dst.as_mut_ptr().cast(), iov_len: dst.len() };
    let part = |offset: usize, iov_len| libc::iovec { iov_base: addr.wrapping_add(offset as u64) as *mut _, iov_len };
    let remote = [part(0, first), part(first, dst.len() - first)];
    let parts = if first < dst.len() { 2 } else { 1 };
    copy(&local, remote.get(..parts).unwrap_or(&[])).min(dst.len())
}

/// Copies to a live slice what stands elsewhere in this process; how many bytes. A part that cannot be read ends the copy before it.
fn copy(local: &libc::iovec, remote: &[libc::iovec]) -> usize {
    // SAFETY: the local piece is a live slice; the remote ones are only looked at by the kernel, which reports a fault
    // instead of raising one.
    let copied = crate::keeping_errno(|| unsafe {
        libc::process_vm_readv(libc::getpid(), local, 1, remote.as_ptr(), remote.len() as libc::c_ulong, 0)
    });
    usize::try_from(copied).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_up_to_the_first_unmapped_page() {
        // SAFETY: a fresh anonymous mapping, whose second page is then taken away; nobody else knows it.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let base = libc::mmap(std::ptr::null_mut(), 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            libc::munmap(base.add(4096), 4096);
            base as u64
        };
        let mut dst = [1; 64];
        assert_eq!(SelfRead.read(base + 4096 - 16, &mut dst), 16);
        assert_eq!((dst[15], dst[16]), (0, 1));
        assert_eq!(SelfRead.read(0, &mut dst), 0);
        assert_eq!(SelfRead.read(u64::MAX - 3, &mut dst), 0);
        assert_eq!(read_two_pages(base + 4096 - 16, &mut dst), 16);
        assert_eq!((read_two_pages(base, &mut dst), read_two_pages(base + 4096, &mut dst)), (64, 0));
        assert_eq!(read_two_pages(u64::MAX - 3, &mut dst), 0);
    }

    /// Frames that lie far apart, and before memory that is not there.
    #[test]
    fn walks_through_its_own_frames() {
        let mut stack = vec![0u64; 4096];
        let address = |at: usize| stack.as_ptr() as u64 + 8 * at as u64;
        let places = [0, 2, 40, 300, 1000, 1002, 4000];
        let links: Vec<_> = places.windows(2).map(|pair| (pair[0], address(pair[1]))).collect();
        let end = places[places.len() - 1];
        let first = address(0);
        for (at, next) in links {
            (stack[at], stack[at + 1]) = (next, 5000 + at as u64);
        }
        (stack[end], stack[end + 1]) = (first.wrapping_sub(1 << 40), 9);
        let mut out = [0; 20];
        let walk = Walk { frame_pointer: first, pad: 0, home: |_| None };
        assert_eq!(SelfRead.walk(&walk, &mut out), 7);
        assert_eq!(out[..7], [5000, 5002, 5040, 5300, 6000, 6002, 9]);
        for frame_pointer in [0, 8, 7, u64::MAX - 7, 0x8000_0000_0000_0000] {
            assert_eq!(SelfRead.walk(&Walk { frame_pointer, ..walk }, &mut out), 0, "{frame_pointer:#x}");
        }
    }
}
