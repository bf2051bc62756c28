use super::*;
use crate::chat::{
    CacheMark, Citation, Content, Effort, Format, Media, MediaKind, Message, Part, Request, Role, Signature, Source,
    Thinking, Tool, ToolCall, ToolChoice, ToolKind, ToolResult,
};
use crate::dialect::openai::{decode_request, encode_request};
use crate::dialect::{Encoded, Inexpressible};
use crate::registry::{Capabilities, Dialect, ThinkingSwitch, ToolForcing};
use serde_json::json;

/// A look-alike that takes next to nothing.
const BARE: Quirks = Quirks {
    names: false,
    json_schema: false,
    json_object: false,
    tool_choice: ToolForcing::Never,
    parallel_tool_calls: false,
    strict_tools: false,
    reasoning_effort: false,
    stream_options: false,
    seed: None,
    penalties: false,
    logprobs: false,
    n: false,
    user: false,
    ..Quirks::LOOK_ALIKE
};

fn ask(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::new(Dialect::Anthropic, "claude") }
}

fn user(parts: Vec<Part>) -> Message {
    Message::new(Role::User, parts)
}

fn function(name: &str) -> Tool {
    let kind = ToolKind::Function { name: name.into(), description: None, schema: None, strict: Some(true) };
    Tool { kind, cache: None, extras: Default::default() }
}

fn write(request: &Request, quirks: Quirks) -> Result<(Value, Vec<String>), Inexpressible> {
    encode_request(request, &target(quirks)).map(|e| (json(&e.body), e.dropped))
}

fn written(request: &Request, quirks: Quirks) -> (Value, Vec<String>) {
    write(request, quirks).unwrap_or_else(|e| panic!("{e:?}"))
}

fn refused(request: &Request, quirks: Quirks) -> String {
    write(request, quirks).expect_err("it is refused").field
}

