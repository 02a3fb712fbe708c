//! `Makefile.uk` and `Makefile.rules` on a harness: a makefile that offers what Unikraft's build system offers to a
//! library (`addlib`, `addlib_s`, `uc`, `verbose_cmd`, ...) and prints what came of it.

use super::{root, scratch};
use std::fs;
use std::path::Path;
use std::process::Command;

const HARNESS: &str = r#"
uc = $(shell echo '$(1)' | tr a-z- A-Z_)
define addlib
UK_LIBS += $(1)
$(call uc,$(1))_BASE := $(IMPORT_BASE)
$(call uc,$(1))_BUILD := $(BUILD_DIR)/$(1)
endef
define addlib_s
ifeq ($(2),y)
$(call addlib,$(1))
endif
endef
define addlib_paramprefix
$(call uc,$(1))_PARAMPREFIX := $(2)
endef
verbose_cmd = $(3)
IMPORT_BASE := $(APP)
ifneq ($(APP),$(REPOSITORY))
$(eval $(call addlib,appmine))
endif
IMPORT_BASE := $(BUILD_DIR)/other
$(eval $(call addlib,libother))
IMPORT_BASE := $(REPOSITORY)
CONFIG_UK_APP := $(APP)
CONFIG_UK_BASE := /uk
.SECONDEXPANSION:
prepare:
include $(REPOSITORY)/Makefile.uk
include $(REPOSITORY)/Makefile.uk
print-%: ; @echo '$($*)'
"#;

struct Harness {
    folder: std::path::PathBuf,
    app: std::path::PathBuf,
    options: Vec<String>,
}

impl Harness {
    fn new(name: &str, options: &[&str]) -> Harness {
        let folder = scratch(&format!("make-{name}"));
        fs::write(folder.join("Makefile"), HARNESS).expect("the harness");
        let app = folder.join("app");
        fs::create_dir_all(&app).expect("an application");
        let mut all = vec!["LIBUBPF_RS=y".to_owned(), "LIBUSHELL_RS=y".to_owned()];
        all.extend(options.iter().map(|option| (*option).to_owned()));
        Harness { folder, app, options: all }
    }

    fn make(&self) -> Command {
        let mut make = Command::new("make");
        let path = |path: &Path| path.canonicalize().expect("a path").display().to_string();
        make.current_dir(&self.folder)
            .env_remove("MAKEFLAGS")
            .arg("-s")
            .arg(format!("REPOSITORY={}", path(&root())))
            .arg(format!("APP={}", path(&self.app)))
            .arg(format!("BUILD_DIR={}", self.folder.display()))
            .args(self.options.iter().map(|option| format!("CONFIG_{option}")));
        make
    }

