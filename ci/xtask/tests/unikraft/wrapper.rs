//! `platforms/unikraft/qemu-ushell`, called as kraft calls QEMU.

use super::{root, scratch};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A QEMU that prints its arguments, one per line.
fn echo_qemu(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("qemu");
    fs::write(&path, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable");
    path
}

fn call(folder: &Path, arguments: &[&str], socket: Option<&str>) -> Output {
    let mut command = Command::new(root().join("platforms/unikraft/qemu-ushell"));
    command.args(arguments).env("USHELL_QEMU", echo_qemu(folder)).env_remove("USHELL_SOCKET").env_remove("USHELL_PORT");
    if let Some(socket) = socket {
        command.env("USHELL_SOCKET", socket);
    }
    command.output().expect("a POSIX shell")
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// What kraft asks before it starts a machine is passed on unchanged.
#[test]
fn questions_pass_unchanged() {
    let folder = scratch("wrapper-questions");
    for arguments in [&["-version"][..], &["-accel", "help"]] {
        assert_eq!(lines(&call(&folder, arguments, None)), arguments);
    }
}

#[test]
fn a_machine_gets_the_port_and_a_socket_beside_its_pid_file() {
    let folder = scratch("wrapper-machine");
    let pid = folder.join("machine.pid");
    let pid = pid.to_str().expect("a path");
    let start = [
        "-append",
        "ubpf-demo vfs.fstab=[ \"fs1:/:9pfs:::mkmp\" ] -- a b",
        "-cpu",
        "qemu64,+pdpe1gb,-vmx,-svm",
        "-daemonize",
        "-display",
        "none",
        "-kernel",
        ".unikraft/build/ubpf-demo_qemu-x86_64",
        "-m",
        "size=64M",
        "-nographic",
        "-no-reboot",
        "-S",
        "-pidfile",
        pid,
        "-qmp",
        "unix:/run/qemu_control.sock,server,nowait",
        "-vga",
        "none",
    ];
    let got = lines(&call(&folder, &start, None));
    assert_eq!(&got[..start.len()], &start, "what kraft asks for comes first");
    let socket = format!("path={}/ushell.sock,", folder.display());
    assert!(got[start.len()..].iter().any(|line| line.contains(&socket)));
    assert!(got.iter().any(|line| line.starts_with("virtserialport,") && line.ends_with("name=ushell")));
}

#[test]
fn a_port_that_is_there_is_left_alone() {
    let folder = scratch("wrapper-there");
    let start = ["-kernel", "image", "-device", "virtserialport,chardev=x,name=ushell"];
    assert_eq!(lines(&call(&folder, &start, None)), start);
}

#[test]
fn a_path_that_no_socket_can_have_is_refused() {
    let folder = scratch("wrapper-path");
    for (path, word) in [("/tmp/".to_owned() + &"x".repeat(120), "too long"), ("/tmp/a,b".to_owned(), "comma")] {
        let output = call(&folder, &["-kernel", "image"], Some(&path));
        assert_eq!(output.status.code(), Some(64));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(word) && said.contains("USHELL_SOCKET"), "{said}");
    }
}

/// A file that is no socket is never removed.
#[test]
fn a_file_in_the_way_is_kept() {
    let folder = scratch("wrapper-file");
    let file = folder.join("ushell.sock");
    fs::write(&file, "mine").expect("a file");
    call(&folder, &["-kernel", "image"], file.to_str());
    assert_eq!(fs::read_to_string(&file).expect("still there"), "mine");
}
