//! `waypost profile` from outside: what it asks, what it writes, what it refuses, and where it goes on.

use super::gateway::{Folder, Gateway, Ran, wait_until};
use super::upstream::{Came, Upstream};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use waypost_learn::outcome::Rows;

/// Three tasks whose right answers are in their prompts, after `say`.
const TASKS: &str = r#"{"id":"n","task":"math","prompt":"say 42","grader":"number","expected":42,"max_output_tokens":9}
{"id":"l","task":"qa","prompt":"say (B)","grader":"letter","expected":"B"}
{"id":"t","task":"trivia","prompt":"say Paris","grader":"text","expected":"Paris","source":"made up"}
"#;

/// What the prompt says to say; `poor` says it wrong.
fn echo(came: &Came) -> (u16, String) {
    let body: Value = serde_json::from_str(&came.body).unwrap();
    let prompt = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    let text = prompt.split_once("say ").map_or("nothing", |(_, said)| said).to_owned();
    (200, answer(if body["model"] == "poor" { "I do not know, 41 perhaps" } else { &text }))
}

fn answer(text: &str) -> String {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
           "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
           "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
    .to_string()
}

fn model(came: &Came) -> String {
    serde_json::from_str::<Value>(&came.body).unwrap()["model"].as_str().unwrap().to_owned()
}

/// Models `good` and `poor` at the upstream; one attempt a call, breakers out of the way.
fn config(upstream: &Upstream, more: &str) -> String {
    format!(
        "storage: sqlite:waypost.db\n\
         execution: {{ max_retry_wait: 0s, max_attempts: 1, breaker: {{ consecutive_failures: 1000, min_requests: 1000 }} }}\n\
         providers: {{ p: {{ dialect: openai, base_url: 'http://{}/v1' }} }}\n\
         models:\n\
         \x20 good: {{ endpoints: [{{ provider: p }}], context_window: 8000, capabilities: [], price: {{ input: 100, output: 400 }} }}\n\
         \x20 poor: {{ endpoints: [{{ provider: p }}], context_window: 8000, capabilities: [], price: {{ input: 10, output: 40 }} }}\n\
         routes: {{ any: {{ strategy: cost }} }}\n\
         fallback_model: good\n{more}",
        upstream.address
    )
}

fn folder(upstream: &Upstream, more: &str) -> Folder {
    let folder = Folder::new();
    folder.write("waypost.yaml", &config(upstream, more));
    folder.write("tasks.jsonl", TASKS);
    folder
}

fn profile(folder: &Folder, more: &[&str]) -> Ran {
    folder.run(&[&["profile", "--data", "tasks.jsonl"], more].concat())
}

fn outcomes(folder: &Folder) -> Rows {
    let text = std::fs::read_to_string(folder.path("tasks.outcomes.jsonl")).unwrap();
    let mut rows = Rows::default();
    rows.read("tasks.outcomes.jsonl", &text).unwrap();
    rows
}

#[track_caller]
fn refused(ran: &Ran, said: &[&str]) {
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    for said in said {
        assert!(ran.err.contains(said), "`{said}` is not in {}", ran.err);
    }
}

