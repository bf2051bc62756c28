use super::*;
use proptest::prelude::*;

fn scan(body: &str) -> Scan {
    scan_responses(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn with(members: &str) -> String {
    format!(r#"{{{members},"input":"x"}}"#)
}

fn item(members: &str) -> String {
    format!(r#"{{"input":[{{{members}}}]}}"#)
}

#[test]
fn finds_the_fields_and_their_places() {
    let body = r#" {"model": "gpt-5" ,"stream":true, "input": "Hi, you 2", "waypost" : {"stage":"ui"} ,
        "instructions":"be brief", "max_output_tokens":1e2, "parallel_tool_calls":false, "reasoning":{"effort":"low"},
        "text":{"verbosity":"low","format":{"schema":{"type":"no"},"type":"json_schema"}},
        "tools":[{"type":"function"},{}], "store":false } "#;
    let s = scan(body);
    let at = |r: &Option<Range<usize>>| r.clone().map(|r| &body[r]);
    assert_eq!(at(&s.model), Some(r#""gpt-5""#));
    assert_eq!(at(&s.waypost), Some(r#"{"stage":"ui"}"#));
    assert_eq!(at(&s.waypost_member), Some(r#", "waypost" : {"stage":"ui"}"#));
    assert_eq!(s.stream.as_ref().map(|(on, r)| (*on, &body[r.clone()])), Some((true, "true")));
    assert_eq!(s.max_output_tokens_field.as_ref().map(|(n, r)| (*n, &body[r.clone()])), Some((Some(100), "1e2")));
    assert_eq!((s.max_output_tokens, s.parallel_tool_calls), (Some(100), Some(false)));
    assert_eq!((s.tools, s.tools_bytes, s.json_schema, s.json_object, s.reasoning), (2, 24, true, false, true));
    assert_eq!((s.end, s.messages, s.has_members), (body.rfind('}').unwrap(), 2, true));
    let texts: Vec<_> = s.texts.iter().map(|t| (t.role, &body[t.range.clone()])).collect();
    assert_eq!(texts, [(Role::User, "Hi, you 2"), (Role::System, "be brief")]);
    assert!(s.usage_asked() && s.stateful.is_none() && !s.carries_foreign);
}

#[test]
fn reads_conversations_with_tools_and_media() {
    let body = r#"{"model":"m","input":[
        {"role":"developer","content":"be brief"},
        {"type":"message","role":"user","content":[{"text":"what is","type":"input_text"},
            {"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"},
            {"type":"input_image","image_url":"https://x.test/a.png","detail":"high"},
            {"type":"input_audio","input_audio":{"data":"CCCCCC","format":"wav"}},
            {"type":"input_file","file_data":"data:application/pdf;base64,DD","filename":"a.pdf"}]},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"abc"},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"let me see","annotations":[]},
            {"type":"refusal","refusal":"no"}]},
        {"arguments":"{\"x\":1}","type":"function_call","call_id":"a","name":"f"},
        {"type":"custom_tool_call","call_id":"b","name":"g","input":"SELECT 1"},
        {"type":"function_call_output","call_id":"a","output":"42"},
        {"type":"custom_tool_call_output","call_id":"b","output":[{"type":"input_text","text":"rows"},
            {"type":"input_image","image_url":"data:image/png;base64,BB","detail":"auto"}]},
        {"type":"web_search_call","id":"ws","status":"completed","action":{"type":"search","query":"q"}}]}"#;
    let s = scan(body);
    let texts: Vec<_> = s.texts.iter().map(|t| (t.role, &body[t.range.clone()])).collect();
    assert_eq!(
        texts,
        [
            (Role::System, "be brief"),
            (Role::User, "what is"),
            (Role::Assistant, "hm"),
            (Role::Assistant, "let me see"),
            (Role::Assistant, "no"),
            (Role::Assistant, r#"{\"x\":1}"#),
            (Role::Assistant, "SELECT 1"),
            (Role::Tool, "42"),
            (Role::Tool, "rows"),
        ]
    );
    assert_eq!((s.images, s.images_low_detail, s.audio, s.video, s.documents), (3, 1, 1, 0, 1));
    assert_eq!(s.media_bytes, 26 + 6 + 30 + 24);
    assert_eq!((s.messages, s.tool_turns), (9, 4));
}

#[test]
fn what_a_provider_keeps_is_named() {
    let cases = [
        (r#"{"previous_response_id":"resp_1"}"#, Some("previous_response_id")),
        (r#"{"conversation":{"id":"conv_1"},"input":"x"}"#, Some("conversation")),
        (r#"{"conversation":"conv_1","input":null}"#, Some("conversation")),
        (r#"{"prompt":{"id":"pmpt_1"}}"#, Some("prompt")),
        (r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#, Some("item_reference")),
        (r#"{"input":[{"id":"msg_1"}]}"#, Some("item_reference")),
        (r#"{"input":"x","background":true}"#, Some("background")),
        (r#"{"input":"x","background":false,"previous_response_id":null,"conversation":null,"prompt":null}"#, None),
    ];
    for (body, want) in cases {
        assert_eq!(scan(body).stateful, want, "{body}");
    }
    let carried = r#""type":"reasoning","summary":[],"encrypted_content":"waypost.anthropic..c2ln""#;
    assert!(scan(&item(carried)).carries_foreign);
    let token = crate::chat::Signature { dialect: crate::registry::Dialect::Gemini, value: "x".into(), id: None };
    assert!(token.token(crate::registry::Dialect::Responses).as_bytes().starts_with(CARRIED));
}

#[test]
fn reasoning_is_asked_for_by_effort_or_summary() {
    for (value, want) in [
        ("null", false),
        ("{}", false),
        (r#"{"effort":null,"summary":null}"#, false),
        (r#"{"effort":"none","summary":"auto"}"#, false),
        (r#"{"effort":"low"}"#, true),
        (r#"{"summary":"auto"}"#, true),
    ] {
        assert_eq!(scan(&with(&format!(r#""reasoning":{value}"#))).reasoning, want, "{value}");
    }
}

#[test]
fn refusals_name_the_field_and_say_why() {
    let cases = [
        ("[]", "the body must be a JSON object, not an array"),
        ("{}", "`input` is required"),
        (r#"{"background":true}"#, "`input` is required"),
        (r#"{"messages":[]}"#, "`input` is required"),
        (r#"{"input":null}"#, "`input` is required"),
        (r#"{"input":7}"#, "`input` must be a string or an array of items, not a number"),
        (r#"{"input":[]}"#, "`input` must be not empty"),
        (r#"{"input":[],"instructions":"x"}"#, "`input` must be not empty"),
        (r#"{"input":["x"]}"#, "`input[0]` must be an object, not a string"),
        (r#"{"input":[{"content":"x"}]}"#, "`input[0].type` is required"),
        (&item(r#""type":"message""#), "`input[0].role` is required"),
        (&item(r#""role":1"#), "`input[0].role` must be a string, not a number"),
        (&item(r#""role":"tool""#), "`input[0].role` must be one of user, assistant, system and developer"),
        (
            &item(r#""role":"user","content":{}"#),
            "`input[0].content` must be a string or an array of parts, not an object",
        ),
        (&item(r#""role":"user","role":"system""#), "`input[0].role` is given more than once"),
        (&item(r#""role":"user","Content":"x""#), "`input[0].content` must be written in lower case"),
        (&with(r#""model":1"#), "`model` must be a string, not a number"),
        (&with(r#""model":"a","model":"b""#), "`model` is given more than once"),
        (&with(r#""model":"a","MODEL":"b""#), "`model` must be written in lower case"),
        (&with(r#""stream":"true""#), "`stream` must be true or false, not a string"),
        (&with(r#""instructions":[]"#), "`instructions` must be a string, not an array"),
        (&with(r#""max_output_tokens":-1"#), "`max_output_tokens` must be a whole number from 0"),
        (&with(r#""tools":{}"#), "`tools` must be an array, not an object"),
        (&with(r#""text":"json""#), "`text` must be an object, not a string"),
        (&with(r#""reasoning":true"#), "`reasoning` must be an object, not true or false"),
        (&with(r#""background":"yes""#), "`background` must be true or false, not a string"),
        (&with(r#""waypost":{},"waypost":{}"#), "`waypost` is given more than once"),
        (r#"{"model":nul}"#, "invalid JSON at line 1, column 13 (byte 12): expected `true`, `false` or `null`"),
    ];
    for (body, want) in cases {
        let error = scan_responses(body.as_bytes()).expect_err(body);
        assert_eq!(error.to_string(), want, "{body}");
        let field = want.strip_prefix('`').and_then(|w| w.split('`').next());
        assert_eq!(error.param(), field, "{body}");
    }
}

#[test]
fn null_is_accepted_where_the_api_accepts_it() {
    for field in FIELDS.into_iter().filter(|f| !matches!(*f, "model" | "input")) {
        let s = scan(&with(&format!(r#""{field}":null"#)));
        assert_eq!((s.max_output_tokens, s.tools, s.reasoning, s.stateful), (None, 0, false, None), "{field}");
    }
}

#[test]
fn field_names_stand_in_the_order_of_the_fields() {
    for (i, name) in FIELDS.iter().enumerate() {
        assert_eq!(Field::of(name.as_bytes()).map(|f| f as usize), Some(i), "{name}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, cut: prop::sample::Index, flip: prop::sample::Index, to: u8) {
        let _ = scan_responses(&bytes);
        let mut body = item(r#""type":"reasoning","summary":[{"text":"x"}],"encrypted_content":"waypost.x""#).into_bytes();
        let _ = scan_responses(&body[..cut.index(body.len())]);
        let i = flip.index(body.len());
        body[i] = to;
        let _ = scan_responses(&body);
    }
}
