use super::*;
use crate::json::ErrorKind;
use proptest::prelude::*;

fn scan(body: &str) -> Scan {
    scan_chat(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn with(members: &str) -> String {
    format!(r#"{{{members},"messages":[{{"role":"user","content":"x"}}]}}"#)
}

fn message(members: &str) -> String {
    format!(r#"{{"messages":[{{{members}}}]}}"#)
}

#[test]
fn finds_the_fields_and_their_places() {
    let body = r#" {"model": "gpt-4o" ,"stream":true,"stream_options":{"x":1,"include_usage":false},
        "messages":[{"content":"Hi, you 2","role":"user"}], "waypost" : {"stage":"ui"} , "n":2, "max_tokens":9,
        "max_completion_tokens":1e2, "parallel_tool_calls":false, "reasoning_effort":"low",
        "response_format":{"type":"json_schema","json_schema":{}}, "tools":[{"type":"function"},{}], "user":"u" } "#;
    let s = scan(body);
    let at = |r: &Option<Range<usize>>| r.clone().map(|r| &body[r]);
    assert_eq!(at(&s.model), Some(r#""gpt-4o""#));
    assert_eq!(at(&s.waypost), Some(r#"{"stage":"ui"}"#));
    assert_eq!(at(&s.waypost_member), Some(r#", "waypost" : {"stage":"ui"}"#));
    assert_eq!(at(&s.stream_options), Some(r#"{"x":1,"include_usage":false}"#));
    assert_eq!(s.include_usage.as_ref().map(|(on, r)| (*on, &body[r.clone()])), Some((false, "false")));
    assert_eq!(s.stream.as_ref().map(|(on, r)| (*on, &body[r.clone()])), Some((true, "true")));
    assert_eq!(s.max_tokens.as_ref().map(|(n, r)| (*n, &body[r.clone()])), Some((Some(9), "9")));
    assert_eq!(s.max_completion_tokens.as_ref().map(|(n, r)| (*n, &body[r.clone()])), Some((Some(100), "1e2")));
    assert_eq!((s.max_output_tokens, s.n, s.parallel_tool_calls), (Some(100), Some(2), Some(false)));
    assert_eq!((s.tools, s.tools_bytes, s.json_schema, s.json_object, s.reasoning), (2, 24, true, false, true));
    assert!(s.has_members && s.stream_options_members);
    assert_eq!((s.end, s.messages), (body.rfind('}').unwrap(), 1));
    assert_eq!(s.texts.len(), 1);
    assert_eq!((s.texts[0].role, &body[s.texts[0].range.clone()]), (Role::User, "Hi, you 2"));
    let stats = TextStats { bytes: 9, spaces: 2, digits: 1, punctuation: 1, ..TextStats::default() };
    assert_eq!(s.stats, stats);
}

#[test]
fn reads_conversations_with_tools_and_media() {
    let body = r#"{"model":"m","messages":[
        {"role":"developer","content":"be brief"},
        {"role":"user","content":[{"text":"what is","type":"text"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},
            {"type":"image_url","image_url":{"detail":"high","url":"https://x.test/a.png"}},
            {"image_url":"data:image/png;base64,BB","type":"image_url"},
            {"type":"input_audio","input_audio":{"data":"CCCCCC","format":"wav"}},
            {"type":"file","file":{"file_data":"data:application/pdf;base64,DD","filename":"a.pdf"}},
            {"type":"video_url","video_url":{"url":"https://x.test/v.mp4"}},
            {"type":"hologram","hologram":{"data":"not media","deep":[{"text":"no"}]}},
            "bare"]},
        {"role":"assistant","content":null,"refusal":"no","tool_calls":[
            {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
            {"id":"b","type":"custom","custom":{"name":"g","input":"SELECT 1"}}]},
        {"role":"tool","tool_call_id":"a","content":"42"},
        {"role":"assistant","function_call":{"name":"h","arguments":"{}"}},
        {"role":"function","name":"h","content":[{"type":"text","text":"ok"}]}]}"#;
    let s = scan(body);
    let texts: Vec<_> = s.texts.iter().map(|t| (t.role, &body[t.range.clone()])).collect();
    assert_eq!(
        texts,
        [
            (Role::System, "be brief"),
            (Role::User, "what is"),
            (Role::User, "bare"),
            (Role::Assistant, "no"),
            (Role::Assistant, r#"{\"x\":1}"#),
            (Role::Assistant, "SELECT 1"),
            (Role::Tool, "42"),
            (Role::Assistant, "{}"),
            (Role::Tool, "ok"),
        ]
    );
    assert_eq!((s.images, s.images_low_detail, s.audio, s.video, s.documents), (3, 1, 1, 1, 1));
    assert_eq!(s.media_bytes, (26 + 24 + 6 + 30) as u64);
    assert_eq!((s.messages, s.tool_turns), (6, 5));
}

#[test]
fn text_counts_see_through_escapes() {
    let check = |content: &str, want: TextStats| {
        let body = message(&format!(r#""role":"user","content":"{content}""#));
        assert_eq!(scan(&body).stats, want, "{content}");
    };
    let none = TextStats::default();
    check("", none);
    check("a b 12!", TextStats { bytes: 7, spaces: 2, digits: 2, punctuation: 1, ..none });
    check("é語😀", TextStats { bytes: 9, two_byte: 1, three_byte: 1, four_byte: 1, ..none });
    check(r#"\n\\\"x"#, TextStats { bytes: 7, escapes: 3, punctuation: 2, ..none });
    check(
        r"\u00e9\u8a9e\ud83d\ude00\u0041 7",
        TextStats {
            bytes: 32,
            spaces: 1,
            digits: 1,
            escapes: 5,
            unicode_escapes: 5,
            two_byte: 1,
            three_byte: 1,
            four_byte: 1,
            ..none
        },
    );
    let long = "word 1. ".repeat(100);
    check(&long, TextStats { bytes: 800, spaces: 200, digits: 100, punctuation: 100, ..none });
}

#[test]
fn null_is_accepted_where_the_api_accepts_it() {
    for field in FIELDS_THAT_MAY_BE_NULL {
        let s = scan(&with(&format!(r#""{field}":null"#)));
        assert_eq!((s.max_output_tokens, s.n, s.tools, s.reasoning), (None, None, 0, false), "{field}");
    }
    let body = with(r#""max_tokens":null,"stream":null,"stream_options":{"include_usage":null}"#);
    let s = scan(&body);
    assert_eq!(s.max_tokens.map(|(n, r)| (n, &body[r])), Some((None, "null")));
    assert_eq!(s.stream.map(|(on, r)| (on, &body[r])), Some((false, "null")));
    assert_eq!(s.include_usage.map(|(on, r)| (on, &body[r])), Some((false, "null")));
    assert_eq!(scan(&message(r#""role":"assistant","content":null,"tool_calls":null"#)).texts, []);
}

const FIELDS_THAT_MAY_BE_NULL: [&str; 12] = [
    "stream",
    "stream_options",
    "tools",
    "functions",
    "response_format",
    "parallel_tool_calls",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "reasoning_effort",
    "reasoning",
    "waypost",
];

#[test]
fn refusals_name_the_field_and_say_why() {
    let cases = [
        ("[]", "the body must be a JSON object, not an array"),
        ("\"x\"", "the body must be a JSON object, not a string"),
        ("{}", "`messages` is required"),
        (r#"{"messages":"x"}"#, "`messages` must be an array, not a string"),
        (r#"{"messages":null}"#, "`messages` must be an array, not null"),
        (r#"{"messages":[]}"#, "`messages` must be not empty"),
        (r#"{"messages":[{"role":"user"},7]}"#, "`messages[1]` must be an object, not a number"),
        (r#"{"messages":[{"content":"x"}]}"#, "`messages[0].role` is required"),
        (&message(r#""role":1"#), "`messages[0].role` must be a string, not a number"),
        (
            &message(r#""role":"root""#),
            "`messages[0].role` must be one of system, developer, user, assistant, tool and function",
        ),
        (
            &message(r#""role":"user","content":{}"#),
            "`messages[0].content` must be a string or an array of parts, not an object",
        ),
        (&message(r#""role":"user","tool_calls":{}"#), "`messages[0].tool_calls` must be an array, not an object"),
        (&message(r#""role":"user","role":"system""#), "`messages[0].role` is given more than once"),
        (&message(r#""role":"user","Content":"x""#), "`messages[0].content` must be written in lower case"),
        (&with(r#""model":1"#), "`model` must be a string, not a number"),
        (&with(r#""model":null"#), "`model` must be a string, not null"),
        (&with(r#""model":"a","model":"b""#), "`model` is given more than once"),
        (&with(r#""model":"a","mod\u0065l":"b""#), "`model` is given more than once"),
        (&with(r#""model":"a","MODEL":"b""#), "`model` must be written in lower case"),
        (&with("\"max_token\u{17f}\":1"), "`max_tokens` must be written in lower case"),
        (&with(r#""stream":"true""#), "`stream` must be true or false, not a string"),
        (&with(r#""stream_options":[]"#), "`stream_options` must be an object, not an array"),
        (
            &with(r#""stream_options":{"include_usage":1}"#),
            "`stream_options.include_usage` must be true or false, not a number",
        ),
        (
            &with(r#""stream_options":{"include_usage":true,"include_usage":true}"#),
            "`stream_options.include_usage` is given more than once",
        ),
        (&with(r#""n":0"#), "`n` must be at least 1"),
        (&with(r#""n":1.5"#), "`n` must be a whole number from 0"),
        (&with(r#""max_tokens":-1"#), "`max_tokens` must be a whole number from 0"),
        (&with(r#""max_completion_tokens":"9""#), "`max_completion_tokens` must be a number, not a string"),
        (&with(r#""tools":{}"#), "`tools` must be an array, not an object"),
        (&with(r#""response_format":"json""#), "`response_format` must be an object, not a string"),
        (&with(r#""waypost":{},"waypost":{}"#), "`waypost` is given more than once"),
        // A broken text is that first, whatever else is wrong.
        (r#"{"model":nul}"#, "invalid JSON at line 1, column 13 (byte 12): expected `true`, `false` or `null`"),
        ("[1,", "invalid JSON at line 1, column 4 (byte 3): unexpected end"),
        ("{\n\"a\":1\n \"b\"", "invalid JSON at line 3, column 2 (byte 9): expected `,` or `}`"),
    ];
    for (body, want) in cases {
        let error = scan_chat(body.as_bytes()).expect_err(body);
        assert_eq!(error.to_string(), want, "{body}");
        let field = want.strip_prefix('`').and_then(|w| w.split('`').next());
        assert_eq!(error.param(), field, "{body}");
    }
    let not_utf8 = scan_chat(b"{\"a\":\"\xff\"}").unwrap_err();
    assert!(matches!(not_utf8, ScanError::Json { error, .. } if error.kind == ErrorKind::InvalidUtf8), "{not_utf8}");
}

#[test]
fn keys_are_compared_decoded() {
    let body = with(r#""mod\u0065l":"m","str\u0065am":true"#);
    let s = scan(&body);
    assert_eq!(s.model.map(|r| &body[r]), Some(r#""m""#));
    assert_eq!(s.stream.map(|(on, _)| on), Some(true));
}

#[test]
fn odd_values_inside_known_fields_pass() {
    for members in [
        r#""response_format":{"type":7,"x":1}"#,
        r#""response_format":{"type":{"a":[]}}"#,
        r#""reasoning":true"#,
        r#""tools":[null,7]"#,
        r#""waypost":[1]"#,
        r#""stream_options":{"x":{"include_usage":1}}"#,
    ] {
        let s = scan(&with(members));
        assert!(!s.json_schema && !s.json_object && !s.reasoning && s.include_usage.is_none(), "{members}");
    }
    for members in [
        r#""role":"user","content":[7,null,{"type":{"x":1},"text":[],"image_url":null},{"type":"image_url","image_url":{"url":7}}]"#,
        r#""role":"user","content":[],"tool_calls":[7,{"function":[]},{"function":{"arguments":{"a":1}}}],"function_call":"auto""#,
        r#""role":"user","refusal":null,"reasoning_content":{}"#,
    ] {
        assert_eq!(scan(&message(members)).texts, [], "{members}");
    }
    assert!(scan(&with(r#""response_format":{"type":"json_object"}"#)).json_object);
    assert!(!scan(&with(r#""reasoning_effort":"none""#)).reasoning);
    assert!(scan(&with(r#""reasoning":{}"#)).reasoning);
}

#[test]
fn counts_that_do_not_fit_saturate() {
    assert_eq!(scan(&with(r#""max_tokens":99999999999999999999"#)).max_output_tokens, Some(u32::MAX));
    assert_eq!(scan(&with(r#""max_tokens":1e400"#)).max_output_tokens, Some(u32::MAX));
    assert_eq!(scan(&with(r#""max_tokens":-0"#)).max_output_tokens, Some(0));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, cut: prop::sample::Index, flip: prop::sample::Index, to: u8) {
        let _ = scan_chat(&bytes);
        let mut body = with(r#""model":"m","waypost":{"a":1},"stream":true,"stream_options":{}"#).into_bytes();
        let _ = scan_chat(&body[..cut.index(body.len())]);
        let i = flip.index(body.len());
        body[i] = to;
        let _ = scan_chat(&body);
    }

    #[test]
    fn any_content_is_found_as_it_stands(text: String, ascii: bool) {
        let quoted = if ascii { ascii_json(&text) } else { serde_json::to_string(&text).unwrap() };
        let body = message(&format!(r#""content":{quoted},"role":"user""#));
        let s = scan(&body);
        prop_assert_eq!(&body[s.texts[0].range.clone()], &quoted[1..quoted.len() - 1]);
        let chars = |n: usize| text.chars().filter(|c| c.len_utf8() == n).count() as u64;
        prop_assert_eq!((s.stats.two_byte, s.stats.three_byte, s.stats.four_byte), (chars(2), chars(3), chars(4)));
        prop_assert_eq!(s.stats.spaces, text.matches(' ').count() as u64);
        if !text.chars().any(|c| c.is_ascii_control()) {
            prop_assert_eq!(s.stats.digits, text.chars().filter(char::is_ascii_digit).count() as u64);
        }
    }
}

/// As Python's `json.dumps` writes it: everything beyond ASCII escaped.
fn ascii_json(text: &str) -> String {
    let mut out = String::new();
    for c in serde_json::to_string(text).unwrap().chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}
