//! What commands say, as JSON: one value for each command.

use crate::names::parts;
use serde_json::{json, Map, Value as Json};
use ubpf_pack::Value;

/// What a command says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `bpf_list`.
    Attached,
    /// `functions`.
    Functions,
    /// `status`: names and values.
    Status,
    /// `map list`, `map show`.
    Maps,
    /// `prog list`, `prog show`.
    Programs,
    /// `prog dump`: programs and their instructions.
    Code,
    /// Anything else: lines.
    Lines,
}

impl Form {
    /// That of a command.
    pub fn of(words: &[&str]) -> Form {
        match words {
            ["bpf_list", ..] => Form::Attached,
            ["functions", ..] => Form::Functions,
            ["status"] => Form::Status,
            ["map", "list" | "show", ..] => Form::Maps,
            ["prog", "list" | "show", ..] => Form::Programs,
            ["prog", "dump", ..] => Form::Code,
            _ => Form::Lines,
        }
    }

    /// The lines of a command that did well. A line that is not as it should be stands as it is.
    pub fn json(self, lines: &[String]) -> Json {
        let each = |one: &dyn Fn(&str) -> Option<Json>| {
            lines.iter().map(|line| one(line).unwrap_or_else(|| json!(line))).collect::<Vec<Json>>()
        };
        match self {
            Form::Lines => json!({ "output": lines }),
            Form::Attached => attached(lines),
            Form::Functions => json!(each(&function)),
            Form::Status => status(lines),
            Form::Maps => json!(each(&map)),
            Form::Programs => json!(each(&program)),
            Form::Code => code(lines),
        }
    }
}

/// A key or value.
pub fn value(value: &Value) -> Json {
    match value {
        Value::Number(number) | Value::Address(number) => json!(number),
        Value::Signed(number) => json!(number),
        Value::Bool(is) => json!(is),
        Value::Float(number) if number.is_finite() => json!(number),
        Value::Float(number) => json!(number.to_string()),
        Value::Name(name) => json!(name),
        Value::Text(bytes) => json!(String::from_utf8_lossy(bytes)),
        Value::Bytes(_) => json!(value.to_string()),
        Value::List(list) => Json::Array(list.iter().map(self::value).collect()),
        Value::Fields(fields) => {
            Json::Object(fields.iter().map(|(name, field)| (name.clone(), self::value(field))).collect())
        }
    }
}

/// A number where it is one.
fn word(text: &str) -> Json {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}

/// `FUNCTION:` and its programs.
fn attached(lines: &[String]) -> Json {
    let mut functions: Vec<Json> = Vec::new();
    let mut notes: Vec<Json> = Vec::new();
    for line in lines {
        let last = functions.last_mut().and_then(|last| last["programs"].as_array_mut());
        match (line.strip_prefix(" - "), last) {
            (Some(program), Some(programs)) => programs.push(probe(program)),
            _ => match line.strip_suffix(':') {
                Some(function) => functions.push(json!({ "function": function, "programs": [] })),
                None => notes.push(json!(line)),
            },
        }
    }
    json!({ "functions": functions, "notes": notes })
}

