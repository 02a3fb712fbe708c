//! The shell as a state machine.

mod framed;

use crate::{
    args::Args,
    backend::{Backend, ProbeId},
    beats::Beats,
    command::{Call, Command, Failure, RegisterError, Stream, Table, Then},
    commands::{self, complete},
    frame::Outcome,
    line::{EditError, Editor, Event, Screen},
    pace::give_way,
    suggest::Nearest,
    upload::Upload,
    words, Output, TERSE,
};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use ubpf_rs::platform::{has_room, Cancelled, Slice, SMALL_THINGS};

use framed::Conversation;

pub(crate) use framed::another_version;

const PROMPT: &[u8] = b"> ";
/// What `^C` sends.
const INTERRUPT: u8 = 3;

/// Who reads the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// A script or a line-wise tool: a prompt, no echo, no escape sequences.
    #[default]
    Plain,
    /// A person at a raw terminal: echo, editing, history, completion.
    Terminal,
    /// A program: no prompt; every line of output starts with `|`, and every command ends with a line `=ok` or `=error`
    /// (`=ok-`, `=error-` when the output did not end with a newline, which was then added).
    Machine,
    /// A program that wants to be sure: everything in frames (see [`crate::frame`]).
    Framed,
}

/// Limits of a shell.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Most bytes of output kept for a slow reader; at least 8 KiB.
    pub output_bytes: usize,
    /// Largest file that `put` takes.
    pub file_limit: usize,
    /// Most lines that the history keeps (it has room for 4 KiB).
    pub history_lines: usize,
    /// Raises a signal in the application; returns 0 or an errno value. `None` where there are no signals.
    pub raise: Option<extern "C" fn(signal: i32) -> i32>,
    /// By which a reader in frames hears that a command is at work, no other shell's. `None` where nothing can be written meanwhile.
    pub beats: Option<&'static Beats>,
}

impl Default for Config {
    fn default() -> Self {
        Self { output_bytes: 16 * 1024, file_limit: 1024 * 1024, history_lines: 64, raise: None, beats: None }
    }
}

/// A shell session over one byte stream.
pub struct Shell {
    backend: Box<dyn Backend>,
    config: Config,
    table: Table,
    editor: Editor,
    output: Output,
    activity: Activity,
    conversation: Conversation,
    mode: Mode,
    connected: bool,
    quit: bool,
    /// Programs that were attached for as long as the session lasts.
    attached: Vec<ProbeId>,
}

/// What the shell is at.
enum Activity {
    /// Reading a line.
    Line,
    /// Writing output page by page.
    Stream(Box<dyn Stream>),
    /// Taking a file.
    Receive(Upload),
}

impl Screen for Output {
    fn put(&mut self, bytes: &[u8]) {
        if self.is_terminal() {
            self.raw(bytes);
        }
    }
    fn is_terminal(&self) -> bool {
        self.mode() == Mode::Terminal
    }
}

impl Shell {
    /// A shell over `backend`, with the built-in commands.
    ///
    /// # Panics
    /// Without memory, of which [`try_new`](Self::try_new) makes an answer.
    #[allow(clippy::expect_used)]
    pub fn new(backend: impl Backend + 'static, config: Config) -> Self {
        Self::try_new(backend, config).expect("memory for a session of the shell")
    }

    /// A shell over `backend`, with the built-in commands; `None` without memory.
    pub fn try_new(backend: impl Backend + 'static, config: Config) -> Option<Self> {
        let output = Output::new(config.output_bytes.max(8 * 1024))?;
        has_room(SMALL_THINGS).then(|| Self {
            backend: Box::new(backend),
            config,
            table: Table::new(),
            editor: Editor::new(config.history_lines),
            output,
            activity: Activity::Line,
            conversation: Conversation::new(),
            mode: Mode::Plain,
            connected: false,
            quit: false,
            attached: Vec::new(),
        })
    }

    /// Adds a command to this shell only; see [`register_command`](crate::register_command) for all shells.
    pub fn register_command(&mut self, command: Command) -> Result<(), RegisterError> {
        self.table.register(command)
    }

    /// A reader has come: starts afresh, in plain mode, with a prompt.
    pub fn connected(&mut self) {
        self.disconnected();
        self.connected = true;
        self.prompt();
    }

    /// The reader has gone: a half-taken file, a half-typed line and unread output are dropped, and what was attached for the session alone is
    /// taken off.
    pub fn disconnected(&mut self) {
        self.activity = Activity::Line;
        self.conversation.break_off(self.output.answered());
        self.editor.reset();
        self.output.clear();
        self.set_mode(Mode::Plain);
        self.connected = false;
        self.quit = false;
        // The tracer finds what was attached last at once.
        for id in core::mem::take(&mut self.attached).into_iter().rev() {
            self.backend.detach_probe(id);
        }
    }

    /// Whether the person asked to end the session: the platform closes the connection once the output is drained, or
    /// ignores it, and the next input starts a new session.
    pub fn wants_close(&self) -> bool {
        self.quit && self.output.is_empty()
    }

