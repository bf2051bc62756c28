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

/// Event `i` of the same stream as Anthropic sends it, `None` behind the last: the message's start and its block's, `n - 1`
/// tokens, the block's end, the stop reason with the usage, the message's end.
pub fn message_event(i: usize, n: usize) -> Option<Bytes> {
    let (name, data) = match i {
        0 => (
            "message_start",
            r#"{"type":"message_start","message":{"id":"msg_01AbCdEfGhIjKlMnOpQrStUv","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":310,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}"#.into(),
        ),
        1 => (
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#.into(),
        ),
        _ if i <= n => (
            "content_block_delta",
            format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":" token{i}"}}}}"#),
        ),
        _ if i == n + 1 => ("content_block_stop", r#"{"type":"content_block_stop","index":0}"#.into()),
        _ if i == n + 2 => (
            "message_delta",
            format!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{"output_tokens":{n}}}}}"#
            ),
        ),
        _ if i == n + 3 => ("message_stop", r#"{"type":"message_stop"}"#.into()),
        _ => return None,
    };
    let data: String = data;
    Some(format!("event: {name}\ndata: {data}\n\n").into())
}
