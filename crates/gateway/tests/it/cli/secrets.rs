//! Secrets and prompts stay where they belong: nothing of them is in the log at its most talkative, nor in the ledger;
//! the caller's credentials and the `waypost` member never reach a provider.

use super::gateway::{Folder, Gateway};
use super::http::chat;
use super::upstream::{Came, GOOD, Upstream};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

const PROVIDER_KEY: &str = "sk-provider-3141592653";
const PROVIDER_HEADER: &str = "header-secret-2718281828";
const CLIENT_KEY: &str = "sk-client-1618033988";
const WRONG_KEY: &str = "sk-wrong-1414213562";
const ADMIN_TOKEN: &str = "admin-token-1732050807";
const PROMPT: &str = "the patient in room twelve is called Rumpelstiltskin";

/// Echoes what it should not, as real providers do in their errors.
fn echo(came: &Came) -> (u16, String) {
    let body: Value = serde_json::from_str(&came.body).unwrap();
    let prompt = body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    let key = came.header("authorization").unwrap_or_default().to_owned();
    let status = match body["model"].as_str().unwrap() {
        "refused" => 401,
        "forbidden" => 403,
        "missing" => 404,
        "broken" => 500,
        "mistaken" => 400,
        _ => return (200, GOOD.to_owned()),
    };
    let message = format!("Incorrect API key provided: {key}. Your message was: {prompt}");
    (status, json!({"error": {"message": message, "type": "x", "param": null, "code": "y"}}).to_string())
}

fn config(upstream: &Upstream) -> String {
    let model = |name: &str| format!("  {name}: {{ endpoints: [{{ provider: up }}], context_window: 8000 }}\n");
    let models: String = ["good", "refused", "forbidden", "missing", "broken", "mistaken"].map(model).concat();
    format!(
        "server: {{ workers: 1, admin_token: {ADMIN_TOKEN} }}
storage: sqlite:waypost.db
execution: {{ max_retry_wait: 0s, breaker: {{ consecutive_failures: 1000, min_requests: 1000 }} }}
keys: [{{ id: team-a, secret: {CLIENT_KEY} }}]
providers:
  up: {{ dialect: openai, base_url: 'http://{}/v1', api_key: {PROVIDER_KEY}, headers: {{ x-account: {PROVIDER_HEADER} }} }}
models:
{models}",
        upstream.address
    )
}

#[test]
fn no_log_and_no_ledger_holds_a_secret_or_a_prompt() {
    let upstream = Upstream::start(echo);
    let folder = Folder::new();
    folder.write("gateway.yaml", &config(&upstream));
    let gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml"], &[("WAYPOST_LOG", "trace")]);
    let mut client = gateway.client();
    let bearer = format!("Bearer {CLIENT_KEY}");
    let key = [("authorization", bearer.as_str())];
    for model in ["good", "refused", "forbidden", "missing", "broken", "mistaken", "auto", "unknown"] {
        for stream in [false, true] {
            let more = json!({"stream": stream, "waypost": {"session": "s", "tags": {"a": "b"}}});
            let reply = client.chat(&key, &chat(model, PROMPT, more));
            for secret in [PROVIDER_KEY, PROVIDER_HEADER, CLIENT_KEY] {
                assert!(!reply.text().contains(secret), "{model}: {}", reply.text());
            }
        }
    }
    // Refusals of every kind, and a prompt that is too long, is no JSON, or stands where it should not.
    let long = PROMPT.repeat(2000);
    client.chat(&key, &chat("good", &long, json!({})));
    client.chat(&key, &format!("{{\"messages\": \"{PROMPT}\""));
    client.chat(&key, &chat("good", PROMPT, json!({"n": 0})));
    client.chat(&key, &chat("good", PROMPT, json!({"stream": PROMPT})));
    client.chat(&[("authorization", &format!("Bearer {WRONG_KEY}"))], &chat("good", PROMPT, json!({})));
    client.chat(&[("x-api-key", WRONG_KEY)], &chat("good", PROMPT, json!({})));
    client.call("GET", "/admin/breakers", &[("authorization", &format!("Bearer {WRONG_KEY}"))], b"");
    let admin = format!("Bearer {ADMIN_TOKEN}");
    assert_eq!(client.call("GET", "/admin/breakers", &[("authorization", &admin)], b"").status, 200);
    assert_eq!(client.post("/admin/reload", &[("authorization", &admin)], "{}").status, 200);
    // HTTP/2 has a stack of its own that logs.
    over_http2(&gateway, &chat("good", PROMPT, json!({})));

    gateway.signal("TERM");
    let (status, lines, folder) = gateway.ended();
    assert!(status.success());
    let log = lines.join("\n");
    assert!(log.contains("TRACE") && log.contains("refuses this gateway"), "the log is at its most talkative: {log}");
    for secret in [PROVIDER_KEY, PROVIDER_HEADER, CLIENT_KEY, WRONG_KEY, ADMIN_TOKEN, PROMPT, "Rumpelstiltskin"] {
        let line = lines.iter().find(|l| l.contains(secret));
        assert_eq!(line, None, "`{secret}` is in the log");
    }
    assert!(folder.ledger().recent(1000).unwrap().len() >= 16);
    for file in ["waypost.db", "waypost.db-wal", "waypost.db-shm"] {
        let Ok(bytes) = std::fs::read(folder.path(file)) else { continue };
        for secret in [PROVIDER_KEY, PROVIDER_HEADER, CLIENT_KEY, WRONG_KEY, ADMIN_TOKEN, PROMPT, "Rumpelstiltskin"] {
            assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "`{secret}` is in {file}");
        }
    }
}

