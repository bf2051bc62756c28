//! The layering of HOUSE.md, read from the sources of the crates: who may name whom. A back edge fails, and so does a
//! module without a row or an exception that nothing needs any more. Test code may name anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module, and the modules of its own crate that it may name. From the bottom up: a row names earlier rows only.
type Rows = &'static [(&'static str, &'static [&'static str])];
/// A module, what it names against the layering, and why that stands.
type Exceptions = &'static [(&'static str, &'static str, &'static str)];

const CORE: Rows = &[
    ("units", &[]),
    ("json", &[]),
    ("nearest", &[]),
    ("sensitive", &[]),
    ("retry", &["units"]),
    ("gate", &["units"]),
    ("registry", &["units"]),
    ("catalogue", &["registry"]),
    ("scan", &["json"]),
    ("splice", &["json", "scan"]),
    ("chat", &["registry"]),
    ("dialect", &["chat", "json", "registry"]),
    ("profile", &["json", "registry", "scan"]),
    ("tokens", &["json", "profile", "registry", "scan"]),
    ("hints", &["profile", "units"]),
    ("expr", &["hints", "profile", "registry"]),
    ("policy", &["expr", "profile", "registry", "units"]),
    ("config", &["catalogue", "expr", "gate", "nearest", "policy", "profile", "registry", "units"]),
    ("health", &["config", "profile", "registry", "units"]),
    (
        "route",
        &[
            "catalogue",
            "config",
            "expr",
            "gate",
            "health",
            "hints",
            "nearest",
            "policy",
            "profile",
            "registry",
            "units",
        ],
    ),
    ("attempt", &["health", "registry", "retry", "units"]),
];

const CORE_EXCEPTIONS: Exceptions = &[
    ("registry", "profile::Task", "figures of quality are given per task; the names of the tasks are vocabulary"),
    ("expr", "config::Key", "expressions see the client key; it is a plain record of the configuration"),
    ("policy", "route::Candidate", "a strategy scores candidates, which the search makes; a plain record"),
];

const LEARN: Rows = &[
    ("rng", &[]),
    ("text", &[]),
    ("outcome", &[]),
    ("rank", &[]),
    ("grade", &["outcome"]),
    ("signals", &["grade"]),
    ("guarantee", &["outcome", "rng"]),
    ("online", &["rng"]),
    ("heads", &["rng"]),
    ("prior", &["heads"]),
    ("labels", &["prior"]),
    ("features", &["heads", "text"]),
    ("kept", &["features", "text"]),
    ("field", &["heads", "prior", "rng", "text"]),
    ("eval", &["outcome", "rng"]),
    ("length", &["field", "heads", "outcome", "prior", "rng"]),
    ("predictor", &["features", "field", "guarantee", "length", "prior"]),
    ("file", &["features", "field", "heads", "length", "predictor", "prior"]),
    (
        "train",
        &[
            "eval",
            "features",
            "field",
            "file",
            "guarantee",
            "heads",
            "labels",
            "length",
            "outcome",
            "predictor",
            "prior",
            "rng",
        ],
    ),
    ("retrain", &["field", "guarantee", "outcome", "predictor", "rng", "train"]),
];

const GATEWAY: Rows = &[
    ("clock", &[]),
    ("store", &[]),
    ("control", &["clock", "store"]),
    ("feedback", &["clock", "store"]),
    ("keys", &["control"]),
    ("books", &["clock", "store"]),
    ("gate", &["books", "clock"]),
    ("error", &["gate"]),
    ("simulate", &[]),
    ("cache", &[]),
    ("classifier", &[]),
    ("upstream", &["clock", "simulate"]),
    ("admission", &["error"]),
    ("predict", &[]),
    ("snapshot", &["cache", "predict", "store", "upstream"]),
    ("live", &["gate", "predict", "snapshot"]),
    ("account", &["cache", "gate", "predict", "snapshot", "store"]),
    (
        "proxy",
        &[
            "account",
            "admission",
            "cache",
            "classifier",
            "clock",
            "error",
            "gate",
            "live",
            "predict",
            "simulate",
            "snapshot",
            "store",
            "upstream",
        ],
    ),
    ("reload", &["clock", "snapshot"]),
    ("server", &["clock", "control", "error", "feedback", "gate", "keys", "proxy", "reload", "snapshot", "store"]),
    (
        "app",
        &[
            "admission",
            "books",
            "classifier",
            "clock",
            "control",
            "feedback",
            "gate",
            "keys",
            "server",
            "snapshot",
            "store",
            "upstream",
        ],
    ),
    (
        "cli",
        &[
            "app", "books", "clock", "control", "error", "gate", "keys", "proxy", "reload", "server", "snapshot",
            "store", "upstream",
        ],
    ),
    ("main", &["cli"]),
];