    /// Drops a file whose contents are under way: who began it may have gone. The reader has seen a prompt, and sees no other.
    pub fn drop_file(&mut self) {
        if self.is_receiving() {
            self.activity = Activity::Line;
            self.editor.reset();
        }
    }

    /// Whether the reader is in the middle of a file's contents.
    pub fn is_receiving(&self) -> bool {
        matches!(self.activity, Activity::Receive(_))
    }

    /// Whether [`drain`](Self::drain) would give something. A command that waits for what programs write is not known to: while one
    /// [is writing](Self::is_writing), drain now and then.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty() || matches!(&self.activity, Activity::Stream(stream) if !stream.waits())
    }

    /// Takes input; returns how many bytes it took. The rest is to be offered again after output was drained: a reader
    /// who is slower than the writer holds the writer up.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        self.at_work(|shell| shell.feed_all(bytes))
    }

    /// Does what may take long: meanwhile the platform's [`Beats`] tell the reader so, if it talks in frames and all that stands before the
    /// next one was [drained](Self::drain).
    fn at_work<R>(&mut self, job: impl FnOnce(&mut Self) -> R) -> R {
        if self.mode == Mode::Framed && self.output.is_drained() {
            self.config.beats.inspect(|beats| beats.begin(self.backend.now_ns()));
        }
        let result = job(self);
        self.config.beats.inspect(|beats| beats.stop());
        result
    }

    fn feed_all(&mut self, bytes: &[u8]) -> usize {
        if !bytes.is_empty() && (!self.connected || self.wants_close()) {
            self.connected();
        }
        let mut taken: usize = 0;
        let mut slice = Slice::new(self.backend.now_ns());
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.feed_some(rest) {
                0 => break,
                count => taken = taken.saturating_add(count),
            }
            if rest.first() < Some(&b' ') {
                give_way(&*self.backend, &mut slice);
            }
        }
        taken
    }

    /// Whether a command writes its output page by page, so that `^C` ends it: that byte may then be fed ahead of other input.
    pub fn is_writing(&self) -> bool {
        matches!(self.activity, Activity::Stream(_))
    }

    /// Gives output; returns how many bytes. Writes on at what is unfinished.
    pub fn drain(&mut self, into: &mut [u8]) -> usize {
        self.at_work(|shell| shell.drain_all(into))
    }

    fn drain_all(&mut self, into: &mut [u8]) -> usize {
        let mut filled: usize = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            self.advance();
            match self.output.take(rest) {
                0 => break,
                count => filled = filled.saturating_add(count),
            }
        }
        filled
    }

    fn feed_some(&mut self, bytes: &[u8]) -> usize {
        let Some(&byte) = bytes.first() else { return 0 };
        if self.quit {
            return bytes.len();
        }
        if self.mode == Mode::Framed {
            // What ends a command must come through.
            let takes = self.output.has_room() || byte == 3;
            takes.then(|| self.take_framed(byte));
            return usize::from(takes);
        }
        match &mut self.activity {
            Activity::Receive(upload) => {
                let count = upload.take(bytes);
                self.finish_upload();
                count
            }
            Activity::Stream(stream) if byte == INTERRUPT || stream.ends_at_a_key() => {
                self.output.end_command();
                self.finish(Ok(()));
                1
            }
            Activity::Line if self.output.has_room() => {
                self.take_byte(byte);
                1
            }
            _ => 0,
        }
    }

    /// Writes the next page of a command's output.
    fn advance(&mut self) {
        let mut slice = Slice::new(self.backend.now_ns());
        while self.output.has_room() {
            let Activity::Stream(stream) = &mut self.activity else {
                return;
            };
            if !has_room(SMALL_THINGS) {
                return self.finish_without_memory();
            }
            if !stream.page(&*self.backend, &mut self.output) {
                return self.finish(Ok(()));
            }
            if stream.waits() {
                return self.output.flush();
            }
            if give_way(&*self.backend, &mut slice) && self.backend.is_cancelled() {
                return self.finish(Err(Cancelled.into()));
            }
        }
    }

    fn take_byte(&mut self, byte: u8) {
        match self.editor.push(byte, &mut self.output) {
            Event::None => {}
            Event::Line => self.run_line(),
            Event::Complete if !TERSE => self.complete(),
            Event::Complete => {}
            Event::Abandoned => self.prompt(),
            Event::Redraw => self.show_line(),
            Event::TerminalKey => {
                self.set_mode(Mode::Terminal);
                self.output.raw(b"\r\n");
                self.editor.ask_width(&mut self.output);
                self.show_line();
            }
        }
    }

    fn run_line(&mut self) {
        if !has_room(SMALL_THINGS) {
            self.editor.next_line();
            return self.finish_without_memory();
        }
        let result = match self.editor.line() {
            Ok(line) => words::split(line).map_err(Failure::from),
            Err(error) => Err(damaged(error)),
        };
        self.editor.next_line();
        match result {
            Ok(words) => match words.split_first() {
                Some((name, words)) => self.run(name, words),
                None => self.prompt(),
            },
            Err(failure) => self.finish(Err(failure)),
        }
    }

    fn run(&mut self, name: &str, words: &[String]) {
        self.table.refresh();
        let Some(command) = self.table.find(name) else {
            return self.finish(Err(unknown_command(&self.table, name)));
        };
        let args = match Args::bind(&command.args, words) {
            Ok(args) => args,
            Err(error) => {
                let usage = command.usage();
                return self.finish(Err(Failure::Args { error, usage }));
            }
        };
        let mut mode = self.mode;
        let mut call = Call {
            backend: &*self.backend,
            name: &command.name,
            args: &args,
            out: &mut self.output,
            table: &self.table,
            mode: &mut mode,
            config: &self.config,
            then: Then::Next,
            session: &mut self.attached,
        };
        let result = command.run(&mut call);
        let then = call.then;
        if (self.mode, mode) == (Mode::Plain, Mode::Terminal) {
            self.set_mode(mode);
            self.editor.ask_width(&mut self.output);
        }
        self.set_mode(mode);
        match (result, then) {
            (Ok(()), Then::Stream(stream)) => self.activity = Activity::Stream(stream),
            (Ok(()), Then::Session(nonce)) => self.greet(nonce),
            (Ok(()), Then::Receive(_)) if self.mode == Mode::Framed => {
                self.finish(Err(Failure::message("here, files come in frames")));
            }
            (Ok(()), Then::Receive(upload)) => {
                self.activity = Activity::Receive(upload);
                self.finish_upload();
            }
            (Ok(()), Then::Quit) => {
                self.quit = true;
                if self.mode == Mode::Framed {
                    self.finish_frames(Outcome::Good);
                }
            }
            (result, _) => self.finish(result),
        }
    }

    fn finish_upload(&mut self) {
        match core::mem::replace(&mut self.activity, Activity::Line) {
            Activity::Receive(upload) if upload.is_complete() => {
                let result = upload.finish(&*self.backend, &mut self.output);
                self.finish(result);
            }
            other => self.activity = other,
        }
    }

    /// Ends a command.
    fn finish(&mut self, result: Result<(), Failure>) {
        let cancelled = matches!(&result, Err(failure) if failure.is_cancelled());
        if cancelled && self.mode == Mode::Framed {
            // The outcome says it: a program reads what the command says.
            return self.break_off();
        }
        self.activity = Activity::Line;
        if let Err(failure) = &result {
            self.output.fresh_line();
            self.output.line(&format!("{failure}"));
        }
        self.end(result.is_ok());
    }

    /// Ends a command that there is no memory for.
    fn finish_without_memory(&mut self) {
        self.activity = Activity::Line;
        self.output.fresh_line();
        self.output.line("out of memory");
        self.end(false);
    }

    fn end(&mut self, done: bool) {
        if self.mode == Mode::Framed {
            return self.finish_frames(if done { Outcome::Good } else { Outcome::Failed });
        }
        let whole = self.output.end_command();
        if self.mode == Mode::Machine {
            self.output.raw(match (done, whole) {
                (true, true) => b"=ok\n",
                (true, false) => b"=ok-\n",
                (false, true) => b"=error\n",
                (false, false) => b"=error-\n",
            });
        }
        self.prompt();
    }

    fn prompt(&mut self) {
        if matches!(self.mode, Mode::Plain | Mode::Terminal) {
            self.output.raw(PROMPT);
        }
    }

    /// Prompt and line as they stand.
    fn show_line(&mut self) {
        self.prompt();
        self.editor.redraw(&mut self.output);
    }

    fn complete(&mut self) {
        if !has_room(SMALL_THINGS) {
            return self.output.raw(b"\x07");
        }
        self.table.refresh();
        let Some(before) = self.editor.before_cursor() else {
            return;
        };
        let found = complete::find(&self.table, &*self.backend, before);
        if !found.insert.is_empty() {
            self.editor.insert(found.insert.as_bytes(), &mut self.output);
        } else if found.count > 1 {
            self.editor.leave(&mut self.output);
            complete::show(&self.table, &*self.backend, before, &mut self.output);
            self.output.end_command();
            self.show_line();
        } else {
            self.output.raw(b"\x07");
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        // Who reads text from now on is not to see frames in it.
        self.config.beats.inspect(|beats| beats.stop());
        self.mode = mode;
        self.output.set_mode(mode);
    }
}

fn damaged(error: EditError) -> Failure {
    Failure::message(format!("{error}"))
}

pub(crate) fn unknown_command(table: &Table, name: &str) -> Failure {
    let mut nearest = Nearest::new(name);
    if !TERSE {
        table.iter().for_each(|command| nearest.offer(&command.name));
    }
    let name: String = name.chars().take(64).collect();
    let hint = match nearest.found() {
        _ if cfg!(not(feature = "packages")) && commands::OF_PACKAGES.contains(&&*name) => {
            "this image takes flat programs only (Unikraft: LIBUBPF_RS_PACKAGES)".into()
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => "try `help`".into(),
    };
    Failure::message(format!("unknown command `{name}`; {hint}"))
}
