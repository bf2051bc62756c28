//! What is read from a client, and what is refused.

use super::*;
use crate::chat::{Effort, Format, MediaKind, Role, Signature, Source, Thinking, ToolChoice};

fn read(members: &str) -> Request {
    let body = format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"x"}}],{members}}}"#);
    decode_request(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn parts(name: &str, message: usize) -> Vec<Part> {
    decode_request(fixture("requests", name).as_bytes()).unwrap().messages.swap_remove(message).parts
}

#[test]
fn the_canonical_form_says_what_the_client_said() {
    let r = decode_request(fixture("requests", "system_inside").as_bytes()).unwrap();
    let roles: Vec<_> = r.messages.iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::System, Role::User]);
    assert_eq!(
        (r.origin, r.model.as_str(), r.max_output_tokens),
        (Dialect::Anthropic, "claude-sonnet-4-5", Some(1024))
    );

    let results = parts("parallel_results", 2);
    let Content::ToolResult(first) = &results[0].content else { panic!("{results:?}") };
    assert_eq!((first.call_id.as_str(), first.parts.len(), first.is_error), ("toolu_01", 2, false));
    let Content::ToolResult(second) = &results[1].content else { panic!("{results:?}") };
    assert_eq!((second.parts.as_slice(), second.is_error), ([Part::text("no such harbour")].as_slice(), true));

    let calls = parts("parallel_results", 1);
    let Content::ToolCall(call) = &calls[0].content else { panic!("{calls:?}") };
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("tide", r#"{"harbour":"Ribe"}"#));

    let media: Vec<_> = parts("documents", 0)
        .into_iter()
        .map(|p| match p.content {
            Content::Media(m) => (m.kind, m.name, matches!(m.source, Source::Text(_))),
            _ => (MediaKind::Audio, None, false),
        })
        .collect();
    let document = |name: Option<&str>, text| (MediaKind::Document, name.map(str::to_owned), text);
    assert_eq!(media[..3], [document(Some("chart.pdf"), false), document(None, true), document(None, false)]);
    assert_eq!(media[3], document(Some("chunks"), true), "how a text is cut is an extra");
    let natives = parts("newer", 0);
    assert!(matches!(natives[0].content, Content::Native(_)), "what only this API knows is native");

    let thoughts = parts("thinking_round_trip", 1);
    let signatures: Vec<_> =
        thoughts.iter().map(|p| p.signature.as_ref().map(|s| (s.dialect, s.value.as_str()))).collect();
    let own = |value| Some((Dialect::Anthropic, value));
    assert_eq!(signatures, [own("EqoBCkgIAxgC"), own("EmwKAhgBEgy3va3p"), None, None]);
    assert!(matches!(&thoughts[1].content, Content::Reasoning { text, redacted: true, .. } if text.is_empty()));
}

