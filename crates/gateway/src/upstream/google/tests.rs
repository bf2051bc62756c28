use super::*;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

const KEY: &str = include_str!("../../../tests/fixtures/google/throwaway_key.pem");

fn service(more: Value) -> Value {
    let mut file = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "key-1", "private_key": KEY,
        "client_email": "gateway@p.iam.gserviceaccount.com", "token_uri": "https://127.0.0.1:1/token?x=1",
    });
    for (key, value) in more.as_object().expect("an object") {
        file[key] = value.clone();
    }
    file
}

fn user(more: Value) -> Value {
    let mut file = json!({
        "type": "authorized_user", "client_id": "id.apps", "client_secret": "hidden-one", "refresh_token": "hidden/two",
        "quota_project_id": "q",
    });
    for (key, value) in more.as_object().expect("an object") {
        file[key] = value.clone();
    }
    file
}

fn read(file: &[u8]) -> Result<Account, String> {
    let folder = tempfile::tempdir().expect("there is room for a file");
    let path = folder.path().join("credentials.json");
    std::fs::write(&path, file).expect("there is room for a file");
    Account::read(&path, &mut Shared::default())
}

#[test]
fn an_assertion_is_signed_and_says_who_asks() {
    let account = read(service(json!({})).to_string().as_bytes()).expect("the file is good");
    let form = account.credentials.form(1_700_000_000).expect("the key signs");
    let (grant, assertion) = form.body.split_once("&assertion=").expect("two fields");
    assert_eq!(grant, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
    let decode = |text: &str| {
        base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text).expect("it is base64url without padding")
    };
    let parts: Vec<Value> =
        signed.split('.').map(|part| serde_json::from_slice(&decode(part)).expect("each is JSON")).collect();
    assert_eq!(parts[0], json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    let claims = json!({
        "iss": "gateway@p.iam.gserviceaccount.com", "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://127.0.0.1:1/token?x=1", "iat": 1_700_000_000, "exp": 1_700_003_600,
    });
    assert_eq!(parts[1], claims);
    let der = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).expect("a PEM key");
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public());
    assert_eq!(public.verify(signed.as_bytes(), &decode(signature)), Ok(()));
    assert!(public.verify(format!("{signed}x").as_bytes(), &decode(signature)).is_err());
    assert_eq!(account.uri.to_string(), "/token?x=1");
}

#[test]
fn a_user_s_login_is_exchanged() {
    let account = read(user(json!({})).to_string().as_bytes()).expect("the file is good");
    let form = account.credentials.form(0).expect("nothing to sign").body;
    let wanted = "grant_type=refresh_token&client_id=id.apps&client_secret=hidden-one&refresh_token=hidden%2Ftwo";
    assert_eq!(form, wanted);
    assert_eq!((account.host.as_bytes(), account.uri.path()), (&b"oauth2.googleapis.com"[..], "/token"));
    assert_eq!(account.quota_project().map(HeaderValue::as_bytes), Some(&b"q"[..]));
    assert!(!format!("{account:?}").contains("hidden"), "{account:?}");
}

#[test]
fn a_wrong_file_is_named_without_its_secrets() {
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nc2VjcmV0LWtleQ==\n-----END {kind}-----\n");
    for (file, wanted) in [
        ("{\"private_key\": \"hidden".to_owned(), "is not JSON (line 1, column 23)"),
        ("[\"hidden\"]".into(), "is not a JSON object"),
        (json!({ "client_secret": "hidden" }).to_string(), "`type` is missing"),
        (json!({ "type": "hidden" }).to_string(), "its `type` is not supported: service_account or authorized_user"),
        (json!({ "type": 5 }).to_string(), "`type` is not text"),
        (service(json!({ "private_key": null })).to_string(), "`private_key` is missing"),
        (service(json!({ "private_key": "hidden" })).to_string(), "`private_key` is not a PEM key"),
        (service(json!({ "private_key": pem("PRIVATE KEY") })).to_string(), "`private_key` is not a usable RSA key"),
        (service(json!({ "private_key": pem("EC PRIVATE KEY") })).to_string(), "`private_key` is not an RSA key"),
        (service(json!({ "client_email": "" })).to_string(), "`client_email` is missing"),
        (service(json!({ "token_uri": "hidden" })).to_string(), "`token_uri` is not a URL"),
        (service(json!({ "token_uri": "http://hidden.example/" })).to_string(), "`token_uri` must begin with https://"),
        (user(json!({ "client_id": null })).to_string(), "`client_id` is missing"),
        (user(json!({ "client_secret": ["hidden"] })).to_string(), "`client_secret` is not text"),
        (user(json!({ "refresh_token": null })).to_string(), "`refresh_token` is missing"),
    ] {
        let error = read(file.as_bytes()).expect_err(&file);
        assert!(error.contains(&format!("credentials.json: {wanted}")), "{file}\n{error}");
        assert!(!error.contains("hidden") && !error.contains("c2Vjcm"), "{error}");
    }
    let absent = Account::read(Path::new("/nowhere/at/all.json"), &mut Shared::default()).expect_err("there is none");
    assert!(absent.starts_with("credentials_file /nowhere/at/all.json: "), "{absent}");
}

