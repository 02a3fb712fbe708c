//! What functions are called with, as compilers say it.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};
use ubpf_pack::{Outcome, Parameter, ParameterKind::*, Signature, Signatures};

const SOURCE: &str = "
typedef const volatile unsigned short Port;
enum color { RED };
struct small { int a; };
struct large { long a, b, c; };
long plain(int count, const char *name, Port port, enum color color) { return count + name[0] + port + color; }
int nothing(void) { return 1; }
double floating(double factor, int count, float other) { return factor * count + other; }
int structure(int before, struct small small, int after) { return before + small.a + after; }
struct large gives(int n) { struct large all = { n, n, n }; return all; }
int many(int a, int b, int c, int d, int e, int f, int g) { return a + b + c + d + e + f + g; }
static int twice(int one) { return one + 1; }
void leaves(const char *name) { (void)name; }
void *finds(void) { return 0; }
int calls(_Bool yes) { return twice(yes); }
";

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

fn signatures(compiler: &str, flags: &[&str], sources: &[&str]) -> Option<Signatures> {
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("ubpf-signatures-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files: Vec<_> = sources
        .iter()
        .enumerate()
        .map(|(n, source)| {
            let file = folder.join(format!("{n}.c"));
            std::fs::write(&file, source).unwrap();
            file
        })
        .collect();
    let program = folder.join("program");
    let done = Command::new(compiler)
        .args(["-g", "-shared", "-fPIC"])
        .args(flags)
        .args(&files)
        .arg("-o")
        .arg(&program)
        .status();
    let read = done.is_ok_and(|done| done.success()).then(|| std::fs::read(&program).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    read.map(|bytes| Signatures::read(&bytes).unwrap())
}

#[test]
fn parameters_are_told_by_name_and_type() {
    let named = |name: &str, bits, kind| Parameter { name: name.into(), bits, kind };
    let number = |bits, kind| Outcome::Number { bits, kind };
    let all = |parameters: Vec<Parameter>, result| Signature { parameters, open: false, result };
    for (compiler, flags) in
        [("gcc", &["-O0"][..]), ("gcc", &["-O2"]), ("clang", &["-O2"]), ("clang", &["-O1", "-gdwarf-4"])]
    {
        let Some(found) = signatures(compiler, flags, &[SOURCE]) else { continue };
        let plain = [
            named("count", 32, Signed),
            named("name", 64, Pointer),
            named("port", 16, Unsigned),
            named("color", 32, Signed),
        ];
        assert_eq!(found.of("plain"), Some(&all(plain.to_vec(), number(64, Signed))), "{compiler} {flags:?}");
        assert_eq!(found.of("nothing"), Some(&all(vec![], number(32, Signed))));
        assert_eq!(found.of("floating"), Some(&all(vec![named("count", 32, Signed)], Outcome::Elsewhere)));
        assert_eq!(
            found.of("structure"),
            Some(&Signature { parameters: vec![named("before", 32, Signed)], open: true, result: number(32, Signed) })
        );
        let gives = Signature { parameters: vec![], open: true, result: Outcome::Elsewhere };
        assert_eq!(found.of("gives"), Some(&gives));
        assert_eq!(found.of("leaves"), Some(&all(vec![named("name", 64, Pointer)], Outcome::Nothing)));
        assert_eq!(found.of("finds").map(|finds| finds.result), Some(number(64, Pointer)));
        assert_eq!(found.of("many").map(|many| many.parameters.len()), Some(6));
        assert_eq!(found.of("calls"), Some(&all(vec![named("yes", 8, Unsigned)], number(32, Signed))));
        assert_eq!(found.of("elsewhere"), None);
    }
}

#[test]
fn of_different_functions_of_a_name_nothing_is_told() {
    let one = "static int same(int a) { return a; } int one(int n) { return same(n); }";
    let other = "static int same(long a, long b) { return a + b; } int other(int n) { return same(n, 1); }";
    let Some(found) = signatures("gcc", &["-O0"], &[one, other]) else { return };
    assert!(found.of("one").is_some() && found.of("other").is_some());
    assert_eq!(found.of("same"), None);
}

#[test]
fn files_without_functions_are_refused() {
    assert!(Signatures::read(b"no file").is_err());
    let own = std::fs::read("/proc/self/exe").unwrap();
    let short = &own[..own.len() / 2];
    assert!(Signatures::read(short).is_err());
}
