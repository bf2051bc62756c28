//! Requests of clients of other dialects.

use serde_json::json;

use super::*;
use crate::chat::{
    CacheMark, Citation, Effort, Format, Media, MediaKind, Message, Role, Signature, Source, Thinking, Tool, ToolCall,
    ToolChoice, ToolKind, ToolResult,
};
use crate::registry::Capabilities;

const OLD: &str = "claude-sonnet-4-5";
const NEW: &str = "claude-opus-4-7";

fn message(role: Role, contents: Vec<Content>) -> Message {
    Message::new(role, contents.into_iter().map(Part::from).collect())
}

fn words(role: Role, text: &str) -> Message {
    Message::new(role, vec![Part::text(text)])
}

fn call(id: &str, arguments: &str) -> Content {
    Content::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), custom: false })
}

fn result(id: &str, text: &str) -> Content {
    let parts = vec![Part::text(text)];
    Content::ToolResult(ToolResult { call_id: id.into(), name: None, parts, is_error: false, custom: false })
}

fn asked(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::new(Dialect::OpenAi, "any") }
}

fn hello() -> Request {
    asked(vec![words(Role::User, "hello")])
}

fn function(strict: Option<bool>, schema: Option<Value>) -> Tool {
    let kind = ToolKind::Function { name: "f".into(), description: None, schema, strict };
    Tool { kind, cache: None, extras: Default::default() }
}

/// The body and what was dropped.
fn said(request: &Request, target: &Target<'_>) -> (Value, Vec<String>) {
    let encoded = sent(request, target);
    (value(&encoded.body), encoded.dropped)
}

#[test]
fn the_conversation_takes_this_apis_form() {
    let r = asked(vec![
        words(Role::Developer, "be brief"),
        words(Role::System, "be kind"),
        words(Role::User, "a"),
        words(Role::User, "b"),
        message(Role::Assistant, vec![Part::text("").content, call("c:1", ""), call("c2", r#"{"x":[1]}"#)]),
        words(Role::System, "in between"),
        message(Role::User, vec![result("c:1", "one")]),
        message(Role::User, vec![Part::text("so?").content, result("c2", "two")]),
    ]);
    let (body, dropped) = said(&r, &target(OLD));
    let id = body["messages"][1]["content"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("c_1_") && id.len() == 20, "{id}");
    let text = |t: &str| json!({"type": "text", "text": t});
    assert_eq!(
        body,
        json!({
            "model": OLD,
            "max_tokens": 4096,
            "system": [text("be brief"), text("be kind"), text("in between")],
            "messages": [
                {"role": "user", "content": [text("a"), text("b")]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": id, "name": "f", "input": {}},
                    {"type": "tool_use", "id": "c2", "name": "f", "input": {"x": [1]}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": "one"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                    text("so?"),
                ]},
            ],
        })
    );
    assert_eq!(dropped, [""; 0]);
    // Where the API takes instructions in the middle they stay, but not between a call and its result.
    let r = asked(vec![words(Role::User, "a"), words(Role::System, "now in Danish"), words(Role::User, "b")]);
    let newer = Target { no_sampling: true, ..target(NEW) };
    let (body, _) = said(&r, &newer);
    assert_eq!(body["messages"][1], json!({"role": "system", "content": "now in Danish"}));
    let (body, _) = said(&r, &target(NEW));
    assert_eq!((&body["system"], body["messages"].as_array().unwrap().len()), (&json!("now in Danish"), 1));
    // Ids that differ stay apart.
    let ids = |a: &str, b: &str| {
        let r = asked(vec![message(Role::Assistant, vec![call(a, "{}"), call(b, "{}")])]);
        let (body, _) = said(&r, &target(OLD));
        let content = body["messages"][0]["content"].clone();
        (content[0]["id"].clone(), content[1]["id"].clone())
    };
    let (a, b) = ids("x.1", "x:1");
    assert_ne!(a, b);
    assert_eq!(refused(&asked(vec![words(Role::System, "only")]), &target(OLD)).field, "messages");
    // Text without anything to see is refused there, and so is an answer begun with white space at its end.
    let r = asked(vec![words(Role::User, "a"), words(Role::User, " \n"), words(Role::Assistant, "So: \n")]);
    let (body, _) = said(&r, &target(OLD));
    assert_eq!(body["messages"], json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "So:"}]));
}

