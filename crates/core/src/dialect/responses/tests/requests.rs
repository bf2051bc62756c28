use super::*;
use crate::chat::{
    CacheMark, Content, Effort, Extras, Format, Media, MediaKind, Message, Part, Role, Signature, Source, Thinking,
    Tool, ToolCall, ToolChoice, ToolKind, ToolResult,
};
use crate::registry::Capabilities;

const FIXTURES: Fixtures = fixtures!("requests", ".json":
    "plain", "plain_stream", "instructions", "multi_turn", "easy_messages", "tools", "tool_choice_none",
    "tool_choice_required", "tool_choice_function", "tool_choice_allowed", "tool_results", "reasoning",
    "reasoning_round_trip", "reasoning_raw", "reasoning_options", "json_schema", "json_object", "images", "documents",
    "audio", "custom_tool", "native_tools", "logprobs", "unknown_fields", "refusal_history",
);

/// What the module's documentation says that reading and writing changes.
fn normalised(mut body: Value) -> Value {
    if body["input"][0]["role"] == "system" && body.get("instructions").is_none() {
        let first = body["input"].as_array_mut().unwrap().remove(0);
        body["instructions"] = first["content"].clone();
    }
    for item in body.get_mut("input").and_then(Value::as_array_mut).into_iter().flatten() {
        let item = item.as_object_mut().unwrap();
        if item.contains_key("role") {
            item.insert("type".into(), "message".into());
        }
        let kind = item["type"].as_str().unwrap().to_owned();
        if ["message", "function_call", "function_call_output"].contains(&kind.as_str()) {
            item.shift_remove("id");
            item.shift_remove("status");
        }
        let role = item.get("role").cloned();
        if let Some(Value::Array(parts)) = item.get("content").filter(|_| role != Some("assistant".into()))
            && let [part] = parts.as_slice()
            && part.as_object().unwrap().len() == 2
            && part["type"] == "input_text"
        {
            let text = part["text"].clone();
            item.insert("content".into(), text);
        }
        if role == Some("assistant".into()) && item["content"].is_string() {
            let text = item["content"].clone();
            item.insert("content".into(), json!([{"type": "output_text", "text": text, "annotations": []}]));
        }
    }
    body
}

#[test]
fn every_fixture_reads_and_writes_as_itself() {
    for (name, body) in FIXTURES {
        let request = decode_request(body).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(request.orphaned_result(), None, "{name}");
        let target = Target { model: &request.model, ..target() };
        let encoded = encode(&request, &Target { strict: true, ..target }).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let (got, mut want) = (value(&encoded.body), normalised(value(body)));
        if *name == "reasoning_options" {
            // Nothing is stored, so what was thought must be able to come back.
            want["include"] = json!(["reasoning.encrypted_content"]);
        }
        same(&got, &want, name);
        assert_eq!((encoded.dropped, encoded.json_tool), (vec![], None), "{name}");
        // A second reading finds the same.
        assert_eq!(decode_request(&encoded.body).unwrap(), request, "{name}");
    }
}

