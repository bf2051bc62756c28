//! Where an endpoint is and what every request to it carries: made once a configuration, cloned by reference count.

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Uri, header};
use std::sync::Arc;
use waypost_core::units::Secret;

/// The address and the fixed headers of one endpoint.
#[derive(Clone, Debug)]
pub struct Target {
    /// Connections are shared by all targets of the same origin.
    pub origin: Arc<Origin>,
    /// Path of the chat call, without the origin.
    pub path: Uri,
    /// `host`, credentials, content type and the operator's own headers.
    pub headers: HeaderMap,
}

/// Scheme, host and port.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// TLS or not.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Target {
    /// The chat call at `base_url` (`…/v1`) with `key` and the operator's headers. The error is for the operator.
    pub fn new(
        origins: &mut Vec<Arc<Origin>>,
        base_url: &str,
        path: &str,
        key: Option<&Secret>,
        extra: &[(String, Secret)],
    ) -> Result<Self, String> {
        let base: Uri = base_url.parse().map_err(|e| format!("`{base_url}` is not a URL: {e}"))?;
        let (Some(scheme), Some(authority)) = (base.scheme(), base.authority()) else {
            return Err(format!("`{base_url}` is not an absolute URL"));
        };
        let tls = *scheme == Scheme::HTTPS;
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let origin = Origin { tls, host, port };
        let known = origins.iter().find(|o| ***o == origin).cloned();
        let origin = known.unwrap_or_else(|| {
            origins.push(Arc::new(origin));
            origins[origins.len() - 1].clone()
        });
        let query = base.query().map(|q| format!("?{q}")).unwrap_or_default();
        let path = format!("{}{path}{query}", base.path().trim_end_matches('/'));
        let path = path.parse().map_err(|e| format!("`{base_url}` has no usable path: {e}"))?;
        Ok(Self { origin, path, headers: headers(authority.as_str(), key, extra)? })
    }
}

fn headers(host: &str, key: Option<&Secret>, extra: &[(String, Secret)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(8);
    let host = host.rsplit('@').next().unwrap_or(host);
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|e| e.to_string())?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION"))));
    if let Some(key) = key {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
        let mut bearer = bearer.map_err(|_| "an api_key holds characters that no header may carry".to_owned())?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    for (name, value) in extra {
        let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header name"))?;
        let value = HeaderValue::from_str(value.expose());
        let mut value =
            value.map_err(|_| format!("the value of header `{name}` holds characters that no header may carry"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