#[test]
fn what_cannot_be_said_is_dropped_by_name_or_refused() {
    let mut r = hello();
    r.messages[0].name = Some("Ann".into());
    r.messages[0].extras.insert("mood".into(), json!("calm"));
    r.messages[0].parts[0].extras.insert("x".into(), json!(1));
    r.frequency_penalty = Some(1.into());
    r.seed = Some(7);
    r.logprobs = Some(2);
    r.verbosity = Some("low".into());
    r.stop = vec!["\n".into(), "END".into()];
    r.user = Some("u".into());
    r.n = Some(1);
    r.extras.insert("logit_bias".into(), json!({}));
    r.tools =
        vec![Tool { kind: ToolKind::Native(json!({"type": "web_search"})), cache: None, extras: Default::default() }];
    let (body, dropped) = said(&r, &target(OLD));
    let want = [
        "messages[].name",
        "messages[].content[].x",
        "messages[].mood",
        "tools[].web_search",
        "stop",
        "frequency_penalty",
        "seed",
        "logprobs",
        "verbosity",
        "logit_bias",
    ];
    assert_eq!(dropped, want);
    assert_eq!((&body["stop_sequences"], &body["metadata"]), (&json!(["END"]), &json!({"user_id": "u"})));
    assert!(body.get("tools").is_none());
    let strict = refused(&r, &Target { strict: true, ..target(OLD) });
    assert_eq!(strict.field, "messages[].name");

    let custom = ToolKind::Custom { name: "sql".into(), description: None, format: None };
    let media = |kind, source| Content::Media(Media { kind, source, name: None, detail: None });
    let data = |mime: &str| Source::Data { mime: mime.into(), base64: "AAAA".into() };
    let user = |content| asked(vec![message(Role::User, vec![content])]);
    let refusals: [(Request, &str); 12] = [
        (Request { n: Some(2), ..hello() }, "n"),
        (
            Request { tools: vec![Tool { kind: custom, cache: None, extras: Default::default() }], ..hello() },
            "tools[].custom",
        ),
        (Request { tool_choice: Some(ToolChoice::Native(json!({"type": "allowed_tools"}))), ..hello() }, "tool_choice"),
        (Request { tool_choice: Some(ToolChoice::Required), ..hello() }, "tool_choice"),
        (asked(vec![message(Role::Assistant, vec![call("c", "[1]")])]), "messages[].tool_calls[].function.arguments"),
        (asked(vec![message(Role::Assistant, vec![call("c", "{\"a")])]), "messages[].tool_calls[].function.arguments"),
        (user(media(MediaKind::Audio, data("audio/wav"))), "messages[].content[]"),
        (user(media(MediaKind::Video, data("video/mp4"))), "messages[].content[]"),
        (user(media(MediaKind::Image, data("image/tiff"))), "messages[].content[]"),
        (user(media(MediaKind::Document, data("application/zip"))), "messages[].content[]"),
        (user(media(MediaKind::Image, Source::File("file-1".into()))), "messages[].content[]"),
        (user(media(MediaKind::Document, Source::Url { url: "gs://b/o".into(), mime: None })), "messages[].content[]"),
    ];
    for (request, field) in refusals {
        let refusal = refused(&request, &target(OLD));
        assert_eq!(refusal.field, field, "{}", refusal.why);
    }
}

