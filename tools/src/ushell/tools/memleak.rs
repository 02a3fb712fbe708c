//! `memleak`: memory that was allocated while the tool was there and is not freed, by the stacks that allocated it.

use super::{
    count::{first, read_top, top},
    object::Wanted,
    stacks::Stacks,
    stage::{several, Stage, Turn},
    unwound::{self, Stack, Unwinding},
    Failure, Tool, Work,
};
use crate::{names::Function, options::seconds};
use clap::{value_parser, Arg, ArgMatches, Command};
use serde_json::{json, Value as Json};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

pub const TOOL: Tool = Tool {
    name: "memleak",
    about: "Shows memory that was allocated and is not freed, by who allocated it",
    usage: "[OPTIONS]",
    details: "\
Allocations are seen from the moment on in which the programs are attached. Without --alloc and --free the allocator of the image is traced, as far \
as it can be: malloc, calloc, realloc, free, aligned_alloc, memalign, posix_memalign, and the functions of Unikraft's allocators. FUNC[:N]: the \
size, or the block, is the N-th argument; the first unless told. What the shell itself allocates is left out.",
    define,
    read,
};

/// What becomes of a function: its name, the programs of `memleak.c`, and which argument is the size or the block.
const ALLOCATORS: &[(&str, &[&str], u8)] = &[
    ("malloc", &["allocates"], 1),
    ("calloc", &["counts"], 1),
    ("realloc", REALLOC, 1),
    ("free", &["frees"], 1),
    ("aligned_alloc", &["allocates"], 2),
    ("memalign", &["allocates"], 2),
    ("posix_memalign", &["places"], 1),
    ("uk_malloc_ifpages", &["allocates"], 2),
    ("uk_calloc_compat", &["counts"], 2),
    ("uk_realloc_ifpages", REALLOC, 2),
    ("uk_realloc_compat", REALLOC, 2),
    ("uk_memalign_compat", &["allocates"], 3),
    ("uk_posix_memalign_ifpages", &["places"], 2),
    ("uk_free_ifpages", &["frees"], 2),
];
const REALLOC: &[&str] = &["moves", "moved"];

fn define(command: Command) -> Command {
    let functions = |name: &'static str| Arg::new(name).long(name).value_name("FUNC[:N]").num_args(1..);
    let blocks = value_parser!(u32).range(1..=1 << 18);
    command
        .arg(functions("alloc").help("Functions that return a block"))
        .arg(functions("free").help("Functions that free one"))
        .arg(
            Arg::new("older")
                .long("older")
                .value_name("SECONDS")
                .value_parser(seconds)
                .help("Only blocks that are so old"),
        )
        .arg(
            Arg::new("blocks")
                .long("blocks")
                .value_name("N")
                .value_parser(blocks)
                .help("Blocks that are remembered; 16384 unless told"),
        )
        .arg(top())
        .arg(unwound::dwarf())
}

fn read(matches: &ArgMatches) -> Result<Box<dyn Work>, String> {
    let mut functions = Vec::new();
    for (option, program) in [("alloc", "allocates"), ("free", "frees")] {
        for text in matches.get_many::<String>(option).into_iter().flatten() {
            // `pool::take` is a name of C++ or Rust.
            let parts = text.rsplit_once(':').filter(|(name, _)| !name.ends_with(':'));
            let (name, place) = parts.unwrap_or((text, "1"));
            let place: Option<u8> = place.parse().ok().filter(|place| (1..=3).contains(place));
            let place = place.ok_or_else(|| format!("--{option} {text}: the argument is one of 1 to 3"))?;
            functions.push((format!("{program}_{place}"), name.to_string()));
        }
    }
    Ok(Box::new(Leaks {
        functions,
        older: matches.get_one("older").copied().unwrap_or_default(),
        blocks: matches.get_one("blocks").copied().unwrap_or(BLOCKS),
        top: read_top(matches),
        unwinding: unwound::read_dwarf(matches)?,
    }))
}

const BLOCKS: u32 = 1 << 14;

struct Leaks {
    /// Programs and functions; none: those that are known.
    functions: Vec<(String, String)>,
    older: Duration,
    blocks: u32,
    top: usize,
    /// What follows calls where frame pointers do not.
    unwinding: Option<Unwinding>,
}

impl Work for Leaks {
    fn run(&self, stage: &mut Stage) -> Result<(), Failure> {
        let at = match self.functions.is_empty() {
            true => known(stage)?,
            false => self.named(stage)?,
        };
        let entries = Some(self.blocks);
        if let Some(unwinding) = &self.unwinding {
            let located = unwinding.located(stage)?;
            stage.attach(&Wanted { programs: "memleak_dwarf", at: &at, entries, ..Wanted::default() })?;
            // By the number that a block has.
            let mut stacks: HashMap<u64, (u64, Stack)> = HashMap::new();
            let take = |[number, function]: [u64; 2], stack| drop(stacks.insert(number, (function, stack)));
            located.follow(stage, "memleak_dwarf.samples", take)?;
            return self.tell(stage, "memleak_dwarf", Turn::End, |stage, blocks| {
                // Of the stacks of blocks that are there: most others may be those of blocks that were freed.
                let found = blocks.iter().filter_map(|block| stacks.get(&block.stack));
                let names = unwound::learned_at_returns(stage, found.map(|(function, stack)| (*function, stack)))?;
                let of = |block: &Block| {
                    let (function, stack) = stacks.get(&block.stack)?;
                    Some(unwound::functions_at_return(&names, *function, stack))
                };
                Ok(blocks.iter().map(|block| of(block).unwrap_or_default()).collect())
            });
        }
        stage.attach(&Wanted { programs: "memleak", at: &at, entries, ..Wanted::default() })?;
        let mut stacks = Stacks::default();
        loop {
            let turn = stage.wait()?;
            self.tell(stage, "memleak", turn, |stage, blocks| {
                stacks.look_up(stage, "memleak.stacks", blocks.iter().map(|block| block.stack))?;
                Ok(blocks.iter().map(|block| stacks.functions(block.stack)).collect())
            })?;
            if turn == Turn::End {
                return Ok(());
            }
        }
    }
}

