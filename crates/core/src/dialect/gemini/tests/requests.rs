use super::*;
use crate::chat::{
    CacheMark, Content, Effort, Format, Media, MediaKind, Message, Part, Role, Signature, Source, Thinking, Tool,
    ToolCall, ToolChoice, ToolKind, ToolResult,
};
use crate::registry::{Capabilities, Dialect};
use serde_json::json as j;

/// An OpenAI client's request with these messages.
fn request(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::new(Dialect::OpenAi, "m") }
}

fn user(text: &str) -> Message {
    Message::new(Role::User, vec![Part::text(text)])
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.into(), name.into(), arguments.into());
    Content::ToolCall(ToolCall { id, name, arguments, custom: false }).into()
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    Content::ToolResult(ToolResult { call_id: id.into(), name: None, parts, is_error, custom: false }).into()
}

fn function(name: &str) -> Tool {
    let kind = ToolKind::Function { name: name.into(), description: None, schema: None, strict: None };
    Tool { kind, cache: None, extras: Extras::new() }
}

fn signed(part: Part, dialect: Dialect, value: &str) -> Part {
    Part { signature: Some(Signature { dialect, value: value.into(), id: None }), ..part }
}

fn thought(text: &str) -> Part {
    Content::Reasoning { text: text.into(), summary: false, redacted: false }.into()
}

fn media(kind: MediaKind, source: Source) -> Part {
    Content::Media(Media { kind, source, name: None, detail: None }).into()
}

fn refused(request: &Request, target: &Target<'_>) -> String {
    encode_request(request, target).unwrap_err().field
}

