//! Fault-safe reads: the kernel copies from this process to itself and reports what is not mapped.

use ubpf_rs::platform::FaultSafeRead;

const PAGE: u64 = 4096;

/// Reads this process's memory by `process_vm_readv`.
pub struct SelfRead;

// SAFETY: a fault ends the read, and nothing but the destination is written.
unsafe impl FaultSafeRead for SelfRead {
    fn read(&self, addr: u64, dst: &mut [u8]) -> usize {
        let mut done = 0;
        // Page by page: a transfer is all or nothing within one piece.
        while let Some(rest) = dst.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(at) = addr.checked_add(done as u64) else {
                break;
            };
            let piece = rest.len().min((PAGE - at % PAGE) as usize);
            if !read_piece(at, &mut rest[..piece]) {
                break;
            }
            done += piece;
        }
        done
    }
}

fn read_piece(addr: u64, dst: &mut [u8]) -> bool {
    let local = libc::iovec { iov_base: dst.as_mut_ptr().cast(), iov_len: dst.len() };
    let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: dst.len() };
    // SAFETY: the local piece is a live slice; the remote one is only looked at by the kernel, which reports a fault
    // instead of raising one.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    usize::try_from(n) == Ok(dst.len())
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
    }
}
