//! A type name means one thing in a crate.

mod common;
#[path = "common/sources.rs"]
mod sources;

use sources::{is_test, sources, Source};
use std::{collections::BTreeMap, path::Path};
use syn::{visit, visit::Visit};

/// The crates, each by the folder of its sources, from the root.
const CRATES: [&str; 15] = [
    "lib-ubpf-rs/src",
    "lib-ushell-rs/src",
    "platforms/linux/src",
    "platforms/qemu/src",
    "platforms/unikraft/src",
    "platforms/unikraft/tool/src",
    "platforms/virtio-serial/src",
    "tools/src/ubpf",
    "tools/src/ushell",
    "tools/client/src",
    "tools/names/src",
    "tools/pack/src",
    "ci/xtask/src",
    "bench/src",
    "fuzz/src",
];

/// Names of a file's types: structs, enums, unions, traits and aliases.
#[derive(Default)]
struct Types(Vec<String>);

macro_rules! note {
    ($($visit:ident($item:ty)),+ $(,)?) => {
        $(fn $visit(&mut self, item: &'ast $item) {
            if !is_test(&item.attrs) {
                self.0.push(item.ident.to_string());
            }
        })+
    };
}

impl<'ast> Visit<'ast> for Types {
    note! {
        visit_item_struct(syn::ItemStruct),
        visit_item_enum(syn::ItemEnum),
        visit_item_union(syn::ItemUnion),
        visit_item_trait(syn::ItemTrait),
        visit_item_type(syn::ItemType),
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }
}

/// Whether what stands there takes the place of something of the same name: that of another CPU, or of a feature that is left out.
fn stands_in(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name.ends_with("_none") || path.iter().any(|folder| folder == "none")
}

#[test]
fn a_type_name_means_one_thing() {
    let (mut count, mut twice) = (0, String::new());
    for folder in CRATES {
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Source { path, file, .. } in sources(&[folder]).into_iter().filter(|source| !stands_in(&source.path)) {
            let mut types = Types::default();
            types.visit_file(&file);
            count += types.0.len();
            types.0.into_iter().for_each(|name| places.entry(name).or_default().push(path.display().to_string()));
        }
        for (name, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
            twice += &format!("{name}: {}\n", places.join(", "));
        }
    }
    assert!(count > 800, "only {count} types were found");
    assert!(twice.is_empty(), "a name says which of them is meant, without the file that it stands in:\n{twice}");
}
