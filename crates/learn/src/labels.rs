//! The labels of a request: which kinds there are, and in which order priors learn them. Requests and training rows are
//! labelled here and nowhere else, so that one finds what the other learned.

use crate::prior::Label;

/// What a request says of itself besides its text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Its task, where the client names one (tag `task`), or the `task` of an outcome row.
    pub task: Option<&'a str>,
    /// The route that decides.
    pub route: Option<&'a str>,
    /// Whose it is: the team of its key, else the key's public id.
    pub tenant: Option<&'a str>,
    /// Hash of its system prompt, as [`system_hash`] has it.
    pub system: Option<u64>,
}

impl Known<'_> {
    /// Its labels, the most general first: `task`, `route`, `tenant`, `system`. What is not known has no label.
    pub fn labels(&self) -> Vec<Label> {
        let mut labels = Vec::with_capacity(4);
        let named = [("task", self.task), ("route", self.route), ("tenant", self.tenant)];
        labels.extend(named.into_iter().filter_map(|(kind, value)| Some(Label::new(kind, value?))));
        labels.extend(self.system.map(|hash| Label::new("system", &format!("{hash:016x}"))));
        labels
    }
}

/// Bytes of a system prompt that are hashed: what follows may hold the hour or the user's name.
const SYSTEM: usize = 1_024;

/// The hash of a system prompt, from the beginning of its text as it stands in the body (FNV-1a by eight bytes): the same
/// on every machine and in every version. It tells prompts apart and keeps no secret.
pub fn system_hash(text: &[u8]) -> u64 {
    let kept = &text[..text.len().min(SYSTEM)];
    kept.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash: u64, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
        hash ^ (hash >> 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_one_order_and_only_of_what_is_known() {
        let all = Known { task: Some("math"), route: Some("r"), tenant: Some("t"), system: Some(7) };
        let expected = [("task", "math"), ("route", "r"), ("tenant", "t"), ("system", "0000000000000007")];
        assert_eq!(all.labels(), expected.map(|(kind, value)| Label::new(kind, value)));
        assert_eq!(Known { task: None, ..all }.labels(), all.labels()[1..]);
        assert!(Known::default().labels().is_empty());
    }

    #[test]
    fn a_system_prompt_is_told_by_its_beginning() {
        let long = "You answer questions about invoices. ".repeat(40);
        assert_eq!(
            system_hash(format!("{long}It is 9:00.").as_bytes()),
            system_hash(format!("{long}It is 9:01.").as_bytes())
        );
        let hashes: std::collections::HashSet<u64> =
            (0..1000).map(|i| system_hash(format!("You are assistant {i}.").as_bytes())).collect();
        assert_eq!(hashes.len(), 1000);
    }
}