#[test]
fn media_find_their_source() {
    let media = |kind, source, name: Option<&str>| {
        let media = Media { kind, source, name: name.map(str::to_owned), detail: Some("low".into()) };
        let r = asked(vec![message(Role::User, vec![Content::Media(media)])]);
        let (body, dropped) = said(&r, &target(OLD));
        assert_eq!(dropped, ["messages[].content[].detail"]);
        body["messages"][0]["content"][0].clone()
    };
    let image = media(MediaKind::Image, Source::from_url("data:image/webp;base64,AAAA"), Some("a.webp"));
    assert_eq!(
        image,
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}})
    );
    let image = media(MediaKind::Image, Source::from_url("data:image/jpg;base64,AAAA"), None);
    assert_eq!(image["source"]["media_type"], json!("image/jpeg"), "the name that is registered");
    let image = media(MediaKind::Image, Source::from_url("https://x.test/a.png"), None);
    assert_eq!(image["source"], json!({"type": "url", "url": "https://x.test/a.png"}));
    let pdf = media(MediaKind::Document, Source::from_url("data:application/pdf;base64,AAAA"), Some("a.pdf"));
    assert_eq!((&pdf["title"], &pdf["source"]["media_type"]), (&json!("a.pdf"), &json!("application/pdf")));
    let text = media(MediaKind::Document, Source::from_url("data:text/markdown;base64,IyBIw7hq"), None);
    assert_eq!(text["source"], json!({"type": "text", "media_type": "text/plain", "data": "# Høj"}));
}

#[test]
fn reasoning_goes_back_to_its_maker_only() {
    let thought = |dialect, redacted| {
        let signature = Some(Signature { dialect, value: "S".into(), id: None });
        let content = Content::Reasoning { text: "hm".into(), summary: false, redacted };
        Part { signature, ..content.into() }
    };
    let parts = vec![
        thought(Dialect::Anthropic, false),
        thought(Dialect::Anthropic, true),
        thought(Dialect::Gemini, false),
        Content::Reasoning { text: "unsigned".into(), summary: false, redacted: false }.into(),
        Part::text("so"),
    ];
    let r = asked(vec![words(Role::User, "a"), Message::new(Role::Assistant, parts), words(Role::User, "b")]);
    let (body, dropped) = said(&r, &target(OLD));
    assert_eq!(dropped, ["reasoning"]);
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": "S"},
            {"type": "redacted_thinking", "data": "S"},
            {"type": "text", "text": "so"},
        ])
    );
    // So with citations; ours that were made up for a client do not go up either.
    let cite = |origin, index: &str| Citation {
        origin,
        url: Some("https://x.test".into()),
        title: None,
        quote: None,
        range: None,
        native: json!({"type": "web_search_result_location", "encrypted_index": index}),
    };
    let citations = vec![cite(Dialect::Anthropic, "E"), cite(Dialect::Anthropic, ""), cite(Dialect::Responses, "E")];
    let r = asked(vec![message(Role::Assistant, vec![Content::Text { text: "x".into(), citations }])]);
    let (body, dropped) = said(&r, &target(OLD));
    assert_eq!(
        (body["messages"][0]["content"][0]["citations"].as_array().unwrap().len(), dropped),
        (1, vec!["messages[].annotations".into()])
    );
}

#[test]
fn tools_and_choices_are_written() {
    let open = json!({"properties": {"x": {"type": "string"}}});
    let r = Request {
        tools: vec![
            function(None, Some(open.clone())),
            function(Some(true), Some(json!({"type": "object", "properties": {"x": {"type": "string"}}}))),
            function(Some(true), Some(json!({"type": "object", "properties": {"x": {"minLength": 2}}}))),
            Tool { cache: Some(CacheMark { ttl: Some("1h".into()) }), ..function(Some(false), None) },
        ],
        tool_choice: Some(ToolChoice::Tool("f".into())),
        parallel_tools: Some(false),
        ..hello()
    };
    let (body, dropped) = said(&r, &target(OLD));
    assert_eq!(dropped, ["tools[].function.strict"]);
    assert_eq!(
        body["tools"],
        json!([
            {"name": "f", "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}}},
            {"name": "f", "strict": true, "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": false}},
            {"name": "f", "input_schema": {"type": "object", "properties": {"x": {"minLength": 2}}}},
            {"name": "f", "input_schema": {"type": "object", "properties": {}}, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ])
    );
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}));
    let choices = [
        (Some(ToolChoice::Auto), None, json!({"type": "auto"})),
        (Some(ToolChoice::Required), Some(true), json!({"type": "any"})),
        (Some(ToolChoice::None), Some(false), json!({"type": "none"})),
        (None, Some(false), json!({"type": "auto", "disable_parallel_tool_use": true})),
        (None, Some(true), Value::Null),
    ];
    for (tool_choice, parallel_tools, want) in choices {
        let r = Request { tools: vec![function(None, None)], tool_choice, parallel_tools, ..hello() };
        assert_eq!(said(&r, &target(OLD)).0["tool_choice"], want);
    }
    // Without tools a choice means nothing, and the API refuses it.
    let r = Request { tool_choice: Some(ToolChoice::Auto), parallel_tools: Some(false), ..hello() };
    assert_eq!(said(&r, &target(OLD)).0["tool_choice"], Value::Null);
}

