//! Vertex: access tokens from a token server, before a request to the provider.

use crate::harness::{Gateway, ask, soon};
use crate::upstream::{Door, Script, Upstream};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use waypost::snapshot::Snapshot;
use waypost::upstream::{Auth, Call, Outgoing, Pool, SendError, Shared, Target};
use waypost_core::config::{self, Config};
use waypost_core::registry::Dialect;

const KEY: &str = include_str!("../fixtures/google/throwaway_key.pem");
const PATH: &str = "/models/m:generateContent";

/// A provider, a token server, and the file that names it.
struct Vertex {
    provider: Upstream,
    tokens: Upstream,
    folder: TempDir,
}

impl Vertex {
    async fn with(scripts: impl IntoIterator<Item = Script>) -> Self {
        let (provider, tokens) = (Upstream::start().await, Upstream::with(scripts).await);
        let vertex = Self { provider, tokens, folder: tempfile::tempdir().unwrap() };
        vertex.write(json!({ "type": "service_account", "private_key": KEY, "client_email": "me@p" }));
        vertex
    }

    fn write(&self, mut file: Value) {
        file["token_uri"] = format!("{}/token", self.tokens.url()).into();
        std::fs::write(self.folder.path().join("key.json"), file.to_string()).unwrap();
    }

    fn config(&self) -> Config {
        let (file, url) = (self.folder.path().join("key.json"), self.provider.url());
        let vertex = format!("project: p, location: eu, base_url: '{url}', credentials_file: '{}'", file.display());
        let text = format!("providers: {{ vertex: {{ {vertex} }} }}\nmodels: {{ m: {{}} }}");
        config::parse(&text, &|_| None, waypost::reload::today()).unwrap().config
    }

    fn target(&self, shared: &mut Shared) -> Target {
        Target::new(shared, &self.config().registry.providers[0], Dialect::Gemini, None).unwrap()
    }
}

fn token(name: &str, life: u32) -> Script {
    Script::json(200, json!({ "access_token": name, "expires_in": life, "token_type": "Bearer" }).to_string())
}

/// The status of one call, read to its end.
async fn call(pool: &Arc<Pool>, target: &Target) -> Result<u16, SendError> {
    let outgoing = Outgoing::new(target.uri(Call::Path(PATH), "m").unwrap(), Bytes::from_static(b"{}"));
    let sent = soon("a call", pool.send(target, outgoing, Duration::from_secs(5))).await;
    let (response, connection) = sent?;
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    connection.give_back();
    Ok(status)
}

fn bearers(provider: &Upstream) -> Vec<String> {
    provider.requests().iter().map(|r| r.header("authorization").unwrap_or("none").to_owned()).collect()
}

#[tokio::test]
async fn one_token_serves_many_requests() {
    let vertex = Vertex::with([token("t1", 3600)]).await;
    let (pool, target) = (Arc::new(Pool::new(Arc::default())), vertex.target(&mut Shared::default()));
    for _ in 0..3 {
        assert_eq!(call(&pool, &target).await.unwrap(), 200);
    }
    assert_eq!(bearers(&vertex.provider), ["Bearer t1", "Bearer t1", "Bearer t1"]);
    let line = "POST /v1/projects/p/locations/eu/publishers/google/models/m:generateContent HTTP/1.1";
    assert_eq!(vertex.provider.requests()[0].line, line);
    let asked = vertex.tokens.only();
    assert_eq!(asked.line, "POST /v1/token HTTP/1.1");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(asked.text().contains("jwt-bearer&assertion=ey"), "{}", asked.text());
}

#[tokio::test]
async fn a_token_that_ends_is_fetched_anew_and_a_user_s_project_is_named() {
    let vertex = Vertex::with([token("t1", 0), token("t2", 3600)]).await;
    let user = json!({ "type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r" });
    let mut with_project = user.clone();
    with_project["quota_project_id"] = "q".into();
    vertex.write(with_project);
    let (pool, target) = (Arc::new(Pool::new(Arc::default())), vertex.target(&mut Shared::default()));
    for _ in 0..3 {
        assert_eq!(call(&pool, &target).await.unwrap(), 200);
    }
    assert_eq!(bearers(&vertex.provider), ["Bearer t1", "Bearer t2", "Bearer t2"]);
    assert_eq!(vertex.provider.requests()[0].header("x-goog-user-project"), Some("q"));
    let form = "grant_type=refresh_token&client_id=i&client_secret=s&refresh_token=r";
    assert!(vertex.tokens.requests().iter().all(|r| r.text() == form));
}

#[tokio::test]
async fn many_requests_ask_for_one_token() {
    let door = Door::default();
    let vertex = Vertex::with([token("t1", 3600).after(&door)]).await;
    let (pool, target) = (Arc::new(Pool::new(Arc::default())), Arc::new(vertex.target(&mut Shared::default())));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (pool, target) = (pool.clone(), target.clone());
            tokio::spawn(async move { call(&pool, &target).await.unwrap() })
        })
        .collect();
    vertex.tokens.until("a request for a token", |seen| !seen.requests.is_empty()).await;
    door.open();
    for call in calls {
        assert_eq!(soon("an answer", call).await.unwrap(), 200);
    }
    assert_eq!((vertex.tokens.count(), vertex.provider.count()), (1, 8));
}

