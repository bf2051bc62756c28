//! What a prompt's text says of its meaning, at the price of a few microseconds: the tokens of a fixed vocabulary, and an
//! embedding pooled from a table of one vector a token. Runs no neural network, stores no text, and knows nothing of
//! models, tasks or scores: what follows from an embedding is learned elsewhere.

mod embedding;
mod wordpiece;

pub use embedding::{DIMENSIONS, Embedding, HEAD, TAIL, Table, TableError};
pub use wordpiece::UNKNOWN;
