//! Who may come in: client keys, the admin token, and web pages that must not spend a key-less gateway's money.
//! Nothing here lets anybody in by the `Host` header: it is the caller's to choose.

use crate::app::State;
use crate::error::{Error, Kind};
use crate::keys::Denied;
use crate::snapshot::Snapshot;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use http::uri::Authority;
use http::{HeaderValue, Uri};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use waypost_core::config::{Auth, Key, listen_refusal};

/// The client's key; `None` where keys are not asked for: with `auth: none`, and on loopback as long as there is no key
/// at all. Whoever was ever given a stored key keeps the door closed, also after it was revoked.
pub(super) fn client(state: &State, snapshot: &Snapshot, headers: &HeaderMap) -> Result<Option<Arc<Key>>, Error> {
    let keyring = state.keyring();
    let has_keys = !snapshot.config.keys.is_empty() || keyring.has_stored();
    let is_open = snapshot.config.server.auth == Auth::None
        || !has_keys && listen_refusal(state.address(), Auth::Keys, has_keys).is_none();
    if is_open {
        return Ok(None);
    }
    let Some(secret) = secret(headers) else {
        let message = "a key is required: send `Authorization: Bearer <key>`";
        return Err(Error::new(Kind::InvalidApiKey, message));
    };
    let found = keyring.find(secret, crate::clock::unix_ms(), state.control.is_fresh());
    found.cloned().map(Some).map_err(|denied| match denied {
        Denied::Unknown => Error::new(Kind::InvalidApiKey, "the key is not known to this gateway"),
        Denied::NotGood(why) => Error::new(Kind::InvalidApiKey, why),
        Denied::Stale => {
            let message = "stored keys cannot be checked at present: the gateway cannot read its storage";
            Error::new(Kind::Overloaded, message).retry_after(Duration::from_secs(10))
        }
    })
}

/// What a client sends as its key: a bearer token, else `x-api-key`.
fn secret(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|v| {
        let (scheme, token) = v.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    bearer.or_else(|| headers.get("x-api-key").map(HeaderValue::as_bytes))
}

/// `/admin`: its own token; without one, from loopback only.
pub(super) fn admin(snapshot: &Snapshot, peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), Error> {
    match &snapshot.config.server.admin_token {
        Some(token) => {
            // Hashes are compared, so that time tells nothing of the token.
            let sent = secret(headers).unwrap_or_default();
            if blake3::hash(sent) == blake3::hash(token.expose().as_bytes()) {
                return Ok(());
            }
            Err(Error::new(Kind::InvalidApiKey, "`/admin` needs the bearer token of `server.admin_token`"))
        }
        None if from_loopback(peer) && !is_rebound(headers) => Ok(()),
        None => Err(Error::new(
            Kind::NotAllowed,
            "`/admin` answers on loopback only; set `server.admin_token` to reach it from elsewhere",
        )),
    }
}

/// A page whose own name was made to resolve to this machine (DNS rebinding) sends that name as `Host`, and no `Origin`
/// with a GET. The header can only refuse here, never let in.
fn is_rebound(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return false };
    let name = host.to_str().ok().and_then(|h| h.parse::<Authority>().ok());
    let local = |a: &Authority| {
        let name = a.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    };
    !name.as_ref().is_some_and(local)
}

fn from_loopback(peer: Option<SocketAddr>) -> bool {
    peer.is_some_and(|p| match p.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    })
}

/// A browser says where its page came from: a foreign page is refused unless the operator lists it. Returns the origin
/// to allow in the reply.
pub(super) fn origin(
    snapshot: &Snapshot,
    listen: SocketAddr,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, Error> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(None) };
    let server = &snapshot.config.server;
    let text = origin.to_str().unwrap_or("");
    if server.cors.iter().any(|allowed| allowed == text) {
        return Ok(Some(origin.clone()));
    }
    if own_page(text, listen) {
        return Ok(None);
    }
    let message =
        format!("pages of `{text}` may not call this gateway: add the origin to `server.cors` if they should");
    Err(Error::new(Kind::NotAllowed, message))
}

/// A page that this gateway itself served on loopback: the address that it listens on, or `localhost` with its port.
fn own_page(origin: &str, listen: SocketAddr) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let (Some(host), port) = (uri.host(), uri.port_u16()) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let same = host.parse::<IpAddr>().is_ok_and(|ip| ip == listen.ip());
    port == Some(listen.port()) && (local || same)
}

/// A POST must say that it is JSON: a web form cannot, without asking first.
pub(super) fn json(headers: &HeaderMap) -> Result<(), Error> {
    let found = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = found.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    Err(Error::new(Kind::UnsupportedMediaType, "send the header `content-type: application/json`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_are_own() {
        let listen = "127.0.0.1:8080".parse().unwrap();
        for (origin, own) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost:3000", false),
            ("http://localhost", false),
            ("http://evil.example:8080", false),
            ("http://127.0.0.1.evil.example:8080", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(own_page(origin, listen), own, "{origin}");
        }
    }

    #[test]
    fn loopback_is_what_the_connection_says() {
        for (peer, local) in [
            ("127.0.0.1:5000", true),
            ("127.8.9.10:5000", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("10.0.0.1:5000", false),
            ("[::ffff:10.0.0.1]:5000", false),
            ("[fe80::1]:5000", false),
        ] {
            assert_eq!(from_loopback(Some(peer.parse().unwrap())), local, "{peer}");
        }
        assert!(!from_loopback(None), "who cannot be told is nobody");
    }

    #[test]
    fn a_rebound_name_is_no_local_one() {
        for (host, rebound) in [
            ("127.0.0.1:8080", false),
            ("[::1]:8080", false),
            ("localhost", false),
            ("LOCALHOST:8080", false),
            ("evil.example:8080", true),
            ("localhost.evil.example", true),
            ("", true),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            assert_eq!(is_rebound(&headers), rebound, "{host}");
        }
        assert!(!is_rebound(&HeaderMap::new()));
    }

    #[test]
    fn keys_come_as_bearer_or_header() {
        let of = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
            secret(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(of("authorization", "bearer  sk-1 "), Some(b"sk-1".to_vec()));
        assert_eq!(of("x-api-key", "sk-2"), Some(b"sk-2".to_vec()));
        assert_eq!(of("authorization", "Basic c2s="), None);
    }
}
