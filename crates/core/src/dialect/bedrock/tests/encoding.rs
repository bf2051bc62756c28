//! Requests of other dialects on their way to Bedrock: what each rule makes of them.

use serde_json::{Value, json};

use super::{SONNET_37, to, value};
use crate::chat::{
    CacheMark, Citation, Content, Effort, Format, Media, MediaKind, Message, Part, Request, Role, Signature, Source,
    Thinking, Tool, ToolCall, ToolChoice, ToolKind, ToolResult,
};
use crate::dialect::bedrock::encode_request;
use crate::dialect::{Encoded, Inexpressible, Target};
use crate::registry::Dialect;

const NOVA: &str = "eu.amazon.nova-pro-v1:0";
const LLAMA: &str = "us.meta.llama3-3-70b-instruct-v1:0";

fn say(role: Role, text: &str) -> Message {
    Message::new(role, vec![Part::text(text)])
}

fn asked(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::new(Dialect::OpenAi, "m") }
}

fn hello() -> Request {
    asked(vec![say(Role::User, "hi")])
}

fn call(id: &str, arguments: &str) -> Part {
    let call = ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), custom: false };
    Content::ToolCall(call).into()
}

fn result(id: &str, text: &str) -> Part {
    let parts = vec![Part::text(text)];
    Content::ToolResult(ToolResult { call_id: id.into(), name: None, parts, is_error: false, custom: false }).into()
}

fn function(name: &str) -> Tool {
    let kind = ToolKind::Function { name: name.into(), description: None, schema: Some(json!({})), strict: None };
    Tool { kind, cache: None, extras: Default::default() }
}

fn with_tools(names: &[&str], choice: Option<ToolChoice>) -> Request {
    Request { tools: names.iter().map(|n| function(n)).collect(), tool_choice: choice, ..hello() }
}

fn written(request: &Request, model: &str) -> (Value, Vec<String>) {
    let Encoded { body, dropped, .. } = encode_request(request, &to(model)).unwrap_or_else(|e| panic!("{e:?}"));
    (value(body), dropped)
}

fn refused(request: &Request, model: &str) -> Inexpressible {
    encode_request(request, &to(model)).expect_err("must be refused")
}

#[test]
fn turns_alternate_and_systems_go_first() {
    let request = asked(vec![
        say(Role::System, "A"),
        say(Role::User, "one"),
        say(Role::User, "two"),
        say(Role::Developer, "B"),
        say(Role::Assistant, "  "),
        say(Role::User, "three"),
        say(Role::Assistant, "four"),
    ]);
    let (body, dropped) = written(&request, NOVA);
    assert_eq!(body["system"], json!([{"text": "A"}, {"text": "B"}]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "one"}, {"text": "two"}, {"text": "three"}]},
            {"role": "assistant", "content": [{"text": "four"}]},
        ])
    );
    assert!(dropped.is_empty());
    for messages in [vec![], vec![say(Role::System, "A")], vec![say(Role::Assistant, "x"), say(Role::User, "y")]] {
        assert_eq!(refused(&asked(messages), NOVA).field, "messages");
    }
}

