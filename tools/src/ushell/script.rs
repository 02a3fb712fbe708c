//! Lines of a script: which of them are commands.

use std::io::{self, BufRead};

/// A line that is to be run, or why it is not.
pub type Line = Result<String, String>;

/// The next command of a script; `None` at its end. `number` counts its lines.
pub fn next(input: &mut impl BufRead, number: &mut usize) -> io::Result<Option<Line>> {
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        *number += 1;
        let line = match *number {
            1 => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line),
            _ => &line,
        };
        match std::str::from_utf8(line) {
            Err(_) => return Ok(Some(Err(format!("line {number} is not UTF-8: not run")))),
            Ok(line) if is_command(line) => return Ok(Some(Ok(line.trim_end().into()))),
            Ok(_) => {}
        }
    }
}

/// The commands of a text.
pub fn commands(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split(['\n', '\r']).map(str::trim_end);
    lines.filter(|line| is_command(line))
}

fn is_command(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_command() {
        let script = b"\xef\xbb\xbf# comment\r\nls\r\n\n  # another\n  cat '#x'\n\xff\nlast";
        let (mut input, mut number, mut found) = (&script[..], 0, Vec::new());
        while let Some(line) = next(&mut input, &mut number).unwrap() {
            found.push(line);
        }
        let command = |text: &str| Ok(text.to_owned());
        let refused = Err("line 6 is not UTF-8: not run".into());
        assert_eq!(found, [command("ls"), command("  cat '#x'"), refused, command("last")]);
    }

    #[test]
    fn what_is_pasted() {
        let found: Vec<_> = commands("ls\r\ncat a\rstatus\n# no\n\n").collect();
        assert_eq!(found, ["ls", "cat a", "status"]);
    }
}