const GATEWAY_EXCEPTIONS: Exceptions = &[
    ("account", "app::State", STATE),
    ("proxy", "app::State", STATE),
    ("reload", "app::State", STATE),
    ("server", "app::State", STATE),
    ("proxy", "server::Body", "the one type of answer bodies stands at the listener that sends them"),
    ("server", "upstream::Pool", "each worker thread makes its own pool and hands it to the proxy; it sends nothing"),
    ("server", "cli::report", "/admin/report answers what `waypost report --json` prints; it belongs beside the store"),
];
const STATE: &str = "what all requests share stands beside the root that builds it; a module of its own would be lower";

/// What the gateway's modules do not name of the core, since it is not their concern.
const NOT_THEIRS: Exceptions = &[
    ("upstream", "route policy profile dialect scan", "it sends; it neither chooses nor reads"),
    ("store", "route policy dialect scan expr", "it keeps what it is given"),
    ("simulate", "route policy profile dialect scan", "it is a provider: it knows nothing of who asks"),
    ("server", "dialect policy scan splice", "it accepts and answers; bodies are the proxy's"),
    ("cli", "dialect scan splice", "it talks to people"),
];

/// What the pure crates do not name: a runtime, IO, a clock, the environment, randomness, logging.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "futures",
    "rand",
    "getrandom",
    "tracing",
    "log",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::os",
    "std::net",
    "std::time::Instant",
    "std::time::SystemTime",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];
/// Addresses are values.
const PURE: &[&str] = &["std::net::SocketAddr", "std::net::IpAddr"];

/// What in `dialect` is not one of the dialects.
const DIALECT_SEAM: &[&str] =
    &["embeddings", "gate", "mod", "names", "overflow", "schema", "sse", "strictness", "translate", "wire"];

