//! `cargo xtask size`: what the library adds to a Unikraft image, in bytes of the file, of code by part, and of memory. It reads finished
//! builds, or builds a series of images itself, each without one option more, and boots the first and the last of them. `--doc` puts the
//! tables into `docs/unikraft.md`, so that each figure stands there once, as it was measured.

mod build;
mod series;
mod tables;

use crate::{unikraft::is_checkout, usage, Result};
use build::Build;
use std::{
    fs,
    path::{Path, PathBuf},
};

const USAGE: &str = "usage: cargo xtask size BUILD...
       cargo xtask size [--doc] UK_ROOT...
  BUILD    the folder of a finished build of Unikraft (O=)
  UK_ROOT  a checkout of Unikraft: a series of images is built in target/unikraft
  --doc    put the tables into docs/unikraft.md";

/// Where the tables go, and between which lines.
const PAGE: &str = "docs/unikraft.md";
const BEGIN: &str = "<!-- written by `cargo xtask size --doc`: -->\n";
const END: &str = "<!-- to here -->\n";

pub fn main(root: &Path, arguments: &[String]) -> Result<()> {
    let (options, folders): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with('-'));
    let doc = match options.as_slice() {
        [] => false,
        [option] if *option == "--doc" => true,
        _ => return Err(usage(USAGE)),
    };
    let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let checkouts = folders.iter().filter(|folder| is_checkout(folder));
    let text = match checkouts.count() {
        _ if folders.is_empty() => return Err(usage(USAGE)),
        0 if doc => return Err(usage("--doc needs checkouts of Unikraft, as the page has their tables")),
        0 => tables::builds(&read(&folders)?),
        count if count == folders.len() => tables::series(&series::measure(root, &folders)?),
        _ => return Err(usage("checkouts of Unikraft and folders of builds are not mixed")),
    };
    match doc {
        true => {
            let page = root.join(PAGE);
            let with = put(&fs::read_to_string(&page)?, &text)?;
            fs::write(page, with)?;
        }
        false => print!("{text}"),
    }
    Ok(())
}

fn read(folders: &[PathBuf]) -> Result<Vec<(String, Build)>> {
    let named = folders.iter().map(|folder| {
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        Ok((name.to_string_lossy().into_owned(), Build::read(folder)?))
    });
    named.collect()
}

/// The page with these tables in the place of the former ones.
fn put(page: &str, tables: &str) -> Result<String> {
    let missing = || format!("{PAGE} has no place for tables (between {BEGIN:?} and {END:?})");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::{put, BEGIN, END};

    #[test]
    fn tables_take_the_place_of_the_former_ones() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let with = put(&page, "new\n").expect("a place");
        assert_eq!(with, format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert_eq!(put(&with, "new\n").expect("a place"), with);
        assert!(put("a page without a place", "new\n").is_err());
    }
}
