//! What `matrix.data` says, and the compilers for which it holds. For tests, and for who asks a running image.
#![allow(dead_code)]

use std::{fmt, fs, io, path::Path, process::Command};

/// A program of a source, what it is given, and what it gives.
pub struct Row {
    pub source: &'static str,
    pub program: &'static str,
    pub given: Vec<u8>,
    pub result: u32,
    /// gcc does not compile it.
    pub clang: bool,
    /// Not without the compiler's types.
    pub types: bool,
    /// A program of the source is refused under `strict`.
    pub checked: bool,
    /// Some compilers make loops of it whose end is not proved.
    pub loops: bool,
}

/// All rows; those of a source stand together.
pub fn rows() -> Result<Vec<Row>, String> {
    let lines =
        include_str!("matrix.data").lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| row(line).ok_or_else(|| format!("matrix.data: {line}"))).collect()
}

fn row(line: &'static str) -> Option<Row> {
    let words: Vec<&str> = line.split(' ').collect();
    let [source, program, given, result, ref more @ ..] = words[..] else { return None };
    let (size, bytes) = given.split_once('@').unwrap_or((given, ""));
    let mut given = vec![0; size.parse().ok()?];
    for byte in bytes.split(',').filter(|byte| !byte.is_empty()) {
        let (offset, byte) = byte.split_once('=')?;
        *given.get_mut(offset.parse::<usize>().ok()?)? = byte.parse().ok()?;
    }
    let has = |word| more.contains(&word);
    let known = more.iter().all(|word| ["clang", "types", "checked", "loops"].contains(word));
    let row = Row {
        source,
        program,
        given,
        result: result.parse().ok()?,
        clang: has("clang"),
        types: has("types"),
        checked: has("checked"),
        loops: has("loops"),
    };
    known.then_some(row)
}

/// A compiler and how it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compiler {
    pub command: &'static str,
    pub level: &'static str,
    /// Of clang.
    pub cpu: Option<&'static str>,
    /// Whether it says which types there are.
    pub types: bool,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compiler { command, level, cpu, types } = self;
        write!(f, "{command} {level} {} {}", cpu.unwrap_or(""), if *types { "with types" } else { "without types" })
    }
}

impl Compiler {
    pub const fn clang(level: &'static str, cpu: &'static str) -> Compiler {
        Compiler { command: "clang", level, cpu: Some(cpu), types: true }
    }

    pub const fn gcc(level: &'static str) -> Compiler {
        Compiler { command: "bpf-gcc", level, cpu: None, types: true }
    }

    pub fn without_types(self) -> Compiler {
        Compiler { types: false, ..self }
    }

    /// Whether it can compile calls through pointers, and more that gcc cannot.
    pub fn is_clang(&self) -> bool {
        self.cpu.is_some()
    }

    fn has_v4(command: &str) -> bool {
        let asked = Command::new(command).args(["--target=bpf", "-mcpu=help", "--print-supported-cpus"]).output();
        asked.is_ok_and(|said| String::from_utf8_lossy(&said.stderr).split_whitespace().any(|word| word == "v4"))
    }

    /// The clang that knows `-mcpu=v4`, if there is one.
    pub fn newest() -> Option<&'static str> {
        ["clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18"]
            .into_iter()
            .find(|command| Self::has_v4(command))
    }

    /// The clang whose objects of the sources are kept beside them, so that they are there where it is not.
    const fn kept(level: &'static str) -> Compiler {
        Compiler { command: "the kept clang-19", ..Compiler::clang(level, "-mcpu=v4") }
    }

    /// Whether it is that one.
    pub fn is_kept(&self) -> bool {
        *self == Self::kept(self.level)
    }

    /// Each level and each CPU at least once; with `all` each with each, with and without types.
    pub fn list(all: bool) -> Vec<Compiler> {
        let (levels, cpus) = (["-O0", "-O1", "-O2", "-O3", "-Os"], ["-mcpu=v1", "-mcpu=v2", "-mcpu=v3"]);
        let mut list: Vec<Compiler> = levels.map(|level| Compiler::clang(level, "-mcpu=v3")).into();
        list.extend(cpus[..2].iter().map(|cpu| Compiler::clang("-O2", cpu)));
        list.push(Compiler::clang("-O2", "-mcpu=v3").without_types());
        if all {
            list = levels.iter().flat_map(|level| cpus.map(|cpu| Compiler::clang(level, cpu))).collect();
        }
        if let Some(command) = Self::newest() {
            let of_newest = levels.into_iter().filter(|level| all || ["-O0", "-O2"].contains(level));
            list.extend(of_newest.map(|level| Compiler { command, ..Compiler::clang(level, "-mcpu=v4") }));
        }
        if all {
            let typed = list.clone();
            list.extend(typed.into_iter().map(Compiler::without_types));
        }
        list.extend(["-O0", "-O2"].map(Compiler::kept));
        list.extend(["-O1", "-O2", "-Os"].map(Compiler::gcc));
        list
    }

    /// Whether it compiles the source of a row.
    pub fn takes(&self, row: &Row) -> bool {
        self.is_clang() || !row.clang
    }

    /// How it is called, with the headers of this repository.
    pub fn called(&self, root: &Path) -> Command {
        let mut command = Command::new(self.command);
        match self.cpu {
            Some(cpu) => command.args(["-target", "bpf", cpu]).args(self.types.then_some("-g")),
            None => command.args(self.types.then_some("-gbtf")),
        };
        command.args([self.level, "-I"]).arg(root.join("include"));
        command
    }

    /// Compiles a source; an error of what is not found says that the compiler is not there.
    pub fn run(&self, root: &Path, source: &str, object: &Path) -> io::Result<()> {
        if self.is_kept() {
            let level = self.level.trim_start_matches('-');
            // Of some sources there is none of this level.
            return fs::copy(root.join(format!("tests/objects/v4/{source}.{level}.o")), object).map(|_| ());
        }
        let path = root.join(format!("tests/objects/{source}.c"));
        let status = self.called(root).args(["-w", "-c"]).arg(path).arg("-o").arg(object).status()?;
        let failed = || io::Error::other(format!("{source}: {self} ended with {status}"));
        status.success().then_some(()).ok_or_else(failed)
    }
}
