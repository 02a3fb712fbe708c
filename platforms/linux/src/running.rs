//! What the calling thread is called. Everything here is on the path from a hook.

use ubpf_rs::platform::Thread;

extern "C" {
    fn ubpf_linux_own_numbers() -> *mut u64;
}

/// Its numbers. They are asked for once: a system call at each hit would be much.
pub(crate) fn numbers() -> Thread {
    // SAFETY: points to a variable of the calling thread, which nobody else touches; nothing can go wrong with the other two.
    let own = unsafe {
        let own = ubpf_linux_own_numbers();
        if *own == 0 {
            *own = (libc::getpid() as u64) << 32 | libc::gettid() as u64;
        }
        *own
    };
    Thread { process: (own >> 32) as u32, thread: own as u32 }
}

/// The caller is the only thread of a child: it has other numbers now.
pub(crate) fn after_fork() {
    // SAFETY: as in `numbers`.
    unsafe { *ubpf_linux_own_numbers() = 0 };
}

/// Bytes that the kernel keeps of a name, its NUL included.
const NAME: usize = 16;

/// Writes its name, as much of it as there is room for; how many bytes it has then.
pub(crate) fn name(into: &mut [u8]) -> usize {
    let mut name = [0u8; NAME];
    // SAFETY: the kernel writes so many bytes at most, and a NUL at their end. It does not fail, so `errno` stays as it is.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let used = name.iter().take_while(|&&byte| byte != 0);
    into.iter_mut().zip(used).map(|(to, from)| *to = *from).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_number_and_a_name_of_its_own() {
        let of_a_thread = |called: &str| {
            let thread = std::thread::Builder::new().name(called.into()).spawn(|| {
                let mut short = [7; 4];
                let mut long = [7; 32];
                // SAFETY: takes nothing.
                let number = unsafe { libc::gettid() };
                assert_eq!((numbers(), numbers().thread), (numbers(), number as u32));
                let (cut, length) = (name(&mut short), name(&mut long));
                assert_eq!((&short[..cut], name(&mut [])), (&long[..4], 0));
                assert!(long[length..].iter().all(|&byte| byte == 7), "nothing is written behind it");
                (numbers(), String::from_utf8_lossy(&long[..length]).into_owned())
            });
            thread.unwrap().join().unwrap()
        };
        let (one, other) = (of_a_thread("worker"), of_a_thread("a name that is far too long"));
        assert_eq!((one.1.as_str(), other.1.as_str()), ("worker", "a name that is "));
        assert_eq!((one.0.process, other.0.process), (std::process::id(), std::process::id()));
        assert_ne!(one.0.thread, numbers().thread);
    }
}
