//! Texts with a meaning of their own: durations, sizes, addresses, URLs, expressions, secrets. Each has one parser, which
//! the check and the deserialiser share. No message repeats the text: it may hold a secret.

mod cloud;
mod gate;
mod learning;

pub(super) use cloud::{ApiVersion, Project, Region};
pub(super) use gate::{Expiry, LeaseStore, LeaseTtl};
pub(super) use learning::Keep;

use super::Storage;
use crate::expr::Expr;
use crate::units::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

/// A text with a parser.
pub(super) trait Text: Sized {
    /// Its `format` in the schema.
    const FORMAT: &'static str;
    /// What it looks like, in the schema's `examples`.
    const EXAMPLES: &'static [&'static str];
    /// Whether a plain whole number is also accepted.
    const OR_INTEGER: bool = false;

    /// The error says what would be right.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A key whose text is parsed by `T`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<T>(pub(super) T);

impl<'de, T: Text> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        T::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<T: Text> JsonSchema for Checked<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::FORMAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        if T::OR_INTEGER {
            return json_schema!({ "type": ["string", "integer"], "format": T::FORMAT, "examples": T::EXAMPLES });
        }
        json_schema!({ "type": "string", "format": T::FORMAT, "examples": T::EXAMPLES })
    }
}

/// Whether `text` is good for the schema's `format`; `None` where the format is not one of these.
pub(super) fn check_format(format: &str, text: &str) -> Option<Result<(), String>> {
    fn of<T: Text>(text: &str) -> Result<(), String> {
        T::parse(text).map(drop)
    }
    Some(match format {
        Period::FORMAT => of::<Period>(text),
        Pause::FORMAT => of::<Pause>(text),
        Size::FORMAT => of::<Size>(text),
        SocketAddr::FORMAT => of::<SocketAddr>(text),
        jiff::tz::TimeZone::FORMAT => of::<jiff::tz::TimeZone>(text),
        Storage::FORMAT => of::<Storage>(text),
        BaseUrl::FORMAT => of::<BaseUrl>(text),
        Origin::FORMAT => of::<Origin>(text),
        Secret::FORMAT => of::<Secret>(text),
        Region::FORMAT => of::<Region>(text),
        Project::FORMAT => of::<Project>(text),
        ApiVersion::FORMAT => of::<ApiVersion>(text),
        LeaseStore::FORMAT => of::<LeaseStore>(text),
        LeaseTtl::FORMAT => of::<LeaseTtl>(text),
        Expiry::FORMAT => of::<Expiry>(text),
        Keep::FORMAT => of::<Keep>(text),
        Expr::FORMAT => of::<Expr>(text),
        _ => return None,
    })
}

/// A duration longer than nothing: a timeout of zero would fail everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period(pub(super) Duration);

impl Text for Period {
    const FORMAT: &'static str = "waypost-timeout";
    const EXAMPLES: &'static [&'static str] = &["100ms", "5s", "2m", "1h"];

    fn parse(text: &str) -> Result<Self, String> {
        let duration = duration(text)?;
        if duration.is_zero() {
            return Err("must be longer than 0".into());
        }
        Ok(Self(duration))
    }
}

/// A duration that may be zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause(pub(super) Duration);

impl Text for Pause {
    const FORMAT: &'static str = "waypost-duration";
    const EXAMPLES: &'static [&'static str] = &["0s", "100ms", "30s", "2m"];

    fn parse(text: &str) -> Result<Self, String> {
        duration(text).map(Self)
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let wanted = "expected a duration with its unit, such as 100ms, 5s, 2m or 1h";
    if text.len() > 40 || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wanted.into());
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wanted.to_owned())?;
    let duration = Duration::try_from(signed).map_err(|_| wanted.to_owned())?;
    if duration > DAY * 30 {
        return Err("must not be longer than 30 days".into());
    }
    Ok(duration)
}

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) usize);

