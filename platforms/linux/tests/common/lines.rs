//! Processes with the engine that do something known each time a line is read (`c/lines.h`).

use super::common::Folder;
use std::{
    fmt::Display,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

/// Such a process, whose shell is at `socket` in its folder. It ends when it is dropped.
pub struct Process {
    pub folder: Folder,
    pub child: Child,
    input: ChildStdin,
    /// What it prints, line by line, read as it comes: programs may say much.
    output: Receiver<String>,
}

impl Process {
    /// Builds a source, and starts it in a folder of this name.
    pub fn new(name: &str, source: &str, flags: &[&str]) -> Self {
        let folder = Folder::new(name);
        folder.write("lines.h", include_str!("../c/lines.h"));
        folder.write("process.c", source);
        let program = folder.build(&["process.c"], &[&["-O2"], flags].concat());
        let mut command = Command::new(program);
        command.arg("socket").current_dir(&folder.0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, printed) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (lines, output) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(printed).lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        let mut process = Self { folder, child, input, output };
        assert_eq!(process.line(), "ready");
        process
    }

    /// Writes a line for it.
    pub fn ask(&mut self, line: impl Display) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// The next line that it prints; `done` when it has done what the last line was for.
    pub fn line(&mut self) -> String {
        self.output.recv().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
