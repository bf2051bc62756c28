//! What operators and curious clients read: `/admin`, `/v1/models`, health.

use super::gateway::{CONFIG, Gateway, wait_until};
use super::http::chat;
use serde_json::{Value, json};

#[test]
fn admin_asks_for_its_own_token_once_there_is_one() {
    let gateway = Gateway::start(&CONFIG.replace("workers: 2", "workers: 2, admin_token: admin-secret"));
    let mut client = gateway.client();
    let paths = [
        ("GET", "/admin/breakers"),
        ("GET", "/admin/requests"),
        ("GET", "/admin/report"),
        ("POST", "/admin/reload"),
        ("GET", "/admin/x"),
    ];
    for (method, path) in paths {
        for wrong in [&[][..], &[("authorization", "Bearer other")], &[("authorization", "Bearer admin-secreT")]] {
            let headers = [&[("content-type", "application/json")], wrong].concat();
            let reply = client.call(method, path, &headers, b"{}");
            assert_eq!(
                (reply.status, &reply.json()["error"]["code"]),
                (401, &json!("invalid_api_key")),
                "{method} {path}"
            );
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            assert!(!reply.text().contains("admin-secret"));
        }
    }
    let right = [("authorization", "Bearer admin-secret"), ("content-type", "application/json")];
    for (method, path) in &paths[..4] {
        assert_eq!(client.call(method, path, &right, b"{}").status, 200, "{path}");
    }
    // The admin token is no client key, and health asks for nothing.
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/readyz").status, 200);
}

/// Client keys open nothing of `/admin`.
#[test]
fn a_client_key_is_no_admin_token() {
    let keyed =
        CONFIG.replace("workers: 2", "workers: 2, admin_token: admin-secret") + "keys: [{ id: a, secret: sk-a }]\n";
    let gateway = Gateway::start(&keyed);
    let reply = gateway.client().call("GET", "/admin/requests", &[("authorization", "Bearer sk-a")], b"");
    assert_eq!(reply.status, 401);
    let reply = gateway.client().call("GET", "/v1/models", &[("authorization", "Bearer admin-secret")], b"");
    assert_eq!(reply.status, 401);
}

#[test]
fn requests_are_found_by_their_id() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let body = chat(
        "cheap",
        "simulate[fault=server_error,status=502,model=alpha] hello",
        json!({"waypost": {"tags": {"a": "b"}}}),
    );
    let good = client.chat(&[], &body);
    assert_eq!(good.model(), "beta");
    let refused = client.chat(&[], &chat("nope", "x", json!({})));
    assert_eq!(refused.status, 404);
    let id = good.request_id();
    let mut found = Value::Null;
    wait_until("the records are written", || {
        found = client.get(&format!("/admin/requests/{id}")).json();
        let refused = client.get(&format!("/admin/requests/{}", refused.request_id()));
        found["id"] == id.as_str() && refused.status == 200
    });
    assert_eq!((&found["route"], &found["model"], &found["outcome"]), (&json!("cheap"), &json!("beta"), &json!("ok")));
    assert_eq!(found["tags"], json!([["a", "b"]]));
    let tried = found["attempts"].as_array().unwrap();
    let tried: Vec<(&Value, &Value)> = tried.iter().map(|a| (&a["model"], &a["outcome"])).collect();
    assert_eq!(tried, [(&json!("alpha"), &json!("http_502")), (&json!("beta"), &json!("ok"))]);
    assert_eq!(found["decision"]["candidates"][0]["model"], "alpha", "a fallback's decision is always kept in full");
    let cost: f64 = good.header("x-waypost-cost-usd").unwrap().parse().unwrap();
    assert_eq!(found["cost_nano_usd"].as_i64().unwrap(), (cost * 1e9).round() as i64);

    let list = client.get("/admin/requests?limit=1").json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let list = client.get("/admin/requests").json();
    let outcomes: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|r| &r["outcome"]).collect();
    assert_eq!(outcomes, ["refused", "ok"], "newest first");

    let report = client.get("/admin/report?by=route&since=1h").json();
    assert_eq!((&report["by"], &report["total"]["requests"]), (&json!("route"), &json!(2)));
    for (path, status) in [
        ("/admin/report?by=colour", 400),
        ("/admin/report?since=never", 400),
        ("/admin/requests/zz", 400),
        ("/admin/requests/00000000000000000000000000000001", 404),
    ] {
        assert_eq!(client.get(path).status, status, "{path}");
    }
}