fn schema(schema: Value) -> Format {
    Format::JsonSchema { name: Some("ferry".into()), description: None, schema, strict: None }
}

#[test]
fn a_schema_is_native_where_it_can_be() {
    let nested = json!({"type": "object", "properties": {
        "stops": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "string"}}}, "minItems": 1},
        "by": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/ship"}]},
    }, "$defs": {"ship": {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": false}}});
    let r = Request { format: schema(nested), ..hello() };
    let encoded = sent(&r, &target(OLD));
    let format = value(&encoded.body)["output_config"]["format"].clone();
    assert_eq!((&format["type"], encoded.json_tool), (&json!("json_schema"), None));
    assert_eq!(format["schema"]["additionalProperties"], json!(false));
    assert_eq!(format["schema"]["properties"]["stops"]["items"]["additionalProperties"], json!(false));
}

#[test]
fn a_schema_that_the_api_does_not_take_becomes_a_forced_tool() {
    let plain = json!({"type": "object", "properties": {"to": {"type": "string"}}});
    let bounded = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}});
    let open = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let cases = [
        (schema(bounded.clone()), OLD, "ferry", bounded),
        (schema(open.clone()), NEW, "ferry", open),
        (schema(plain.clone()), "claude-3-5-haiku-latest", "ferry", plain),
        (Format::JsonObject, NEW, "json_output", json!({"type": "object"})),
    ];
    for (format, model, name, schema) in cases {
        let thinking = Thinking { effort: Some(Effort::High), ..Thinking::default() };
        let r = Request { format: format.clone(), reasoning: Some(thinking), ..hello() };
        let encoded = sent(&r, &target(model));
        let body = value(&encoded.body);
        assert_eq!(encoded.json_tool.as_deref(), Some(name));
        assert_eq!((&body["tools"][0]["name"], &body["tools"][0]["input_schema"]), (&json!(name), &schema));
        assert_eq!(body["tool_choice"], json!({"type": "tool", "name": name, "disable_parallel_tool_use": true}));
        assert!(body.get("output_config").is_none() && body.get("thinking").is_none());
        assert_eq!(encoded.dropped, ["reasoning_effort"], "a forced call and thoughts exclude each other");
        let r = Request { format, tools: vec![function(None, None)], ..hello() };
        assert_eq!(refused(&r, &target(model)).field, "response_format");
    }
    let list = schema(json!({"type": "array", "items": {"type": "string", "maxLength": 3}}));
    assert_eq!(refused(&Request { format: list, ..hello() }, &target(OLD)).field, "response_format");
}

/// (thinking, effort, max_tokens, dropped) of a request that asks for thoughts.
fn thoughts(mut r: Request, thinking: Thinking, target: &Target<'_>) -> (Value, Value, Value, Vec<String>) {
    r.reasoning = Some(thinking);
    let (body, dropped) = said(&r, target);
    (body["thinking"].clone(), body["output_config"]["effort"].clone(), body["max_tokens"].clone(), dropped)
}