#[test]
fn items_gather_into_turns() {
    let (_, body) = FIXTURES.iter().find(|(name, _)| *name == "reasoning_round_trip").unwrap();
    let request = decode_request(body).unwrap();
    let roles: Vec<_> = request.messages.iter().map(|m| (m.role, m.parts.len())).collect();
    let want = [(Role::User, 1), (Role::Assistant, 3), (Role::User, 1), (Role::Assistant, 2), (Role::User, 1)];
    assert_eq!(roles, want);
    let first = &request.messages[1].parts[0];
    let signature = Signature { dialect: Dialect::Responses, value: "gAAAAABo-enc-1".into(), id: Some("rs_0a".into()) };
    assert_eq!(first.signature, Some(signature));
    assert!(matches!(&first.content, Content::Reasoning { summary: true, redacted: false, .. }));
    assert!(matches!(&request.messages[3].parts[0].content, Content::Reasoning { redacted: true, .. }));
    let results = decode_request(FIXTURES.iter().find(|(name, _)| *name == "tool_results").unwrap().1).unwrap();
    // Two calls are one turn, and so are their two results; arguments keep every byte.
    assert_eq!(results.messages.iter().map(|m| m.parts.len()).collect::<Vec<_>>(), [1, 2, 2, 1, 1]);
    let Content::ToolCall(call) = &results.messages[1].parts[1].content else { panic!() };
    assert_eq!((call.id.as_str(), call.arguments.as_str()), ("call_b2", r#"{ "place": "Rome" }"#));
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let with = |member: Value| {
        let mut body = json!({"model": "m", "input": "x"});
        body.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        body
    };
    let item = |item: Value| json!({"model": "m", "input": [item]});
    let part = |part: Value| item(json!({"role": "user", "content": [part]}));
    let cases = [
        (json!({"input": "x"}), "model", "is required"),
        (json!({"model": "m"}), "input", "is required"),
        (json!({"model": "m", "input": 7}), "input", "must be a string or an array of items, not a number"),
        (json!({"model": "m", "input": []}), "input", "must not be empty"),
        (
            with(json!({"previous_response_id": "resp_1"})),
            "previous_response_id",
            "only a provider that speaks the Responses API keeps previous_response_id; send the whole conversation as input",
        ),
        (
            with(json!({"conversation": {"id": "conv_1"}})),
            "conversation",
            "only a provider that speaks the Responses API keeps conversation; send the whole conversation as input",
        ),
        (with(json!({"prompt": {"id": "p"}})), "prompt", "keeps prompts"),
        (with(json!({"background": true})), "background", "in the background"),
        (item(json!({"type": "item_reference", "id": "msg_1"})), "input[0]", "where `store` is false"),
        (item(json!({"id": "msg_1"})), "input[0]", "item_reference"),
        (item(json!({"content": "x"})), "input[0].type", "is required"),
        (item(json!("x")), "input[0]", "must be an object, not a string"),
        (
            item(json!({"role": "tool", "content": "x"})),
            "input[0].role",
            "must be one of user, assistant, system and developer, not `tool`",
        ),
        (item(json!({"role": "user", "content": 7})), "input[0].content", "must be a string or an array of parts"),
        (item(json!({"type": "function_call", "name": "f", "arguments": "{}"})), "input[0].call_id", "is required"),
        (item(json!({"type": "function_call", "call_id": "c", "name": ""})), "input[0].name", "must not be empty"),
        (
            item(json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}})),
            "input[0].arguments",
            "must be a string, not an object",
        ),
        (part(json!({"type": "hologram"})), "input[0].content[0].type", "must be one of"),
        (part(json!({"type": "input_text"})), "input[0].content[0].text", "is required"),
        (part(json!({"type": "input_image"})), "input[0].content[0]", "an image needs `image_url` or `file_id`"),
        (
            part(json!({"type": "input_image", "image_url": "data:image/png;base64,@@@"})),
            "input[0].content[0].image_url",
            "its data are not base64",
        ),
        (
            part(json!({"type": "input_image", "image_url": "data:text/html;base64,QUJD"})),
            "input[0].content[0].image_url",
            "must be an image, not text/html",
        ),
        (
            part(json!({"type": "input_image", "image_url": "data:image/png,abc"})),
            "input[0].content[0].image_url",
            "must be a data URL",
        ),
        (part(json!({"type": "input_file"})), "input[0].content[0]", "a file needs"),
        (
            part(json!({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}})),
            "input[0].content[0].input_audio.data",
            "not base64",
        ),
        (with(json!({"tools": [{"name": "f"}]})), "tools[0].type", "is required"),
        (with(json!({"tools": [{"type": "function"}]})), "tools[0].name", "is required"),
        (with(json!({"tool_choice": "sometimes"})), "tool_choice", "must be auto, none, required or an object"),
        (with(json!({"tool_choice": {"type": "function"}})), "tool_choice.name", "is required"),
        (
            with(json!({"text": {"format": {"type": "xml"}}})),
            "text.format.type",
            "must be text, json_object or json_schema",
        ),
        (with(json!({"text": {"format": {"type": "json_schema", "name": "n"}}})), "text.format.schema", "is required"),
        (with(json!({"reasoning": {"effort": "heroic"}})), "reasoning.effort", "must be one of none, minimal, low"),
        (with(json!({"max_output_tokens": 1.5})), "max_output_tokens", "must be a whole number from 0"),
        (with(json!({"stream": "yes"})), "stream", "must be true or false"),
    ];
    for (body, field, problem) in cases {
        let error = decode_request(body.to_string().as_bytes()).expect_err(&body.to_string());
        assert_eq!(error.field, field, "{body}");
        assert!(error.problem.contains(problem), "{body}: {}", error.problem);
    }
    assert!(decode_request(b"{").unwrap_err().problem.starts_with("not JSON"));
}