/// `PROGRAM`, or `PROGRAM (runs 1, misses 2, failures 3, 4 ns each, asked 5.0 Hz, way general: calls bpf_get_func_ip)`.
fn probe(text: &str) -> Json {
    let counters = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (runs "));
    let Some((program, counters)) = counters else { return json!({ "program": text }) };
    let mut found = Map::from_iter([("program".to_string(), json!(program))]);
    let (counters, way) = counters.split_once(", way ").map_or((counters, None), |(rest, way)| (rest, Some(way)));
    found.extend(format!("runs {counters}").split(", ").filter_map(counter));
    if let Some(way) = way {
        let (way, why) = way.split_once(": ").map_or((way, None), |(way, why)| (way, Some(why)));
        found.insert("way".into(), json!(way));
        found.extend(why.map(|why| ("why".to_string(), json!(why))));
    }
    Json::Object(found)
}

/// `runs 1`, `left out 3`, `4 ns each` or `asked 5.0 Hz`.
fn counter(text: &str) -> Option<(String, Json)> {
    if let Some(mean) = text.strip_suffix(" ns each") {
        return Some(("mean_ns".into(), word(mean)));
    }
    if let Some(rate) = text.strip_suffix(" Hz") {
        let (name, rate) = rate.rsplit_once(' ')?;
        return Some((format!("{name}_hz"), json!(rate.parse::<f64>().unwrap_or(0.0))));
    }
    let (name, number) = text.rsplit_once(' ')?;
    Some((name.replace(' ', "_"), word(number)))
}

fn function(line: &str) -> Option<Json> {
    if let Some((head, why)) = line.split_once("): this stub cannot be used: ") {
        let (name, address) = head.split_once(" (")?;
        return Some(json!({ "name": name, "address": address, "unusable": why }));
    }
    Some(match parts(line) {
        (name, Some(address)) => json!({ "name": name, "address": address }),
        (name, None) => json!({ "name": name }),
    })
}

/// `name: value`. Of a name that comes again, all values.
fn status(lines: &[String]) -> Json {
    let mut all = Map::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match all.get_mut(name) {
            None => drop(all.insert(name.into(), word(value))),
            Some(Json::Array(values)) => values.push(word(value)),
            Some(one) => *one = json!([one.take(), word(value)]),
        }
    }
    Json::Object(all)
}

/// `NAME KIND key 4 value 8 entries 1 of 2, read-only, kept`.
fn map(line: &str) -> Option<Json> {
    let mut parts = line.split(", ");
    let words: Vec<&str> = parts.next()?.split(' ').collect();
    let &[name, kind, "key", key, "value", value, "entries", entries, "of", most] = words.as_slice() else {
        return None;
    };
    let mut map = json!({
        "name": name, "kind": kind, "key_size": word(key), "value_size": word(value), "entries": word(entries), "max_entries": word(most),
        "read_only": false, "kept": false,
    });
    for more in parts {
        match more {
            "read-only" => map["read_only"] = json!(true),
            "kept" => map["kept"] = json!(true),
            more => {
                let (name, value) = more.split_once(' ').unwrap_or((more, ""));
                map[name] = word(value);
            }
        }
    }
    Some(map)
}

/// Lines of programs, and those of their instructions behind each.
fn code(lines: &[String]) -> Json {
    let mut programs: Vec<Json> = Vec::new();
    for line in lines {
        let insn = line.trim_start().split_once(": ").filter(|(pc, _)| pc.parse::<u32>().is_ok());
        let last = programs.last_mut().and_then(|last| last["code"].as_array_mut());
        match (insn, last) {
            (Some((pc, insn)), Some(code)) => code.push(json!({ "pc": word(pc), "insn": insn })),
            _ => {
                let mut program = program(line).unwrap_or_else(|| json!({ "output": line }));
                program["code"] = json!([]);
                programs.push(program);
            }
        }
    }
    json!(programs)
}