#[test]
fn answers_of_the_token_server_are_read_strictly() {
    let secrets = [Secret::new("hidden")];
    for (status, body, wanted) in [
        (200, r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#, Ok(("Bearer t", 3599))),
        (200, r#"{"access_token":"t","expires_in":"60"}"#, Ok(("Bearer t", 60))),
        (200, r#"{"access_token":"t"}"#, Ok(("Bearer t", 3600))),
        (200, r#"{"access_token":"t","expires_in":-1}"#, Ok(("Bearer t", 0))),
        (200, r#"{"access_token":"t","expires_in":1e300}"#, Ok(("Bearer t", 86_400))),
        (200, r#"{"access_token":""}"#, Err(("its answer holds no access_token", false))),
        (200, r#"{"access_token":"a\nb"}"#, Err(("its answer holds no access_token", false))),
        (200, r#"{"id_token":"t"}"#, Err(("its answer holds no access_token", false))),
        (200, "<html>", Err(("its answer holds no access_token", false))),
        (302, "", Err(("status 302 Found", false))),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"no\u0007 hidden!"}"#,
            Err(("status 400 Bad Request, invalid_grant: no ***!", true)),
        ),
        (401, r#"{"error":{"hidden":1}}"#, Err(("status 401 Unauthorized", true))),
        (429, "{}", Err(("status 429 Too Many Requests", false))),
        (503, "hidden", Err(("status 503 Service Unavailable", false))),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let found = read_answer(status, body.as_bytes(), &secrets);
        let found = found.as_ref().map(|(header, life)| (header.to_str().expect("it is ASCII"), life.as_secs()));
        assert_eq!(found.map_err(|e| (e.message.as_str(), e.refused)), wanted, "{body}");
    }
}

/// Nobody listens at its token server.
fn kept_for(life: Duration) -> Account {
    let account = read(service(json!({})).to_string().as_bytes()).expect("the file is good");
    let token = Token::new(HeaderValue::from_static("Bearer old"), Instant::now(), life);
    account.state.lock().expect("nobody panicked").token = Some(token);
    account
}

#[tokio::test(start_paused = true)]
async fn a_token_is_used_until_five_minutes_before_its_end() {
    for (life, advance, is_kept, holds) in [
        (3600, 3299, true, true),
        (3600, 3301, false, true),
        (3600, 3601, false, false),
        (100, 49, true, true),
        (100, 51, false, true),
        (0, 0, false, false),
    ] {
        let account = kept_for(Duration::from_secs(life));
        tokio::time::advance(Duration::from_secs(advance)).await;
        assert_eq!(account.kept(|token| token.replace).is_some(), is_kept, "{life} {advance}");
        assert_eq!(account.kept(|token| token.expires).is_some(), holds, "{life} {advance}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_old_token_serves_while_a_new_one_is_fetched_or_cannot_be() {
    let pool = Arc::new(Pool::new(Arc::default()));
    let account = kept_for(Duration::from_secs(600));
    tokio::time::advance(Duration::from_secs(400)).await;
    let fetching = account.fetching.try_acquire().expect("nobody fetches");
    let during = account.authorization(&pool, PATIENCE).await.expect("the old one holds");
    drop(fetching);
    let after = account.authorization(&pool, PATIENCE).await.expect("the old one holds");
    assert_eq!((during, after), (HeaderValue::from_static("Bearer old"), HeaderValue::from_static("Bearer old")));
    assert!(account.failed().is_some(), "it asked, and nobody answered");
    tokio::time::advance(Duration::from_secs(200)).await;
    let error = account.authorization(&pool, PATIENCE).await.expect_err("it expired");
    assert!(error.message.starts_with("no access token from 127.0.0.1: ") && !error.refused, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_dropped_once_it_is_not_new() {
    let account = kept_for(Duration::from_secs(3600));
    let (old, other) = (HeaderValue::from_static("Bearer old"), HeaderValue::from_static("Bearer other"));
    for (advance, refused, is_kept) in [(59, &old, true), (2, &other, true), (0, &old, false)] {
        tokio::time::advance(Duration::from_secs(advance)).await;
        account.refused(refused);
        assert_eq!(account.kept(|token| token.replace).is_some(), is_kept);
    }
}
