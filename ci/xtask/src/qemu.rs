//! The freestanding image: build it, fill its symbol table, start it in QEMU.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use object::read::elf::{ElfFile64, ProgramHeader as _};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolKind};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The host target; naming it keeps the flags away from build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What the compiler is told beyond the manifest's profile.
const RUSTFLAGS: &str =
    "-Crelocation-model=static -Cno-redzone=yes -Cforce-frame-pointers=yes -Cforce-unwind-tables=no";
/// Largest sum of the loaded parts of the image.
const SIZE_LIMIT: usize = 512 << 10;
const SYMBOL_HEADER: usize = 16;
/// Exit status of QEMU when the application ended well (see `Exit` in platforms/qemu/src/fault.rs).
pub const EXIT_SUCCESS: i32 = 33;
const EXIT_FAILURE: i32 = 35;
const EXIT_FAULT: i32 = 37;

/// Proofs that the image runs on itself: name, exit status, and words that its console must show.
const TESTS: &[(&str, i32, &str)] = &[
    ("patch", EXIT_SUCCESS, "body of function myfun"),
    ("code", EXIT_SUCCESS, "test code passed"),
    ("probe", EXIT_SUCCESS, "test probe passed"),
    ("heap", EXIT_SUCCESS, "test heap passed"),
    ("panic", EXIT_FAILURE, "panic: "),
    ("null", EXIT_FAULT, "page fault at "),
    ("write-text", EXIT_FAULT, "error 0x3"),
    ("write-rodata", EXIT_FAULT, "error 0x3"),
    ("run-data", EXIT_FAULT, "error 0x11"),
    ("run-rodata", EXIT_FAULT, "error 0x11"),
    (
        "stack",
        EXIT_FAULT,
        "page fault at ubpf_qemu::selftest::endless",
    ),
];

/// How the machine is made.
#[derive(Default)]
pub struct Options {
    /// `kvm` instead of `tcg`.
    pub kvm: bool,
    /// The kernel's command line.
    pub command_line: String,
    /// Files that the image finds in its initrd.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A running image; ended when dropped.
pub struct Machine {
    child: Child,
    /// The named port's socket.
    pub socket: PathBuf,
    /// What the image wrote to its console, as a growing file.
    pub console: PathBuf,
}

/// `cargo xtask qemu build|test|tour|run`: `run` leaves the console in the terminal.
pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let image = build(root)?;
    match arguments.first().map(String::as_str) {
        Some("build") => Ok(()),
        Some("test") => test(root, &image),
        Some("tour") => tour(root, &image),
        Some("run") => {
            let options = Options {
                kvm: arguments.iter().any(|argument| argument == "--kvm"),
                files: programs(),
                ..Options::default()
            };
            let folder = folder(root);
            let socket = folder.join("ushell.sock");
            println!("shell: {}", socket.display());
            let status = command(&image, &folder, &socket, "mon:stdio", &options)?.status()?;
            println!("QEMU ended with {status} ({EXIT_SUCCESS} = the application ended)");
            Ok(())
        }
        _ => Err("usage: cargo xtask qemu build | test | tour | run [--kvm]".into()),
    }
}

/// The image with the sample programs in its initrd, started for the demo.
pub fn stage(root: &Path, kvm: bool, files: Vec<(String, Vec<u8>)>) -> Result<Machine> {
    let image = build(root)?;
    let options = Options {
        kvm,
        files,
        ..Options::default()
    };
    Machine::start(root, &image, &options)
}

/// Runs the image's proofs, each in a machine of its own.
fn test(root: &Path, image: &Path) -> Result<()> {
    for (name, expected, words) in TESTS {
        let options = Options {
            command_line: format!("test={name}"),
            ..Options::default()
        };
        let mut machine = Machine::start(root, image, &options)?;
        let status = machine.wait(Duration::from_secs(20))?;
        let console = fs::read_to_string(&machine.console)?;
        if status != Some(*expected) || !console.contains(words) {
            return Err(format!("test {name}: status {status:?}, console:\n{console}").into());
        }
        println!("test {name} ok");
    }
    Ok(())
}

