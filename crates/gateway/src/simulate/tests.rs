use super::*;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};
use waypost_core::registry::Faults;

const CREATED: i64 = 1_800_000_000;

/// Settings without chance: 100 ms, then 10 ms a token, 12 tokens.
fn steady() -> Simulated {
    Simulated {
        seed: 5,
        first_token: Duration::from_millis(100),
        per_token: Duration::from_millis(10),
        jitter: 0.0,
        output_tokens: 12,
        ..Simulated::default()
    }
}

fn with(faults: Faults) -> Simulated {
    Simulated { faults, ..steady() }
}

/// A request with one user message and `more` members.
fn request(text: &str, more: Value) -> Vec<u8> {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": text }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

fn streaming() -> Value {
    json!({ "stream": true, "stream_options": { "include_usage": true } })
}

async fn ask(settings: &Simulated, number: u64, body: &[u8]) -> Response<SimulatedBody> {
    respond(settings, "m", number, CREATED, body).await
}

/// The whole answer of a request that does not stream.
async fn answer(settings: &Simulated, number: u64, body: &[u8]) -> Value {
    let response = ask(settings, number, body).await;
    assert_eq!(response.headers()[SIMULATED], "true");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let length: u64 = response.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(length));
    let data = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(data.len() as u64, length);
    serde_json::from_slice(&data).unwrap()
}

/// One SSE event and its time since the request, in milliseconds; `[DONE]` is a JSON string here.
type Timed = (u128, Value);

/// All events of a stream and how it ended. Each frame must be whole events.
async fn events(settings: &Simulated, number: u64, body: &[u8]) -> (Vec<Timed>, std::io::Result<()>) {
    let start = Instant::now();
    let mut response = ask(settings, number, body).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "the head of a stream comes at once");
    assert!(response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/event-stream"));
    let mut seen = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap(),
            Err(error) => return (seen, Err(error)),
        };
        let text = std::str::from_utf8(&data).unwrap();
        for event in text.strip_suffix("\n\n").unwrap().split("\n\n") {
            let data = event.strip_prefix("data: ").unwrap();
            let value = if data == "[DONE]" { json!("[DONE]") } else { serde_json::from_str(data).unwrap() };
            seen.push((start.elapsed().as_millis(), value));
        }
    }
    assert!(response.body().is_end_stream());
    (seen, Ok(()))
}

/// Content or tool arguments of one choice, put together again.
fn joined(events: &[Timed], choice: usize) -> String {
    let deltas =
        events.iter().filter(|(_, e)| e["choices"][0]["index"] == choice).map(|(_, e)| &e["choices"][0]["delta"]);
    let piece = |delta: &Value| {
        let arguments = &delta["tool_calls"][0]["function"]["arguments"];
        delta["content"].as_str().or(arguments.as_str()).unwrap_or_default().to_owned()
    };
    deltas.map(piece).collect()
}

