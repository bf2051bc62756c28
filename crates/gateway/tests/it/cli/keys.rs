//! Keys and limits at run time: the admin API and the command line on one storage, several gateways on it, and what must
//! never open a door.

use super::gateway::{CONFIG, Folder, Gateway, wait_until};
use super::http::{Client, Reply, chat};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn ask(client: &mut Client, method: &str, path: &str, body: &Value) -> Reply {
    client.call(method, path, &[JSON], body.to_string().as_bytes())
}

/// Makes a key; its secret.
#[track_caller]
fn create(client: &mut Client, body: &Value) -> String {
    let reply = ask(client, "POST", "/admin/keys", body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["secret"].as_str().expect("a new key shows its secret").to_owned()
}

/// Status and message of a request with this secret; the message is empty where it is good.
fn tried(client: &mut Client, secret: &str) -> (u16, String) {
    let reply = client.call("GET", "/v1/models", &[("authorization", &format!("Bearer {secret}"))], b"");
    let message = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    (reply.status, message)
}

fn good(client: &mut Client, secret: &str) -> bool {
    tried(client, secret).0 == 200
}

/// Sends a chat request with this secret; status and code.
fn chatted(client: &mut Client, secret: &str, model: &str) -> (u16, String) {
    let reply = client.chat(&[("authorization", &format!("Bearer {secret}"))], &chat(model, "hello", json!({})));
    (reply.status, reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn on(storage: &str) -> String {
    CONFIG.replace("sqlite:waypost.db", storage)
}

#[test]
fn a_key_lives_from_its_creation_to_its_end() {
    let gateway = Gateway::start(&(CONFIG.to_owned() + "keys: [{ id: conf, secret: sk-conf }]\n"));
    let mut client = gateway.client();
    let made = json!({"id": "app", "team": "t", "tags": {"x": "y"}, "models": ["alpha"], "limits": {"usd_per_day": 5}});
    let secret = create(&mut client, &made);
    assert!(secret.starts_with("wp-") && secret.len() == 3 + 43, "{}", secret.len());
    assert!(good(&mut client, &secret) && good(&mut client, "sk-conf"));
    assert_eq!(chatted(&mut client, &secret, "alpha").0, 200);
    assert_eq!(chatted(&mut client, &secret, "beta"), (403, "not_allowed".to_owned()));

    // Changed: what is not named stays.
    let changed = ask(&mut client, "PATCH", "/admin/keys/app", &json!({"models": null, "team": "u"})).json();
    assert_eq!((&changed["team"], &changed["models"], &changed["tags"]["x"]), (&json!("u"), &Value::Null, &json!("y")));
    assert_eq!(chatted(&mut client, &secret, "beta").0, 200);
    ask(&mut client, "PATCH", "/admin/keys/app", &json!({"enabled": false}));
    assert_eq!(tried(&mut client, &secret), (401, "the key `app` is disabled".to_owned()));
    ask(&mut client, "PATCH", "/admin/keys/app", &json!({"enabled": true}));

    // Rotated: with grace both secrets are good, without only the new one.
    let second = ask(&mut client, "POST", "/admin/keys/app/rotate", &json!({"grace": "1h"})).json();
    let second = second["secret"].as_str().unwrap().to_owned();
    assert!(good(&mut client, &secret) && good(&mut client, &second) && secret != second);
    let third =
        client.call("POST", "/admin/keys/app/rotate", &[JSON], b"").json()["secret"].as_str().unwrap().to_owned();
    assert!(good(&mut client, &third));
    assert_eq!(tried(&mut client, &secret), (401, "the key is not known to this gateway".to_owned()));
    let (status, said) = tried(&mut client, &second);
    assert!(status == 401 && said.starts_with("the key `app` has a new secret"), "{said}");

    // Shown without any secret, with the configuration's.
    let list = client.get("/admin/keys");
    let ids: Vec<String> = list.json()["keys"].as_array().unwrap().iter().map(|k| k["id"].to_string()).collect();
    assert_eq!(ids, ["\"conf\"", "\"app\""]);
    for shown in [list, client.get("/admin/keys/app"), client.get("/admin/audit")] {
        assert!(![&secret, &second, &third, "sk-conf"].iter().any(|s| shown.text().contains(*s)), "{}", shown.text());
        assert!(!shown.text().contains("hash"), "{}", shown.text());
    }

    // Expired, and revoked for good.
    ask(&mut client, "PATCH", "/admin/keys/app", &json!({"expires": "2020-01-01T00:00:00Z"}));
    assert_eq!(tried(&mut client, &third), (401, "the key `app` expired at 2020-01-01T00:00:00Z".to_owned()));
    ask(&mut client, "PATCH", "/admin/keys/app", &json!({"expires": null}));
    assert!(good(&mut client, &third));
    for _ in 0..2 {
        assert_eq!(client.call("DELETE", "/admin/keys/app", &[], b"").status, 200);
        assert_eq!(tried(&mut client, &third), (401, "the key `app` was revoked".to_owned()));
    }
    assert_eq!(ask(&mut client, "PATCH", "/admin/keys/app", &json!({"enabled": true})).status, 409);
    assert_eq!(ask(&mut client, "POST", "/admin/keys/app/rotate", &json!({})).status, 409);
    assert_eq!(ask(&mut client, "POST", "/admin/keys", &json!({"id": "app"})).status, 409);

    // Every change is in the audit, once, with who made it.
    let audit = client.get("/admin/audit?limit=1000").json();
    let rows = audit["audit"].as_array().unwrap();
    let actions: Vec<&str> = rows.iter().rev().map(|r| r["action"].as_str().unwrap()).collect();
    let update = "key.update";
    assert_eq!(
        actions,
        ["key.create", update, update, update, "key.rotate", "key.rotate", update, update, "key.revoke"]
    );
    assert!(
        rows.iter().all(|r| r["actor"].as_str().unwrap().starts_with("admin 127.0.0.1:") && r["target"] == "key/app")
    );
    assert_eq!(
        (&rows[8]["before"], &rows[7]["before"]["team"], &rows[7]["after"]["team"]),
        (&Value::Null, &json!("t"), &json!("u"))
    );
    assert_eq!(client.get("/admin/audit?limit=1").json()["audit"].as_array().unwrap().len(), 1);

    // No log has a secret of them.
    let (_, lines, folder) = {
        gateway.signal("TERM");
        gateway.ended()
    };
    assert!(!lines.iter().any(|line| [&secret, &second, &third].iter().any(|s| line.contains(*s))), "{lines:#?}");
    for name in ["waypost.db", "waypost.db-wal"] {
        let bytes = std::fs::read(folder.path(name)).unwrap_or_default();
        assert!(!bytes.windows(40).any(|w| third.as_bytes().windows(40).any(|s| s == w)), "{name}");
    }
}

#[test]
fn a_key_expires_by_itself() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    // In whole milliseconds, as it is kept.
    let end = jiff::Timestamp::from_millisecond(jiff::Timestamp::now().as_millisecond() + 1500).unwrap();
    let secret = create(&mut client, &json!({"id": "brief", "expires": end.to_string()}));
    assert!(good(&mut client, &secret));
    wait_until("the key expires", || !good(&mut client, &secret));
    assert!(jiff::Timestamp::now() >= end);
    assert!(tried(&mut client, &secret).1.starts_with("the key `brief` expired at "));
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let gateway = Gateway::start(&(CONFIG.to_owned() + "keys: [{ id: conf, secret: sk-conf }]\n"));
    let mut client = gateway.client();
    create(&mut client, &json!({"id": "app"}));
    let before = client.get("/admin/keys").text().to_owned();
    let long = "x".repeat(65);
    for (method, path, body, status, said) in [
        ("POST", "/admin/keys", json!({"id": "a b"}), 400, "id: expected 1 to 64 of the characters"),
        ("POST", "/admin/keys", json!({"id": long}), 400, "id: expected 1 to 64"),
        ("POST", "/admin/keys", json!({"id": ""}), 400, "id: expected 1 to 64"),
        ("POST", "/admin/keys", json!({"id": ".."}), 400, "not dots alone"),
        ("POST", "/admin/keys", json!({"id": 7}), 400, "id: expected text"),
        ("POST", "/admin/keys", json!({"id": "x'; DROP TABLE client_keys; --"}), 400, "id: expected 1 to 64"),
        ("POST", "/admin/keys", json!({"id": "x\r\nx-admin: 1"}), 400, "id: expected 1 to 64"),
        ("POST", "/admin/keys", json!({"id": "conf"}), 409, "one of the configuration"),
        ("POST", "/admin/keys", json!({"id": "app"}), 409, "there is a key `app` already"),
        ("POST", "/admin/keys", json!({"colour": "red"}), 400, "colour: unknown key"),
        ("POST", "/admin/keys", json!({"secret": "sk"}), 400, "secret: unknown key"),
        ("POST", "/admin/keys", json!({"team": "t\r\nset-cookie: a"}), 400, "team: must not hold control characters"),
        ("POST", "/admin/keys", json!({"tags": {"a\u{0}": "b"}}), 400, "tags: must not hold control characters"),
        ("POST", "/admin/keys", json!({"models": ["alhpa"]}), 400, "did you mean `alpha`?"),
        ("POST", "/admin/keys", json!({"routes": ["chaep"]}), 400, "did you mean `cheap`?"),
        ("POST", "/admin/keys", json!({"stages": ["drfat"]}), 400, "did you mean `draft`?"),
        ("POST", "/admin/keys", json!({"package": "fre"}), 400, "did you mean `free`?"),
        ("POST", "/admin/keys", json!({"limits": {"usd_per_day": -1}}), 400, "limits.usd_per_day: must be between 0"),
        ("POST", "/admin/keys", json!({"limits": {"usd_per_day": 1e18}}), 400, "limits.usd_per_day: must be between 0"),
        ("POST", "/admin/keys", json!({"limits": {"tokens_per_day": u64::MAX}}), 400, "limits.tokens_per_day: must be"),
        ("POST", "/admin/keys", json!({"expires": "2020-01-01"}), 400, "expires: 2020-01-02T00:00:00Z has passed"),
        ("POST", "/admin/keys", json!([1]), 400, "expected a mapping"),
        ("PATCH", "/admin/keys/app", json!({"id": "other"}), 400, "id: unknown key"),
        ("PATCH", "/admin/keys/conf", json!({"team": "t"}), 409, "one of the configuration"),
        ("PATCH", "/admin/keys/ap", json!({"team": "t"}), 404, "did you mean `app`?"),
        ("DELETE", "/admin/keys/x'%20OR%20'1'='1", json!({}), 404, "there is no key `x\\' OR \\'1\\'=\\'1`"),
        ("DELETE", "/admin/keys/conf", json!({}), 409, "one of the configuration"),
        ("GET", "/admin/keys/a%0d%0ax: 1", json!({}), 404, "there is no key `a\\r\\nx: 1`"),
        ("POST", "/admin/keys/app/rotate", json!({"grace": "soon"}), 400, "grace: expected a duration"),
        ("POST", "/admin/keys/app/rotate", json!({"grace": "99999h"}), 400, "grace: must not be longer than 30 days"),
        ("POST", "/admin/keys/app/rotate", json!({"until": 1}), 400, "until: unknown key"),
        ("PUT", "/admin/keys/app", json!({}), 405, "takes GET, PATCH, DELETE"),
        ("GET", "/admin/keys/app/rotate", json!({}), 405, "takes POST"),
        ("PUT", "/admin/limits", json!({"usd_per_day": 1}), 400, "name the scope"),
        ("PUT", "/admin/limits?scope=everything", json!({"usd_per_day": 1}), 400, "`everything` is no scope"),
        ("PUT", "/admin/limits/key%2Fap", json!({"usd_per_day": 1}), 400, "did you mean `app`?"),
        ("PUT", "/admin/limits/model%2Falhpa", json!({"usd_per_day": 1}), 400, "did you mean `alpha`?"),
        ("PUT", "/admin/limits/global'; DELETE FROM audit", json!({"usd_per_day": 1}), 400, "is no scope"),
        ("PUT", "/admin/limits/team%2Fa%0ab", json!({"usd_per_day": 1}), 400, "no control characters"),
        ("PUT", "/admin/limits/global", json!({"usd_per_day": -5}), 400, "usd_per_day: must be between 0"),
        ("PUT", "/admin/limits/global", json!({"usd_a_day": 5}), 400, "did you mean `usd_per_day`?"),
        ("PUT", "/admin/limits/global", json!({}), 400, "name at least one limit"),
        ("DELETE", "/admin/limits/global", json!({}), 404, "nothing was set at run time for `global`"),
        ("POST", "/admin/limits", json!({}), 405, "takes GET, PUT, DELETE"),
        ("GET", "/admin/audit?limit=0", json!({}), 400, "1 to 1000"),
        ("GET", "/admin/audit?limit=1;DROP TABLE audit", json!({}), 400, "1 to 1000"),
        ("POST", "/admin/audit", json!({}), 405, "takes GET"),
    ] {
        let reply = ask(&mut client, method, &path.replace(' ', "%20"), &body);
        assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.text());
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(said), "{method} {path} {body}: {message}");
    }
    for (headers, body, status) in [
        (&[JSON][..], &b"{\"id\":"[..], 400),
        (&[JSON], b"\xff\xfe", 400),
        (&[("content-type", "text/plain")], b"{}", 415),
        (&[JSON, ("origin", "https://evil.example")], b"{}", 403),
        (&[JSON], &[b' '; 65 << 10], 413),
    ] {
        assert_eq!(gateway.client().call("POST", "/admin/keys", headers, body).status, status);
    }
    assert_eq!(client.get("/admin/keys").text(), before, "nothing was changed");
    assert_eq!(client.get("/admin/audit").json()["audit"].as_array().unwrap().len(), 1);
}

