//! The console: standard output of the process.

use ubpf_rs::platform::Console;

/// File descriptor 1, unbuffered.
pub struct Stdout;

impl Console for Stdout {
    fn write(&self, bytes: &[u8]) {
        write_all(libc::STDOUT_FILENO, bytes);
    }
}

/// Writes all bytes; gives up on errors, since there is no better place to report them.
pub(crate) fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: pointer and length are those of a live slice.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(n) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or(&[]),
            Err(_) if super::errno() == libc::EINTR => {}
            Err(_) => return,
        }
    }
}