impl Leaks {
    /// The functions that the person has named, with their programs.
    fn named(&self, stage: &mut Stage) -> Result<Vec<(String, String)>, Failure> {
        let mut at = Vec::new();
        for (program, function) in &self.functions {
            let targets = stage.targets(std::slice::from_ref(function))?;
            at.extend(targets.into_iter().map(|target| (program.clone(), target)));
        }
        Ok(at)
    }

    /// Tells what there is. `functions` finds the stacks of blocks.
    fn tell(
        &self,
        stage: &mut Stage,
        programs: &str,
        turn: Turn,
        functions: impl FnOnce(&mut Stage, &[Block]) -> Result<Vec<Vec<Function>>, Failure>,
    ) -> Result<(), Failure> {
        let map = |name: &str| format!("{programs}.{name}");
        if turn == Turn::End {
            stage.set(&map("over"), 0, 1)?;
        }
        // Blocks first: what is allocated meanwhile is younger than the time.
        let (blocks, now) = (stage.words(&map("blocks"))?, stage.now_ns()?);
        let (span, totals) = (stage.span(), stage.value(&map("totals"), 0)?);
        let lost = stage.lost(Some(&map("lost")))?;
        let old = |block: &Block| now.saturating_sub(block.when) >= self.older.as_nanos() as u64;
        let blocks: Vec<Block> = blocks.iter().filter_map(|(_, words)| Block::of(words)).filter(old).collect();
        let groups = Group::all(&blocks, functions(stage, &blocks)?, now);
        let (count, bytes) = (blocks.len() as u64, blocks.iter().map(|block| block.size).fold(0, u64::saturating_add));
        let [allocated, freed] = [0, 1].map(|at| totals.get(at).copied().unwrap_or(0));
        let (shown, rest) = first(&groups, self.top);
        let text = || {
            let each: String = shown.iter().map(Group::text).collect();
            let (blocks, stacks) = (several(count, "block"), several(groups.len() as u64, "stack"));
            let sum = format!(
                "{bytes} bytes in {blocks} of {stacks}{rest}; {allocated} were allocated, {freed} freed again\n"
            );
            format!("{}{each}{sum}{}", span.head(), lost.text())
        };
        let value = || {
            let each: Vec<Json> = shown.iter().map(Group::json).collect();
            span.json(json!({
                "bytes": bytes, "blocks": count, "allocated": allocated, "freed": freed, "lost": lost.json(), "stacks": each,
            }))
        };
        stage.show(turn, text, value)
    }
}

/// The functions of [`ALLOCATORS`] that can be traced, with their programs.
fn known(stage: &mut Stage) -> Result<Vec<(String, String)>, Failure> {
    let mut at = Vec::new();
    for (function, programs, place) in ALLOCATORS {
        if stage.is_there(function)? {
            at.extend(programs.iter().map(|program| (format!("{program}_{place}"), function.to_string())));
        }
    }
    match at.iter().any(|(program, _)| program.starts_with("frees")) {
        true => Ok(at),
        false => Err(Failure::Refused(
            "the allocator of this image cannot be traced: it has no entry stubs (in Unikraft they come with LIBUBPF_RS_SCOPE_IMAGE). Name the application's own functions with --alloc and --free".into(),
        )),
    }
}

struct Block {
    size: u64,
    when: u64,
    stack: u64,
}

impl Block {
    fn of(words: &[u64]) -> Option<Self> {
        let &[size, when, stack] = words else { return None };
        Some(Self { size, when, stack })
    }
}

/// Blocks that came from the same functions.
struct Group {
    functions: Vec<Function>,
    bytes: u64,
    blocks: u64,
    /// Nanoseconds ago.
    youngest: u64,
    oldest: u64,
}

impl Group {
    /// Most bytes first.
    fn all(blocks: &[Block], functions: Vec<Vec<Function>>, now: u64) -> Vec<Self> {
        let mut all: BTreeMap<Vec<Function>, Self> = BTreeMap::new();
        for (block, functions) in blocks.iter().zip(functions) {
            let fresh = Self { functions: functions.clone(), bytes: 0, blocks: 0, youngest: u64::MAX, oldest: 0 };
            let group = all.entry(functions).or_insert(fresh);
            let age = now.saturating_sub(block.when);
            group.bytes = group.bytes.saturating_add(block.size);
            group.blocks += 1;
            (group.youngest, group.oldest) = (group.youngest.min(age), group.oldest.max(age));
        }
        let mut all: Vec<Self> = all.into_values().collect();
        all.sort_by_key(|group| std::cmp::Reverse(group.bytes));
        all
    }

    fn text(&self) -> String {
        let (blocks, [youngest, oldest]) =
            (several(self.blocks, "block"), [self.youngest, self.oldest].map(|ns| ns as f64 / 1e9));
        format!(
            "{} bytes in {blocks}, {youngest:.1} s to {oldest:.1} s old:\n{}",
            self.bytes,
            Stacks::text(&self.functions)
        )
    }

    fn json(&self) -> Json {
        let mut value = json!({
            "bytes": self.bytes, "blocks": self.blocks, "youngest_ns": self.youngest, "oldest_ns": self.oldest,
        });
        Function::put_all(&self.functions, &mut value, "functions");
        value
    }
}
