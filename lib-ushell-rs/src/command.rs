//! The command table: a command is one value, and `help`, the check of its arguments and completion come from it.

use crate::{
    args::{self, Args, ArgsError, LineError},
    backend::{Backend, BackendError, ProbeId},
    registry,
    shell::{Config, Mode},
    upload::Upload,
    words::{number, NumberError, WordError},
    Output, TERSE,
};
use alloc::{borrow::Cow, boxed::Box, format, string::String, sync::Arc, vec::Vec};
use ubpf_rs::platform::{Cancelled, FileError};

/// Why a command failed; what the person reads.
#[derive(Clone, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum Failure {
    /// The line is not a list of words.
    #[error("{0}")]
    Words(#[from] WordError),
    /// The words do not fit the command.
    #[error("{error}\nUsage: {usage}")]
    Args {
        /// Why not.
        error: ArgsError,
        /// Name and argument line of the command.
        usage: String,
    },
    /// A word is not a number.
    #[error("{name}: `{word}` {error}")]
    Number {
        /// Name of the argument.
        name: &'static str,
        /// The word.
        word: String,
        /// Why not.
        error: NumberError,
    },
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        error: FileError,
    },
    /// The engine refused.
    #[error("{0}")]
    Backend(#[from] BackendError),
    /// The reader wants no more of it.
    #[error("{0}")]
    Cancelled(#[from] Cancelled),
    /// Anything else, in words.
    #[error("{0}")]
    Message(String),
}

impl Failure {
    /// A word that an action does not take.
    pub(crate) fn excess(word: &str) -> Self {
        Self::message(format!("`{word}` is one argument too many"))
    }

    /// Whether the reader wanted no more of the command.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_) | Self::Backend(BackendError::Cancelled))
    }

    /// A failure in words.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }
}

/// Output that is written page by page, as the reader takes it.
pub trait Stream: Send {
    /// Writes while [`Output::has_room`]; returns whether there is more.
    fn page(&mut self, backend: &dyn Backend, out: &mut Output) -> bool;
    /// Whether there is nothing to write now, and may be later: it is asked again when output is drained again.
    fn waits(&self) -> bool {
        false
    }
    /// Whether any key ends it, and not `^C` alone.
    fn ends_at_a_key(&self) -> bool {
        false
    }
}

/// What happens after the handler.
pub(crate) enum Then {
    /// The next line.
    Next,
    /// More output.
    Stream(Box<dyn Stream>),
    /// The following bytes of input are a file.
    Receive(Upload),
    /// The reader talks in frames from now on; its number.
    Session(u64),
    /// The session ends.
    Quit,
}

/// One call of a command.
pub struct Call<'a> {
    /// The engine.
    pub backend: &'a dyn Backend,
    /// The command's name.
    pub name: &'a str,
    /// The arguments, checked against the command's argument line.
    pub args: &'a Args<'a>,
    /// Where to write.
    pub out: &'a mut Output,
    pub(crate) table: &'a Table,
    pub(crate) mode: &'a mut Mode,
    pub(crate) config: &'a Config,
    pub(crate) then: Then,
    /// What goes with the session.
    pub(crate) session: &'a mut Vec<ProbeId>,
}

impl Call<'_> {
    /// The required positional argument `index` as a number; `name` is for the message.
    pub fn number(&self, index: usize, name: &'static str) -> Result<u64, Failure> {
        parse_number(self.args.required(index), name)
    }

    /// The value of an option as a number.
    pub fn number_option(&self, flag: &'static str) -> Result<Option<u64>, Failure> {
        let word = self.args.option(flag);
        word.map(|word| parse_number(word, flag)).transpose()
    }

    /// Lets what was attached go with the session; without memory to remember it, it goes at once.
    pub(crate) fn own(&mut self, ids: impl ExactSizeIterator<Item = ProbeId> + Clone) -> Result<(), Failure> {
        let backend = self.backend;
        if self.session.capacity().saturating_sub(self.session.len()) < ids.len() {
            self.session.retain(|&id| backend.is_attached(id));
        }
        if self.session.try_reserve(ids.len()).is_err() {
            ids.for_each(|id| backend.detach_probe(id));
            return Err(Failure::message("out of memory"));
        }
        self.session.extend(ids);
        Ok(())
    }

    /// Continues with output that is written page by page after the handler has returned.
    pub fn stream(&mut self, stream: impl Stream + 'static) {
        self.then_stream(Box::new(stream));
    }

    #[inline(never)]
    fn then_stream(&mut self, stream: Box<dyn Stream>) {
        self.then = Then::Stream(stream);
    }
}

pub(crate) fn parse_number(word: &str, name: &'static str) -> Result<u64, Failure> {
    number(word).map_err(|error| Failure::Number { name, word: word.into(), error })
}