    fn value(&self, variable: &str) -> String {
        let output = self.make().arg(format!("print-{variable}")).output().expect("make");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

const TRACER: &[&str] = &["LIBUBPF_RS_TRACER=y", "LIBUBPF_RS_SCOPE_APP=y"];

#[test]
fn named_twice_it_is_registered_once() {
    let harness = Harness::new("twice", &[]);
    assert_eq!(harness.value("UK_LIBS"), "appmine libother libubpf_rs libushell_rs");
    assert_eq!(harness.value("LIBUBPF_RS_PARAMPREFIX"), "ubpf");
}

#[test]
fn switched_off_it_is_not_there() {
    let mut harness = Harness::new("off", &[]);
    harness.options = vec!["LIBUBPF_RS=n".into()];
    assert_eq!(harness.value("UK_LIBS"), "appmine libother");
    assert_eq!(harness.value("CINCLUDES-y"), "");
}

#[test]
fn each_kind_of_stub_reaches_the_application_and_not_our_glue() {
    let kinds = [
        ("PATCHABLE", "-fpatchable-function-entry=5", "-fpatchable-function-entry=0"),
        ("MFENTRY", "-pg -mfentry -mrecord-mcount -mnop-mcount", "-fno-profile"),
        ("PG", "-pg -mrecord-mcount -mnop-mcount", "-fno-profile"),
        ("INSTRUMENT", "-finstrument-functions", "-fno-instrument-functions"),
    ];
    for (kind, on, off) in kinds {
        let option = format!("LIBUBPF_RS_STUB_{kind}=y");
        let options = [TRACER, &[option.as_str()]].concat();
        let harness = Harness::new(kind, &options);
        assert_eq!(harness.value("APPMINE_CFLAGS-y"), on);
        assert_eq!(harness.value("APPMINE_CXXFLAGS-y"), on);
        assert_eq!(harness.value("LIBOTHER_CFLAGS-y"), "");
        let ours = harness.value("LIBUBPF_RS_CFLAGS-y");
        assert!(ours.ends_with(off) && !ours.contains(on), "{ours}");
    }
}

/// The records of the compiler would keep unused functions in the image; without the table of names they are all there is.
#[test]
fn records_are_dropped_where_the_table_of_names_has_them() {
    let patchable = [TRACER, &["LIBUBPF_RS_STUB_PATCHABLE=y"]].concat();
    let flags = |name, more: &[&str]| Harness::new(name, &[patchable.as_slice(), more].concat()).value("OBJCFLAGS-y");
    let dropped = "-R __patchable_function_entries";
    assert_eq!(flags("records", &[]), "");
    assert_eq!(flags("no-records", &["LIBUBPF_RS_SYMBOLS=y"]), dropped);
}

#[test]
fn stubs_for_named_libraries_and_for_the_whole_image() {
    let names = "LIBUBPF_RS_SCOPE_NAMES=\"libother libvfscore\"";
    let patchable = "LIBUBPF_RS_STUB_PATCHABLE=y";
    let harness = Harness::new("named", &["LIBUBPF_RS_TRACER=y", patchable, names]);
    for library in ["APPMINE", "LIBOTHER", "LIBVFSCORE"] {
        let flags = harness.value(&format!("{library}_CFLAGS-y"));
        assert_eq!(flags, "-fpatchable-function-entry=5", "{library}");
    }
    let whole = ["LIBUBPF_RS_TRACER=y", "LIBUBPF_RS_SCOPE_IMAGE=y", patchable];
    let harness = Harness::new("whole", &whole);
    assert_eq!(harness.value("CFLAGS-y"), "-fpatchable-function-entry=5");
    assert_eq!(harness.value("APPMINE_CFLAGS-y"), "");
    let ours = harness.value("LIBUBPF_RS_CFLAGS-y");
    assert!(ours.ends_with("-fpatchable-function-entry=0"), "{ours}");
}

#[test]
fn the_repository_itself_is_an_application() {
    let patchable = [TRACER, &["LIBUBPF_RS_STUB_PATCHABLE=y"]].concat();
    let mut harness = Harness::new("self", &patchable);
    harness.app = root();
    assert!(harness.value("UK_LIBS").contains("appubpfdemo"));
    assert!(harness.value("APPUBPFDEMO_SRCS-y").ends_with("/app-demo/main.c"));
    assert_eq!(harness.value("APPUBPFDEMO_CFLAGS-y"), "-fpatchable-function-entry=5");
    let ours = harness.value("LIBUSHELL_RS_CFLAGS-y");
    assert!(!ours.contains("entry=5"), "{ours}");
}

#[test]
fn options_become_features_of_the_archive() {
    let options =
        [TRACER, &["LIBUBPF_RS_CAPI=y", "LIBUBPF_RS_PACKAGES=y", "LIBUBPF_RS_TERSE=y", "LIBUBPF_RS_STUB_NONE=y"]]
            .concat();
    let harness = Harness::new("features", &options);
    let features = harness.value("UBPF_FEATURES-y");
    let features: Vec<&str> = features.split_whitespace().collect();
    assert_eq!(features, ["shell", "tracer", "packages", "terse", "capi"]);
    let manifest = super::text("platforms/unikraft/Cargo.toml");
    for feature in ["shell", "tracer", "packages", "terse", "capi", "jit", "instrument"] {
        assert!(
            manifest.lines().any(|line| line.starts_with(&format!("{feature} ="))),
            "platforms/unikraft has no feature {feature}"
        );
    }
}

#[test]
fn functions_that_nobody_calls_are_left_out_where_the_menu_says_so() {
    let harness = Harness::new("used", &["LIBUBPF_RS_CAPI=y", "LIBUBPF_RS_CAPI_USED=y"]);
    assert_eq!(harness.value("LDFLAGS-y"), "-Wl,--gc-sections");
    let harness = Harness::new("all", &["LIBUBPF_RS_CAPI=y"]);
    assert_eq!(harness.value("LDFLAGS-y"), "");
}

#[test]
fn programs_compiled_ahead_of_time_are_linked() {
    let programs = "LIBUBPF_RS_PROGRAMS=\"count.o /else/where/notify.o\"";
    let harness = Harness::new("programs", &["LIBUBPF_RS_JIT=y", programs]);
    let app = harness.app.canonicalize().expect("a path");
    assert_eq!(harness.value("LIBUBPF_RS_OBJS-y"), format!("{}/count.o /else/where/notify.o", app.display()));
    let harness = Harness::new("no-programs", &["LIBUBPF_RS_JIT=y"]);
    assert_eq!(harness.value("LIBUBPF_RS_OBJS-y"), "");
}

/// Without cargo the build stops with a sentence that says what to do.
#[test]
fn a_missing_cargo_is_named() {
    let harness = Harness::new("cargo", &[]);
    let archive = format!("{}/libubpf_rs/libubpf_image.a", harness.folder.display());
    let output = harness.make().arg("UBPF_CARGO=cargo-that-is-not-there").arg(archive).output().expect("make");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("install Rust 1.88 or newer"), "{said}");
}

/// The first build fetches crates. Where that cannot be, it is said what to do, and the next build tries again.
#[test]
fn a_first_build_without_network_is_named() {
    let harness = Harness::new("network", &[]);
    let archive = format!("{}/libubpf_rs/libubpf_image.a", harness.folder.display());
    let build = || {
        let mut make = harness.make();
        make.env("CARGO_HOME", harness.folder.join("home")).env("CARGO_NET_OFFLINE", "true").arg(&archive);
        let output = make.output().expect("make");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for _ in 0..2 {
        let (built, said) = build();
        assert!(!built && said.contains("the first build needs network"), "{said}");
        assert!(said.contains("cargo fetch --locked"), "{said}");
    }
}

/// An old toolchain would stumble over something else, the form of the lock file for one.
#[test]
fn an_old_cargo_or_rustc_is_named() {
    use std::os::unix::fs::PermissionsExt;
    for (old, other) in [("cargo", "rustc"), ("rustc", "cargo")] {
        let harness = Harness::new(&format!("old-{old}"), &[]);
        for (tool, version) in [(old, "1.63.0"), (other, "1.88.0")] {
            let path = harness.folder.join(tool);
            let script = format!("#!/bin/sh\necho '{tool} {version} (4b91a6ea7 2022-08-08)'\n");
            fs::write(&path, script).expect("a tool");
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, mode).expect("a tool that runs");
        }
        let archive = format!("{}/libubpf_rs/libubpf_image.a", harness.folder.display());
        let output = harness
            .make()
            .env("RUSTC", harness.folder.join("rustc"))
            .arg(format!("UBPF_CARGO={}/cargo", harness.folder.display()))
            .arg(archive)
            .output()
            .expect("make");
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let wanted = ["Rust 1.88 or newer is needed", &format!("{old} 1.63.0")];
        assert!(wanted.iter().all(|words| said.contains(words)), "{said}");
    }
}

/// The table of carried files, made by the build and read back from the object that the assembler makes of it.
#[test]
fn files_are_carried_as_they_are() {
    let harness = Harness::new("carried", &[]);
    let (one, two) = ("a program\0with bytes\"\\", "");
    fs::write(harness.app.join("one.bin"), one).expect("a file");
    fs::write(harness.app.join("empty.bin"), two).expect("a file");
    let harness = harness.with("LIBUBPF_RS_CARRIED=\"one.bin empty.bin\"");
    let table = harness.carried().expect("the table");
    assert_eq!(carried_names(&table), ["one.bin", "empty.bin"]);
    let word = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().expect("a word")) as usize;
    assert_eq!(&table[word(12)..][..word(16)], one.as_bytes());
    assert_eq!(word(32), 0);
}

