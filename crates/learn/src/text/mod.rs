//! What of a text a predictor sees.

pub mod hand;

/// Bytes read at the beginning of a text, and at its end where it is longer.
const HEAD: usize = 3_072;
const TAIL: usize = 1_024;

/// The parts of a text that are read: all of it, or its beginning and its end.
fn window(text: &str) -> (&str, &str) {
    if text.len() <= HEAD + TAIL {
        return (text, "");
    }
    let end = text.floor_char_boundary(HEAD);
    let start = text.ceil_char_boundary(text.len() - TAIL);
    (&text[..end], &text[start..])
}