#[test]
fn turns_are_merged_and_system_prompts_gathered() {
    let messages = vec![
        Message::new(Role::System, vec![Part::text("One.")]),
        user("Weather?"),
        Message::new(Role::Assistant, vec![Part::text(""), call("a", "w", r#"{"t": "Ulm"}"#), call("b", "w", "")]),
        Message::new(Role::User, vec![result("a", vec![Part::text("fog")], false)]),
        Message::new(Role::User, vec![result("b", vec![Part::text(r#"{"sky":"clear"}"#)], false)]),
        Message::new(Role::User, vec![result("b", vec![Part::text("lost")], true), Part::text("So?")]),
        Message::new(Role::Developer, vec![Part::text("Two.")]),
    ];
    let (body, dropped) = encode(&request(messages), &target("gemini-3-pro"));
    let want = j!({
        "systemInstruction": {"parts": [{"text": "One."}, {"text": "Two."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Weather?"}]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "a", "name": "w", "args": {"t": "Ulm"}},
                 "thoughtSignature": "skip_thought_signature_validator"},
                {"functionCall": {"id": "b", "name": "w", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "a", "name": "w", "response": {"result": "fog"}}},
                {"functionResponse": {"id": "b", "name": "w", "response": {"sky": "clear"}}},
                {"functionResponse": {"id": "b", "name": "w", "response": {"error": "lost"}}},
                {"text": "So?"},
            ]},
        ],
    });
    assert_eq!((body, dropped), (want, vec![]));
}

#[test]
fn models_without_system_prompts_hear_them_from_the_user() {
    let messages = vec![Message::new(Role::System, vec![Part::text("Be kind.")]), user("Hi")];
    let (body, dropped) = encode(&request(messages), &target("gemma-3-27b-it"));
    let want = j!({"contents": [{"role": "user", "parts": [{"text": "Be kind."}, {"text": "Hi"}]}]});
    assert_eq!((body, dropped), (want, vec![]));
}

#[test]
fn signatures_return_to_gemini_only() {
    let ours = signed(call("a", "w", "{}"), Dialect::Gemini, "c2ln");
    let theirs = signed(call("a", "w", "{}"), Dialect::Anthropic, "xyz");
    let second = signed(call("b", "w", "{}"), Dialect::Gemini, "c2Vj");
    let skip = "skip_thought_signature_validator";
    for (parts, want) in [
        (vec![ours.clone(), call("b", "w", "{}")], vec![Some("c2ln"), None]),
        (vec![call("a", "w", "{}"), ours], vec![Some(skip), Some("c2ln")]),
        (vec![signed(Part::text("x"), Dialect::Gemini, "dA==")], vec![Some("dA==")]),
        (vec![signed(thought(""), Dialect::Gemini, "dA==")], vec![Some("dA==")]),
    ] {
        let (body, dropped) = encode(&request(vec![user("?"), Message::new(Role::Assistant, parts)]), &target("g"));
        let parts = body["contents"][1]["parts"].as_array().unwrap().clone();
        let signatures: Vec<_> = parts.iter().map(|p| p.get("thoughtSignature").and_then(Value::as_str)).collect();
        assert_eq!((signatures, dropped), (want, vec![]));
    }
    // What others have signed goes without.
    for (parts, want) in [
        (vec![theirs, second], vec![Some(skip), Some("c2Vj")]),
        (vec![signed(thought("hm"), Dialect::Anthropic, "xyz")], vec![None]),
    ] {
        let (body, dropped) = encode(&request(vec![user("?"), Message::new(Role::Assistant, parts)]), &target("g"));
        let parts = body["contents"][1]["parts"].as_array().unwrap().clone();
        let signatures: Vec<_> = parts.iter().map(|p| p.get("thoughtSignature").and_then(Value::as_str)).collect();
        assert_eq!((signatures, dropped), (want, vec!["reasoning".to_owned()]));
    }
    // Encrypted thoughts of others hold nothing that could be sent.
    let sealed = Content::Reasoning { text: String::new(), summary: false, redacted: true }.into();
    let parts = vec![signed(sealed, Dialect::Anthropic, "xyz"), thought("plain"), Part::text("x")];
    let (body, dropped) = encode(&request(vec![user("?"), Message::new(Role::Assistant, parts)]), &target("g"));
    assert_eq!(body["contents"][1]["parts"], j!([{"text": "plain", "thought": true}, {"text": "x"}]));
    assert_eq!(dropped, ["reasoning"]);
}

#[test]
fn media_goes_inline_or_by_address() {
    let url = |url: &str, mime: Option<&str>| Source::Url { url: url.into(), mime: mime.map(str::to_owned) };
    let data = Source::Data { mime: "image/png".into(), base64: "AAAA".into() };
    for (kind, source, want) in [
        (MediaKind::Image, data, j!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})),
        (
            MediaKind::Image,
            url("https://e.org/a.PNG?x=1.jpg", None),
            j!({"fileData": {"fileUri": "https://e.org/a.PNG?x=1.jpg", "mimeType": "image/png"}}),
        ),
        (
            MediaKind::Image,
            url("https://e.org/a", None),
            j!({"fileData": {"fileUri": "https://e.org/a", "mimeType": "image/jpeg"}}),
        ),
        (
            MediaKind::Document,
            url("gs://b/x", Some("text/plain")),
            j!({"fileData": {"fileUri": "gs://b/x", "mimeType": "text/plain"}}),
        ),
        (
            MediaKind::Document,
            Source::Text("Hallo".into()),
            j!({"inlineData": {"mimeType": "text/plain", "data": "SGFsbG8="}}),
        ),
    ] {
        let message = Message::new(Role::User, vec![media(kind, source)]);
        let (body, dropped) = encode(&request(vec![message]), &target("g"));
        assert_eq!((&body["contents"][0]["parts"][0], dropped), (&want, vec![]));
    }
    let file = Message::new(Role::User, vec![media(MediaKind::Document, Source::File("file-1".into()))]);
    assert_eq!(refused(&request(vec![file]), &target("g")), "messages[0].content");
    let named = Media {
        kind: MediaKind::Image,
        source: Source::Data { mime: "image/png".into(), base64: "AAAA".into() },
        name: Some("x.png".into()),
        detail: Some("high".into()),
    };
    let named = request(vec![Message::new(Role::User, vec![Content::Media(named).into()])]);
    let dropped = encode(&named, &target("g")).1;
    assert_eq!(dropped, ["messages[].content[].filename", "messages[].content[].detail"]);
}

#[test]
fn results_hold_media_too() {
    let picture = media(MediaKind::Image, Source::Data { mime: "image/png".into(), base64: "AAAA".into() });
    let mut messages = vec![
        user("Draw."),
        Message::new(Role::Assistant, vec![call("a", "draw", "{}")]),
        Message::new(Role::User, vec![result("a", vec![Part::text("one"), Part::text("two"), picture], false)]),
    ];
    let (body, _) = encode(&request(messages.clone()), &target("g"));
    let want = j!({
        "id": "a", "name": "draw", "response": {"result": "one\ntwo"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
    });
    assert_eq!(body["contents"][2]["parts"], j!([{"functionResponse": want}]));
    // Older models take it beside the result, and an address belongs there always.
    let (body, _) = encode(&request(messages.clone()), &target("gemini-2.5-pro"));
    let (result_part, beside) = (&body["contents"][2]["parts"][0], &body["contents"][2]["parts"][1]);
    assert_eq!(result_part["functionResponse"].get("parts"), None);
    assert_eq!(beside, &j!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}));
    let address = media(MediaKind::Image, Source::Url { url: "https://e.org/a.png".into(), mime: None });
    messages[2].parts = vec![result("a", vec![address], false), Part::text("?")];
    let (body, _) = encode(&request(messages), &target("g"));
    let parts = &body["contents"][2]["parts"];
    assert_eq!((&parts[1]["fileData"]["fileUri"], &parts[2]["text"]), (&j!("https://e.org/a.png"), &j!("?")));
}

#[test]
fn what_would_change_the_meaning_is_refused() {
    let said = |parts| vec![user("?"), Message::new(Role::Assistant, parts)];
    let schema = Format::JsonSchema { name: None, description: None, schema: j!({}), strict: None };
    let only_system = vec![Message::new(Role::System, vec![Part::text("x")])];
    let picture = media(MediaKind::Image, Source::Data { mime: "image/png".into(), base64: "AAAA".into() });
    let cases = [
        (request(said(vec![call("a", "w", "[1]")])), "g", "messages[1].tool_calls[].arguments"),
        (request(said(vec![call("a", "w", "{\"x\":")])), "g", "messages[1].tool_calls[].arguments"),
        (request(vec![Message::new(Role::User, vec![result("z", vec![], false)])]), "g", "messages[0].tool_call_id"),
        (request(only_system), "g", "messages"),
        (request(vec![Message::new(Role::System, vec![picture]), user("?")]), "g", "messages[0].content"),
        (Request { tool_choice: Some(ToolChoice::Required), ..request(vec![user("?")]) }, "g", "tool_choice"),
        (
            Request {
                tool_choice: Some(ToolChoice::Tool("gone".into())),
                tools: vec![function("w")],
                ..request(vec![user("?")])
            },
            "g",
            "tool_choice",
        ),
        (
            Request { tool_choice: Some(ToolChoice::Native(j!({"type": "x"}))), ..request(vec![user("?")]) },
            "g",
            "tool_choice",
        ),
        (
            Request { format: schema, tools: vec![function("w")], ..request(vec![user("?")]) },
            "gemini-2.5-flash",
            "response_format",
        ),
        (Request { stop: vec!["x".into(); 6], ..request(vec![user("?")]) }, "g", "stop"),
    ];
    for (request, model, field) in cases {
        assert_eq!(refused(&request, &target(model)), field);
    }
}

#[test]
fn what_gemini_lacks_is_dropped_by_name() {
    let native = Tool {
        kind: ToolKind::Native(j!({"type": "web_search"})),
        cache: Some(CacheMark::default()),
        extras: Extras::new(),
    };
    let custom = ToolKind::Custom { name: "c".into(), description: None, format: None };
    let mut with_extras = function("w");
    with_extras.extras.insert("defer".into(), true.into());
    let mut message = user("?");
    message.name = Some("Ann".into());
    let thing = Part::from(Content::Native(j!({"type": "thing"})));
    let answer = Message::new(Role::Assistant, vec![Part::text("!"), thing.clone()]);
    let mut whole = Request {
        tools: vec![native, Tool { kind: custom, cache: None, extras: Extras::new() }, with_extras],
        parallel_tools: Some(false),
        user: Some("u".into()),
        verbosity: Some("low".into()),
        seed: Some(1 << 40),
        temperature: serde_json::Number::from_f64(0.5),
        top_k: Some(3),
        frequency_penalty: serde_json::Number::from_f64(0.5),
        n: Some(1),
        ..request(vec![message, answer])
    };
    whole.extras.insert("store".into(), false.into());
    let lenient = Target { no_sampling: true, ..target("gemini-2.5-flash") };
    let (body, dropped) = encode(&whole, &lenient);
    let names = [
        "messages[].name",
        "messages[].content[].thing",
        "cache_control",
        "tools[].web_search",
        "tools[].custom",
        "tools[].defer",
        "parallel_tool_calls",
        "temperature",
        "top_k",
        "frequency_penalty",
        "seed",
        "user",
        "verbosity",
        "store",
    ];
    assert_eq!(dropped, names);
    let want = j!({
        "contents": [
            {"role": "user", "parts": [{"text": "?"}]},
            {"role": "model", "parts": [{"text": "!"}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "w"}]}],
    });
    assert_eq!(body, want);
    let strict = Target { strict: true, ..lenient };
    assert_eq!(refused(&whole, &strict), names[0]);
    // What the user shows is not left out.
    whole.messages[0].parts.push(thing);
    assert_eq!(refused(&whole, &lenient), names[1]);
}

#[test]
fn tools_and_choices_are_translated() {
    let schema = j!({"type": "object", "properties": {"t": {"type": "string"}}});
    let kind = |strict| ToolKind::Function {
        name: "w".into(),
        description: Some("d".into()),
        schema: Some(schema.clone()),
        strict,
    };
    let tool = |strict| Tool { kind: kind(strict), cache: None, extras: Extras::new() };
    let cases = [
        (None, None, Value::Null),
        (None, Some(true), j!({"functionCallingConfig": {"mode": "VALIDATED"}})),
        (Some(ToolChoice::Auto), Some(false), j!({"functionCallingConfig": {"mode": "AUTO"}})),
        (Some(ToolChoice::None), None, j!({"functionCallingConfig": {"mode": "NONE"}})),
        (Some(ToolChoice::Required), Some(true), j!({"functionCallingConfig": {"mode": "ANY"}})),
        (
            Some(ToolChoice::Tool("w".into())),
            None,
            j!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["w"]}}),
        ),
    ];
    for (tool_choice, strict, want) in cases {
        let request = Request { tools: vec![tool(strict)], tool_choice, ..request(vec![user("?")]) };
        let (body, dropped) = encode(&request, &target("g"));
        assert_eq!(body.get("toolConfig").unwrap_or(&Value::Null), &want);
        let declaration = j!({"name": "w", "description": "d", "parametersJsonSchema": schema});
        assert_eq!(body["tools"], j!([{"functionDeclarations": [declaration]}]));
        assert_eq!(dropped, Vec::<String>::new());
    }
}