#[test]
fn secrets_of_odd_lengths_and_bytes_are_plainly_unknown() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let secret = create(&mut client, &json!({"id": "app"}));
    let others = [
        "wp-".into(),
        secret[..45].into(),
        format!("{secret}A"),
        secret.to_uppercase(),
        "x".repeat(8000),
        "' OR '1'='1".into(),
        "app".into(),
    ];
    for other in others {
        assert_eq!(tried(&mut client, &other), (401, "the key is not known to this gateway".to_owned()), "{other}");
    }
    let raw = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer \xc3\x28\xff\r\n\r\n";
    client.send(raw).unwrap();
    assert_eq!(client.reply().status, 401);
    assert_eq!((tried(&mut client, "").0, client.get("/v1/models").status), (401, 401));
    gateway.not_logged(0, &secret[..20]);
}

/// Whoever was given a key once keeps the door closed: on loopback too, after its end, and after a restart.
#[test]
fn a_gateway_whose_last_key_was_revoked_does_not_fall_open() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    assert_eq!(client.get("/v1/models").status, 200, "without any key everybody is let in on loopback");
    let secret = create(&mut client, &json!({"id": "app"}));
    assert_eq!(client.get("/v1/models").status, 401);
    client.call("DELETE", "/admin/keys/app", &[], b"");
    assert_eq!((client.get("/v1/models").status, tried(&mut client, &secret).0), (401, 401));
    let gateway = Gateway::in_folder(gateway.stop(), &["--config", "gateway.yaml"], &[]);
    assert_eq!(gateway.get("/v1/models").status, 401);
    assert_eq!(tried(&mut gateway.client(), &secret), (401, "the key `app` was revoked".to_owned()));
}

