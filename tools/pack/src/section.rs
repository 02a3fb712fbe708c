//! What the name of a section says of its programs.

use crate::error::{text, Error};
use alloc::borrow::Cow;
use ubpf_rs::{
    object::{ProgramKind, LONGEST_NAME},
    platform::SYSCALL,
    program::PointKind::{self, Entry, Return, Timer},
};

/// What calls a program, and where it wants to be attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted<'f> {
    pub kind: ProgramKind,
    pub attach: Option<PointKind>,
    pub target: Cow<'f, str>,
    pub offset: u64,
}

impl Wanted<'_> {
    /// Whether Linux has programs of this kind.
    pub fn is_linux(&self) -> bool {
        self.kind != ProgramKind::Memory
    }
}

const PROBES: &[(&str, ProgramKind, PointKind)] = {
    use ProgramKind::{Arguments, Registers};
    &[
        ("kprobe", Registers, Entry),
        ("kretprobe", Registers, Return),
        ("ksyscall", Registers, Entry),
        ("kretsyscall", Registers, Return),
        ("uprobe", Registers, Entry),
        ("uretprobe", Registers, Return),
        ("ufunc", Registers, Entry),
        ("uretfunc", Registers, Return),
        ("fentry", Arguments, Entry),
        ("fexit", Arguments, Return),
    ]
};

/// Those that name a system call.
const SYSCALLS: &[&str] = &["ksyscall", "kretsyscall"];

/// Kinds that something other than a function calls.
const OTHERS: &[(&str, ProgramKind)] = {
    use ProgramKind::{Classifier, Sample, Socket, Tracepoint, Unfired, Words, Xdp};
    &[
        ("xdp", Xdp),
        ("xdp_devmap", Xdp),
        ("xdp_cpumap", Xdp),
        ("tc", Classifier),
        ("tcx", Classifier),
        ("classifier", Classifier),
        ("action", Classifier),
        ("socket", Socket),
        ("tracepoint", Tracepoint),
        ("tp", Tracepoint),
        ("raw_tracepoint", Words),
        ("raw_tp", Words),
        ("raw_tracepoint.w", Words),
        ("raw_tp.w", Words),
        ("tp_btf", Words),
        ("iter", Words),
        ("lsm", Words),
        ("lsm_cgroup", Words),
        ("fmod_ret", Words),
        ("freplace", Unfired),
        ("perf_event", Sample),
        ("usdt", Unfired),
        ("syscall", Unfired),
        ("struct_ops", Unfired),
        ("sk_skb", Unfired),
        ("sk_msg", Unfired),
        ("sk_lookup", Unfired),
        ("sk_reuseport", Unfired),
        ("sockops", Unfired),
        ("flow_dissector", Unfired),
        ("netfilter", Unfired),
        ("lwt_in", Unfired),
        ("lwt_out", Unfired),
        ("lwt_xmit", Unfired),
        ("lwt_seg6local", Unfired),
        ("lirc_mode2", Unfired),
        ("cgroup", Unfired),
        ("cgroup_skb", Unfired),
    ]
};

/// Sections that name a timer: how they begin, and how they are shown.
const TIMERS: [(&str, &str); 2] = [("profile:", "profile:HZ"), ("interval:", "interval:UNIT:N")];

/// The sections that say what calls a program: the beginning of the name, the kind, and where it is attached.
#[cfg(feature = "host")]
pub fn sections() -> impl Iterator<Item = (&'static str, ProgramKind, Option<PointKind>)> {
    let probes = PROBES.iter().map(|&(name, kind, point)| (name, kind, Some(point)));
    let timers = TIMERS.map(|(_, shown)| (shown, ProgramKind::Sample, Some(Timer)));
    probes.chain(OTHERS.iter().map(|&(name, kind)| (name, kind, None))).chain(timers)
}

/// What a section's name says. A name that says nothing is that of a program for `exec`, or for a function named when it is attached.
pub fn wanted(name: &str) -> Result<Wanted<'_>, Error> {
    let name = name.strip_prefix('?').unwrap_or(name);
    if TIMERS.iter().any(|(begin, _)| name.starts_with(begin)) {
        return Ok(Wanted { kind: ProgramKind::Sample, attach: Some(Timer), target: name.into(), offset: 0 });
    }
    let (head, rest) = name.split_once('/').unwrap_or((name, ""));
    let base = ["", ".s", ".multi", ".multi.s", ".session", ".frags"]
        .iter()
        .find_map(|ending| Some(head.strip_suffix(ending)?).filter(|_| !ending.is_empty()));
    let is = |known: &str| known == head || base.is_some_and(|base| known == base);
    if let Some(&(_, kind, attach)) = PROBES.iter().find(|probe| is(probe.0)) {
        let (target, offset) = match SYSCALLS.iter().any(|known| is(known)) && !rest.is_empty() {
            true => (Cow::Owned(text(format_args!("{SYSCALL}{rest}"), LONGEST_NAME)?), 0),
            false => target(rest),
        };
        return Ok(Wanted { kind, attach: Some(attach), target, offset });
    }
    let other = OTHERS.iter().find(|other| is(other.0));
    let kind = other.map_or(ProgramKind::Memory, |other| other.1);
    Ok(Wanted { kind, attach: None, target: Cow::Borrowed(""), offset: 0 })
}

/// `FILE:FUNCTION+OFFSET` without the file, which is the image.
fn target(text: &str) -> (Cow<'_, str>, u64) {
    let text = text.rsplit(':').next().unwrap_or(text);
    let Some((function, offset)) = text.rsplit_once('+') else {
        return (text.into(), 0);
    };
    let number = match offset.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => offset.parse(),
    };
    match number {
        Ok(offset) => (function.into(), offset),
        Err(_) => (text.into(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |name: &str, kind, attach, target: &str, offset| {
            let target = target.into();
            assert_eq!(wanted(name), Ok(Wanted { kind, attach, target, offset }), "{name}");
        };
        use ProgramKind::{Arguments, Memory, Registers, Sample, Tracepoint, Unfired, Words, Xdp};
        check("kprobe/myfun", Registers, Some(Entry), "myfun", 0);
        check("kretprobe/myfun", Registers, Some(Return), "myfun", 0);
        check("kprobe/myfun+0x10", Registers, Some(Entry), "myfun", 16);
        check("kprobe.multi/my*", Registers, Some(Entry), "my*", 0);
        check("uprobe//proc/self/exe:myfun", Registers, Some(Entry), "myfun", 0);
        check("ksyscall/openat", Registers, Some(Entry), "syscall:openat", 0);
        check("kretsyscall/*", Registers, Some(Return), "syscall:*", 0);
        check("ksyscall", Registers, Some(Entry), "", 0);
        check("uprobe", Registers, Some(Entry), "", 0);
        check("?fentry.s/myfun", Arguments, Some(Entry), "myfun", 0);
        check("xdp.frags", Xdp, None, "", 0);
        check("tp/sched/sched_switch", Tracepoint, None, "", 0);
        check("raw_tp.w/sched_switch", Words, None, "", 0);
        check("iter.s/task", Words, None, "", 0);
        check("perf_event", Sample, None, "", 0);
        check("profile:99", Sample, Some(Timer), "profile:99", 0);
        check("?interval:s:1", Sample, Some(Timer), "interval:s:1", 0);
        check("cgroup_skb/egress", Unfired, None, "", 0);
        check("prog", Memory, None, "", 0);
        check(".text", Memory, None, "", 0);
    }
}
