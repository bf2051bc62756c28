//! `waypost route`: explains a decision, on cold state or as a running gateway would decide now.

use super::{ConfigArg, Failure, file, pretty, print};
use crate::clock::Clock;
use crate::proxy;
use crate::snapshot::Snapshot;
use crate::upstream::{Call, Outgoing, Pool, Target};
use bytes::Bytes;
use clap::Args;
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use waypost_core::registry::Dialect;
use waypost_core::units::{RequestId, Secret};

/// What to explain.
#[derive(Debug, Args)]
pub(super) struct RouteArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Ask this running gateway (live latencies and breakers) instead of deciding on cold state
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<String>,
    /// Client key for `--url`
    #[arg(long, env = "WAYPOST_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Model, route, stage or `auto` (the default)
    #[arg(long)]
    model: Option<String>,
    /// Named stage
    #[arg(long)]
    stage: Option<String>,
    /// A hint: `min_quality=0.8`, `max_cost_usd=0.01`, `max_latency_ms=2000`, `prefer=cost`, or a tag `tags.K=V`
    #[arg(long = "hint", value_name = "K=V")]
    hints: Vec<String>,
    /// A full chat request instead of a prompt; `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    request: Option<PathBuf>,
    /// The whole explanation as JSON
    #[arg(long)]
    json: bool,
    /// The prompt; from stdin where absent
    prompt: Option<String>,
}

pub(super) fn run(args: &RouteArgs) -> Result<(), Failure> {
    let body = Bytes::from(body(args)?);
    let explained = match &args.url {
        Some(url) => remote(url, args.key.as_deref(), body)?,
        None => local(&args.config, body)?,
    };
    if args.json { print(&(pretty(&explained) + "\n")) } else { print(&text(&explained)) }
}

/// The chat request to explain.
fn body(args: &RouteArgs) -> Result<Vec<u8>, Failure> {
    let mut request: Value = match &args.request {
        Some(path) => {
            let text = if path.as_os_str() == "-" {
                stdin()?
            } else {
                std::fs::read_to_string(path).map_err(|e| vec![format!("{}: {e}", path.display())])?
            };
            serde_json::from_str(&text).map_err(|e| vec![format!("{}: {e}", path.display())])?
        }
        None => {
            let prompt = args.prompt.clone().map_or_else(stdin, Ok)?;
            json!({"model": "auto", "messages": [{"role": "user", "content": prompt}]})
        }
    };
    let Some(members) = request.as_object_mut() else {
        return Err(vec!["the request must be a JSON object".to_owned()]);
    };
    if let Some(model) = &args.model {
        members.insert("model".to_owned(), model.as_str().into());
    }
    if args.stage.is_some() || !args.hints.is_empty() {
        let waypost = members.entry("waypost").or_insert_with(|| json!({}));
        let Some(waypost) = waypost.as_object_mut() else { return Err(vec!["`waypost` must be an object".to_owned()]) };
        add_hints(waypost, args)?;
    }
    Ok(request.to_string().into_bytes())
}

fn add_hints(waypost: &mut Map<String, Value>, args: &RouteArgs) -> Result<(), Failure> {
    if let Some(stage) = &args.stage {
        waypost.insert("stage".to_owned(), stage.as_str().into());
    }
    for hint in &args.hints {
        let Some((name, value)) = hint.split_once('=') else {
            return Err(vec![format!("--hint {hint}: write it as KEY=VALUE")]);
        };
        // JSON knows no infinity and no NaN: as text they are refused with their name.
        let number = value.parse::<f64>().ok().filter(|n| n.is_finite());
        let (group, name, parsed) = match name.split_once('.') {
            Some(("tags", tag)) => ("tags", tag, Value::from(value)),
            _ => match name {
                "class" | "session" | "route" => {
                    waypost.insert(name.to_owned(), value.into());
                    continue;
                }
                "sensitive" => {
                    waypost.insert(name.to_owned(), value.parse().map_or_else(|_| value.into(), Value::Bool));
                    continue;
                }
                _ => ("hints", name, number.map_or_else(|| value.into(), Value::from)),
            },
        };
        let Some(members) = waypost.entry(group).or_insert_with(|| json!({})).as_object_mut() else {
            return Err(vec![format!("`waypost.{group}` of the request must be an object")]);
        };
        members.insert(name.to_owned(), parsed);
    }
    Ok(())
}

fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|e| vec![format!("stdin: {e}")])?;
    Ok(text)
}

