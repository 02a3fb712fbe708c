//! A type name means one thing in a crate.

mod common;
#[path = "common/sources.rs"]
mod sources;

use sources::{is_test, sources, Source};
use std::{collections::BTreeMap, path::Path};
use syn::{visit, visit::Visit};

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

/// The crate that a file is of, by its folder: the nearest above it with a root module.
fn crate_of<'p>(path: &'p Path, all: &[Source]) -> Option<&'p Path> {
    let is_root = |folder: &&Path| {
        let roots = ["lib.rs", "main.rs"].map(|name| folder.join(name));
        all.iter().any(|source| roots.contains(&source.path))
    };
    path.ancestors().skip(1).find(is_root)
}

#[test]
fn a_type_name_means_one_thing() {
    let mut places: BTreeMap<(&Path, String), Vec<String>> = BTreeMap::new();
    let all = sources(&[""]);
    for source in all.iter().filter(|source| !stands_in(&source.path)) {
        let Some(folder) = crate_of(&source.path, &all) else { continue };
        let mut types = Types::default();
        types.visit_file(&source.file);
        let place = || source.path.display().to_string();
        types.0.into_iter().for_each(|name| places.entry((folder, name)).or_default().push(place()));
    }
    assert!(places.len() > 800, "only {} types were found", places.len());
    let several = places.iter().filter(|(_, places)| places.len() > 1);
    let twice: String = several.map(|((_, name), places)| format!("{name}: {}\n", places.join(", "))).collect();
    assert!(twice.is_empty(), "a name says which of them is meant, without the file that it stands in:\n{twice}");
}
