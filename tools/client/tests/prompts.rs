//! The client for tests and the first prompt of its connection, with what was written for a client before.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    thread,
};
use ubpf_client::text::TextClient;

/// A shell that sends `first` to whoever connects, and answers a line.
fn heard_behind(name: &str, first: &'static str) -> String {
    let socket = std::env::temp_dir().join(format!("ubpf-prompts-{}-{name}", std::process::id()));
    let listener = UnixListener::bind(&socket).unwrap();
    let shell = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(first.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        write!(stream, "answer to {line}> ").unwrap();
    });
    let said = TextClient::at_prompt(&socket).map(|mut client| client.command("status").unwrap());
    std::fs::remove_file(&socket).unwrap();
    let said = said.unwrap_or_else(|error| panic!("{first:?}: {error}"));
    shell.join().unwrap();
    said
}

#[test]
fn a_first_prompt_is_known_behind_what_was_for_a_client_before() {
    for (name, first) in
        [("alone", "> "), ("line", "value: 9\n> "), ("prompt", "value: 9\n> > "), ("cut", "value: 9\n> memory in u> ")]
    {
        assert_eq!(heard_behind(name, first), "answer to status\n", "{first:?}");
    }
}
