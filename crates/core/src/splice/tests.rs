use super::*;
use crate::scan::{scan_chat, scan_responses};
use proptest::prelude::*;
use serde_json::{Value, json};

const CAP: OutputCap = OutputCap { tokens: 50, field: CapField::MaxCompletionTokens };

fn forwarded(body: &str, forward: &Forward<'_>) -> String {
    let scan = scan_chat(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"));
    let out = scan.upstream_body(&Bytes::copy_from_slice(body.as_bytes()), forward);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn changes_exactly_what_it_must() {
    let plain = Forward { model: "up", usage: false, cap: None };
    let usage = Forward { usage: true, ..plain };
    let capped = Forward { cap: Some(CAP), ..plain };
    const M: &str = r#""messages":[{"role":"user"}]"#;
    // (members before the messages, members expected there, forward, members expected after the messages)
    let cases: &[(&str, &Forward<'_>, &str, &str)] = &[
        (r#""model" : "a","#, &plain, r#""model" : "up","#, ""),
        (r#""model":"up", "x": 1e9 ,"#, &plain, r#""model":"up", "x": 1e9 ,"#, ""),
        ("", &plain, "", r#","model":"up""#),
        (r#""waypost":{"a":[1]} , "model":"up","#, &plain, r#""model":"up","#, ""),
        (r#""model":"up", "waypost" : null , "x":0,"#, &plain, r#""model":"up" , "x":0,"#, ""),
        (r#""model":"up","stream":false,"#, &usage, r#""model":"up","stream":false,"#, ""),
        (r#""model":"up","stream":true,"#, &plain, r#""model":"up","stream":true,"#, ""),
        (
            r#""model":"up","stream":true,"#,
            &usage,
            r#""model":"up","stream":true,"#,
            r#","stream_options":{"include_usage":true}"#,
        ),
        (
            r#""model":"up","stream":true,"stream_options":null,"#,
            &usage,
            r#""model":"up","stream":true,"stream_options":{"include_usage":true},"#,
            "",
        ),
        (
            r#""model":"up","stream":true,"stream_options": { } ,"#,
            &usage,
            r#""model":"up","stream":true,"stream_options": {"include_usage":true} ,"#,
            "",
        ),
        (
            r#""model":"up","stream":true,"stream_options":{ "x":1},"#,
            &usage,
            r#""model":"up","stream":true,"stream_options":{"include_usage":true, "x":1},"#,
            "",
        ),
        (
            r#""model":"up","stream":true,"stream_options":{"include_usage" : false ,"x":1},"#,
            &usage,
            r#""model":"up","stream":true,"stream_options":{"include_usage" : true ,"x":1},"#,
            "",
        ),
        (
            r#""model":"up","stream":true,"stream_options":{"include_usage":true},"#,
            &usage,
            r#""model":"up","stream":true,"stream_options":{"include_usage":true},"#,
            "",
        ),
        (r#""model":"up","#, &capped, r#""model":"up","#, r#","max_completion_tokens":50"#),
        (r#""model":"up","max_tokens":51,"#, &capped, r#""model":"up","max_tokens":50,"#, ""),
        (r#""model":"up","max_tokens":50,"#, &capped, r#""model":"up","max_tokens":50,"#, ""),
        (
            r#""model":"up","max_tokens":99,"max_completion_tokens":7,"#,
            &capped,
            r#""model":"up","max_tokens":50,"max_completion_tokens":7,"#,
            "",
        ),
        (r#""model":"up","max_completion_tokens":null,"#, &capped, r#""model":"up","max_completion_tokens":50,"#, ""),
        (
            r#""model":"up","max_tokens":null,"#,
            &capped,
            r#""model":"up","max_tokens":null,"#,
            r#","max_completion_tokens":50"#,
        ),
    ];
    for (before, forward, want, after) in cases {
        assert_eq!(forwarded(&format!("{{{before}{M}}}"), forward), format!("{{{want}{M}{after}}}"));
    }
    // `waypost` last: its comma goes with it, and an insertion brings its own.
    assert_eq!(
        forwarded(&format!(r#"{{{M}, "waypost":{{}} }}"#), &capped),
        format!(r#"{{{M} ,"model":"up","max_completion_tokens":50}}"#)
    );
    assert_eq!(
        forwarded(&format!(r#"{{"model":"a",{M}}}"#), &Forward { model: "a\"\n", ..plain }),
        format!(r#"{{"model":"a\"\n",{M}}}"#)
    );
}

#[test]
fn a_provider_that_knows_the_older_name_only_gets_the_cap_under_it() {
    const M: &str = r#""messages":[{"role":"user"}]"#;
    let cap =
        |tokens| Forward { model: "up", usage: false, cap: Some(OutputCap { tokens, field: CapField::MaxTokens }) };
    for (tokens, before, want) in [
        (7, r#""model":"up","max_completion_tokens" : 7,"#, r#""model":"up","max_tokens" : 7,"#),
        (5, r#""model":"up","max_completion_tokens":7,"#, r#""model":"up","max_tokens":5,"#),
        (7, r#""model":"up","max_completion_token\u0073":7,"#, r#""model":"up","max_tokens":7,"#),
        (
            5,
            r#""model":"up","max_tokens":null,"max_completion_tokens":7,"#,
            r#""model":"up","max_tokens":5,"max_completion_tokens":5,"#,
        ),
        (
            7,
            r#""model":"up","max_completion_tokens":7,"max_tokens":9,"#,
            r#""model":"up","max_completion_tokens":7,"max_tokens":7,"#,
        ),
    ] {
        assert_eq!(forwarded(&format!("{{{before}{M}}}"), &cap(tokens)), format!("{{{want}{M}}}"));
    }
}

#[test]
fn a_responses_body_has_its_own_cap_and_asks_for_no_usage() {
    let cap = OutputCap { tokens: 50, field: CapField::MaxOutputTokens };
    let forward = Forward { model: "up", usage: true, cap: Some(cap) };
    let cases = [
        (
            r#"{"model":"a","input":"x","stream":true}"#,
            r#"{"model":"up","input":"x","stream":true,"max_output_tokens":50}"#,
        ),
        (
            r#"{"model":"up","max_output_tokens":51,"input":"x"}"#,
            r#"{"model":"up","max_output_tokens":50,"input":"x"}"#,
        ),
        (
            r#"{"model":"up","max_output_tokens":50,"input":"x"}"#,
            r#"{"model":"up","max_output_tokens":50,"input":"x"}"#,
        ),
        (
            r#"{"model":"up","max_output_tokens": null,"input":"x"}"#,
            r#"{"model":"up","max_output_tokens": 50,"input":"x"}"#,
        ),
        (
            r#"{"waypost":{"stage":"ui"},"model":"a","input":"x","max_output_tokens":7}"#,
            r#"{"model":"up","input":"x","max_output_tokens":7}"#,
        ),
    ];
    for (body, want) in cases {
        let out =
            scan_responses(body.as_bytes()).unwrap().upstream_body(&Bytes::from_static(body.as_bytes()), &forward);
        assert_eq!(std::str::from_utf8(&out).unwrap(), want, "{body}");
    }
}

#[test]
fn an_unchanged_body_is_not_copied() {
    let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user"}]}"#);
    let scan = scan_chat(&body).unwrap();
    let out = scan.upstream_body(&body, &Forward { model: "m", usage: true, cap: None });
    assert_eq!(out.as_ptr(), body.as_ptr());
}

/// The same changes on a parsed value.
fn change(mut value: Value, forward: &Forward<'_>) -> Value {
    let body = value.as_object_mut().unwrap();
    body.insert("model".into(), forward.model.into());
    body.remove("waypost");
    if forward.usage && body.get("stream") == Some(&Value::Bool(true)) {
        let options = body.entry("stream_options").or_insert(Value::Null);
        if options.is_null() {
            *options = json!({});
        }
        options["include_usage"] = true.into();
    }
    if let Some(cap) = forward.cap {
        let mut found = false;
        for field in ["max_tokens", "max_completion_tokens"] {
            if let Some(n) = body.get(field).and_then(Value::as_u64) {
                found = true;
                body.insert(field.into(), n.min(cap.tokens.into()).into());
            }
        }
        let newer = body.get("max_completion_tokens").filter(|n| n.is_u64()).cloned();
        if let (CapField::MaxTokens, Some(newer)) = (cap.field, newer)
            && body.get("max_tokens").is_none_or(Value::is_null)
            && body.insert("max_tokens".into(), newer).is_none()
        {
            body.remove("max_completion_tokens");
        }
        if !found {
            body.insert(cap.field.name().into(), cap.tokens.into());
        }
    }
    value
}

fn member() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        prop::sample::select(vec!["true", "false", "null"]).prop_map(|v| ("stream", v.to_owned())),
        prop::sample::select(vec![
            "null",
            "{}",
            "{ }",
            r#"{"a":1}"#,
            r#"{"include_usage":false}"#,
            r#"{"include_usage" :null,"a":[]}"#,
            r#"{"a":{}, "include_usage":true }"#
        ])
        .prop_map(|v| ("stream_options", v.to_owned())),
        prop::sample::select(vec!["null", "{}", r#"{"stage":"ui","tags":{"a":"},{"}}"#])
            .prop_map(|v| ("waypost", v.to_owned())),
        prop_oneof![Just("null".to_owned()), (0u32..100).prop_map(|n| n.to_string())].prop_map(|v| ("max_tokens", v)),
        prop_oneof![Just("null".to_owned()), (0u32..100).prop_map(|n| n.to_string())]
            .prop_map(|v| ("max_completion_tokens", v)),
        any::<String>().prop_map(|v| ("model", Value::from(v).to_string())),
        any::<String>().prop_map(|v| ("user", Value::from(v).to_string())),
        any::<f64>().prop_map(|v| ("temperature", Value::from(v).to_string())),
        Just(("logit_bias", r#"{"1":-1, "waypost":{}}"#.to_owned())),
    ]
}

proptest! {
    #[test]
    fn any_order_and_whitespace_reads_as_the_value_changed(
        members in prop::collection::vec(member(), 0..9),
        messages_at: prop::sample::Index,
        spaces in prop::collection::vec(prop::sample::select(vec!["", " ", "\n", "\t \r\n"]), 40),
        model: String,
        usage: bool,
        cap in prop::option::of((0u32..100, any::<bool>())),
    ) {
        let mut members = members;
        let mut seen = std::collections::HashSet::new();
        members.retain(|(name, _)| seen.insert(*name));
        members.insert(messages_at.index(members.len() + 1), ("messages", r#"[{"role":"user","content":"héllo \"}"}]"#.into()));
        let mut space = spaces.iter().cycle();
        let mut s = || space.next().copied().unwrap_or_default();
        let inner: Vec<String> =
            members.iter().map(|(name, value)| format!(r#"{}"{name}"{}:{}{value}{}"#, s(), s(), s(), s())).collect();
        let body = format!("{}{{{}}}{}", s(), inner.join(","), s());
        let cap = cap.map(|(tokens, old)| OutputCap { tokens, field: if old { CapField::MaxTokens } else { CapField::MaxCompletionTokens } });
        let forward = Forward { model: &model, usage, cap };

        let out = forwarded(&body, &forward);
        let want = change(serde_json::from_str(&body).unwrap(), &forward);
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), want, "{} -> {}", body, out);
        // Untouched members keep their bytes.
        for (name, value) in &members {
            if ["user", "temperature", "logit_bias", "messages"].contains(name) {
                prop_assert!(out.contains(value.as_str()));
            }
        }
        // What is forwarded scans again, and needs no second change.
        let again = scan_chat(out.as_bytes()).unwrap();
        prop_assert_eq!(again.upstream_edits(out.as_bytes(), &forward), vec![]);
    }

    #[test]
    fn any_edits_are_survived(body: Vec<u8>, edits in prop::collection::vec((0usize..40, 0usize..40, any::<Vec<u8>>()), 0..5)) {
        let mut edits: Vec<Edit> = edits.into_iter().map(|(start, end, text)| Edit { range: start..end, text }).collect();
        splice(&body, &mut edits);
    }
}