#[test]
fn the_samples_are_compiled_and_carried() {
    let harness = Harness::new("samples", &["LIBUBPF_RS_SAMPLES=y"]);
    let table = harness.carried().expect("the table");
    let names = carried_names(&table);
    for name in ["count.bin", "get_count.bin", "oob.bin", "zerodiv.bin"] {
        assert!(names.iter().any(|have| have == name), "{name} of {names:?}");
    }
}

#[test]
fn what_cannot_be_carried_is_named() {
    let missing = Harness::new("carried-missing", &["LIBUBPF_RS_CARRIED=\"no.bin\""]);
    let error = missing.carried().expect_err("no such file");
    assert!(error.contains("LIBUBPF_RS_CARRIED: there is no file") && error.contains("no.bin"), "{error}");

    let twice = Harness::new("carried-twice", &[]);
    for folder in ["a", "b"] {
        fs::create_dir_all(twice.app.join(folder)).expect("a folder");
        fs::write(twice.app.join(folder).join("same.bin"), "x").expect("a file");
    }
    let twice = twice.with("LIBUBPF_RS_CARRIED=\"a/same.bin b/same.bin\"");
    let error = twice.carried().expect_err("two of one name");
    assert!(error.contains("two files are called same.bin"), "{error}");

    let clang = Harness::new("carried-clang", &["LIBUBPF_RS_SAMPLES=y"]);
    let mut make = clang.make();
    make.arg("UBPF_CLANG=/no/clang").arg(clang.carried_source());
    let output = make.output().expect("make");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("install clang and llvm"), "{error}");
}

#[test]
fn a_folder_with_a_space_is_refused_with_its_name() {
    let mut harness = Harness::new("space", &[]);
    harness.app = harness.folder.join("my app");
    fs::create_dir_all(&harness.app).expect("a folder");
    let output = harness.make().arg("print-UK_LIBS").output().expect("make");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("a folder with a space") && error.contains("my app"), "{error}");
}

