//! Signature Version 4 for Bedrock: the headers that prove who sends a request.
//!
//! A signature covers the path, the body and a few headers, so it is made anew for every attempt, last of all, and nothing
//! that it covers may change afterwards. Only `host`, `content-type` and Amazon's own headers are covered: whatever a proxy
//! may touch on the way is not. It knows neither a clock nor where credentials come from.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use waypost_core::registry::AwsAccount;
use waypost_core::units::Secret;

/// The service's name in signatures; its host says `bedrock-runtime`.
const SERVICE: &str = "bedrock";

/// Signs the requests of one provider.
#[derive(Clone, Debug)]
pub struct Signer {
    region: String,
    /// Prints neither key nor token.
    credentials: aws_credential_types::Credentials,
}

/// Why a request could not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be signed: {0}")]
pub struct SignFault(String);

impl Signer {
    /// For an account's keys, in its region.
    pub fn new(account: &AwsAccount) -> Self {
        let token = account.session_token.as_ref().map(Secret::expose).filter(|token| !token.is_empty());
        let credentials = aws_credential_types::Credentials::new(
            account.access_key_id.expose(),
            account.secret_access_key.expose(),
            token.map(str::to_owned),
            None,
            "waypost",
        );
        Self { region: account.region.clone(), credentials }
    }

    /// The headers to add to this request. `path` is the one that is sent, percent-encoded already (the signature is over
    /// its encoding once more), and `headers` those that are sent, `host` among them. `now` is in seconds since the epoch.
    pub fn sign(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: u64,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SignFault> {
        let fault = |problem: &dyn std::fmt::Display| SignFault(problem.to_string());
        if !headers.contains_key(HOST) {
            return Err(fault(&"it has no `host` header"));
        }
        let covered = |name: &HeaderName| {
            *name == HOST
                || *name == CONTENT_TYPE
                || name.as_str().starts_with("x-amz-")
                || name.as_str().starts_with("x-amzn-")
        };
        let mut signed = Vec::new();
        for (name, value) in headers.iter().filter(|(name, _)| covered(name)) {
            let value = value.to_str().map_err(|_| SignFault(format!("`{name}` is not plain text")))?;
            signed.push((name.as_str(), value));
        }
        let time =
            UNIX_EPOCH.checked_add(Duration::from_secs(now)).ok_or_else(|| fault(&"the time is out of range"))?;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| fault(&e))?
            .into();
        let request =
            SignableRequest::new(method, path, signed.into_iter(), SignableBody::Bytes(body)).map_err(|e| fault(&e))?;
        let (instructions, _) = sign(request, &params).map_err(|e| fault(&e))?.into_parts();
        let (headers, _) = instructions.into_parts();
        headers
            .into_iter()
            .map(|header| {
                let mut value = HeaderValue::from_str(header.value()).map_err(|e| fault(&e))?;
                value.set_sensitive(header.sensitive());
                Ok((HeaderName::from_static(header.name()), value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01 12:30:45 UTC.
    const NOW: u64 = 1_772_368_245;

    fn signer(token: Option<&str>) -> Signer {
        Signer::new(&AwsAccount {
            region: "eu-west-1".into(),
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Secret::new),
        })
    }

    fn headers(host: &str, more: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in more {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn signatures_are_those_of_the_reference() {
        const HOST: &str = "bedrock-runtime.eu-west-1.amazonaws.com";
        // The expected values were made once with the signer of Amazon's Python SDK.
        let cases = [
            (
                "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse",
                headers(HOST, &[("user-agent", "x"), ("traceparent", "00-1"), ("accept", "*/*")]),
                r#"{"messages":[]}"#,
                None,
                "content-type;host;x-amz-date",
                "2fb4d69d77798008e355aca1484338d23d57eee26417f5f799b4d996c48f0900",
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2c3/converse-stream",
                headers(HOST, &[]),
                r#"{"messages":["é"]}"#,
                Some("tok/en+=="),
                "content-type;host;x-amz-date;x-amz-security-token",
                "bb149c469d9bd261b04415e61ee488e6b5e0a462619f2d3a0f28a07922bd9715",
            ),
            (
                "/model/amazon.nova-lite-v1%3A0/converse",
                headers("localhost:4010", &[("x-amzn-bedrock-trace", "  ENABLED   now ")]),
                "",
                Some(""),
                "content-type;host;x-amz-date;x-amzn-bedrock-trace",
                "224bfe3fca0116a89fcd70818a9b7893dcba984787bcbda3c091a08f0f15ef63",
            ),
        ];
        for (path, headers, body, token, covered, signature) in cases {
            let added = signer(token).sign("POST", path, &headers, body.as_bytes(), NOW).unwrap();
            let of = |name: &str| added.iter().find(|(n, _)| n == name).map(|(_, value)| value.to_str().unwrap());
            assert_eq!(
                of("authorization").unwrap(),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260301/eu-west-1/bedrock/aws4_request, \
                     SignedHeaders={covered}, Signature={signature}"
                )
            );
            assert_eq!(of("x-amz-date"), Some("20260301T123045Z"));
            assert_eq!(of("x-amz-security-token"), token.filter(|t| !t.is_empty()));
            assert_eq!(added.len(), 2 + usize::from(token.is_some_and(|t| !t.is_empty())));
        }
    }

    #[test]
    fn what_cannot_be_signed_is_said() {
        let signer = signer(None);
        let sign = |headers: &HeaderMap, path, now| signer.sign("POST", path, headers, b"", now);
        assert!(sign(&HeaderMap::new(), "/", NOW).is_err());
        assert!(sign(&headers("h", &[]), "not a path", NOW).is_err());
        assert!(sign(&headers("h", &[]), "/", u64::MAX).is_err());
        let mut odd = headers("h", &[]);
        odd.insert("x-amz-odd", HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(sign(&odd, "/", NOW).is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", signer(Some("tok/en")));
        assert!(!printed.contains("wJalr") && !printed.contains("tok/en"), "{printed}");
    }
}
