use super::*;
use crate::chat::{Event, Finish, FinishReason, Signature};
use crate::dialect::{ErrorText, EventFault, sse};
use crate::registry::Usage;
use proptest::prelude::*;

const WHOLE: Fixtures = fixtures!("streams", ".sse":
    "plain", "reasoning", "reasoning_encrypted_only", "reasoning_raw", "tool_call", "parallel_tools", "custom_tool",
    "cut_at_cap", "filtered", "refusal", "citations", "logprobs", "no_deltas", "only_completed", "unknown_events", "picture",
    "cached",
);
const BROKEN: Fixtures = fixtures!("streams", ".sse": "failed", "error_event", "error_nested", "created_twice", "cut");

pub(super) fn events(stream: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut splitter = sse::Splitter::default();
    let (mut at, mut events) = (0, Vec::new());
    while let Some(piece) = splitter.next(stream, &mut at).unwrap() {
        let event = sse::Event::parse(piece.bytes(stream));
        if let Some(data) = event.data {
            events.push((event.name.to_vec(), data.into_owned()));
        }
    }
    assert!(splitter.finish().is_empty(), "{}", String::from_utf8_lossy(stream));
    events
}

pub(super) fn decode(stream: &[u8]) -> Result<Vec<Event>, (Vec<Event>, EventFault)> {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for (name, data) in events(stream) {
        if let Err(fault) = decoder.event(&name, &data, &mut out) {
            return Err((out, fault));
        }
    }
    Ok(out)
}

pub(super) fn encode_all(events: &[Event]) -> Vec<u8> {
    let mut encoder = Encoder::new(context());
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.event(event, &mut out));
    out
}

/// Events as they mean the same after a way through the encoder: ids are ours, raw thoughts are shown as a summary, and
/// neighbouring fragments are one.
fn settled(events: Vec<Event>) -> Vec<Event> {
    let mut out: Vec<Event> = Vec::new();
    for event in events {
        match (out.last_mut(), event) {
            (_, Event::Start { .. }) => {}
            (Some(Event::Text { text, .. }), Event::Text { text: more, .. })
            | (Some(Event::Refusal { text, .. }), Event::Refusal { text: more, .. })
            | (Some(Event::Reasoning { text, .. }), Event::Reasoning { text: more, .. }) => text.push_str(&more),
            (Some(Event::Arguments { index: a, text, .. }), Event::Arguments { index: b, text: more, .. })
                if *a == b =>
            {
                text.push_str(&more);
            }
            (_, Event::Reasoning { choice, text, .. }) => out.push(Event::Reasoning { choice, text, summary: true }),
            (_, Event::Signature { choice, mut signature, redacted }) => {
                signature.id = None;
                out.push(Event::Signature { choice, signature, redacted });
            }
            (_, event) => out.push(event),
        }
    }
    out
}

#[test]
fn every_fixture_means_the_same_after_writing_it_again() {
    for (name, stream) in WHOLE {
        let first = decode(stream).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(matches!(first.first(), Some(Event::Start { .. })), "{name}");
        assert_eq!(first.last(), Some(&Event::Done), "{name}");
        let written = encode_all(&first);
        let again = decode(&written).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(settled(again), settled(first), "{name}");
    }
}

