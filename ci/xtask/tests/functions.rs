//! How long functions are: those of the product, tests left out, in lines that are neither blank nor a comment alone.

mod common;
#[path = "common/sources.rs"]
mod sources;

use sources::{is_test, sources, Source};
use std::path::Path;
use syn::{spanned::Spanned, visit, visit::Visit};

/// No function has this many lines.
const LONGEST: usize = 70;
/// One in a hundred may have this many.
const SELDOM: usize = 40;

/// Where the product's source is, from the root.
const ROOTS: [&str; 7] = [
    "lib-ubpf-rs/src",
    "lib-ushell-rs/src",
    "platforms/linux/src",
    "platforms/qemu/src",
    "platforms/unikraft",
    "platforms/virtio-serial/src",
    "tools",
];

/// The functions of a file: their lines, and where they are.
struct Functions<'f> {
    path: &'f Path,
    lines: Vec<&'f str>,
    found: Vec<(usize, String)>,
}

impl Functions<'_> {
    fn note(&mut self, name: &syn::Ident, function: proc_macro2::Span) {
        let (first, last) = (function.start().line, function.end().line);
        let counts = |line: &&&str| !line.trim().is_empty() && !line.trim().starts_with("//");
        let lines = self.lines[name.span().start().line.max(first) - 1..last].iter().filter(counts).count();
        self.found.push((lines, format!("{}:{first}: {name}", self.path.display())));
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test(&function.attrs) {
            self.note(&function.sig.ident, function.span());
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            self.note(&function.sig.ident, function.span());
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if function.default.is_some() {
            self.note(&function.sig.ident, function.span());
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// All of the product's functions with their lines, the longest first.
fn all() -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for Source { path, text, file } in sources(&ROOTS) {
        let mut functions = Functions { path: &path, lines: text.lines().collect(), found: vec![] };
        functions.visit_file(&file);
        all.append(&mut functions.found);
    }
    all.sort_by(|one, other| other.cmp(one));
    all
}

#[test]
fn functions_are_short() {
    let all = all();
    assert!(all.len() > 2000, "only {} functions were found", all.len());
    let named = |from: &[(usize, String)]| {
        from.iter().map(|(lines, place)| format!("{lines:4} {place}")).collect::<Vec<_>>().join("\n")
    };
    let too_long = all.partition_point(|(lines, _)| *lines >= LONGEST);
    assert!(too_long == 0, "functions of {LONGEST} lines or more:\n{}", named(&all[..too_long]));
    let long = all.partition_point(|(lines, _)| *lines >= SELDOM);
    let may = all.len() / 100;
    assert!(
        long <= may,
        "{long} of {} functions have {SELDOM} lines or more, {may} may:\n{}",
        all.len(),
        named(&all[..long])
    );
}
