//! A virtual machine with the image in it.

use super::folder;
use crate::Result;
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What executes the guest's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// QEMU itself, one host thread per CPU.
    #[default]
    Tcg,
    /// The host's CPU.
    Kvm,
}

/// What stands behind the shell's port.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Port {
    /// One device with the port on a Unix socket.
    #[default]
    Socket,
    /// No virtio-serial device.
    NoDevice,
    /// A device without any port.
    Bare,
    /// Two devices; the first has the shell's port, the second another one on a socket of its own.
    FirstDevice,
    /// The same the other way round.
    SecondDevice,
    /// One device with another port before the shell's, on a socket of its own.
    TwoPorts,
}

impl Port {
    fn has_shell(self) -> bool {
        !matches!(self, Port::NoDevice | Port::Bare)
    }

    fn has_other(self) -> bool {
        matches!(self, Port::TwoPorts | Port::FirstDevice | Port::SecondDevice)
    }
}

/// How the machine is made.
#[derive(Clone)]
pub struct Options {
    /// What executes it.
    pub accel: Accel,
    /// How many CPUs it has.
    pub cpus: u32,
    /// Its RAM in MiB.
    pub memory: u32,
    /// The kernel's command line.
    pub command_line: String,
    /// The initrd, byte by byte.
    pub initrd: Option<Vec<u8>>,
    /// The shell's port.
    pub port: Port,
    /// One nanosecond of guest time for each instruction.
    pub icount: bool,
    /// The same, and QEMU tells how many it executed ([`Machine::instructions`]).
    pub counted: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            accel: Accel::Tcg,
            cpus: 1,
            memory: 64,
            command_line: String::new(),
            initrd: Some(archive(&[])),
            port: Port::Socket,
            icount: false,
            counted: false,
        }
    }
}

/// QEMU's own socket, in a machine's folder.
const MONITOR: &str = "monitor";

/// A running image; ended when dropped.
pub struct Machine {
    child: Child,
    /// Holds what follows.
    folder: PathBuf,
    /// The named port's socket.
    pub socket: PathBuf,
    /// What the image wrote to its console, as a growing file.
    pub console: PathBuf,
}

