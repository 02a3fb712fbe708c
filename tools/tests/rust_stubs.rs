//! `tools/rust-stubs`: functions of Rust with entry stubs, made of what any rustc writes.

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const SOURCE: &str = r#"
#![no_std]
#[inline(never)]
fn twice<T: Copy + core::ops::Add<Output = T>>(number: T) -> T {
    number + number
}
#[no_mangle]
pub extern "C" fn sum_to(last: u64) -> u64 {
    (1..=last).fold(0, |sum, number| twice(sum) - sum + core::hint::black_box(number)) + twice(last as u32) as u64
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
"#;
/// `nopl 0x0(%rax,%rax,1)`.
const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];

fn stubs(args: &[&Path]) -> Output {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-stubs");
    Command::new(tool).args(args).output().unwrap()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rust-stubs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn every_function_of_a_crate_begins_with_a_stub_and_does_the_same() {
    let folder = folder();
    let [source, assembly, object, program] = ["sums.rs", "sums.s", "sums.o", "sums"].map(|name| folder.join(name));
    fs::write(&source, SOURCE).unwrap();
    let mut rustc = Command::new(std::env::var("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition", "2021", "--crate-type", "staticlib", "-Copt-level=2", "-Ccodegen-units=1"]);
    run(rustc.args(["-Cpanic=abort", "--emit"]).arg(format!("asm={}", assembly.display())).arg(&source));
    let made = stubs(&[&assembly, &object]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bytes = fs::read(&object).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let functions: Vec<_> = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text).collect();
    assert!(functions.len() >= 3, "{}", functions.len());
    for function in functions {
        let section = file.section_by_index(function.section_index().unwrap()).unwrap();
        let code = section.data_range(function.address(), 5).unwrap().unwrap();
        assert_eq!(code, NOP, "{:?}", function.name());
    }
    let main = folder.join("main.c");
    fs::write(&main, "unsigned long sum_to(unsigned long);\nint main(void) { return (int)sum_to(10); }\n").unwrap();
    run(Command::new("gcc").arg(&main).arg(&object).arg("-o").arg(&program));
    assert_eq!(Command::new(&program).status().unwrap().code(), Some(75));

    // What is no such file is told of, and nothing is made of it.
    fs::write(&assembly, "\t.text\n").unwrap();
    fs::remove_file(&object).unwrap();
    let refused = stubs(&[&assembly, &object]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("has no functions"), "{said}");
    assert!(!object.exists());
    assert_eq!(stubs(&[]).status.code(), Some(64));
    let _ = fs::remove_dir_all(&folder);
}
