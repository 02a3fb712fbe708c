//! Machines of kraft: where the port of a machine is, and how a machine gets one.
//!
//! kraft keeps a folder for each machine, named by the machine's id, with QEMU's control socket in it. Which name has which id
//! `kraft ps` tells. A device can be added through the control socket (QMP) as long as the machine has not started: Unikraft
//! looks for devices once, when it boots.

use serde_json::{json, Value};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use ubpf_embed::files::shown;

/// QEMU's control socket in a machine's folder.
const CONTROL: &str = "qemu_control.sock";
/// The shell's socket there; `platforms/unikraft/qemu-ushell` gives it the same name.
const SOCKET: &str = "ushell.sock";
/// The console of the machine, as kraft keeps it.
const CONSOLE: &str = "machine.log";
/// Longest path of a socket (`sun_path` of unix(7), without its end).
const SOCKET_BYTES: usize = 107;
/// QEMU answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be done with a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineTask {
    /// Its name or id; `None` lists the machines.
    pub name: Option<String>,
    /// Give it a port.
    pub port: bool,
    /// Give it a port, and start it.
    pub start: bool,
}

/// Where a machine's port and console are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub socket: PathBuf,
    pub console: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub enum Found {
    /// A port to talk to.
    Port(Place),
    /// Something to say.
    Text(String),
}

/// One machine.
struct Machine {
    name: String,
    status: String,
    folder: PathBuf,
}

/// Does it.
pub fn find(wanted: &MachineTask) -> Result<Found, String> {
    let machines = machines()?;
    let Some(name) = &wanted.name else {
        return Ok(Found::Text(list(&machines)));
    };
    let mut named = machines.iter().filter(|machine| machine.name == *name || machine.folder.ends_with(name));
    let machine = named.next().ok_or_else(|| unknown(name, &machines))?;
    if wanted.port || wanted.start {
        machine.give_port()?;
    }
    if wanted.start {
        start(&machine.name)?;
    } else if wanted.port {
        return Ok(Found::Text(format!(
            "{} has a port; `kraft start {0}` starts it, `ushell kraft {0}` talks to it\n",
            machine.name
        )));
    }
    machine.place().map(Found::Port)
}

impl Machine {
    fn has_port(&self) -> bool {
        let socket = fs::metadata(self.folder.join(SOCKET));
        socket.is_ok_and(|socket| socket.file_type().is_socket())
    }

    fn place(&self) -> Result<Place, String> {
        let name = &self.name;
        if !self.has_port() {
            return Err(match self.status.as_str() {
                "created" => format!(
                    "{name} has no port yet: `ushell kraft {name} --start` adds one and starts it"
                ),
                status => format!(
                    "{name} ({status}) was started without a port, and an image looks for devices only when it boots: \
                     `kraft run --no-start -n NAME …`, then `ushell kraft NAME --start`; or `kraft run --qemu …/platforms/unikraft/qemu-ushell`"
                ),
            });
        }
        let console = self.folder.join(CONSOLE);
        Ok(Place { socket: self.folder.join(SOCKET), console: console.is_file().then_some(console) })
    }

    /// Adds a virtio-serial device with the shell's port to a machine that has not started.
    fn give_port(&self) -> Result<(), String> {
        if self.has_port() {
            return Ok(());
        }
        let name = &self.name;
        let socket = self.folder.join(SOCKET);
        let path = socket.to_str().ok_or("kraft's folder is not UTF-8")?;
        if path.len() > SOCKET_BYTES {
            return Err(format!(
                "{path} is too long for a socket ({SOCKET_BYTES} bytes at most): set KRAFTKIT_RUNTIME_DIR to a shorter folder"
            ));
        }
        let mut control = Control::open(&self.folder.join(CONTROL))?;
        let status = control.ask("query-status", json!({}))?;
        if status["status"] != "prelaunch" {
            return Err(format!(
                "{name} runs already; a port can be added only before: `kraft run --no-start -n NAME …`"
            ));
        }
        let address = json!({ "type": "unix", "data": { "path": path } });
        let backend = json!({
            "type": "socket",
            "data": { "addr": address, "server": true, "wait": false },
        });
        control.ask("chardev-add", json!({ "id": "ushell0", "backend": backend }))?;
        let bus = json!({ "driver": "virtio-serial-pci", "id": "ushellbus0" });
        control.ask("device_add", bus)?;
        let port = json!({
            "driver": "virtserialport", "bus": "ushellbus0.0", "chardev": "ushell0", "name": "ushell",
        });
        control.ask("device_add", port).map(drop)
    }
}

