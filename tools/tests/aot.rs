//! `ubpf aot`: objects linked into a C program, whose shell then has their programs.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};
use ubpf_rs::isa::assemble;

const COUNT: &str = "r6 = *(u64 *)(r1 + 0)\nr1 = r6\nr2 = 1\ncall 0\nr3 = r0\nif r3 != -1 goto +1\nr3 = 0\nr3 += 1\n\
    r1 = r6\nr2 = 1\ncall 1\nr0 = 0\nexit";
const GET_COUNT: &str = "call 4\nr1 = r0\nr2 = 1\ncall 0\nexit";
const NOTIFY: &str = "r1 = *(u64 *)(r1 + 0)\ncall 3\nr0 = 0\nexit";
/// Its accesses are checked; the second fails when there is no argument.
const GUARDED: &str = "r0 = 7\nif r2 == 0 goto +1\nexit\nr1 = 0\nr0 = *(u32 *)(r1 + 0)\nexit";
/// Ends only by its budget.
const ENDLESS: &str = "r1 = 1\nr2 = 2\ncall 0\nif r0 == 1 goto +1\ngoto -5\nexit";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("ubpf-aot-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().into()
    }

    /// Compiles a program to an object.
    fn object(&self, name: &str, source: &str, options: &[&str]) -> String {
        let (program, object) = (self.path(name), self.path(&format!("{name}.o")));
        fs::write(&program, assemble(source).unwrap()).unwrap();
        let done = aot(&[&[&program, "-o", &object], options].concat());
        assert!(done.status.success(), "{name}: {done:?}");
        object
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn aot(args: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_ubpf"));
    tool.arg("aot").args(args).output().unwrap()
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}

/// The engine, platform and shell as one archive.
fn archive() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "ubpf-platform-linux", "--lib"]);
    run(cargo.current_dir(root));
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("debug/libubpf_platform_linux.a")
}

/// A running application, ended when dropped.
struct Image {
    child: Child,
    shell: UnixStream,
    console: PathBuf,
}

impl Image {
    fn start(folder: &Folder, objects: &[String], flags: &[&str]) -> Image {
        let (image, socket) = (folder.path("image"), folder.path("shell"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/image.c");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-Wall", "-Werror", "-fpatchable-function-entry=5"]).args(flags);
        gcc.arg(source).args(objects).arg("-o").arg(&image);
        gcc.arg(archive()).args(["-lpthread", "-ldl", "-lm"]);
        run(&mut gcc);
        let empty = folder.path("files");
        fs::create_dir_all(&empty).unwrap();
        let console = folder.0.join("console");
        let file = fs::File::create(&console).unwrap();
        let child = Command::new(&image)
            .arg(&socket)
            .current_dir(empty)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let connected = (0..1000).find_map(|_| {
            thread::sleep(Duration::from_millis(10));
            UnixStream::connect(&socket).ok()
        });
        let shell = connected.expect("the shell's socket");
        shell.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut image = Image { child, shell, console };
        image.answer();
        image
    }