fn over_http2(gateway: &Gateway, body: &str) {
    let request = ::http::Request::post(format!("{}/v1/chat/completions", gateway.url()))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {CLIENT_KEY}"))
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let reply = client.request(request).await.unwrap();
        assert_eq!((reply.status(), reply.version()), (::http::StatusCode::OK, ::http::Version::HTTP_2));
        assert_eq!(reply.headers()["x-waypost-model"], "good");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, GOOD);
    });
}

/// Beside the log and the ledger: what goes upstream is the provider's own key and the body without our member.
#[test]
fn what_reaches_the_provider_is_the_request_and_nothing_else() {
    let upstream = Upstream::start(echo);
    let gateway = Gateway::start(&config(&upstream));
    let bearer = format!("Bearer {CLIENT_KEY}");
    let messages = r#"[{"role":"user","content":"hi"}]"#;
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-api-key", CLIENT_KEY),
        ("cookie", "session=abc"),
        ("x-waypost-session", "s"),
        ("x-forwarded-for", "10.0.0.1"),
    ];
    for (sent, forwarded) in [
        (
            format!(r#"{{"model":"good","waypost":{{"tags":{{"a":"b"}}}},"messages":{messages},"x-new": 1.50}}"#),
            format!(r#"{{"model":"good","messages":{messages},"x-new": 1.50}}"#),
        ),
        (
            format!(r#"{{"waypost":{{}},"model":"good","messages":{messages}}}"#),
            format!(r#"{{"model":"good","messages":{messages}}}"#),
        ),
        (
            format!(r#"{{"model":"good","messages":{messages},"waypost":{{"session":"s"}}}}"#),
            format!(r#"{{"model":"good","messages":{messages}}}"#),
        ),
    ] {
        assert_eq!(gateway.chat(&headers, &sent).status, 200);
        let came = upstream.came().pop().unwrap();
        assert_eq!(came.body, forwarded);
        assert_eq!(came.header("authorization"), Some(format!("Bearer {PROVIDER_KEY}").as_str()));
        assert_eq!(came.header("x-account"), Some(PROVIDER_HEADER));
        for (name, value) in &came.headers {
            assert!(!value.contains(CLIENT_KEY) && !name.starts_with("x-waypost"), "{name}: {value}");
        }
        for name in ["cookie", "x-api-key", "x-forwarded-for"] {
            assert_eq!(came.header(name), None);
        }
    }
}