#[test]
fn the_gateways_own_member_goes_no_further() {
    let request = decoded(&json!({"model": "m", "input": "x", "waypost": {"stage": "ui"}, "stream": true}));
    assert!(request.extras.is_empty() && request.stream && request.include_usage);
}

#[test]
fn another_dialects_request_is_sent_whole_and_stored_nowhere() {
    let mut request = foreign(Dialect::Anthropic);
    request.messages.insert(0, Message::new(Role::System, vec![Part::text("Be brief.")]));
    request.tools.push(Tool {
        kind: ToolKind::Function { name: "f".into(), description: None, schema: None, strict: None },
        cache: None,
        extras: Extras::new(),
    });
    request.max_output_tokens = Some(300);
    let (body, dropped) = encoded(&request);
    let want = json!({
        "model": "gpt-5",
        "instructions": "Be brief.",
        "input": "Hi.",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false}],
        "max_output_tokens": 300,
        "store": false,
    });
    same(&body, &want, "anthropic");
    assert_eq!(dropped, Vec::<String>::new());
}

#[test]
fn instructions_alone_stay_input() {
    let mut request = Request::new(Dialect::OpenAi, "m");
    request.messages.push(Message::new(Role::System, vec![Part::text("Write a poem.")]));
    let (body, _) = encoded(&request);
    same(
        &body["input"],
        &json!([{"type": "message", "role": "system", "content": "Write a poem."}]),
        "one system message",
    );
    assert_eq!(body.get("instructions"), None);
}

#[test]
fn losses_are_named_as_the_client_names_them_or_refused() {
    let number = |n: f64| serde_json::Number::from_f64(n);
    let mut request = foreign(Dialect::OpenAi);
    request.messages[0].name = Some("bob".into());
    request.stop = vec!["END".into()];
    request.seed = Some(7);
    request.top_k = Some(3);
    request.frequency_penalty = number(0.5);
    request.presence_penalty = number(0.5);
    request.n = Some(1);
    request.max_output_tokens = Some(5);
    request.extras.insert("logit_bias".into(), json!({"1": 2}));
    request.extras.insert("metadata".into(), json!({"a": "b"}));
    request.extras.insert("store".into(), true.into());
    let (body, dropped) = encoded(&request);
    let want = [
        "messages[].name",
        "max_tokens",
        "top_k",
        "stop",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "logit_bias",
    ];
    assert_eq!(dropped, want);
    // What both of OpenAI's dialects know crosses; less than the API takes is raised to the least that it does.
    assert_eq!(
        (&body["metadata"], &body["store"], &body["max_output_tokens"]),
        (&json!({"a": "b"}), &json!(true), &json!(16))
    );
    let error = encode(&request, &Target { strict: true, ..target() }).unwrap_err();
    assert_eq!(error.field, "messages[].name");

    let mut request = foreign(Dialect::Gemini);
    request.stop = vec!["END".into()];
    request.extras.insert("metadata".into(), 1.into());
    request.tools.push(Tool {
        kind: ToolKind::Native(json!({"googleSearch": {}})),
        cache: None,
        extras: Extras::new(),
    });
    assert_eq!(encoded(&request).1, ["tools[].googleSearch", "generationConfig.stopSequences", "metadata"]);
}

