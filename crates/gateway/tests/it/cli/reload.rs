//! A changed file, SIGHUP and `/admin/reload`: all or nothing, and nobody notices who does not need to.

use super::gateway::{CONFIG, Gateway, wait_until};
use super::http::chat;
use super::upstream::{GOOD, Upstream};
use serde_json::{Value, json};

fn with_delta() -> String {
    CONFIG.replace("  alpha:", "  delta: { endpoints: [{ provider: sim }] }\n  alpha:")
}

fn configuration(gateway: &Gateway) -> Value {
    let reply = gateway.get("/readyz");
    assert_eq!(reply.status, 200, "a refused reload does not take it out of service: {}", reply.text());
    reply.json()["configuration"].clone()
}

fn serves_delta(gateway: &Gateway) -> bool {
    gateway.chat(&[], &chat("delta", "hi", json!({}))).status == 200
}

#[test]
fn every_way_of_reloading_takes_the_new_file() {
    for way in ["file", "signal", "admin"] {
        let gateway = Gateway::start(CONFIG);
        assert!(!serves_delta(&gateway));
        let before = gateway.log_lines();
        gateway.rewrite(&with_delta());
        match way {
            "signal" => gateway.signal("HUP"),
            "admin" => {
                let reply = gateway.post("/admin/reload", "{}");
                assert_eq!((reply.status, &reply.json()["reload_errors"]), (200, &json!([])));
                // The answer comes when the new one is in force.
                assert!(serves_delta(&gateway));
            }
            _ => {}
        }
        gateway.logged(before, "configuration reloaded");
        assert!(serves_delta(&gateway), "{way}");
        assert_eq!(configuration(&gateway)["reload_errors"], json!([]), "{way}");
    }
}