#[test]
fn fields_that_are_not_taken_are_named() {
    let body = json!({"model": "m", "messages": [{"role": "developer", "content": "d", "name": "op"}],
        "temperature": 1.5, "top_p": 0.5, "top_k": 3, "seed": 1, "n": 2, "logprobs": true, "top_logprobs": 1,
        "frequency_penalty": 1, "presence_penalty": 1, "user": "u", "verbosity": "low", "reasoning_effort": "low",
        "max_tokens": 100, "stream": true, "tools": [{"type": "function", "function": {"name": "f", "strict": true}}],
        "parallel_tool_calls": false});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    let (body, dropped) = written(&request, BARE);
    let want = json!({"model": "gpt-5.5", "messages": [{"role": "system", "content": "d"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "max_tokens": 100, "temperature": 1.5, "top_p": 0.5, "stream": true});
    assert_eq!(body, want);
    let names = [
        "messages[].name",
        "tools[].strict",
        "parallel_tool_calls",
        "top_k",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "n",
        "logprobs",
        "reasoning_effort",
        "verbosity",
        "user",
    ];
    assert_eq!(dropped, names);
    let strict = Target { strict: true, ..target(BARE) };
    assert_eq!(encode_request(&request, &strict).unwrap_err().field, "messages[].name");
    // Sampling that the endpoint refuses, and a cap of ours.
    let limited = Target { no_sampling: true, cap: Some(60), ..target(Quirks { seed: Some("random_seed"), ..ALL }) };
    let Encoded { body, dropped, .. } = encode_request(&request, &limited).unwrap();
    let body = json(&body);
    assert_eq!((&body["max_completion_tokens"], &body["random_seed"]), (&json!(60), &json!(1)));
    assert_eq!(dropped, ["temperature", "top_p", "top_k"]);
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
}

#[test]
fn what_belongs_to_another_dialect_stays_behind() {
    let foreign: Part = Content::Native(json!({"type": "search_result"})).into();
    let asked = ask(vec![user(vec![Part::text("x"), foreign.clone()])]);
    assert_eq!(refused(&asked, Quirks::OPENAI), "messages[].content[].search_result");
    let said = Message::new(Role::Assistant, vec![Part::text("y"), foreign]);
    let mut request = ask(vec![user(vec![Part::text("x")]), said]);
    request.extras = json!({"metadata": {"a": "b"}, "container": "c"}).as_object().unwrap().clone();
    request.messages[0].extras = json!({"id": "m1"}).as_object().unwrap().clone();
    request.messages[0].parts[0].extras = json!({"odd": 1}).as_object().unwrap().clone();
    let native = ToolKind::Native(json!({"type": "bash_20250124"}));
    request.tools = vec![Tool { kind: native, cache: None, extras: Default::default() }];
    request.tool_choice = Some(ToolChoice::Auto);
    let (body, dropped) = written(&request, Quirks::OPENAI);
    assert_eq!(
        body,
        json!({"model": "gpt-5.5", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]})
    );
    let names = [
        "messages[].content[].odd",
        "messages[].id",
        "messages[].content[].search_result",
        "tools[].bash_20250124",
        "metadata",
        "container",
    ];
    assert_eq!(dropped, names);
    // The Responses API has some fields by the same name.
    request.origin = Dialect::Responses;
    let (body, dropped) = written(&request, Quirks::OPENAI);
    assert_eq!(body["metadata"], json!({"a": "b"}));
    assert!(dropped.contains(&"container".to_owned()) && !dropped.contains(&"metadata".to_owned()));
    let (body, dropped) = written(&request, Quirks::LOOK_ALIKE);
    assert!(body.get("metadata").is_none() && dropped.contains(&"metadata".to_owned()));
    request.tool_choice = Some(ToolChoice::Native(json!({"type": "x"})));
    assert_eq!(refused(&request, ALL), "tool_choice");
}

#[test]
fn tools_are_forced_where_they_can_be() {
    let mut request = ask(vec![user(vec![Part::text("x")])]);
    request.tools = vec![function("f")];
    let choice =
        |request: &Request, tool_choice| written(request, Quirks { tool_choice, ..ALL }).0["tool_choice"].clone();
    let named = json!({"type": "function", "function": {"name": "f"}});
    request.tool_choice = Some(ToolChoice::Required);
    assert_eq!(choice(&request, ToolForcing::Any), "required");
    assert_eq!(choice(&request, ToolForcing::Named), named);
    assert_eq!(refused(&request, BARE), "tool_choice");
    assert_eq!(choice(&request, ToolForcing::Unnamed), "required");
    request.tool_choice = Some(ToolChoice::Tool("f".into()));
    assert_eq!(choice(&request, ToolForcing::Unnamed), "required");
    request.tools.push(function("g"));
    assert_eq!(refused(&request, Quirks { tool_choice: ToolForcing::Unnamed, ..ALL }), "tool_choice");
    request.tool_choice = Some(ToolChoice::Required);
    assert_eq!(refused(&request, Quirks { tool_choice: ToolForcing::Named, ..ALL }), "tool_choice");
    request.tool_choice = Some(ToolChoice::Tool("f".into()));
    assert_eq!(choice(&request, ToolForcing::Named), named);
    assert_eq!(refused(&request, BARE), "tool_choice");
    // Tools that must not be called are not offered to whoever cannot be told.
    request.tool_choice = Some(ToolChoice::None);
    assert_eq!(choice(&request, ToolForcing::Any), "none");
    let (body, _) = written(&request, BARE);
    assert!(body.get("tools").is_none() && body.get("tool_choice").is_none());
    let kind = ToolKind::Custom { name: "c".into(), description: None, format: None };
    request.tools = vec![Tool { kind, cache: None, extras: Default::default() }];
    request.tool_choice = None;
    assert_eq!(refused(&request, BARE), "tools[0]");
}

#[test]
fn what_is_not_offered_cannot_be_forced() {
    let native = Tool {
        kind: ToolKind::Native(json!({"type": "search", "name": "search"})),
        cache: None,
        extras: Default::default(),
    };
    for tool_choice in [ToolChoice::Tool("search".into()), ToolChoice::Required] {
        let request = Request {
            tools: vec![native.clone()],
            tool_choice: Some(tool_choice),
            ..ask(vec![user(vec![Part::text("x")])])
        };
        assert_eq!(refused(&request, Quirks::OPENAI), "tool_choice");
    }
}

#[test]
fn json_output_is_native_or_a_forced_tool() {
    let mut request = ask(vec![user(vec![Part::text("x")])]);
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false});
    let format = |schema: &Value| Format::JsonSchema {
        name: Some("my answer".into()),
        description: None,
        schema: schema.clone(),
        strict: Some(true),
    };
    request.format = format(&schema);
    let (body, _) = written(&request, ALL);
    let native = json!({"type": "json_schema", "json_schema": {"name": "my_answer", "schema": schema, "strict": true}});
    assert_eq!(body["response_format"], native);
    // What Anthropic takes as strict, OpenAI would refuse: it goes as a schema all the same.
    let mut open = request.clone();
    open.format = format(&json!({"type": "object", "properties": {"a": {"type": "integer"}}}));
    let (body, dropped) = written(&open, ALL);
    assert_eq!(
        (&body["response_format"]["json_schema"]["strict"], dropped),
        (&json!(false), vec!["strict".to_owned()])
    );
    let forced = Quirks { json_schema: false, ..ALL };
    let encoded = encode_request(&request, &target(forced)).unwrap();
    let body = json(&encoded.body);
    assert_eq!(
        (encoded.json_tool.as_deref(), &body["tool_choice"]["function"]["name"]),
        (Some("my_answer"), &json!("my_answer"))
    );
    assert_eq!((&body["tools"][0]["function"]["parameters"], body.get("response_format")), (&schema, None));
    assert_eq!(refused(&request, BARE), "response_format");
    request.tools = vec![function("f")];
    assert_eq!(refused(&request, forced), "response_format");
    request.tools.clear();
    request.format = format(&json!({"type": "array"}));
    assert_eq!(refused(&request, forced), "response_format");
    request.format = Format::JsonObject;
    let (body, _) = written(&request, Quirks { json_object: false, ..ALL });
    assert_eq!(body["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    assert_eq!(refused(&request, BARE), "response_format");
}

#[test]
fn reasoning_is_asked_for_in_the_targets_words() {
    let thinking = |enabled, effort, budget_tokens, show| Thinking { enabled, effort, budget_tokens, show };
    let on = thinking(Some(true), None, Some(31_999), None);
    let off = thinking(Some(false), None, None, None);
    let max = thinking(None, Some(Effort::Max), None, Some(false));
    let minimal = thinking(None, Some(Effort::Minimal), None, None);
    let bare = thinking(Some(true), None, None, None);
    let with = |switch| Quirks { thinking: switch, ..Quirks::LOOK_ALIKE };
    let cases = [
        (&on, Quirks::OPENAI, json!({"reasoning_effort": "high"}), false),
        (&off, Quirks::OPENAI, json!({"reasoning_effort": "none"}), false),
        (&max, Quirks::OPENAI, json!({"reasoning_effort": "max"}), false),
        (&bare, Quirks::OPENAI, json!({"reasoning_effort": "medium"}), false),
        (&max, Quirks::LOOK_ALIKE, json!({"reasoning_effort": "high"}), false),
        (&minimal, Quirks::LOOK_ALIKE, json!({"reasoning_effort": "low"}), false),
        (&off, Quirks::LOOK_ALIKE, json!({}), true),
        (&on, BARE, json!({}), true),
        (&off, with(ThinkingSwitch::Kind), json!({"thinking": {"type": "disabled"}}), false),
        (&on, with(ThinkingSwitch::Kind), json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}), false),
        (&on, Quirks { thinking: ThinkingSwitch::Kind, ..BARE }, json!({"thinking": {"type": "enabled"}}), false),
        (&on, with(ThinkingSwitch::Flag), json!({"enable_thinking": true, "thinking_budget": 31_999}), false),
        (&off, with(ThinkingSwitch::Flag), json!({"enable_thinking": false}), false),
        (&on, with(ThinkingSwitch::Object), json!({"reasoning": {"max_tokens": 31_999}}), false),
        (&off, with(ThinkingSwitch::Object), json!({"reasoning": {"enabled": false}}), false),
        (&max, with(ThinkingSwitch::Object), json!({"reasoning": {"effort": "max", "exclude": true}}), false),
    ];
    for (thinking, quirks, want, lost) in cases {
        let mut request = ask(vec![user(vec![Part::text("x")])]);
        request.reasoning = Some(thinking.clone());
        let (mut body, dropped) = written(&request, quirks);
        patch(&mut body, "/model", Value::Null);
        patch(&mut body, "/messages", Value::Null);
        assert_eq!((body, !dropped.is_empty()), (want, lost), "{thinking:?} {quirks:?}");
    }
    let mut request = ask(vec![user(vec![Part::text("x")])]);
    request.reasoning = Some(on);
    let unable = Target { capabilities: Some(Capabilities::TOOLS), ..target(Quirks::OPENAI) };
    assert_eq!(encode_request(&request, &unable).unwrap().dropped, ["reasoning"]);
}