#[test]
fn what_changes_the_meaning_is_always_refused() {
    let base = || foreign(Dialect::OpenAi);
    let with = |content: Content| {
        let mut request = foreign(Dialect::Gemini);
        request.messages[0].parts.push(content.into());
        request
    };
    let media = |kind, source| with(Content::Media(Media { kind, source, name: None, detail: None }));
    let url = |url: &str| Source::Url { url: url.into(), mime: None };
    let mut said = foreign(Dialect::Gemini);
    let picture = Media { kind: MediaKind::Image, source: url("https://x.test/a.png"), name: None, detail: None };
    said.messages.push(Message::new(Role::Assistant, vec![Content::Media(picture).into()]));
    let cases = [
        (Request { n: Some(2), ..base() }, "n", "one answer"),
        (Request { tool_choice: Some(ToolChoice::Native(json!({}))), ..base() }, "tool_choice", "no such choice"),
        (media(MediaKind::Video, url("https://x.test/v.mp4")), "messages[].content", "no video"),
        (media(MediaKind::Image, url("gs://bucket/a.png")), "messages[].content", "send it inline"),
        (media(MediaKind::Image, Source::File("files/1".into())), "messages[].content", "another provider"),
        (media(MediaKind::Audio, url("https://x.test/a.wav")), "messages[].content", "inline only"),
        (said, "messages[].content", "no media in an assistant's turn"),
    ];
    for (request, field, why) in cases {
        let error = encode(&request, &target()).expect_err(why);
        assert_eq!(error.field, field);
        assert!(error.why.contains(why), "{}", error.why);
    }
}

#[test]
fn the_cap_is_the_smaller_one() {
    let check = |asked, cap, want: Value| {
        let request = Request { max_output_tokens: asked, ..foreign(Dialect::OpenAi) };
        let encoded = encode(&request, &Target { cap, ..target() }).unwrap();
        assert_eq!(value(&encoded.body)["max_output_tokens"], want, "{asked:?} {cap:?}");
    };
    check(None, None, Value::Null);
    check(Some(100), None, 100.into());
    check(None, Some(50), 50.into());
    check(Some(100), Some(50), 50.into());
    check(Some(20), Some(50), 20.into());
    check(Some(3), Some(50), 16.into());
    // A budget's limit is never passed.
    check(Some(3), Some(8), 3.into());
}

#[test]
fn sampling_is_left_out_where_it_is_refused() {
    let mut request = foreign(Dialect::Gemini);
    request.temperature = Some(1.into());
    request.top_p = Some(1.into());
    let encoded = encode(&request, &Target { no_sampling: true, ..target() }).unwrap();
    assert_eq!(encoded.dropped, ["generationConfig.temperature", "generationConfig.topP"]);
    let body = value(&encoded.body);
    assert_eq!((body.get("temperature"), body.get("top_p")), (None, None));
}

