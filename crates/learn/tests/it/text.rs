//! Tokens and embeddings: held to the published tokenizer, bounded, and read from a checked file.

use proptest::prelude::*;
use waypost_learn::text::{DIMENSIONS, Embedding, HEAD, TAIL, Table, TableError, UNKNOWN};

const FILE: &[u8] = include_bytes!("../../data/embedding.bin");

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn tokens(text: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    Table::built_in().tokens(text, &mut tokens);
    tokens
}

#[test]
fn tokens_are_those_of_the_published_tokenizer() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../fixtures/wordpiece.json")).expect("the fixture is right");
    let mut known = 0;
    for case in &cases {
        if case.text.len() > HEAD + TAIL {
            continue;
        }
        assert_eq!(tokens(&case.text), case.ids, "{:?}", case.text);
        known += case.ids.iter().filter(|id| **id != UNKNOWN).count();
    }
    assert!(cases.len() > 40 && known > 800, "{} cases, {known} known tokens", cases.len());
}

#[test]
fn special_tokens_in_a_text_are_text() {
    assert_eq!(tokens("[SEP]"), tokens("[ sep ]"));
    assert_eq!(tokens("[unused5]"), tokens("[ unused5 ]"));
}

#[test]
fn tokens_are_appended() {
    let mut both = tokens("one");
    Table::built_in().tokens("two", &mut both);
    assert_eq!(both, tokens("one two"));
}

#[test]
fn like_meanings_are_near() {
    for (text, near, far) in [
        ("What is the capital of France?", "Tell me which city governs Germany", "def add(a, b): return a + b"),
        ("Solve the equation 3x + 5 = 20.", "Compute the integral of x squared", "The cat slept on the warm sofa"),
        ("Write a Python function that sorts a list", "implement an algorithm in Java", "a recipe for tomato soup"),
        (
            "symptoms of diabetes",
            "the patient was treated for high blood pressure",
            "the football match ended in a draw",
        ),
    ] {
        let [text, near, far] = [text, near, far].map(Embedding::of);
        assert!(text.cosine(&near) > text.cosine(&far) + 0.05, "{} {}", text.cosine(&near), text.cosine(&far));
    }
}

/// The weights: what every text has says little.
#[test]
fn rare_words_outweigh_frequent_ones() {
    let rare = Embedding::of("photosynthesis");
    assert!(rare.cosine(&Embedding::of("the of and in to photosynthesis, is a")) > 0.8);
}

#[test]
fn texts_without_known_words_are_zero() {
    for text in ["", " \n\t", "\u{13000}", "\u{0}\u{200b}", &"z".repeat(101)] {
        let zero = Embedding::of(text);
        assert_eq!(zero, Embedding([0.0; DIMENSIONS]), "{text:?}");
        assert_eq!(zero.cosine(&Embedding::of("word")).to_bits() & !(1 << 31), 0);
    }
}

/// A megabyte gives what its two ends give: the middle is not looked at.
#[test]
fn long_texts_are_read_at_their_ends() {
    for letter in ["a ", "é ", "汉", "😀 ", "한 "] {
        let begin = "begin ".repeat(HEAD / 6 + 1);
        let end = " end".repeat(TAIL / 4 + 1);
        let (short, long) =
            (format!("{begin}{end}"), format!("{begin}{}{end}", letter.repeat(1_000_000 / letter.len())));
        let (short, long) = (tokens(&short), tokens(&long));
        assert!(long.len() <= HEAD + TAIL);
        assert_eq!(short[..170], long[..170]);
        assert_eq!(short[short.len() - 128..], long[long.len() - 128..]);
        assert!(long.len() <= 172 + 129, "{}: the middle was read", long.len());
    }
    // Where a cut would fall into a character, the character is left out.
    for shift in 0..4 {
        let text = format!("{}{}", "a".repeat(shift), "汉".repeat(1000));
        let read = (HEAD - shift) / 3 + TAIL / 3;
        assert_eq!(
            tokens(&text).iter().filter(|t| **t != tokens("aaa")[0]).count(),
            read + usize::from((1..3).contains(&shift))
        );
    }
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let changed = |at: usize, byte: u8| {
        let mut file = FILE.to_vec();
        file[at] = byte;
        Table::parse(file.leak()).err()
    };
    assert!(Table::parse(FILE).is_ok());
    assert_eq!(Table::parse(b"").err(), Some(TableError::NotATable));
    assert_eq!(changed(0, b'w'), Some(TableError::NotATable));
    assert_eq!(changed(12, 2), Some(TableError::Version(2)));
    assert_eq!(changed(16, 32), Some(TableError::Dimensions(32)));
    for at in [8, 20, 63, 64, FILE.len() / 2, FILE.len() - 1] {
        assert!(matches!(changed(at, FILE[at] ^ 1), Some(TableError::Checksum { .. })));
    }
    let cut = Table::parse(&FILE[..FILE.len() - 1]).err();
    assert_eq!(cut, Some(TableError::Length { stated: FILE.len() as u64, found: FILE.len() - 1 }));
    // Any byte of what the header states.
    for (at, byte) in FILE.iter().enumerate().take(64).skip(8) {
        assert!(changed(at, byte ^ 0x40).is_some(), "{at}");
    }
}