#[test]
fn thoughts_are_given_back_where_they_are_wanted() {
    let signature = |dialect, value: &str| Some(Signature { dialect, value: value.into(), id: None });
    let reasoning = |text: &str, redacted| Content::Reasoning { text: text.into(), summary: false, redacted };
    let parts = vec![
        Part { signature: signature(Dialect::Anthropic, "S"), ..reasoning("Hm.", false).into() },
        Part { signature: signature(Dialect::Anthropic, "R"), ..reasoning("", true).into() },
        Part::text("Yes."),
    ];
    let request = ask(vec![Message::new(Role::Assistant, parts), user(vec![Part::text("x")])]);
    let (body, dropped) = written(&request, Quirks::OPENAI);
    assert_eq!(body["messages"][0], json!({"role": "assistant", "content": "Yes."}));
    assert_eq!(dropped, ["reasoning"]);
    let (body, dropped) = written(&request, Quirks { thoughts: Thoughts::Content, ..Quirks::LOOK_ALIKE });
    assert_eq!(body["messages"][0]["reasoning_content"], "Hm.");
    assert_eq!(dropped, ["reasoning"]);
    let (body, dropped) = written(&request, ALL);
    assert_eq!(body["messages"][0]["reasoning_details"][1]["data"], "R");
    assert!(dropped.is_empty());
    // A signed call, where there is no `extra_content`.
    let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: "{}".into(), custom: false };
    let call = Part { signature: signature(Dialect::Gemini, "G"), ..Content::ToolCall(call).into() };
    let signed = ask(vec![Message::new(Role::Assistant, vec![call.clone()])]);
    let (body, _) = written(&signed, Quirks { thought_signatures: false, ..ALL });
    let message = &body["messages"][0];
    assert_eq!(
        (&message["reasoning_details"][0]["id"], message["tool_calls"][0].get("extra_content")),
        (&json!("c1"), None)
    );
    assert_eq!(decode_request(body.to_string().as_bytes()).unwrap().messages[0].parts, [call]);
    // A turn of thoughts alone leaves nothing behind.
    let alone = vec![reasoning("Hm.", false).into()];
    let request = ask(vec![user(vec![Part::text("x")]), Message::new(Role::Assistant, alone)]);
    assert_eq!(written(&request, Quirks::OPENAI).0["messages"], json!([{"role": "user", "content": "x"}]));
}

