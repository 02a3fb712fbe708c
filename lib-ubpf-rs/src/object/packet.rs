//! Programs that are given packets: how long one is, and what they say of it.

use super::ProgramKind;

/// Most bytes of a packet.
pub const MAX_PACKET: usize = 1 << 16;

/// Why there is no packet to run a program on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoPacket {
    /// Nothing.
    Empty,
    /// More than a packet has.
    TooLong {
        /// Bytes there are.
        bytes: usize,
    },
}

/// Results of `xdp` programs, from 0 on.
const XDP: &[&str] = &["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];
/// Results of `tc` programs, from -1 on.
const CLASSIFIER: &[&str] = &[
    "TC_ACT_UNSPEC",
    "TC_ACT_OK",
    "TC_ACT_RECLASSIFY",
    "TC_ACT_SHOT",
    "TC_ACT_PIPE",
    "TC_ACT_STOLEN",
    "TC_ACT_QUEUED",
    "TC_ACT_REPEAT",
    "TC_ACT_REDIRECT",
    "TC_ACT_TRAP",
];

impl ProgramKind {
    /// Whether its argument is a packet.
    pub fn is_given_packets(self) -> bool {
        match self {
            ProgramKind::Xdp | ProgramKind::Classifier | ProgramKind::Socket => true,
            ProgramKind::Memory | ProgramKind::Registers | ProgramKind::Arguments => false,
            ProgramKind::Unfired | ProgramKind::Tracepoint | ProgramKind::Words | ProgramKind::Sample => false,
        }
    }

    /// Whether it can be run on so many bytes: a packet has some, and not too many. All others take what there is.
    ///
    /// # Errors
    /// It is given packets, and this is none.
    pub fn check_argument(self, bytes: usize) -> Result<(), NoPacket> {
        match bytes {
            _ if !self.is_given_packets() => Ok(()),
            0 => Err(NoPacket::Empty),
            1..=MAX_PACKET => Ok(()),
            bytes => Err(NoPacket::TooLong { bytes }),
        }
    }

    /// What a result says of the packet, as Linux calls it; `None` where it says nothing. Results are ints: the upper half is left as it comes.
    pub fn verdict(self, result: u64) -> Option<&'static str> {
        let (names, number) = match self {
            ProgramKind::Xdp => (XDP, result as u32),
            ProgramKind::Classifier => (CLASSIFIER, (result as u32).wrapping_add(1)),
            ProgramKind::Socket | ProgramKind::Memory | ProgramKind::Registers | ProgramKind::Arguments => return None,
            ProgramKind::Unfired | ProgramKind::Tracepoint | ProgramKind::Words | ProgramKind::Sample => return None,
        };
        names.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_by_the_names_that_linux_has() {
        let verdict = |kind: ProgramKind, result: i32| kind.verdict(result as u32 as u64);
        assert_eq!(verdict(ProgramKind::Xdp, 2), Some("XDP_PASS"));
        assert_eq!(verdict(ProgramKind::Xdp, -1), None);
        assert_eq!(verdict(ProgramKind::Xdp, 5), None);
        assert_eq!(verdict(ProgramKind::Classifier, -1), Some("TC_ACT_UNSPEC"));
        assert_eq!(verdict(ProgramKind::Classifier, 2), Some("TC_ACT_SHOT"));
        assert_eq!(verdict(ProgramKind::Classifier, 9), None);
        assert_eq!(verdict(ProgramKind::Socket, 1), None);
        // The upper half is not looked at.
        assert_eq!(ProgramKind::Xdp.verdict(0xffff_ffff_0000_0001), Some("XDP_DROP"));
    }

    #[test]
    fn a_packet_has_a_byte_and_no_more_than_64_kib() {
        assert_eq!(ProgramKind::Xdp.check_argument(0), Err(NoPacket::Empty));
        assert_eq!(ProgramKind::Socket.check_argument(MAX_PACKET), Ok(()));
        let bytes = MAX_PACKET + 1;
        assert_eq!(ProgramKind::Classifier.check_argument(bytes), Err(NoPacket::TooLong { bytes }));
        assert_eq!(ProgramKind::Memory.check_argument(0), Ok(()));
    }
}
