//! The count of a whole chat request.

use super::count;
use crate::json::unescape;
use crate::registry::Tokenizer;
use crate::scan::Scan;

/// Input tokens of a chat request: its texts exactly, OpenAI's framing of a message (three tokens and the role's name) and
/// the three that prime the reply. An approximation in three respects: tools count as compact JSON of the usual density
/// (providers render them in formats of their own), media by the profile's flat figures, and a model of another vendor
/// has another tokenizer. `scan` must be of this `body`. A text that is not UTF-8 counts with replacement characters.
pub fn count_chat(body: &[u8], scan: &Scan, tokenizer: Tokenizer) -> u32 {
    let texts: usize = scan.texts.iter().map(|t| count(tokenizer, &unescape(&body[t.range.clone()]))).sum();
    let other = crate::profile::framing_tokens(scan);
    u32::try_from(texts).unwrap_or(u32::MAX).saturating_add(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Role, Text};

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
