//! The command line.

use std::{path::PathBuf, time::Duration};

pub const USAGE: &str = "\
Usage: ushell SOCKET [OPTION]...
Talks to the shell of a unikernel through the Unix socket of its virtio-serial port.
Without -c and --put, commands come from the terminal, or line by line from standard input.

  -c COMMAND        run a command of the shell
  --put FILE[=NAME] upload a file (as NAME; otherwise under its own name)
                    -c and --put may be repeated and are done in their order
  --console FILE|SOCKET
                    show the lines of the application's console, too, marked with `|`
  -e                stop at the first command that fails
  -x                show each command before its output
  --timeout SECONDS give up when nothing comes for so long (default 10)
  --wait SECONDS    wait so long for the socket and the shell to appear (default 0)
  -h, --help        show this

Exit status: 0 all commands did well; 1 a command failed; 2 wrong usage; 3 no connection, or it broke.
";

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A line for the shell.
    Command(String),
    /// An upload.
    Put {
        /// File on this machine.
        file: PathBuf,
        /// Its name on the other.
        name: String,
    },
}

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    pub socket: PathBuf,
    pub console: Option<PathBuf>,
    pub steps: Vec<Step>,
    pub stop: bool,
    pub echo: bool,
    pub timeout: Duration,
    pub wait: Duration,
}

impl Options {
    /// Reads the arguments; `None` = help is wanted.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut socket = None;
        let mut options = Self {
            socket: PathBuf::new(),
            console: None,
            steps: Vec::new(),
            stop: false,
            echo: false,
            timeout: Duration::from_secs(10),
            wait: Duration::ZERO,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "-h" | "--help" => return Ok(None),
                "-c" => options.steps.push(Step::Command(value()?)),
                "--put" => options.steps.push(upload(&value()?)?),
                "--console" => options.console = Some(value()?.into()),
                "-e" => options.stop = true,
                "-x" => options.echo = true,
                "--timeout" => options.timeout = seconds(&arg, &value()?)?,
                "--wait" => options.wait = seconds(&arg, &value()?)?,
                other if other.starts_with('-') => return Err(format!("unknown option {other}")),
                _ if socket.is_some() => return Err(format!("unexpected argument {arg}")),
                _ => socket = Some(PathBuf::from(arg)),
            }
        }
        options.socket = socket.ok_or("SOCKET is missing")?;
        Ok(Some(options))
    }
}

/// `FILE` or `FILE=NAME`.
pub fn upload(text: &str) -> Result<Step, String> {
    let (file, name) = match text.rsplit_once('=') {
        Some((file, name)) => (PathBuf::from(file), name.to_owned()),
        None => {
            let file = PathBuf::from(text);
            let name = file.file_name().and_then(|name| name.to_str());
            let name = name
                .ok_or_else(|| format!("`{text}` is not a file name"))?
                .to_owned();
            (file, name)
        }
    };
    Ok(Step::Put { file, name })
}

fn seconds(option: &str, value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().filter(|&seconds: &f64| seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| format!("{option}: `{value}` is not a number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn steps_keep_their_order() {
        let options = parse("sock -c ls --put dir/a.bin -e --put b=c --timeout 0.5 --console log")
            .unwrap()
            .unwrap();
        let put = |file: &str, name: &str| Step::Put {
            file: file.into(),
            name: name.into(),
        };
        let ls = Step::Command("ls".into());
        assert_eq!(
            options.steps,
            [ls, put("dir/a.bin", "a.bin"), put("b", "c")]
        );
        assert_eq!(options.timeout, Duration::from_millis(500));
        assert!(options.stop);
        assert_eq!(options.console, Some("log".into()));
    }

    #[test]
    fn mistakes() {
        for line in [
            "",
            "a b",
            "a -c",
            "a --what",
            "a --console",
            "a --timeout x",
            "a --timeout 0",
            "a --put /",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(parse("-h"), Ok(None));
    }
}
