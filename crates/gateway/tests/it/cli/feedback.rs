//! Scores from clients: whose they may be, what is refused, what they change, and that no prompt is ever at rest.

use super::gateway::{CONFIG, Folder, Gateway, wait_until};
use super::http::{Reply, chat};
use serde_json::{Value, json};
use waypost::store::LearnedRows;

const KEYS: &str = "keys: [{ id: one, secret: sk-one, team: red }, { id: two, secret: sk-two }]\n";
/// What no database may hold.
const MARKER: &str = "zyxomma-quibble";

fn config() -> String {
    format!("{CONFIG}{KEYS}learning: {{}}\n")
}

fn bearer(key: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer sk-{key}"))
}

fn asked(gateway: &Gateway, key: &str, model: &str) -> Reply {
    let (name, value) = bearer(key);
    let reply = gateway.chat(&[(name, &value)], &chat(model, &format!("Why is a {MARKER} blue?"), json!({})));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

fn told(gateway: &Gateway, key: &str, body: &Value) -> Reply {
    let (name, value) = bearer(key);
    gateway.client().post("/v1/feedback", &[(name, &value)], &body.to_string())
}

fn message(reply: &Reply) -> String {
    reply.json()["error"]["message"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
}

fn learned(folder: &Folder) -> LearnedRows {
    folder.ledger().learned_rows(0).unwrap()
}

#[test]
fn a_score_is_its_own_keys_alone_and_replaces_the_one_before() {
    let gateway = Gateway::start(&config());
    let answer = asked(&gateway, "one", "cheap");
    let id = answer.request_id();
    let reply = told(&gateway, "one", &json!({"request_id": id, "score": 0.25, "comment": "dull", "label": "qa"}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let expected = json!({"object": "feedback", "request_id": id, "model": "alpha", "score": 0.25, "replaced": false});
    assert_eq!(reply.json(), expected);
    let reply = told(&gateway, "one", &json!({"request_id": id, "rating": "up", "model": "alpha"}));
    assert_eq!((&reply.json()["score"], &reply.json()["replaced"]), (&json!(1.0), &json!(true)));
    let reply = told(&gateway, "one", &json!({"request_id": id, "score": 1, "model": "beta"}));
    assert_eq!(reply.status, 400);
    assert!(message(&reply).contains("answered by `alpha`"), "{}", message(&reply));

    // Another key's request and one that never was are the same.
    let never = format!("{}{}", &id[..20], "000000000000");
    let foreign = told(&gateway, "two", &json!({"request_id": id, "score": 0}));
    let unknown = told(&gateway, "two", &json!({"request_id": never, "score": 0}));
    let old = told(&gateway, "two", &json!({"request_id": "0".repeat(32), "score": 0}));
    for (reply, id) in [(&foreign, id.as_str()), (&unknown, &never), (&old, &"0".repeat(32))] {
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("not_found")));
        assert_eq!(message(reply).replace(id, "ID"), message(&foreign).replace(&answer.request_id(), "ID"));
    }
    let open = gateway.client().post("/v1/feedback", &[], &json!({"request_id": id, "score": 0}).to_string());
    assert_eq!(open.status, 401);

    let rows = learned(&gateway.stop());
    assert_eq!((rows.rows.len(), rows.unusable), (1, 0));
    let row = &rows.rows[0];
    assert_eq!((row.id.to_string(), row.score), (id, Some(1.0)));
    assert_eq!((row.key.as_deref(), row.team.as_deref()), (Some("one"), Some("red")));
    assert_eq!((row.route.as_deref(), row.model.as_str(), row.task.as_str()), (Some("cheap"), "alpha", "reasoning"));
    assert_eq!((row.output_tokens, row.cost_nano_usd.is_some()), (Some(5), true));
    let made = waypost_learn::features::Features::of(&format!("Why is a {MARKER} blue?"));
    let hand = waypost_learn::text::hand::HAND;
    assert_eq!(row.features.dense[..hand], made.dense[..hand], "of the last user turn");
    assert_eq!(row.features.hashes, None);
}

#[test]
fn what_cannot_be_a_score_is_refused_in_the_clients_dialect() {
    let gateway = Gateway::start(&config());
    let id = asked(&gateway, "one", "cheap").request_id();
    let (name, value) = bearer("one");
    for (body, word) in [
        (format!(r#"{{"request_id": "{id}", "score": NaN}}"#), "NaN"),
        (format!(r#"{{"request_id": "{id}", "score": 1.5}}"#), "1.5"),
        (format!(r#"{{"request_id": "{id}", "score": "good"}}"#), "string"),
        (format!(r#"{{"request_id": "{id}"}}"#), "required"),
        (r#"{"request_id": "x", "score": 1}"#.to_owned(), "32 hexadecimal"),
        ("{".to_owned(), "JSON"),
    ] {
        let reply = gateway.client().post("/v1/feedback", &[(name, &value)], &body);
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("invalid_request")), "{body}");
        assert!(message(&reply).contains(word), "{body}: {}", message(&reply));
        let headers = [(name, value.as_str()), ("anthropic-version", "2023-06-01")];
        let reply = gateway.client().post("/v1/feedback", &headers, &body).json();
        assert_eq!((&reply["type"], &reply["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
    }
    let headers = [(name, value.as_str()), ("anthropic-version", "2023-06-01")];
    let unknown = json!({"request_id": "0".repeat(32), "score": 1}).to_string();
    let reply = gateway.client().post("/v1/feedback", &headers, &unknown);
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (404, &json!("not_found_error")));
    assert_eq!(gateway.get("/v1/feedback").status, 401, "the key comes first");
    let put = gateway.client().call("PUT", "/v1/feedback", &[(name, &value)], b"");
    assert_eq!((put.status, put.header("allow")), (405, Some("POST")));
    let large = format!(r#"{{"request_id": "{id}", "score": 1, "comment": "{}"}}"#, "x".repeat(70_000));
    assert_eq!(gateway.client().post("/v1/feedback", &[(name, &value)], &large).status, 413);
    // A request that was refused has no answer to score.
    let refused = gateway.chat(&[(name, &value)], &chat("small", &"word ".repeat(20_000), json!({})));
    assert_eq!(refused.status, 400);
    let reply = told(&gateway, "one", &json!({"request_id": refused.request_id(), "score": 0}));
    assert!(reply.status == 400 && message(&reply).contains("no answer"), "{}", reply.text());
}

#[test]
fn a_flood_of_one_key_is_slowed_down_and_no_other_key() {
    let gateway = Gateway::start(&config());
    let ids = ["one", "two"].map(|key| asked(&gateway, key, "cheap").request_id());
    let mut client = gateway.client();
    let (name, value) = bearer("one");
    let body = json!({"request_id": ids[0], "score": 0}).to_string();
    let refused = (0..2000)
        .map(|_| client.post("/v1/feedback", &[(name, &value)], &body))
        .find(|reply| reply.status != 200)
        .expect("it is faster than ten a second");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(told(&gateway, "two", &json!({"request_id": ids[1], "score": 1})).status, 200);
}

/// The quality of alpha, of 0.5 by configuration, that a decision sees.
fn quality(gateway: &Gateway) -> f64 {
    let (name, value) = bearer("one");
    let reply =
        gateway.client().post("/v1/route", &[(name, &value)], &chat("cheap", "Why is the sky blue?", json!({})));
    let candidates = reply.json()["candidates"].clone();
    let alpha = candidates.as_array().unwrap().iter().find(|c| c["model"] == "alpha").cloned();
    alpha.unwrap_or_else(|| panic!("{}", reply.text()))["quality"].as_f64().unwrap()
}

#[test]
fn scores_move_the_quality_of_a_model_at_a_task_at_once_and_over_a_restart() {
    let gateway = Gateway::start(&config());
    assert_eq!(quality(&gateway), 0.5);
    for n in 0..20 {
        let id = asked(&gateway, if n % 2 == 0 { "one" } else { "two" }, "cheap").request_id();
        assert_eq!(
            told(&gateway, if n % 2 == 0 { "one" } else { "two" }, &json!({"request_id": id, "score": 1})).status,
            200
        );
    }
    assert!((quality(&gateway) - 0.75).abs() < 1e-3, "20 of 1 and 20 of 0.5: {}", quality(&gateway));
    let folder = gateway.stop();
    let gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml"], &[]);
    assert!((quality(&gateway) - 0.75).abs() < 1e-3, "{}", quality(&gateway));
    gateway.rewrite(&config().replace("learning: {}", "learning: { enabled: false }"));
    gateway.signal("HUP");
    wait_until("the configuration counts again", || quality(&gateway) == 0.5);
}

#[test]
fn no_prompt_is_at_rest_and_outcomes_are_exported_without() {
    let gateway = Gateway::start(&config());
    let stream = json!({"stream": true});
    let (name, value) = bearer("one");
    let mut ids = Vec::new();
    for (key, more) in [("one", json!({})), ("two", json!({})), ("one", stream)] {
        let (name, value) = bearer(key);
        let reply = gateway.chat(&[(name, &value)], &chat("cheap", &format!("Explain {MARKER}."), more));
        ids.push((key, reply.request_id()));
    }
    for (key, id) in &ids[..2] {
        let body = json!({"request_id": id, "score": 0.75, "comment": format!("the {MARKER} was missing")});
        assert_eq!(told(&gateway, key, &body).status, 200);
    }
    let reply = gateway.client().post(
        "/v1/feedback",
        &[(name, &value)],
        &json!({"request_id": ids[2].1, "score": 0}).to_string(),
    );
    assert_eq!(reply.status, 200, "of a stream: {}", reply.text());
    let folder = gateway.stop();
    for entry in std::fs::read_dir(folder.path("")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(7).any(|w| w.eq_ignore_ascii_case(b"zyxomma") || w.eq_ignore_ascii_case(b"quibble"));
        assert!(!found, "{} holds a prompt", path.display());
    }
    let said = folder.run(&["outcomes", "export", "--config", "gateway.yaml", "--out", "out.jsonl"]).good();
    assert!(said.contains("3 of 3"), "{said}");
    let lines = std::fs::read_to_string(folder.path("out.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (line, (_, id)) in lines.iter().zip(&ids) {
        assert_eq!(line["id"], json!(id));
        let outcome = &line["outcomes"]["alpha"];
        assert!(outcome["score"].is_f64() && outcome["output_tokens"] == 5, "{line}");
        assert!(line.get("prompt").is_none() && line["features"]["version"] == 1, "{line}");
        assert_eq!(line["features"]["embedding"].as_array().unwrap().len(), 64);
    }
}

#[test]
fn without_learning_scores_are_kept_and_no_features() {
    let gateway = Gateway::start(&format!("{CONFIG}{KEYS}"));
    let id = asked(&gateway, "one", "cheap").request_id();
    for _ in 0..3 {
        assert_eq!(told(&gateway, "one", &json!({"request_id": id, "score": 1})).status, 200);
    }
    assert_eq!(quality(&gateway), 0.5);
    assert_eq!(learned(&gateway.stop()).rows.len(), 0);
}

#[test]
fn rows_are_kept_up_to_their_number() {
    let gateway = Gateway::start(&config().replace("learning: {}", "learning: { keep: 1h, max_rows: 100 }"));
    for _ in 0..130 {
        asked(&gateway, "one", "cheap");
    }
    let rows = learned(&gateway.stop()).rows.len();
    assert_eq!(rows, 100);
}

#[test]
fn gateways_on_one_postgres_hear_each_others_scores() {
    let database = waypost_servers::postgres();
    let config = config().replace("sqlite:waypost.db", database.url());
    let gateways = [Gateway::start(&config), Gateway::start(&config)];
    let mut ids = Vec::new();
    for n in 0..20 {
        let (made, key) = (&gateways[n % 2], ["one", "two"][n / 10]);
        let id = asked(made, key, "cheap").request_id();
        // The other gateway takes the score of what this one has just answered.
        let reply = told(&gateways[1 - n % 2], key, &json!({"request_id": id, "score": 1}));
        assert_eq!((reply.status, &reply.json()["replaced"]), (200, &json!(false)), "{}", reply.text());
        ids.push((id, key));
    }
    let foreign = told(&gateways[0], "two", &json!({"request_id": ids[0].0, "score": 0}));
    assert_eq!(foreign.status, 404);
    for gateway in &gateways {
        wait_until("both know all scores", || (quality(gateway) - 0.75).abs() < 1e-3);
    }
    let again = told(&gateways[0], ids[0].1, &json!({"request_id": ids[0].0, "score": 0})).json();
    assert_eq!(again["replaced"], json!(true));
    for gateway in &gateways {
        wait_until("both know the replaced score", || (quality(gateway) - 0.725).abs() < 1e-3);
    }
    assert_eq!(database.psql("SELECT count(*), sum(score) FROM feedback"), "20|19");
    let [one, two] = gateways.map(Gateway::stop);
    let exported = one.run(&["outcomes", "export", "--config", "gateway.yaml", "--out", "out.jsonl"]).good();
    assert!(exported.contains("20 of 20"), "{exported}");
    drop(two);
    let dumped = database.psql("SELECT string_agg(l::text, ' ') FROM lessons l");
    let hex: String = MARKER.bytes().map(|b| format!("{b:02x}")).collect();
    assert!(dumped.contains("alpha") && !dumped.contains(MARKER) && !dumped.contains(&hex));
}