impl Text for Size {
    const FORMAT: &'static str = "waypost-size";
    const EXAMPLES: &'static [&'static str] = &["512KiB", "32MiB"];
    const OR_INTEGER: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let size: bytesize::ByteSize =
            text.parse().map_err(|_| "expected a size in bytes, such as 512KiB or 32MiB".to_owned())?;
        match usize::try_from(size.as_u64()) {
            Ok(bytes) if (1024..=1 << 31).contains(&bytes) => Ok(Self(bytes)),
            _ => Err("must be between 1KiB and 2GiB".into()),
        }
    }
}

impl Text for SocketAddr {
    const FORMAT: &'static str = "waypost-listen";
    const EXAMPLES: &'static [&'static str] = &["127.0.0.1:8080", "0.0.0.0:443", "[::1]:8080", "localhost:8080"];

    fn parse(text: &str) -> Result<Self, String> {
        let text = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        text.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:8080 or [::]:8080".into())
    }
}

impl Text for jiff::tz::TimeZone {
    const FORMAT: &'static str = "waypost-time-zone";
    const EXAMPLES: &'static [&'static str] = &["UTC", "Europe/Berlin", "America/New_York"];

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Self::UTC);
        }
        let zones = jiff::tz::TimeZoneDatabase::bundled();
        zones.get(text).map_err(|_| {
            let names: Vec<String> = zones.available().map(|name| name.as_str().to_owned()).collect();
            let hint = super::check::suggestion(text, names.iter().map(String::as_str));
            format!("not an IANA time zone, such as UTC or Europe/Berlin{hint}")
        })
    }
}

impl Text for Storage {
    const FORMAT: &'static str = "waypost-storage";
    const EXAMPLES: &'static [&'static str] =
        &["sqlite:waypost.db", "postgres://USER:PASSWORD@HOST/DATABASE", "memory"];

    fn parse(text: &str) -> Result<Self, String> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return postgres(text);
        }
        let file = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        match file.filter(|f| !f.is_empty() && !f.contains(['?', '\0'])) {
            Some(file) => Ok(Self::Sqlite(file.into())),
            None => Err("expected sqlite:FILE, postgres://USER:PASSWORD@HOST/DATABASE or memory".into()),
        }
    }
}

/// A Postgres URL that names a host (or a folder of sockets, as `?host=/run/postgresql`) and a database.
fn postgres(text: &str) -> Result<Storage, String> {
    let wanted = "expected postgres://USER:PASSWORD@HOST/DATABASE; special characters in a name or password are written \
                  as %XX";
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")).ok_or(wanted)?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').ok_or(wanted)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_host = !host.is_empty() || query.split('&').any(|p| p.starts_with("host="));
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '#';
    if !has_host
        || authority.matches('@').count() > 1
        || database.is_empty()
        || database.contains('/')
        || text.contains(odd)
    {
        return Err(wanted.into());
    }
    Ok(Storage::Postgres(Secret::new(text)))
}

/// Where a provider's paths begin, without a trailing slash.
#[derive(Clone, Debug)]
pub(super) struct BaseUrl(pub(super) String);

