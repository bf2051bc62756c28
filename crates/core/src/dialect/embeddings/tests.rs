use super::*;
use crate::registry::Quirks;

fn request(body: &str) -> Request {
    decode_request(body.as_bytes()).unwrap()
}

fn target(strict: bool) -> Target<'static> {
    let quirks = Quirks::default();
    let model = "gemini-embedding-001";
    Target { model, cap: None, default_cap: 1, strict, capabilities: None, quirks, no_sampling: false }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn every_form_of_input_is_read() {
    let texts = |texts: &[&str]| Input::Texts(texts.iter().map(ToString::to_string).collect());
    for (input, want, count) in [
        (r#""moss""#, texts(&["moss"]), 1),
        (r#"["moss","fern"]"#, texts(&["moss", "fern"]), 2),
        ("[1,2,3]", Input::Tokens(vec![vec![1, 2, 3]]), 1),
        ("[[1],[2,3]]", Input::Tokens(vec![vec![1], vec![2, 3]]), 2),
    ] {
        let request = request(&format!(r#"{{"model":"e","input":{input}}}"#));
        assert_eq!((request.input.count(), request.input), (count, want), "{input}");
    }
    let full = request(r#"{"model":"e","input":"x","dimensions":64,"encoding_format":"base64","user":"u","more":1}"#);
    assert_eq!((full.dimensions, full.encoding, full.user.as_deref()), (Some(64), Encoding::Base64, Some("u")));
    assert_eq!(full.extras.keys().collect::<Vec<_>>(), ["more"]);
}

#[test]
fn malformed_requests_say_where() {
    for (body, field) in [
        ("", ""),
        ("[]", ""),
        (r#"{"input":"x"}"#, "model"),
        (r#"{"model":"","input":"x"}"#, "model"),
        (r#"{"model":"e"}"#, "input"),
        (r#"{"model":"e","input":7}"#, "input"),
        (r#"{"model":"e","input":[]}"#, "input"),
        (r#"{"model":"e","input":""}"#, "input[0]"),
        (r#"{"model":"e","input":["a",1]}"#, "input[1]"),
        (r#"{"model":"e","input":[[1],[]]}"#, "input[1]"),
        (r#"{"model":"e","input":[[1],"a"]}"#, "input[1]"),
        (r#"{"model":"e","input":[[1,-1]]}"#, "input[0][1]"),
        (r#"{"model":"e","input":[{}]}"#, "input[0]"),
        (r#"{"model":"e","input":"x","dimensions":0}"#, "dimensions"),
        (r#"{"model":"e","input":"x","encoding_format":"hex"}"#, "encoding_format"),
    ] {
        assert_eq!(decode_request(body.as_bytes()).unwrap_err().field, field, "{body}");
    }
}

#[test]
fn texts_become_a_batch() {
    let asked = request(r#"{"model":"e","input":["a","b"],"dimensions":8,"user":"u","more":1}"#);
    let encoded = encode_gemini(&asked, &target(false)).unwrap();
    let one = |text: &str| {
        json!({
            "model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 8,
        })
    };
    assert_eq!(json(&encoded.body), json!({"requests": [one("a"), one("b")]}));
    assert_eq!(encoded.dropped, ["user", "more"]);
    assert_eq!(encode_gemini(&asked, &target(true)).unwrap_err().field, "user");
    let tokens = encode_gemini(&request(r#"{"model":"e","input":[1,2]}"#), &target(false)).unwrap_err();
    assert_eq!(tokens.field, "input");
    assert!(tokens.why.contains("send text"), "{}", tokens.why);
}

const BATCH: &str = r#"{
  "embeddings": [
    { "values": [ 0.5, -1.25e-1, 3 ], "statistics": {"tokenCount": 2} },
    { "values": [ 0.1,
       0, 1 ], "statistics": {"tokenCount": 3.0} }
  ],
  "usageMetadata": { "promptTokenCount": 7 }
}"#;

fn usage(input_tokens: u64) -> Option<Usage> {
    Some(Usage { input_tokens, ..Usage::default() })
}

#[test]
fn batches_become_lists() {
    let asked = request(r#"{"model":"e","input":["a","b"]}"#);
    let answer = translate_gemini(BATCH.as_bytes(), &asked, "e").unwrap();
    let want = concat!(
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1.25e-1,3]},"#,
        r#"{"object":"embedding","index":1,"embedding":[0.1,0,1]}],"model":"e","#,
        r#""usage":{"prompt_tokens":7,"total_tokens":7}}"#,
    );
    assert_eq!(std::str::from_utf8(&answer.body).unwrap(), want);
    assert_eq!(answer.facts, Facts { vectors: 2, usage: usage(7) });
    assert_eq!(inspect_answer(&answer.body), Ok(answer.facts));
    // Without usage of the whole, that of the parts counts.
    let parts = BATCH.replace("usageMetadata", "other");
    assert_eq!(translate_gemini(parts.as_bytes(), &asked, "e").unwrap().facts.usage, usage(5));
    let single = r#"{"embedding":{"values":[1]}}"#;
    let alone = translate_gemini(single.as_bytes(), &request(r#"{"model":"e","input":"a"}"#), "e").unwrap();
    assert_eq!(alone.facts, Facts { vectors: 1, usage: None });
    assert_eq!(json(&alone.body)["usage"], json!({"prompt_tokens": 0, "total_tokens": 0}));
}

#[test]
fn base64_is_little_endian_floats() {
    let asked = request(r#"{"model":"e","input":["a","b"],"encoding_format":"base64"}"#);
    let answer = translate_gemini(BATCH.as_bytes(), &asked, "e\"").unwrap();
    let body = json(&answer.body);
    let bytes = STANDARD.decode(body["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let floats: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(floats, [0.5, -0.125, 3.0]);
    assert_eq!(body["model"], "e\"");
    assert_eq!(inspect_answer(&answer.body), Ok(Facts { vectors: 2, usage: usage(7) }));
}

#[test]
fn answers_that_are_none_are_typed() {
    let asked = request(r#"{"model":"e","input":["a"],"encoding_format":"base64"}"#);
    let bad = |body: &str| translate_gemini(body.as_bytes(), &asked, "e").unwrap_err();
    for body in ["", "<html>", r#"{"embeddings":["#, r#"{"embeddings":[]} x"#] {
        assert!(matches!(bad(body), BadCompletion::Json(_)), "{body}");
    }
    assert_eq!(bad("{}"), BadCompletion::NoChoices);
    for body in [
        r#"{"embeddings":[]}"#,
        r#"{"embeddings":[{"values":[1]},{"values":[1]}]}"#,
        r#"{"embeddings":[{"values":[]}]}"#,
        r#"{"embeddings":[{}]}"#,
        r#"{"embeddings":[7]}"#,
        r#"{"embeddings":[{"values":["1"]}]}"#,
        r#"{"embeddings":[{"values":[1e99]}]}"#,
    ] {
        assert!(matches!(bad(body), BadCompletion::Malformed(_)), "{body}");
    }
    for body in [r#"{"error":{"code":400,"message":"m"}}"#, r#"[{"error":{"code":400,"message":"m"}}]"#] {
        let BadCompletion::Error(error) = bad(body) else { panic!("{body}") };
        assert_eq!((error.message.as_str(), error.code.as_deref()), ("m", Some("400")));
    }
}

#[test]
fn passing_answers_are_inspected() {
    let good = r#"{"object":"list","data":[{"embedding":"AACAPw=="}],"usage":{"prompt_tokens":0,"total_tokens":0}}"#;
    assert_eq!(inspect_answer(good.as_bytes()), Ok(Facts { vectors: 1, usage: usage(0) }));
    let no_usage = r#"{"data":[{"embedding":[0.1]},{"embedding":[0.2]}],"error":null}"#;
    assert_eq!(inspect_answer(no_usage.as_bytes()), Ok(Facts { vectors: 2, usage: None }));
    let total = r#"{"data":[{"embedding":[0.1]}],"usage":{"total_tokens":3}}"#;
    assert_eq!(inspect_answer(total.as_bytes()).unwrap().usage, usage(3));
    for (body, want) in [
        (r#"{"data":[]}"#, "NoChoices"),
        ("{}", "NoChoices"),
        ("<html>", "Json"),
        (r#"{"data":[{"embedding":[]}]}"#, "Malformed"),
        (r#"{"data":[{"embedding":[1]},{}]}"#, "Malformed"),
        (r#"{"data":[7]}"#, "Malformed"),
        (r#"{"error":{"message":"m"}}"#, "Error"),
        (r#"{"object":"error","message":"m"}"#, "Error"),
    ] {
        let error = format!("{:?}", inspect_answer(body.as_bytes()).unwrap_err());
        assert!(error.starts_with(want), "{body}: {error}");
    }
}