#[test]
fn caps_and_formats_are_set() {
    for (asked, cap, want) in [
        (None, None, None),
        (Some(9), None, Some(9)),
        (None, Some(5), Some(5)),
        (Some(9), Some(5), Some(5)),
        (Some(3), Some(5), Some(3)),
    ] {
        let request = Request { max_output_tokens: asked, ..request(vec![user("?")]) };
        let (body, _) = encode(&request, &Target { cap, ..target("g") });
        let got = body.get("generationConfig").map(|c| c["maxOutputTokens"].as_u64().unwrap());
        assert_eq!(got, want, "{asked:?} {cap:?}");
    }
    let description = Some("A cat".to_owned());
    let format =
        Format::JsonSchema { name: Some("cat".into()), description, schema: j!({"type": "object"}), strict: None };
    let request = Request { format, logprobs: Some(0), n: Some(2), ..request(vec![user("?")]) };
    let want = j!({
        "candidateCount": 2,
        "responseLogprobs": true,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "description": "A cat"},
    });
    assert_eq!(encode(&request, &target("gemini-2.5-pro")).0["generationConfig"], want);
}

#[test]
fn thinking_is_asked_for_as_the_model_wants() {
    let effort = |effort| Thinking { effort: Some(effort), ..Thinking::default() };
    let budget = |tokens| Thinking { budget_tokens: Some(tokens), ..Thinking::default() };
    let enabled = |on| Thinking { enabled: Some(on), ..Thinking::default() };
    let shown = Thinking { show: Some(true), ..effort(Effort::Medium) };
    let (flash, pro, new, new_pro) = ("gemini-2.5-flash", "models/gemini-2.5-pro", "gemini-3-flash", "gemini-3-pro");
    for (model, thinking, want) in [
        (flash, effort(Effort::Low), j!({"thinkingBudget": 2048})),
        (flash, effort(Effort::Max), j!({"thinkingBudget": 24576})),
        (flash, effort(Effort::None), j!({"thinkingBudget": 0})),
        (flash, enabled(false), j!({"thinkingBudget": 0})),
        (flash, enabled(true), j!({"thinkingBudget": -1})),
        (flash, budget(60_000), j!({"thinkingBudget": 24576})),
        ("gemini-2.5-flash-lite", budget(100), j!({"thinkingBudget": 512})),
        ("gemini-2.5-flash-lite", budget(0), j!({"thinkingBudget": 0})),
        (pro, enabled(false), j!({"thinkingBudget": 128})),
        (pro, budget(60_000), j!({"thinkingBudget": 32768})),
        (pro, shown.clone(), j!({"thinkingBudget": 8192, "includeThoughts": true})),
        (new, shown, j!({"thinkingLevel": "MEDIUM", "includeThoughts": true})),
        (new, effort(Effort::XHigh), j!({"thinkingLevel": "HIGH"})),
        (new, enabled(false), j!({"thinkingLevel": "MINIMAL"})),
        (new_pro, effort(Effort::Minimal), j!({"thinkingLevel": "LOW"})),
        (new_pro, budget(20_000), j!({"thinkingLevel": "HIGH"})),
        (new, enabled(true), Value::Null),
    ] {
        let request = Request { reasoning: Some(thinking.clone()), ..request(vec![user("?")]) };
        let (body, dropped) = encode(&request, &target(model));
        let got = body.get("generationConfig").map_or(&Value::Null, |c| &c["thinkingConfig"]);
        assert_eq!((got, dropped), (&want, vec![]), "{model} {thinking:?}");
    }
    // Thoughts leave room for an answer, as much as the client wants where it says so.
    for (thinking, want) in [(effort(Effort::High), 3000), (budget(9000), 3999), (budget(3500), 3500)] {
        let request = Request { reasoning: Some(thinking), max_output_tokens: Some(4000), ..request(vec![user("?")]) };
        let (body, _) = encode(&request, &target(pro));
        assert_eq!(body["generationConfig"]["thinkingConfig"]["thinkingBudget"], j!(want));
    }
    // What cannot think is not told to.
    let unable = Target { capabilities: Some(Capabilities::TOOLS), ..target(new) };
    for (target, thinking, names) in [
        (target("gemini-2.0-flash"), effort(Effort::Low), vec!["reasoning_effort"]),
        (target("gemini-2.0-flash"), effort(Effort::None), vec![]),
        (unable, effort(Effort::Low), vec!["reasoning_effort"]),
    ] {
        let request = Request { reasoning: Some(thinking), ..request(vec![user("?")]) };
        let (body, dropped) = encode(&request, &target);
        assert_eq!((body.get("generationConfig"), dropped), (None, names.iter().map(ToString::to_string).collect()));
    }
}

