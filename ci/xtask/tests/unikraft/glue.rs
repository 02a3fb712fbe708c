//! `ukglue.c` against small headers of ours that declare what Unikraft declares, before 0.21 (`old`) and since (`new`): it compiles
//! with every choice of options, and each name that is taken away ends the build with a sentence, never in another image.

use super::{root, scratch};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    Old,
    New,
}
use Generation::{New, Old};

/// Options that hold in every build here.
const ALWAYS: &[&str] = &[
    "LIBUBPF_RS 1",
    "LIBUBPF_RS_EXEC_BUDGET 1",
    "LIBUBPF_RS_HOOK_BUDGET 1",
    "LIBUBPF_RS_IRQ_BUDGET 1",
    "LIBUBPF_RS_MAP_ENTRIES 1",
    "LIBUBPF_RS_RING_BYTES 1",
    "LIBUBPF_RS_HOOK_AREAS 1",
    "LIBUBPF_RS_HOOK_STACK 9216",
    "LIBUBPF_RS_FILE_LIMIT 1",
    "LIBUBPF_RS_SYMBOLS 1",
    "LIBUBPF_RS_SYMBOLS_KIB 1",
    "LIBUBPF_RS_JIT_KIB 16",
    "LIBUKNOFAULT 1",
    "LIBUKSCHED 1",
    "LIBUKLOCK_SEMAPHORE 1",
    "LIBUKLIBPARAM 1",
    "PLAT_KVM 1",
];
const OF_OLD: &[&str] = &["PAGING 1", "UKPLAT_LCPU_MAXCOUNT 1"];
const OF_NEW: &[&str] = &["LIBUKPAGING 1", "UKPLAT_CPU_MAXCOUNT 1", "LIBUKCONSOLE 1", "HAVE_PAGING 1"];
const FILES: &[&str] = &["LIBUBPF_RS_FILES 1", "LIBVFSCORE 1"];
const OUR_DRIVER: &[&str] = &[
    "LIBUSHELL_RS 1",
    "LIBUSHELL_RS_VIRTIO 1",
    "LIBUSHELL_RS_PORT \"ushell\"",
    "LIBUSHELL_RS_PORTS 4",
    "LIBVIRTIO_BUS 1",
];
const ITS_DRIVER: &[&str] = &[
    "LIBUSHELL_RS 1",
    "LIBUSHELL_RS_UKCONSOLE 1",
    "LIBUSHELL_RS_PORT \"ushell\"",
    "LIBUSHELL_RS_PORT_NUMBER -1",
    "LIBVIRTIO_CONSOLE 1",
];
const CONSOLE: &[&str] = &["LIBUSHELL_RS 1", "LIBUSHELL_RS_CONSOLE 1"];

/// A tree of headers of its own, and its options.
struct Tree {
    folder: PathBuf,
    options: Vec<String>,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the headers") {
        let entry = entry.expect("a header");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

impl Tree {
    fn new(name: &str, generation: Generation) -> Tree {
        let folder = scratch(&format!("glue-{name}"));
        let headers = root().join("ci/xtask/tests/unikraft/standin");
        copy(&headers.join("both"), &folder);
        let (own, options) = match generation {
            Old => ("old", OF_OLD),
            New => ("new", OF_NEW),
        };
        copy(&headers.join(own), &folder);
        let tree = Tree { folder, options: ALWAYS.iter().map(|option| (*option).to_owned()).collect() };
        tree.with(options)
    }