/// Decides here, on cold state: no latencies were measured, no breaker is open.
fn local(config: &ConfigArg, body: Bytes) -> Result<Value, Failure> {
    let (config, _) = file::load(config)?;
    let snapshot = Arc::new(Snapshot::build(config, None)?);
    let prepared = proxy::prepare(snapshot, (proxy::Call::Chat, Dialect::OpenAi), None, HeaderMap::new(), body)
        .map_err(|e| vec![e.message])?;
    let decided = prepared.decide(&Clock::default(), None, RequestId(0));
    let mut explained = prepared.explain(&decided);
    explained.state = Some("cold");
    Ok(json!(explained))
}

/// Asks a running gateway.
fn remote(url: &str, key: Option<&str>, body: Bytes) -> Result<Value, Failure> {
    let fail = |e: String| vec![format!("{url}: {e}")];
    let key = key.map(Secret::new);
    let base = url.trim_end_matches('/').trim_end_matches("/v1");
    let target = Target::single(base, "/v1/route", key.as_ref()).map_err(fail)?;
    let uri = target.uri(Call::Chat, "").ok_or_else(|| fail("it has no usable path".into()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| fail(e.to_string()))?;
    runtime.block_on(async {
        let pool = Arc::new(Pool::new(Arc::default()));
        let sent = pool.send(&target, Outgoing::new(uri, body), Duration::from_secs(5));
        let sent = tokio::time::timeout(Duration::from_secs(30), sent).await;
        let (response, _connection) =
            sent.map_err(|_| fail("no answer within 30 s".into()))?.map_err(|e| fail(e.to_string()))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| fail(e.to_string()))?.to_bytes();
        let value: Value = serde_json::from_slice(&body).map_err(|e| fail(format!("{status}, and no JSON: {e}")))?;
        match value["error"]["message"].as_str() {
            Some(message) if !status.is_success() => Err(fail(format!("{status}: {message}"))),
            _ => Ok(value),
        }
    })
}

/// A line on what was predicted of a candidate; empty where nothing was.
fn predicted(p: &Value) -> String {
    let Some(quality) = p["quality"].as_f64() else { return String::new() };
    let n = |v: &Value| v.as_f64().unwrap_or(0.0);
    let mut line = format!(
        "     P(good) {quality:.2} ({:.2} to {:.2}), {:.2} before the text was read",
        n(&p["low"]),
        n(&p["high"]),
        n(&p["prior"])
    );
    let parts = ["labels", "linear", "words", "trees"].iter().filter(|part| n(&p["moved"][**part]) != 0.0);
    let moved: Vec<String> = parts.map(|part| format!("{part} {:+.3}", n(&p["moved"][*part]))).collect();
    if !moved.is_empty() {
        // Writing to a string does not fail.
        let _ = write!(line, "; moved by {}", moved.join(", "));
    }
    line + "\n"
}

/// For people: who decided, the candidates in order, the exclusions with their reasons.
fn text(e: &Value) -> String {
    let mut out = String::new();
    let s = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "{} by {} ({}): {}",
        s(&e["candidates"][0]["model"]),
        s(&e["level"]),
        s(&e["strategy"]),
        s(&e["reason"])
    );
    if e["state"] == "cold" {
        let _ = writeln!(out, "decided on cold state (no live latencies or breakers); --url asks a running gateway");
    }
    let p = &e["profile"];
    let _ = writeln!(
        out,
        "task {} (confidence {}), complexity {}, {} input tokens, about {} output tokens, class {}",
        s(&p["task"]),
        p["confidence"],
        p["complexity"],
        p["input_tokens"],
        p["expected_output_tokens"],
        s(&p["class"])
    );
    for (i, c) in e["candidates"].as_array().into_iter().flatten().enumerate() {
        let cost = c["cost_usd"].as_f64().map_or("price unknown".to_owned(), |usd| format!("${usd:.6}"));
        let quality = c["quality"].as_f64().map_or("unknown".to_owned(), |q| format!("{q:.2}"));
        let mark = if c["degraded"] == true { ", emergency" } else { "" };
        let predicted = predicted(&c["predicted"]);
        let _ = writeln!(
            out,
            "{:>3}. {:<32} {:<14} {cost:>14} {:>7.0} ms  quality {quality}  score {:.4}{mark}",
            i + 1,
            s(&c["model"]),
            s(&c["provider"]),
            c["latency_ms"].as_f64().unwrap_or(0.0),
            c["score"].as_f64().unwrap_or(0.0)
        );
        out.push_str(&predicted);
    }
    for x in e["excluded"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "  -  {:<32} {}: {}", s(&x["model"]), s(&x["reason"]), s(&x["detail"]));
    }
    if let Some(message) = e["error"]["message"].as_str() {
        let _ = writeln!(out, "error {}: {message}", s(&e["error"]["code"]));
    }
    out
}