#[test]
fn modules_name_only_what_lies_below_them() {
    let core = Sources::read("core");
    let gateway = Sources::read("gateway");
    let mut wrong = back_edges(&core, CORE, CORE_EXCEPTIONS);
    wrong.extend(back_edges(&Sources::read("learn"), LEARN, &[]));
    wrong.extend(back_edges(&gateway, GATEWAY, GATEWAY_EXCEPTIONS));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_core_and_learning_are_pure() {
    let mut wrong = Vec::new();
    for (file, named) in ["core", "learn"].iter().flat_map(|name| Sources::read(name).files) {
        for path in named.iter().filter(|p| IMPURE.iter().any(|i| is_within(p, i))) {
            if !PURE.iter().any(|p| is_within(path, p)) {
                wrong.push(format!("{}: names {path}", file.path));
            }
        }
        if file.code.contains("async ") || file.code.contains(".await") {
            wrong.push(format!("{}: is asynchronous", file.path));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// `gateway -> learn -> core`: what is learned reaches the core as arguments.
#[test]
fn the_core_does_not_know_of_learning() {
    for (file, named) in Sources::read("core").files {
        let breach = named.iter().find(|path| is_within(path, "waypost_learn"));
        assert!(breach.is_none(), "{}: names {breach:?}", file.path);
    }
}

#[test]
fn routing_and_wire_formats_never_meet() {
    for (from, to) in [("route", "dialect"), ("dialect", "route"), ("policy", "dialect"), ("dialect", "policy")] {
        let mut reached = BTreeSet::from([from]);
        for (module, below) in CORE.iter().rev() {
            if reached.contains(module) {
                reached.extend(*below);
            }
        }
        assert!(!reached.contains(to), "{from} reaches {to}");
    }
    let core = Sources::read("core");
    let modules: BTreeSet<_> =
        core.files.iter().filter(|(f, _)| f.module[0] == "dialect").filter_map(|(f, _)| f.module.get(1)).collect();
    let dialects: BTreeSet<_> = modules.into_iter().filter(|m| !DIALECT_SEAM.contains(&m.as_str())).collect();
    assert!(dialects.iter().any(|d| *d == "openai"), "{dialects:?}");
    for (file, named) in &core.files {
        let Some(own) = file.module.get(1).filter(|own| file.module[0] == "dialect" && dialects.contains(own)) else {
            continue;
        };
        for other in dialects.iter().copied().filter(|other| *other != own).chain([&"gate".to_owned()]) {
            let meets = named.iter().find(|p| is_within(p, &format!("crate::dialect::{other}")));
            assert!(meets.is_none(), "{}: {own} names {other}", file.path);
        }
    }
}

#[test]
fn the_gateway_leaves_the_core_to_those_whose_concern_it_is() {
    let gateway = Sources::read("gateway");
    let mut wrong = Vec::new();
    for (module, theirs, why) in NOT_THEIRS {
        for (file, named) in gateway.files.iter().filter(|(f, _)| f.module[0] == *module) {
            for not in theirs.split(' ') {
                let found = named.iter().filter(|p| is_within(p, &format!("waypost_core::{not}")));
                wrong.extend(found.map(|p| format!("{}: names {p}, but {why}", file.path)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The rules themselves, on sources made up here: each breach is found.
#[test]
fn breaches_are_found() {
    let rows: Rows = &[("low", &[]), ("mid", &["low"]), ("high", &["low", "mid"])];
    let exceptions: Exceptions = &[("low", "mid::Name", "a word")];
    let check = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, code)| File::new(path, code)).collect::<Vec<_>>();
        back_edges(&Sources::of(files), rows, exceptions)
    };
    let good = [
        ("low.rs", "use crate::mid::Name; // crate::high\n const S: &str = \"crate::high\";"),
        ("mid/mod.rs", "use crate::low::{a, b::C}; #[cfg(test)]\nmod tests { use crate::high; }"),
        ("mid/deep.rs", "use super::Mid; use crate::{low, mid::Mid as M};"),
        ("high.rs", "fn f<'a>(x: &'a str) -> char { let _ = crate::low::a(x); '\"' } use crate::mid;"),
    ];
    assert_eq!(check(&good), Vec::<String>::new());
    for (path, code, want) in [
        ("low.rs", "use crate::mid::Name; use crate::high::X;", "low.rs: low names high::X"),
        ("low.rs", "use crate::{units, mid::{Name, Other}};", "low.rs: low names mid::Other"),
        ("low.rs", "fn f() { crate::mid::Name; let x = '\"'; crate::high::f() }", "low.rs: low names high::f"),
        ("low.rs", "", "low may name mid::Name, but does not: take the exception out"),
        ("mid/deep.rs", "use super::super::high;", "mid/deep.rs: mid names high"),
        ("new.rs", "", "new.rs: `new` has no row"),
    ] {
        let mut files = good.to_vec();
        files.retain(|(p, _)| *p != path);
        files.push((path, code));
        let found = check(&files);
        assert!(found.iter().any(|f| f.starts_with(want)), "{path}: {code}: {found:?}");
    }
    let rows: Rows = &[("low", &["high"]), ("high", &[])];
    let found = back_edges(&Sources::of(vec![File::new("low.rs", ""), File::new("high.rs", "")]), rows, &[]);
    assert_eq!(found, ["the table: low may name high, which is not below it"]);
}

fn back_edges(sources: &Sources, rows: Rows, exceptions: Exceptions) -> Vec<String> {
    let mut wrong = Vec::new();
    for (i, (module, below)) in rows.iter().enumerate() {
        for name in below.iter().filter(|name| !rows[..i].iter().any(|(lower, _)| lower == *name)) {
            wrong.push(format!("the table: {module} may name {name}, which is not below it"));
        }
    }
    let mut used = BTreeSet::new();
    let allowed: BTreeMap<_, _> = rows.iter().copied().collect();
    for (file, named) in &sources.files {
        let module = file.module[0].as_str();
        if module == "lib" {
            continue;
        }
        let Some(below) = allowed.get(module) else {
            wrong.push(format!("{}: `{module}` has no row in the table", file.path));
            continue;
        };
        for path in named.iter().filter_map(|p| p.strip_prefix("crate::")) {
            let target = path.split("::").next().unwrap_or_default();
            if target == module || !allowed.contains_key(target) || below.contains(&target) {
                continue;
            }
            match exceptions.iter().find(|(from, what, _)| *from == module && is_within(path, what)) {
                Some(exception) => drop(used.insert(*exception)),
                None => wrong.push(format!("{}: {module} names {path}, which is not below it", file.path)),
            }
        }
    }
    for unused @ (module, what, _) in exceptions {
        if !used.contains(unused) {
            wrong.push(format!("{module} may name {what}, but does not: take the exception out"));
        }
    }
    wrong
}

/// Whether `path` is `part` or something in it.
fn is_within(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The files of a crate, each with the paths that it names (`crate::…` for those of its own).
struct Sources {
    files: Vec<(File, Vec<String>)>,
}

impl Sources {
    fn read(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the crates lie side by side") {
                let path = entry.expect("the folder can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    files.push(File::new(relative(&path, &root), &text(&path)));
                }
            }
        }
        assert!(files.len() > 3, "the sources of {name} are not where they were");
        Self::of(files)
    }

    fn of(files: Vec<File>) -> Self {
        let is_test = |f: &File| f.module.iter().any(|m| m == "tests");
        let files = files.into_iter().filter(|f| !is_test(f));
        Self { files: files.map(|file| (file.named(), file)).map(|(named, file)| (file, named)).collect() }
    }
}

#[expect(clippy::disallowed_methods, reason = "the core reads no file; this test is about files")]
fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("sources are UTF-8")
}

fn relative<'a>(path: &'a Path, root: &Path) -> &'a str {
    path.strip_prefix(root).ok().and_then(Path::to_str).expect("it was found in there")
}

struct File {
    /// In its crate's `src`.
    path: String,
    /// `policy/cost.rs` → `policy`, `cost`; `policy/mod.rs` and `policy.rs` → `policy`.
    module: Vec<String>,
    /// Without comments, texts and the tests at its bottom.
    code: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let module = path.trim_end_matches(".rs").split('/').map(str::to_owned);
        let mut module: Vec<_> = module.collect();
        module.pop_if(|last| last == "mod");
        let mut code = bare(text);
        for bottom in ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\nmod test {"] {
            code.truncate(code.find(bottom).unwrap_or(code.len()));
        }
        Self { path: path.to_owned(), module, code }
    }

    /// Every path that begins with a crate's name, `crate` or `super`, groups taken apart.
    fn named(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("::") {
            let word = last_word(&self.code[..at]);
            let begins = !self.code[..at - word.len()].ends_with("::");
            if begins && word.chars().next().is_some_and(|c| c.is_lowercase()) {
                tails(word, &mut self.code[at..].chars().peekable(), &mut found);
            }
        }
        found.into_iter().map(|path| self.absolute(&path)).collect()
    }

    /// `super::` counted from this file's module.
    fn absolute(&self, path: &str) -> String {
        let rest = path.trim_start_matches("super::");
        let up = (path.len() - rest.len()) / "super::".len();
        if up == 0 {
            return path.strip_prefix("waypost::").map_or(path.to_owned(), |own| format!("crate::{own}"));
        }
        let kept = &self.module[..self.module.len().saturating_sub(up)];
        ["crate"].into_iter().chain(kept.iter().map(String::as_str)).chain([rest]).collect::<Vec<_>>().join("::")
    }
}

fn last_word(text: &str) -> &str {
    let start = text.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    text.get(start..).unwrap_or_default()
}

/// Reads what follows `path`: `::name…`, or `::{…}` with one path for each in the group.
fn tails(path: &str, rest: &mut std::iter::Peekable<std::str::Chars<'_>>, found: &mut Vec<String>) {
    let mut path = path.to_owned();
    while rest.next_if_eq(&':').is_some() && rest.next_if_eq(&':').is_some() {
        if rest.next_if_eq(&'{').is_some() {
            loop {
                while rest.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
                if rest.peek().is_none() || rest.next_if_eq(&'}').is_some() {
                    return;
                }
                let mut name = String::new();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '*')) {
                    name.push(c);
                }
                if name.is_empty() {
                    return;
                }
                tails(&format!("{path}::{name}"), rest, found);
                // `as other`
                while rest.next_if(|c| !matches!(c, ',' | '}')).is_some() {}
            }
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '*')) {
            name.push(c);
        }
        if name.is_empty() {
            break;
        }
        path = format!("{path}::{name}");
    }
    found.push(path);
}

