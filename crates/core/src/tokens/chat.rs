//! The count of a whole chat request.

use super::count;
use crate::registry::Tokenizer;
use crate::scan::Scan;
use std::borrow::Cow;

/// Input tokens of a chat request: its texts exactly, OpenAI's framing of a message (three tokens and the role's name) and
/// the three that prime the reply. An approximation in three respects: tools count as compact JSON of the usual density
/// (providers render them in formats of their own), media by the profile's flat figures, and a model of another vendor
/// has another tokenizer. `scan` must be of this `body`. A text that is not UTF-8 counts with replacement characters.
pub fn count_chat(body: &[u8], scan: &Scan, tokenizer: Tokenizer) -> u32 {
    let texts: usize = scan.texts.iter().map(|t| count(tokenizer, &unescape(&body[t.range.clone()]))).sum();
    let other = crate::profile::framing_tokens(scan);
    u32::try_from(texts).unwrap_or(u32::MAX).saturating_add(other)
}

/// The text that a JSON string's content stands for; borrowed where nothing is escaped. Total: half a surrogate pair and
/// an escape cut short become replacement characters.
fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.push_str(&String::from_utf8_lossy(&rest[..at]));
        rest = &rest[at + 1..];
        let (c, len) = escape(rest);
        out.push(c);
        rest = &rest[len.min(rest.len())..];
    }
    out.push_str(&String::from_utf8_lossy(rest));
    out.into()
}

/// The character of the escape after a backslash, and its length without that backslash.
fn escape(rest: &[u8]) -> (char, usize) {
    match rest.first() {
        Some(b'n') => ('\n', 1),
        Some(b't') => ('\t', 1),
        Some(b'r') => ('\r', 1),
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'u') => {
            let high = hex4(rest.get(1..));
            let low = || rest.get(5..7).filter(|b| b == b"\\u").map_or(0, |_| hex4(rest.get(7..)));
            match high {
                0xd800..=0xdbff => match low() {
                    low @ 0xdc00..=0xdfff => {
                        let c = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
                    }
                    _ => (char::REPLACEMENT_CHARACTER, 5),
                },
                c => (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 5),
            }
        }
        Some(&c @ (b'"' | b'\\' | b'/')) => (c as char, 1),
        _ => (char::REPLACEMENT_CHARACTER, 0),
    }
}

/// Four hexadecimal digits; half a pair where there are none.
fn hex4(digits: Option<&[u8]>) -> u32 {
    let value = digits
        .and_then(|d| d.get(..4))
        .and_then(|d| d.iter().try_fold(0, |value, &b| Some(value << 4 | (b as char).to_digit(16)?)));
    value.unwrap_or(0xd800)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Role, Text};

    #[test]
    fn escapes_are_what_they_stand_for() {
        let cases = [
            ("plain", "plain"),
            (r#"a\n\t\r\b\f\"\\\/"#, "a\n\t\r\u{8}\u{c}\"\\/"),
            (r"\u00e9 \uD83D\uDE00", "é 😀"),
            (r"\ud83d \ud83d\u0041 \udc00", "\u{fffd} \u{fffd}A \u{fffd}"),
            (r"\u12", "\u{fffd}"),
            ("cut\\", "cut\u{fffd}"),
        ];
        for (raw, text) in cases {
            assert_eq!(unescape(raw.as_bytes()), text, "{raw}");
        }
        assert_eq!(unescape(b"\xff\\n"), "\u{fffd}\n");
    }

    #[test]
    fn a_chat_is_its_texts_and_their_framing() {
        let body = br#"{"messages":[{"content":"hello\nworld"},{"content":"hello world"}]}"#;
        let at = |n: usize, len| Text { role: Role::User, range: n..n + len };
        let find = |text: &[u8]| memchr::memmem::find(body, text).unwrap();
        let texts = vec![at(find(b"hello\\n"), 12), at(find(b"hello world"), 11)];
        let mut scan = Scan { messages: 2, texts, ..Scan::default() };
        // "hello", a line break, "world"; "hello", " world"; twice three and the role; three for the reply
        assert_eq!(count_chat(body, &scan, Tokenizer::O200k), 3 + 2 + 2 * 4 + 3);
        scan.images = 1;
        assert_eq!(count_chat(body, &scan, Tokenizer::Cl100k), 3 + 2 + 2 * 4 + 3 + 765);
    }
}
