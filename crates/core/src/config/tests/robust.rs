//! Hostile files: each must end, soon, in a result.

use super::*;

/// A good file in which values change their kind: whatever the check lets through must deserialise and resolve.
#[test]
fn changed_values_end_in_errors() {
    fn change(value: &mut Value, at: &mut usize, by: &Value) {
        if *at == 0 {
            *value = by.clone();
        }
        *at = at.wrapping_sub(1);
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| change(item, at, by)),
            Value::Object(entries) => entries.values_mut().for_each(|item| change(item, at, by)),
            _ => {}
        }
    }
    let tree = tree::parse(EXAMPLE).root;
    let checked = check::check(&tree, &SCHEMA, &env, false);
    assert!(checked.errors.is_empty());
    let by = r#"[null, true, -1, 0, 0.5, 2, 1e300, 18446744073709551615, "", "x", "1h", "${WORD}", [], [null], ["x"], [1], {}, {"x": {}}, {"default": 1}]"#;
    let by: Vec<Value> = serde_json::from_str(by).unwrap();
    let mut outcomes = [0; 2];
    for at in 0.. {
        let mut seen = checked.value.clone();
        let mut left = at;
        change(&mut seen, &mut left, &by[at % by.len()]);
        if left < usize::MAX / 2 {
            break; // past the last value
        }
        for by in [&by[(at * 7) % by.len()], &by[(at * 11 + 3) % by.len()]] {
            let (mut changed, mut left) = (checked.value.clone(), at);
            change(&mut changed, &mut left, by);
            outcomes[usize::from(parse(&changed.to_string(), &env, TODAY).is_ok())] += 1;
        }
    }
    assert!(outcomes[0] > 100 && outcomes[1] > 10, "{outcomes:?}");
}

/// Files made to be slow: all of it wrong, or all of it repeated.
#[test]
fn large_files_end_soon() {
    let many = |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<Vec<_>>().join("\n");
    for text in [
        many(30_000, &|i| format!("unknown{i}: 1")),
        "models:\n".to_owned() + &many(30_000, &|i| format!("  m{i}: {{ tags: [t{i}], modle: 1 }}")),
        "providers: { p: { dialect: simulated } }\nroutes: { r: { candidates: [".to_owned()
            + &"x, tag:y, ".repeat(30_000)
            + "] } }",
        "models: { m: { endpoints: [".to_owned()
            + &many(15_000, &|i| format!("{{ provider: p, name: n{i} }},"))
            + "] } }",
        "providers: { openai: { headers: {".to_owned() + &many(30_000, &|i| format!("x-{i}: a,")) + "} } }",
        "a: &a [".to_owned() + &"b, ".repeat(1000) + "]\n" + &many(9000, &|i| format!("k{i}: *a")),
    ] {
        let _ = parse(&text, &env, TODAY);
    }
}

/// Every part of a good file, damaged in many ways: it must end, and never panic.
#[test]
fn damaged_files_end_in_errors() {
    let mut rng = crate::units::Rng::new(2);
    let all: Vec<char> = format!("{EXAMPLE}\n{DESIGN}").chars().collect();
    let odd = [
        ":", "{", "}", "[", "]", "- ", "&a ", "*a", "\n", "  ", "\t", "\"", "'", "|", ">", "!!str ", "<<: ", "${", "~",
        "1e999", "\u{feff}", "?", "#", "%", "\0",
    ];
    for _ in 0..300 {
        let start = rng.below(all.len());
        let mut text: String = all[start..(start + 10 + rng.below(1500)).min(all.len())].iter().collect();
        for _ in 0..1 + rng.below(4) {
            let at = (0..=rng.below(text.len() + 1)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text.insert_str(at, odd[rng.below(odd.len())]);
        }
        drop(parse(&text, &env, TODAY));
    }
}