#[test]
fn results_come_first_and_ids_stay_matched() {
    let odd = "call|with:odd/characters and far more of them than sixty-four of the kind that ids have";
    let request = asked(vec![
        say(Role::User, "go"),
        Message::new(Role::Assistant, vec![call("call_1", ""), call(odd, r#"{"a":1}"#)]),
        Message::new(Role::User, vec![Part::text("well?"), result(odd, "x")]),
        Message::new(Role::User, vec![result("call_1", "")]),
    ]);
    let (body, _) = written(&request, SONNET_37);
    let calls = &body["messages"][1]["content"];
    assert_eq!(calls[0], json!({"toolUse": {"toolUseId": "call_1", "name": "f", "input": {}}}));
    let id = calls[1]["toolUse"]["toolUseId"].as_str().unwrap();
    assert!(id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{id}");
    let answers = &body["messages"][2]["content"];
    assert_eq!(answers[0]["toolResult"]["toolUseId"], id);
    assert_eq!(answers[1], json!({"toolResult": {"toolUseId": "call_1", "content": []}}));
    assert_eq!(answers[2], json!({"text": "well?"}));
    // The history needs its tools declared, and the client offers none.
    let declared = json!([{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]);
    assert_eq!(body["toolConfig"], json!({"tools": declared}));
}

#[test]
fn arguments_must_be_an_object() {
    for (arguments, ok) in [("", true), (" ", true), ("{}", true), ("[1]", false), ("nope", false), ("{\"a\":", false)]
    {
        let request = asked(vec![say(Role::User, "go"), Message::new(Role::Assistant, vec![call("c", arguments)])]);
        let got = encode_request(&request, &to(NOVA));
        assert_eq!(got.is_ok(), ok, "{arguments}");
        if let Err(error) = got {
            assert_eq!(error.field, "messages[1].tool_calls[].arguments");
        }
    }
}

#[test]
fn tool_choices_are_expressed_or_refused() {
    let config = |choice| written(&with_tools(&["f", "g"], choice), SONNET_37).0["toolConfig"]["toolChoice"].clone();
    assert_eq!(config(None), Value::Null);
    assert_eq!(config(Some(ToolChoice::Auto)), Value::Null);
    assert_eq!(config(Some(ToolChoice::Required)), json!({"any": {}}));
    assert_eq!(config(Some(ToolChoice::Tool("g".into()))), json!({"tool": {"name": "g"}}));
    // None: no tools at all, or, where the history needs them, dropped by name.
    let (body, dropped) = written(&with_tools(&["f"], Some(ToolChoice::None)), SONNET_37);
    assert_eq!((body.get("toolConfig"), dropped.len()), (None, 0));
    let mut request = with_tools(&["f"], Some(ToolChoice::None));
    request.messages.push(Message::new(Role::Assistant, vec![call("c", "")]));
    let (body, dropped) = written(&request, SONNET_37);
    assert_eq!((body["toolConfig"]["tools"].as_array().unwrap().len(), dropped), (1, vec!["tool_choice".to_owned()]));
    // What cannot be said.
    for (request, model) in [
        (with_tools(&["f"], Some(ToolChoice::Native(json!({"type": "allowed_tools"})))), SONNET_37),
        (with_tools(&[], Some(ToolChoice::Required)), SONNET_37),
        (with_tools(&["f"], Some(ToolChoice::Required)), "anthropic.claude-opus-5-5"),
    ] {
        assert_eq!(refused(&request, model).field, "tool_choice");
    }
    assert_eq!(refused(&with_tools(&["a.b"], None), NOVA).field, "tools[0].name");
}

#[test]
fn tools_of_other_kinds_are_dropped_by_name() {
    let mut request = with_tools(&["f"], None);
    let custom = ToolKind::Custom { name: "shell".into(), description: None, format: None };
    for kind in [custom, ToolKind::Native(json!({"type": "web_search", "x": 1}))] {
        request.tools.push(Tool { kind, cache: None, extras: Default::default() });
    }
    request.tools[0].extras.insert("eager".into(), true.into());
    request.parallel_tools = Some(false);
    let (body, dropped) = written(&request, SONNET_37);
    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 1);
    assert_eq!(dropped, ["tools[].eager", "tools[].custom", "tools[].web_search", "parallel_tool_calls"]);
    request.tool_choice = Some(ToolChoice::Tool("shell".into()));
    assert_eq!(refused(&request, SONNET_37).field, "tool_choice");
}

fn schema() -> Format {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    Format::JsonSchema { name: Some("my answer".into()), description: None, schema, strict: Some(true) }
}

#[test]
fn json_is_native_or_a_forced_tool() {
    let request = Request { format: schema(), ..hello() };
    let (body, _) = written(&request, "anthropic.claude-sonnet-4-5-20250929-v1:0");
    let definition = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"];
    assert_eq!(definition["name"], "my answer");
    let closed = value(definition["schema"].as_str().unwrap());
    assert_eq!((&closed["type"], &closed["additionalProperties"]), (&json!("object"), &json!(false)));

    let encoded = encode_request(&request, &to(SONNET_37)).unwrap();
    assert_eq!(encoded.json_tool.as_deref(), Some("myanswer"));
    let body = value(&encoded.body);
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"any": {}}));
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "myanswer");

    let mut request = Request { format: schema(), ..with_tools(&["f"], None) };
    assert_eq!(refused(&request, SONNET_37).field, "response_format");
    // Any JSON: the tool where there is room for it, else the prompt must do.
    request.format = Format::JsonObject;
    assert_eq!(written(&request, SONNET_37).1, ["response_format"]);
    request.tools.clear();
    assert_eq!(encode_request(&request, &to(SONNET_37)).unwrap().json_tool.as_deref(), Some("json_response"));
    // A list is no tool's arguments.
    let list = json!({"type": "array"});
    request.format = Format::JsonSchema { name: None, description: None, schema: list, strict: None };
    assert_eq!(refused(&request, SONNET_37).field, "response_format");
}