/// A file whose checksum is right and whose content is not: nothing panics, nothing wrong is taken.
#[test]
fn wrong_content_is_refused() {
    let made = |first: u32, weights: &[u16], vocabulary: &[u8]| {
        let rows = u32::try_from(weights.len()).expect("few rows");
        let mut body = vec![1; weights.len() * DIMENSIONS];
        body.extend(weights.iter().flat_map(|w| w.to_le_bytes()));
        body.extend(vocabulary);
        let size = u32::try_from(vocabulary.len()).expect("few bytes");
        let mut rest: Vec<_> = [1, 64, first, rows, size].into_iter().flat_map(u32::to_le_bytes).collect();
        rest.resize(64 - 12, 0);
        rest.extend(body);
        let file = [b"WAYPOSTE", &crc32fast::hash(&rest).to_le_bytes()[..], &rest].concat();
        Table::parse(file.leak()).map(|table| {
            let mut tokens = Vec::new();
            table.tokens("ab abb b", &mut tokens);
            tokens
        })
    };
    // "ab" and "##b".
    assert_eq!(made(101, &[1, 1], b"\x02ab\x81b"), Ok(vec![101, 101, 102, UNKNOWN]));
    assert_eq!(made(101, &[], b""), Ok(vec![UNKNOWN; 3]));
    assert_eq!(made(101, &[1, 4096], b"\x02ab\x81b"), Err(TableError::Content("weights")));
    for first in [0, UNKNOWN, u32::MAX] {
        assert_eq!(made(first, &[1, 1], b"\x02ab\x81b"), Err(TableError::Content("first token")));
    }
    for vocabulary in
        [&b"\x02ab"[..], b"\x02ab\x82b", b"\x02ab\x80", b"\x02ab\x02ab", b"\x02ab\x81\xff", b"\x02ab\x81b\x01c"]
    {
        assert_eq!(made(101, &[1, 1], vocabulary), Err(TableError::Content("vocabulary")), "{vocabulary:?}");
    }
}

proptest! {
    #[test]
    fn any_text_has_an_embedding(text in any::<String>()) {
        let found = Embedding::of(&text);
        let length: f32 = found.cosine(&found);
        prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-5, "{length}");
        prop_assert_eq!(found, Table::built_in().pool(&tokens(&text)));
    }

    /// Case and space carry nothing, the order of words does not matter to an embedding.
    #[test]
    fn case_space_and_order_are_lost(words in proptest::collection::vec("[a-zA-Z0-9]{1,12}|[!-/]|[à-ÿ]{1,8}", 0..40)) {
        let plain = words.join(" ");
        prop_assert_eq!(tokens(&plain), tokens(&words.join("\n\t ").to_lowercase()));
        let turned: Vec<_> = words.iter().rev().cloned().collect();
        prop_assert_eq!(Embedding::of(&plain), Embedding::of(&turned.join(" ")));
    }

    /// Every word stands for itself: the tokens of a text are the tokens of its words.
    #[test]
    fn words_are_read_one_by_one(words in proptest::collection::vec("\\PC{1,9}", 0..20)) {
        let apart: Vec<_> = words.iter().flat_map(|word| tokens(word)).collect();
        prop_assert_eq!(tokens(&words.join(" ")), apart);
    }

    /// Tokens without an entry, and many of them, neither panic nor overflow.
    #[test]
    fn any_tokens_can_be_pooled(token in any::<u32>(), count in 0..20_000usize) {
        let many = Table::built_in().pool(&vec![token; count]);
        let one = Table::built_in().pool(&[token; 1][..count.min(1)]);
        prop_assert!(many.0.iter().zip(one.0).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