/// What is typed over the named port, and words that the answer must show.
const TOUR: &[(&str, &str)] = &[
    ("ls", "notify.bin"),
    ("status", "platform: qemu"),
    ("bpf_exec noop.bin", "The program returned: 0"),
    ("bpf_exec oob.bin", "BPF program execution failed."),
    (
        "bpf_attach myfun notify.bin",
        "Program was attached successfully.",
    ),
    ("bpf_list myfun", " - notify.bin"),
    (
        "bpf_detach myfun notify.bin",
        "Program was detached successfully.",
    ),
];

/// Types the tour and compares both the shell's answers and the console.
fn tour(root: &Path, image: &Path) -> Result<()> {
    let options = Options {
        files: programs(),
        ..Options::default()
    };
    let machine = Machine::start(root, image, &options)?;
    let mut port = UnixStream::connect(&machine.socket)?;
    port.set_read_timeout(Some(Duration::from_secs(10)))?;
    answer(&mut port)?;
    for (command, expected) in TOUR {
        port.write_all(format!("{command}\n").as_bytes())?;
        let text = answer(&mut port)?;
        println!("> {command}\n{}", text.trim_end_matches("> "));
        if !text.contains(expected) {
            return Err(format!("`{command}` did not answer \"{expected}\"").into());
        }
        if command.starts_with("bpf_list") {
            std::thread::sleep(Duration::from_secs(2)); // the function runs meanwhile
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    let console = fs::read_to_string(&machine.console)?;
    println!("{console}");
    check_console(&console)?;
    drop(port);
    cut_off_everywhere(&machine)
}

/// A client that leaves after every byte of the tour leaves a shell that works.
fn cut_off_everywhere(machine: &Machine) -> Result<()> {
    let lines: Vec<String> = TOUR.iter().map(|(line, _)| format!("{line}\n")).collect();
    let session = lines.concat();
    for end in 0..=session.len() {
        let mut port = UnixStream::connect(&machine.socket)?;
        port.set_read_timeout(Some(Duration::from_secs(10)))?;
        answer(&mut port)
            .map_err(|error| format!("no prompt after a cut at byte {end}: {error}"))?;
        port.write_all(&session.as_bytes()[..end])?;
    }
    let mut port = UnixStream::connect(&machine.socket)?;
    port.set_read_timeout(Some(Duration::from_secs(10)))?;
    answer(&mut port)?;
    port.write_all(b"bpf_exec noop.bin\n")?;
    if !answer(&mut port)?.contains("The program returned: 0") {
        return Err("the shell does not work after clients that left".into());
    }
    println!("{} clients left early, the shell works", session.len() + 1);
    Ok(())
}

fn check_console(console: &str) -> Result<()> {
    let lines: Vec<&str> = console.lines().map(str::trim_end).collect();
    let body = "body of function myfun";
    let position = |words: &str| lines.iter().position(|line| *line == words);
    let (Some(error), Some(notify)) = (
        position("uBPF error: out of bounds memory load at PC 1, addr 0x0, size 4"),
        position("Notify: myfun"),
    ) else {
        return Err("the console lacks the report or the notice".into());
    };
    let paired = lines
        .windows(2)
        .all(|pair| pair[0] != "Notify: myfun" || pair[1] == body);
    if error > notify || !paired || lines.last() != Some(&body) {
        return Err("the lines of the console are not in order".into());
    }
    Ok(())
}

/// Reads up to the next prompt.
fn answer(port: &mut UnixStream) -> Result<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(b"> ") {
        match port.read(&mut buffer)? {
            0 => return Err("the port was closed".into()),
            count => text.extend(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Small programs, instruction by instruction, so that no compiler is needed.
fn programs() -> Vec<(String, Vec<u8>)> {
    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    const ZERO_R0: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];
    const ZERO_R1: [u8; 8] = [0xb7, 1, 0, 0, 0, 0, 0, 0];
    const LOAD_R1_FROM_R1: [u8; 8] = [0x79, 0x11, 0, 0, 0, 0, 0, 0];
    const LOAD_WORD_R0_FROM_R1: [u8; 8] = [0x61, 0x10, 0, 0, 0, 0, 0, 0];
    const CALL_NOTIFY: [u8; 8] = [0x85, 0, 0, 0, 3, 0, 0, 0];
    let program = |name: &str, code: &[[u8; 8]]| (name.to_owned(), code.concat());
    vec![
        program("noop.bin", &[ZERO_R0, EXIT]),
        program("notify.bin", &[LOAD_R1_FROM_R1, CALL_NOTIFY, ZERO_R0, EXIT]),
        program("oob.bin", &[ZERO_R1, LOAD_WORD_R0_FROM_R1, EXIT]),
    ]
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/qemu")
}

/// Builds the image and fills its symbol table.
pub fn build(root: &Path) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            TARGET,
            "--manifest-path",
        ])
        .arg(root.join("platforms/qemu/Cargo.toml"))
        .env("CARGO_TARGET_DIR", folder(root))
        .env("RUSTFLAGS", RUSTFLAGS)
        .status()?;
    if !status.success() {
        return Err("the image does not build".into());
    }
    let image = folder(root).join("ubpf-qemu.elf");
    let mut bytes = fs::read(folder(root).join(TARGET).join("release/ubpf-qemu"))?;
    let count = fill_symbols(&mut bytes)?;
    let loaded = loaded_size(&bytes)?;
    fs::write(&image, bytes)?;
    println!("image: {} KiB, {count} symbols", loaded / 1024);
    if loaded > SIZE_LIMIT {
        return Err(
            format!("the image loads {loaded} bytes; at most {SIZE_LIMIT} are allowed").into(),
        );
    }
    Ok(image)
}

fn loaded_size(image: &[u8]) -> Result<usize> {
    let file = ElfFile64::<LittleEndian>::parse(image)?;
    let headers = file.elf_program_headers().iter();
    Ok(headers
        .map(|header| header.p_filesz(LittleEndian) as usize)
        .sum())
}

/// Writes the functions of `image` into its `.symbols` section; the layout is told in platforms/qemu/src/symbols.rs.
fn fill_symbols(image: &mut [u8]) -> Result<usize> {
    let (range, table, count) = {
        let file = ElfFile64::<LittleEndian>::parse(&*image)?;
        let section = file
            .section_by_name(".symbols")
            .ok_or("the image has no .symbols section")?;
        let (offset, size) = section
            .file_range()
            .ok_or("the section .symbols has no contents")?;
        let old = section.data()?;
        if old.get(..4) != Some(b"USYM") {
            return Err("the section .symbols does not begin with its mark".into());
        }
        let capacity = u32::from_le_bytes(old[4..8].try_into()?) as usize;
        let functions = functions(&file);
        (
            offset as usize..(offset + size) as usize,
            symbol_table(&functions, capacity)?,
            functions.len(),
        )
    };
    image[range][..table.len()].copy_from_slice(&table);
    Ok(count)
}

struct Function {
    address: u64,
    size: u64,
    name: String,
}

/// The functions by address, one name each; names of C are preferred, those of Rust made readable.
fn functions(file: &ElfFile64<'_, LittleEndian>) -> Vec<Function> {
    let text = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
    let mut functions: Vec<Function> = text
        .filter_map(|symbol| {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?));
            Some(Function {
                address: symbol.address(),
                size: symbol.size(),
                name,
            })
        })
        .collect();
    functions.sort_by_key(|function| (function.address, function.name.contains("::")));
    functions.dedup_by_key(|function| function.address);
    functions
}

