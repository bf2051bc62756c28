//! Tokens from counts alone: no text is looked at. Fitted once against o200k_base on prose, code and JSON in nine
//! languages (`samples.txt` holds some of the texts, and the test's); per model the gateway corrects it further from returned usage.

use crate::scan::{Scan, TextStats};

/// Tokens around a message: three of framing and the role's name.
const MESSAGE: u64 = 4;
/// Tokens that prime the reply.
const REPLY: u64 = 3;
/// Tokens that introduce a set of tools.
const TOOLS: u64 = 12;
/// An image at high detail: OpenAI's 85 and four tiles of 170, a photograph of about 1024 × 1024.
const IMAGE: u64 = 765;
/// An image that asks for low detail.
const IMAGE_LOW: u64 = 85;
/// An audio clip: half a minute at ten tokens a second.
const AUDIO: u64 = 300;
/// A video clip: half a minute at 258 tokens a second, Gemini's rate.
const VIDEO: u64 = 7_740;
/// A document: five pages of 500 tokens.
const DOCUMENT: u64 = 2_500;
/// Bytes of a JSON schema for a token: long known words between punctuation that merges.
const TOOL_BYTES_PER_TOKEN: f64 = 4.1;

/// Input tokens of a request: texts and all that comes with them.
pub(super) fn input_tokens(scan: &Scan) -> u32 {
    u32::try_from(text_tokens(&scan.stats)).unwrap_or(u32::MAX).saturating_add(framing_tokens(scan))
}

/// What a request holds beside its texts, in tokens: framing of messages, tools, media at flat figures.
pub(crate) fn framing_tokens(scan: &Scan) -> u32 {
    let tools = if scan.tools > 0 { TOOLS + (f64::from(scan.tools_bytes) / TOOL_BYTES_PER_TOKEN) as u64 } else { 0 };
    let of = |count: u32, each: u64| u64::from(count) * each;
    let low = scan.images_low_detail.min(scan.images);
    let media = of(scan.images - low, IMAGE)
        + of(low, IMAGE_LOW)
        + of(scan.audio, AUDIO)
        + of(scan.video, VIDEO)
        + of(scan.documents, DOCUMENT);
    u32::try_from(of(scan.messages, MESSAGE) + REPLY + tools + media).unwrap_or(u32::MAX)
}

/// Tokens of texts with these counts.
fn text_tokens(stats: &TextStats) -> u64 {
    let n = |count: u64| count as f64;
    // Characters written as `\uXXXX` are counted by their width too, but take no raw bytes of it.
    let wide = if stats.unicode_escapes > 0 {
        5 * stats.unicode_escapes
    } else {
        2 * stats.two_byte + 3 * stats.three_byte + 4 * stats.four_byte
    };
    let letters =
        stats.bytes.saturating_sub(stats.spaces + stats.digits + stats.punctuation + stats.escapes + wide) as f64;
    // Beyond any language's words it is base64 or the like, which merges little.
    let word = letters / n(stats.spaces + stats.punctuation + stats.escapes + 1);
    let per_letter = 0.231 + 0.38 * ((word - 14.0) / 20.0).clamp(0.0, 1.0);
    let tokens = per_letter * letters + 0.06 * n(stats.spaces) + 0.95 * n(stats.digits) + 0.62 * n(stats.punctuation)
        - 0.07 * n(stats.escapes)
        + 0.283 * n(stats.two_byte)
        + 0.75 * n(stats.three_byte)
        + 2.0 * n(stats.four_byte);
    tokens.max(0.0).ceil() as u64
}
