//! The order of things: which folder of the engine may use which, which crate may depend on which, and where `unsafe`
//! may stand. Read from the sources and the manifests, so that a new folder or crate takes its place here first.

mod common;

use common::{files, is_rust, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The engine's folders: each may use only what stands to its left.
const ORDER: &[&str] = &[
    "isa", "platform", "program", "object", "verifier", "maps", "helpers", "vm", "jit", "tracer", "text", "runtime",
    "ffi",
];

/// The crates by their place: each may depend only on those with a lower one.
const CRATES: &[(&str, u8)] = &[
    ("ubpf-rs", 0),
    ("ubpf-virtio-serial", 0),
    ("ushell-rs", 1),
    ("ubpf-program-tests", 1),
    ("ubpf-tests-std", 0),
    ("ubpf-platform-linux", 2),
    ("ubpf-platform-qemu", 2),
    ("ubpf-unikraft", 2),
    ("ubpf-embed", 0),
    ("ubpf-names", 0),
    ("ubpf-client", 2),
    ("ubpf-pack", 1),
    ("ubpf-tools", 3),
    ("ubpf-fuzz", 3),
    ("ubpf-bench", 3),
    ("ubpf-bench-engines", 3),
    ("xtask", 3),
];

/// The folders and files whose sources may contain `unsafe`.
const UNSAFE: &[&str] = &[
    "lib-ubpf-rs/src/maps/values.rs",
    "lib-ubpf-rs/src/maps/pool.rs",
    "lib-ubpf-rs/src/platform/trusted.rs",
    "lib-ubpf-rs/src/vm/memory.rs",
    "lib-ubpf-rs/src/vm/direct.rs",
    "lib-ubpf-rs/src/jit/",
    "lib-ubpf-rs/src/tracer/",
    "lib-ubpf-rs/src/runtime/",
    "lib-ubpf-rs/src/ffi/",
    "lib-ushell-rs/src/ffi/",
    "platforms/linux/src/",
    "platforms/qemu/src/",
    "platforms/unikraft/src/",
    "tools/src/ubpf/",
    "bench/",
    "fuzz/",
];

fn is_manifest(path: &Path) -> bool {
    path.ends_with("Cargo.toml")
}

/// Names and signs of Rust source, without comments and literals. `::` is one sign.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = token_len(rest, first);
        let (token, after) = rest.split_at(len);
        if token == "::" || len == 1 && !first.is_whitespace() || is_word(first) {
            found.push(token);
        }
        rest = after;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of the next token, white space, comment or literal.
fn token_len(text: &str, first: char) -> usize {
    let to = |end: Option<usize>| end.unwrap_or(text.len());
    if text.starts_with("//") {
        return to(text.find('\n'));
    }
    if text.starts_with("/*") {
        return to(text.find("*/").map(|at| at + 2));
    }
    if text.starts_with("::") {
        return 2;
    }
    let raw = text.trim_start_matches('b');
    if raw.starts_with("r\"") || raw.starts_with("r#") {
        let hashes = raw[1..].len() - raw[1..].trim_start_matches('#').len();
        if raw[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = text.len() - raw.len() + 2 + hashes;
            return to(text[start..].find(&end).map(|at| start + at + end.len()));
        }
    }
    match first {
        '"' => quoted(text, '"'),
        // A character, and not a lifetime.
        '\'' if text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'') => quoted(text, '\''),
        c if is_word(c) => to(text.find(|c| !is_word(c))),
        c => c.len_utf8(),
    }
}

