//! `Config.uk`: it parses, each option has a help or a prompt that a person can read, and each is used.

use super::{root, text};
use nom_kconfig::{attribute::r#type::Type, parse_kconfig, Attribute, Entry, KconfigFile, KconfigInput};
use std::collections::BTreeMap;

/// An option: its attributes, and whether it is a member of a choice.
pub struct Symbol {
    attributes: Vec<Attribute>,
    in_choice: bool,
}

impl Symbol {
    fn prompt(&self) -> Option<String> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Prompt(prompt) => Some(prompt.prompt.clone()),
            Attribute::Type(kind) => match &kind.r#type {
                Type::Bool(prompt) | Type::String(prompt) | Type::Int(prompt) => prompt.clone(),
                _ => None,
            },
            _ => None,
        })
    }

    fn is_int(&self) -> bool {
        self.attributes
            .iter()
            .any(|attribute| matches!(attribute, Attribute::Type(kind) if matches!(kind.r#type, Type::Int(_))))
    }
}

fn collect(entries: &[Entry], in_choice: bool, found: &mut BTreeMap<String, Symbol>) {
    let mut add = |name: &str, attributes: &[Attribute]| {
        let symbol = Symbol { attributes: attributes.to_vec(), in_choice };
        assert!(found.insert(name.to_owned(), symbol).is_none(), "{name} is defined twice");
    };
    let mut inner: Vec<(&[Entry], bool)> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Config(config) => add(&config.symbol, &config.attributes),
            Entry::MenuConfig(config) => add(&config.symbol, &config.attributes),
            Entry::Choice(choice) => inner.push((&choice.entries, true)),
            Entry::If(block) => inner.push((&block.entries, false)),
            Entry::Menu(menu) => inner.push((&menu.entries, false)),
            Entry::Comment(_) => {}
            other => panic!("not used in this menu so far: {other:?}"),
        }
    }
    for (entries, in_choice) in inner {
        collect(entries, in_choice, found);
    }
}

/// Every option of `Config.uk`.
pub fn symbols() -> BTreeMap<String, Symbol> {
    let file = KconfigFile::new(root(), root().join("Config.uk"));
    let source = text("Config.uk");
    let (rest, menu) = parse_kconfig(KconfigInput::new_extra(&source, file)).expect("Config.uk");
    assert_eq!(*rest.fragment(), "", "all of Config.uk is understood");
    let mut found = BTreeMap::new();
    collect(&menu.entries, false, &mut found);
    found
}

#[test]
fn the_menu_parses_and_a_person_can_read_it() {
    let symbols = symbols();
    assert!(symbols.contains_key("LIBUBPF_RS") && symbols.contains_key("LIBUSHELL_RS"));
    for (name, symbol) in &symbols {
        assert!(symbol.prompt().is_some(), "{name} has no prompt");
        assert!(name.starts_with("LIBUBPF_RS") || name.starts_with("LIBUSHELL_RS"), "{name} is not ours");
    }
}

#[test]
fn every_number_has_a_range_and_a_default() {
    for (name, symbol) in symbols() {
        if !symbol.is_int() {
            continue;
        }
        let has = |wanted: fn(&Attribute) -> bool| symbol.attributes.iter().any(wanted);
        assert!(has(|a| matches!(a, Attribute::Range(_))), "{name}: range");
        assert!(has(|a| matches!(a, Attribute::Default(_))), "{name}: default");
    }
}

/// Names after `CONFIG_` in `text`.
fn mentioned(text: &str) -> Vec<String> {
    text.split("CONFIG_")
        .skip(1)
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')
                .next()
                .unwrap_or("")
                .to_owned()
        })
        .filter(|name| name.starts_with("LIBUBPF_RS") || name.starts_with("LIBUSHELL_RS"))
        .collect()
}

#[test]
fn every_option_is_used_and_every_use_is_an_option() {
    let symbols = symbols();
    let sources = ["Makefile.uk", "Makefile.rules", "platforms/unikraft/ukglue.c", "platforms/unikraft/ukversion.h"];
    let used: Vec<String> = sources.iter().flat_map(|path| mentioned(&text(path))).collect();
    for name in &used {
        assert!(symbols.contains_key(name), "CONFIG_{name} is not in Config.uk");
    }
    let menu = text("Config.uk");
    for (name, symbol) in &symbols {
        // One member of a choice may be what is left when no other is chosen; an option may also only steer others.
        let steers = menu.matches(name.as_str()).count() > 1;
        assert!(symbol.in_choice || used.contains(name) || steers, "{name} can be set and changes nothing");
    }
}

#[test]
fn committed_configurations_name_options_that_exist() {
    let symbols = symbols();
    for path in [
        "app-demo/defconfig",
        "app-demo/defconfig-paging",
        "app-demo/defconfig-image",
        "kraft.yaml",
        "examples/sqlite/defconfig",
        "examples/sqlite/kraft.yaml",
        "examples/redis/defconfig",
        "examples/redis/kraft.yaml",
        "examples/nginx/defconfig",
        "examples/nginx/kraft.yaml",
        "examples/cpp-rust/defconfig",
        "examples/cpp-rust/kraft.yaml",
    ] {
        for name in mentioned(&text(path)) {
            assert!(symbols.contains_key(&name), "{path}: CONFIG_{name} is not in Config.uk");
        }
    }
}