#[test]
fn reasoning_is_asked_for_as_each_model_wants() {
    let ask = |thinking: Thinking, model: &str, cap: Option<u64>| {
        let request = Request { reasoning: Some(thinking), max_output_tokens: cap, ..hello() };
        let (body, dropped) = written(&request, model);
        (body["additionalModelRequestFields"].clone(), dropped)
    };
    let effort = |effort| Thinking { effort: Some(effort), ..Thinking::default() };
    let budget = |tokens| Thinking { budget_tokens: Some(tokens), ..Thinking::default() };
    let enabled = |budget: u64| json!({"thinking": {"type": "enabled", "budget_tokens": budget}});
    let none: Vec<String> = Vec::new();
    let lost = vec!["reasoning_effort".to_owned()];
    let cases = [
        (effort(Effort::High), SONNET_37, None, enabled(16_384), &none),
        (effort(Effort::High), SONNET_37, Some(5_000), enabled(3_750), &none),
        (budget(9_000), SONNET_37, Some(5_000), enabled(4_999), &none),
        (effort(Effort::Low), SONNET_37, Some(1_024), Value::Null, &lost),
        (effort(Effort::None), SONNET_37, None, Value::Null, &none),
        (effort(Effort::High), LLAMA, None, Value::Null, &lost),
        (
            effort(Effort::Max),
            "anthropic.claude-sonnet-4-6",
            None,
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
            &none,
        ),
        (
            Thinking { budget_tokens: Some(3_000), show: Some(true), ..Thinking::default() },
            "anthropic.claude-opus-4-7",
            None,
            json!({"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}}),
            &none,
        ),
        (effort(Effort::None), "anthropic.claude-sonnet-5", None, json!({"thinking": {"type": "disabled"}}), &none),
        (effort(Effort::None), "anthropic.claude-opus-5-5", None, Value::Null, &lost),
        (
            effort(Effort::High),
            "amazon.nova-2-lite-v1:0",
            None,
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
            &none,
        ),
        (
            effort(Effort::High),
            "amazon.nova-2-lite-v1:0",
            Some(900),
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}),
            &none,
        ),
        (effort(Effort::Minimal), "openai.gpt-oss-120b-1:0", None, json!({"reasoning_effort": "low"}), &none),
    ];
    for (thinking, model, cap, want, dropped) in cases {
        assert_eq!(ask(thinking.clone(), model, cap), (want, dropped.clone()), "{thinking:?} {model}");
    }
    // A forced call and thoughts exclude each other in older Claudes.
    let thinking = Some(effort(Effort::High));
    let mut request = Request { reasoning: thinking, ..with_tools(&["f"], Some(ToolChoice::Required)) };
    assert_eq!(written(&request, SONNET_37).1, lost);
    assert!(written(&request, "anthropic.claude-sonnet-5").1.is_empty());
    // So do thoughts now and a call whose thoughts were lost.
    request.tool_choice = None;
    request.messages.push(Message::new(Role::Assistant, vec![call("c", "")]));
    request.messages.push(Message::new(Role::User, vec![result("c", "x")]));
    assert_eq!(written(&request, SONNET_37).1, lost);
    request.messages[1].parts.insert(0, thought("hm", Some(Dialect::Bedrock), false));
    assert!(written(&request, SONNET_37).1.is_empty());
}

fn thought(text: &str, signer: Option<Dialect>, redacted: bool) -> Part {
    let content = Content::Reasoning { text: text.into(), summary: false, redacted };
    let signature = signer.map(|dialect| Signature { dialect, value: "U2ln".into(), id: None });
    Part { signature, ..content.into() }
}

#[test]
fn reasoning_of_others_is_not_sent_on() {
    // (signer, redacted, model, kept)
    let cases = [
        (Some(Dialect::Bedrock), false, SONNET_37, true),
        (Some(Dialect::Bedrock), true, SONNET_37, true),
        (Some(Dialect::Anthropic), false, SONNET_37, true),
        (Some(Dialect::Anthropic), true, SONNET_37, false),
        (Some(Dialect::Anthropic), false, NOVA, false),
        (Some(Dialect::Gemini), false, SONNET_37, false),
        (None, false, SONNET_37, false),
    ];
    for (signer, redacted, model, kept) in cases {
        let parts = vec![thought("hm", signer, redacted), Part::text("yes")];
        let request = asked(vec![say(Role::User, "a"), Message::new(Role::Assistant, parts)]);
        let (body, dropped) = written(&request, model);
        let blocks = body["messages"][1]["content"].as_array().unwrap().len();
        assert_eq!((blocks, dropped.len()), if kept { (2, 0) } else { (1, 1) }, "{signer:?} {redacted} {model}");
    }
}

