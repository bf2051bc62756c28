//! The text of the last user turn, for whoever scores it: apart from the system prompt and from earlier turns, decoded,
//! and bounded to its beginning and its end, so that a prompt of a megabyte costs no more than one of some kilobytes.
//! It is read and forgotten; nothing here keeps it.

use super::evidence::last_user;
use crate::json;
use crate::scan::{Role, Scan, Text};
use std::ops::Range;

/// Raw bytes kept of a long turn's beginning, and of its end.
const HEAD: usize = 12 << 10;
const TAIL: usize = 4 << 10;

/// The last user turn's text; `None` where it has none: only media, or nothing but blanks. `scan` must be of this `body`.
pub fn last_turn(body: &[u8], scan: &Scan) -> Option<String> {
    let range = last_user(scan)?;
    // The last turn is a picture without words: what was said before the answer to it is another turn.
    let answered = scan.texts[range.end..].iter().any(|t| t.role == Role::Assistant);
    if answered && scan.images + scan.audio + scan.video + scan.documents > 0 {
        return None;
    }
    let parts = &scan.texts[range];
    let raw = |t: &Text| &body[t.range.clone()];
    let total: usize = parts.iter().map(|t| t.range.len()).sum();
    let mut text = String::with_capacity(total.min(HEAD + TAIL) + parts.len());
    let mut add = |raw: &[u8]| {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&json::unescape(raw));
    };
    if total <= HEAD + TAIL {
        parts.iter().for_each(|part| add(raw(part)));
    } else {
        let mut left = HEAD;
        for part in parts {
            let raw = raw(part);
            let kept = &raw[..cut(raw, left.min(raw.len())).start];
            add(kept);
            left = left.saturating_sub(raw.len());
            if left == 0 {
                break;
            }
        }
        let last = raw(&parts[parts.len() - 1]);
        // Of a single part the beginning was added already: no byte comes twice.
        let from = if parts.len() == 1 { (last.len() - TAIL).max(HEAD) } else { last.len().saturating_sub(TAIL) };
        add(&last[cut(last, from).end..]);
    }
    (!text.trim().is_empty()).then_some(text)
}

/// Where raw JSON text may be cut at `at`: before (`start`) or after (`end`) the character or escape that lies across it.
fn cut(raw: &[u8], at: usize) -> Range<usize> {
    let escape = (at.saturating_sub(5)..at).find_map(|start| {
        let slashes = raw[..=start].iter().rev().take_while(|b| **b == b'\\').count();
        // Of a run of backslashes every other one begins an escape.
        let length = if slashes % 2 == 0 {
            0
        } else if raw.get(start + 1) == Some(&b'u') {
            6
        } else {
            2
        };
        (start + length > at).then(|| start..(start + length).min(raw.len()))
    });
    if let Some(escape) = escape {
        return escape;
    }
    let is_inside = |ix: usize| raw.get(ix).is_some_and(|b| b & 0xc0 == 0x80);
    let start = (0..=at).rev().find(|ix| !is_inside(*ix)).unwrap_or(0);
    let end = (at..=raw.len()).find(|ix| !is_inside(*ix)).unwrap_or(raw.len());
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan_chat;
    use serde_json::{Value, json};

    fn turn(messages: &Value) -> Option<String> {
        let body = json!({ "model": "m", "messages": messages }).to_string();
        last_turn(body.as_bytes(), &scan_chat(body.as_bytes()).unwrap())
    }

    #[test]
    fn it_is_the_last_user_turn_alone_and_decoded() {
        let cases = [
            (
                json!([{"role": "system", "content": "Be short."}, {"role": "user", "content": "a\n\"b\" ü 😀"}]),
                Some("a\n\"b\" ü 😀"),
            ),
            (
                json!([{"role": "user", "content": "first"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "second"}]),
                Some("second"),
            ),
            (
                json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
                Some("a\nb"),
            ),
            (json!([{"role": "user", "content": " \n "}]), None),
            (json!([{"role": "system", "content": "only this"}]), None),
            (
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]),
                None,
            ),
            (
                json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"},
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]),
                None,
            ),
        ];
        for (messages, expected) in cases {
            assert_eq!(turn(&messages).as_deref(), expected, "{messages}");
        }
    }

    #[test]
    fn a_long_turn_is_its_beginning_and_its_end_wherever_it_is_cut() {
        for unit in ["a", "ü", "😀", "\\", "\"\\", "\u{1}", "\\u00e4"] {
            for shift in 0..7 {
                let text = format!("{}{}END", "x".repeat(shift), unit.repeat((1 << 20) / unit.len()));
                let kept = turn(&json!([{"role": "user", "content": text}])).unwrap();
                assert!(
                    kept.len() <= HEAD + TAIL + 1 && kept.len() > (HEAD + TAIL) / 7,
                    "{unit:?} {shift}: {}",
                    kept.len()
                );
                assert!(kept.ends_with("END") && !kept.contains('\u{fffd}'), "{unit:?} {shift}");
                let (head, tail) = kept.split_once('\n').unwrap();
                assert!(text.starts_with(head) && text.ends_with(tail), "{unit:?} {shift}");
            }
        }
    }
}
