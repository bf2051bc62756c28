use super::*;
use crate::chat::{FinishReason, Signature};
use crate::registry::Dialect;
use serde_json::json as j;

fn stream(name: &str) -> Vec<Event> {
    let (events, fault) = events(fixture("streams", name).as_bytes());
    assert_eq!(fault, None, "{name}");
    events
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, finish: reason.into() }
}

fn usage(input: u64, output: u64) -> Event {
    Event::Usage(Usage { input_tokens: input, output_tokens: output, ..Usage::default() })
}

fn start() -> Event {
    Event::Start { id: "St9".into(), model: "gemini-2.5-flash".into(), created: None }
}

fn signature(value: &str) -> Signature {
    Signature { dialect: Dialect::Gemini, value: value.into(), id: None }
}

fn call(index: u32, id: &str, name: &str, arguments: &str, signature: Option<Signature>) -> [Event; 2] {
    let (id, name) = (id.into(), name.into());
    [
        Event::ToolCall { choice: 0, index, id, name, custom: false, signature },
        Event::Arguments { choice: 0, index, text: arguments.into() },
    ]
}

#[test]
fn events_are_read_in_order() {
    let want = [
        start(),
        text("Three rivers: "),
        usage(9, 0),
        text("Rhine, Elbe, "),
        text("Oder."),
        finish(FinishReason::Stop),
        usage(9, 6),
    ];
    assert_eq!(stream("plain"), want);
    let [call_0, arguments_0] = call(0, "f1", "get_weather", r#"{"town":"Oslo"}"#, Some(signature("c2ln")));
    let [call_1, arguments_1] = call(1, "f2", "get_time", r#"{"town":"Oslo"}"#, None);
    let last = [finish(FinishReason::ToolCalls), usage(9, 6)];
    let mut want = vec![start(), text("Both."), call_0, arguments_0, call_1, arguments_1];
    want.extend(last);
    assert_eq!(stream("parallel_calls"), want);
    // The reason comes in a chunk after the call.
    assert!(stream("tool_call").contains(&finish(FinishReason::ToolCalls)));
    let thought = |text: &str| Event::Reasoning { choice: 0, text: text.into(), summary: true };
    let signed = |value| Event::Signature { choice: 0, signature: signature(value), redacted: false };
    let reasoning = stream("reasoning");
    let want =
        [start(), thought("Weigh "), thought("both."), signed("dGg="), text("The left "), text("one."), signed("dHg=")];
    assert_eq!(reasoning[..7], want);
    assert_eq!(stream("blocked"), [start(), finish(FinishReason::ContentFilter), usage(9, 0)]);
    // An answer that says at every chunk that it is done.
    let old = stream("stop_in_every_chunk");
    assert_eq!(old.iter().filter(|e| matches!(e, Event::Finish { .. })).count(), 1);
}

#[test]
fn ids_are_made_up_where_none_come() {
    let ids = |events: Vec<Event>| -> Vec<String> {
        let id = |e| if let Event::ToolCall { id, .. } = e { Some(id) } else { None };
        events.into_iter().filter_map(id).collect()
    };
    assert_eq!(ids(stream("calls_without_ids")), ["call_St9_0", "call_St9_1"]);
}

#[test]
fn sources_come_once() {
    let raw = fixture("streams", "grounded");
    let again = raw.lines().rfind(|l| !l.is_empty()).unwrap();
    let (twice, _) = events(format!("{raw}{again}\n\n").as_bytes());
    let cited: Vec<_> = twice
        .iter()
        .filter_map(|e| if let Event::Citation { citation, .. } = e { Some(citation.range) } else { None })
        .collect();
    assert_eq!(cited, [Some((7, 20))]);
}

#[test]
fn faults_are_typed() {
    let fault = |data: &str| {
        let mut out = Vec::new();
        (Decoder::default().event(b"", data.as_bytes(), &mut out), out.len())
    };
    for data in ["{", "7", "[]", r#"{"candidates":7}"#, r#"{"candidates":[{"index":5000000000}]}"#] {
        assert!(matches!(fault(data).0, Err(EventFault::Malformed(_))), "{data}");
    }
    let pieces = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","partialArgs":[{}]}}]}}]}"#;
    assert!(matches!(fault(pieces).0, Err(EventFault::Malformed(_))));
    for data in [
        r#"{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}"#,
        r#"[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]"#,
    ] {
        let (Err(EventFault::Error(error)), 0) = fault(data) else { panic!("{data}") };
        assert_eq!((error.message.as_str(), error.code.as_deref()), ("slow down", Some("429")));
    }
    assert_eq!(fault(" "), (Ok(()), 0));
    let (events, fault) = events(fixture("streams", "malformed_call").as_bytes());
    assert_eq!(events, [start(), text("Let me see.")]);
    let Some(EventFault::Error(error)) = fault else { panic!() };
    assert_eq!(error.kind.as_deref(), Some("MALFORMED_FUNCTION_CALL"));
}

#[test]
fn chunks_are_written_as_clients_expect() {
    let chunks = |events: &[Event]| -> Vec<Value> {
        let written = String::from_utf8(encode_stream(events)).unwrap();
        let data = written.split_terminator("\n\n").map(|e| e.strip_prefix("data: ").unwrap());
        data.map(json).collect()
    };
    let [begin, arguments] = call(0, "c0", "f", "{\"a\":", None);
    let more = Event::Arguments { choice: 0, index: 0, text: "\n 1}".into() };
    let [second, _] = call(1, "c1", "g", "", None);
    let written = chunks(&[
        start(),
        text("say \"hi\"\n"),
        begin,
        arguments,
        second,
        more,
        finish(FinishReason::ToolCalls),
        usage(3, 4),
    ]);
    let chunk = |part: Value| {
        j!({
            "candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}],
            "modelVersion": "gemini-2.5-flash", "responseId": "St9",
        })
    };
    let want = [
        chunk(j!({"text": "say \"hi\"\n"})),
        chunk(j!({"functionCall": {"id": "c0", "name": "f", "args": {"a": 1}}})),
        chunk(j!({"functionCall": {"id": "c1", "name": "g", "args": {}}})),
        j!({
            "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7},
            "modelVersion": "gemini-2.5-flash", "responseId": "St9",
        }),
    ];
    assert_eq!(written, want);
    // Without a start, and with arguments that are none: the client hears of it.
    let [begin, broken] = call(0, "c0", "f", "{\"a\":", None);
    let written = chunks(&[begin, broken, finish(FinishReason::ToolCalls)]);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0]["candidates"][0]["finishReason"], "MALFORMED_FUNCTION_CALL");
    // After the end nothing.
    let (mut encoder, mut out) = (Encoder::new(ReplyContext::default()), Vec::new());
    encoder.event(&Event::Done, &mut out);
    let length = out.len();
    encoder.event(&text("late"), &mut out);
    encoder.event(&Event::Done, &mut out);
    assert_eq!(out.len(), length);
}
