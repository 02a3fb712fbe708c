//! Functions that must not be probed, with the reason.
//!
//! A hook inside what the hook itself uses is harmless (the recursion guard counts a miss), so the list holds only what
//! would make the image unusable or the figures meaningless.

/// One entry of the no-probe list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied {
    /// Function name; a trailing `*` stands for any rest.
    pub pattern: &'static str,
    /// Why it must not be probed.
    pub reason: &'static str,
}

impl Denied {
    const fn new(pattern: &'static str, reason: &'static str) -> Self {
        Denied { pattern, reason }
    }

    fn covers(&self, function: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(start) => function.starts_with(start),
            None => function == self.pattern,
        }
    }
}

const RUNTIME: &str = "it is part of the runtime itself";
const MEMORY: &str = "hooks use it to copy memory";
const LOCK: &str = "locks are taken with interrupts off";
const SWITCH: &str = "it switches threads: its stack is not the caller's when it returns";
const CONSOLE: &str = "the console driver writes what hooks report";
const TRAP: &str = "it handles the traps and interrupts that patching relies on";

/// The built-in no-probe list.
pub const BUILT_IN: &[Denied] = &[
    Denied::new("ubpf_*", RUNTIME),
    Denied::new("ushell_*", RUNTIME),
    Denied::new("__cyg_profile_func_*", RUNTIME),
    Denied::new("mcount", RUNTIME),
    Denied::new("__fentry__", RUNTIME),
    Denied::new("memcpy", MEMORY),
    Denied::new("memmove", MEMORY),
    Denied::new("memset", MEMORY),
    Denied::new("memcmp", MEMORY),
    Denied::new("bcmp", MEMORY),
    Denied::new("uk_spin_*", LOCK),
    Denied::new("ukplat_spin_*", LOCK),
    Denied::new("uk_sched_thread_switch", SWITCH),
    Denied::new("ukarch_ctx_switch", SWITCH),
    Denied::new("uk_console_out*", CONSOLE),
    Denied::new("ukplat_coutk", CONSOLE),
    Denied::new("ukplat_coutd", CONSOLE),
    Denied::new("ns16550_*", CONSOLE),
    Denied::new("do_trap*", TRAP),
    Denied::new("uk_nofault_*", TRAP),
];

/// Functions that return more than once for one call, or keep the address that they return to.
const RETURN_TWICE: &[&str] = &[
    "setjmp",
    "_setjmp",
    "__setjmp",
    "sigsetjmp",
    "__sigsetjmp",
    "savectx",
    "vfork",
    "__vfork",
    "getcontext",
    "swapcontext",
];

/// The reason why programs cannot be attached to the return of `function`, if it is one of those.
pub fn returns_twice(function: &str) -> Option<&'static str> {
    let twice = RETURN_TWICE.contains(&function);
    twice.then_some("it returns twice for one call, and what it has kept leads back here the second time")
}

/// The reason why `function` must not be probed, if it is on the list.
pub fn reason(function: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|d| d.covers(function)).map(|d| d.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_prefixes() {
        assert_eq!(reason("memcpy"), Some(MEMORY));
        assert_eq!(reason("ubpf_hook_entry"), Some(RUNTIME));
        assert_eq!(reason("memcpy_fast"), None);
        assert_eq!(reason("myfun"), None);
    }
}