#[test]
fn thoughts_are_asked_for_as_the_model_takes_it() {
    let effort = |effort| Thinking { effort: Some(effort), ..Thinking::default() };
    let budget = |tokens| Thinking { budget_tokens: Some(tokens), ..Thinking::default() };
    let enabled = |on| Thinking { enabled: Some(on), ..Thinking::default() };
    let shown = |show| Thinking { effort: Some(Effort::Low), show: Some(show), ..Thinking::default() };
    let adaptive = json!({"type": "adaptive"});
    let manual = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    let cases = [
        (NEW, effort(Effort::High), adaptive.clone(), json!("high"), 4096),
        (NEW, effort(Effort::XHigh), adaptive.clone(), json!("xhigh"), 4096),
        ("claude-opus-4-6", effort(Effort::XHigh), adaptive.clone(), json!("high"), 4096),
        (NEW, effort(Effort::Minimal), adaptive.clone(), json!("low"), 4096),
        (NEW, effort(Effort::None), json!({"type": "disabled"}), Value::Null, 4096),
        (NEW, budget(9000), adaptive.clone(), json!("medium"), 4096),
        (NEW, enabled(true), adaptive, Value::Null, 4096),
        (NEW, shown(false), json!({"type": "adaptive", "display": "omitted"}), json!("low"), 4096),
        (OLD, effort(Effort::High), manual(16_384), Value::Null, 4096 + 16_384),
        (OLD, effort(Effort::None), Value::Null, Value::Null, 4096),
        (OLD, budget(100), manual(1024), Value::Null, 4096 + 1024),
        (OLD, budget(0), Value::Null, Value::Null, 4096),
        (OLD, enabled(true), manual(8192), Value::Null, 4096 + 8192),
        (OLD, enabled(false), Value::Null, Value::Null, 4096),
    ];
    for (model, thinking, want, effort, max_tokens) in cases {
        let got = thoughts(hello(), thinking.clone(), &target(model));
        assert_eq!(got, (want, effort, max_tokens.into(), Vec::new()), "{model} {thinking:?}");
    }
    let high = || effort(Effort::High);
    let capped = Request { max_output_tokens: Some(8000), ..hello() };
    assert_eq!(thoughts(capped, high(), &target(OLD)).0, manual(6000), "a quarter stays visible");
    let known = thoughts(hello(), high(), &Target { default_cap: 64_000, ..target(OLD) });
    assert_eq!((known.0, known.2), (manual(16_384), json!(64_000)), "the model's maximum is not raised");
    let most = thoughts(hello(), effort(Effort::Max), &target(OLD));
    assert_eq!((most.0, most.2), (manual(24_000), json!(32_000)));
    let budgeted = thoughts(hello(), high(), &Target { cap: Some(2000), ..target(OLD) });
    assert_eq!((budgeted.0, budgeted.2), (manual(1500), json!(2000)));
    let named = |got: (Value, Value, Value, Vec<String>)| (got.0, got.3);
    let gone = (Value::Null, vec!["reasoning_effort".to_owned()]);
    let small = Request { max_output_tokens: Some(1200), ..hello() };
    assert_eq!(named(thoughts(small, high(), &target(OLD))), gone);
    let mut forced = Request { tools: vec![function(None, None)], tool_choice: Some(ToolChoice::Required), ..hello() };
    assert_eq!(named(thoughts(forced.clone(), high(), &target(OLD))), gone);
    forced.origin = Dialect::Responses;
    assert_eq!(named(thoughts(forced, high(), &target(OLD))), (Value::Null, vec!["reasoning".into()]));
    let blunt = Target { capabilities: Some(Capabilities::VISION), ..target(NEW) };
    assert_eq!(named(thoughts(hello(), high(), &blunt)), gone);
    // A call that began without thoughts of this API cannot be answered with a budget; older ones do not matter.
    let answered = |more: Vec<Message>| {
        let mut messages = vec![
            words(Role::User, "a"),
            message(Role::Assistant, vec![call("c", "{}")]),
            message(Role::User, vec![result("c", "1")]),
        ];
        messages.extend(more);
        asked(messages)
    };
    assert_eq!(named(thoughts(answered(Vec::new()), high(), &target(OLD))), gone);
    assert_eq!(thoughts(answered(Vec::new()), high(), &target(NEW)).3, [""; 0]);
    let over = vec![words(Role::Assistant, "one"), words(Role::User, "and?")];
    assert_eq!(thoughts(answered(over), high(), &target(OLD)).0, manual(16_384));
}