/// What an SDK builds from a stream must be what the last event says, event by event as the types demand it.
fn check_shape(name: &str, stream: &[u8]) {
    let list: Vec<(String, Value)> =
        events(stream).into_iter().map(|(name, data)| (String::from_utf8(name).unwrap(), value(&data))).collect();
    let mut items: Vec<Value> = Vec::new();
    let mut open = Vec::new();
    for (i, (event, data)) in list.iter().enumerate() {
        assert_eq!(data["type"], *event, "{name}");
        assert_eq!(data["sequence_number"], i, "{name}");
        let at = data["output_index"].as_u64().map(|n| n as usize);
        match event.strip_prefix("response.").unwrap() {
            "output_item.added" => {
                assert_eq!(at, Some(items.len()), "{name}");
                items.push(data["item"].clone());
                open.push(at.unwrap());
            }
            "output_item.done" => {
                let at = at.unwrap();
                assert_eq!(items[at]["id"], data["item"]["id"], "{name}");
                let built = items[at].clone();
                for key in ["content", "arguments", "input", "summary"] {
                    if key != "summary" || built[key] != json!([]) {
                        assert_eq!(built[key], data["item"][key], "{name}");
                    }
                }
                items[at] = data["item"].clone();
                open.retain(|o| *o != at);
            }
            "content_part.added" => items[at.unwrap()]["content"].as_array_mut().unwrap().push(data["part"].clone()),
            "output_text.delta" => {
                let part = &mut items[at.unwrap()]["content"][data["content_index"].as_u64().unwrap() as usize];
                part["text"] = format!("{}{}", part["text"].as_str().unwrap(), data["delta"].as_str().unwrap()).into();
                part["logprobs"].as_array_mut().unwrap().extend(data["logprobs"].as_array().unwrap().clone());
            }
            "refusal.delta" => {
                let part = &mut items[at.unwrap()]["content"][data["content_index"].as_u64().unwrap() as usize];
                part["refusal"] =
                    format!("{}{}", part["refusal"].as_str().unwrap(), data["delta"].as_str().unwrap()).into();
            }
            "output_text.annotation.added" => {
                let part = &mut items[at.unwrap()]["content"][data["content_index"].as_u64().unwrap() as usize];
                assert_eq!(part["annotations"].as_array().unwrap().len() as u64, data["annotation_index"], "{name}");
                part["annotations"].as_array_mut().unwrap().push(data["annotation"].clone());
            }
            "output_text.done" | "content_part.done" | "refusal.done" => {
                let part = &items[at.unwrap()]["content"][data["content_index"].as_u64().unwrap() as usize];
                let got = data.get("part").unwrap_or(part);
                assert_eq!(got, part, "{name}");
                for key in ["text", "refusal"].into_iter().filter(|k| data.get(*k).is_some()) {
                    assert_eq!(data[key], part[key], "{name}");
                }
            }
            "reasoning_summary_part.added" => {
                items[at.unwrap()]["summary"].as_array_mut().unwrap().push(data["part"].clone())
            }
            "reasoning_summary_text.delta" => {
                let part = &mut items[at.unwrap()]["summary"][0];
                part["text"] = format!("{}{}", part["text"].as_str().unwrap(), data["delta"].as_str().unwrap()).into();
            }
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                let key = if event.contains("custom") { "input" } else { "arguments" };
                let item = &mut items[at.unwrap()];
                assert_eq!(item["id"], data["item_id"], "{name}");
                item[key] = format!("{}{}", item[key].as_str().unwrap(), data["delta"].as_str().unwrap()).into();
            }
            "completed" | "incomplete" => {
                assert_eq!(i, list.len() - 1, "{name}");
                assert_eq!(open, Vec::<usize>::new(), "{name}");
                assert_eq!(data["response"]["output"], json!(items), "{name}");
                assert_eq!(data["response"]["status"], event["response.".len()..], "{name}");
            }
            _ => {}
        }
    }
    assert_eq!((list[0].0.as_str(), list[1].0.as_str()), ("response.created", "response.in_progress"), "{name}");
}

#[test]
fn what_is_written_adds_up() {
    for (name, stream) in WHOLE {
        check_shape(name, &encode_all(&decode(stream).unwrap()));
    }
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    for name in ["plain", "reasoning", "tool_call", "custom_tool", "refusal", "logprobs", "parallel_tools"] {
        let (_, stream) = WHOLE.iter().find(|(n, _)| *n == name).unwrap();
        let written = encode_all(&decode(stream).unwrap());
        let last = value(&events(&written).last().unwrap().1);
        let response = decode_response(last["response"].to_string().as_bytes()).unwrap();
        let whole = value(&encode_response(&crate::chat::Response { origin: Dialect::Gemini, ..response }, &context()));
        let texts = |output: &Value| {
            let mut output = output.clone();
            for item in output.as_array_mut().unwrap() {
                item.as_object_mut().unwrap().shift_remove("encrypted_content");
            }
            output
        };
        assert_eq!(texts(&whole["output"]), texts(&last["response"]["output"]), "{name}");
        assert_eq!(whole["usage"], last["response"]["usage"], "{name}");
    }
}