    fn answer(&mut self) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"> ") {
            let mut part = [0; 4096];
            let count = self.shell.read(&mut part).expect("an answer of the shell");
            assert!(count > 0, "the shell is gone");
            text.extend_from_slice(&part[..count]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.shell.write_all(command.as_bytes()).unwrap();
        self.shell.write_all(b"\n").unwrap();
        self.answer()
    }

    fn console(&self) -> String {
        fs::read_to_string(&self.console).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn linked_programs_are_listed_run_and_attached_by_name() {
    let folder = Folder::new("linked");
    let objects = [
        folder.object("count.bin", COUNT, &["--policy", "strict"]),
        folder.object("get_count.bin", GET_COUNT, &[]),
        folder.object("n", NOTIFY, &["--name", "notify"]),
        folder.object("guarded", GUARDED, &["--guard-all"]),
        folder.object("endless", ENDLESS, &[]),
    ];
    for flags in [&["-no-pie", "-fno-pie"][..], &["-pie", "-fPIE", "-Wl,--gc-sections"]] {
        let mut image = Image::start(&folder, &objects, flags);
        let status = image.ask("status");
        for name in ["count.bin", "get_count.bin", "notify", "guarded", "endless"] {
            assert!(status.contains(&format!("program of the image: {name}")), "{flags:?}: {status}");
        }
        for name in ["count.bin", "notify"] {
            let answer = image.ask(&format!("bpf_attach work {name}"));
            assert!(answer.contains("attached successfully"), "{answer}");
        }
        let listed = image.ask("bpf_list work");
        assert!(listed.contains(" - count.bin") && listed.contains(" - notify"), "{listed}");
        thread::sleep(Duration::from_millis(50));
        let detached = image.ask("bpf_detach work");
        assert!(detached.contains("detached"), "{detached}");
        let count = |answer: String| -> u64 {
            let number = answer.split("returned: ").nth(1).expect(&answer);
            number.split_whitespace().next().unwrap().parse().unwrap()
        };
        let counted = count(image.ask("bpf_exec get_count.bin work"));
        let notified = image.console().matches("Notify: work").count() as u64;
        assert!(counted > 0 && notified > 0, "{counted} {notified}");
        assert_eq!(count(image.ask("bpf_exec guarded x")), 7);
        let stopped = image.ask("bpf_exec endless");
        assert!(stopped.contains("failed"), "{stopped}");
        assert!(image.console().contains("budget"), "{}", image.console());
        let measured = image.ask("bench work count.bin --runs 100");
        assert!(measured.contains("with count.bin: "), "{measured}");
        let missing = image.ask("bpf_exec nothing.bin");
        assert!(missing.contains("nothing.bin"), "{missing}");
    }
}

/// An object whose parts do not belong together is not run.
#[test]
fn an_object_that_was_changed_is_refused_by_the_image() {
    let folder = Folder::new("changed");
    let object = folder.object("seven", "r0 = 0x12345678\nexit", &[]);
    let mut bytes = fs::read(&object).unwrap();
    // The constant stands in the program and in its code: the first becomes another.
    let constant = 0x1234_5678u32.to_le_bytes();
    let at = bytes.windows(4).position(|w| w == constant).unwrap();
    bytes[at] ^= 1;
    fs::write(&object, bytes).unwrap();
    let other = folder.object("eight", "r0 = 8\nexit", &[]);
    let mut image = Image::start(&folder, &[object, other], &[]);
    let status = image.ask("status");
    assert!(!status.contains("image: seven") && status.contains("image: eight"));
    let console = image.console();
    assert!(console.contains("program seven of the image: it was compiled by another version"), "{console}");
}

#[test]
fn what_is_not_admitted_is_not_compiled() {
    let folder = Folder::new("refused");
    let (program, object) = (folder.path("p"), folder.path("p.o"));
    let compile = |source: &str, options: &[&str]| {
        fs::write(&program, assemble(source).unwrap()).unwrap();
        let done = aot(&[&[&program, "-o", &object], options].concat());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), said)
    };
    let (code, said) = compile("r0 = 0\ngoto -1", &[]);
    assert!(code == Some(2) && said.contains("infinite loop"), "{said}");
    let (code, said) = compile(GUARDED, &["--policy", "strict"]);
    assert!(code == Some(2) && said.contains("PC 4"), "{said}");
    assert!(!Path::new(&object).exists());
    assert_eq!(compile("r0 = 0\nexit", &["--abi", "nine"]).0, Some(64));
    assert_eq!(aot(&[&program]).status.code(), Some(64));
    assert_eq!(aot(&["-o", &object]).status.code(), Some(64));
    assert_eq!(aot(&["missing", "-o", &object]).status.code(), Some(2));
    assert_eq!(aot(&["-", "-o", &object]).status.code(), Some(64));
    let nowhere = folder.path("no/such/folder.o");
    assert_eq!(aot(&[&program, "-o", &nowhere]).status.code(), Some(2));
}
