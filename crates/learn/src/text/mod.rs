//! What a prompt's text says, at the price of a few microseconds: the tokens of a fixed vocabulary, an embedding pooled
//! from a table of one vector a token, and features that a person would name. Runs no neural network, stores no text, and
//! knows nothing of models, tasks or scores: what follows from these is learned elsewhere.

mod embedding;
pub mod hand;
mod wordpiece;

pub use embedding::{DIMENSIONS, Embedding, HEAD, TAIL, Table, TableError};
pub use wordpiece::UNKNOWN;

/// The parts of a text that are read: all of it, or its beginning and its end.
fn window(text: &str, head: usize, tail: usize) -> (&str, &str) {
    if text.len() <= head + tail {
        return (text, "");
    }
    let end = text.floor_char_boundary(head);
    let start = text.ceil_char_boundary(text.len() - tail);
    (&text[..end], &text[start..])
}