/// The one that fetches goes away: the next one fetches, and nobody hangs.
#[tokio::test]
async fn a_request_that_leaves_does_not_take_the_token_with_it() {
    let vertex = Vertex::with([token("never", 3600).after(&Door::default()), token("t2", 3600)]).await;
    let (pool, target) = (Arc::new(Pool::new(Arc::default())), Arc::new(vertex.target(&mut Shared::default())));
    let first = tokio::spawn({
        let (pool, target) = (pool.clone(), target.clone());
        async move { call(&pool, &target).await.map(drop) }
    });
    vertex.tokens.until("a request for a token", |seen| seen.requests.len() == 1).await;
    first.abort();
    assert_eq!(call(&pool, &target).await.unwrap(), 200);
    assert_eq!(bearers(&vertex.provider), ["Bearer t2"]);
}

#[tokio::test]
async fn a_refusal_is_clear_and_not_asked_for_again_at_once() {
    let body = json!({ "error": "invalid_grant", "error_description": "Invalid signature for r-secret." }).to_string();
    for (script, said, is_refused) in [
        (Script::json(400, &body), "status 400 Bad Request, invalid_grant: Invalid signature for ***.", true),
        (Script::json(503, "{}"), "status 503 Service Unavailable", false),
        (
            Script::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").then(crate::upstream::Act::Close),
            "broke off",
            false,
        ),
        (Script::default().then(crate::upstream::Act::Close), "the connection broke", false),
    ] {
        let vertex = Vertex::with([script, token("t2", 3600)]).await;
        let user =
            json!({ "type": "authorized_user", "client_id": "i", "client_secret": "s1", "refresh_token": "r-secret" });
        vertex.write(user);
        let (pool, target) = (Arc::new(Pool::new(Arc::default())), vertex.target(&mut Shared::default()));
        for _ in 0..2 {
            let error = call(&pool, &target).await.unwrap_err();
            let SendError::Credentials(e) = &error else { panic!("{error}") };
            assert!(e.message.starts_with("no access token from 127.0.0.1: ") && e.message.contains(said), "{e:?}");
            assert_eq!(e.refused, is_refused);
            assert!(!error.to_string().contains("r-secret"), "{error}");
        }
        assert_eq!((vertex.tokens.count(), vertex.provider.count()), (1, 0));
    }
}

#[tokio::test]
async fn a_reload_keeps_the_token_of_a_file_that_did_not_change() {
    let vertex = Vertex::with([]).await;
    let account = |target: &Target| match &target.auth {
        Auth::Google(account) => account.clone(),
        other => panic!("{other:?}"),
    };
    let mut shared = Shared::default();
    let (one, two) = (vertex.target(&mut shared), vertex.target(&mut shared));
    assert!(Arc::ptr_eq(&account(&one), &account(&two)), "one account for all endpoints");
    let reloaded = vertex.target(&mut Shared::of([&one, &two]));
    assert!(Arc::ptr_eq(&account(&one), &account(&reloaded)) && Arc::ptr_eq(&one.origin, &reloaded.origin));
    vertex.write(json!({ "type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r" }));
    let changed = vertex.target(&mut Shared::of([&reloaded]));
    assert!(!Arc::ptr_eq(&account(&one), &account(&changed)));
}

#[tokio::test]
async fn a_file_that_is_none_is_said_before_anything_is_served() {
    let vertex = Vertex::with([]).await;
    std::fs::remove_file(vertex.folder.path().join("key.json")).unwrap();
    let errors = Snapshot::build(vertex.config(), None).map(drop).unwrap_err();
    let is_said = errors[0].starts_with("providers.vertex: credentials_file ") && errors[0].contains("key.json: ");
    assert!(errors.len() == 1 && is_said, "{errors:?}");
}

#[tokio::test]
async fn a_token_that_a_provider_repeats_goes_no_further() {
    let vertex = Vertex::with([token("ya29.secret", 3600)]).await;
    let error =
        json!({"error": {"code": 400, "message": "bad header: Bearer ya29.secret", "status": "INVALID_ARGUMENT"}});
    vertex.provider.then_always(Script::json(400, error.to_string()));
    let (file, url) = (vertex.folder.path().join("key.json"), vertex.provider.url());
    let gateway = Gateway::start(&format!(
        "providers: {{ vertex: {{ project: p, location: eu, base_url: '{url}', credentials_file: '{}' }} }}\n\
         models: {{ m: {{ endpoints: [{{ provider: vertex }}] }} }}\n",
        file.display()
    ));
    let reply = gateway.post(&ask("m")).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("Bearer ***"), "{}", reply.text());
}
