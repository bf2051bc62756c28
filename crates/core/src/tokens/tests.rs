use super::*;
use crate::units::Rng;

fn reference(tokenizer: Tokenizer) -> &'static tiktoken_rs::CoreBPE {
    match tokenizer {
        Tokenizer::O200k => tiktoken_rs::o200k_base_singleton(),
        Tokenizer::Cl100k => tiktoken_rs::cl100k_base_singleton(),
    }
}

#[track_caller]
fn check(tokenizer: Tokenizer, text: &str) {
    let expected = reference(tokenizer).encode_ordinary(text).len();
    assert_eq!(count(tokenizer, text), expected, "{tokenizer:?} {text:?}");
    if tokenizer == Tokenizer::O200k {
        // Piece by piece, since different cuts may happen to give as many tokens.
        let mut pieces = Vec::new();
        split::split(tokenizer, text, |piece| pieces.push(piece));
        let expected: Vec<&[u8]> = bpe_openai::o200k_base().split(text).map(str::as_bytes).collect();
        assert_eq!(pieces, expected, "{text:?}");
    }
}

#[test]
fn known_counts() {
    assert_eq!(count(Tokenizer::O200k, "hello world"), 2);
    assert_eq!(count(Tokenizer::O200k, ""), 0);
    assert_eq!(count(Tokenizer::Cl100k, "<|endoftext|>"), 7);
}

#[test]
fn awkward_texts_count_as_openai_counts_them() {
    let texts = [
        "It's WE'LL i'Ve don'ſ 'tis o'clock's 'S 'LL x'",
        "  two\t\ttabs \n\n\n  lines \r\n end \n ",
        "\n ",
        " \n",
        "a \n \n b",
        "   ",
        " ",
        "\u{a0}\u{a0}x \u{3000}y\u{85}z",
        "HTMLParser camelCase XMLHttpRequest ÄÖÜßäöü ǅungla ʰx",
        "ああA Bあ CあD AAあ AAA",
        "\u{301}\u{301}A \u{301} !\u{301}e e\u{301}!\u{301}",
        "12345 ١٢٣٤ Ⅷ½ 1a2b",
        "path/to//file.rs:12 ... --- !!!/\n/\n// ##\r\n/",
        "👩‍👩‍👧‍👦🇩🇪 한국어 ไทย हिन्दी العربية עברית",
        "\u{0}\u{7}\u{feff}",
        "DŽDždž",
    ];
    for text in texts {
        check(Tokenizer::O200k, text);
        check(Tokenizer::Cl100k, text);
    }
}

/// Texts of pieces that sit where the expressions' alternatives meet.
#[test]
fn random_texts_count_as_openai_counts_them() {
    const PIECES: [&str; 44] = [
        "a", "B", "ing", "The", "é", "É", "ß", "ſ", "ʰ", "ǅ", "あ", "漢", "и", "Ж", "\u{301}", "\u{940}", "1", "23",
        "٣", "½", "Ⅷ", " ", "  ", "\t", "\n", "\r\n", "\u{a0}", "\u{3000}", "\u{85}", "'", "'s", "'LL", "'re", "!",
        "/", "//", "...", "_", "{\"", "😀", "\u{200d}", "\u{0}", "", "’",
    ];
    let mut rng = Rng::new(0x7075);
    for _ in 0..6000 {
        let text: String = (0..1 + rng.below(14)).map(|_| PIECES[rng.below(PIECES.len())]).collect();
        check(Tokenizer::O200k, &text);
        check(Tokenizer::Cl100k, &text);
    }
}

/// Any character at all, so that a class that is wrong somewhere shows.
#[test]
fn every_character_is_in_its_class() {
    for block in 0..0x11_0000u32 / 64 {
        let chars = (block * 64..block * 64 + 64).filter_map(char::from_u32);
        let text: String = chars.flat_map(|c| ['A', c, c, 'b', ' ', c, '!', c]).collect();
        if block % 8 == 0 || block < 0x500 {
            check(Tokenizer::O200k, &text);
        }
    }
}

#[test]
fn hostile_runs_end() {
    for (run, tokens) in [("a", 65_536 / 8), (" ", 65_536 / 128), ("\n", 65_536 / 16), ("1", 65_536 / 3 + 1)] {
        assert_eq!(count(Tokenizer::O200k, &run.repeat(65_536)), tokens, "{run:?}");
    }
    check(Tokenizer::O200k, &format!("あ{}", "A".repeat(2000)));
    check(Tokenizer::Cl100k, &"\u{301}A".repeat(1000));
}