#[test]
fn reasoning_is_asked_for_in_efforts() {
    let check = |origin, thinking: Thinking, capabilities, want: Value, encrypted: bool| {
        let request = Request { reasoning: Some(thinking.clone()), ..foreign(origin) };
        let body = value(&encode(&request, &Target { capabilities, ..target() }).unwrap().body);
        assert_eq!(body["reasoning"], want, "{thinking:?}");
        let include = if encrypted { json!(["reasoning.encrypted_content"]) } else { Value::Null };
        assert_eq!(body["include"], include, "{thinking:?}");
    };
    let none = Thinking::default();
    let on = Thinking { enabled: Some(true), ..none.clone() };
    let off = Thinking { enabled: Some(false), ..none.clone() };
    let budget = Thinking { budget_tokens: Some(9000), ..on.clone() };
    let effort = Thinking { effort: Some(Effort::XHigh), ..on.clone() };
    check(Dialect::OpenAi, effort.clone(), None, json!({"effort": "xhigh"}), true);
    check(
        Dialect::Gemini,
        Thinking { show: Some(true), ..budget.clone() },
        None,
        json!({"effort": "medium", "summary": "auto"}),
        true,
    );
    check(Dialect::Anthropic, budget.clone(), None, json!({"effort": "medium", "summary": "auto"}), true);
    check(Dialect::Anthropic, Thinking { show: Some(false), ..budget }, None, json!({"effort": "medium"}), true);
    check(Dialect::Gemini, on, None, Value::Null, true);
    check(Dialect::Anthropic, off.clone(), None, json!({"effort": "none"}), false);
    check(Dialect::Anthropic, off, Some(Capabilities::TOOLS), Value::Null, false);
    check(Dialect::OpenAi, effort, Some(Capabilities::REASONING), json!({"effort": "xhigh"}), true);
}

fn thought(dialect: Dialect, id: Option<&str>) -> Part {
    let signature = Signature { dialect, value: "sig".into(), id: id.map(str::to_owned) };
    let content = Content::Reasoning { text: "Hm.".into(), summary: false, redacted: false };
    Part { signature: Some(signature), ..content.into() }
}

#[test]
fn reasoning_returns_to_its_maker_only() {
    let mut request = foreign(Dialect::Anthropic);
    let unsigned = Content::Reasoning { text: "Hm.".into(), summary: false, redacted: false }.into();
    let ours = thought(Dialect::Responses, Some("rs_7"));
    let parts = vec![ours, thought(Dialect::Anthropic, None), unsigned, Part::text("Yes.")];
    request.messages.push(Message::new(Role::Assistant, parts));
    let (body, dropped) = encoded(&request);
    assert_eq!(dropped, ["reasoning"]);
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    let want = json!([
        {"type": "message", "role": "user", "content": "Hi."},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}],
            "encrypted_content": "sig", "id": "rs_7"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes.", "annotations": []}]},
    ]);
    same(&body["input"], &want, "input");
    assert!(!String::from_utf8_lossy(&encode(&request, &target()).unwrap().body).contains("waypost"));
}

#[test]
fn signatures_from_abroad_come_back_where_they_belong() {
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "Hi."},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "waypost.anthropic..sig.a"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "waypost.anthropic.redacted.blob"},
        {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "waypost.gemini.call.tsig"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ]});
    let request = decoded(&body);
    let parts = &request.messages[1].parts;
    let foreign = |dialect, value: &str| Some(Signature { dialect, value: value.into(), id: None });
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[0].content, Content::Reasoning { text: "Hm.".into(), summary: false, redacted: false });
    assert_eq!(parts[0].signature, foreign(Dialect::Anthropic, "sig.a"));
    assert_eq!(parts[1].content, Content::Reasoning { text: String::new(), summary: false, redacted: true });
    assert_eq!(parts[1].signature, foreign(Dialect::Anthropic, "blob"));
    assert!(matches!(parts[2].content, Content::ToolCall(_)));
    assert_eq!(parts[2].signature, foreign(Dialect::Gemini, "tsig"));
    // On the way to a provider of this dialect they are no use to anybody.
    let (again, dropped) = encoded(&request);
    assert_eq!(dropped, ["reasoning"]);
    assert!(!again.to_string().contains("waypost"), "{again}");
}