#[test]
fn parameters_have_one_meaning() {
    let thinking = |enabled, effort, budget_tokens, show| Some(Thinking { enabled, effort, budget_tokens, show });
    let cases = [
        (r#""thinking":{"type":"enabled","budget_tokens":2000}"#, thinking(Some(true), None, Some(2000), None)),
        (r#""thinking":{"type":"adaptive","display":"omitted"}"#, thinking(Some(true), None, None, Some(false))),
        (r#""thinking":{"type":"disabled"}"#, thinking(Some(false), None, None, None)),
        (r#""output_config":{"effort":"max"}"#, thinking(None, Some(Effort::Max), None, None)),
        (
            r#""thinking":{"type":"adaptive"},"output_config":{"effort":"low"}"#,
            thinking(Some(true), Some(Effort::Low), None, None),
        ),
        (r#""thinking":null,"output_config":null"#, None),
    ];
    for (members, want) in cases {
        assert_eq!(read(members).reasoning, want, "{members}");
    }
    let choices = [
        (r#""tool_choice":{"type":"auto"}"#, ToolChoice::Auto, None),
        (r#""tool_choice":{"type":"any","disable_parallel_tool_use":true}"#, ToolChoice::Required, Some(false)),
        (r#""tool_choice":{"type":"none"}"#, ToolChoice::None, None),
        (
            r#""tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":false}"#,
            ToolChoice::Tool("f".into()),
            Some(true),
        ),
    ];
    for (members, choice, parallel) in choices {
        let r = read(members);
        assert_eq!((r.tool_choice, r.parallel_tools), (Some(choice), parallel), "{members}");
    }
    let r = read(
        r#""stream":true,"stop_sequences":["a"],"temperature":0.5,"top_k":3,"metadata":{"user_id":"u"},"waypost":{"stage":"s"}"#,
    );
    assert!(r.stream && r.include_usage && r.extras.is_empty());
    assert_eq!((r.stop, r.top_k, r.user.as_deref()), (vec!["a".to_owned()], Some(3), Some("u")));
    let r = read(r#""output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}"#);
    assert!(matches!(r.format, Format::JsonSchema { strict: Some(true), .. }));
}

#[test]
fn signatures_of_other_dialects_come_home() {
    let gemini = Signature { dialect: Dialect::Gemini, value: "AbC=".into(), id: None };
    let responses = Signature { dialect: Dialect::Responses, value: "gAAA".into(), id: Some("rs_1".into()) };
    let content = serde_json::json!([
        {"type": "thinking", "thinking": "summed up", "signature": responses.token(Dialect::Anthropic)},
        {"type": "redacted_thinking", "data": shared::call_token(&gemini)},
        {"type": "tool_use", "id": "c.1", "name": "f", "input": {}},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
        {"type": "redacted_thinking", "data": gemini.token(Dialect::Anthropic)},
    ]);
    let body = serde_json::json!({"model": "m", "messages": [{"role": "assistant", "content": content}]});
    let r = decode_request(body.to_string().as_bytes()).unwrap();
    let parts = &r.messages[0].parts;
    let signatures: Vec<_> = parts.iter().map(|p| p.signature.clone()).collect();
    assert_eq!(signatures, [Some(responses), Some(gemini.clone()), None, Some(gemini)]);
    assert!(matches!(parts[0].content, Content::Reasoning { summary: true, .. }));
    assert!(matches!(parts[1].content, Content::ToolCall(_)));
    assert!(matches!(parts[2].content, Content::Reasoning { summary: false, redacted: false, .. }));
    assert!(matches!(parts[3].content, Content::Reasoning { redacted: true, .. }));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let user = |block: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{block}]}}]}}"#);
    let assistant = |block: &str| format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":[{block}]}}]}}"#);
    let with = |members: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{members}}}"#);
    let image = |source: &str| user(&format!(r#"{{"type":"image","source":{source}}}"#));
    let cases = [
        ("[]".into(), "must be an object, not an array"),
        ("{".into(), "not JSON"),
        (r#"{"messages":[]}"#.into(), "`model`: is required"),
        (r#"{"model":"m","messages":[]}"#.into(), "`messages`: must hold at least one message"),
        (
            r#"{"model":"m","messages":[{"role":"root","content":"x"}]}"#.into(),
            "`messages[0].role`: must be user, assistant or system, not `root`",
        ),
        (r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#.into(), "`messages[0].role`: must be user"),
        (r#"{"model":"m","messages":[{"role":"user"}]}"#.into(), "`messages[0].content`: is required"),
        (
            r#"{"model":"m","messages":[{"role":"user","content":7}]}"#.into(),
            "`messages[0].content`: must be a string or an array of blocks, not a number",
        ),
        (user("7"), "`messages[0].content[0]`: must be an object, not a number"),
        (user(r#"{"text":"x"}"#), "`messages[0].content[0].type`: is required"),
        (user(r#"{"type":"text"}"#), "`messages[0].content[0].text`: is required"),
        (
            user(r#"{"type":"tool_use","id":"a","name":"f","input":{}}"#),
            "`messages[0].content[0].type`: `tool_use` cannot stand here",
        ),
        (
            assistant(r#"{"type":"tool_result","tool_use_id":"a"}"#),
            "`messages[0].content[0].type`: `tool_result` cannot stand here",
        ),
        (
            assistant(r#"{"type":"tool_use","id":"a","name":"f","input":"{}"}"#),
            "`messages[0].content[0].input`: must be an object, not a string",
        ),
        (
            assistant(r#"{"type":"tool_use","id":"","name":"f","input":{}}"#),
            "`messages[0].content[0].id`: must not be empty",
        ),
        (
            user(r#"{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":1}]}"#),
            "`messages[0].content[0].content[0].text`: must be a string",
        ),
        (
            image(r#"{"type":"base64","media_type":"image/png","data":"not base64!"}"#),
            "`messages[0].content[0].source.data`: must be base64",
        ),
        (
            image(r#"{"type":"base64","media_type":"image/png","data":""}"#),
            "`messages[0].content[0].source.data`: must be base64",
        ),
        (image(r#"{"type":"base64","media_type":"image/png","data":"AAAAA"}"#), "must be base64"),
        (
            image(r#"{"type":"base64","media_type":"text/html","data":"AAAA"}"#),
            "`messages[0].content[0].source.media_type`: must be an image's",
        ),
        (user(r#"{"type":"image"}"#), "`messages[0].content[0].source`: is required"),
        (image(r#"{"type":"url"}"#), "`messages[0].content[0].source.url`: is required"),
        (with(r#""system":[{"type":"image"}]"#), "`system[0].type`: `image` cannot stand here"),
        (with(r#""thinking":{"type":"enabled"}"#), "`thinking.budget_tokens`: is required"),
        (
            with(r#""thinking":{"type":"adaptive","display":"loud"}"#),
            "`thinking.display`: must be summarized or omitted",
        ),
        (with(r#""output_config":{"effort":"heroic"}"#), "`output_config.effort`: is not an effort: `heroic`"),
        (with(r#""output_config":{"format":{"type":"xml"}}"#), "`output_config.format.type`: must be json_schema"),
        (with(r#""tools":[{"description":"d"}]"#), "`tools[0].name`: is required"),
        (with(r#""tools":[{"name":"f","input_schema":[]}]"#), "`tools[0].input_schema`: must be a JSON schema"),
        (with(r#""tool_choice":{"type":"tool"}"#), "`tool_choice.name`: is required"),
        (with(r#""stop_sequences":[1]"#), "`stop_sequences[0]`: must be a string"),
        (with(r#""max_tokens":-1"#), "`max_tokens`: must be a whole number from 0"),
    ];
    for (body, want) in cases {
        let problem = decode_request(body.as_bytes()).expect_err(&body).to_string();
        assert!(problem.contains(want), "{body}\n  {problem}\n  {want}");
    }
}