#[test]
fn malformed_requests_say_where() {
    for (body, field, problem) in [
        ("[]", "", "must be an object"),
        ("{", "", "not JSON"),
        (r#"{"contents":[]}"#, "contents", "is required"),
        (r#"{"contents":[{"role":"system","parts":[]}]}"#, "contents[0].role", "`user` or `model`, not `system`"),
        (r#"{"contents":[{"parts":{}}]}"#, "contents[0].parts", "must be an array"),
        (r#"{"contents":[{"parts":[7]}]}"#, "contents[0].parts[0]", "must be an object"),
        (r#"{"contents":[{"parts":[{"text":7}]}]}"#, "contents[0].parts[0].text", "must be a string"),
        (
            r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"%%"}}]}]}"#,
            "contents[0].parts[0].inlineData.data",
            "is not base64",
        ),
        (
            r#"{"contents":[{"parts":[{"inline_data":{"data":"AAAA"}}]}]}"#,
            "contents[0].parts[0].inlineData.mimeType",
            "is required",
        ),
        (
            r#"{"contents":[{"parts":[{"functionCall":{"name":"f","args":"{}"}}]}]}"#,
            "contents[0].parts[0].functionCall.args",
            "must be an object",
        ),
        (
            r#"{"contents":[{"parts":[{"functionResponse":{"response":{}}}]}]}"#,
            "contents[0].parts[0].functionResponse.name",
            "is required",
        ),
        (
            r#"{"contents":[{"parts":[]}],"generationConfig":{"candidateCount":0}}"#,
            "generationConfig.candidateCount",
            "from 1",
        ),
        (
            r#"{"contents":[{"parts":[]}],"generationConfig":{"thinkingConfig":{"thinkingLevel":"SOME"}}}"#,
            "generationConfig.thinkingConfig.thinkingLevel",
            "not `SOME`",
        ),
        (
            r#"{"contents":[{"parts":[]}],"tools":[{"functionDeclarations":[{}]}]}"#,
            "tools[0].functionDeclarations[0].name",
            "is required",
        ),
    ] {
        let error = decode_request(body.as_bytes()).unwrap_err();
        assert_eq!(error.field, field, "{body}");
        assert!(error.problem.contains(problem), "{body}: {error}");
    }
}