/// Events that carry a token.
fn tokens(events: &[Timed]) -> usize {
    let carries =
        |delta: &Value| delta["tool_calls"].is_array() || delta["content"].as_str().is_some_and(|c| !c.is_empty());
    events.iter().filter(|(_, e)| carries(&e["choices"][0]["delta"])).count()
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_takes_the_time_of_its_tokens_and_is_marked() {
    let start = Instant::now();
    let value = answer(&steady(), 1, &request("Hello there", json!({}))).await;
    assert_eq!(start.elapsed(), Duration::from_millis(100 + 11 * 10));
    let text = value["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.starts_with("[simulated] ") && text.ends_with('.'), "{text}");
    assert_eq!(text.split(' ').count(), 12);
    assert_eq!(value["choices"][0]["finish_reason"], "stop");
    assert_eq!(value["system_fingerprint"], FINGERPRINT);
    assert_eq!((&value["model"], &value["created"]), (&json!("m"), &json!(CREATED)));
    // 11 bytes of text and one message.
    assert_eq!(value["usage"]["prompt_tokens"], 3 + 4);
    assert_eq!(value["usage"]["completion_tokens"], 12);
    assert_eq!(value["usage"]["total_tokens"], 19);
}

#[tokio::test(start_paused = true)]
async fn a_stream_sends_each_token_in_its_time() {
    let (events, end) = events(&steady(), 1, &request("Hello there", streaming())).await;
    end.unwrap();
    let whole = answer(&steady(), 1, &request("Hello there", json!({}))).await;
    assert_eq!(joined(&events, 0), whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(events[0].1["choices"][0]["delta"]["role"], "assistant");
    let times: Vec<_> = events.iter().map(|(time, _)| *time).collect();
    // Role; twelve tokens; finish, usage and [DONE] with the last of them.
    let expected: Vec<_> = [0].into_iter().chain((0..12).map(|i| 100 + 10 * i)).chain([210, 210, 210]).collect();
    assert_eq!(times, expected);
    let [finish, usage, done] = &events[13..] else { unreachable!("three events follow the tokens") };
    assert_eq!(finish.1["choices"][0]["finish_reason"], "stop");
    assert_eq!((&usage.1["usage"], &usage.1["choices"]), (&whole["usage"], &json!([])));
    assert_eq!(done.1, "[DONE]");
    for (_, event) in &events[..15] {
        assert_eq!((&event["id"], &event["system_fingerprint"]), (&whole["id"], &json!(FINGERPRINT)));
        assert!(event.as_object().unwrap().contains_key("usage"));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_streamed_only_where_asked_for() {
    let (events, _) = events(&steady(), 1, &request("x", json!({ "stream": true }))).await;
    assert!(events.iter().all(|(_, event)| event.get("usage").is_none()));
}

#[tokio::test(start_paused = true)]
async fn late_readers_do_not_shift_the_later_tokens() {
    let mut response = ask(&steady(), 1, &request("x", json!({ "stream": true }))).await;
    let start = Instant::now();
    response.body_mut().frame().await;
    tokio::time::advance(Duration::from_millis(155)).await;
    for _ in 0..6 {
        response.body_mut().frame().await;
    }
    assert_eq!(start.elapsed().as_millis(), 155, "six tokens were due by 150 ms");
    response.body_mut().frame().await;
    assert_eq!(start.elapsed().as_millis(), 160);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_number_give_the_same_answer() {
    let settings = Simulated { jitter: 0.4, faults: Faults { cut: 0.2, empty: 0.2, ..Faults::default() }, ..steady() };
    let body = request("x", streaming());
    let run = async |settings: &Simulated, number| {
        let (events, end) = events(settings, number, &body).await;
        (events, end.is_ok())
    };
    let mut different = 0;
    for number in 0..40 {
        assert_eq!(run(&settings, number).await, run(&settings, number).await);
        different += usize::from(run(&settings, number).await != run(&settings, number + 1).await);
        different +=
            usize::from(run(&settings, number).await != run(&Simulated { seed: 6, ..settings.clone() }, number).await);
    }
    assert_eq!(different, 80);
}

#[test]
fn attempts_of_a_request_are_numbered_apart() {
    let numbers: std::collections::HashSet<_> =
        (0..100u128).flat_map(|id| (0..10).map(move |attempt| attempt_number(RequestId(id << 60), attempt))).collect();
    assert_eq!(numbers.len(), 1000);
    assert_eq!(attempt_number(RequestId(7), 1), attempt_number(RequestId(7), 1));
}

#[tokio::test(start_paused = true)]
async fn caps_end_an_answer_with_length() {
    let schema = json!({ "type": "json_schema", "json_schema": { "schema": { "const": "a long enough text" } } });
    let cases = [
        (json!({ "max_tokens": 5 }), 5, "length"),
        (json!({ "max_completion_tokens": 1, "max_tokens": 9 }), 1, "length"),
        (json!({ "max_tokens": 12 }), 12, "stop"),
        (json!({ "max_tokens": 0 }), 1, "length"),
        (json!({ "max_tokens": 2, "response_format": schema }), 2, "length"),
    ];
    for (more, expected, finish) in cases {
        let value = answer(&steady(), 1, &request("x", more.clone())).await;
        assert_eq!(value["usage"]["completion_tokens"], expected, "{more}");
        assert_eq!(value["choices"][0]["finish_reason"], finish, "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn choices_are_interleaved_and_all_are_charged() {
    let settings = Simulated { jitter: 0.3, ..steady() };
    let mut more = streaming();
    more["n"] = json!(3);
    let (events, end) = events(&settings, 4, &request("x", more)).await;
    end.unwrap();
    let value = answer(&settings, 4, &request("x", json!({ "n": 3 }))).await;
    for choice in 0..3 {
        assert_eq!(joined(&events, choice), value["choices"][choice]["message"]["content"].as_str().unwrap());
        let ends = |(_, e): &&Timed| e["choices"][0]["index"] == choice && e["choices"][0]["finish_reason"] == "stop";
        assert_eq!(events.iter().filter(ends).count(), 1);
    }
    assert_eq!(value["usage"]["completion_tokens"], tokens(&events));
    assert_eq!(events[events.len() - 2].1["usage"], value["usage"]);
    let first: Vec<_> = events[3..6].iter().map(|(_, e)| e["choices"][0]["index"].as_u64().unwrap()).collect();
    assert_eq!(first, [0, 1, 2]);
}

fn weather_tools() -> Value {
    let function = |name: &str| {
        json!({ "type": "function", "function": { "name": name, "parameters": {
            "type": "object", "required": ["city", "unit"], "additionalProperties": false, "properties": {
                "city": { "type": "string" }, "unit": { "enum": ["C", "F"] }, "days": { "type": "integer" } } } } })
    };
    json!([function("get_weather"), function("get_tides")])
}

#[tokio::test(start_paused = true)]
async fn tools_are_called_when_asked_for() {
    let forced = json!({ "type": "function", "function": { "name": "get_tides" } });
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [
        { "type": "function", "function": { "name": "get_tides" } }] } });
    let cases = [
        ("x", json!("required"), Some("get_weather")),
        ("the get_tides one", json!("required"), Some("get_tides")),
        ("x", forced, Some("get_tides")),
        ("x", allowed, Some("get_tides")),
        ("Please use the tool.", json!("auto"), Some("get_weather")),
        ("Please use GET_TIDES.", Value::Null, Some("get_tides")),
        ("Please use the tool.", json!("none"), None),
        ("x", json!("auto"), None),
    ];
    for (text, choice, expected) in cases {
        let more = json!({ "tools": weather_tools(), "tool_choice": choice });
        let value = answer(&steady(), 1, &request(text, more)).await;
        let call = &value["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(call["function"]["name"].as_str(), expected, "{text} {choice}");
        if expected.is_some() {
            let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            let schema = &weather_tools()[0]["function"]["parameters"];
            assert!(jsonschema::is_valid(schema, &arguments), "{arguments}");
            assert_eq!(value["choices"][0]["finish_reason"], "tool_calls");
            assert_eq!(value["choices"][0]["message"]["content"], Value::Null);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamed_tool_call_is_the_same_call() {
    let mut more = streaming();
    more["tools"] = weather_tools();
    more["tool_choice"] = json!("required");
    let (events, _) = events(&steady(), 1, &request("x", more.clone())).await;
    more["stream"] = json!(false);
    let value = answer(&steady(), 1, &request("x", more)).await;
    let call = &value["choices"][0]["message"]["tool_calls"][0];
    let first = &events[1].1["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!((&first["id"], &first["function"]["name"]), (&call["id"], &call["function"]["name"]));
    assert_eq!(joined(&events, 0), call["function"]["arguments"].as_str().unwrap());
    assert_eq!(value["usage"]["completion_tokens"], tokens(&events));
    assert_eq!(events[events.len() - 3].1["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test(start_paused = true)]
async fn after_a_tool_result_comes_text() {
    let body = json!({ "messages": [
        { "role": "user", "content": "use the tool" },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "get_weather", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "c", "content": "use the tool" },
    ], "tools": weather_tools() });
    let value = answer(&steady(), 1, body.to_string().as_bytes()).await;
    assert!(value["choices"][0]["message"]["content"].is_string());
}

#[tokio::test(start_paused = true)]
async fn structured_output_conforms() {
    let schema = json!({ "type": "object", "required": ["name", "tags"], "additionalProperties": false, "properties": {
        "name": { "type": "string" }, "tags": { "type": "array", "items": { "enum": ["a", "b"] } } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "thing", "strict": true, "schema": schema } });
    let content = async |format: &Value| {
        let value = answer(&steady(), 1, &request("x", json!({ "response_format": format }))).await;
        serde_json::from_str::<Value>(value["choices"][0]["message"]["content"].as_str().unwrap()).unwrap()
    };
    let made = content(&format).await;
    assert!(jsonschema::is_valid(&schema, &made), "{made}");
    assert!(content(&json!({ "type": "json_object" })).await.is_object());
}

#[tokio::test(start_paused = true)]
async fn refusals_and_server_errors_look_like_openai_s() {
    let limited =
        Simulated { retry_after: Duration::from_millis(1500), ..with(Faults { rate_limit: 1.0, ..Faults::default() }) };
    let response = ask(&limited, 1, &request("x", streaming())).await;
    assert_eq!(response.status(), 429);
    assert_eq!(
        (&response.headers()["retry-after"], &response.headers()["retry-after-ms"]),
        (&"2".parse().unwrap(), &"1500".parse().unwrap())
    );
    assert_eq!(response.headers()[SIMULATED], "true");
    let value = answer(&limited, 1, &request("x", json!({}))).await;
    assert_eq!(value["error"]["code"], "rate_limit_exceeded");

    let failing = with(Faults { server_error: 1.0, ..Faults::default() });
    let mut statuses = std::collections::BTreeSet::new();
    for number in 0..50 {
        let response = ask(&failing, number, &request("x", json!({}))).await;
        statuses.insert(response.status().as_u16());
        let data = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&data).unwrap();
        assert_eq!(value["error"]["type"], "server_error");
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [500, 502, 503]);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_request_pends_for_ever() {
    let hour = Duration::from_secs(3600);
    let settings = with(Faults { stall: 1.0, ..Faults::default() });
    let mut preambles = 0;
    for number in 0..40 {
        assert!(timeout(hour, ask(&settings, number, &request("x", json!({})))).await.is_err());
        if let Ok(mut response) = timeout(hour, ask(&settings, number, &request("x", streaming()))).await {
            preambles += 1;
            assert!(response.body_mut().frame().await.unwrap().is_ok());
            assert!(timeout(hour, response.body_mut().frame()).await.is_err());
        }
    }
    assert!((5..35).contains(&preambles), "{preambles} of 40 streams stalled after their preamble");
    let body = request("simulate[fault=stall,at=3]", streaming());
    let mut response = ask(&steady(), 1, &body).await;
    for _ in 0..4 {
        assert!(response.body_mut().frame().await.unwrap().is_ok());
    }
    assert!(timeout(hour, response.body_mut().frame()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_cut_answer_errors_in_the_middle() {
    let settings = with(Faults { cut: 1.0, ..Faults::default() });
    let mut places = std::collections::BTreeSet::new();
    for number in 0..200 {
        let (events, end) = events(&settings, number, &request("x", streaming())).await;
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        places.insert(tokens(&events));
        assert!(events.iter().all(|(_, e)| e["choices"][0]["finish_reason"].is_null()));
    }
    assert_eq!(places, (1..12).collect(), "after one token to one before the last");

    let (events, end) = events(&steady(), 1, &request("simulate[fault=cut,at=0]", streaming())).await;
    assert_eq!((tokens(&events), end.is_err()), (0, true));

    let response = ask(&settings, 1, &request("x", json!({}))).await;
    assert_eq!(response.status(), 200);
    let announced: usize = response.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
    let mut body = response.into_body();
    let arrived = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(!arrived.is_empty() && arrived.len() < announced);
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn slow_empty_and_in_band_faults_are_as_described() {
    let slow = with(Faults { slow_first_token: 1.0, ..Faults::default() });
    let (seen, _) = events(&slow, 1, &request("x", streaming())).await;
    assert_eq!((seen[1].0, seen[2].0), (1000, 1010));

    let empty = with(Faults { empty: 1.0, ..Faults::default() });
    let (seen, end) = events(&empty, 1, &request("x", json!({ "stream": true }))).await;
    end.unwrap();
    assert_eq!((seen.len(), seen[1].0, &seen[1].1), (2, 100, &json!("[DONE]")));
    let value = answer(&empty, 1, &request("x", json!({}))).await;
    let choice = &value["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!(""), &json!("stop")));
    assert_eq!(value["usage"]["completion_tokens"], 0);

    let in_band = with(Faults { in_band_error: 1.0, ..Faults::default() });
    let (seen, end) = events(&in_band, 1, &request("x", streaming())).await;
    end.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].1["error"]["message"].is_string());
    assert_eq!(ask(&in_band, 1, &request("x", json!({}))).await.status(), 200);
    assert!(answer(&in_band, 1, &request("x", json!({}))).await["error"].is_object());
}

#[tokio::test(start_paused = true)]
async fn a_directive_in_the_prompt_steers_the_answer() {
    let start = Instant::now();
    let text = "simulate[first_token_ms=3,per_token_ms=1,tokens=20]";
    let value = answer(
        &with(Faults { empty: 1.0, ..Faults::default() }),
        1,
        &request(&format!("{text} simulate[fault=none]"), json!({})),
    )
    .await;
    assert_eq!(value["usage"]["completion_tokens"], 20);
    assert_eq!(start.elapsed(), Duration::from_millis(22));
    let body = request("simulate[fault=server_error,status=503,model=other]", json!({}));
    assert_eq!(ask(&steady(), 1, &body).await.status(), 200);
    assert_eq!(respond(&steady(), "other", 1, CREATED, &body).await.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn no_delay_needs_no_timer() {
    let settings = Simulated { first_token: Duration::ZERO, per_token: Duration::ZERO, ..steady() };
    let start = Instant::now();
    let (events, end) = events(&settings, 1, &request("x", streaming())).await;
    end.unwrap();
    assert_eq!((tokens(&events), start.elapsed()), (12, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_chat_request_is_refused() {
    for body in ["", "{", "[]", "{\"input\":\"x\"}", "{\"messages\":[]}", "{\"messages\":[3]}", "\u{0}"] {
        let response = ask(&steady(), 1, body.as_bytes()).await;
        assert_eq!(response.status(), 400, "{body:?}");
    }
}
