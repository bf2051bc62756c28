//! Where a provider is and in which form its credentials go: what the dialect needs, what the clouds need, and which
//! keys belong to none of it.

use super::Resolver;
use crate::catalogue::KnownProvider;
use crate::config::value::Checked;
use crate::config::{Path, raw};
use crate::registry::{Account, AwsAccount, Dialect};
use crate::units::Secret;

/// A provider on its way: what its address and its account depend on.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) at: &'a Path,
    pub(super) name: &'a str,
    pub(super) raw: &'a raw::Provider,
    pub(super) known: Option<&'static KnownProvider>,
    /// Empty where they are not known, which was reported.
    pub(super) dialects: &'a [Dialect],
}

impl Draft<'_> {
    fn speaks(&self, dialect: Dialect) -> bool {
        self.dialects.contains(&dialect)
    }

    fn is_azure(&self) -> bool {
        let speaks = self.speaks(Dialect::OpenAi) || self.speaks(Dialect::Responses);
        speaks && (self.name == "azure" || self.raw.api_version.is_some())
    }

    fn is_vertex(&self) -> bool {
        let raw = self.raw;
        let given = raw.project.is_some() || raw.location.is_some() || raw.credentials_file.is_some();
        self.speaks(Dialect::Gemini) && (self.name == "vertex" || given)
    }

    fn has_key(&self) -> bool {
        self.raw.api_key.is_some() || self.raw.api_keys.is_some()
    }

    /// The catalogue's address, where the provider speaks there what it speaks in the catalogue.
    fn known_url(&self) -> Option<&'static str> {
        let known = self.known?;
        // Chat and Responses lie side by side.
        let family = |d: &Dialect| if *d == Dialect::Responses { Dialect::OpenAi } else { *d };
        let is_there = |d: &Dialect| known.dialects.iter().any(|k| family(k) == family(d));
        known.base_url.filter(|_| self.dialects.iter().all(is_there))
    }

    fn own_url(&self) -> Option<&str> {
        self.raw.base_url.as_ref().map(|u| u.0.0.as_str())
    }
}

