//! What a prompt's text says, at the price of a few microseconds: the tokens of a fixed vocabulary, an embedding pooled
//! from a table of one vector a token, and features that a person would name. Runs no neural network, stores no text, and
//! knows nothing of models, tasks or scores: what follows from these is learned elsewhere.

mod embedding;
pub mod hand;
mod wordpiece;

pub use embedding::{DIMENSIONS, Embedding, HEAD, TAIL, Table, TableError};
pub use wordpiece::UNKNOWN;
