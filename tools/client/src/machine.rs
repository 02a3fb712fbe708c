//! The shell's framed mode, from the other side: requests go out, their output and how they ended come back.

use crate::{holder::Holder, texts::Texts, ClientError};
use std::{
    collections::VecDeque,
    fs,
    io::{self, Read, Write},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};
use ushell_rs::{
    crc32::crc32,
    frame::{self, Frame, Kind, Outcome, Received, Receiver, ESCAPE, PAYLOAD, VERSION},
};

/// So many silent ticks, and the shell is asked how things stand.
const ASK_AFTER: u32 = 5;
/// So many times asked in vain, and the conversation is begun again.
const GREET_AFTER: u32 = 2;
/// First wait for a greeting in ticks; each next one is twice as long.
const GREETING: u32 = 2;
const LONGEST_GREETING: u32 = 20;
/// Bytes of a file that are sent before the shell has said that it has them.
const WINDOW: usize = 16 * PAYLOAD;
/// How often a file is sent from its beginning: a byte that a bad line has made a `^C` of breaks it off.
const UPLOADS: usize = 16;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often is looked after what else there is to do while nothing comes.
    pub tick: Duration,
    /// How long a shell may be silent.
    pub timeout: Duration,
    /// How long it may take to greet.
    pub patience: Duration,
}

impl Timing {
    /// For people and scripts.
    pub fn new(timeout: Duration) -> Self {
        Self { tick: Duration::from_millis(100), timeout, patience: timeout }
    }
}

/// Between two looks at what is not there yet.
const PAUSE: Duration = Duration::from_millis(50);

/// What is done with output as it comes.
pub type Show<'s> = &'s mut dyn FnMut(&[u8]) -> io::Result<()>;

/// A shell in framed mode.
pub struct Client {
    stream: UnixStream,
    timing: Timing,
    receiver: Receiver,
    frames: VecDeque<Answer>,
    /// What came between frames.
    text: Vec<u8>,
    nonce: u64,
    /// Number of the last request.
    id: u32,
    _holder: Option<Holder>,
    /// Asked while a command runs: whether to end it.
    interrupt: Option<Box<dyn FnMut() -> bool>>,
    /// Whether the last request was to end, by that or since nobody reads its output.
    ended: bool,
}

/// A frame of the shell.
struct Answer {
    kind: Kind,
    id: u32,
    place: u32,
    payload: Vec<u8>,
}

/// A request on its way.
struct Request<'r> {
    kind: Kind,
    place: u32,
    payload: &'r [u8],
    /// The file that comes after it.
    contents: &'r [u8],
}

/// How far a request is.
#[derive(Default)]
struct Progress {
    /// Bytes of output seen.
    shown: u32,
    /// Bytes of output that did not come.
    lost: u32,
    /// Why output is not shown any more: the request is to end, and what still comes of it is dropped.
    unshown: Option<io::Error>,
    /// Bytes of the file sent.
    sent: usize,
    /// Bytes of the file that the shell has.
    taken: usize,
}

