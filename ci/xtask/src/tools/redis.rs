//! `examples/redis`, by a client that sends one request after the other and checks each answer. What a tool told is compared with the number of
//! these requests, and with Redis's own statistics.

use super::{
    all, expect,
    running::{expect_stacks, list, number, only, row, stacks_with, sum, sum_with, word, Image},
    Check,
};
use crate::Result;
use serde_json::Value as Json;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Requests while a tool works. What `slower`, `graph` and `syscalls` tell of them fits into the image's room for what was not read yet.
const REQUESTS: u64 = 200;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many numbers are sorted, and how often: work of seconds, and little to send.
const NUMBERS: usize = 5000;
const SORTS: usize = 100;
/// Bytes of a value.
const VALUE: usize = 100;

/// A client of the application.
struct Redis {
    stream: BufReader<TcpStream>,
}

/// The application.
struct RedisApplication<'a> {
    image: &'a Image,
    client: Redis,
}

/// Plays all tools.
pub fn play(image: &Image, port: u16) -> Result<()> {
    let mut redis = RedisApplication { image, client: Redis::connect(port)? };
    let checks: &[Check<RedisApplication<'_>>] = &[
        ("funccount", funccount),
        ("argdist", argdist),
        ("funclatency", funclatency),
        ("slower", slower),
        ("graph", graph),
        ("stackcount", stackcount),
        ("memleak", memleak),
        ("offcpu", offcpu),
        ("profile", profile),
        ("syscount", syscount),
        ("syscalls", syscalls),
    ];
    all(image, &mut redis, "Redis", checks)
}

impl Redis {
    fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| format!("127.0.0.1:{port}: {error}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request; its answer without the marks of the protocol.
    fn ask(&mut self, words: &[&str]) -> Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.trim_end();
        match line.strip_prefix('$') {
            Some(length) => {
                let length: usize = length.parse().map_err(|_| format!("the answer to {words:?} is {line}"))?;
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            None => Ok(line.trim_start_matches(['+', ':']).to_owned()),
        }
    }

    /// The same with the answer that must come.
    fn expect(&mut self, words: &[&str], answer: &str) -> Result<()> {
        let said = self.ask(words)?;
        expect(said == answer, || format!("Redis answers {said:?} to {words:?}, not {answer:?}"))
    }

    /// How often each command was carried out since the last `CONFIG RESETSTAT`.
    fn statistics(&mut self) -> Result<BTreeMap<String, u64>> {
        let said = self.ask(&["INFO", "commandstats"])?;
        let lines = said.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let counts = lines.filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(',')?.0.parse().ok()?)));
        Ok(counts.collect())
    }
}

impl RedisApplication<'_> {
    /// A tool during [`REQUESTS`] times `GET`, which Redis counted as many times.
    fn during_gets(&mut self, arguments: &[&str]) -> Result<Vec<Json>> {
        self.client.expect(&["SET", "key", "value"], "OK")?;
        let client = &mut self.client;
        let (told, counted) = self.image.during(arguments, || {
            client.expect(&["CONFIG", "RESETSTAT"], "OK")?;
            (0..REQUESTS).try_for_each(|_| client.expect(&["GET", "key"], "value"))?;
            Ok(client.statistics()?.get("get").copied())
        })?;
        expect(counted == Some(REQUESTS), || format!("Redis counted {counted:?} of {REQUESTS} GET"))?;
        Ok(told)
    }
}

/// `CONFIG RESETSTAT`, and the `INFO` that asks for the statistics.
const OTHERS: u64 = 2;

fn funccount(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["funccount", "processCommand", "getCommand", "setCommand", "infoCommand"])?;
    let told = only(&told)?;
    for (function, calls) in [("processCommand", REQUESTS + OTHERS), ("getCommand", REQUESTS), ("infoCommand", 1)] {
        let row = row(told, "functions", "function", function)?;
        expect(number(row, "calls")? == calls, || format!("{calls} were made: {row}"))?;
    }
    expect(list(told, "functions")?.len() == 3, || format!("no setCommand: {told}"))?;
    Ok(format!("{REQUESTS} GET, as Redis counted"))
}

fn argdist(redis: &mut RedisApplication<'_>) -> Result<String> {
    // What was read of the connection, by its length: `sdsIncrLen(s, incr)`.
    let told = redis.during_gets(&["argdist", "sdsIncrLen", "2", "--count"])?;
    let length = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n".len();
    let rows = list(only(&told)?, "values")?;
    let found =
        rows.iter().find(|row| row["value"] == length).ok_or_else(|| format!("no length {length}: {rows:?}"))?;
    expect(number(found, "calls")? == REQUESTS, || format!("{REQUESTS} requests have {length} bytes: {found}"))?;
    Ok(format!("{REQUESTS} requests of {length} bytes"))
}

fn funclatency(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["funclatency", "getCommand"])?;
    let latency = list(only(&told)?, "latencies")?.first().ok_or("no latency")?;
    let slots = sum(latency, "slots", "count")?;
    expect(number(latency, "calls")? == REQUESTS && slots == REQUESTS, || format!("{REQUESTS} GET: {latency}"))?;
    Ok(format!("the times of {REQUESTS} GET, each in a slot"))
}

