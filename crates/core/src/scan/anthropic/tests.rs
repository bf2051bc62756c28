use super::*;
use crate::splice::{CapField, Forward, OutputCap};
use proptest::prelude::*;
use serde_json::Value;

fn scan(body: &str) -> Scan {
    scan_messages(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn with(members: &str) -> String {
    format!(r#"{{{members},"messages":[{{"role":"user","content":"x"}}]}}"#)
}

fn texts<'a>(body: &'a str, s: &Scan) -> Vec<(Role, &'a str)> {
    s.texts.iter().map(|t| (t.role, &body[t.range.clone()])).collect()
}

#[test]
fn finds_the_fields_and_their_places() {
    let body = r#" {"max_tokens" : 1e2,"model": "claude" ,"stream":true,"system":"be brief",
        "messages":[{"content":"Hi","role":"user"}], "waypost" : {"stage":"ui"} ,"tool_choice":{"type":"any","disable_parallel_tool_use":true},
        "output_config":{"format":{"type":"json_schema","schema":{}}}, "tools":[{"name":"f"},{}], "temperature":1 } "#;
    let s = scan(body);
    let at = |r: &Option<Range<usize>>| r.clone().map(|r| &body[r]);
    assert_eq!(at(&s.model), Some(r#""claude""#));
    assert_eq!(at(&s.waypost), Some(r#"{"stage":"ui"}"#));
    assert_eq!(at(&s.waypost_member), Some(r#", "waypost" : {"stage":"ui"}"#));
    assert_eq!(s.stream.as_ref().map(|(on, r)| (*on, &body[r.clone()])), Some((true, "true")));
    assert_eq!(s.max_tokens.as_ref().map(|(n, r)| (*n, &body[r.clone()])), Some((Some(100), "1e2")));
    assert_eq!((s.max_output_tokens, s.parallel_tool_calls), (Some(100), Some(false)));
    assert_eq!((s.tools, s.tools_bytes, s.json_schema, s.json_object, s.reasoning), (2, 17, true, false, false));
    assert_eq!((s.end, s.messages, s.has_members), (body.rfind('}').unwrap(), 1, true));
    assert_eq!(texts(body, &s), [(Role::System, "be brief"), (Role::User, "Hi")]);
    assert_eq!((s.stats.bytes, s.stats.spaces), (10, 1));
}

#[test]
fn reads_conversations_with_tools_and_media() {
    let body = r#"{"model":"m","system":[{"type":"text","text":"kind","cache_control":{"type":"ephemeral"}}],"messages":[
        {"role":"user","content":[{"text":"what is","type":"text"},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
            {"source":{"url":"https://x.test/a.png","type":"url"},"type":"image"},
            {"type":"document","source":{"data":"plain words","media_type":"text/plain","type":"text"},"title":"t"},
            {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"BBBBBB"}},
            {"type":"document","source":{"type":"content","content":[{"type":"text","text":"chunk"}]}},
            {"type":"search_result","source":"https://x.test","title":"no","content":[{"type":"text","text":"found"}]},
            {"type":"hologram","data":"no","deep":[{"text":"no"}]}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"no"},
            {"type":"redacted_thinking","data":"no"},
            {"type":"tool_use","id":"a","name":"f","input":{"x": "a\"b"}},
            {"type":"server_tool_use","id":"b","name":"web_search","input":{}},
            {"type":"web_search_tool_result","tool_use_id":"b","content":[{"type":"web_search_result","encrypted_content":"no","title":"no"}]}]},
        {"content":[{"content":"42","type":"tool_result","tool_use_id":"a"},
            {"type":"tool_result","tool_use_id":"c","content":[{"type":"text","text":"seen"},
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"CC"}}]},
            {"type":"text","text":"so?"}],"role":"user"},
        {"role":"system","content":"in Danish"}]}"#;
    let s = scan(body);
    assert_eq!(
        texts(body, &s),
        [
            (Role::System, "kind"),
            (Role::User, "what is"),
            (Role::User, "plain words"),
            (Role::User, "chunk"),
            (Role::User, "found"),
            (Role::Assistant, "hm"),
            (Role::Assistant, r#"{"x": "a\"b"}"#),
            (Role::Assistant, "{}"),
            (Role::Tool, "42"),
            (Role::Tool, "seen"),
            (Role::User, "so?"),
            (Role::System, "in Danish"),
        ]
    );
    assert_eq!((s.images, s.documents, s.media_bytes), (3, 3, 4 + 6 + 2));
    assert_eq!((s.messages, s.tool_turns, s.stats.escapes), (4, 5, 1));
}

#[test]
fn reasoning_is_asked_for_in_two_ways() {
    let cases = [
        (r#""thinking":{"type":"enabled","budget_tokens":2000}"#, true),
        (r#""thinking":{"type":"adaptive"}"#, true),
        (r#""thinking":{"type":"disabled"}"#, false),
        (r#""thinking":null"#, false),
        (r#""output_config":{"effort":"low"}"#, true),
        (r#""output_config":{"effort":null}"#, false),
        (r#""output_config":null"#, false),
    ];
    for (members, want) in cases {
        assert_eq!(scan(&with(members)).reasoning, want, "{members}");
    }
}

#[test]
fn refusals_name_the_field_and_say_why() {
    let message = |members: &str| format!(r#"{{"messages":[{{{members}}}]}}"#);
    let cases = [
        ("[]".to_owned(), "the body must be a JSON object, not an array"),
        ("{}".into(), "`messages` is required"),
        (r#"{"messages":[]}"#.into(), "`messages` must be not empty"),
        (r#"{"messages":"x"}"#.into(), "`messages` must be an array, not a string"),
        (message(r#""content":"x""#), "`messages[0].role` is required"),
        (message(r#""role":"tool","content":"x""#), "`messages[0].role` must be one of user, assistant and system"),
        (
            message(r#""role":"user","content":null"#),
            "`messages[0].content` must be a string or an array of blocks, not null",
        ),
        (message(r#""role":"user","role":"system""#), "`messages[0].role` is given more than once"),
        (message(r#""role":"user","Content":"x""#), "`messages[0].content` must be written in lower case"),
        (with(r#""model":"a","model":"b""#), "`model` is given more than once"),
        (with(r#""Model":"b""#), "`model` must be written in lower case"),
        (with(r#""system":{}"#), "`system` must be a string or an array of blocks, not an object"),
        (with(r#""max_tokens":"9""#), "`max_tokens` must be a number, not a string"),
        (with(r#""stream":1"#), "`stream` must be true or false, not a number"),
        (with(r#""thinking":true"#), "`thinking` must be an object, not true or false"),
        (with(r#""tools":{}"#), "`tools` must be an array, not an object"),
        (r#"{"model":nul}"#.into(), "invalid JSON at line 1, column 13 (byte 12): expected `true`, `false` or `null`"),
    ];
    for (body, want) in cases {
        let error = scan_messages(body.as_bytes()).expect_err(&body);
        assert_eq!(error.to_string(), want, "{body}");
    }
}

#[test]
fn odd_values_inside_known_fields_pass() {
    for members in [
        r#""tools":[null,7]"#,
        r#""waypost":[1]"#,
        r#""tool_choice":{"disable_parallel_tool_use":"x"}"#,
        r#""thinking":{"type":7}"#,
        r#""output_config":{"format":7,"effort":{}}"#,
        r#""system":[7,null,{"type":{},"text":[]}]"#,
    ] {
        assert_eq!(scan(&with(members)).texts.len(), 1, "{members}");
    }
    let body = r#"{"messages":[{"role":"user","content":["bare",{"type":"image","source":"x"},{"type":"image","source":{"data":7}},{"input":[1]}]}]}"#;
    let s = scan(body);
    assert_eq!(texts(body, &s), [(Role::User, "bare"), (Role::User, "[1]")]);
}

#[test]
fn what_is_spliced_says_what_it_must() {
    let forward = |cap| Forward {
        model: "claude-x",
        usage: true,
        cap: Some(OutputCap { tokens: cap, field: CapField::MaxTokens }),
    };
    let cases = [
        (with(r#""model":"m","max_tokens":100,"waypost":{"stage":"s"}"#), 7, 7),
        (with(r#""waypost":{},"max_tokens":5"#), 7, 5),
        (with(r#""model":"m""#), 7, 7),
        (with(r#""max_tokens":null"#), 7, 7),
        (r#"{"messages":[{"role":"user","content":"x"}],"waypost":1}"#.to_owned(), 9, 9),
    ];
    for (body, cap, want) in cases {
        let s = scan(&body);
        let sent = s.upstream_body(&body.clone().into(), &forward(cap));
        let value: Value = serde_json::from_slice(&sent).unwrap_or_else(|e| panic!("{e}: {body}"));
        let members: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((&value["model"], &value["max_tokens"]), (&"claude-x".into(), &want.into()), "{body}");
        assert!(!members.contains(&"waypost") && value["messages"][0]["content"] == "x", "{body}");
    }
}

#[test]
fn what_other_dialects_left_in_the_history_is_seen() {
    let carried = [
        r#"{"type":"thinking","thinking":"hm","signature":"waypost.gemini..S"}"#,
        r#"{"type":"thinking","thinking":"unsigned","signature":""}"#,
        r#"{"type":"redacted_thinking","data":"waypost.responses.call.S"}"#,
        r#"{"type":"text","text":"x","citations":[{"type":"web_search_result_location","encrypted_index":""}]}"#,
        r#"{"type":"tool_use","id":"call:1","name":"f","input":{}}"#,
    ];
    let own = [
        r#"{"type":"thinking","thinking":"hm","signature":"EqoB"}"#,
        r#"{"type":"text","text":"waypost.gemini..S","citations":[{"encrypted_index":"Eo8B"},7]}"#,
        r#"{"type":"image","source":{"type":"base64","data":"waypost."}}"#,
        r#"{"type":"tool_use","id":"toolu_01-A","name":"f","input":{}}"#,
    ];
    for (block, want) in carried.into_iter().map(|b| (b, true)).chain(own.into_iter().map(|b| (b, false))) {
        let body = format!(r#"{{"messages":[{{"role":"assistant","content":[{block}]}}]}}"#);
        assert_eq!(scan(&body).carries_foreign, want, "{block}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, cut: prop::sample::Index, flip: prop::sample::Index, to: u8) {
        let _ = scan_messages(&bytes);
        let body = with(r#""model":"m","waypost":{"a":1},"system":[{"type":"text","text":"x"}],"thinking":{"type":"adaptive"}"#);
        let mut body = body.replace(r#""x"}]}"#, r#"[{"type":"tool_use","input":{"a":"\u00e9\\"}},{"type":"image","source":{"data":"AA"}}]}]}"#).into_bytes();
        let _ = scan_messages(&body[..cut.index(body.len())]);
        let i = flip.index(body.len());
        body[i] = to;
        let _ = scan_messages(&body);
    }

    #[test]
    fn inputs_count_as_strings_do(text: String) {
        let input = serde_json::json!({ "a": text }).to_string();
        let body = format!(r#"{{"messages":[{{"role":"assistant","content":[{{"type":"tool_use","input":{input}}}]}}]}}"#);
        let s = scan(&body);
        prop_assert_eq!(&body[s.texts[0].range.clone()], input);
        let chars = |n: usize| text.chars().filter(|c| c.len_utf8() == n).count() as u64;
        prop_assert_eq!((s.stats.two_byte, s.stats.three_byte, s.stats.four_byte), (chars(2), chars(3), chars(4)));
    }
}
