//! What a model is called for.

/// What a model is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chat answers.
    Chat,
    /// Chat answers, and only through the Responses interface.
    Responses,
    /// Embeddings.
    Embedding,
}

impl Kind {
    /// Whether it takes such a call: for embeddings, or for an answer.
    pub const fn takes(self, embeddings: bool) -> bool {
        matches!(self, Self::Embedding) == embeddings
    }
}