#[test]
fn breakers_are_shown_and_forced() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let state = |v: &Value, model: &str| {
        let found = v["endpoints"].as_array().unwrap().iter().find(|e| e["model"] == model).unwrap();
        found["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&client.get("/admin/breakers").json(), "alpha"), "closed");
    let opened = client.post("/admin/breakers", &[], r#"{"model":"alpha","action":"open"}"#).json();
    assert_eq!((state(&opened, "alpha"), state(&opened, "beta")), ("open".to_owned(), "closed".to_owned()));
    let event = opened["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&event["model"], &event["to"]), (&json!("alpha"), &json!("open")));
    for (body, status) in [
        (r#"{"model":"nope","action":"open"}"#, 404),
        (r#"{"model":"alpha","action":"explode"}"#, 400),
        (r#"{"model":"alpha"}"#, 400),
        (r#"{"model":"alpha","provider":"other","action":"open"}"#, 404),
        ("{", 400),
    ] {
        assert_eq!(client.post("/admin/breakers", &[], body).status, status, "{body}");
    }
    assert_eq!(client.call("POST", "/admin/breakers", &[], br#"{"model":"alpha","action":"reset"}"#).status, 415);
}

#[test]
fn the_list_of_models_is_what_the_key_may_ask_for() {
    let config = CONFIG.replace("  alpha:", "  vendor/tiny:x: { endpoints: [{ provider: sim }] }\n  gone: { endpoints: [{ provider: sim }], status: offline }\n  alpha:");
    let keyed = format!(
        "{config}
keys:
  - {{ id: all, secret: sk-all }}
  - {{ id: some, secret: sk-some, models: [alpha], routes: [cheap], stages: [draft] }}
"
    );
    let gateway = Gateway::start(&keyed);
    let mut client = gateway.client();
    let mut ids = |key: &str| -> Vec<String> {
        let list = client.call("GET", "/v1/models", &[("authorization", key)], b"").json();
        assert_eq!(list["object"], "list");
        let data = list["data"].as_array().unwrap();
        assert!(data.iter().all(|m| m["object"] == "model" && m["owned_by"].is_string() && m["created"].is_number()));
        data.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        ids("Bearer sk-all"),
        [
            "vendor/tiny:x",
            "alpha",
            "beta",
            "gamma",
            "route/cheap",
            "route/split",
            "route/small",
            "stage/draft",
            "stage/review",
            "auto"
        ]
    );
    assert_eq!(ids("Bearer sk-some"), ["alpha", "route/cheap", "stage/draft", "auto"]);
    for (key, id, status) in [
        ("Bearer sk-all", "vendor/tiny:x", 200),
        ("Bearer sk-all", "vendor%2Ftiny%3Ax", 200),
        ("Bearer sk-all", "route/cheap", 200),
        ("Bearer sk-all", "auto", 200),
        ("Bearer sk-all", "gone", 404),
        ("Bearer sk-some", "vendor/tiny:x", 404),
        ("Bearer sk-some", "route/split", 404),
        ("Bearer sk-some", "alpha", 200),
    ] {
        let reply = client.call("GET", &format!("/v1/models/{id}"), &[("authorization", key)], b"");
        assert_eq!(reply.status, status, "{key} {id}: {}", reply.text());
        if status == 200 {
            assert_eq!(reply.json()["id"], id.replace("%2F", "/").replace("%3A", ":"));
        }
    }
}

#[test]
fn a_probe_may_ask_with_head() {
    let gateway = Gateway::start(CONFIG);
    for path in ["/healthz", "/readyz"] {
        let mut client = gateway.client();
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        let head = client.head().unwrap();
        assert_eq!((head.status, head.header("content-type")), (200, Some("application/json")));
        // No body follows: the next answer begins at once.
        assert_eq!(client.get("/healthz").json()["status"], "ok");
    }
}
