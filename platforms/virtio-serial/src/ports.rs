//! The ports of one device: what the control messages say about them and what has to be answered.
//!
//! Answers are kept as flags, not in a queue, so a flood of messages cannot overflow anything.

use crate::control::{self, Message};

/// Longest name that a port can be found by.
pub const MAX_NAME: usize = 32;

/// Number of a port on its device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortId(pub u8);

/// What a control message changed for the user of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The wanted port can be used: the host has it open and its name is known.
    Opened(PortId),
    /// The wanted port was closed by the host, was removed or lost its name.
    Closed(PortId),
}

/// The state of up to `N` ports, of which the one called `wanted` is opened.
pub struct Ports<const N: usize> {
    wanted: &'static str,
    ports: [Port; N],
    announce: bool,
    /// The last port that was refused because its number is too high.
    refuse: Option<u32>,
    ignored: u32,
}

#[derive(Clone, Copy)]
struct Port {
    present: bool,
    host_open: bool,
    wanted: bool,
    name: Name,
    answer_ready: bool,
    answer_open: bool,
}

#[derive(Clone, Copy)]
struct Name {
    bytes: [u8; MAX_NAME],
    len: u8,
}

impl<const N: usize> Ports<N> {
    /// No ports yet. The first answer tells the device that the driver is ready.
    pub const fn new(wanted: &'static str) -> Self {
        Self { wanted, ports: [Port::ABSENT; N], announce: true, refuse: None, ignored: 0 }
    }

    /// Takes in one control message.
    pub fn receive(&mut self, bytes: &[u8]) -> Option<Change> {
        let Some((message, name)) = Message::decode(bytes) else {
            self.ignore();
            return None;
        };
        if message.event == control::PORT_ADD && message.port >= N as u32 {
            self.refuse = Some(message.port);
            return None;
        }
        let id = PortId(u8::try_from(message.port).unwrap_or(u8::MAX));
        let wanted = self.wanted;
        let Some(port) = self.ports.get_mut(usize::from(id.0)) else {
            self.ignore();
            return None;
        };
        let before = port.usable();
        if !port.apply(message, name, wanted) {
            self.ignore();
            return None;
        }
        match (before, port.usable()) {
            (false, true) => Some(Change::Opened(id)),
            (true, false) => Some(Change::Closed(id)),
            _ => None,
        }
    }

    /// Messages may have been lost: asks the device for its ports anew. Until it tells so again, the host has none open.
    pub fn ask_again(&mut self) {
        self.announce = true;
        for port in &mut self.ports {
            port.host_open = false;
        }
    }

    /// The next message to send to the device, if any. Call [`Ports::sent`] once it is in the queue.
    pub fn answer(&self) -> Option<Message> {
        if self.announce {
            return Some(Message { port: 0, event: control::DEVICE_READY, value: 1 });
        }
        if let Some(port) = self.refuse {
            return Some(Message { port, event: control::PORT_READY, value: 0 });
        }
        let mut numbered = (0u32..).zip(self.ports.iter());
        numbered.find_map(|(number, port)| {
            let event = port.next_answer()?;
            Some(Message { port: number, event, value: 1 })
        })
    }

    /// The message that [`Ports::answer`] gave was sent.
    pub fn sent(&mut self) {
        if self.announce {
            self.announce = false;
        } else if self.refuse.is_some() {
            self.refuse = None;
        } else if let Some(port) = self.ports.iter_mut().find(|port| port.next_answer().is_some()) {
            port.answer_sent();
        }
    }

    /// The port with this name.
    pub fn find(&self, name: &str) -> Option<PortId> {
        let at = self.ports.iter().position(|port| port.present && port.name.is(name.as_bytes()))?;
        u8::try_from(at).ok().map(PortId)
    }

    /// The first port with the wanted name, open or not.
    pub fn wanted(&self) -> Option<PortId> {
        self.find(self.wanted)
    }

    /// Whether the host has this port open (whatever it is called).
    pub fn is_open(&self, id: PortId) -> bool {
        self.ports.get(usize::from(id.0)).is_some_and(|port| port.present && port.host_open)
    }

    /// How many messages made no sense and were ignored.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    fn ignore(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }
}

impl Port {
    const ABSENT: Self = Self {
        present: false,
        host_open: false,
        wanted: false,
        name: Name { bytes: [0; MAX_NAME], len: 0 },
        answer_ready: false,
        answer_open: false,
    };

    fn usable(&self) -> bool {
        self.present && self.host_open && self.wanted
    }

    /// False when the message makes no sense for this port.
    fn apply(&mut self, message: Message, name: &[u8], wanted: &str) -> bool {
        match message.event {
            control::PORT_ADD if !self.present => {
                *self = Self { present: true, answer_ready: true, ..Self::ABSENT };
            }
            // Said twice: answer twice, but keep what is known.
            control::PORT_ADD => self.answer_ready = true,
            _ if !self.present => return false,
            control::PORT_REMOVE => *self = Self::ABSENT,
            control::PORT_OPEN => self.host_open = message.value != 0,
            control::PORT_NAME => self.rename(name, wanted),
            control::CONSOLE_PORT | control::RESIZE => {}
            _ => return false,
        }
        true
    }

    fn rename(&mut self, name: &[u8], wanted: &str) {
        self.name = Name::from_device(name);
        self.wanted = self.name.is(wanted.as_bytes());
        self.answer_open = self.wanted;
    }

    fn next_answer(&self) -> Option<u16> {
        match (self.answer_ready, self.answer_open) {
            (true, _) => Some(control::PORT_READY),
            (false, true) => Some(control::PORT_OPEN),
            (false, false) => None,
        }
    }

    fn answer_sent(&mut self) {
        if self.answer_ready {
            self.answer_ready = false;
        } else {
            self.answer_open = false;
        }
    }
}

impl Name {
    /// A name as the device sends it, with or without a final zero; one that is too long matches nothing.
    fn from_device(name: &[u8]) -> Self {
        let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        let mut kept = Self { bytes: [0; MAX_NAME], len: 0 };
        if let Some(space) = kept.bytes.get_mut(..name.len()) {
            space.copy_from_slice(name);
            kept.len = u8::try_from(name.len()).unwrap_or(0);
        }
        kept
    }

    fn is(&self, name: &[u8]) -> bool {
        !name.is_empty() && self.bytes.get(..usize::from(self.len)) == Some(name)
    }
}