/// A stored key is as good as a configured one for a listener that faces the network.
#[test]
fn a_stored_key_opens_the_listener() {
    let folder = Folder::new();
    folder.write("gateway.yaml", &CONFIG.replace("127.0.0.1:0", "0.0.0.0:0"));
    let refused = folder.run(&["check", "gateway.yaml"]);
    assert!(refused.code == 1 && refused.err.contains("beyond loopback needs `keys`"), "{refused:?}");
    let secret = folder.run(&["key", "create", "--config", "gateway.yaml", "--id", "first"]).good();
    folder.run(&["check", "gateway.yaml"]).good();
    let gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml", "--listen", "0.0.0.0:0"], &[]);
    assert!(good(&mut gateway.client(), secret.trim()));
    assert_eq!(gateway.get("/v1/models").status, 401);
}

/// What one gateway changes holds at the other within a few seconds, and at both after a restart.
fn two_gateways_share(storage: &str) {
    let (one, two) = (Gateway::start(&on(storage)), Gateway::start(&on(storage)));
    let (mut a, mut b) = (one.client(), two.client());
    let secret = create(&mut a, &json!({"id": "app", "limits": {"requests_per_minute": 1_000_000}}));
    // Known at both: the pepper is shared.
    wait_until("the other gateway asks for keys", || !good(&mut b, "wp-unknown"));
    assert!(good(&mut b, &secret));
    let rotated = ask(&mut b, "POST", "/admin/keys/app/rotate", &json!({}));
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let rotated = rotated.json()["secret"].as_str().unwrap().to_owned();
    wait_until("the old secret is refused", || !good(&mut a, &secret));
    assert!(good(&mut a, &rotated));
    let kept = create(&mut b, &json!({"id": "kept"}));

    ask(&mut a, "PUT", "/admin/limits?scope=key/app", &json!({"requests_per_minute": 0}));
    assert_eq!(chatted(&mut a, &rotated, "alpha").0, 429);
    wait_until("the limit holds at the other gateway", || chatted(&mut b, &rotated, "alpha").0 == 429);
    assert_eq!(b.call("DELETE", "/admin/limits/key%2Fapp", &[], b"").status, 200);
    assert_eq!(chatted(&mut b, &rotated, "alpha").0, 200);

    assert_eq!(a.call("DELETE", "/admin/keys/app", &[], b"").status, 200);
    assert!(!good(&mut a, &rotated));
    wait_until("the revocation reaches the other gateway", || !good(&mut b, &rotated));
    assert_eq!(tried(&mut b, &rotated), (401, "the key `app` was revoked".to_owned()));
    let actions = |client: &mut Client| -> Vec<String> {
        let audit = client.get("/admin/audit").json();
        audit["audit"].as_array().unwrap().iter().map(|r| r["action"].as_str().unwrap().to_owned()).collect()
    };
    let wanted = ["key.revoke", "limit.unset", "limit.set", "key.create", "key.rotate", "key.create"];
    assert_eq!(
        (actions(&mut a), actions(&mut b)),
        (wanted.map(str::to_owned).to_vec(), wanted.map(str::to_owned).to_vec())
    );

    let again = Gateway::in_folder(one.stop(), &["--config", "gateway.yaml"], &[]);
    let mut client = again.client();
    assert!(good(&mut client, &kept) && !good(&mut client, &rotated));
    let shown = again.folder.run(&["key", "show", "kept", "--config", "gateway.yaml"]).good();
    assert!(shown.contains("\"active\""), "{shown}");
}

