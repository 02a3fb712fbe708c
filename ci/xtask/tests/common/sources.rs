//! The product's sources as they are parsed, tests left out.

use super::common::{files, is_rust, root};
use std::{
    fs,
    path::{Path, PathBuf},
};
use syn::{visit, visit::Visit};

/// A file.
pub struct Source {
    /// From the root.
    pub path: PathBuf,
    /// What stands in it; not every test looks at it.
    #[allow(dead_code)]
    pub text: String,
    /// The same, parsed.
    pub file: syn::File,
}

/// The files below some folders, which are named from the root.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let root = root();
    let paths = folders.iter().flat_map(|folder| files(&root.join(folder), is_rust));
    let mut all: Vec<Source> = paths.filter_map(|path| source(&root, &path)).collect();
    let tests: Vec<PathBuf> = all.iter().flat_map(modules_of_tests).collect();
    all.retain(|source| {
        !tests.iter().any(|test| source.path == test.with_extension("rs") || source.path.starts_with(test))
    });
    all
}

fn source(root: &Path, path: &Path) -> Option<Source> {
    let short = path.strip_prefix(root).unwrap().to_path_buf();
    if short.iter().any(|folder| folder == "tests" || folder == "examples") {
        return None;
    }
    let text = fs::read_to_string(path).unwrap();
    let file = syn::parse_file(&text).unwrap();
    Some(Source { path: short, text, file })
}

/// Where the modules of a file are that are tests and have files of their own.
fn modules_of_tests(source: &Source) -> Vec<PathBuf> {
    let mut modules = Modules(Vec::new());
    modules.visit_file(&source.file);
    let folder = match source.path.file_name().unwrap().to_str() {
        Some("mod.rs" | "lib.rs" | "main.rs") => source.path.parent().unwrap().to_path_buf(),
        _ => source.path.with_extension(""),
    };
    modules.0.into_iter().map(|module| folder.join(module)).collect()
}

struct Modules(Vec<String>);

impl<'ast> Visit<'ast> for Modules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        match is_test(&module.attrs) {
            true => self.0.push(module.ident.to_string()),
            false => visit::visit_item_mod(self, module),
        }
    }
}

/// Whether what has these attributes is for tests alone.
pub fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => {
            let condition = list.tokens.to_string();
            list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("any (test ,"))
        }
        syn::Meta::NameValue(_) => false,
    })
}