impl Resolver<'_> {
    /// The base URL and the account.
    pub(super) fn account(&mut self, draft: Draft<'_>) -> (String, Account) {
        if draft.dialects.is_empty() {
            return (String::new(), Account::Key);
        }
        self.misplaced(draft);
        if draft.speaks(Dialect::Simulated) {
            if draft.own_url().is_some() {
                self.error(&draft.at.key("base_url"), "a simulated provider is nowhere: remove it");
            }
            return (String::new(), Account::Key);
        }
        if draft.speaks(Dialect::Bedrock) {
            return (self.bedrock_url(draft), self.bedrock_account(draft));
        }
        if draft.is_vertex() {
            return (self.vertex_url(draft), self.vertex_account(draft));
        }
        let account = if draft.is_azure() {
            Account::Azure { api_version: draft.raw.api_version.as_ref().map(|v| v.0.0.clone()) }
        } else {
            Account::Key
        };
        let url = draft.own_url().or(draft.known_url());
        if url.is_none() {
            let wanted = match account {
                Account::Azure { .. } => "the resource's address, such as https://NAME.openai.azure.com",
                _ => "where the vendor's paths begin, such as https://api.example.com/v1",
            };
            self.missing(draft.at, draft.at, format!("`base_url` is missing: {wanted}"));
        }
        let expects_key = draft.known.is_some_and(|k| !k.env.is_empty());
        if expects_key && !draft.has_key() && draft.raw.headers.is_empty() {
            self.warn(draft.at, "no `api_key`: requests are sent without one");
        }
        (url.unwrap_or_default().to_owned(), account)
    }

    /// Keys of one cloud at a provider of another kind.
    fn misplaced(&mut self, draft: Draft<'_>) {
        let raw = draft.raw;
        let bedrock = "only with `dialect: bedrock`";
        let vertex = "only with `dialect: gemini`, for Vertex";
        let azure = "only with `dialect: openai` or `responses`, for Azure";
        let is_openai = draft.speaks(Dialect::OpenAi) || draft.speaks(Dialect::Responses);
        for (key, given, belongs, message) in [
            ("region", raw.region.is_some(), draft.speaks(Dialect::Bedrock), bedrock),
            ("access_key_id", raw.access_key_id.is_some(), draft.speaks(Dialect::Bedrock), bedrock),
            ("secret_access_key", raw.secret_access_key.is_some(), draft.speaks(Dialect::Bedrock), bedrock),
            ("session_token", raw.session_token.is_some(), draft.speaks(Dialect::Bedrock), bedrock),
            ("project", raw.project.is_some(), draft.speaks(Dialect::Gemini), vertex),
            ("location", raw.location.is_some(), draft.speaks(Dialect::Gemini), vertex),
            ("credentials_file", raw.credentials_file.is_some(), draft.speaks(Dialect::Gemini), vertex),
            ("api_version", raw.api_version.is_some(), is_openai, azure),
        ] {
            if given && !belongs {
                self.error(&draft.at.key(key), message);
            }
        }
    }

    fn bedrock_url(&mut self, draft: Draft<'_>) -> String {
        match (draft.own_url(), &draft.raw.region) {
            (Some(url), _) => url.to_owned(),
            (None, Some(Checked(region))) => {
                let domain = if region.0.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("https://bedrock-runtime.{}.{domain}", region.0)
            }
            (None, None) => {
                self.missing(draft.at, draft.at, "`region` is missing, such as us-east-1 (or `base_url`)");
                String::new()
            }
        }
    }

    fn bedrock_account(&mut self, draft: Draft<'_>) -> Account {
        let (at, raw) = (draft.at, draft.raw);
        let secret = |key: &Option<Checked<Secret>>| key.as_ref().map(|k| k.0.clone());
        let (id, key) = (secret(&raw.access_key_id), secret(&raw.secret_access_key));
        let signs = id.is_some() || key.is_some();
        if signs && draft.has_key() {
            let given = if id.is_some() { "access_key_id" } else { "secret_access_key" };
            self.error(&at.key(given), format!("`api_key` and `{given}` are both given: keep one"));
        } else if raw.session_token.is_some() && !signs {
            self.missing(&at.key("session_token"), at, "only with `access_key_id` and `secret_access_key`");
        } else if !signs && !draft.has_key() {
            let wanted = "`api_key`, or `access_key_id` and `secret_access_key`";
            self.without_credentials(draft, wanted);
        }
        match (id, key) {
            (Some(access_key_id), Some(secret_access_key)) => {
                let region = raw.region.as_ref().map(|r| r.0.0.clone());
                if region.is_none() && draft.own_url().is_some() {
                    self.missing(at, at, "`region` is missing: signatures name it");
                }
                let session_token = secret(&raw.session_token);
                let region = region.unwrap_or_default();
                Account::Aws(AwsAccount { region, access_key_id, secret_access_key, session_token })
            }
            (Some(_), None) => {
                self.missing(at, at, "`secret_access_key` is missing: it goes with `access_key_id`");
                Account::Key
            }
            (None, Some(_)) => {
                self.missing(at, at, "`access_key_id` is missing: it goes with `secret_access_key`");
                Account::Key
            }
            (None, None) => Account::Key,
        }
    }

    fn vertex_url(&mut self, draft: Draft<'_>) -> String {
        let (at, raw) = (draft.at, draft.raw);
        let own = draft.own_url();
        let is_whole = own.is_some_and(|url| url.contains("/publishers/"));
        match (&raw.project, &raw.location) {
            (Some(Checked(project)), Some(Checked(location))) if !is_whole => {
                vertex_address(own, &project.0, &location.0)
            }
            (Some(_), _) | (_, Some(_)) if is_whole => {
                let given = if raw.project.is_some() { "project" } else { "location" };
                self.error(&at.key(given), "the path of `base_url` names it already: keep one");
                String::new()
            }
            (None, None) if own.is_some() => own.unwrap_or_default().to_owned(),
            (project, location) => {
                let absent = [("`project`", project.is_none()), ("`location`", location.is_none())];
                let absent: Vec<&str> = absent.iter().filter_map(|(key, absent)| absent.then_some(*key)).collect();
                let verb = if absent.len() == 1 { "is" } else { "are" };
                self.missing(at, at, format!("{} {verb} missing: Vertex's address holds them", absent.join(" and ")));
                String::new()
            }
        }
    }

    fn vertex_account(&mut self, draft: Draft<'_>) -> Account {
        let file = draft.raw.credentials_file.as_ref();
        if file.is_some() && draft.has_key() {
            let message = "`api_key` and `credentials_file` are both given: keep one";
            self.error(&draft.at.key("credentials_file"), message);
        } else if file.is_none() && !draft.has_key() {
            self.without_credentials(draft, "`credentials_file`, or an access token as `api_key`");
        }
        Account::Vertex { credentials_file: file.map(Into::into) }
    }

    /// A cloud answers nobody without credentials; what stands at an address of the operator's own may.
    fn without_credentials(&mut self, draft: Draft<'_>, wanted: &str) {
        if !draft.raw.headers.is_empty() {
            return;
        }
        if draft.own_url().is_some() {
            self.warn(draft.at, format!("no credentials ({wanted}): requests are sent without any"));
        } else {
            self.missing(draft.at, draft.at, format!("credentials are missing: {wanted}"));
        }
    }
}

/// Where Vertex keeps Google's models for a project, below `own` or Google's own address.
fn vertex_address(own: Option<&str>, project: &str, location: &str) -> String {
    let host = match (own, location) {
        (Some(own), _) => own.to_owned(),
        (None, "global") => "https://aiplatform.googleapis.com".to_owned(),
        // The two that are several regions.
        (None, "us" | "eu") => format!("https://aiplatform.{location}.rep.googleapis.com"),
        (None, region) => format!("https://{region}-aiplatform.googleapis.com"),
    };
    let has_version = own.is_some_and(|own| own.ends_with("/v1") || own.ends_with("/v1beta1"));
    let version = if has_version { "" } else { "/v1" };
    format!("{host}{version}/projects/{project}/locations/{location}/publishers/google")
}