fn slower(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["slower", "0", "processCommand"])?;
    expect(told.len() as u64 == REQUESTS + OTHERS, || format!("{} of {REQUESTS} + {OTHERS} commands", told.len()))?;
    // The client's connection goes on after each.
    expect(told.iter().all(|call| call["result"] == 0), || "processCommand gives 0".into())?;
    Ok(format!("{} commands, one line each, all with result 0", told.len()))
}

fn graph(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["graph", "getCommand", "getGenericCommand", "lookupKeyReadOrReply"])?;
    expect(told.len() as u64 == REQUESTS, || format!("{} of {REQUESTS} GET", told.len()))?;
    for value in &told {
        let (mut call, mut depth) = (&value["call"], 1);
        while let [inner] = list(call, "calls")? {
            expect(number(inner, "ns")? <= number(call, "ns")?, || {
                format!("a part takes longer than the whole: {value}")
            })?;
            (call, depth) = (inner, depth + 1);
        }
        let last = word(call, "function")?;
        expect(depth >= 2 && last == "lookupKeyReadOrReply", || format!("each GET looks its key up once: {value}"))?;
    }
    Ok(format!("{REQUESTS} GET, each with one look-up in it"))
}

fn stackcount(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["stackcount", "getCommand"])?;
    let told = only(&told)?;
    expect(number(told, "calls")? == REQUESTS, || format!("{REQUESTS} GET: {told}"))?;
    expect_stacks(told, &["getCommand", "call", "processCommand"], "aeMain")?;
    Ok(format!("{REQUESTS} GET come from aeMain by processCommand"))
}

fn memleak(redis: &mut RedisApplication<'_>) -> Result<String> {
    let keys: Vec<String> = (0..REQUESTS).map(|number| format!("kept:{number}")).collect();
    let value = "x".repeat(VALUE);
    let client = &mut redis.client;
    let set = |client: &mut Redis| keys.iter().try_for_each(|key| client.expect(&["SET", key, &value], "OK"));
    let del = |client: &mut Redis| keys.iter().try_for_each(|key| client.expect(&["DEL", key], "1"));
    let (kept, ()) = redis.image.during(&["memleak"], || set(client))?;
    del(client)?;
    let (gone, ()) = redis.image.during(&["memleak"], || set(client).and_then(|()| del(client)))?;
    let blocks = |told| sum_with(only(told)?, "functions", "processInputBuffer", "blocks");
    // A key takes its name, its value and its entry; tables are small beside them.
    let (kept, gone) = (blocks(&kept)?, blocks(&gone)?);
    let fits = kept >= 3 * REQUESTS && gone <= REQUESTS / 10;
    expect(fits, || format!("{REQUESTS} keys: {kept} blocks while they are there, {gone} when they were deleted"))?;
    Ok(format!("{kept} blocks of {REQUESTS} keys, {gone} when they were deleted again"))
}

fn offcpu(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["offcpu"])?;
    let told = only(&told)?;
    for thread in list(told, "threads")? {
        for row in stacks_with(thread, "functions", "aeMain")? {
            // One request after the other: it waits for each.
            let times = number(row, "times")?;
            if times >= REQUESTS / 2 {
                return Ok(format!("it waits for requests: {times} times"));
            }
        }
    }
    Err(format!("Redis waits for each of {REQUESTS} requests: {told}").into())
}

fn profile(redis: &mut RedisApplication<'_>) -> Result<String> {
    let client = &mut redis.client;
    let values: Vec<String> = (0..NUMBERS).map(|number| number.to_string()).collect();
    let mut words = vec!["RPUSH", "numbers"];
    words.extend(values.iter().map(String::as_str));
    client.ask(&["DEL", "numbers"])?;
    client.expect(&words, &NUMBERS.to_string())?;
    let (told, ()) = redis.image.during(&["profile", "--hz", "499"], || {
        (0..SORTS)
            .try_for_each(|_| client.expect(&["SORT", "numbers", "DESC", "LIMIT", "0", "0", "STORE", "sorted"], "0"))
    })?;
    client.expect(&["DEL", "numbers"], "1")?;
    let told = only(&told)?;
    let (all, sorting) = (number(told, "samples")?, sum_with(told, "stack", "sortCommandGeneric", "samples")?);
    expect(all >= 20 && sorting * 2 >= all, || format!("{sorting} of {all} samples while it sorts"))?;
    Ok(format!("{sorting} of {all} samples below sortCommandGeneric while it sorts"))
}

fn syscount(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["syscount"])?;
    let told = only(&told)?;
    for name in ["read", "write"] {
        let calls = number(row(told, "calls", "name", name)?, "calls")?;
        expect((REQUESTS + OTHERS..=REQUESTS + OTHERS + 10).contains(&calls), || {
            format!("one {name} a request: {told}")
        })?;
    }
    Ok("one read and one write for each request".into())
}

fn syscalls(redis: &mut RedisApplication<'_>) -> Result<String> {
    let told = redis.during_gets(&["syscalls", "write"])?;
    let answer = "$5\r\nvalue\r\n".len();
    let answers = told.iter().filter(|call| call["result"] == answer).count() as u64;
    expect(answers == REQUESTS, || format!("{answers} of {REQUESTS} answers of {answer} bytes were written"))?;
    Ok(format!("{REQUESTS} answers of {answer} bytes were written"))
}