#[test]
fn tool_results_come_first_and_keep_their_pictures() {
    let call = |id: &str| -> Part {
        Content::ToolCall(ToolCall { id: id.into(), name: "look".into(), arguments: String::new(), custom: false })
            .into()
    };
    let source = Source::Data { mime: "image/png".into(), base64: "QUJD".into() };
    let image = Content::Media(Media { kind: MediaKind::Image, source, name: None, detail: None });
    let result = |id: &str, parts: Vec<Part>, is_error| -> Part {
        Content::ToolResult(ToolResult { call_id: id.into(), name: None, parts, is_error, custom: false }).into()
    };
    let answers = vec![
        Part::text("And now?"),
        result("a", vec![image.clone().into()], false),
        result("b", vec![Part::text("no such file")], true),
        result("c", vec![Part::text("error: gone")], true),
    ];
    let request = ask(vec![
        Message::new(Role::Assistant, vec![call("a"), call("b"), call("c")]),
        user(answers),
        Message::new(Role::Assistant, vec![call("d")]),
        user(vec![result("d", vec![Part::text("see"), image.into()], false)]),
    ]);
    let (body, dropped) = written(&request, Quirks::OPENAI);
    assert!(dropped.is_empty());
    assert_eq!(body["messages"][0]["tool_calls"][0]["function"]["arguments"], "{}");
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}});
    let label = |id: &str| json!({"type": "text", "text": format!("Output of the tool call {id}:")});
    let want = json!([
        {"role": "tool", "tool_call_id": "a", "content": "The output is attached to the next message of the user."},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no such file"},
        {"role": "tool", "tool_call_id": "c", "content": "error: gone"},
        {"role": "user", "content": [label("a"), picture, {"type": "text", "text": "And now?"}]},
    ]);
    assert_eq!(body["messages"].as_array().unwrap()[1..5], *want.as_array().unwrap());
    let want = json!([
        {"role": "tool", "tool_call_id": "d", "content": "see"},
        {"role": "user", "content": [label("d"), picture]},
    ]);
    assert_eq!(body["messages"].as_array().unwrap()[6..], *want.as_array().unwrap());
}

