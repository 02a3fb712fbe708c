//! `cargo xtask qemu bench`: the image's figures beside what they must reach, on this machine. Times are medians; of round
//! trips, which a wait for the host's scheduler doubles now and then, the lower quartiles.

use super::machine::{archive, Machine, Options};
use crate::Result;
use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::Command,
    time::Instant,
};
use ubpf_client::text::TextClient;

/// Milliseconds from the start of QEMU to the shell's first prompt, at most.
const PROMPT_MS: f64 = 600.0;
/// Bytes of the stripped image, at most.
const IMAGE_BYTES: u64 = super::image::SIZE_LIMIT as u64;
/// Round trip of a byte through the shell by that through an echo in the device's interrupt, at most.
const ROUND_TRIP_RATIO: f64 = 1.3;
/// MiB per second of an upload, at least.
const PUT_RATE: f64 = 5.0;
/// Lines of platforms/qemu without blank lines and comments, less than.
const SOURCE_LINES: usize = 3400;

/// Measures all figures; an error when one is not reached.
pub fn run(root: &Path, image: &Path) -> Result<()> {
    let prompt = prompt_ms(root, image)?;
    let (echo, shell) = round_trips(root, image)?;
    let rate = put_rate(root, image)?;
    let size = stripped_bytes(image)?;
    let lines = source_lines(root)?;
    let ratio = shell / echo;
    let figures = [
        (prompt < PROMPT_MS, format!("start of QEMU to prompt: {prompt:.0} ms (less than {PROMPT_MS} ms)")),
        (size < IMAGE_BYTES, format!("stripped image: {} KiB (less than {} KiB)", size >> 10, IMAGE_BYTES >> 10)),
        (
            ratio <= ROUND_TRIP_RATIO,
            format!(
                "round trip of a byte: shell {shell:.1} us, echo in the interrupt {echo:.1} us, ratio {ratio:.2} (at most {ROUND_TRIP_RATIO})"
            ),
        ),
        (rate >= PUT_RATE, format!("upload of 1 MiB: {rate:.1} MiB/s (at least {PUT_RATE} MiB/s)")),
        (lines < SOURCE_LINES, format!("lines of platforms/qemu: {lines} (less than {SOURCE_LINES})")),
    ];
    for (reached, figure) in &figures {
        println!("{figure}{}", if *reached { "" } else { ": MISSED" });
    }
    match figures.iter().filter(|(reached, _)| !reached).count() {
        0 => Ok(()),
        missed => Err(format!("{missed} figures are not reached").into()),
    }
}

/// What does not depend on the machine: sizes. Checked by the tests as well.
pub fn check_sizes(root: &Path, image: &Path) -> Result<()> {
    let (size, lines) = (stripped_bytes(image)?, source_lines(root)?);
    if size >= IMAGE_BYTES {
        return Err(format!("the stripped image has {size} bytes, {IMAGE_BYTES} are too many").into());
    }
    if lines >= SOURCE_LINES {
        return Err(format!("platforms/qemu has {lines} lines, {SOURCE_LINES} are too many").into());
    }
    println!("stripped image {} KiB, platforms/qemu {lines} lines", size >> 10);
    Ok(())
}

fn median(values: Vec<f64>) -> f64 {
    quantile(values, 2)
}

/// The value that one in `part` lies below.
fn quantile(mut values: Vec<f64>, part: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / part).copied().unwrap_or(0.0)
}

fn prompt_ms(root: &Path, image: &Path) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..15 {
        let options = Options { initrd: Some(super::sample_files(root)?), ..Options::default() };
        let begin = Instant::now();
        let machine = Machine::start(root, image, &options)?;
        TextClient::at_prompt(&machine.socket)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

/// Microseconds of a byte there and back: by the echo, and by the shell's line editor, in turns on one machine.
fn round_trips(root: &Path, image: &Path) -> Result<(f64, f64)> {
    const TURNS: usize = 40;
    const BYTES: usize = 200;
    let options = Options { command_line: "-- 1000000".into(), ..Options::default() };
    let machine = Machine::start(root, image, &options)?;
    let (mut echo, mut shell) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let mut client = TextClient::at_prompt(&machine.socket)?;
        client.stream.write_all(b"echo\n")?;
        client.until(|text| text.ends_with(b"> "))?;
        for _ in 0..BYTES {
            echo.push(round_trip(&mut client)?);
            client.stream.write_all(b"\x7f")?;
            client.read_exactly(b"\x7f")?;
        }
        drop(client);
        let mut client = TextClient::at_prompt(&machine.socket)?;
        client.stream.write_all(b"mode terminal\n")?;
        client.until(|text| text.ends_with(b"> "))?;
        for _ in 0..BYTES {
            shell.push(round_trip(&mut client)?);
            client.stream.write_all(b"\x7f")?;
            client.until(|text| text.len() >= 3)?;
        }
    }
    Ok((quantile(echo, 4), quantile(shell, 4)))
}

fn round_trip(client: &mut TextClient) -> Result<f64> {
    let mut byte = [0];
    let begin = Instant::now();
    client.stream.write_all(b"a")?;
    client.stream.read_exact(&mut byte)?;
    let time = begin.elapsed();
    match byte {
        [b'a'] => Ok(time.as_secs_f64() * 1e6),
        other => Err(format!("`a` came back as {other:?}").into()),
    }
}

fn put_rate(root: &Path, image: &Path) -> Result<f64> {
    let options = Options { initrd: Some(archive(&[])), ..Options::default() };
    let machine = Machine::start(root, image, &options)?;
    let contents: Vec<u8> = (0..1u32 << 20).map(|number| ((number * 7) >> 3) as u8).collect();
    let mut client = TextClient::at_prompt(&machine.socket)?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let begin = Instant::now();
        client.send("file", &contents)?;
        times.push(begin.elapsed().as_secs_f64());
    }
    Ok(1.0 / median(times))
}

/// Bytes of the image without symbols and debug information.
pub fn stripped_bytes(image: &Path) -> Result<u64> {
    let stripped = image.with_extension("stripped");
    crate::setup::run(Command::new("llvm-objcopy").arg("--strip-all").arg(image).arg(&stripped))?;
    Ok(fs::metadata(stripped)?.len())
}

/// Lines of code of all sources: Rust, C, assembler, linker script, manifest. Blank lines and comments do not count.
fn source_lines(root: &Path) -> Result<usize> {
    let mut lines = 0;
    let mut folders = vec![root.join("platforms/qemu")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if path.is_file() && name != "Cargo.lock" {
                let text = fs::read_to_string(path)?;
                lines += text.lines().map(str::trim_start).filter(|line| is_code(line)).count();
            }
        }
    }
    Ok(lines)
}

fn is_code(line: &str) -> bool {
    let comment = ["//", "/*", "*/", "* ", "# "];
    !line.is_empty() && line != "*" && !comment.iter().any(|start| line.starts_with(start))
}