/// The code without what stands in comments, texts and character literals.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => quoted(rest),
            'r' if !ends_in_word(&out) && raw_hashes(rest).is_some() => {
                let hashes = raw_hashes(rest).unwrap_or(0);
                let open = hashes + 2;
                let close = format!("\"{}", "#".repeat(hashes));
                rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len())
            }
            '\'' => character(rest),
            _ => 0,
        };
        if skip == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            rest = &rest[skip..];
        }
    }
    out
}

fn ends_in_word(out: &str) -> bool {
    // `br"…"` is a raw text as well.
    !last_word(out).is_empty() && last_word(out) != "b"
}

fn raw_hashes(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|b| *b == b'#').count();
    rest[1 + hashes..].starts_with('"').then_some(hashes)
}

/// Length of the text in quotes that begins here.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of the character literal that begins here; 0 where it is a lifetime.
fn character(rest: &str) -> usize {
    let inner = &rest[1..];
    if let Some(escape) = inner.strip_prefix('\\') {
        let from = escape.chars().next().map_or(0, char::len_utf8);
        return escape[from..].find('\'').map_or(0, |at| 2 + from + at + 1);
    }
    let width = inner.chars().next().map_or(0, char::len_utf8);
    if inner[width..].starts_with('\'') { 1 + width + 1 } else { 0 }
}
