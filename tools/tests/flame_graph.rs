//! The flame graphs of the documentation, which `ushell … --svg` has written: as an XML reader finds them, and as a browser shows and searches
//! them. The browser is left out where there is none, and the test says so.

use quick_xml::{events::Event, Reader};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A picture, and functions that it has to name: those in which the application spends its time.
struct Picture {
    file: &'static str,
    /// The outermost function of the application.
    root: &'static str,
    functions: &'static [&'static str],
}

const PICTURES: &[Picture] = &[
    Picture {
        file: "flame-sqlite.svg",
        root: "main",
        // The ten in which callgrind counts most instructions of the same work in a Linux process: 71 % of all.
        functions: &[
            "sqlite3VdbeExec",
            "sqlite3BtreeTableMoveto",
            "sqlite3BtreeInsert",
            "sqlite3_step",
            "sqlite3VdbeHalt",
            "sqlite3VarintValue",
            "sqlite3_bind_int64",
            "releaseMemArray",
            "getPageNormal",
            "btreeParseCellPtr",
        ],
    },
    Picture {
        file: "flame-nginx.svg",
        root: "nginx_main",
        // What a request for a file goes through, from its line to the network card.
        functions: &[
            "ngx_http_process_request_line",
            "ngx_http_process_request_headers",
            "ngx_http_core_run_phases",
            "ngx_http_index_handler",
            "ngx_http_static_handler",
            "ngx_open_cached_file",
            "ngx_http_write_filter",
            "ngx_writev",
            "tcp_output",
            "virtio_netdev_xmit",
        ],
    },
    Picture {
        file: "flame-redis.svg",
        root: "redis_server_main",
        // What a command goes through, from the network card and back.
        functions: &[
            "aeMain",
            "aeProcessEvents",
            "readQueryFromClient",
            "processInputBuffer",
            "processCommand",
            "call",
            "setCommand",
            "lookupKey",
            "tcp_input",
            "virtio_netdev_xmit",
        ],
    },
];

/// A function in a stack.
#[derive(Default, Debug)]
struct Frame {
    name: String,
    samples: u64,
    /// Of the picture's width.
    percent: f64,
}

impl Picture {
    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/img").join(self.file).canonicalize().expect(self.file)
    }

    /// All frames, and the ids of texts.
    fn read(&self) -> (Vec<Frame>, Vec<String>) {
        let text = fs::read_to_string(self.path()).unwrap();
        let mut reader = Reader::from_str(&text);
        reader.config_mut().check_end_names = true;
        let (mut frames, mut ids, mut title) = (Vec::new(), Vec::new(), None);
        let mut frame = Frame::default();
        loop {
            match reader.read_event().unwrap_or_else(|error| panic!("{}: {error}", self.file)) {
                Event::Eof => return (frames, ids),
                Event::Start(tag) if tag.name().as_ref() == b"title" => title = Some(String::new()),
                Event::End(tag) if tag.name().as_ref() == b"title" => {
                    let title: String = title.take().unwrap_or_default();
                    frame.name = title.rsplit_once(" (").map_or("", |(name, _)| name).to_owned();
                }
                Event::Text(text) => {
                    let Some(title) = title.as_mut() else { continue };
                    title.push_str(&text.decode().unwrap());
                }
                Event::GeneralRef(entity) => {
                    let Some(title) = title.as_mut() else { continue };
                    title.push_str(match &*entity.decode().unwrap() {
                        "lt" => "<",
                        "gt" => ">",
                        "amp" => "&",
                        _ => "?",
                    });
                }
                Event::Start(tag) | Event::Empty(tag) => {
                    let attributes: BTreeMap<String, String> = tag
                        .attributes()
                        .map(|attribute| attribute.unwrap())
                        .map(|one| {
                            [one.key.as_ref(), &one.value]
                                .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
                                .into()
                        })
                        .collect();
                    if let ("text", Some(id)) =
                        (std::str::from_utf8(tag.name().as_ref()).unwrap(), attributes.get("id"))
                    {
                        ids.push(id.clone());
                    }
                    if let (Some(samples), Some(width)) = (attributes.get("fg:w"), attributes.get("width")) {
                        frame.samples = samples.parse().unwrap();
                        frame.percent = width.trim_end_matches('%').parse().unwrap();
                        frames.push(std::mem::take(&mut frame));
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn pictures_name_what_they_show_and_can_be_searched() {
    for picture in PICTURES {
        let (frames, ids) = picture.read();
        for id in ["title", "details", "search", "matched"] {
            assert!(ids.iter().any(|one| one == id), "{}: no text {id} among {ids:?}", picture.file);
        }
        let all = frames.iter().map(|frame| frame.samples).max().unwrap();
        assert!(frames.iter().any(|frame| frame.name == "all" && frame.samples == all), "{}", picture.file);
        for frame in &frames {
            let percent = frame.samples as f64 * 100.0 / all as f64;
            assert!((frame.percent - percent).abs() < 0.001, "{}: {frame:?} of {all}", picture.file);
        }
        for function in picture.functions.iter().chain([&picture.root]) {
            // A compiler that cuts a function into parts says so in their names.
            let is_it = |frame: &&Frame| frame.name.split('.').next() == Some(function);
            let samples: u64 = frames.iter().filter(is_it).map(|frame| frame.samples).sum();
            assert!(samples > 0, "{}: no {function}", picture.file);
        }
    }
}

/// A browser of this machine: the first of the usual names, or what `UBPF_BROWSER` says.
fn browser() -> Option<String> {
    let usual = ["chromium", "chromium-browser", "google-chrome", "chrome"].map(str::to_owned);
    std::env::var("UBPF_BROWSER").ok().into_iter().chain(usual).find(|name| {
        let mut command = Command::new(name);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// What the browser has made of a picture, opened with a search for this function.
fn searched(browser: &str, picture: &Picture, function: &str) -> String {
    let folder = std::env::temp_dir().join(format!("ubpf-browser-{}", std::process::id()));
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=5000",
    ]);
    command.arg(format!("--user-data-dir={}", folder.display())).arg("--dump-dom");
    // What is searched is the text that stands beside a function: its name, a space, and in parentheses how often.
    command.arg(format!("file://{}?s=^{function}%20[(]", picture.path().display()));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let _ = fs::remove_dir_all(folder);
    assert!(output.status.success(), "{browser}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_opens_and_searches_them() {
    let Some(browser) = browser() else {
        eprintln!("left out: no chromium or chrome on this machine (UBPF_BROWSER names another one)");
        return;
    };
    for picture in PICTURES {
        // Its script runs, finds the function, and says in how much of the picture it is.
        let percent = |function: &str| -> f64 {
            let shown = searched(&browser, picture, function);
            let element = shown.split("id=\"matched\"").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1));
            match element.unwrap_or_else(|| panic!("{}: no place for a share", picture.file)).trim() {
                "" => 0.0,
                said => said.trim_start_matches("Matched: ").trim_end_matches('%').parse().expect(said),
            }
        };
        let (frames, _) = picture.read();
        let samples =
            |name: &str| frames.iter().filter(|frame| frame.name == name).map(|frame| frame.samples).sum::<u64>();
        for function in [picture.root, picture.functions[0]] {
            let expected = samples(function) as f64 * 100.0 / samples("all") as f64;
            assert!((percent(function) - expected).abs() < 0.1, "{}: {function}: {expected}", picture.file);
        }
        assert_eq!(percent("no_such_function"), 0.0, "{}", picture.file);
    }
}
