use super::*;
use proptest::prelude::*;
use serde::de::IgnoredAny;

fn accepts(text: &[u8]) -> Result<(), Error> {
    let mut cursor = Cursor::new(text)?;
    cursor.skip()?;
    cursor.finish()
}

/// serde_json's judgement under our two limits.
fn oracle(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|t| serde_json::from_str::<IgnoredAny>(t).is_ok())
}

fn check(text: &[u8]) {
    let ours = accepts(text);
    if ours.is_err_and(|e| e.kind == ErrorKind::TooDeep) {
        return;
    }
    assert_eq!(ours.is_ok(), oracle(text), "{:?}: {ours:?}", String::from_utf8_lossy(text));
}

#[test]
fn agrees_with_serde_json_on_the_usual_traps() {
    let texts = [
        "",
        " ",
        "{}",
        "[]",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,1]",
        "{\"a\"}",
        "{\"a\" 1}",
        "{a:1}",
        "nul",
        "null",
        "nulll",
        "tru",
        "true ",
        " false",
        "True",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "-01",
        "1.",
        "1.5",
        ".5",
        "1e",
        "1e+",
        "1e5",
        "1E-5",
        "1e999",
        "0x10",
        "+1",
        "NaN",
        "Infinity",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12G4\"",
        "\"\\u1234\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\u{7f}\"",
        "\"\u{1f}\"",
        "\"\n\"",
        "\"\\/\"",
        "'a'",
        "[1 2]",
        "[1]x",
        "{} {}",
        "\u{feff}{}",
        "[[[[[]]]]]",
        "[[}",
        "{\"a\":[}",
        "\"é\"",
        "\"😀\"",
        "/**/1",
        "\u{b}1",
        "\u{a0}1",
        "{\"a\":1,\"a\":2}",
        "[\"0123456789abcdef0123456789abcdef0123456789abcdef\u{1}\"]",
        "{\"a\":\"b\"",
        "{\"a\":tru",
        "1 ",
    ];
    for text in texts {
        check(text.as_bytes());
    }
    check(b"\"\xff\"");
    check(b"\"\xe4\xb8\"");
}

#[test]
fn errors_say_what_and_where() {
    let cases: [(&str, ErrorKind, u32, (usize, usize)); 16] = [
        ("", ErrorKind::Truncated, 0, (1, 1)),
        ("{\"a\":1", ErrorKind::Truncated, 6, (1, 7)),
        ("{\n \"é\":1 x}", ErrorKind::ExpectedCommaOrBrace, 10, (2, 8)),
        ("[1 2]", ErrorKind::ExpectedCommaOrBracket, 3, (1, 4)),
        ("{1:2}", ErrorKind::ExpectedKey, 1, (1, 2)),
        ("{\"a\":1,}", ErrorKind::ExpectedKey, 7, (1, 8)),
        ("{\"a\" 2}", ErrorKind::ExpectedColon, 5, (1, 6)),
        ("[1,]", ErrorKind::ExpectedValue, 3, (1, 4)),
        ("\n\n  nuxl", ErrorKind::InvalidLiteral, 6, (3, 5)),
        ("-x", ErrorKind::InvalidNumber, 1, (1, 2)),
        ("01", ErrorKind::InvalidNumber, 1, (1, 2)),
        (r#""a\x""#, ErrorKind::InvalidEscape, 3, (1, 4)),
        (r#""\u12x4""#, ErrorKind::InvalidEscape, 5, (1, 6)),
        ("\"a\tb\"", ErrorKind::ControlCharacter, 2, (1, 3)),
        ("1 1", ErrorKind::TrailingData, 2, (1, 3)),
        ("\"abc", ErrorKind::Truncated, 4, (1, 5)),
    ];
    for (text, kind, offset, (line, column)) in cases {
        let error = accepts(text.as_bytes()).unwrap_err();
        assert_eq!(error, Error { kind, offset }, "{text:?}");
        assert_eq!(error.position(text.as_bytes()), Position { line, column }, "{text:?}");
    }
    assert_eq!(accepts(b"\"ab\xff\"").unwrap_err(), Error { kind: ErrorKind::InvalidUtf8, offset: 3 });
}

#[test]
fn depth_is_limited_where_serde_json_limits_it() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = if open == "[" { "" } else { "1" };
        for (n, fits) in [(127, true), (128, false), (100_000, false)] {
            let text = format!("{}{inner}{}", open.repeat(n), close.repeat(n));
            assert_eq!(accepts(text.as_bytes()).is_ok(), fits, "{n}");
            if n < 1000 {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), fits, "{n}");
            }
        }
    }
    // Closing gives the depth back.
    assert_eq!(accepts(format!("[{}]", vec!["[]"; 500].join(",")).as_bytes()), Ok(()));
}

#[test]
fn keys_and_strings_are_decoded_on_demand() {
    let text = br#"{"mod\u0065l":"a\n\"\u00e9\ud83d\ude00\ud800x"}"#;
    let mut seen = Vec::new();
    let mut cursor = Cursor::new(text).unwrap();
    cursor
        .object(|c, key| {
            assert_eq!((key.name, key.start), (&b"model"[..], 1));
            let value = c.string()?;
            assert_eq!((value.escapes, value.unicode_escapes), (6, 4));
            assert_eq!(&text[value.range()], value.raw);
            assert_eq!(text[value.quoted().start], b'"');
            seen.push(value.text().into_owned());
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(seen, ["a\n\"é😀\u{fffd}x"]);
}

#[test]
fn special_bytes_are_found_at_every_place() {
    for length in 0..100 {
        for special in [b'"', b'\\', 0, 0x1f] {
            // Neighbours that the carry tricks could mistake.
            let mut text = vec![0x21u8; length];
            text.extend([special, special ^ 1, 0x80, 0xff, 0x23, 0x5d, 0x20]);
            assert_eq!(plain_length(&text), length, "{special}");
        }
        let plain: Vec<u8> =
            [0x20, 0x21, 0x23, 0x5b, 0x5d, 0x80, 0xa0, 0xa2, 0xdc, 0xff].into_iter().cycle().take(length).collect();
        assert_eq!(plain_length(&plain), length);
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn accepts_every_value(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        prop_assert_eq!(accepts(&text), Ok(()));
    }

    #[test]
    fn judges_mutations_as_serde_json(
        value in json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..4),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        for (at, edit, byte) in edits {
            let soup = b"{}[]\",:\\0123456789eE+-.truefalsn \n";
            let byte = if byte < 128 { soup[usize::from(byte) % soup.len()] } else { byte };
            let i = at.index(text.len() + 1).min(text.len());
            match edit {
                0 => text.truncate(i),
                1 if i < text.len() => text[i] = byte,
                2 if i < text.len() => drop(text.remove(i)),
                _ => text.insert(i, byte),
            }
        }
        check(&text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, soup in "[\\[\\]{}\",:\\\\u0-9a-f.eE+ \n-]{0,40}") {
        check(&bytes);
        check(soup.as_bytes());
        drop(unescape(&bytes));
    }

    #[test]
    fn escaping_round_trips(text: String) {
        let mut quoted = Vec::new();
        quote_into(&text, &mut quoted);
        prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text.clone());
        prop_assert_eq!(unescape(&quoted[1..quoted.len() - 1]), text);
    }
}