impl Text for BaseUrl {
    const FORMAT: &'static str = "waypost-base-url";
    const EXAMPLES: &'static [&'static str] = &["https://api.openai.com/v1", "http://127.0.0.1:11434/v1"];

    fn parse(text: &str) -> Result<Self, String> {
        let uri = web_uri(text)?;
        if uri.query().is_some() || text.contains('#') {
            return Err("must not have a query or a fragment".into());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// An origin as browsers send it.
#[derive(Clone, Debug)]
pub(super) struct Origin(pub(super) String);

impl Text for Origin {
    const FORMAT: &'static str = "waypost-origin";
    const EXAMPLES: &'static [&'static str] = &["https://app.example.com"];

    fn parse(text: &str) -> Result<Self, String> {
        let uri = web_uri(text)?;
        if uri.path() != "/" || text.ends_with('/') || uri.query().is_some() || text.contains('#') {
            return Err("an origin has no path: https://app.example.com".into());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

fn web_uri(text: &str) -> Result<http::Uri, String> {
    let wanted = "expected a URL that begins with http:// or https://";
    let uri: http::Uri = text.parse().map_err(|_| wanted.to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(wanted.into());
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err("must not hold a user name or password".into());
    }
    if uri.authority().is_some_and(|a| a.as_str().contains(':') && a.port_u16().is_none() && !a.as_str().ends_with(']'))
    {
        return Err("the port must be a number up to 65535".into());
    }
    Ok(uri)
}

impl Text for Secret {
    const FORMAT: &'static str = "waypost-secret";
    const EXAMPLES: &'static [&'static str] = &["${OPENAI_API_KEY}"];

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".into());
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') || text.trim() != text {
            return Err("holds characters that no header can carry (a line break or a blank at its end?)".into());
        }
        Ok(Self::new(text))
    }
}

impl Text for Expr {
    const FORMAT: &'static str = "waypost-cel";
    const EXAMPLES: &'static [&'static str] = &["request.tags.surface == 'support'"];

    fn parse(text: &str) -> Result<Self, String> {
        /// Bounds that keep the evaluator's recursion shallow: it runs on the small stacks of worker threads.
        const MAX_LENGTH: usize = 2048;
        const MAX_DEPTH: usize = 24;
        if text.trim().is_empty() {
            return Err("expected a CEL expression".into());
        }
        if text.len() > MAX_LENGTH {
            return Err(format!("an expression has at most {MAX_LENGTH} bytes"));
        }
        if expression_depth(text) > MAX_DEPTH {
            return Err("the expression nests too deeply: use fewer brackets and shorter chains of operators".into());
        }
        // The compiler prints a report of several lines with the source; its first line says what and where.
        compile_on_own_stack(text).map_err(|report| {
            let first = report.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
            let message = first.trim_start_matches("ERROR: ").trim_start_matches("<input>:").trim();
            format!("CEL: {}", message.chars().take(200).collect::<String>())
        })
    }
}

/// The compiler recurses through every level of precedence for every bracket: tens of kilobytes of stack each, and an
/// overflow would end the process. So it gets a stack that is large enough for whatever the bounds let through.
fn compile_on_own_stack(text: &str) -> Result<Expr, String> {
    const STACK: usize = 64 << 20;
    std::thread::scope(|scope| {
        let compiler = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || Expr::compile(text));
        let compiled = compiler.map_err(|_| "there is no memory left for its compiler".to_owned())?.join();
        compiled.unwrap_or_else(|_| Err("the compiler does not understand it".to_owned()))
    })
}

