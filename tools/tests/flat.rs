//! `ubpf flat`, and objects where programs are expected.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn feed(input: &[u8], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ubpf"));
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A tool that is content with its command line may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn ubpf(args: &[&str]) -> Output {
    feed(&[], args)
}

fn run(args: &[&str]) -> Output {
    ubpf(&[&["run"], args].concat())
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn complaint(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Compiles a source in C, or gives `None` where this compiler is not there.
fn object(compiler: &[&str], name: &str, source: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let stem = format!("flat-{}-{name}", compiler[0]);
    let (input, output) = (folder.join(format!("{stem}.c")), folder.join(format!("{stem}.o")));
    fs::write(&input, source).unwrap();
    let mut command = Command::new(compiler[0]);
    command.args(["-O2", "-c"]).args(&compiler[1..]);
    command.arg(&input).arg("-o").arg(&output);
    match command.status() {
        Ok(status) => assert!(status.success(), "{name}"),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            return None;
        }
    }
    Some(output)
}

const COMPILERS: [&[&str]; 2] = [&["clang", "-target", "bpf"], &["bpf-gcc"]];

/// gcc and newer clangs write static functions before those that call them; clang 14 after them.
#[test]
fn an_object_says_which_function_is_the_program() {
    let programs = [
        ("static", "static __attribute__((noinline)) long triple(long x) { __asm__ volatile(\"\" : \"+r\"(x)); return x * 3; }\n\
            long prog(unsigned char *m) { return triple(m[0]) + 1; }"),
        ("global", "long twice(long x);\n\
            long prog(unsigned char *m) { return twice(m[0]) + 6; }\n\
            __attribute__((noinline)) long twice(long x) { __asm__ volatile(\"\" : \"+r\"(x)); return x * 2; }"),
        ("usual", "long other(long x) { return x; }\n\
            static __attribute__((noinline)) long leaf(long x) { __asm__ volatile(\"\" : \"+r\"(x)); return x + 1; }\n\
            static __attribute__((noinline)) long middle(long x) { return leaf(x) + leaf(x + 3); }\n\
            int bpf_prog(unsigned char *m) { return middle(m[0]) + 1; }"),
    ];
    for compiler in COMPILERS {
        for (name, source) in programs {
            let Some(object) = object(compiler, name, source) else {
                continue;
            };
            let output = run(&[object.to_str().unwrap(), "--mem-hex", "05", "--policy", "strict"]);
            assert_eq!(stdout(&output).trim(), "0x10", "{name}: {output:?}");
            let flat = object.with_extension("bin");
            let output = ubpf(&["flat", object.to_str().unwrap(), "-o", flat.to_str().unwrap()]);
            assert!(output.status.success(), "{output:?}");
            let output = run(&[flat.to_str().unwrap(), "--mem-hex", "05"]);
            assert_eq!(stdout(&output).trim(), "0x10", "{name}: {output:?}");
        }
    }
}

#[test]
fn what_a_flat_program_cannot_have_is_named() {
    for (name, source, wanted) in [
        ("string", "long prog(void *m) { return ((long (*)(const char *))4)(\"myfun\"); }", "uses a string literal"),
        ("table", "static const unsigned tab[16] = {3, 1, 4, 1, 5, 9, 2, 6}; long prog(unsigned char *m) { return tab[m[0] & 15]; }", "uses constant data"),
        ("variable", "long count; long prog(void *m) { return ++count; }", "uses a global variable"),
        ("pointer", "static __attribute__((noinline)) long a(long x) { return x * 3; }\n\
            static __attribute__((noinline)) long b(long x) { return x ^ 5; }\n\
            long prog(unsigned char *m) { long (*volatile p)(long) = m[0] & 1 ? a : b; return p(m[1]); }", "takes the address of a function"),
        ("elsewhere", "long elsewhere(long); long prog(void *m) { return elsewhere(1) + 1; }", "function elsewhere is called but not in the object"),
        ("two", "long a(long x) { return 1; } long b(long x) { return 2; }", "which function is the program? --entry NAME says it"),
    ] {
        let clang = COMPILERS[0];
        let Some(object) = object(clang, name, source) else {
            continue;
        };
        let output = ubpf(&["flat", object.to_str().unwrap(), "-o", "/dev/null"]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(complaint(&output).contains(wanted), "{name}: {}", complaint(&output));
    }
    let both = "long a(long x) { return 1; } long b(long x) { return 2; }";
    let Some(object) = object(COMPILERS[0], "chosen", both) else {
        return;
    };
    let flat = object.with_extension("bin");
    for (entry, result) in [("a", "0x1"), ("b", "0x2")] {
        let arguments = ["flat", object.to_str().unwrap(), "--entry", entry, "-o", flat.to_str().unwrap()];
        assert!(ubpf(&arguments).status.success());
        assert_eq!(stdout(&run(&[flat.to_str().unwrap()])).trim(), result);
    }
}

#[test]
fn an_object_for_another_machine_is_refused_by_name() {
    let source = "long prog(void *m) { return 1; }";
    for (compiler, wanted) in [
        (&["clang", "-target", "x86_64"][..], "compile with clang -target bpf"),
        (&["clang", "-target", "bpfeb"][..], "big-endian: compile with -target bpfel"),
    ] {
        let Some(object) = object(compiler, compiler[2], source) else {
            continue;
        };
        let output = run(&[object.to_str().unwrap()]);
        let said = complaint(&output);
        assert!(said.contains(wanted), "{said}");
    }
}

/// An object cut short or with any byte changed is refused or makes a program: the tool never panics.
#[test]
fn a_damaged_object_is_no_panic() {
    let source =
        "static __attribute__((noinline)) long triple(long x) { __asm__ volatile(\"\" : \"+r\"(x)); return x * 3; }\n\
        long prog(unsigned char *m) { return triple(m[0]) + 1; }";
    let Some(object) = object(COMPILERS[0], "damaged", source) else {
        return;
    };
    let bytes = fs::read(&object).unwrap();
    let mut damaged = Vec::new();
    for at in (0..bytes.len()).step_by(7) {
        damaged.push(bytes[..at].to_vec());
        let mut changed = bytes.clone();
        changed[at] = changed[at].wrapping_add(0x7f);
        damaged.push(changed);
    }
    for bytes in damaged {
        let output = feed(&bytes, &["flat", "-", "-o", "/dev/null"]);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
    }
}

/// The headers for programs, with both compilers.
#[test]
fn the_helpers_headers_compile_and_what_comes_of_them_runs() {
    let classic = "#include <bpf_helpers.h>\n\
        uint64_t bpf_prog(void *arg) {\n\
            bpf_map_put(5, 6, 70);\n\
            uint64_t before = bpf_map_get(5, 6);\n\
            bpf_map_del(5, 6);\n\
            bpf_notify(9);\n\
            return before + (bpf_map_get(5, 6) == UINT64_MAX) + (unwind(3) == 3);\n\
        }";
    let uio = "#include <bpf_helpers.h>\n\
        uint64_t bpf_prog(void *arg) {\n\
            char text[2] = {'x', 0};\n\
            bpf_map_put(5, 6, 70);\n\
            bpf_notify(9);\n\
            bpf_puts(text);\n\
            return bpf_map_get(5, 6) + (bpf_time_get_ns() != 0) + (bpf_get_addr(text) == 0);\n\
        }";
    for compiler in COMPILERS {
        for (abi, source) in [("classic", classic), ("uio", uio)] {
            for level in ["-O0", "-O1", "-O2", "-Os"] {
                let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/ubpf");
                let include = include.join(abi);
                let options = [level, "-Wall", "-Werror", "-Wno-unused-const-variable", "-I"];
                let options = [compiler, &options, &[include.to_str().unwrap()]].concat();
                let Some(object) = object(&options, &format!("{abi}{level}"), source) else {
                    continue;
                };
                let output = run(&[object.to_str().unwrap(), "--abi", abi]);
                assert_eq!(stdout(&output).trim(), "0x48", "{options:?}: {output:?}");
                assert!(complaint(&output).contains("Notify: 0x9"), "{output:?}");
            }
        }
    }
}
