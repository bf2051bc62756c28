//! What the benchmarks have in common: the stream that a provider sends.

use bytes::Bytes;
use std::fmt::Write as _;

/// Chunk `i` of a chat stream of `n` tokens, as OpenAI sends it: the role first, then `n - 1` tokens, the finish
/// reason, the usage.
pub fn chunk(i: usize, n: usize) -> Bytes {
    let mut text = String::from(
        r#"data: {"id":"chatcmpl-BmockAbCdEfGhIjKlMnOpQrStUv","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":["#,
    );
    let written = match i {
        0 => write!(text, r#"{{"index":0,"delta":{{"role":"assistant","content":"","refusal":null}},{END}"#),
        _ if i < n => write!(text, r#"{{"index":0,"delta":{{"content":" token{i}"}},{END}"#),
        _ if i == n => {
            write!(text, r#"{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}],"usage":null}}"#)
        }
        _ => {
            let total = 310 + n;
            write!(
                text,
                r#"],"usage":{{"prompt_tokens":310,"completion_tokens":{n},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}}}"#
            )
        }
    };
    written.expect("writing into a String does not fail");
    text.push_str("\n\n");
    text.into()
}

const END: &str = r#""logprobs":null,"finish_reason":null}],"usage":null}"#;

/// The chunks of a whole stream of `n` tokens, the end marker last.
pub fn stream(n: usize) -> Vec<Bytes> {
    (0..n + 2).map(|i| chunk(i, n)).chain([DONE]).collect()
}

/// The end marker.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");