fn symbol_table(functions: &[Function], capacity: usize) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    let mut table = b"USYM".to_vec();
    table.extend(u32::try_from(capacity)?.to_le_bytes());
    table.extend(u32::try_from(functions.len())?.to_le_bytes());
    table.extend([0; 4]);
    for function in functions {
        table.extend(function.address.to_le_bytes());
        table.extend(u32::try_from(function.size)?.to_le_bytes());
        table.extend(u32::try_from(names.len())?.to_le_bytes());
        names.extend(function.name.bytes().chain([0]));
    }
    debug_assert_eq!(table.len(), SYMBOL_HEADER * (functions.len() + 1));
    let names_len = u32::try_from(names.len())?.to_le_bytes();
    table[12..16].copy_from_slice(&names_len);
    table.extend(names);
    if table.len() > capacity {
        let need = table.len();
        return Err(format!(
            "the symbols need {need} bytes; raise CAPACITY ({capacity}) in symbols.rs"
        )
        .into());
    }
    Ok(table)
}

/// A cpio archive ("newc") of these files.
fn initrd(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let trailer = ("TRAILER!!!".to_owned(), Vec::new());
    for (number, (name, contents)) in files.iter().chain([&trailer]).enumerate() {
        let fields = [
            number + 1,
            0o100_644,
            0,
            0,
            1,
            0,
            contents.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        archive.extend(b"070701");
        fields
            .iter()
            .for_each(|field| archive.extend(format!("{field:08x}").bytes()));
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(contents);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

fn command(
    image: &Path,
    folder: &Path,
    socket: &Path,
    console: &str,
    options: &Options,
) -> Result<Command> {
    let archive = folder.join("initrd.cpio");
    fs::write(&archive, initrd(&options.files))?;
    let _ = fs::remove_file(socket);
    let accel = if options.kvm { "kvm" } else { "tcg" };
    if options.kvm
        && fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_err()
    {
        return Err(
            "KVM is not to be had here (/dev/kvm cannot be opened); leave --kvm out".into(),
        );
    }
    let cpu = if options.kvm { "host" } else { "max" };
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-M",
        "q35",
        "-m",
        "64",
        "-no-reboot",
    ]);
    command.args(["-nodefaults", "-display", "none", "-serial", console]);
    command
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(archive)
        .args(["-append", &options.command_line]);
    command.args(["-device", "virtio-serial-pci", "-chardev"]);
    command.arg(format!(
        "socket,id=ushell,path={},server=on,wait=off",
        socket.display()
    ));
    command.args(["-device", "virtserialport,chardev=ushell,name=ushell"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4"]);
    Ok(command)
}

impl Machine {
    /// Starts the image and waits until the port's socket is there.
    pub fn start(root: &Path, image: &Path, options: &Options) -> Result<Self> {
        let folder = folder(root);
        let socket = folder.join(format!("ushell-{}.sock", std::process::id()));
        let console = folder.join("console.log");
        let _ = fs::remove_file(&console);
        let mut command = command(
            image,
            &folder,
            &socket,
            &format!("file:{}", console.display()),
            options,
        )?;
        let child = command.stdin(Stdio::null()).spawn().map_err(|error| {
            format!(
                "qemu-system-x86_64 does not start ({error}); install the package qemu-system-x86"
            )
        })?;
        let mut machine = Self {
            child,
            socket,
            console,
        };
        let begin = Instant::now();
        while !(machine.socket.exists() && machine.console.exists()) {
            if machine.child.try_wait()?.is_some() {
                break; // a short test; or an error, which the status tells
            }
            if begin.elapsed() > Duration::from_secs(10) {
                return Err("QEMU did not make its socket within 10 seconds".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(machine)
    }

    /// QEMU's exit status; `None` when it did not end in time.
    pub fn wait(&mut self, time: Duration) -> Result<Option<i32>> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when QEMU has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_symbol_table_is_refused() {
        let function = |n: u64| Function {
            address: n,
            size: 1,
            name: format!("function_{n}"),
        };
        let functions: Vec<Function> = (0..10).map(function).collect();
        let table = symbol_table(&functions, 4096).unwrap();
        assert_eq!(table.len(), 16 + 10 * 16 + 10 * 11);
        assert!(symbol_table(&functions, table.len()).is_ok());
        assert!(symbol_table(&functions, table.len() - 1).is_err());
    }

    #[test]
    fn archives_are_padded_to_four_bytes() {
        let archive = initrd(&[("a.bin".into(), vec![1, 2, 3]), ("b".into(), vec![])]);
        assert_eq!(archive.len() % 4, 0);
        assert_eq!(&archive[..6], b"070701");
        assert_eq!(&archive[110..116], b"a.bin\0");
        assert_eq!(&archive[116..119], [1, 2, 3]);
    }
}