#[test]
fn a_run_writes_outcomes_and_ranks_and_a_second_asks_nothing() {
    let upstream = Upstream::start(echo);
    let folder = folder(&upstream, "");
    let ran = profile(&folder, &["--json"]);
    assert!(ran.err.contains("expected in all: $"), "{}", ran.err);
    let shown: Value = serde_json::from_str(&ran.good()).unwrap();
    let rows = outcomes(&folder).rows;
    assert_eq!(rows.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["n", "l", "t"]);
    for row in &rows {
        let (good, poor) = (row.outcomes["good"], row.outcomes["poor"]);
        assert_eq!((good.score, poor.score), (1.0, 0.0), "{row:?}");
        assert_eq!((good.input_tokens, good.output_tokens), (Some(10), Some(5)));
        // 10 × 100 + 5 × 400 dollars a million tokens.
        assert_eq!((good.cost_usd, poor.cost_usd), (Some(0.003), Some(0.0003)));
    }
    assert_eq!((rows[2].source.as_str(), rows[0].prompt.as_str()), ("made up", "say 42"));
    let tasks: Vec<_> = shown["tasks"].as_array().unwrap().iter().map(|t| &t["task"]).collect();
    assert_eq!(tasks.len(), 3, "{shown}");
    for task in shown["tasks"].as_array().unwrap() {
        let models = task["models"].as_array().unwrap();
        assert_eq!(
            (&models[0]["model"], &models[0]["quality"], &models[0]["success"]),
            (&json!("good"), &json!(1.0), &json!(1.0))
        );
        assert!(models[0]["latency_ms"].as_f64().unwrap() > 0.0 && models[0]["trials"] == 1);
        // Ten times dearer: a third of the cost's part less.
        assert!((models[0]["cost"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-6 && models[1]["cost"] == 1.0);
    }
    // What it cost is in the ledger like any other spend.
    let report: Value = serde_json::from_str(&folder.run(&["report", "--json"]).good()).unwrap();
    assert!(report.to_string().contains("\"requests\":3"), "{report}");
    // The caps and the pin went out.
    let came = upstream.came();
    assert_eq!(came.len(), 6);
    assert!(came.iter().any(|c| c.body.contains("\"max_completion_tokens\":9") || c.body.contains("\"max_tokens\":9")));
    // The snippet fits into a configuration, but for the kind of task that the gateway does not know.
    let yaml = shown["yaml"].as_str().unwrap();
    for said in ["\"good\": { quality: { math: 1.000, qa: 1.000 } }", "# left out", ": trivia"] {
        assert!(yaml.contains(said), "{yaml}");
    }
    let merged = config(&upstream, "").replace(
        "price: { input: 100, output: 400 }",
        "price: { input: 100, output: 400 }, quality: { math: 1.000, qa: 1.000 }",
    );
    folder.write("merged.yaml", &merged);
    folder.run(&["check", "merged.yaml"]).good();
    let again = profile(&folder, &[]);
    assert!(again.err.contains("all 6 answers are there already"), "{}", again.err);
    assert!(again.good().contains("task math"));
    assert_eq!((upstream.came().len(), outcomes(&folder).rows == rows), (6, true));
    // Another model later, beside what is there.
    std::fs::write(folder.path("tasks.jsonl"), format!("{TASKS}\n")).unwrap();
    refused(&profile(&folder, &[]), &["other tasks"]);
    std::fs::remove_file(folder.path("tasks.outcomes.jsonl.journal")).unwrap();
    refused(&profile(&folder, &[]), &["tasks.outcomes.jsonl is there already"]);
    assert_eq!(upstream.came().len(), 6);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_asked() {
    let upstream = Upstream::start(echo);
    let folder = folder(&upstream, "");
    folder.write("bad.jsonl", &format!("{TASKS}{{\"id\":\"n\"}}\nnonsense\n{}", TASKS.lines().next().unwrap()));
    refused(
        &folder.run(&["profile", "--data", "bad.jsonl"]),
        &["bad.jsonl:4: missing field", "bad.jsonl:5: expected", "bad.jsonl:6: id \"n\" is also at line 1"],
    );
    refused(&folder.run(&["profile", "--data", "missing.jsonl"]), &["missing.jsonl"]);
    refused(&profile(&folder, &["--model", "god"]), &["god", "good"]);
    refused(&profile(&folder, &["--model", "auto"]), &["auto is no model"]);
    refused(&profile(&folder, &["--model", "route/any"]), &["route/any is no model"]);
    let code = r#"{"id":"c","task":"code","prompt":"p","grader":{"type":"code","tests":"assert f"}}"#;
    folder.write("code.jsonl", code);
    refused(&folder.run(&["profile", "--data", "code.jsonl"]), &["--allow-code"]);
    for wrong in [&["--max-cost-usd", "-1"][..], &["--concurrency", "0"], &["--url", "http://x", "--config", "y"]] {
        assert_eq!(profile(&folder, wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(upstream.came().len(), 0);
}

#[test]
fn above_a_sum_or_without_a_price_it_asks_and_refuses_where_it_cannot() {
    let upstream = Upstream::start(echo);
    let folder = folder(&upstream, "");
    refused(
        &profile(&folder, &["--max-cost-usd", "0.0001"]),
        &["more than --max-cost-usd 0.0001", "no terminal", "--yes"],
    );
    let unpriced = config(&upstream, "").replace(", price: { input: 10, output: 40 }", "");
    folder.write("unpriced.yaml", &unpriced);
    refused(&profile(&folder, &["--config", "unpriced.yaml"]), &["poor", "price unknown", "no terminal"]);
    assert_eq!(upstream.came().len(), 0);
    profile(&folder, &["--config", "unpriced.yaml", "--yes"]).good();
    assert_eq!(outcomes(&folder).rows[0].outcomes["poor"].cost_usd, None);
}

/// Holds every request from the given number on until it is opened.
fn door(from: usize) -> (Arc<(Mutex<bool>, Condvar)>, Upstream) {
    let door = Arc::new((Mutex::new(false), Condvar::new()));
    let (theirs, count) = (door.clone(), AtomicUsize::new(0));
    let upstream = Upstream::start(move |came| {
        if count.fetch_add(1, Ordering::SeqCst) >= from {
            let (open, changed) = &*theirs;
            let _open = changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap();
        }
        echo(came)
    });
    (door, upstream)
}

#[test]
fn a_killed_or_interrupted_run_goes_on_where_it_was() {
    for (name, ends_well) in [("KILL", false), ("INT", true)] {
        let (door, upstream) = door(2);
        let folder = folder(&upstream, "");
        let mut command = folder.command(&["profile", "--data", "tasks.jsonl", "--concurrency", "1"]);
        let child = command.spawn().unwrap();
        let journal = folder.path("tasks.outcomes.jsonl.journal");
        let lines = || std::fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
        wait_until("two answers in the journal", || lines() == 3);
        // While it runs, nobody else may write there.
        refused(&profile(&folder, &[]), &["another run"]);
        let status = std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(status.unwrap().success());
        let output = child.wait_with_output().unwrap();
        if ends_well {
            let ran = Ran::of(output);
            refused(&ran, &["interrupted; 2 answers are kept in tasks.outcomes.jsonl.journal"]);
        }
        assert!(!folder.path("tasks.outcomes.jsonl").exists());
        *door.0.lock().unwrap() = true;
        door.1.notify_all();
        let ran = profile(&folder, &[]);
        assert!(ran.err.contains("2 answers are there already, 4 are missing"), "{name}: {}", ran.err);
        ran.good();
        let rows = outcomes(&folder).rows;
        assert!(rows.len() == 3 && rows.iter().all(|r| r.outcomes.len() == 2), "{name}: {rows:?}");
        // What was answered was not asked again; only what was under way when it ended.
        assert!(upstream.came().len() <= 7, "{name}: {}", upstream.came().len());
    }
}

#[test]
fn failures_that_may_pass_are_left_and_named_and_others_count_as_failures() {
    let down = Arc::new(AtomicBool::new(true));
    let theirs = down.clone();
    let upstream = Upstream::start(move |came| match (model(came).as_str(), theirs.load(Ordering::SeqCst)) {
        ("good", true) => (503, r#"{"error":{"message":"try later"}}"#.to_owned()),
        ("poor", _) => {
            (400, r#"{"error":{"message":"I take no such thing","type":"invalid_request_error"}}"#.to_owned())
        }
        _ => echo(came),
    });
    let folder = folder(&upstream, "");
    let ran = profile(&folder, &["--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("good: 3 calls failed for now") && ran.err.contains("asks for them again"), "{}", ran.err);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&shown["missing"][0]["model"], &shown["missing"][0]["calls"]), (&json!("good"), &json!(3)));
    let poor = &shown["tasks"][0]["models"][0];
    assert_eq!((&poor["model"], &poor["success"], &poor["composite"]), (&json!("poor"), &json!(0.0), &json!(0.0)));
    let rows = outcomes(&folder).rows;
    assert!(rows.iter().all(|r| r.outcomes.len() == 1 && r.outcomes["poor"].score == 0.0), "{rows:?}");
    down.store(false, Ordering::SeqCst);
    profile(&folder, &[]).good();
    let rows = outcomes(&folder).rows;
    assert!(rows.iter().all(|r| r.outcomes["good"].score == 1.0 && r.outcomes["poor"].score == 0.0), "{rows:?}");
    // Nobody answered in another's place, though there is a fallback model.
    assert_eq!(upstream.came().iter().filter(|c| model(c) == "poor").count(), 3);
}

#[test]
fn budgets_hold_and_what_they_refuse_is_left() {
    let upstream = Upstream::start(echo);
    // Room for the first call's worst case ($0.0046 and its input) and no second one.
    let more = "gate: { models: { good: { usd_per_day: 0.008 } } }\n";
    let folder = folder(&upstream, more);
    let tasks = TASKS.lines().next().unwrap();
    let more_of_them = (1..4).map(|i| tasks.replace("\"n\"", &format!("\"n{i}\""))).collect::<Vec<_>>().join("\n");
    folder.write("tasks.jsonl", &more_of_them);
    let ran = profile(&folder, &["--model", "good", "--concurrency", "1"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("good: ") && ran.err.contains("2 calls failed for now: `usd_per_day` of model/good"),
        "{}",
        ran.err
    );
    let asked = upstream.came().len();
    assert_eq!((asked, outcomes(&folder).rows.len()), (1, 1));
}

#[test]
fn a_gateway_with_keys_asks_for_one_and_a_running_one_can_be_asked() {
    let upstream = Upstream::start(echo);
    let keys = "keys: [{ id: app, secret: sk-the-key-of-app }]\n";
    let folder = folder(&upstream, keys);
    refused(&profile(&folder, &[]), &["--key"]);
    profile(&folder, &["--key", "sk-the-key-of-app"]).good();
    let gateway = Gateway::start(&config(&upstream, keys));
    let url = gateway.url();
    let running = ["--url", url.as_str(), "--out", "other.jsonl"];
    refused(&profile(&folder, &running), &["--key"]);
    let ran = profile(&folder, &[&running[..], &["--key", "sk-the-key-of-app"]].concat());
    ran.good();
    assert!(folder.path("other.jsonl").exists());
    assert_eq!(upstream.came().len(), 12);
}

#[test]
fn simulated_answers_are_called_so() {
    let folder = Folder::new();
    folder.write("waypost.yaml", super::gateway::CONFIG);
    folder.write("tasks.jsonl", TASKS);
    let ran = profile(&folder, &[]);
    assert!(ran.err.contains("WARNING: the simulated provider answered"), "{}", ran.err);
    ran.good();
    assert!(
        outcomes(&folder).rows.iter().all(|r| r.outcomes.len() == 3 && r.outcomes.values().all(|o| o.score == 0.0))
    );
}

#[test]
fn code_is_run_where_it_is_allowed() {
    let right = "Here:\n```python\ndef double(x):\n    return 2 * x\n```";
    let upstream = Upstream::start(move |came| match model(came).as_str() {
        "good" => (200, answer(right)),
        _ => (200, answer("```python\nimport sys\ndef double(x): return 5\nsys.exit(0)\n```")),
    });
    let folder = folder(&upstream, "");
    let task = json!({"id": "c", "task": "code", "prompt": "Double!",
                      "grader": {"type": "code", "tests": "assert double(2) == 4", "entry_point": "double", "timeout_seconds": 20}});
    folder.write("tasks.jsonl", &task.to_string());
    profile(&folder, &["--allow-code"]).good();
    let rows = outcomes(&folder).rows;
    assert_eq!((rows[0].outcomes["good"].score, rows[0].outcomes["poor"].score), (1.0, 0.0), "{rows:?}");
}