#[test]
fn two_gateways_on_one_sqlite_file_share_keys_and_limits() {
    let folder = Folder::new();
    two_gateways_share(&format!("sqlite:{}", folder.path("shared.db").display()));
}

#[test]
fn two_gateways_on_one_postgres_share_keys_and_limits() {
    let database = waypost_servers::postgres();
    two_gateways_share(database.url());
}

#[test]
fn configured_and_stored_keys_are_one_set() {
    let folder = Folder::new();
    folder.write("gateway.yaml", CONFIG);
    let stored = folder.run(&["key", "create", "--config", "gateway.yaml", "--id", "both"]).good();
    let taken = CONFIG.to_owned() + "keys: [{ id: both, secret: sk-conf }]\n";
    folder.write("gateway.yaml", &taken);
    let gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml"], &[]);
    gateway.logged(0, "the configuration's counts");
    let mut client = gateway.client();
    assert!(good(&mut client, "sk-conf") && !good(&mut client, stored.trim()));
    // Gone from the configuration, the stored one is there again.
    gateway.rewrite(CONFIG);
    gateway.logged(0, "configuration reloaded");
    assert!(!good(&mut client, "sk-conf") && good(&mut client, stored.trim()));
}

#[test]
fn a_package_and_limits_of_its_own_hold_for_a_stored_key() {
    let config = CONFIG.to_owned()
        + "gate: { packages: { tiny: { models: [alpha], limits: { requests_per_minute: 1 } }, off: { limits: { concurrency: 0 } } } }\n";
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    let secret = create(&mut client, &json!({"id": "app", "package": "tiny"}));
    assert_eq!(chatted(&mut client, &secret, "beta"), (403, "not_allowed".to_owned()));
    assert_eq!(chatted(&mut client, &secret, "alpha").0, 200);
    assert_eq!(chatted(&mut client, &secret, "alpha"), (429, "rate_limit_exceeded".to_owned()));
    ask(&mut client, "PATCH", "/admin/keys/app", &json!({"limits": {"requests_per_minute": 50}}));
    assert_eq!(chatted(&mut client, &secret, "alpha").0, 200);
    let other = create(&mut client, &json!({"id": "other", "package": "off"}));
    assert_eq!(chatted(&mut client, &other, "alpha").0, 429);
    // Lifted at run time, whatever the package says.
    ask(&mut client, "PUT", "/admin/limits/key%2Fother", &json!({"concurrency": null}));
    assert_eq!(chatted(&mut client, &other, "alpha").0, 200);
    let shown = client.get("/admin/limits").json();
    assert_eq!(shown["limits"][0]["configured"], json!({"concurrency": 0}));
    assert_eq!((&shown["limits"][0]["in_force"], &shown["limits"][0]["scope"]), (&json!({}), &json!("key/other")));
}