fn start(name: &str) -> Result<(), String> {
    let output = kraft(&["start", "--detach", name])?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("kraft start {name}: {}", words(&output.stderr))),
    }
}

fn kraft(arguments: &[&str]) -> Result<std::process::Output, String> {
    let output = Command::new("kraft")
        .args(arguments)
        .env("KRAFTKIT_NO_CHECK_UPDATES", "true")
        .env("KRAFTKIT_NO_PROMPT", "true")
        .output();
    output.map_err(|error| format!("kraft cannot be run: {error}"))
}

/// The machines that kraft knows of.
fn machines() -> Result<Vec<Machine>, String> {
    let output = kraft(&["ps", "--all", "--long", "--output", "json"])?;
    if !output.status.success() {
        return Err(format!("kraft ps: {}", words(&output.stderr)));
    }
    // Without a machine kraft prints nothing.
    let text = output.stdout.trim_ascii();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Value> =
        serde_json::from_slice(text).map_err(|error| format!("kraft ps said something else than a list: {error}"))?;
    let runtime = runtime_folder()?;
    let of = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let machine = |row: &Value| Machine {
        name: of(row, "name"),
        status: of(row, "status"),
        folder: runtime.join(of(row, "machine_id")),
    };
    Ok(rows.iter().map(machine).collect())
}

/// Where kraft keeps the folders of machines (`config/defaults.go` and `DataDir` in kraft's source).
fn runtime_folder() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os("KRAFTKIT_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let data = env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")))
        .ok_or("neither KRAFTKIT_RUNTIME_DIR nor HOME says where kraft keeps its machines")?;
    Ok(data.join("kraftkit/runtime"))
}

fn list(machines: &[Machine]) -> String {
    if machines.is_empty() {
        return "kraft has no machine\n".into();
    }
    let line = |machine: &Machine| {
        let port = match machine.has_port() {
            true => shown(&machine.folder.join(SOCKET)),
            false => "no port".into(),
        };
        let [name, status] = [&machine.name, &machine.status].map(|text| shown(Path::new(text)));
        format!("{name:20} {status:10} {port}\n")
    };
    machines.iter().map(line).collect()
}

fn unknown(name: &str, machines: &[Machine]) -> String {
    let names: Vec<&str> = machines.iter().map(|machine| machine.name.as_str()).collect();
    match names.is_empty() {
        true => format!("kraft has no machine {name}, nor any other"),
        false => format!("kraft has no machine {name}; it has {}", names.join(", ")),
    }
}

fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().escape_debug().to_string()
}

/// QEMU's control socket (QMP): a line of JSON for each command, answer and event.
struct Control {
    answers: BufReader<UnixStream>,
}

impl Control {
    fn open(path: &Path) -> Result<Control, String> {
        let failed = |error| format!("{}: {error}", path.display());
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut control = Control { answers: BufReader::new(stream) };
        control.read()?;
        control.ask("qmp_capabilities", json!({}))?;
        Ok(control)
    }

    fn read(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match read {
            Ok(0) => Err("QEMU closed its control socket".into()),
            Ok(_) => {
                serde_json::from_str(&line).map_err(|error| format!("QEMU said something else than JSON: {error}"))
            }
            Err(error) => Err(format!("QEMU does not answer on its control socket: {error}")),
        }
    }

    /// Runs a command and gives its answer.
    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        let sent = self.answers.get_mut().write_all(line.as_bytes());
        sent.map_err(|error| format!("QEMU: {command}: {error}"))?;
        loop {
            let answer = self.read()?;
            if let Some(error) = answer.get("error") {
                let words = error["desc"].as_str().unwrap_or("refused");
                return Err(format!("QEMU: {command}: {words}"));
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }
}