#[test]
fn what_other_dialects_left_with_a_client_does_not_go_up() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "waypost.gemini..S"},
            {"type": "thinking", "thinking": "unsigned", "signature": ""},
            {"type": "text", "text": "x", "citations": [{"type": "web_search_result_location", "url": "u", "encrypted_index": ""}]},
            {"type": "redacted_thinking", "data": "waypost.gemini.call.S"},
            {"type": "tool_use", "id": "c.1", "name": "f", "input": {}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c.1", "content": "1"}]},
    ]});
    let r = decode_request(body.to_string().as_bytes()).unwrap();
    let (body, dropped) = said(&r, &target(OLD));
    assert_eq!(dropped, ["reasoning", "messages[].content[].citations"]);
    let content = &body["messages"][1]["content"];
    let id = &content[1]["id"];
    assert_eq!(content[0], json!({"type": "text", "text": "x"}));
    assert_eq!((content.as_array().unwrap().len(), &content[1]["type"]), (2, &json!("tool_use")));
    assert_eq!(&body["messages"][2]["content"][0]["tool_use_id"], id);
    assert!(!id.as_str().unwrap().contains('.'), "the API would refuse it");
}

#[test]
fn a_client_of_this_api_keeps_its_own_way_of_thinking() {
    let own = |budget, max| Request {
        origin: Dialect::Anthropic,
        max_output_tokens: Some(max),
        reasoning: Some(Thinking { enabled: Some(true), budget_tokens: Some(budget), ..Thinking::default() }),
        ..hello()
    };
    let (body, _) = said(&own(15_000, 16_000), &target(NEW));
    assert_eq!((&body["thinking"]["budget_tokens"], &body["max_tokens"]), (&json!(15_000), &json!(16_000)));
    // A cap of ours below it lowers the budget as well.
    let (body, _) = said(&own(15_000, 16_000), &Target { cap: Some(8000), ..target(OLD) });
    assert_eq!((&body["thinking"]["budget_tokens"], &body["max_tokens"]), (&json!(6000), &json!(8000)));
}

#[test]
fn sampling_fits_the_endpoint() {
    let number = |f: f64| serde_json::Number::from_f64(f);
    let r = Request { temperature: number(1.5), top_p: number(0.5), top_k: Some(4), ..hello() };
    let kept = |body: &Value| ["temperature", "top_p", "top_k"].map(|k| body[k].clone());
    let (body, dropped) = said(&r, &target("claude-3-haiku-20240307"));
    assert_eq!((kept(&body), dropped), ([json!(1), json!(0.5), json!(4)], vec!["temperature".to_owned()]));
    // Newer models take one of the two.
    let (body, dropped) = said(&r, &target(OLD));
    assert_eq!((kept(&body), dropped.len()), ([json!(1), Value::Null, json!(4)], 2));
    let (body, dropped) = said(&r, &Target { no_sampling: true, ..target(NEW) });
    assert_eq!(kept(&body), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(dropped, ["temperature", "top_p", "top_k"]);
    let thinking = Thinking { effort: Some(Effort::Low), ..Thinking::default() };
    let (body, dropped) = said(&Request { reasoning: Some(thinking), ..r }, &target(OLD));
    assert_eq!((kept(&body), dropped.len()), ([Value::Null, Value::Null, Value::Null], 3));
    let cap = |given, cap| {
        let r = Request { max_output_tokens: given, ..hello() };
        said(&r, &Target { cap, ..target(OLD) }).0["max_tokens"].as_u64()
    };
    let caps = [cap(None, None), cap(None, Some(100)), cap(Some(50), Some(100)), cap(Some(500), Some(100))];
    assert_eq!(caps, [Some(4096), Some(100), Some(50), Some(100)]);
}

#[test]
fn versions_are_read_from_names() {
    let cases = [
        ("claude-opus-4-1-20250805", Some((4, 1))),
        ("claude-sonnet-4-20250514", Some((4, 0))),
        ("claude-3-5-haiku-latest", Some((3, 5))),
        ("claude-3-opus-20240229", Some((3, 0))),
        ("anthropic/claude-sonnet-4.5", Some((4, 5))),
        ("us.anthropic.claude-opus-4-6-v1:0", Some((4, 6))),
        ("claude-sonnet-5", Some((5, 0))),
        ("claude-next", None),
        ("kimi-k2", None),
    ];
    for (model, want) in cases {
        assert_eq!(thinking::version(model), want, "{model}");
    }
}