#[test]
fn the_command_line_works_on_the_storage_and_on_a_gateway() {
    let folder = Folder::new();
    folder.write("waypost.yaml", CONFIG);
    let missing = folder.run(&["key", "list"]);
    assert!(missing.code == 1 && missing.err.contains("no ledger at waypost.db"), "{missing:?}");
    let secret = folder.run(&["key", "create", "--id", "app", "--tag", "x=y", "--limit", "usd_per_day=5"]).good();
    assert_eq!((secret.trim().len(), secret.lines().count()), (46, 1));
    let wrong = folder.run(&["key", "create", "--model", "alhpa", "--limit", "usd_per_day=-1"]);
    assert!(wrong.code == 1 && wrong.out.is_empty() && wrong.err.contains("limits.usd_per_day: must be"), "{wrong:?}");
    let wrong = folder.run(&["key", "create", "--model", "alhpa"]);
    assert!(wrong.code == 1 && wrong.err.contains("did you mean `alpha`?"), "{wrong:?}");
    assert!(folder.run(&["key", "list"]).good().contains("app  active  stored"));
    assert_eq!(
        folder.run(&["limit", "set", "team/t", "usd_per_day=5", "concurrency=none"]).good(),
        "team/t: usd_per_day=5 concurrency=none\n"
    );
    let rotated = folder.run(&["key", "rotate", "app", "--grace", "1h"]).good();
    let gateway = Gateway::in_folder(folder, &[], &[]);
    let mut client = gateway.client();
    assert!(good(&mut client, secret.trim()) && good(&mut client, rotated.trim()));

    // The same over the admin API.
    let url = gateway.url();
    let run = |args: &[&str]| gateway.folder.run(&[args, &["--url", &url]].concat());
    let second = run(&["key", "create", "--id", "second"]).good();
    assert!(good(&mut client, second.trim()));
    assert!(run(&["key", "revoke", "second"]).good().starts_with("second is revoked since "));
    assert!(!good(&mut client, second.trim()));
    assert!(run(&["key", "list"]).good().contains("second  revoked"));
    let gone = run(&["key", "revoke", "secnod"]);
    assert!(gone.code == 1 && gone.err.contains("404") && gone.err.contains("did you mean `second`?"), "{gone:?}");
    assert!(run(&["limit", "list"]).good().contains("team/t"));
    assert_eq!(run(&["limit", "unset", "team/t"]).good(), "team/t: as configured\n");
    let audit: Value = serde_json::from_str(&run(&["audit", "list", "--json", "--limit", "3"]).good()).unwrap();
    let rows = audit["audit"].as_array().unwrap();
    let actions: Vec<&Value> = rows.iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["limit.unset", "key.revoke", "key.create"]);
    let folder = gateway.stop();
    let audit = folder.run(&["audit", "list"]).good();
    assert!(audit.lines().last().unwrap().contains("cli") && audit.contains("key.rotate"), "{audit}");
    assert!(![&secret, &rotated, &second].iter().any(|s| audit.contains(s.trim())), "{audit}");
}

#[test]
fn in_memory_only_the_running_gateway_has_keys() {
    let memory = on("memory").replace("workers: 2", "workers: 2, admin_token: admin-secret");
    let gateway = Gateway::start(&memory);
    let refused = gateway.folder.run(&["key", "list", "--config", "gateway.yaml"]);
    assert!(refused.code == 1 && refused.err.contains("--url"), "{refused:?}");
    let url = gateway.url();
    let refused = gateway.folder.run(&["key", "create", "--url", &url]);
    assert!(refused.code == 1 && refused.err.contains("401"), "{refused:?}");
    let made = gateway.folder.run(&["key", "create", "--url", &url, "--admin-token", "admin-secret"]).good();
    assert!(good(&mut gateway.client(), made.trim()));
}