#[test]
fn a_users_turn_puts_results_before_words() {
    let mut request = foreign(Dialect::Anthropic);
    let call = |id: &str, custom| {
        Content::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: String::new(), custom }).into()
    };
    request.messages.push(Message::new(Role::Assistant, vec![call("a", false), call("b", true)]));
    let result = |id: &str, parts, is_error| {
        Content::ToolResult(ToolResult { call_id: id.into(), name: Some("f".into()), parts, is_error, custom: false })
            .into()
    };
    let png = Source::Data { mime: "image/png".into(), base64: "QUJD".into() };
    let image = Content::Media(Media { kind: MediaKind::Image, source: png, name: None, detail: None });
    let parts =
        vec![Part::text("So?"), result("a", vec![Part::text("1"), image.into()], true), result("b", vec![], false)];
    request.messages.push(Message::new(Role::User, parts));
    let (body, dropped) = encoded(&request);
    let want = json!([
        {"type": "message", "role": "user", "content": "Hi."},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "f", "input": ""},
        {"type": "function_call_output", "call_id": "a", "output": [
            {"type": "input_text", "text": "Error: 1"},
            {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "auto"},
        ]},
        {"type": "custom_tool_call_output", "call_id": "b", "output": ""},
        {"type": "message", "role": "user", "content": "So?"},
    ]);
    same(&body["input"], &want, "input");
    assert!(dropped.is_empty(), "{dropped:?}");
}

#[test]
fn documents_find_a_form() {
    let check = |source: Source, name: Option<&str>, want: Value| {
        let mut request = foreign(Dialect::Anthropic);
        let media = Media { kind: MediaKind::Document, source, name: name.map(str::to_owned), detail: None };
        let part = Part { cache: Some(CacheMark::default()), ..Content::Media(media).into() };
        request.messages[0].parts = vec![part];
        let (body, dropped) = encoded(&request);
        same(&body["input"][0]["content"], &json!([want]), "document");
        assert_eq!(dropped, ["cache_control"]);
    };
    let pdf = || Source::Data { mime: "application/pdf".into(), base64: "QUJD".into() };
    let data = "data:application/pdf;base64,QUJD";
    check(pdf(), Some("a.pdf"), json!({"type": "input_file", "filename": "a.pdf", "file_data": data}));
    check(
        pdf(),
        Some("Yearly report"),
        json!({"type": "input_file", "filename": "Yearly report.pdf", "file_data": data}),
    );
    check(pdf(), None, json!({"type": "input_file", "filename": "document.pdf", "file_data": data}));
    check(Source::Text("words".into()), Some("Notes"), json!({"type": "input_text", "text": "Notes\n\nwords"}));
    check(
        Source::Url { url: "https://x.test/a.pdf".into(), mime: None },
        None,
        json!({"type": "input_file", "file_url": "https://x.test/a.pdf"}),
    );
}

#[test]
fn a_schema_is_named_and_strict_as_the_api_takes_it() {
    let closed = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let open = json!({"type": "object"});
    let check = |name: Option<&str>, schema: &Value, want: &str, strict: bool, lost: &[&str]| {
        let name = name.map(str::to_owned);
        let format = Format::JsonSchema { name, description: None, schema: schema.clone(), strict: Some(true) };
        let (body, dropped) = encoded(&Request { format, logprobs: Some(0), ..foreign(Dialect::Anthropic) });
        let want = json!({"format": {"type": "json_schema", "name": want, "schema": schema, "strict": strict}});
        same(&body["text"], &want, "text");
        assert_eq!(dropped, lost);
        assert_eq!((&body["include"], body.get("top_logprobs")), (&json!(["message.output_text.logprobs"]), None));
    };
    check(None, &closed, "answer", true, &[]);
    check(Some("my answer"), &closed, "my_answer", true, &[]);
    // Elsewhere an object that may hold more is strict, here the request would be refused.
    check(None, &open, "answer", false, &["strict"]);
}

#[test]
fn a_model_that_cannot_reason_is_not_asked_to() {
    let on = Thinking { enabled: Some(true), effort: Some(Effort::High), ..Thinking::default() };
    let request = Request { reasoning: Some(on), ..foreign(Dialect::Anthropic) };
    let encoded = encode(&request, &Target { capabilities: Some(Capabilities::TOOLS), ..target() }).unwrap();
    let body = value(&encoded.body);
    assert_eq!(
        (body.get("reasoning"), body.get("include"), encoded.dropped),
        (None, None, vec!["reasoning".to_owned()])
    );
}