#[test]
fn broken_streams_are_faults() {
    let fault = |name: &str| decode(BROKEN.iter().find(|(n, _)| *n == name).unwrap().1);
    for (name, code, message) in [
        ("failed", "server_error", "The model failed midway."),
        ("error_event", "rate_limit_exceeded", "Slow down."),
        ("error_nested", "context_length_exceeded", "Your input exceeds the context window of this model."),
    ] {
        let Err((_, EventFault::Error(error))) = fault(name) else { panic!("{name}") };
        assert_eq!((error.code.as_deref(), error.message.as_str()), (Some(code), message), "{name}");
        assert_eq!(error.context_overflow, name == "error_nested");
    }
    let Err((events, EventFault::Malformed(error))) = fault("created_twice") else { panic!() };
    assert_eq!((events.len(), error.problem.as_str()), (1, "`response.created` came twice"));
    let cut = fault("cut").unwrap();
    assert!(!cut.contains(&Event::Done) && cut.len() == 2, "{cut:?}");

    let one = |data: &str| Decoder::default().event(b"", data.as_bytes(), &mut Vec::new());
    for (data, field) in [
        ("{", ""),
        ("[]", ""),
        ("<html>", ""),
        (r#"{"type":"response.output_text.delta","output_index":0}"#, "delta"),
        (r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{"}"#, "output_index"),
        (r#"{"type":"response.output_item.added","output_index":0}"#, "item"),
        (
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c"}}"#,
            "item.name",
        ),
    ] {
        let Err(EventFault::Malformed(error)) = one(data) else { panic!("{data}") };
        assert_eq!(error.field, field, "{data}");
    }
    for data in ["[DONE]", "", r#"{"type":"response.something.new"}"#, r#"{"x":1}"#] {
        assert_eq!(one(data), Ok(()), "{data}");
    }
}

#[test]
fn nothing_is_said_twice_and_nothing_is_lost() {
    let texts = |name: &str| -> String {
        let events = decode(WHOLE.iter().find(|(n, _)| *n == name).unwrap().1).unwrap();
        let text = |e: &Event| match e {
            Event::Text { text, .. } | Event::Refusal { text, .. } => Some(text.clone()),
            Event::Reasoning { text, .. } => Some(format!("<{text}>")),
            Event::Arguments { text, .. } => Some(format!("({text})")),
            Event::ToolCall { id, name, .. } => Some(format!("[{id} {name}]")),
            Event::Citation { .. } => Some("*".into()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    };
    assert_eq!(texts("plain"), "Ebro, Tajo, \"Duero\" \n🙂");
    assert_eq!(texts("reasoning"), "<Check>< two.><\n\n><Then three.>It is prime.");
    assert_eq!(texts("no_deltas"), "<Short thought.>Here.*[call_1 weather]({\"place\":\"Oslo\"})");
    assert_eq!(texts("only_completed"), "All at once.");
    assert_eq!(texts("citations"), "Rain in Oslo, says a note.**");
    assert_eq!(texts("tool_call"), "[call_1 weather]({\"pl)(ace\": \"O)(slo\"})");
}

pub(super) fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into() }
}

pub(super) fn call(index: u32) -> Event {
    Event::ToolCall { choice: 0, index, id: format!("c{index}"), name: "f".into(), custom: false, signature: None }
}

fn arguments(index: u32, text: &str) -> Event {
    Event::Arguments { choice: 0, index, text: text.into() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, finish: Finish::from(reason) }
}

#[test]
fn calls_may_be_told_in_any_order() {
    let events =
        [call(0), call(1), arguments(1, "{\"b\""), text("So."), arguments(0, "{}"), arguments(1, ":1}"), Event::Done];
    let written = encode_all(&events);
    check_shape("calls", &written);
    let last = value(&self::events(&written).last().unwrap().1);
    let output = &last["response"]["output"];
    assert_eq!((&output[0]["arguments"], &output[1]["arguments"]), (&json!("{}"), &json!("{\"b\":1}")));
    assert_eq!(output[2]["content"][0]["text"], "So.");
}

#[test]
fn signatures_from_abroad_travel_in_encrypted_content() {
    let signature = |dialect| Signature { dialect, value: "sig".into(), id: None };
    let Event::ToolCall { choice, index, id, name, custom, .. } = call(0) else { panic!() };
    let events = [
        Event::Reasoning { choice: 0, text: "Hm.".into(), summary: false },
        Event::Signature { choice: 0, signature: signature(Dialect::Anthropic), redacted: false },
        Event::Signature { choice: 0, signature: signature(Dialect::Anthropic), redacted: true },
        Event::Reasoning { choice: 0, text: "Plain.".into(), summary: false },
        text("Yes."),
        Event::ToolCall { choice, index, id, name, custom, signature: Some(signature(Dialect::Gemini)) },
        finish(FinishReason::ToolCalls),
        Event::Done,
    ];
    let written = encode_all(&events);
    check_shape("signatures", &written);
    let last = value(&self::events(&written).last().unwrap().1);
    let output = last["response"]["output"].as_array().unwrap();
    let tokens: Vec<_> = output.iter().map(|item| item["encrypted_content"].as_str().unwrap_or("-")).collect();
    let want = ["waypost.anthropic..sig", "waypost.anthropic.redacted.sig", "-", "-", "waypost.gemini.call.sig", "-"];
    assert_eq!(tokens, want);
    // And a client that sends it all back has lost nothing.
    let mut input = output.clone();
    input.push(json!({"type": "function_call_output", "call_id": "c0", "output": "1"}));
    let request = decoded(&json!({"model": "m", "input": input}));
    let signatures: Vec<_> =
        request.messages[0].parts.iter().map(|p| p.signature.as_ref().map(|s| s.dialect)).collect();
    let (anthropic, gemini) = (Some(Dialect::Anthropic), Some(Dialect::Gemini));
    assert_eq!(signatures, [anthropic, anthropic, Some(Dialect::Responses), None, gemini]);
}

#[test]
fn an_end_is_written_once_and_whole() {
    let usage =
        Usage { input_tokens: 9, output_tokens: 4, cache_read_tokens: 2, cache_write_tokens: 1, reasoning_tokens: 3 };
    let late = [
        text("x"),
        finish(FinishReason::Length),
        text("late"),
        Event::Usage(usage),
        Event::Done,
        text("later"),
        Event::Done,
    ];
    let written = encode_all(&late);
    check_shape("late", &written);
    let last = value(&events(&written).last().unwrap().1);
    assert_eq!(last["type"], "response.incomplete");
    let want = json!({
        "input_tokens": 9, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 13,
    });
    same(&last["response"]["usage"], &want, "usage");
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "x");
    // Some name a reason to stop with every piece of text: what comes later is no less the answer.
    assert_eq!(last["response"]["output"][1]["content"][0]["text"], "late");
    // Nothing at all is an answer too, and other choices than the first are nobody's.
    let written = encode_all(&[text(""), Event::Text { choice: 1, text: "no".into() }, Event::Done]);
    check_shape("empty", &written);
    let last = value(&events(&written).last().unwrap().1);
    assert_eq!((&last["response"]["output"], &last["response"]["model"]), (&json!([]), &json!("m")));
}

#[test]
fn inspecting_and_reading_agree() {
    for (name, stream) in WHOLE {
        let (mut usage, mut finish, mut done, mut bytes, mut output) = (None, None, false, 0, false);
        for (event, data) in events(stream) {
            let facts = inspect_event(&event, &data).unwrap();
            assert!(facts.error.is_none() && !facts.usage_only, "{name}");
            assert!(!done, "{name}: something follows the end");
            usage = facts.usage.or(usage);
            finish = facts.finish.or(finish);
            done |= facts.done;
            output |= facts.output;
            bytes += facts.text_bytes;
        }
        let decoded = decode(stream).unwrap();
        let want = decoded.iter().rev().find_map(|e| match e {
            Event::Usage(usage) => Some(*usage),
            _ => None,
        });
        assert_eq!(usage, want, "{name}");
        let want = decoded.iter().find_map(|e| match e {
            Event::Finish { finish, .. } => Some(finish.reason),
            _ => None,
        });
        assert_eq!((finish, done, output), (want, true, true), "{name}");
        let said: usize = decoded
            .iter()
            .map(|e| match e {
                Event::Text { text, .. } | Event::Refusal { text, .. } | Event::Arguments { text, .. } => text.len(),
                Event::Reasoning { text, .. } if text != "\n\n" => text.len(),
                _ => 0,
            })
            .sum();
        if !["no_deltas", "only_completed"].contains(name) {
            assert_eq!(bytes, said as u64, "{name}");
        }
    }
    for (name, stream) in BROKEN.iter().filter(|(name, _)| name.contains("error") || *name == "failed") {
        let last = events(stream).pop().unwrap();
        assert!(inspect_event(&last.0, &last.1).unwrap().error.is_some(), "{name}");
    }
}

#[test]
fn the_preamble_is_no_output() {
    let facts = |data: &str| inspect_event(b"", data.as_bytes()).unwrap();
    for data in [
        r#"{"type":"response.created","response":{"status":"in_progress","output":[],"error":null,"usage":null}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","content":[]}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","summary":[]}}"#,
        r#"{"type":"response.content_part.added","part":{"type":"output_text","text":""}}"#,
        r#"{"type":"response.output_text.delta","delta":""}"#,
        r#"{"type":"keepalive"}"#,
        "[DONE]",
        "",
    ] {
        let facts = facts(data);
        assert!(!facts.output && !facts.done && facts.choices == 0, "{data}");
    }
    let call = r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}"#;
    assert!(facts(call).output);
    let delta = facts(r#"{"delta":"\u00e9\n","obfuscation":"zzzz","type":"response.output_text.delta"}"#);
    assert_eq!((delta.output, delta.text_bytes, delta.choices), (true, 4, 1));
    assert!(inspect_event(b"", b"{\"type\":").is_err());
    assert!(inspect_event(b"error", b"plain words").unwrap().error.is_some());
    assert_eq!(
        inspect_event(b"response.completed", b"{\"response\":{\"status\":\"completed\"}}").unwrap().finish,
        Some(FinishReason::Stop)
    );
}

#[test]
fn an_error_may_follow_what_was_written() {
    let mut out = encode_all(&[text("Half")]);
    out.extend(error_event(&ErrorText {
        status: 502,
        message: "cut",
        kind: "api_error",
        code: "upstream_cut",
        param: None,
    }));
    let events = events(&out);
    let numbers: Vec<_> = events.iter().map(|(_, data)| value(data)["sequence_number"].as_i64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let Err((_, EventFault::Error(error))) = decode(&out) else { panic!() };
    assert_eq!(error.message, "cut");
}

fn any_event() -> impl Strategy<Value = Event> {
    let words = prop::sample::select(vec!["", "a", "\"\n", "é🙂", "{\"x\":"]).prop_map(str::to_owned);
    prop_oneof![
        words.clone().prop_map(|text| Event::Text { choice: 0, text }),
        words.clone().prop_map(|text| Event::Refusal { choice: 0, text }),
        (words.clone(), any::<bool>()).prop_map(|(text, summary)| Event::Reasoning { choice: 0, text, summary }),
        any::<bool>().prop_map(|redacted| Event::Signature {
            choice: 0,
            signature: Signature { dialect: Dialect::Anthropic, value: "s".into(), id: None },
            redacted,
        }),
        (0u32..3, any::<bool>()).prop_map(|(index, custom)| Event::ToolCall {
            choice: 0,
            index,
            id: format!("c{index}"),
            name: "f".into(),
            custom,
            signature: None,
        }),
        (0u32..3, words).prop_map(|(index, text)| Event::Arguments { choice: 0, index, text }),
        Just(Event::Usage(Usage::default())),
    ]
}

proptest! {
    #[test]
    fn any_order_of_events_adds_up(mut list in prop::collection::vec(any_event(), 0..12)) {
        list.push(Event::Done);
        let written = encode_all(&list);
        check_shape("any", &written);
        let again = decode(&written).unwrap();
        let all = |events: &[Event], pick: fn(&Event) -> Option<&str>| events.iter().filter_map(pick).collect::<String>();
        for pick in [
            (|e: &Event| match e { Event::Text { text, .. } => Some(text.as_str()), _ => None }) as fn(&Event) -> Option<&str>,
            |e| match e { Event::Refusal { text, .. } => Some(text.as_str()), _ => None },
            |e| match e { Event::Reasoning { text, .. } => Some(text.as_str()), _ => None },
        ] {
            prop_assert_eq!(all(&again, pick), all(&list, pick));
        }
    }

    #[test]
    fn arbitrary_data_never_panic(name in "[a-z._]{0,20}", data: Vec<u8>, cut: prop::sample::Index, which: prop::sample::Index) {
        let mut out = Vec::new();
        let _ = Decoder::default().event(name.as_bytes(), &data, &mut out);
        let _ = inspect_event(name.as_bytes(), &data);
        let _ = inspect_completion(&data);
        let _ = decode_response(&data);
        let _ = decode_request(&data);
        parse_error(None, &data);
        let (_, stream) = WHOLE[which.index(WHOLE.len())];
        for (name, data) in events(stream) {
            let data = &data[..cut.index(data.len() + 1)];
            let _ = Decoder::default().event(&name, data, &mut out);
            let _ = inspect_event(&name, data);
        }
    }
}