    fn with(mut self, options: &[&str]) -> Tree {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    fn without(mut self, option: &str) -> Tree {
        let before = self.options.len();
        self.options.retain(|set| set.split(' ').next() != Some(option));
        assert!(self.options.len() < before, "{option} was not set");
        self
    }

    /// A name in a header becomes another, or the header itself (`""`) goes.
    fn renamed(self, header: &str, name: &str) -> Tree {
        let path = self.folder.join(header);
        if name.is_empty() {
            fs::remove_file(path).expect("a header");
            return self;
        }
        let text = fs::read_to_string(&path).expect("a header");
        assert!(text.contains(name), "{header} has no {name}");
        fs::write(&path, text.replace(name, &format!("{name}_renamed"))).expect("a header");
        self
    }

    /// What the compiler says; `Ok` when nothing.
    fn compile(&self) -> Result<(), String> {
        let defines = self.options.iter().map(|o| format!("#define CONFIG_{o}\n"));
        fs::write(self.folder.join("options.h"), defines.collect::<String>().as_bytes()).expect("options");
        let output = Command::new("gcc")
            .args(["-fsyntax-only", "-O2", "-Wall", "-Wextra", "-Werror"])
            .args(["-D_GNU_SOURCE", "-DUBPF_UK_RELEASE=\"0.0\""])
            .arg("-I")
            .arg(&self.folder)
            .arg(root().join("platforms/unikraft/ukglue.c"))
            .output()
            .expect("gcc");
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The build ends, and `sentence` is said.
    fn refuses(&self, sentence: &str) {
        let said = self.compile().expect_err(sentence);
        assert!(said.contains(sentence), "{sentence}:\n{said}");
    }
}

#[test]
fn it_compiles_for_both_generations_with_every_choice() {
    let mut compiled = 0;
    for (generation, paging, cpus) in
        [(Old, "PAGING", "UKPLAT_LCPU_MAXCOUNT"), (New, "LIBUKPAGING", "UKPLAT_CPU_MAXCOUNT")]
    {
        for shell in [&[][..], OUR_DRIVER, CONSOLE, ITS_DRIVER] {
            if generation == Old && shell == ITS_DRIVER {
                continue;
            }
            for choice in 0..16 {
                let mut tree = Tree::new("choices", generation).with(shell);
                if choice & 1 != 0 {
                    tree = tree.without(paging);
                }
                if choice & 2 != 0 {
                    tree = tree.without(cpus).with(&[&format!("{cpus} 2")]);
                }
                if choice & 4 != 0 {
                    tree = tree.with(FILES);
                }
                if choice & 8 != 0 {
                    tree = tree.with(&["LIBUBPF_RS_JIT 1"]);
                }
                let options = tree.options.clone();
                tree.compile().unwrap_or_else(|said| panic!("{options:?}: {said}"));
                compiled += 1;
            }
        }
    }
    assert_eq!(compiled, 7 * 16);
}

#[test]
fn without_the_number_of_cpus_it_does_not_compile() {
    for (name, generation, option) in
        [("cpus-old", Old, "UKPLAT_LCPU_MAXCOUNT"), ("cpus-new", New, "UKPLAT_CPU_MAXCOUNT")]
    {
        let tree = Tree::new(name, generation).without(option);
        tree.refuses("so the number of CPUs is not known");
    }
    let both = Tree::new("cpus-both", New).with(&["UKPLAT_LCPU_MAXCOUNT 1"]);
    both.refuses("the configuration is of another version than the tree");
}

/// An old configuration on a new tree, or the other way round, would leave pages unprotected.
#[test]
fn protection_under_the_other_generations_name_does_not_compile() {
    let tree = Tree::new("paging-old", Old).without("PAGING");
    tree.with(&["LIBUKPAGING 1"]).refuses("set CONFIG_PAGING");
    let tree = Tree::new("paging-new", New).without("LIBUKPAGING");
    tree.with(&["PAGING 1"]).refuses("set CONFIG_LIBUKPAGING");
    let tree = Tree::new("paging-both", New).with(&["PAGING 1"]);
    tree.refuses("both PAGING");
}

#[test]
fn a_header_or_a_name_that_is_gone_is_named() {
    let knows = "is not what Unikraft 0.17 to 0.21 declare";
    // (generation, options, header, name in it or the whole header, what is said)
    let cases: &[(Generation, &[&str], &str, &str, &str)] = &[
        (Old, &[], "uk/plat/lcpu.h", "", "neither <uk/lcpu.h>"),
        (New, &[], "uk/lcpu.h", "", "neither <uk/lcpu.h>"),
        (Old, &[], "uk/plat/lcpu.h", "ukplat_lcpu_save_irqf", knows),
        (New, &[], "uk/lcpu.h", "uk_lcpu_save_irqf", knows),
        (New, &[], "uk/lcpu.h", "uk_lcpu_irqs_disabled", knows),
        (New, &[], "uk/lcpu.h", "get_except_stack_base", knows),
        (Old, &[], "uk/plat/paging.h", "", "neither <uk/paging.h>"),
        (Old, &[], "uk/plat/io.h", "", "neither <uk/paging.h>"),
        (New, &[], "uk/paging.h", "", "neither <uk/paging.h>"),
        (Old, &[], "uk/plat/paging.h", "ukplat_page_kmap", knows),
        (New, &[], "uk/paging.h", "uk_paging_page_set_attr", knows),
        (New, &[], "uk/paging.h", "uk_paging_virt_to_phys", knows),
        (Old, &[], "uk/plat/paging.h", "PROT_EXEC", "no PAGE_ATTR_"),
        (New, &[], "uk/paging.h", "PROT_RW", "no UK_PAGING_PAGE_ATTR"),
        (New, &[], "uk/paging.h", "UK_PAGING_PT_LEVELS", "PT_LEVELS"),
        (Old, &[], "uk/plat/paging.h", "__PADDR_INV", "__PADDR_INV"),
        (Old, &[], "uk/plat/config.h", "CPU_EXCEPT", "no CPU_EXCEPT_"),
        (New, &[], "uk/plat/config.h", "CPU_EXCEPT", "no CPU_EXCEPT_"),
        (Old, &[], "uk/event.h", "", "when a walk through a stack meets"),
        (Old, &[], "uk/arch/traps.h", "UKARCH_TRAP_X86", "would end the image"),
        (Old, &[], "uk/event.h", "HANDLER_PRIO", "would end the image"),
        (Old, &[], "uk/arch/lcpu.h", "rip", knows),
        (Old, &[], "uk/intctlr.h", "", "would never run"),
        (Old, &[], "uk/intctlr.h", "EVENT_IRQ", "would never run"),
        (Old, &[], "uk/intctlr.h", "uk_intctlr_irq_register", knows),
        (Old, &[], "uk/assert.h", "UK_CRASH", "has UK_CRASH neither"),
        (New, &[], "uk/crash.h", "", "has UK_CRASH neither in"),
        (New, &[], "uk/print.h", "uk_pr_err", "no uk_pr_err"),
        (New, &[], "uk/init.h", "uk_late_initcall", "never start"),
        (New, &[], "uk/plat/time.h", "", "no <uk/plat/time.h>"),
        (New, &[], "uk/nofault.h", "", "LIBUKNOFAULT is off or gone"),
        (New, &[], "uk/nofault.h", "UK_NOFAULTF", "wait for a page"),
        (Old, &[], "uk/plat/console.h", "", "switch LIBUKCONSOLE on"),
        (New, &[], "uk/console.h", "uk_console_out", knows),
        (New, &[], "uk/libparam.h", "ARR_ALIAS", "would be ignored"),
        (New, CONSOLE, "uk/sched.h", "uk_sched_thread", knows),
        (New, CONSOLE, "uk/semaphore.h", "uk_semaphore_down_to", knows),
        (New, OUR_DRIVER, "virtio/virtio_bus.h", "", "LIBVIRTIO_BUS"),
        (New, OUR_DRIVER, "virtio/virtio_bus.h", "VIRTIO_F_", "no VIRTIO_"),
        (New, OUR_DRIVER, "virtio/virtio_bus.h", "virtqueue_get_used_addr", knows),
        (New, ITS_DRIVER, "uk/console/driver.h", "", "since 0.21"),
        (New, ITS_DRIVER, "uk/console.h", "ASYNC_EVENT", "wake nobody"),
        (New, ITS_DRIVER, "uk/console.h", "async_register_callback", knows),
    ];
    for (number, (generation, options, header, name, sentence)) in cases.iter().enumerate() {
        let tree = Tree::new(&format!("gone-{number}"), *generation).with(options);
        tree.compile().expect("with it");
        tree.renamed(header, name).refuses(sentence);
    }
}

#[test]
fn an_option_that_is_gone_is_named() {
    let cases: &[(Generation, &[&str], &str, &str)] = &[
        (New, &[], "LIBUKCONSOLE", "switch LIBUKCONSOLE on"),
        (New, &[], "LIBUKNOFAULT", "LIBUKNOFAULT is off or gone"),
        (New, FILES, "LIBVFSCORE", "LIBUBPF_RS_FILES needs"),
        (Old, FILES, "LIBVFSCORE", "LIBUBPF_RS_FILES needs"),
        (New, CONSOLE, "LIBUKLOCK_SEMAPHORE", "no thread that can sleep"),
        (New, OUR_DRIVER, "LIBVIRTIO_BUS", "LIBVIRTIO_BUS is off"),
        (New, ITS_DRIVER, "LIBVIRTIO_CONSOLE", "needs the driver"),
        (New, &[], "PLAT_KVM", ""),
        (Old, &[], "PLAT_KVM", "another platform than KVM"),
    ];
    for (number, (generation, options, option, sentence)) in cases.iter().enumerate() {
        let tree = Tree::new(&format!("option-{number}"), *generation).with(options);
        tree.compile().expect("with it");
        match sentence.is_empty() {
            true => tree.without(option).compile().expect("not needed"),
            false => tree.without(option).refuses(sentence),
        }
    }
    let files = ["LIBUBPF_RS_FILES 1", "LIBPOSIX_VFS_SYSCALLS 1"];
    Tree::new("posix-vfs", New).with(&files).compile().expect("files of posix-vfs");
    let both = Tree::new("two-drivers", New).with(OUR_DRIVER);
    both.with(&["LIBVIRTIO_CONSOLE 1"]).refuses("drives the device already");
}

/// A function of another type is refused as one that is gone.
#[test]
fn a_function_that_changed_is_named() {
    let tree = Tree::new("changed", New);
    let path = tree.folder.join("uk/nofault.h");
    let text = fs::read_to_string(&path).expect("a header");
    let changed = text.replace("unsigned long flags", "unsigned int flags");
    assert_ne!(text, changed);
    fs::write(&path, changed).expect("a header");
    tree.refuses("uk_nofault_memcpy is not what Unikraft 0.17 to 0.21 declare");
}

/// Text without its comments.
fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(|part| Some(part.split_once("*/")?.1)).fold(first, |text, part| text + part)
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with(|letter: char| !letter.is_ascii_digit())).map(str::to_owned).collect()
}

/// The word with another name wherever it stands by itself, but in the names of headers.
fn renamed_word(text: &str, word: &str) -> String {
    let of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(at) = rest.find(word).filter(|_| !line.starts_with("#include")) {
            let (before, after) = rest.split_at(at + word.len());
            out.push_str(before);
            let begins = !before[..at].ends_with(of_name);
            if begins && !after.starts_with(of_name) {
                out.push_str("_gone");
            }
            rest = after;
        }
        out.push_str(rest);
    }
    out
}

