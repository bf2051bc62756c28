//! What is lost on the way to another API is named as the client names it, or the request is refused.

use serde_json::{Value, json};
use waypost_core::dialect::{self, Encoded, Inexpressible, Target};
use waypost_core::registry::{Dialect, Quirks};

const ALL: [Dialect; 5] = [Dialect::OpenAi, Dialect::Responses, Dialect::Anthropic, Dialect::Gemini, Dialect::Bedrock];

fn sent(from: Dialect, to: Dialect, model: &str, body: &Value) -> Result<Encoded, Inexpressible> {
    let request = dialect::decode_request(from, body.to_string().as_bytes()).expect("well formed");
    let target = Target {
        model,
        cap: None,
        default_cap: 4096,
        strict: false,
        capabilities: None,
        quirks: Quirks::OPENAI,
        no_sampling: false,
    };
    dialect::encode_request(to, &request, &target)
}

/// The body as text, and what was dropped.
fn said(from: Dialect, to: Dialect, model: &str, body: &Value) -> (String, Vec<String>) {
    let encoded = sent(from, to, model, body).expect("it can be said");
    (String::from_utf8(encoded.body).expect("JSON is UTF-8"), encoded.dropped)
}

fn refused(from: Dialect, to: Dialect, body: &Value) -> String {
    sent(from, to, "target-model", body).expect_err("it cannot be said").field
}

/// A Messages request with this turn of the user.
fn asked(content: &Value) -> Value {
    json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": content}]})
}