#[test]
fn a_mistake_keeps_the_old_configuration_and_is_shown_until_it_is_mended() {
    for way in ["file", "signal", "admin"] {
        let gateway = Gateway::start(CONFIG);
        let before = gateway.log_lines();
        gateway.rewrite(
            &with_delta()
                .replace("strategy: balanced", "strategy: balancd")
                .replace("max_retry_wait", "max_retry_weight"),
        );
        match way {
            "signal" => gateway.signal("HUP"),
            "admin" => {
                let reply = gateway.post("/admin/reload", "{}");
                assert_eq!((reply.status, reply.json()["reload_errors"].as_array().unwrap().len()), (409, 2));
            }
            _ => {}
        }
        for key in ["auto.strategy", "max_retry_weight"] {
            let line = gateway.logged(before, key);
            assert!(
                line.contains("ERROR")
                    && line.contains("the old configuration stays")
                    && line.contains("gateway.yaml:"),
                "{line}"
            );
        }
        let shown = configuration(&gateway);
        let errors: Vec<&str> = shown["reload_errors"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!((errors.len(), &shown["version"]), (2, &json!(1)), "{way}: {errors:?}");
        assert!(errors[0].starts_with("gateway.yaml:4: execution.max_retry_weight: unknown key"), "{errors:?}");
        assert!(!serves_delta(&gateway), "all or nothing");
        assert_eq!(gateway.chat(&[], &chat("alpha", "hi", json!({}))).model(), "alpha");

        let before = gateway.log_lines();
        gateway.rewrite(&with_delta());
        match way {
            "signal" => gateway.signal("HUP"),
            "admin" => assert_eq!(gateway.post("/admin/reload", "{}").status, 200),
            _ => {}
        }
        gateway.logged(before, "configuration reloaded");
        assert_eq!(configuration(&gateway)["reload_errors"], json!([]), "{way}");
        assert!(serves_delta(&gateway));
    }
}

/// Without a file there is nothing to reload: said, and not the end of the process.
#[test]
fn a_gateway_without_a_file_survives_sighup() {
    let gateway = Gateway::in_folder(super::gateway::Folder::new(), &[], &[]);
    gateway.signal("HUP");
    assert!(gateway.logged(0, "without a configuration file").contains("the old configuration stays"));
    assert_eq!(gateway.get("/v1/models").status, 200);
    assert_eq!(configuration(&gateway)["reload_errors"].as_array().unwrap().len(), 1);
}

/// A file that is gone is an error as well, and not an empty configuration.
#[test]
fn a_missing_file_keeps_the_old_configuration() {
    let gateway = Gateway::start(CONFIG);
    std::fs::remove_file(gateway.folder.path("gateway.yaml")).unwrap();
    let reply = gateway.post("/admin/reload", "{}");
    assert_eq!(reply.status, 409);
    assert!(reply.text().contains("gateway.yaml"), "{}", reply.text());
    assert_eq!(gateway.chat(&[], &chat("alpha", "hi", json!({}))).status, 200);
}

/// A file that is written in place is empty for a moment, and an empty file is a configuration, one without keys.
#[test]
fn a_file_that_is_being_written_is_not_read() {
    use std::io::Write;
    let keyed = format!("{CONFIG}\nkeys: [{{ id: a, secret: sk-a }}]\n");
    let gateway = Gateway::start(&keyed);
    let before = gateway.log_lines();
    let mut file = std::fs::File::create(gateway.folder.path("gateway.yaml")).unwrap();
    let whole = with_delta() + "\nkeys: [{ id: a, secret: sk-a }]\n";
    // Slow, and with pauses that are shorter than the gateway's patience; no part of it may ever be in force.
    let pause = std::time::Duration::from_millis(50);
    for part in whole.as_bytes().chunks(whole.len() / 30) {
        file.write_all(part).unwrap();
        std::thread::park_timeout(pause);
        assert_eq!(gateway.get("/v1/models").status, 401, "keys are asked for throughout");
    }
    drop(file);
    gateway.logged(before, "configuration reloaded");
    assert_eq!(configuration(&gateway)["version"], 2, "read once, when it was whole");
    gateway.not_logged(before, "reload refused");
    let reply = gateway.client().call("GET", "/v1/models/delta", &[("authorization", "Bearer sk-a")], b"");
    assert_eq!(reply.status, 200);
}

#[test]
fn a_request_in_flight_keeps_its_configuration() {
    let gateway = Gateway::start(CONFIG);
    let body = chat("alpha", "simulate[tokens=60,per_token_ms=10]", json!({"stream": true}));
    let mut client = gateway.client();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let reply = client.head().unwrap();
    assert!(client.chunk().unwrap().is_some());
    // Its model is gone, and prices are others, before its answer is.
    let without = CONFIG.replace("  alpha:", "  other:").replace("alpha: 1, ", "").replace("[alpha]", "[other]");
    gateway.rewrite(&without);
    assert_eq!(gateway.post("/admin/reload", "{}").status, 200);
    assert_eq!(gateway.chat(&[], &chat("alpha", "hi", json!({}))).status, 404);
    let mut rest = Vec::new();
    while let Some(chunk) = client.chunk().unwrap() {
        rest.extend(chunk);
    }
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
    let folder = gateway.stop();
    let recent = folder.ledger().recent(10).unwrap();
    let found = recent.iter().find(|r| r.id == reply.request_id()).unwrap();
    assert_eq!((found.model.as_deref(), found.outcome.as_str()), (Some("alpha"), "ok"));
    assert!(found.cost_nano_usd > 0);
}

#[test]
fn breakers_and_learned_latencies_live_through_a_reload() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    assert_eq!(client.chat(&[], &chat("beta", "hi", json!({}))).status, 200);
    for _ in 0..5 {
        assert_eq!(client.chat(&[], &chat("alpha", "simulate[fault=server_error]", json!({}))).status / 100, 5);
    }
    assert_eq!(client.post("/admin/breakers", &[], r#"{"model":"gamma","action":"open"}"#).status, 200);
    let states = |v: &Value| -> Vec<(Value, Value, Value, Value)> {
        let endpoints = v["endpoints"].as_array().unwrap().iter().filter(|e| e["model"] != "delta");
        endpoints
            .map(|e| (e["model"].clone(), e["state"].clone(), e["forced"].clone(), e["observations"].clone()))
            .collect()
    };
    let before = states(&client.get("/admin/breakers").json());
    assert_eq!((&before[0].1, &before[1].1, &before[2].1), (&json!("open"), &json!("closed"), &json!("open")));
    gateway.rewrite(&with_delta());
    assert_eq!(client.post("/admin/reload", &[], "{}").status, 200);
    assert_eq!(states(&client.get("/admin/breakers").json()), before);
    // A new model at the front shifts every index: what belongs to whom must not.
    assert!(serves_delta(&gateway));
    assert_eq!(client.chat(&[], &chat("alpha", "hi", json!({}))).status, 503);
}

#[test]
fn a_providers_key_is_rotated_by_the_file() {
    let upstream = Upstream::start(|_| (200, GOOD.to_owned()));
    let config = |key: &str| {
        format!(
            "storage: memory\nproviders: {{ up: {{ dialect: openai, base_url: 'http://{}/v1', api_key: {key} }} }}\nmodels: {{ m: {{ endpoints: [{{ provider: up }}] }} }}\n",
            upstream.address
        )
    };
    let gateway = Gateway::start(&config("sk-first"));
    assert_eq!(gateway.chat(&[], &chat("m", "hi", json!({}))).status, 200);
    let before = gateway.log_lines();
    gateway.rewrite(&config("sk-second"));
    gateway.logged(before, "configuration reloaded");
    assert_eq!(gateway.chat(&[("authorization", "Bearer sk-mine")], &chat("m", "hi", json!({}))).status, 200);
    let came = upstream.came();
    let keys: Vec<Option<&str>> = came.iter().map(|c| c.header("authorization")).collect();
    assert_eq!(keys, [Some("Bearer sk-first"), Some("Bearer sk-second")]);
}

/// Client keys, too: a revoked one is out at once.
#[test]
fn client_keys_are_rotated_by_the_file() {
    let with = |keys: &str| format!("{CONFIG}\nkeys: [{keys}]\n");
    let gateway = Gateway::start(&with("{ id: a, secret: sk-a }"));
    let mut client = gateway.client();
    let mut status =
        |key: &str| client.call("GET", "/v1/models", &[("authorization", &format!("Bearer {key}"))], b"").status;
    assert_eq!((status("sk-a"), status("sk-b")), (200, 401));
    gateway.rewrite(&with("{ id: b, secret: sk-b }"));
    assert_eq!(gateway.post("/admin/reload", "{}").status, 200);
    assert_eq!((status("sk-a"), status("sk-b")), (401, 200));
}

/// What was refused at the start is refused at a reload: a gateway that listens beyond loopback keeps its keys, whatever
/// address the file names by now.
#[test]
fn a_reload_cannot_open_a_gateway_beyond_loopback() {
    let keyed = format!("{CONFIG}\nkeys: [{{ id: a, secret: sk-a }}]\n");
    let folder = super::gateway::Folder::new();
    folder.write("gateway.yaml", &keyed);
    let gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(gateway.get("/v1/models").status, 401);
    gateway.rewrite(CONFIG);
    let reply = gateway.post("/admin/reload", "{}");
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert!(reply.text().contains("beyond loopback needs `keys`"), "{}", reply.text());
    assert_eq!(gateway.get("/v1/models").status, 401);
}

/// What needs a restart says so, and the rest is in force.
#[test]
fn what_needs_a_restart_says_so() {
    let gateway = Gateway::start(CONFIG);
    let before = gateway.log_lines();
    gateway.rewrite(&with_delta().replace("workers: 2", "workers: 3").replace("sqlite:waypost.db", "memory"));
    assert_eq!(gateway.post("/admin/reload", "{}").status, 200);
    let line = gateway.logged(before, "only after a restart");
    assert!(line.contains("server.workers") && line.contains("storage") && !line.contains("server.listen"), "{line}");
    assert!(serves_delta(&gateway));
}

/// Traffic goes on while the configuration changes under it again and again.
#[test]
fn reloads_under_traffic_drop_nothing() {
    let gateway = Gateway::start(CONFIG);
    let (address, stop) = (gateway.address, std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut client = super::http::Client::new(address);
                let mut answers = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(client.chat(&[], &chat("auto", "hi", json!({}))).status, 200);
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    for round in 0..10 {
        gateway.rewrite(&if round % 2 == 0 { with_delta() } else { CONFIG.to_owned() });
        assert_eq!(gateway.post("/admin/reload", "{}").status, 200);
    }
    let version = || configuration(&gateway)["version"].as_u64().unwrap();
    wait_until("ten reloads", || version() >= 11);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let answers: Vec<i32> = clients.into_iter().map(|c| c.join().unwrap()).collect();
    assert!(answers.iter().all(|n| *n > 0), "{answers:?}");
}