/// Words of C that no header brings.
const OF_C: &str = "static inline return void int long unsigned char const struct typedef extern enum define include pragma once if else \
                    for volatile short ifdef ifndef endif size_t uint64_t __attribute__ aligned used unused weak noreturn uk h";

impl Tree {
    fn headers(&self) -> Vec<PathBuf> {
        let (mut folders, mut found) = (vec![self.folder.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("the headers") {
                let path = entry.expect("a header").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path),
                }
            }
        }
        found.retain(|path| !path.ends_with("options.h"));
        found
    }

    /// What the preprocessor leaves of the glue.
    fn preprocessed(&self) -> String {
        let mut gcc = Command::new("gcc");
        gcc.args(["-E", "-P", "-D_GNU_SOURCE", "-DUBPF_UK_RELEASE=\"0.0\"", "-I"]).arg(&self.folder);
        let output = gcc.arg(root().join("platforms/unikraft/ukglue.c")).output().expect("gcc");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Takes away one name after the other that the headers and the glue share. Gives how many of them end the build, each with a
    /// sentence; the others leave the same image.
    fn each_name_is_needed_and_named(&self) -> usize {
        self.compile().expect("with all names");
        let whole = self.preprocessed();
        let texts: Vec<(PathBuf, String)> = (self.headers().into_iter())
            .map(|path| (path.clone(), fs::read_to_string(path).expect("a header")))
            .collect();
        let glue = ["ukglue.c", "ukversion.h"].map(|file| super::text(&format!("platforms/unikraft/{file}")));
        let used = words(&without_comments(&glue.concat()));
        let declared = texts.iter().flat_map(|(_, text)| words(&without_comments(text)));
        let names: BTreeSet<String> = declared.collect::<BTreeSet<String>>().intersection(&used).cloned().collect();
        let mut named = 0;
        for name in names.difference(&words(OF_C)) {
            let having = texts.iter().filter(|(_, text)| text.contains(name.as_str()));
            having.clone().for_each(|(path, text)| fs::write(path, renamed_word(text, name)).expect("a header"));
            match self.compile() {
                Ok(()) => {
                    let without = self.preprocessed().replace(&format!("{name}_gone"), name);
                    assert!(without == whole, "without {name} another image is built, and nothing is said");
                }
                Err(said) => {
                    let knows = "is not what Unikraft 0.17 to 0.21 declare";
                    let sentence = ["ubpf-rs:", "ushell-rs:", knows].iter().any(|words| said.contains(words));
                    assert!(sentence, "{name} has no sentence:\n{said}");
                    named += 1;
                }
            }
            having.for_each(|(path, text)| fs::write(path, text).expect("a header"));
        }
        named
    }
}

/// Whatever name of Unikraft is taken away: the build ends with a sentence, or the name is not used and the image is the same.
#[test]
fn no_name_is_missed_in_silence() {
    let two = |tree: Tree, option: &str| tree.without(option).with(&[&format!("{option} 2"), "LIBUBPF_RS_JIT 1"]);
    let kinds: [(&str, Generation, &[&str]); 5] = [
        ("old-ours", Old, OUR_DRIVER),
        ("old-console", Old, CONSOLE),
        ("new-ours", New, OUR_DRIVER),
        ("new-its", New, ITS_DRIVER),
        ("new-console", New, CONSOLE),
    ];
    std::thread::scope(|scope| {
        for (name, generation, shell) in kinds {
            scope.spawn(move || {
                let cpus = if generation == Old { "UKPLAT_LCPU_MAXCOUNT" } else { "UKPLAT_CPU_MAXCOUNT" };
                let tree = two(Tree::new(&format!("each-{name}"), generation).with(shell).with(FILES), cpus);
                let named = tree.each_name_is_needed_and_named();
                assert!(named > 50, "{name}: {named} names");
            });
        }
    });
}