#[test]
fn a_signature_that_stays_behind_is_named() {
    let google = |value: &str| json!({"google": {"thought_signature": value}});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let mut signed = call.clone();
    signed["extra_content"] = google("S");
    let turns = [
        json!({"role": "assistant", "content": "a", "tool_calls": [signed]}),
        json!({"role": "assistant", "content": "a", "tool_calls": [call], "extra_content": google("S")}),
    ];
    for turn in turns {
        let body = json!({"model": "m", "messages": [
            {"role": "user", "content": "q"}, turn, {"role": "tool", "tool_call_id": "c", "content": "r"},
        ]});
        for to in [Dialect::Anthropic, Dialect::Bedrock] {
            assert_eq!(said(Dialect::OpenAi, to, "target-model", &body).1, ["reasoning"], "{}", to.name());
        }
        assert_eq!(said(Dialect::OpenAi, Dialect::Gemini, "target-model", &body).1, [""; 0]);
    }
    // Gemini takes thoughts of others in the clear, but not their ciphers.
    let details = json!([{"type": "reasoning.summary", "summary": "hm", "id": "rs_1", "format": "openai-responses-v1"},
        {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "openai-responses-v1"}]);
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "reasoning_details": details},
        {"role": "user", "content": "?"},
    ]});
    let (text, dropped) = said(Dialect::OpenAi, Dialect::Gemini, "target-model", &body);
    assert_eq!((dropped, text.contains(r#""text":"hm","thought":true"#)), (vec!["reasoning".into()], true), "{text}");
}

#[test]
fn what_the_user_shows_is_never_dropped_without_a_refusal() {
    let upload = json!({"type": "container_upload", "file_id": "file_1"});
    let result = |content: &Value| {
        json!({"model": "m", "max_tokens": 99, "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": content}]},
        ]})
    };
    for to in [Dialect::Gemini, Dialect::Bedrock] {
        let field = refused(Dialect::Anthropic, to, &asked(&json!([upload, {"type": "text", "text": "?"}])));
        assert_eq!(field, "messages[].content[].container_upload", "{}", to.name());
        refused(Dialect::Anthropic, to, &result(&json!([upload])));
    }
    let screen = json!({"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}});
    let body = json!({"model": "m", "input": [{"role": "user", "content": "q"}, screen]});
    for to in [Dialect::Anthropic, Dialect::Gemini, Dialect::Bedrock] {
        assert_eq!(refused(Dialect::Responses, to, &body), "messages[].content[].computer_call_output");
    }
    // What the client has found itself is text for everyone.
    let found = json!([{"type": "search_result", "source": "https://a.test", "title": "Tides",
        "content": [{"type": "text", "text": "Friday."}], "citations": {"enabled": true}}]);
    let chunks = json!([{"type": "document", "source": {"type": "content", "content": [
        {"type": "text", "text": "Tides: https://a.test"}, {"type": "text", "text": "Friday."}]}}]);
    for to in ALL.into_iter().filter(|to| *to != Dialect::Anthropic) {
        for body in [asked(&found), result(&found)] {
            let (text, dropped) = said(Dialect::Anthropic, to, "target-model", &body);
            assert!(text.contains(r"Tides\nhttps://a.test\nFriday."), "{text}");
            assert_eq!(dropped, ["messages[].content[].search_result"], "{}", to.name());
        }
    }
    for to in [Dialect::Gemini, Dialect::Bedrock] {
        let (text, dropped) = said(Dialect::Anthropic, to, "target-model", &asked(&chunks));
        // "Tides: https://a.test\nFriday."
        assert!(text.contains("VGlkZXM6IGh0dHBzOi8vYS50ZXN0CkZyaWRheS4="), "{text}");
        assert_eq!(dropped, ["messages[].content[].source"]);
    }
}

#[test]
fn names_are_the_clients_own() {
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let cited = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": [{"type": "text", "text": "a",
        "citations": [{"type": "char_location", "cited_text": "a", "document_index": 0, "start_char_index": 0, "end_char_index": 1}]}]},
        {"role": "user", "content": "?"}]);
    let body = json!({"model": "m", "max_tokens": 99, "messages": cited, "metadata": {"user_id": "u"}, "tools": tools,
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2048}});
    let mut want =
        ["messages[].content[].citations", "metadata.user_id", "thinking", "tool_choice.disable_parallel_tool_use"];
    want.sort_unstable();
    for (to, model) in [(Dialect::Gemini, "gemini-2.0-flash"), (Dialect::Bedrock, "eu.amazon.nova-lite-v1:0")] {
        let mut dropped = said(Dialect::Anthropic, to, model, &body).1;
        dropped.sort_unstable();
        assert_eq!(dropped, want, "{model}");
    }
    // An answer of no tokens only warms a cache: nothing to ask anybody else.
    let warm = json!({"model": "m", "max_tokens": 0, "messages": [{"role": "user", "content": "q"}]});
    for to in [Dialect::Gemini, Dialect::Bedrock] {
        assert_eq!(refused(Dialect::Anthropic, to, &warm), "max_tokens");
    }
}

#[test]
fn a_schema_that_would_be_refused_is_not_sent_as_one() {
    let claude = |to| if to == Dialect::Bedrock { "anthropic.claude-sonnet-4-5-v1:0" } else { "claude-sonnet-4-5" };
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let bounded = json!({"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}});
    for to in [Dialect::Anthropic, Dialect::Bedrock] {
        for (schema, fits) in [(&open, true), (&bounded, false)] {
            let ask = |key: &str, value: Value| json!({"model": "m", "messages": [{"role": "user", "content": "q"}], key: value});
            let format =
                json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}});
            let encoded =
                sent(Dialect::OpenAi, to, claude(to), &ask("response_format", format)).expect("there is a way");
            assert_eq!(encoded.json_tool.is_none(), fits, "{} {schema}", to.name());
            let tool = json!([{"type": "function", "function": {"name": "f", "parameters": schema, "strict": true}}]);
            let (text, dropped) = said(Dialect::OpenAi, to, claude(to), &ask("tools", tool));
            // Closed where it promises anything, else as the client wrote it.
            assert_eq!(text.contains(r#""strict":true"#) && text.contains(r#""additionalProperties":false"#), fits);
            assert_eq!(dropped, if fits { vec![] } else { vec!["tools[].function.strict".to_owned()] });
        }
    }
}