#[test]
fn caps_and_sampling_keep_to_the_models_limits() {
    let number = |n: f64| serde_json::Number::from_f64(n);
    let request = Request {
        max_output_tokens: Some(900),
        temperature: number(1.5),
        top_p: number(0.5),
        top_k: Some(7),
        stop: vec!["\n".into(), "END".into()],
        ..hello()
    };
    // (model, inference, own, dropped)
    let cases = [
        (
            SONNET_37,
            json!({"maxTokens": 500, "temperature": 1, "topP": 0.5, "stopSequences": ["END"]}),
            json!({"top_k": 7}),
            vec!["stop", "temperature"],
        ),
        (
            "anthropic.claude-opus-4-1-20250805-v1:0",
            json!({"maxTokens": 500, "temperature": 1, "stopSequences": ["END"]}),
            json!({"top_k": 7}),
            vec!["stop", "temperature", "top_p"],
        ),
        (
            "anthropic.claude-opus-4-8",
            json!({"maxTokens": 500, "stopSequences": ["END"]}),
            Value::Null,
            vec!["stop", "temperature", "top_p", "top_k"],
        ),
        (
            NOVA,
            json!({"maxTokens": 500, "temperature": 1, "topP": 0.5, "stopSequences": ["\n", "END"]}),
            json!({"inferenceConfig": {"topK": 7}}),
            vec!["temperature"],
        ),
        (
            LLAMA,
            json!({"maxTokens": 500, "temperature": 1, "topP": 0.5, "stopSequences": ["\n", "END"]}),
            Value::Null,
            vec!["temperature", "top_k"],
        ),
    ];
    for (model, inference, own, want) in cases {
        let encoded = encode_request(&request, &Target { cap: Some(500), ..to(model) }).unwrap();
        let body = value(&encoded.body);
        assert_eq!((&body["inferenceConfig"], &body["additionalModelRequestFields"]), (&inference, &own), "{model}");
        assert_eq!(encoded.dropped, want, "{model}");
    }
    let bare = encode_request(&request, &Target { no_sampling: true, ..to(NOVA) }).unwrap();
    assert_eq!(bare.dropped, ["temperature", "top_p", "top_k"]);
    // Which sequence it was is asked for where it can be said.
    assert_eq!(written(&request, SONNET_37).0["additionalModelResponseFieldPaths"], json!(["/stop_sequence"]));
    // Without a cap of anyone's there is none.
    assert_eq!(written(&hello(), NOVA).0.get("inferenceConfig"), None);
    let refused = encode_request(&request, &Target { strict: true, ..to(LLAMA) }).unwrap_err();
    assert_eq!(refused.field, "temperature");
}

#[test]
fn what_has_no_equal_is_named() {
    let mut request = Request {
        frequency_penalty: Some(1.into()),
        presence_penalty: Some(1.into()),
        seed: Some(1),
        logprobs: Some(2),
        verbosity: Some("low".into()),
        user: Some("u".into()),
        ..hello()
    };
    request.extras.insert("logit_bias".into(), json!({}));
    request.messages[0].name = Some("Ana".into());
    request.messages[0].extras.insert("odd".into(), 1.into());
    request.messages[0].parts[0].extras.insert("strange".into(), 1.into());
    let cited =
        Citation { origin: Dialect::OpenAi, url: None, title: None, quote: None, range: None, native: json!({}) };
    request
        .messages
        .push(Message::new(Role::Assistant, vec![Content::Text { text: "t".into(), citations: vec![cited] }.into()]));
    request.messages[1].parts.push(Content::Native(json!({"type": "novel"})).into());
    let want = [
        "logit_bias",
        "messages[].content[].strange",
        "messages[].name",
        "messages[].odd",
        "messages[].annotations",
        "messages[].content[].novel",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "logprobs",
        "verbosity",
        "user",
    ];
    let (body, dropped) = written(&request, NOVA);
    assert_eq!(dropped, want);
    assert_eq!(body["messages"][0]["content"], json!([{"text": "hi"}]));
    request.n = Some(2);
    assert_eq!(refused(&request, NOVA).field, "n");
    // What the user shows is not left out.
    let mut request = hello();
    request.messages[0].parts.push(Content::Native(json!({"type": "novel"})).into());
    assert_eq!(refused(&request, NOVA).field, "messages[].content[].novel");
}

fn shown(kind: MediaKind, source: Source, name: Option<&str>) -> Request {
    let media = Media { kind, source, name: name.map(Into::into), detail: None };
    asked(vec![Message::new(Role::User, vec![Content::Media(media).into()])])
}