/// `OBJECT:PROGRAM SECTION 12 instructions, gone when it is detached, cannot be attached: WHY`. A section may have any name.
fn program(line: &str) -> Option<Json> {
    let (head, more) = match line.rsplit_once(" instructions") {
        Some((head, more)) => (head, more),
        None => return None,
    };
    let (rest, insns) = head.rsplit_once(' ')?;
    let (name, section) = rest.split_once(' ')?;
    let (object, program) = name.rsplit_once(':')?;
    let (more, licence) = match more.split_once(", licence ") {
        // Of a licence with commas in it the rest is read as what follows it.
        Some((more, rest)) => {
            let (licence, behind) = rest.split_once(", ").map_or((rest, String::new()), |(l, b)| (l, format!(", {b}")));
            (format!("{more}{behind}"), json!(licence))
        }
        None => (more.to_string(), Json::Null),
    };
    let more = more.as_str();
    let detail = |before: &str, behind: &str| {
        let words = more.split(", ").find_map(|part| part.strip_prefix(before)?.strip_suffix(behind));
        words.map_or(Json::Null, word)
    };
    let (machine_code, proved, checked) =
        (detail("", " bytes of machine code"), detail("", " accesses proved"), detail("", " checked"));
    let (more, refusal) = match more.split_once(", cannot be attached: ") {
        Some((more, why)) => (more, json!(why)),
        None => (more, Json::Null),
    };
    let mut found = json!({
        "object": object, "program": program, "section": section, "instructions": word(insns),
        "stays": !more.contains(", gone when it is detached"), "cannot_be_attached": refusal,
    });
    // What `prog list` does not say.
    let details = [("machine_code", machine_code), ("proved", proved), ("checked", checked), ("licence", licence)];
    for (name, value) in details.into_iter().filter(|(_, value)| !value.is_null()) {
        found[name] = value;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(words: &[&str], lines: &[&str]) -> String {
        Form::of(words).json(&lines.iter().map(|line| line.to_string()).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn lines_become_values() {
        let list = ["a.counts hash key 4 value 8 entries 1 of 16, kept", "odd line"];
        let map = r#"[{"entries":1,"kept":true,"key_size":4,"kind":"hash","max_entries":16,"name":"a.counts","read_only":false,"value_size":8},"odd line"]"#;
        assert_eq!(json(&["map", "list"], &list), map);
        let list = ["o:p kprobe/a 5 instructions 7 instructions, gone when it is detached, cannot be attached: so"];
        let program = r#"[{"cannot_be_attached":"so","instructions":7,"object":"o","program":"p","section":"kprobe/a 5 instructions","stays":false}]"#;
        assert_eq!(json(&["prog", "list"], &list), program);
        let lines = ["o:p kprobe/a 2 instructions, 77 bytes of machine code, 3 accesses proved, 1 checked, licence GPL, gone when it is detached", "       0: r0 = 0", "       1: exit"];
        let code = r#"[{"cannot_be_attached":null,"checked":1,"code":[{"insn":"r0 = 0","pc":0},{"insn":"exit","pc":1}],"instructions":2,"licence":"GPL","machine_code":77,"object":"o","program":"p","proved":3,"section":"kprobe/a","stays":false}]"#;
        assert_eq!(json(&["prog", "dump", "o"], &lines), code);
        let list = [
            "f:",
            " - a.bin (runs 1, misses 2, failures 3, 4 ns each, way general: so it is)",
            " - c.bin (runs 5, way direct)",
            " - b.bin",
            "a note",
        ];
        let attached = r#"{"functions":[{"function":"f","programs":[{"failures":3,"mean_ns":4,"misses":2,"program":"a.bin","runs":1,"way":"general","why":"so it is"},{"program":"c.bin","runs":5,"way":"direct"},{"program":"b.bin"}]}],"notes":["a note"]}"#;
        assert_eq!(json(&["bpf_list", "-v"], &list), attached);
        let lines = ["engine: machine code", "program of the image: a", "program of the image: b", "symbols: 3"];
        let status = r#"{"engine":"machine code","program of the image":["a","b"],"symbols":3}"#;
        assert_eq!(json(&["status"], &lines), status);
        let lines = ["f", "twin 0x10", "s (0x1): this stub cannot be used: why"];
        let functions =
            r#"[{"name":"f"},{"address":"0x10","name":"twin"},{"address":"0x1","name":"s","unusable":"why"}]"#;
        assert_eq!(json(&["functions"], &lines), functions);
        assert_eq!(json(&["version"], &["x \u{1b}"]), r#"{"output":["x \u001b"]}"#);
    }
}