/// An upper bound on the depth of the expression's tree. Operators of one chain nest to the left, each a level; `&&` and
/// `||` do not (the compiler balances them), commas begin anew, conditions nest to the right. What a string holds counts
/// as if it were code, which errs on the safe side.
fn expression_depth(text: &str) -> usize {
    /// One pair of brackets: levels fixed for its rest, of the present chain, and the deepest so far.
    #[derive(Default)]
    struct Level {
        base: usize,
        chain: usize,
        deepest: usize,
    }
    impl Level {
        fn link(&mut self, levels: usize) {
            self.chain += levels;
            self.deepest = self.deepest.max(self.base + self.chain);
        }
    }
    /// What a closed bracket adds: a call or a macro takes more of the evaluator's stack than an operator.
    const BRACKET: usize = 2;
    let mut open = vec![Level::default()];
    let (mut word, mut last) = (String::new(), ' ');
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            last = c;
            continue;
        }
        let is_in = std::mem::take(&mut word) == "in";
        let closed = if matches!(c, ')' | ']' | '}') && open.len() > 1 { open.pop() } else { None };
        let Some(level) = open.last_mut() else { break };
        if is_in {
            level.link(1);
        }
        if let Some(inner) = closed {
            level.chain = level.chain.max(inner.deepest + BRACKET);
            level.link(1);
        }
        match c {
            '(' | '[' | '{' => open.push(Level::default()),
            '&' | '|' | ',' | ':' => level.chain = 0,
            '?' => {
                level.base += 1;
                level.chain = 0;
                level.link(0);
            }
            '=' if matches!(last, '=' | '!' | '<' | '>') => {}
            '.' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' => level.link(1),
            _ => {}
        }
        last = c;
    }
    // Brackets that never close.
    let unclosed = open.len().saturating_sub(1) * (BRACKET + 1);
    open.iter().map(|level| level.deepest).sum::<usize>() + unclosed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_accepts_and_refuses() {
        let long = format!("{}1{}", "(".repeat(40), ")".repeat(40));
        for (format, good, bad) in [
            (
                Period::FORMAT,
                &["100ms", "5s", "2m", "1h", "1m30s", "1.5s"][..],
                &["0s", "5", "", "-5s", "soon", "5s ago", "31d", "1mo"][..],
            ),
            (Pause::FORMAT, &["0s", "0ms", "24h"], &["0", "9999999999999999h"]),
            (Size::FORMAT, &["32MiB", "512 KiB", "2048", "1GB"], &["", "32", "lots", "-1MiB", "3GiB"]),
            (
                SocketAddr::FORMAT,
                &["127.0.0.1:8080", "[::]:80", "localhost:0"],
                &["8080", ":8080", "example.com:80", "127.0.0.1:99999"],
            ),
            (<jiff::tz::TimeZone as Text>::FORMAT, &["UTC", "utc", "Europe/Berlin"], &["", "Berlin", "CEST+2"]),
            (
                Storage::FORMAT,
                &[
                    "memory",
                    "sqlite:x.db",
                    "sqlite:///var/x.db",
                    "postgres://h/d",
                    "postgresql://u:p%40@h:5432/d?sslmode=require",
                    "postgres:///d?host=/run/postgresql",
                ],
                &[
                    "",
                    "sqlite:",
                    "x.db",
                    "redis://h",
                    "postgres:",
                    "postgres://h",
                    "postgres://u:p@/d",
                    "postgres://u:p@x@h/d",
                    "postgres://u:p/x@h/d",
                    "postgres://u:p#@h/d",
                    "postgres://u: @h/d",
                ],
            ),
            (
                BaseUrl::FORMAT,
                &["https://a.example/v1/", "http://127.0.0.1:1", "http://[::1]:80/v1"],
                &[
                    "",
                    "a.example",
                    "ftp://a",
                    "https://",
                    "https://u:p@a/",
                    "https://a/?k=1",
                    "http://a:99999",
                    "http://a/#b",
                    "http://a b",
                ],
            ),
            (
                Origin::FORMAT,
                &["https://app.example.com", "http://localhost:3000"],
                &["*", "app.example.com", "https://a/", "https://a/x"],
            ),
            (Secret::FORMAT, &["sk-1"], &["", "sk\n", " sk", "s\u{e9}"]),
            (Region::FORMAT, &["us-east-1", "global", "eu"], &["", "us east", "a.example/", "US", "-a", "1a"]),
            (Project::FORMAT, &["my-project", "example.com:p-1", "1234"], &["", "a/b", "a b", "P", "../p"]),
            (
                ApiVersion::FORMAT,
                &["2024-10-21", "2025-04-01-preview"],
                &["", "v1", "preview", "2024-13-01", "2024-10-21-beta", "2024-10-21&a=b", "+2024-10-21", "20241021"],
            ),
            (
                LeaseStore::FORMAT,
                &["redis://h", "rediss://u:p%40ss@h:6380/1", "redis://:p@[::1]:6379", "redis://[::1]"],
                &["", "h:6379", "redis:h", "redis://", "redis://h:99999", "redis://h/name", "postgres://h", "unix:/s"],
            ),
            (
                Keep::FORMAT,
                &["1h", "90m", "1d", "30d", "366d"],
                &["", "30", "59m", "0d", "367d", "d", "1w", "99999999999999999999d"],
            ),
            (LeaseTtl::FORMAT, &["1s", "10s", "10m"], &["", "10", "500ms", "11m", "0s"]),
            (
                Expiry::FORMAT,
                &["2027-01-31", "2028-02-29", "2027-01-31T18:00:00Z", "2027-01-31T18:00:00+01:00"],
                &["", "2027-02-30", "2027-1-1", "2027-01-31T18:00", "tomorrow", "-2027-01-31", "31.01.2027"],
            ),
            (
                Expr::FORMAT,
                &["request.sensitive", "local.hour >= 9 && local.hour < 17"],
                &["", "request.", "a ==", long.as_str()],
            ),
        ] {
            for text in good {
                assert_eq!(check_format(format, text), Some(Ok(())), "{format} {text:?}");
            }
            for text in bad {
                assert!(matches!(check_format(format, text), Some(Err(_))), "{format} {text:?}");
            }
        }
        assert_eq!(check_format("uint32", "x"), None);
    }

    #[test]
    fn depth_is_bounded_from_above() {
        for (text, depth) in [
            ("a", 0),
            ("a.b.c == 'x'", 3),
            ("a == 1 && b == 2 || c == 3", 1),
            ("(a)", 3),
            ("((a))", 6),
            ("1+1+1+1", 3),
            ("(1+1)+1", 5),
            ("f(a.b, c.d) in [1, 2]", 4),
            ("a ? b : c ? d : e", 2),
            ("!!!a", 3),
            ("a >= 1 && a<=2", 1),
        ] {
            assert!(
                expression_depth(text) >= depth && expression_depth(text) <= depth + 3,
                "{text}: {}",
                expression_depth(text)
            );
        }
    }

    /// An overflowing stack ends the process, so this runs where requests do: on a small one.
    #[test]
    fn no_expression_overflows_the_stack() {
        let usual = "request.tags.surface == 'support' && (request.tokens > 1000 || request.task in ['code', 'math']) \
                     && !request.sensitive && request.tools.all(t, t.name.startsWith('x'))";
        assert!(Expr::parse(usual).is_ok());
        assert!(Expr::parse(&(String::from("a") + &" && a == 'b'".repeat(150))).is_ok());
        let mut accepted = 0;
        let chains =
            [" && a", ".b", "+1", "[0]", ".f()", " in a", "<1", "==1", "?b:c", "||a+1", "-(-1)", ".all(x,x)", "?[a]:a"];
        let nests = [
            ("(", ")"),
            ("[", "]"),
            ("{1:", "}"),
            ("-(", ")"),
            ("!", ""),
            ("f(", ")"),
            ("[1].all(x,", ")"),
            ("[1].map(x,1+", ")"),
            ("a?", ":1"),
            ("1?1:", ""),
            ("[1,", "]"),
            ("size([", "])"),
        ];
        let (profile, hints) = (crate::profile::Profile::default(), crate::hints::Hints::default());
        let local = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        let mut vars = crate::expr::Vars::request(&profile, &hints, &[], None, &|_| {}, &local);
        vars.set("a", cel::Value::Int(1));
        for n in [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 16, 22, 23, 24, 25, 30, 100, 2000] {
            let chains = chains.iter().map(|link| format!("a{}", link.repeat(n)));
            let nests = nests.iter().map(|(open, close)| format!("{}1{}", open.repeat(n), close.repeat(n)));
            for text in chains.chain(nests) {
                if let Ok(expr) = Expr::parse(&text) {
                    accepted += 1;
                    drop(expr.variables());
                    drop(expr.number(&vars));
                }
            }
        }
        assert!(accepted > 100, "{accepted}");
    }
}