/// A cpio archive ("newc") of these files; a name that ends with `/` is a folder.
pub fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let trailer = ("TRAILER!!!".to_owned(), Vec::new());
    for (number, (name, contents)) in files.iter().chain([&trailer]).enumerate() {
        let (name, mode) = match name.strip_suffix('/') {
            Some(folder) => (folder, 0o040_755),
            None => (name.as_str(), 0o100_644),
        };
        let fields = [number + 1, mode, 0, 0, 1, 0, contents.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        fields.iter().for_each(|field| archive.extend(format!("{field:08x}").bytes()));
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(contents);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

/// Says clearly when KVM cannot be used: without the device, or where the device is there and guests do not run.
fn check_kvm(root: &Path, image: &Path) -> Result<()> {
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    if let Err(error) = device {
        return Err(format!("KVM cannot be used: /dev/kvm: {error}; leave `--accel kvm` out").into());
    }
    let options = Options { accel: Accel::Kvm, command_line: "test=start".into(), ..Options::default() };
    let mut machine = Machine::launch(root, image, &options, Stdio::piped())?;
    let status = machine.wait(Duration::from_secs(10))?;
    if status == Some(super::EXIT_SUCCESS) {
        return Ok(());
    }
    let what = match status {
        None => "a guest does not get to its first line within 10 seconds".to_owned(),
        Some(_) => format!("QEMU says: {}", machine.complaint()),
    };
    Err(format!("KVM only pretends to work here: /dev/kvm opens, but {what}; leave `--accel kvm` out").into())
}

fn command(image: &Path, folder: &Path, console: &str, options: &Options) -> Result<Command> {
    let (accel, cpu) = match options.accel {
        Accel::Kvm => ("kvm", "host"),
        Accel::Tcg => ("tcg", "max"),
    };
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", accel, "-cpu", cpu, "-M", "q35", "-no-reboot"]);
    command.args(["-m", &options.memory.to_string(), "-smp", &options.cpus.to_string()]);
    if options.counted {
        // It counts for somebody who asks only while it records.
        let record = folder.join("record");
        command.arg("-icount").arg(format!("shift=0,rr=record,rrfile={}", record.display()));
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", folder.join(MONITOR).display()));
    } else if options.icount {
        command.args(["-icount", "shift=0"]);
    }
    command.args(["-nodefaults", "-display", "none", "-serial", console]);
    command.arg("-kernel").arg(image).args(["-append", &options.command_line]);
    if let Some(initrd) = &options.initrd {
        let file = folder.join("initrd");
        fs::write(&file, initrd)?;
        command.arg("-initrd").arg(file);
    }
    let socket = |id: &str| format!("socket,id={id},path={},server=on,wait=off", folder.join(id).display());
    let device = "virtio-serial-pci";
    let port = "virtserialport,chardev=ushell,name=ushell";
    let other = "virtserialport,chardev=other,name=other";
    let mut device_arguments: Vec<String> = Vec::new();
    let mut add = |kind: &str, value: String| device_arguments.extend([kind.to_owned(), value]);
    if options.port.has_shell() {
        add("-chardev", socket("ushell"));
    }
    if options.port.has_other() {
        add("-chardev", socket("other"));
    }
    match options.port {
        Port::NoDevice => {}
        Port::Bare => add("-device", device.into()),
        Port::Socket => {
            add("-device", device.into());
            add("-device", port.into());
        }
        Port::TwoPorts => {
            add("-device", device.into());
            add("-device", other.into());
            add("-device", port.into());
        }
        Port::FirstDevice | Port::SecondDevice => {
            let (first, second) = match options.port {
                Port::FirstDevice => (port, other),
                _ => (other, port),
            };
            add("-device", format!("{device},id=first"));
            add("-device", format!("{first},bus=first.0"));
            add("-device", format!("{device},id=second"));
            add("-device", format!("{second},bus=second.0"));
        }
    }
    command.args(device_arguments);
    command.args(["-device", "isa-debug-exit,iobase=0xf4"]);
    Ok(command)
}

impl Machine {
    /// Starts the image and waits until its console and the port's socket are there.
    pub fn start(root: &Path, image: &Path, options: &Options) -> Result<Self> {
        if options.accel == Accel::Kvm {
            check_kvm(root, image)?;
        }
        let mut machine = Self::launch(root, image, options, Stdio::inherit())?;
        let begin = Instant::now();
        while !(machine.console.exists() && (machine.socket.exists() || !options.port.has_shell())) {
            if machine.child.try_wait()?.is_some() {
                break; // a short test; or an error, which the status tells
            }
            if begin.elapsed() > Duration::from_secs(10) {
                return Err("QEMU did not make its socket within 10 seconds".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(machine)
    }

    fn launch(root: &Path, image: &Path, options: &Options, errors: Stdio) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = folder(root).join(format!("run-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let console = folder.join("console.log");
        let mut command = command(image, &folder, &format!("file:{}", console.display()), options)?;
        let child = command.stdin(Stdio::null()).stderr(errors).spawn();
        let child = child.map_err(|error| {
            format!("qemu-system-x86_64 does not start ({error}); install the package qemu-system-x86")
        })?;
        Ok(Self { child, socket: folder.join("ushell"), console, folder })
    }

    /// Runs the image with its console in the terminal, until it ends.
    pub fn foreground(root: &Path, image: &Path, options: &Options) -> Result<()> {
        if options.accel == Accel::Kvm {
            check_kvm(root, image)?;
        }
        let folder = folder(root).join("foreground");
        fs::create_dir_all(&folder)?;
        println!("shell: {}", folder.join("ushell").display());
        let status = command(image, &folder, "mon:stdio", options)?.status()?;
        println!("QEMU ended with {status} ({} = the application ended)", super::EXIT_SUCCESS);
        Ok(())
    }

    /// What the image wrote to its console so far.
    pub fn console(&self) -> String {
        let bytes = fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Waits until the console shows these words.
    pub fn wait_for(&mut self, words: &str) -> Result<()> {
        self.wait_until(&format!("\"{words}\""), |console| console.contains(words))
    }

    /// Waits for what the console must come to.
    pub fn wait_until(&mut self, what: &str, reached: impl Fn(&str) -> bool) -> Result<()> {
        self.wait_within(Duration::from_secs(20), what, reached)
    }

    /// The same, with the time that it may take at most.
    pub fn wait_within(&mut self, time: Duration, what: &str, reached: impl Fn(&str) -> bool) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            let ended = self.child.try_wait()?.is_some();
            if reached(&self.console()) {
                return Ok(());
            }
            if ended {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        Err(format!("the console does not show {what} but:\n{}", self.console()).into())
    }

    /// The socket of the port beside the shell's.
    pub fn other_socket(&self) -> PathBuf {
        self.folder.join("other")
    }

    /// QEMU's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What QEMU wrote to its standard error output, when that was kept.
    fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            // What cannot be read is only missing from a message.
            let _ = std::io::Read::read_to_string(&mut errors, &mut text);
        }
        text.trim().to_owned()
    }

    /// Instructions of the guest since it started, of a machine that is [`counted`](Options::counted). The time it rests counts for none.
    pub fn instructions(&self) -> Result<u64> {
        let mut monitor = UnixStream::connect(self.folder.join(MONITOR))?;
        monitor.set_read_timeout(Some(Duration::from_secs(10)))?;
        monitor.write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-replay\"}\n")?;
        for line in BufReader::new(monitor).lines() {
            let line: serde_json::Value = serde_json::from_str(&line?)?;
            if let Some(count) = line["return"]["icount"].as_u64() {
                return Ok(count);
            }
            if !line["error"].is_null() {
                return Err(format!("QEMU does not count instructions: {}", line["error"]).into());
            }
        }
        Err("QEMU says no count of instructions".into())
    }

    /// QEMU's exit status; `None` when it did not end in time.
    pub fn wait(&mut self, time: Duration) -> Result<Option<i32>> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(None)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when QEMU has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_padded_to_four_bytes() {
        let archive = archive(&[("a.bin".into(), vec![1, 2, 3]), ("b".into(), vec![])]);
        assert_eq!(archive.len() % 4, 0);
        assert_eq!(&archive[..6], b"070701");
        assert_eq!(&archive[110..116], b"a.bin\0");
        assert_eq!(&archive[116..119], [1, 2, 3]);
    }
}