impl Harness {
    fn with(mut self, option: &str) -> Harness {
        self.options.push(option.to_owned());
        self
    }

    fn carried_source(&self) -> std::path::PathBuf {
        let folder = self.folder.canonicalize().expect("a path");
        folder.join("libubpf_rs/carried/carried.S")
    }

    /// Makes the table and gives its bytes, or what make said.
    fn carried(&self) -> Result<Vec<u8>, String> {
        let source = self.carried_source();
        let output = self.make().arg(&source).output().expect("make");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let object = source.with_extension("o");
        let bytes = source.with_extension("raw");
        let run = |command: &mut Command| assert!(command.status().expect("a tool").success());
        run(Command::new("gcc").arg("-c").arg(&source).arg("-o").arg(&object));
        let mut copy = Command::new("objcopy");
        copy.args(["-O", "binary", "--only-section=.rodata"]);
        run(copy.arg(&object).arg(&bytes));
        Ok(fs::read(bytes).expect("the table"))
    }
}

fn carried_names(table: &[u8]) -> Vec<String> {
    let word = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().expect("a word")) as usize;
    let name = |index: usize| {
        let entry = 4 + 16 * index;
        String::from_utf8_lossy(&table[word(entry)..][..word(entry + 4)]).into_owned()
    };
    (0..word(0)).map(name).collect()
}

/// Stubs of which a call does not fit behind the entry are of no use: the option is refused by its name, whoever gave it.
#[test]
fn an_option_that_leaves_no_room_behind_the_entry_is_refused_by_name() {
    let harness = Harness::new("stub-flags", TRACER);
    let build = |flag: &str| {
        let mut make = harness.make();
        make.arg(format!("LIBOTHER_CFLAGS-y=-O2 {flag} -g"));
        make.arg("ubpf_stub_flags").output().expect("make")
    };
    for good in ["", "5", "5,0", "7,2", "16,11", "10", "0", "0,0"] {
        let flag = format!("-fpatchable-function-entry={good}");
        let flag = if good.is_empty() { "" } else { &flag };
        let output = build(flag);
        assert!(output.status.success(), "{flag}: {output:?}");
    }
    for bad in ["4", "5,1", "5,5", "1", "10,6"] {
        let flag = format!("-fpatchable-function-entry={bad}");
        let output = build(&flag);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(&flag), "{flag}: {said}");
    }
}

/// Where Unikraft has renamed an option once more, or is too old, the build ends with a sentence; where it is newer, it is said.
#[test]
fn an_option_under_a_name_that_is_not_known_ends_the_build() {
    let harness = Harness::new("options", &[]);
    let configuration = harness.folder.join("config");
    let build = |config: &str, version: &str| {
        fs::write(&configuration, config).expect("a configuration");
        let mut make = harness.make();
        make.arg(format!("UK_CONFIG={}", configuration.display()));
        make.arg(format!("UK_SUBVERSION={version}"));
        let output = make.arg("ubpf_options").output().expect("make");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    const OLD: &str = "# CONFIG_PAGING is not set\nCONFIG_UKPLAT_LCPU_MAXCOUNT=1\n";
    const NEW: &str = "CONFIG_LIBUKPAGING=y\nCONFIG_UKPLAT_CPU_MAXCOUNT=1\n";
    for (config, version) in [(OLD, "17"), (OLD, "20"), (NEW, "21"), (NEW, "")] {
        assert_eq!(build(config, version), (true, String::new()), "{version}");
    }
    let (built, said) = build(NEW, "22");
    assert!(built && said.contains("0.22 is newer than 0.21"), "{said}");
    let without_paging = "CONFIG_HAVE_PAGING=y\nCONFIG_UKPLAT_CPU_MAXCOUNT=1\n";
    let without_cpus = "CONFIG_PAGING=y\nCONFIG_CPUS=2\n";
    for (config, version, sentence) in [
        (OLD, "16", "0.16 is too old"),
        (without_paging, "21", "no option called PAGING"),
        (without_cpus, "18", "no option called UKPLAT_LCPU_MAXCOUNT"),
    ] {
        let (built, said) = build(config, version);
        assert!(!built && said.contains(sentence), "{said}");
    }
}

/// Without the names of the finished image there would be no names of functions in it.
#[test]
fn an_image_without_a_name_ends_the_build() {
    let harness = Harness::new("image", &["LIBUBPF_RS_SYMBOLS=y"]);
    let folder = harness.folder.canonicalize().expect("a path");
    let tool = folder.join("libubpf_rs/embed/release/ubpf-embed");
    let output = harness.make().arg("-o").arg(tool).arg(harness.value("UBPF_EMBEDDED")).output().expect("make");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("switch LIBUBPF_RS_SYMBOLS off"), "{said}");
}
