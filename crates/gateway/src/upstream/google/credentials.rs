//! The file of a service account or a user, as Google's tools write it, and what is sent to the token server for it.
//! No message repeats a value of the file.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use waypost_core::units::Secret;

/// Where tokens come from where the file does not say it.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// All of the cloud; what the account may do there is its roles' concern.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long an assertion holds; Google accepts no longer one.
const ASSERTION_LIFE: i64 = 3600;

/// Who asks for a token.
#[derive(Debug)]
pub(super) enum Credentials {
    /// An account with a key of its own, which signs.
    Service { email: String, key_id: Option<String>, key: Box<RsaKeyPair>, audience: String },
    /// A person, by the token that a login left.
    User { client_id: String, client_secret: Secret, refresh_token: Secret },
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) credentials: Credentials,
    pub(super) token_uri: String,
    pub(super) quota_project: Option<String>,
}

/// What is sent to the token server.
pub(super) struct Form {
    pub(super) body: String,
    /// What of it no text may show, should the server repeat it.
    pub(super) secrets: Vec<Secret>,
}

pub(super) fn parse(text: &[u8]) -> Result<Parsed, String> {
    let value: Value =
        serde_json::from_slice(text).map_err(|e| format!("is not JSON (line {}, column {})", e.line(), e.column()))?;
    let Value::Object(fields) = value else { return Err("is not a JSON object".into()) };
    let token_uri = optional(&fields, "token_uri")?.unwrap_or_else(|| TOKEN_URI.to_owned());
    let credentials = match optional(&fields, "type")?.as_deref() {
        Some("service_account") => Credentials::Service {
            email: required(&fields, "client_email")?,
            key_id: optional(&fields, "private_key_id")?,
            key: Box::new(private_key(&required(&fields, "private_key")?)?),
            audience: token_uri.clone(),
        },
        Some("authorized_user") => Credentials::User {
            client_id: required(&fields, "client_id")?,
            client_secret: Secret::new(required(&fields, "client_secret")?),
            refresh_token: Secret::new(required(&fields, "refresh_token")?),
        },
        Some(_) => return Err("its `type` is not supported: service_account or authorized_user".into()),
        None => return Err("`type` is missing: is it a key of a service account?".into()),
    };
    Ok(Parsed { credentials, token_uri, quota_project: optional(&fields, "quota_project_id")? })
}

fn optional(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{name}` is not text")),
    }
}

fn required(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    optional(fields, name)?.ok_or_else(|| format!("`{name}` is missing"))
}

fn private_key(pem: &str) -> Result<RsaKeyPair, String> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "`private_key` is not a PEM key".to_owned())?;
    let key = match &der {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("`private_key` is not an RSA key".into()),
    };
    key.map_err(|e| format!("`private_key` is not a usable RSA key: {e}"))
}

impl Credentials {
    /// What is sent for a token, `now` being seconds since the Unix epoch.
    pub(super) fn form(&self, now: i64) -> Result<Form, String> {
        match self {
            Self::Service { email, key_id, key, audience } => {
                let assertion = assertion(email, key_id.as_deref(), key, audience, now)?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let body = encode(&[("grant_type", grant), ("assertion", &assertion)]);
                Ok(Form { body, secrets: vec![Secret::new(assertion)] })
            }
            Self::User { client_id, client_secret, refresh_token } => {
                let body = encode(&[
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.expose()),
                    ("refresh_token", refresh_token.expose()),
                ]);
                Ok(Form { body, secrets: vec![client_secret.clone(), refresh_token.clone()] })
            }
        }
    }
}

/// A signed statement of who asks (RFC 7523).
fn assertion(email: &str, key_id: Option<&str>, key: &RsaKeyPair, audience: &str, now: i64) -> Result<String, String> {
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let claims = json!({ "iss": email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + ASSERTION_LIFE });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let done = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature);
    done.map_err(|_| "the private key cannot sign".to_owned())?;
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

/// `application/x-www-form-urlencoded`.
fn encode(fields: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        body.push_str(&super::super::target::segment(value));
    }
    body
}