#[test]
fn content_takes_the_targets_form() {
    let mut cached = Part::text("b");
    cached.cache = Some(CacheMark { ttl: None });
    let citation =
        Citation { origin: Dialect::Anthropic, url: None, title: None, quote: None, range: None, native: Value::Null };
    let cited = Content::Text { text: "c".into(), citations: vec![citation] }.into();
    let refusal = Content::Refusal("No.".into()).into();
    let assistant = Message::new(Role::Assistant, vec![cited, refusal]);
    let mut request = ask(vec![Message::new(Role::System, vec![Part::text("a"), cached]), assistant]);
    let (body, dropped) = written(&request, Quirks::LOOK_ALIKE);
    let want = json!([{"role": "system", "content": "a\n\nb"}, {"role": "assistant", "content": "c\n\nNo."}]);
    assert_eq!((&body["messages"], dropped), (&want, vec!["cache_control".to_owned(), "citations".into()]));
    let pieces = vec![Part::text("Re"), Part::text("d.")];
    let (joined, _) = written(&ask(vec![Message::new(Role::Assistant, pieces)]), Quirks::LOOK_ALIKE);
    assert_eq!(joined["messages"][0]["content"], "Red.");
    let (body, _) = written(&request, ALL);
    assert_eq!(body["messages"][0]["content"][1]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!((&body["messages"][1]["content"], &body["messages"][1]["refusal"]), (&json!("c"), &json!("No.")));
    // Media that cannot be taken is refused, and the way out is said.
    let url = |kind| {
        let source = Source::Url { url: "https://example.com/x".into(), mime: None };
        Content::Media(Media { kind, source, name: None, detail: None }).into()
    };
    for kind in [MediaKind::Video, MediaKind::Audio, MediaKind::Document] {
        request.messages = vec![user(vec![url(kind)])];
        assert_eq!(refused(&request, Quirks::OPENAI), "messages[].content", "{kind:?}");
    }
    for (origin, kind) in [(Dialect::Anthropic, MediaKind::Document), (Dialect::Responses, MediaKind::Image)] {
        let uploaded = Media { kind, source: Source::File("file_1".into()), name: None, detail: None };
        let request = Request { origin, ..ask(vec![user(vec![Content::Media(uploaded).into()])]) };
        assert_eq!(refused(&request, Quirks::OPENAI), "messages[].content", "{kind:?}");
    }
    for (name, want) in
        [(None, "document.pdf"), (Some("Report (v.1, final)"), "Report (v.1, final).pdf"), (Some("a.pdf"), "a.pdf")]
    {
        let source = Source::Data { mime: "application/pdf".into(), base64: "QUJD".into() };
        let pdf = Media { kind: MediaKind::Document, source, name: name.map(str::to_owned), detail: None };
        request.messages = vec![user(vec![Content::Media(pdf).into()])];
        let (body, _) = written(&request, Quirks::OPENAI);
        assert_eq!(body["messages"][0]["content"][0]["file"]["filename"], want);
    }
    request.messages = vec![Message::new(Role::Assistant, vec![url(MediaKind::Image)])];
    assert_eq!(refused(&request, Quirks::OPENAI), "messages[].images");
    let notes = Media {
        kind: MediaKind::Document,
        source: Source::Text("line".into()),
        name: Some("notes".into()),
        detail: None,
    };
    request.messages = vec![user(vec![Content::Media(notes).into()])];
    assert_eq!(written(&request, Quirks::OPENAI).0["messages"][0]["content"], "notes:\n\nline");
}

#[test]
fn the_catalogue_knows_who_takes_what() {
    let request = decode_request(
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": 1, "max_tokens": 9, "n": 2,
            "frequency_penalty": 1, "logprobs": true, "stream": true, "reasoning_effort": "none"})
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    let cases: [(&str, &[&str]); 7] = [
        (
            "openai",
            &[
                "max_completion_tokens",
                "frequency_penalty",
                "seed",
                "n",
                "logprobs",
                "reasoning_effort",
                "stream_options",
            ],
        ),
        ("mistral", &["max_tokens", "frequency_penalty", "random_seed", "n"]),
        ("gemini", &["max_tokens", "n", "stream_options"]),
        ("groq", &["max_completion_tokens", "frequency_penalty", "seed", "stream_options"]),
        ("deepseek", &["max_tokens", "frequency_penalty", "logprobs", "thinking", "stream_options"]),
        (
            "dashscope",
            &["max_tokens", "frequency_penalty", "seed", "n", "logprobs", "enable_thinking", "stream_options"],
        ),
        ("openrouter", &["max_tokens", "frequency_penalty", "seed", "n", "logprobs", "reasoning", "stream_options"]),
    ];
    for (name, want) in cases {
        let known = crate::catalogue::known_provider(name).unwrap();
        let quirks = Quirks { stream_options: known.stream_usage, ..known.quirks };
        let (body, _) = written(&request, quirks);
        let mut fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        fields.retain(|f| !["model", "messages", "stream"].contains(f));
        assert_eq!(fields, want, "{name}");
    }
}