#[test]
fn media_are_inline_or_in_s3() {
    let data = |mime: &str| Source::Data { mime: mime.into(), base64: "AAAA".into() };
    let url = |url: &str| Source::Url { url: url.into(), mime: None };
    let bytes = json!({"bytes": "AAAA"});
    let good = [
        (MediaKind::Image, data("image/jpg"), None, json!({"image": {"format": "jpeg", "source": bytes}})),
        (
            MediaKind::Image,
            url("s3://b/k.JPG"),
            None,
            json!({"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/k.JPG"}}}}),
        ),
        (
            MediaKind::Document,
            data("application/pdf"),
            Some("Q3_report.pdf"),
            json!({"document": {"format": "pdf", "name": "Q3-report", "source": bytes}}),
        ),
        (
            MediaKind::Document,
            Source::Text("hi".into()),
            None,
            json!({"document": {"format": "txt", "name": "document", "source": {"bytes": "aGk="}}}),
        ),
        (MediaKind::Video, data("video/3gpp"), None, json!({"video": {"format": "three_gp", "source": bytes}})),
        (MediaKind::Audio, data("audio/mpeg"), None, json!({"audio": {"format": "mp3", "source": bytes}})),
    ];
    for (kind, source, name, want) in good {
        let (body, _) = written(&shown(kind, source, name), NOVA);
        assert_eq!(body["messages"][0]["content"], json!([want]));
    }
    let bad = [
        (MediaKind::Image, url("https://x.example/a.png"), "inline"),
        (MediaKind::Image, data("image/svg+xml"), "png"),
        (MediaKind::Image, Source::File("file-1".into()), "inline"),
        (MediaKind::Image, Source::Data { mime: "image/png".into(), base64: "??".into() }, "base64"),
        (MediaKind::Document, data("application/zip"), "pdf"),
    ];
    for (kind, source, hint) in bad {
        let error = refused(&shown(kind, source, None), NOVA);
        assert_eq!(error.field, "messages[0].content");
        assert!(error.why.contains(hint), "{}", error.why);
    }
    // A system prompt is text.
    let mut request = shown(MediaKind::Image, data("image/png"), None);
    request.messages[0].role = Role::System;
    assert_eq!(refused(&request, NOVA).field, "messages[0].content");
}

#[test]
fn cache_marks_stand_behind_their_blocks() {
    let marked = |ttl: Option<&str>| {
        let mut request = with_tools(&["f"], None);
        let mark = CacheMark { ttl: ttl.map(Into::into) };
        request.tools[0].cache = Some(mark.clone());
        request.messages.insert(0, say(Role::System, "rules"));
        request.messages[0].parts[0].cache = Some(mark.clone());
        // On a part that is left out the mark still ends the prefix.
        request.messages[1].parts.push(Part { cache: Some(mark), ..Part::text(" ") });
        request
    };
    let point = json!({"cachePoint": {"type": "default"}});
    let (body, dropped) = written(&marked(None), SONNET_37);
    assert_eq!((&body["system"][1], &body["messages"][0]["content"][1]), (&point, &point));
    assert_eq!((&body["toolConfig"]["tools"][1], dropped.len()), (&point, 0));
    // Nova has none behind tools, Llama none at all.
    let (body, dropped) = written(&marked(None), NOVA);
    assert_eq!((&body["system"][1], body["toolConfig"]["tools"].as_array().unwrap().len()), (&point, 1));
    assert_eq!(dropped, ["cache_control"]);
    let (body, dropped) = written(&marked(None), LLAMA);
    assert_eq!((body["system"].as_array().unwrap().len(), dropped), (1, vec!["cache_control".to_owned()]));
    // An hour where the model knows it.
    let hour = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    assert_eq!(written(&marked(Some("1h")), "anthropic.claude-opus-4-5-20251101-v1:0").0["system"][1], hour);
    assert_eq!(written(&marked(Some("1h")), SONNET_37).1, ["cache_control.ttl"]);
    assert!(written(&marked(Some("5m")), SONNET_37).1.is_empty());
}

#[test]
fn failed_tools_say_so_where_they_can() {
    let mut request = asked(vec![
        say(Role::User, "go"),
        Message::new(Role::Assistant, vec![call("c", "")]),
        Message::new(Role::User, vec![result("c", "broken")]),
    ]);
    let Content::ToolResult(result) = &mut request.messages[2].parts[0].content else { panic!() };
    result.is_error = true;
    let status = |model| written(&request, model).0["messages"][2]["content"][0]["toolResult"]["status"].clone();
    assert_eq!((status(SONNET_37), status(LLAMA)), (json!("error"), Value::Null));
    assert_eq!(written(&request, LLAMA).1, ["messages[].content[].is_error"]);
}