impl Client {
    /// Connects, and begins a conversation whatever the shell was at before. `wait`: how long the socket may take to appear.
    pub fn connect(socket: &Path, timeout: Duration, wait: Duration) -> Result<Self, ClientError> {
        let holder = Self::take_turn(socket, timeout.max(wait))?;
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let tried = Self::open(socket).and_then(|stream| {
                let patience = timeout.max(left);
                Self::over(stream, Timing { patience, ..Timing::new(timeout) })
            });
            match tried {
                Err(ClientError::Connect { .. } | ClientError::Vanished) if Instant::now() < until => {
                    thread::sleep(PAUSE);
                }
                Ok(client) => {
                    let _holder = holder;
                    return Ok(Self { _holder, ..client });
                }
                error => return error,
            }
        }
    }

    /// Who holds the port now, if anybody does.
    pub fn held(socket: &Path) -> Option<ClientError> {
        Holder::take(socket).err()
    }

    /// Waits until no other client holds the port.
    fn take_turn(socket: &Path, patience: Duration) -> Result<Option<Holder>, ClientError> {
        let begin = Instant::now();
        loop {
            match Holder::take(socket) {
                Err(ClientError::Held { .. }) if begin.elapsed() < patience => thread::sleep(PAUSE),
                result => return result,
            }
        }
    }

    fn open(socket: &Path) -> Result<UnixStream, ClientError> {
        UnixStream::connect(socket).map_err(|error| {
            let other = fs::metadata(socket).is_ok_and(|found| !found.file_type().is_socket());
            // The system says of such a file that nobody listens there.
            let error = match error.kind() {
                kind if other => io::Error::new(kind, "is no socket"),
                kind @ io::ErrorKind::ConnectionRefused => {
                    io::Error::new(kind, "nobody listens there: who opened this socket has ended")
                }
                _ => error,
            };
            ClientError::Connect { socket: socket.display().to_string(), error }
        })
    }

    /// Begins a conversation over a connection that stands.
    pub fn over(stream: UnixStream, timing: Timing) -> Result<Self, ClientError> {
        stream.set_write_timeout(Some(timing.timeout.max(timing.patience)))?;
        let mut client = Self {
            stream,
            timing,
            receiver: Receiver::new(),
            frames: VecDeque::new(),
            text: Vec::new(),
            nonce: nonce(),
            id: 0,
            _holder: None,
            interrupt: None,
            ended: false,
        };
        client.begin()?;
        Ok(client)
    }

    /// While a command runs, `asked` is called about ten times a second; when it says so, the command is ended as by `^C`.
    pub fn set_interrupt(&mut self, asked: impl FnMut() -> bool + 'static) {
        self.interrupt = Some(Box::new(asked));
    }

    /// Says hello until there is a greeting. What was sent while the port still was another one's may be gone.
    fn begin(&mut self) -> Result<(), ClientError> {
        let Timing { tick, patience, .. } = self.timing;
        let (start, mut pause) = (Instant::now(), tick * GREETING);
        // The prompt of a new connection; a line without such news says nothing.
        self.next(tick)?;
        loop {
            self.hello("\x03")?;
            let asked = Instant::now();
            while asked.elapsed() < pause {
                let answer = self.next(pause)?;
                if answer.is_some_and(|answer| self.is_greeting(&answer)) {
                    self.text.clear();
                    return Ok(());
                }
                self.check_version()?;
            }
            if start.elapsed() > patience {
                return Err(ClientError::Silent(patience));
            }
            pause = (2 * pause).min(tick * LONGEST_GREETING);
        }
    }

    fn hello(&mut self, first: &str) -> Result<(), ClientError> {
        let crc = frame::sum(VERSION.into(), self.nonce);
        let line = format!("{first}session {VERSION} {} {crc}\n", self.nonce);
        self.write(line.as_bytes())
    }

    fn is_greeting(&self, answer: &Answer) -> bool {
        answer.kind == Kind::Greeting && answer.payload.starts_with(&self.nonce.to_le_bytes())
    }

    /// Whether the shell has said in text that it speaks another version, or none.
    fn check_version(&self) -> Result<(), ClientError> {
        let text = String::from_utf8_lossy(&self.text);
        if text.contains("unknown command `session`") {
            return Err(ClientError::Version(None));
        }
        let mark = format!("session {}: version ", self.nonce);
        let Some((_, rest)) = text.split_once(&mark) else {
            return Ok(());
        };
        let digits = rest.split_once(' ').map(|(digits, _)| digits.parse());
        match digits {
            Some(Ok(version)) => Err(ClientError::Version(Some(version))),
            _ => Ok(()),
        }
    }

    /// Runs a command; tells whether it did well.
    pub fn run(&mut self, line: &str, show: Show<'_>) -> Result<bool, ClientError> {
        if line.len() > PAYLOAD {
            return Err(ClientError::LongLine(line.len()));
        }
        let request = Request { kind: Kind::Command, place: 0, payload: line.as_bytes(), contents: &[] };
        match self.request_in_words(&request, Texts::of(line), show, &mut |_| {})? {
            Outcome::BrokenOff => Err(ClientError::BrokenOff),
            outcome => Ok(outcome == Outcome::Good),
        }
    }

    /// Runs a command and collects the lines of its output; tells whether it did well.
    pub fn answer(&mut self, line: &str) -> Result<(bool, Vec<String>), ClientError> {
        let mut output = Vec::new();
        let good = self.run(line, &mut |bytes| {
            output.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok((good, String::from_utf8_lossy(&output).lines().map(String::from).collect()))
    }

    /// The lines of its output, for questions that are not shown; nothing if it fails.
    pub fn ask(&mut self, line: &str) -> Result<Vec<String>, ClientError> {
        let (good, lines) = self.answer(line)?;
        Ok(if good { lines } else { Vec::new() })
    }

    /// Waits for at most so long, with nothing asked for.
    ///
    /// # Errors
    /// The connection ends meanwhile.
    pub fn idle(&mut self, wait: Duration) -> Result<(), ClientError> {
        self.next(wait).map(drop)
    }

    /// Uploads a file; tells whether it did well. `progress` is told how many bytes the shell has.
    pub fn put(
        &mut self,
        name: &str,
        contents: &[u8],
        show: Show<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<bool, ClientError> {
        let size = u32::try_from(contents.len()).map_err(|_| ClientError::LargeFile)?;
        let payload = [&crc32(contents).to_le_bytes(), name.as_bytes()].concat();
        if payload.len() > PAYLOAD {
            return Err(ClientError::LongLine(name.len()));
        }
        let request = Request { kind: Kind::File, place: size, payload: &payload, contents };
        for _ in 0..UPLOADS {
            match self.request_in_words(&request, Texts::default(), show, progress)? {
                // Sending it once more changes nothing that is there.
                Outcome::BrokenOff if !self.ended => {}
                Outcome::BrokenOff => break,
                outcome => return Ok(outcome == Outcome::Good),
            }
        }
        Err(ClientError::BrokenOff)
    }

    /// The same as [`Self::request`], with what a terse image leaves to its client.
    fn request_in_words(
        &mut self,
        request: &Request<'_>,
        mut texts: Texts,
        show: Show<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Outcome, ClientError> {
        let outcome = self.request(request, &mut |bytes| texts.take(bytes, show), progress);
        // What came before a failure is shown, too.
        texts.end(show).map_err(ClientError::Output)?;
        outcome
    }

    /// Sends a request and whatever comes after it, until it is done.
    fn request(
        &mut self,
        request: &Request<'_>,
        show: Show<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Outcome, ClientError> {
        self.id += 1;
        self.ended = false;
        self.send_request(request)?;
        let (mut at, mut heard, mut silent) = (Progress::default(), Instant::now(), 0u32);
        let (mut asked, mut sent, mut is_lost) = (heard, heard, false);
        loop {
            if is_lost && sent.elapsed() >= self.timing.tick {
                self.send_request(request)?;
                (at.sent, sent, is_lost) = (0, Instant::now(), false);
            }
            self.send_pieces(request, &mut at)?;
            self.ask_whether_to_end(&mut asked, at.unshown.is_some())?;
            let answer = self.next(self.timing.tick)?;
            let arrived = answer.as_ref().is_some_and(|answer| !self.has_not_arrived(answer));
            if !arrived && heard.elapsed() > self.timing.timeout {
                return Err(ClientError::Timeout(self.timing.timeout));
            }
            let Some(answer) = answer else {
                silent += 1;
                self.look_after(silent)?;
                continue;
            };
            silent = 0;
            if !arrived {
                is_lost = true;
                continue;
            }
            (heard, is_lost) = (Instant::now(), false);
            if let Some(outcome) = self.take(&answer, request, &mut at, show)? {
                return Ok(outcome);
            }
            progress(at.taken);
        }
    }

    fn send_request(&mut self, request: &Request<'_>) -> Result<(), ClientError> {
        self.send(request.kind, request.place, request.payload)
    }

    fn send_pieces(&mut self, request: &Request<'_>, at: &mut Progress) -> Result<(), ClientError> {
        while at.sent < request.contents.len() && at.sent < at.taken + WINDOW {
            let rest = &request.contents[at.sent..];
            let piece = &rest[..rest.len().min(PAYLOAD)];
            self.send(Kind::Piece, at.sent as u32, piece)?;
            at.sent += piece.len();
        }
        Ok(())
    }

    /// `unread`: nobody reads what it says.
    fn ask_whether_to_end(&mut self, asked: &mut Instant, unread: bool) -> Result<(), ClientError> {
        // A command that is done by then is not worth the question.
        if asked.elapsed() < 2 * self.timing.tick {
            return Ok(());
        }
        *asked = Instant::now();
        if unread || self.interrupt.as_mut().is_some_and(|asked| asked()) {
            self.ended = true;
            self.write(b"\x03")?;
        }
        Ok(())
    }

    /// Nothing has come for so many ticks.
    fn look_after(&mut self, silent: u32) -> Result<(), ClientError> {
        if silent.is_multiple_of(ASK_AFTER * GREET_AFTER) {
            self.hello(&format!("{}\n", char::from(ESCAPE)))?;
        }
        if silent.is_multiple_of(ASK_AFTER) {
            self.send(Kind::Ask, 0, &[])?;
        }
        Ok(())
    }

    /// Whether this says that the request has not arrived.
    fn has_not_arrived(&self, answer: &Answer) -> bool {
        let is_state = answer.kind == Kind::State || self.is_greeting(answer);
        is_state && answer.id.wrapping_add(1) == self.id
    }

    /// Takes what the shell says; gives how the request ended when it has.
    fn take(
        &mut self,
        answer: &Answer,
        request: &Request<'_>,
        at: &mut Progress,
        show: Show<'_>,
    ) -> Result<Option<Outcome>, ClientError> {
        match answer.kind {
            Kind::Greeting if !self.is_greeting(answer) => Ok(None),
            Kind::State if answer.id != self.id => Err(ClientError::Forgotten),
            Kind::State => {
                at.taken = (answer.place as usize).min(request.contents.len());
                at.sent = at.taken;
                Ok(None)
            }
            _ if answer.id != self.id => Ok(None),
            Kind::Taken => {
                at.taken = at.taken.max(answer.place as usize);
                Ok(None)
            }
            Kind::Output => {
                at.output(answer, show);
                Ok(None)
            }
            Kind::End => at.end(answer).map(Some),
            _ => Ok(None),
        }
    }

    fn send(&mut self, kind: Kind, place: u32, payload: &[u8]) -> Result<(), ClientError> {
        let frame = Frame { kind, id: self.id, place, payload };
        let mut bytes = Vec::with_capacity(2 * payload.len() + 40);
        frame.write(|byte| bytes.push(byte));
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let timeout = self.timing.timeout;
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout(timeout),
            _ => error.into(),
        };
        self.stream.write_all(bytes).map_err(explain)
    }

    /// The next frame; `None` if nothing came for so long.
    fn next(&mut self, wait: Duration) -> Result<Option<Answer>, ClientError> {
        if let Some(frame) = self.frames.pop_front() {
            return Ok(Some(frame));
        }
        self.stream.set_read_timeout(Some(wait))?;
        let mut page = [0; 4096];
        let count = match self.stream.read(&mut page) {
            Ok(0) => return Err(ClientError::Vanished),
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => return Ok(None),
                _ => return Err(error.into()),
            },
        };
        for &byte in &page[..count] {
            self.take_byte(byte);
        }
        Ok(self.frames.pop_front())
    }

    fn take_byte(&mut self, byte: u8) {
        match self.receiver.push(byte) {
            Received::Text(byte) if self.text.len() < 64 * 1024 => self.text.push(byte),
            Received::Frame => self.frames.extend(self.receiver.frame().map(|frame| Answer {
                kind: frame.kind,
                id: frame.id,
                place: frame.place,
                payload: frame.payload.to_vec(),
            })),
            // What is missing shows by the place of what comes next.
            Received::Text(_) | Received::Damaged | Received::Nothing => {}
        }
    }
}

impl Progress {
    fn output(&mut self, answer: &Answer, show: Show<'_>) {
        if answer.place < self.shown {
            // Doubled.
            return;
        }
        self.lost += answer.place - self.shown;
        self.shown = answer.place.saturating_add(answer.payload.len() as u32);
        if self.unshown.is_none() {
            self.unshown = show(&answer.payload).err();
        }
    }

    fn end(&mut self, answer: &Answer) -> Result<Outcome, ClientError> {
        // Whoever asked can go on with the next request: this one runs no more.
        if let Some(error) = self.unshown.take() {
            return Err(ClientError::Output(error));
        }
        let outcome = match answer.payload.as_slice() {
            [0] => Outcome::Good,
            [1] => Outcome::Failed,
            _ => Outcome::BrokenOff,
        };
        self.lost += answer.place.saturating_sub(self.shown);
        match self.lost {
            0 => Ok(outcome),
            lost => Err(ClientError::Lost { lost, of: answer.place, good: outcome == Outcome::Good }),
        }
    }
}

/// A number that no other conversation has.
fn nonce() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos() as u64);
    now ^ u64::from(std::process::id()) << 40
}

/// A word as the shell reads it back.
pub fn quote(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