fn quoted(text: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The name of the crate's top-level module that each path beginning with `crate` or `super` leads to, in a source that is
/// the module `module` (a path from the crate's root).
fn used(module: &[&str], text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // Modules within the file: how deep in braces they began.
    let (mut depth, mut inner) = (0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2] == "mod" {
                    inner.push(depth);
                }
            }
            "}" => {
                if inner.last() == Some(&depth) {
                    inner.pop();
                }
                depth -= 1;
            }
            "crate" | "super" if at == 0 || tokens[at - 1] != "::" => {
                let here = module.len() + inner.len();
                lead(&tokens[at..], here, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// Follows a path that begins with `crate` or `super` in a module `here` levels below the root.
fn lead(path: &[&str], here: usize, found: &mut Vec<String>) {
    let mut level = here;
    let mut rest = path;
    loop {
        match rest {
            ["crate", "::", after @ ..] => (level, rest) = (0, after),
            ["super", "::", after @ ..] => (level, rest) = (level.saturating_sub(1), after),
            _ => break,
        }
    }
    if level > 0 {
        return;
    }
    match rest {
        ["{", group @ ..] => found.extend(heads(group)),
        [name, ..] => found.push((*name).into()),
        [] => {}
    }
}

/// The first name of each member of a group `{a, b::c, d::{e}}`, its opening brace taken already.
fn heads(group: &[&str]) -> Vec<String> {
    let (mut found, mut depth, mut at_head) = (Vec::new(), 0, true);
    for token in group {
        match *token {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => at_head = true,
            name if at_head => {
                found.push(name.into());
                at_head = false;
            }
            _ => {}
        }
    }
    found
}

/// The rules that a source of `module` breaks.
fn broken(module: &[&str], text: &str) -> Vec<String> {
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    let layer = module[0];
    let mut rules: Vec<String> = used(module, text)
        .into_iter()
        .filter(|name| place(name) > place(layer))
        .map(|name| format!("`{layer}` must not use `{name}`"))
        .collect();
    rules.dedup();
    rules
}

/// The path of a module from the crate's root: `vm/mod.rs` is `vm`, `vm/stop.rs` is `vm`, `stop`.
fn module_of(source: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        source.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.pop_if(|last| last == "mod");
    parts
}

#[test]
fn layers_use_only_what_stands_to_their_left() {
    let sources = root().join("lib-ubpf-rs/src");
    let mut faults = Vec::new();
    for path in files(&sources, is_rust) {
        let file = path.strip_prefix(&sources).expect("below the folder");
        if file == Path::new("lib.rs") {
            continue;
        }
        let module = module_of(file);
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        if !ORDER.contains(&module[0]) {
            faults.push(format!("{}: `{}` has no place in the order", file.display(), module[0]));
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let rules = broken(&module, &text).into_iter();
        faults.extend(rules.map(|rule| format!("{}: {rule}", file.display())));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Files left of `text` that write text, and why they may.
const WRITERS: &[(&str, &str)] = &[
    ("isa/text.rs", "instructions, as the assembler reads them"),
    ("verifier/shown.rs", "states for `ubpf verify -v`"),
    ("verifier/state.rs", "what a state does not admit, for the step checker"),
    ("tracer/subject.rs", "names of the programs that are measured"),
];

/// What errors of the engine say is made in `text`: the rooms before it know codes and numbers.
#[test]
fn rooms_before_text_make_none() {
    let sources = root().join("lib-ubpf-rs/src");
    let before = ORDER.iter().take_while(|layer| **layer != "text");
    let (mut faults, mut writers) = (Vec::new(), WRITERS.iter().map(|writer| writer.0).collect::<Vec<_>>());
    for path in before.flat_map(|layer| files(&sources.join(layer), is_rust)) {
        let file = path.strip_prefix(&sources).expect("below the folder").to_string_lossy();
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
        if file.ends_with("tests.rs") || !writes_text(code) {
            continue;
        }
        match WRITERS.iter().find(|(may, _)| file.starts_with(may)) {
            Some((may, _)) => writers.retain(|writer| writer != may),
            None => faults.push(format!("{file}: its text belongs into `text`")),
        }
    }
    faults.extend(writers.iter().map(|file| format!("{file}: writes no text any more, and need not be listed")));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Whether source makes text: it names the machinery for that, or calls one of its macros.
fn writes_text(code: &str) -> bool {
    let tokens = tokens(code);
    let calls = |two: &[&str]| two[1] == "!" && ["format", "format_args", "write", "writeln"].contains(&two[0]);
    tokens.windows(2).any(calls) || tokens.iter().any(|token| ["fmt", "thiserror_no_std"].contains(token))
}

/// ARCHITECTURE.md shows the order that is tested here.
#[test]
fn the_documented_order_is_this_one() {
    let Ok(text) = fs::read_to_string(root().join("ARCHITECTURE.md")) else {
        return;
    };
    let names: Vec<String> = ORDER.iter().map(|name| format!("`{name}`")).collect();
    let line = names.join(" · ");
    assert!(text.contains(&line), "ARCHITECTURE.md has no line with {line}");
}

#[test]
fn every_way_to_name_a_later_layer_is_found() {
    let rule = ["`isa` must not use `vm`"];
    for text in [
        "use crate::vm::Run;",
        "use crate::{platform, vm};",
        "use crate::{\n    isa::{Insn, Reg},\n    vm::{Run, Stop},\n};",
        "use crate::{isa::{self, Insn}, vm::Run as Other};",
        "pub(crate) use crate::vm::Run;",
        "fn f() -> crate::vm::Run { todo!() }",
        "use super::super::vm::Run;",
        "use super::super::{vm, isa};",
        "mod inner { use super::super::super::vm; }",
        "let text = \"quoted \\\" //\"; use crate::vm;",
        "let c = '\"'; fn f<'a>() {} use crate::vm;",
    ] {
        let found = broken(&["isa", "decode"], text);
        assert!(found.contains(&rule[0].into()), "{text}: {found:?}");
    }
    for text in [
        "use crate::isa::Insn;",
        "use super::{vm, Insn};",
        "// use crate::vm;\n/* crate::vm */",
        "let text = \"crate::vm\";",
        "let text = r#\"a \" crate::vm\"#;",
        "mod inner { use super::super::vm; }",
        "use crate::{isa::vm, isa::{vm}};",
        "use other::crate_::vm;",
    ] {
        assert!(broken(&["isa", "decode"], text).is_empty(), "{text}");
    }
    assert_eq!(broken(&["isa"], "use super::vm;"), rule);
}

/// Names under `[dependencies]` and `[build-dependencies]` (of any target), and the package's own name.
fn manifest(text: &str) -> (Option<String>, Vec<String>) {
    let (mut section, mut name, mut dependencies) = ("", None, Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            let table = section.split_once("dependencies.");
            dependencies.extend(table.map(|(_, name)| name.to_string()));
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = key.split('.').next().unwrap_or("").trim();
        match section {
            "package" if key == "name" => name = Some(value.trim().trim_matches('"').to_string()),
            "workspace.dependencies" | "dev-dependencies" => {}
            other if other.ends_with("dependencies") => dependencies.push(key.to_string()),
            _ => {}
        }
    }
    (name, dependencies)
}

#[test]
fn crates_depend_only_on_those_before_them() {
    let place = |name: &str| CRATES.iter().find(|known| known.0 == name).map(|known| known.1);
    let mut faults = Vec::new();
    let mut seen = 0;
    for path in files(&root(), is_manifest) {
        let text = fs::read_to_string(&path).expect("a manifest");
        let (Some(name), dependencies) = manifest(&text) else {
            continue;
        };
        let Some(own) = place(&name) else {
            faults.push(format!("crate {name} has no place in the order"));
            continue;
        };
        seen += 1;
        let later = dependencies.iter().filter(|d| place(d).is_some_and(|place| place >= own));
        faults.extend(later.map(|d| format!("crate {name} must not depend on {d}")));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(seen >= 7, "{seen} manifests found");
}

#[test]
fn dependencies_of_a_manifest_are_found() {
    let text = "[package]\nname = \"one\"\n[dependencies]\na.workspace = true\nb = \"1\"\n\
        [dependencies.c]\nversion = \"1\"\n[target.'cfg(unix)'.dependencies]\nd = { path = \"d\" }\n\
        [build-dependencies]\ne = \"1\"\n[dev-dependencies]\nf = \"1\"\n[features]\ng = []\n";
    let (name, dependencies) = manifest(text);
    assert_eq!(name.as_deref(), Some("one"));
    assert_eq!(dependencies, ["a", "b", "c", "d", "e"]);
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let mut faults = Vec::new();
    for path in files(&root(), is_rust) {
        let root = root();
        let file = path.strip_prefix(&root).expect("below the root");
        let name = file.to_string_lossy();
        let is_source = name.contains("/src/");
        if !is_source || UNSAFE.iter().any(|allowed| name.starts_with(allowed)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        if tokens(&text).contains(&"unsafe") {
            faults.push(format!("{name}: `unsafe` must not stand here"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn folders_without_unsafe_forbid_it() {
    let sources = root().join("lib-ubpf-rs/src");
    for layer in ORDER {
        let folder = format!("lib-ubpf-rs/src/{layer}/");
        let Ok(text) = fs::read_to_string(sources.join(layer).join("mod.rs")) else {
            continue;
        };
        let may = UNSAFE.iter().any(|allowed| allowed.starts_with(&folder));
        let forbids = text.contains("#![forbid(unsafe_code)]");
        assert!(may != forbids, "{layer}: `#![forbid(unsafe_code)]` and the list do not agree");
    }
}

/// Circles of files that may be: the files of each, below the folder, and why none of them can stand before the others.
const CIRCLES: &[(&str, &[&str], &str)] = &[
    (
        "lib-ubpf-rs/src/tracer",
        &["frames", "point", "pool", "probe", "site"],
        "a site has a list of probes, a probe hangs on a point of a site, a call that is to come back waits for both, and \
         hooks find all of them in one pool",
    ),
    (
        "lib-ushell-rs/src",
        &["command", "commands", "commands::complete", "commands::lines", "registry", "shell", "upload"],
        "`help` and completion show the table that they stand in, and a command that takes a file leaves its bytes to the \
         shell that called it",
    ),
    (
        "platforms/qemu/src",
        &["app", "cpu", "fault", "files", "memory", "platform", "serial", "shell", "thread", "trap", "walk"],
        "an image is one machine: a trap asks the threads, a thread the processor, and each of them may print",
    ),
];

/// The paths that begin with `crate` or `super`, from the crate's root; those of modules within the file are left out.
fn paths(module: &[String], text: &str) -> Vec<Vec<String>> {
    let tokens = tokens(text);
    let (mut found, mut depth, mut inner) = (Vec::new(), 0, None);
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" => {
                depth += 1;
                if inner.is_none() && at >= 2 && tokens[at - 2] == "mod" {
                    inner = Some(depth);
                }
            }
            "}" => {
                inner = inner.filter(|began| *began != depth);
                depth -= 1;
            }
            "crate" if inner.is_none() && tokens.get(at + 1) == Some(&"::") => {
                spread(&[], &tokens[at + 2..], &mut found);
            }
            "super" if inner.is_none() && (at == 0 || tokens[at - 1] != "::") => {
                let (mut base, mut rest) = (module, &tokens[at..]);
                while let ["super", "::", after @ ..] = rest {
                    (base, rest) = (&base[..base.len().saturating_sub(1)], after);
                }
                spread(base, rest, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// What a path leads to, or each member of a group; gives what stands behind it.
fn spread<'t>(base: &[String], path: &'t [&'t str], found: &mut Vec<Vec<String>>) -> &'t [&'t str] {
    match path {
        ["{", rest @ ..] => {
            let mut rest = rest;
            loop {
                rest = match rest {
                    [] => return rest,
                    ["}", after @ ..] => return after,
                    [",", after @ ..] => after,
                    _ => spread(base, rest, found),
                };
            }
        }
        [name, "::", rest @ ..] => spread(&[base, &[name.to_string()]].concat(), rest, found),
        [name, rest @ ..] => {
            found.push([base, &[name.to_string()]].concat());
            rest
        }
        [] => path,
    }
}

/// Circles of the modules of a folder, sorted. `uses` has the paths that each module uses.
fn circles(uses: &BTreeMap<Vec<String>, Vec<Vec<String>>>) -> BTreeSet<Vec<String>> {
    let target = |path: &Vec<String>| {
        let leads = (1..=path.len()).rev().map(|len| path[..len].to_vec());
        leads.into_iter().find(|path| uses.contains_key(path))
    };
    let reached = |start: &[String]| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![start.to_vec()]);
        while let Some(module) = left.pop() {
            for next in uses[&module].iter().filter_map(target).filter(|next| *next != module) {
                if seen.insert(next.clone()) {
                    left.push(next);
                }
            }
        }
        seen
    };
    let all: BTreeMap<_, _> = uses.keys().map(|module| (module, reached(module))).collect();
    let circle = |(module, seen): (&&Vec<String>, &BTreeSet<Vec<String>>)| {
        let back = |other: &&Vec<String>| all[other].contains(*module);
        seen.contains(*module).then(|| seen.iter().filter(back).map(|path| path.join("::")).collect())
    };
    all.iter().filter_map(circle).collect()
}

#[test]
fn files_are_in_no_circle_but_those_that_are_defended() {
    let mut faults = Vec::new();
    let sources: BTreeSet<PathBuf> = files(&root(), is_rust)
        .into_iter()
        .filter_map(|path| path.ancestors().find(|folder| folder.ends_with("src")).map(Path::to_path_buf))
        .collect();
    assert!(sources.len() > 10, "the sources are not found");
    for folder in sources {
        let modules = files(&folder, is_rust).into_iter().map(|path| {
            let file = path.strip_prefix(&folder).expect("below the folder");
            let module = Some(module_of(file))
                .filter(|module| !matches!(module.as_slice(), [root] if root == "lib" || root == "main"));
            let module = module.unwrap_or_default();
            let text = fs::read_to_string(&path).expect("a source file");
            let paths = paths(&module, &text);
            (module, paths)
        });
        let below = folder.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        for circle in circles(&modules.collect()) {
            let defended = |(of, files, _): &(&str, &[&str], &str)| {
                let inside = of.strip_prefix(&*below).map(|inside| inside.trim_start_matches('/').replace('/', "::"));
                inside.is_some_and(|inside| {
                    let whole =
                        |file: &&str| if inside.is_empty() { file.to_string() } else { format!("{inside}::{file}") };
                    files.iter().map(whole).eq(circle.iter().cloned())
                })
            };
            if !CIRCLES.iter().any(defended) {
                faults.push(format!("{below}: {} use each other", circle.join(", ")));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn circles_are_found() {
    let of = |sources: &[(&str, &str)]| {
        let module = |name: &str| vec![name.to_string()];
        let uses = sources.iter().map(|(name, text)| (module(name), paths(&module(name), text)));
        circles(&uses.collect()).into_iter().map(|circle| circle.join(" ")).collect::<Vec<_>>()
    };
    let two = [("a", "use super::{c, b::{self, Thing}};"), ("b", "fn f(x: crate::a::X) {}"), ("c", "")];
    assert_eq!(of(&two), ["a b"]);
    let three =
        [("a", "use super::b;"), ("b", "use crate::c::{d, e};"), ("c", "mod x { use super::super::b; } use super::a;")];
    assert_eq!(of(&three), ["a b c"]);
    let none = [("a", "use super::b; pub(crate) a: u8 // use crate::a;"), ("b", "mod tests { use crate::a; }")];
    assert!(of(&none).is_empty());
}
