//! What a cloud account needs beyond a base URL and a key.

use crate::units::Secret;
use std::path::PathBuf;

/// The form of a provider's addresses and credentials, where the dialect alone does not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// The dialect's own form: its paths below the base URL, and a key where there is one.
    #[default]
    Key,
    /// Azure OpenAI: the key in a header of its own, and deployments in the path.
    Azure {
        /// Version of the API, such as `2024-10-21`; `None`: the `v1` API, which has none.
        api_version: Option<String>,
    },
    /// Gemini at Vertex AI. Its base URL holds the project and the location.
    Vertex {
        /// JSON file of a service account or a user, for which access tokens are fetched; a relative path is from the
        /// working directory. `None`: the provider's key is an access token, or it needs none.
        credentials_file: Option<PathBuf>,
    },
    /// Bedrock with AWS keys, which sign each request. (With a bearer key it is [`Account::Key`].)
    Aws(AwsAccount),
}

/// What signs a request to AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsAccount {
    /// Region that the signature names.
    pub region: String,
    /// Id of the access key.
    pub access_key_id: Secret,
    /// The key itself; it is never sent.
    pub secret_access_key: Secret,
    /// Token of temporary keys.
    pub session_token: Option<Secret>,
}

impl Account {
    /// Everything in it that no text may show.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let aws = if let Self::Aws(aws) = self { Some(aws) } else { None };
        aws.into_iter().flat_map(|a| [&a.access_key_id, &a.secret_access_key].into_iter().chain(&a.session_token))
    }
}
