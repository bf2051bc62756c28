//! `waypost train` and `waypost eval` as users run them.

use super::gateway::Folder;
use serde_json::{Value, json};
use std::fmt::Write;

/// Outcomes of two models; on proofs only the large one is good.
fn outcomes(prefix: &str, rows: usize) -> String {
    let topics = ["whales", "trams", "lenses", "rivers", "violins", "glaciers", "bridges"];
    (0..rows).fold(String::new(), |mut text, ix| {
        let hard = ix % 3 == 0;
        let prompt = if hard { "Prove the theorem about" } else { "Name a word that rhymes with" };
        let prompt = format!("{prompt} {} and {} ({ix}).", topics[ix % 7], topics[ix * ix % 5]);
        // Both are wrong now and then.
        let score = |fails: bool| f64::from(u8::from(ix % 11 != 0 && !fails));
        let row = json!({ "id": format!("{prefix}-{ix}"), "task": if hard { "proof" } else { "rhyme" }, "prompt": prompt,
            "outcomes": {
                "large": { "score": score(false), "input_tokens": 20, "output_tokens": 100, "cost_usd": 0.01 },
                "small": { "score": score(hard), "input_tokens": 20, "output_tokens": 100, "cost_usd": 0.001 } } });
        let _ = writeln!(text, "{row}");
        text
    })
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn what_was_trained_is_evaluated_on_other_rows() {
    let folder = Folder::new();
    folder.write("train.jsonl", &outcomes("t", 400));
    folder.write("test.jsonl", &outcomes("e", 200));
    let said = folder.run(&["train", "--data", "train.jsonl", "--out", "m.wpm"]).good();
    assert!(said.contains("m.wpm: 400 rows") && said.contains("cross-validated APGR"), "{said}");
    assert!(std::fs::metadata(folder.path("m.wpm")).expect("written").len() < 500_000);

    let args = ["eval", "--model", "m.wpm", "--data", "test.jsonl", "--resamples", "50"];
    let with = |more: &[&str]| folder.run(&[&args[..], more].concat()).good();
    let report = json_of(&with(&["--json", "--html", "page.html", "--predictions", "p.jsonl"]));
    assert!(report["metrics"]["apgr"].as_f64().expect("two models") > 0.8, "{}", report["metrics"]);
    assert!(report["intervals"]["apgr"][0].as_f64() <= report["metrics"]["apgr"].as_f64());
    for control in ["random", "best_single", "static", "length", "oracle"] {
        assert!(report["controls"][control].is_object(), "{control}: {}", report["controls"]);
    }
    assert!(report["per_task"]["proof"].is_object());
    assert_eq!((report["rows"].as_u64(), report["models"].as_array().map(Vec::len)), (Some(200), Some(2)));

    let predictions = std::fs::read_to_string(folder.path("p.jsonl")).expect("written");
    let first = json_of(predictions.lines().next().expect("a line"));
    assert_eq!(predictions.lines().count(), 200);
    assert!(first["id"] == "e-0" && first["scores"]["large"].as_f64() > first["scores"]["small"].as_f64(), "{first}");
    let page = std::fs::read_to_string(folder.path("page.html")).expect("written");
    assert!(page.contains("<svg") && !page.contains("http://") && page.matches("<svg").count() >= 5);

    let table = with(&["--seeds", "2", "--train-data", "train.jsonl"]);
    assert!(table.contains("over trainings with several seeds") && table.contains("best single"), "{table}");
}

#[test]
fn a_promise_is_printed_and_kept() {
    let folder = Folder::new();
    folder.write("train.jsonl", &outcomes("t", 900));
    let promise = ["--max-quality-loss", "0.05", "--confidence", "0.9", "--reference", "large"];
    let said =
        folder.run(&[&["train", "--data", "train.jsonl", "--out", "m.wpm", "--json"][..], &promise].concat()).good();
    let guarantee = json_of(&said)["guarantee"].clone();
    assert!(guarantee["reference"] == "large" && guarantee["rows"] == 270, "{guarantee}");
    assert!(guarantee["setting"].is_number(), "{guarantee}");
}

#[test]
fn bad_outcomes_are_named_with_their_line_and_nothing_is_written() {
    let folder = Folder::new();
    folder.write("good.jsonl", &outcomes("t", 30));
    folder.write("again.jsonl", &outcomes("t", 2));
    folder.write("wide.jsonl", r#"{"id":"x","prompt":"p","outcomes":{"large":{"score":7}}}"#);
    folder.write("few.jsonl", &outcomes("f", 10));
    std::fs::write(folder.path("bytes.jsonl"), [b'\n', 0xff, 0xfe]).expect("written");
    let cases: [(&[&str], &str); 6] = [
        (&["good.jsonl", "again.jsonl"], "again.jsonl:1: id \"t-0\" is also at good.jsonl:1"),
        (&["wide.jsonl"], "wide.jsonl:1: outcomes.large.score is 7; a score is a number from 0 to 1"),
        (&["few.jsonl"], "10 rows with outcomes are too few to learn from"),
        (&["bytes.jsonl"], "bytes.jsonl:2: not UTF-8"),
        (&["absent.jsonl"], "absent.jsonl: No such file"),
        (&["good.jsonl", "--reference", "huge", "--max-quality-loss", "0.1"], "the reference \"huge\" is not among"),
    ];
    for (data, expected) in cases {
        let ran = folder.run(&[&["train", "--out", "m.wpm", "--data"][..], data].concat());
        assert!(ran.code == 1 && ran.err.contains(expected), "{data:?}: {} {}", ran.code, ran.err);
        assert!(!folder.path("m.wpm").exists());
    }
}

#[test]
fn a_model_file_that_is_none_or_of_other_models_is_refused() {
    let folder = Folder::new();
    folder.write("train.jsonl", &outcomes("t", 60));
    folder.write("other.jsonl", &outcomes("o", 60).replace("\"small\"", "\"tiny\""));
    folder.write("bad.wpm", "no model");
    folder.run(&["train", "--data", "train.jsonl", "--out", "m.wpm"]).good();
    for (model, data, expected) in [
        ("bad.wpm", "train.jsonl", "bad.wpm: this is no Waypost model file"),
        ("m.wpm", "other.jsonl", "the data has no outcome of small"),
    ] {
        let ran = folder.run(&["eval", "--model", model, "--data", data]);
        assert!(ran.code == 1 && ran.err.contains(expected), "{model}: {} {}", ran.code, ran.err);
    }
}