/// A handler that owns something: every closure of the right shape.
pub(crate) trait Run: Fn(&mut Call<'_>) -> Result<(), Failure> + Send + Sync {}

impl<F: Fn(&mut Call<'_>) -> Result<(), Failure> + Send + Sync> Run for F {}

/// What runs when a command is called.
#[derive(Clone)]
pub(crate) enum Handler {
    Builtin(fn(&mut Call<'_>) -> Result<(), Failure>),
    Registered(Arc<dyn Run>),
}

/// One command.
#[derive(Clone)]
pub struct Command {
    pub(crate) name: Cow<'static, str>,
    pub(crate) args: Cow<'static, str>,
    pub(crate) help: Cow<'static, str>,
    pub(crate) handler: Handler,
}

impl Command {
    /// A built-in command; the first line of `help` is its summary.
    pub(crate) const fn builtin(
        name: &'static str,
        args: &'static str,
        help: &'static str,
        handler: fn(&mut Call<'_>) -> Result<(), Failure>,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            args: Cow::Borrowed(args),
            help: Cow::Borrowed(if TERSE { "" } else { help }),
            handler: Handler::Builtin(handler),
        }
    }

    /// A command of the application. `args` is an argument line (see [`crate::args`]), for instance
    /// `LEVEL [FILE...]`; the first line of `help` is the summary.
    pub fn new(
        name: impl Into<String>,
        args: impl Into<String>,
        help: impl Into<String>,
        handler: impl Fn(&mut Call<'_>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self::of_parts(name.into(), args.into(), help.into(), Arc::new(handler))
    }

    #[inline(never)]
    fn of_parts(name: String, args: String, help: String, handler: Arc<dyn Run>) -> Self {
        let handler = Handler::Registered(handler);
        Self { name: Cow::Owned(name), args: Cow::Owned(args), help: Cow::Owned(help), handler }
    }

    /// The same with texts that are never freed, so that a copy takes no memory.
    pub(crate) fn kept(self) -> Self {
        let keep = |text: Cow<'static, str>| match text {
            Cow::Owned(text) => Cow::Borrowed(&*text.leak()),
            borrowed => borrowed,
        };
        Self { name: keep(self.name), args: keep(self.args), help: keep(self.help), handler: self.handler }
    }

    pub(crate) fn usage(&self) -> String {
        let mut usage = String::from(&*self.name);
        if !self.args.is_empty() {
            usage.push(' ');
            usage.push_str(&self.args);
        }
        usage
    }

    pub(crate) fn summary(&self) -> &str {
        self.help.lines().next().unwrap_or("")
    }

    pub(crate) fn run(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        match &self.handler {
            Handler::Builtin(handler) => handler(call),
            Handler::Registered(handler) => {
                let backend = call.backend;
                for_application(backend, || handler(call))
            }
        }
    }
}

/// Lets the application do something on this thread: the functions that it calls are the application's calls, not the engine's own.
pub(crate) fn for_application<R>(backend: &dyn Backend, work: impl FnOnce() -> R) -> R {
    let own = backend.set_own(false);
    let result = work();
    backend.set_own(own);
    result
}

/// Why a command cannot be registered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum RegisterError {
    /// Another command has this name.
    #[error("there is a command `{name}` already")]
    Exists {
        /// The name.
        name: String,
    },
    /// The name cannot be typed.
    #[error("`{name}` is no name for a command: letters, digits, `_` and `-` only")]
    BadName {
        /// The name.
        name: String,
    },
    /// The name, the argument line or the help is too long.
    #[error("the {what} has {bytes} bytes, and {limit} are the most")]
    TooLong {
        /// Which of them.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most it can have.
        limit: usize,
    },
    /// The argument line says nothing that words can be checked against.
    #[error("the argument line is wrong: {reason}")]
    BadArgs {
        /// Why.
        reason: LineError,
    },
    /// There is no memory for it.
    #[error("out of memory")]
    NoMemory,
}

/// Checks that a command can be typed, checked and shown.
pub(crate) fn check(command: &Command) -> Result<(), RegisterError> {
    check_texts(&command.name, &command.args, &command.help)
}

/// The same before there is a command.
pub(crate) fn check_texts(name: &str, args: &str, help: &str) -> Result<(), RegisterError> {
    /// So that a line of the list of commands, an answer of `help`, and each error message are small things.
    const LONGEST: [(&str, usize); 3] = [("name", 64), ("argument line", 512), ("help", 8192)];
    let texts = [name, args, help];
    for ((what, limit), text) in LONGEST.into_iter().zip(texts) {
        let bytes = text.len();
        if bytes > limit {
            return Err(RegisterError::TooLong { what, bytes, limit });
        }
    }
    let typable = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(typable) {
        let name = name.chars().map(|c| if c.is_control() { '?' } else { c });
        let name = name.collect();
        return Err(RegisterError::BadName { name });
    }
    let wrong = |reason| RegisterError::BadArgs { reason };
    args::check_line(args).map_err(wrong)
}

/// All commands of a shell, sorted by name.
pub(crate) struct Table {
    commands: Vec<Command>,
    /// How many of the commands that every shell has are in it.
    shared: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut commands: Vec<Command> = crate::commands::all().cloned().collect();
        ubpf_rs::platform::sort_by(&mut commands, |a, b| a.name < b.name);
        Self { commands, shared: 0 }
    }

    /// Takes in what was registered with every shell since the last call.
    pub(crate) fn refresh(&mut self) {
        while let Some(command) = registry::command(self.shared) {
            // A command that only this shell has keeps its name.
            if self.register(command) == Err(RegisterError::NoMemory) {
                return;
            }
            self.shared = self.shared.saturating_add(1);
        }
    }

    pub(crate) fn register(&mut self, command: Command) -> Result<(), RegisterError> {
        check(&command)?;
        match self.place(&command.name) {
            Ok(_) => Err(RegisterError::Exists { name: command.name.into_owned() }),
            Err(place) => {
                let room = self.commands.try_reserve(1);
                room.map_err(|_| RegisterError::NoMemory)?;
                self.commands.insert(place, command);
                Ok(())
            }
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Command> {
        self.commands.get(self.place(name).ok()?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.commands.binary_search_by(|command| (*command.name).cmp(name))
    }
}