#[test]
fn requests_are_read_into_canonical_words() {
    let request = decode_request(fixture("requests", "system").as_bytes()).unwrap();
    assert_eq!(request.messages[0].role, Role::System);
    assert_eq!((request.max_output_tokens, request.top_k, request.seed), (Some(200), Some(40), Some(7)));
    assert_eq!(request.stop, ["END", "\n\n"]);
    let request = decode_request(fixture("requests", "parallel_tools").as_bytes()).unwrap();
    let Content::ToolResult(failed) = &request.messages[2].parts[1].content else { panic!() };
    assert_eq!((failed.call_id.as_str(), failed.is_error), ("b", true));
    assert_eq!(failed.parts, [Part::text("clock not found")]);
    let Content::ToolCall(call) = &request.messages[1].parts[1].content else { panic!() };
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("get_weather", r#"{"town":"Oslo"}"#));
    assert_eq!(request.messages[1].parts[1].signature.as_ref().unwrap().dialect, Dialect::Gemini);
    let request = decode_request(fixture("requests", "choice_one").as_bytes()).unwrap();
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("get_time".into())));
    let request = decode_request(fixture("requests", "thinking_level").as_bytes()).unwrap();
    let want = Thinking { effort: Some(Effort::High), show: Some(false), ..Thinking::default() };
    assert_eq!(request.reasoning, Some(want));
    // A result without its call is an error at the seam.
    let orphan = r#"{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{}}}]}]}"#;
    assert!(crate::dialect::decode_request(Dialect::Gemini, orphan.as_bytes()).is_err());
}
