//! The command line's contract: what goes to stdout and stderr, exit codes, which configuration a command means.

use super::gateway::{CONFIG, Folder, Gateway};
use super::http::chat;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

const EXAMPLE: &str = include_str!("../../../../../waypost.example.yaml");
const TEN_MISTAKES: &str = include_str!("../../../../core/tests/fixtures/config/ten_mistakes.yaml");
/// The variables that the example reads.
const VARIABLES: [(&str, &str); 4] = [
    ("WAYPOST_ADMIN", "admin-token"),
    ("TEAM_A_KEY", "sk-team-a"),
    ("TEAM_B_KEY", "sk-team-b"),
    ("OPENAI_API_KEY", "sk-openai"),
];

#[test]
fn without_a_command_it_helps_and_wrong_usage_is_2() {
    let folder = Folder::new();
    for args in [&[][..], &["help"], &["--help"]] {
        let ran = folder.run(args);
        let text = ran.out.clone() + &ran.err;
        for command in ["serve", "check", "schema", "route", "models", "report", "demo"] {
            assert!(text.contains(&format!("\n  {command} ")), "{command} is not in {text}");
        }
        assert_eq!(ran.code, if args.is_empty() { 2 } else { 0 });
    }
    assert!(folder.run(&["--version"]).good().starts_with("waypost 0."));
    for args in [
        &["bogus"][..],
        &["serve", "--listen", "nowhere"],
        &["serve", "--bogus"],
        &["check"],
        &["report", "--by", "colour"],
        &["report", "--since", "yesterday"],
        &["route", "--url", "http://127.0.0.1:1", "--config", "x.yaml", "hi"],
        &["route", "--request", "x.json", "hi"],
    ] {
        let ran = folder.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains("error:"), "{ran:?}");
    }
    // What it could not do is 1, and says why on stderr.
    for (args, said) in [
        (&["check", "missing.yaml"][..], "missing.yaml"),
        (&["serve", "--config", "missing.yaml"], "missing.yaml"),
        (&["models", "--config", "missing.yaml"], "missing.yaml"),
        (&["report"], "waypost.db"),
        (&["route", "--request", "missing.json"], "missing.json"),
        (&["route", "--hint", "novalue", "hi"], "novalue"),
        (&["route", "--url", "http://127.0.0.1:1", "hi"], "http://127.0.0.1:1"),
        (&["route", "--url", "nonsense", "hi"], "nonsense"),
        (&["route", "--model", "zzz", "--hint", "min_quality=3", "hi"], "min_quality"),
    ] {
        let ran = folder.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
}

#[test]
fn check_reports_ten_mistakes_in_one_run() {
    let folder = Folder::new();
    folder.write("ten.yaml", TEN_MISTAKES);
    let ran = folder.run(&["check", "ten.yaml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected: Vec<(usize, &str)> = (1..)
        .zip(TEN_MISTAKES.lines())
        .filter_map(|(number, line)| Some((number, line.split_once("# ERROR ")?.1)))
        .collect();
    let found: Vec<&str> = ran.out.lines().collect();
    assert_eq!((found.len(), expected.len()), (10, 10), "{found:#?}");
    for (line, (number, said)) in found.iter().zip(expected) {
        assert!(line.starts_with(&format!("ten.yaml:{number}: {said}")), "{line}\nexpected {number}: {said}");
    }
    // Nothing that serves may start on it, and it says the same.
    let ran = folder.run(&["serve", "--config", "ten.yaml", "--listen", "127.0.0.1:0"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.lines().count()), (1, "", 10), "{ran:?}");
}

#[test]
fn check_says_ok_on_stdout() {
    let folder = Folder::new();
    folder.write("good.yaml", CONFIG);
    assert_eq!(folder.run(&["check", "good.yaml"]).good(), "good.yaml: ok (3 models, 0 warnings)\n");
    let doubtful = "providers: { p: { dialect: openai, base_url: 'http://h/v1' } }\nmodels: { m: { endpoints: [{ provider: p }] } }\n";
    folder.write("doubtful.yaml", doubtful);
    let out = folder.run(&["check", "doubtful.yaml"]).good();
    let warnings = out.lines().filter(|l| l.starts_with("doubtful.yaml:2: warning: models.m")).count();
    assert!(warnings >= 1 && out.ends_with(&format!("ok (1 models, {warnings} warnings)\n")), "{out}");
}

#[test]
fn the_demos_configuration_has_no_mistake_and_no_warning() {
    let folder = Folder::new();
    folder.write("demo.yaml", waypost::cli::demo::DEMO_CONFIG);
    assert!(folder.run(&["check", "demo.yaml"]).good().ends_with("ok (3 models, 0 warnings)\n"));
}

#[test]
fn the_published_schema_accepts_the_example_and_refuses_a_mistake() {
    let folder = Folder::new();
    let schema: Value = serde_json::from_str(&folder.run(&["schema"]).good()).unwrap();
    let judge = jsonschema::validator_for(&schema).unwrap();
    let example = json_of(EXAMPLE);
    assert!(example["routes"]["support"]["candidates"].is_array() && example["server"]["workers"] == 0);
    let errors: Vec<String> = judge.iter_errors(&example).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (pointer, wrong) in [("/server", json!({"lisen": "x"})), ("/time_zone", json!(5)), ("/execution", json!([]))] {
        let mut broken = example.clone();
        *broken.pointer_mut(pointer).unwrap() = wrong;
        assert!(!judge.is_valid(&broken), "{pointer}");
    }
    // And the checker agrees with the schema on the example.
    folder.write("example.yaml", EXAMPLE);
    let mut command = folder.command(&["check", "example.yaml"]);
    let ran = super::gateway::Ran::of(command.envs(VARIABLES).output().unwrap());
    assert!(ran.good().contains("example.yaml: ok (4 models"));
}

/// YAML as JSON, read independently of the checker: enough of it for the example.
fn json_of(yaml: &str) -> Value {
    fn place(open: &mut [(Value, Option<String>)], root: &mut Value, value: Value) {
        match open.last_mut() {
            None => *root = value,
            Some((Value::Array(items), _)) => items.push(value),
            Some((Value::Object(members), key)) => match key.take() {
                Some(key) => drop(members.insert(key, value)),
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            },
            Some(_) => panic!("only collections are open"),
        }
    }
    let (mut open, mut root) = (Vec::new(), Value::Null);
    for event in Parser::new_from_str(yaml) {
        match event.unwrap().0 {
            Event::Scalar(text, ScalarStyle::Plain, ..) => {
                let value = serde_json::from_str(&text.replace('_', "")).ok().filter(|v: &Value| !v.is_string());
                place(&mut open, &mut root, value.unwrap_or_else(|| Value::from(&*text)));
            }
            Event::Scalar(text, ..) => place(&mut open, &mut root, Value::from(&*text)),
            Event::SequenceStart(..) => open.push((json!([]), None)),
            Event::MappingStart(..) => open.push((Value::Object(Map::new()), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, _) = open.pop().unwrap();
                place(&mut open, &mut root, value);
            }
            _ => {}
        }
    }
    root
}

#[test]
fn route_explains_on_cold_state() {
    let folder = Folder::new();
    folder.write("waypost.yaml", CONFIG);
    let text = folder.run(&["route", "--model", "cheap", "Say hello."]).good();
    assert!(text.starts_with("alpha by route (cost): route cheap: cheapest of 3 candidates, 0 excluded\n"), "{text}");
    assert!(text.contains("cold state"), "{text}");
    for model in ["1. alpha", "2. beta", "3. gamma"] {
        assert!(text.contains(model), "{text}");
    }
    let explained = |args: &[&str], input: &str| -> Value {
        let ran = folder.run_with_input(&[&["route", "--json"], args].concat(), input);
        serde_json::from_str(&ran.good()).unwrap()
    };
    let models = |e: &Value| -> Vec<String> {
        e["candidates"].as_array().unwrap().iter().map(|c| c["model"].as_str().unwrap().to_owned()).collect()
    };
    // The prompt from an argument or from stdin, as long as it is the same one.
    let said = explained(&["Say hello."], "");
    assert_eq!((&said["level"], &said["state"]), (&json!("auto"), &json!("cold")));
    assert_eq!(said, explained(&[], "Say hello."));
    let members = ["level", "strategy", "reason", "profile", "candidates", "excluded"];
    assert!(members.iter().all(|m| !said[m].is_null()), "{said}");
    let staged = explained(&["--stage", "review", "x"], "");
    assert_eq!((&staged["level"], &staged["stage"]), (&json!("stage"), &json!("review")));
    assert_eq!(models(&staged)[0], "gamma");
    let hinted = explained(&["--hint", "min_quality=0.6", "--hint", "prefer=cost", "x"], "");
    assert_eq!(models(&hinted), ["beta", "gamma"]);
    assert_eq!(
        (&hinted["excluded"][0]["model"], &hinted["excluded"][0]["reason"]),
        (&json!("alpha"), &json!("quality_floor"))
    );
    let more = explained(&["--hint", "class=background", "--hint", "sensitive=true", "--hint", "tags.n=5", "x"], "");
    assert_eq!((&more["profile"]["class"], &more["profile"]["sensitive"]), (&json!("background"), &json!(true)));
    // A full request, to which the arguments add.
    let request = json!({"model": "alpha", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}], "waypost": {"tags": {"a": "b"}}});
    folder.write("request.json", &request.to_string());
    let pinned = explained(&["--request", "request.json"], "");
    assert_eq!((&pinned["candidates"], &pinned["error"]["code"]), (&json!([]), &json!("constraint_violated")));
    assert_eq!(explained(&["--request", "-"], &request.to_string()), pinned);
    let moved = explained(&["--request", "request.json", "--model", "auto", "--hint", "prefer=quality"], "");
    assert_eq!(models(&moved), ["beta"]);
    let text = folder.run(&["route", "--request", "request.json"]).good();
    assert!(text.contains("capability") && text.contains("error constraint_violated: "), "{text}");
}

/// Arguments and files that are wrong give a sentence, not a panic and not silence.
#[test]
fn route_refuses_hints_that_it_cannot_place() {
    let folder = Folder::new();
    folder.write("waypost.yaml", CONFIG);
    let request = |waypost: Value| chat("auto", "x", json!({ "waypost": waypost }));
    folder.write("hints.json", &request(json!({"hints": []})));
    folder.write("tags.json", &request(json!({"tags": "a"})));
    folder.write("waypost.json", &request(json!(5)));
    folder.write("list.json", "[]");
    for (args, said) in [
        (&["--request", "hints.json", "--hint", "min_quality=0.5"][..], "waypost.hints"),
        (&["--request", "tags.json", "--hint", "tags.a=b"], "waypost.tags"),
        (&["--request", "waypost.json", "--hint", "prefer=cost"], "waypost"),
        (&["--request", "list.json"], "object"),
        (&["--hint", "min_quality=nan", "x"], "min_quality"),
        (&["--hint", "max_cost_usd=inf", "x"], "max_cost_usd"),
        (&["--hint", "colour=red", "x"], "colour"),
    ] {
        let ran = folder.run(&[&["route"], args].concat());
        assert_eq!(ran.code, 1, "{args:?}: {ran:?}");
        assert!(ran.err.contains(said) && !ran.err.contains("panicked"), "{args:?}: {ran:?}");
    }
}

#[test]
fn route_asks_a_running_gateway_and_it_then_does_so() {
    let gateway = Gateway::start(CONFIG);
    let url = gateway.url();
    let explain = |args: &[&str]| -> Value {
        let mut command = gateway.folder.command(&[&["route", "--json", "--url", &url], args].concat());
        // A configuration that the shell happens to have set does not stand in the way.
        let ran = super::gateway::Ran::of(command.env("WAYPOST_CONFIG", "gateway.yaml").output().unwrap());
        serde_json::from_str(&ran.good()).unwrap()
    };
    let prompt = "Summarise the minutes of the meeting in three sentences.";
    let mut asked = 0;
    for round in 0..3 {
        for (args, model, waypost) in [
            (vec![], "auto", json!({})),
            (vec!["--hint", "prefer=quality"], "auto", json!({"hints": {"prefer": "quality"}})),
            (vec!["--model", "cheap"], "cheap", json!({})),
            (vec!["--model", "route/small"], "route/small", json!({})),
            (vec!["--stage", "review"], "auto", json!({"stage": "review"})),
            (vec!["--model", "stage/draft"], "stage/draft", json!({})),
            (vec!["--model", "beta"], "beta", json!({})),
        ] {
            let said = explain(&[args.as_slice(), &[prompt]].concat());
            assert!(said.get("state").is_none(), "not on cold state");
            let done = gateway.chat(&[], &chat(model, prompt, json!({ "waypost": waypost })));
            assert_eq!(said["candidates"][0]["model"], done.model(), "round {round}, {model} {waypost}");
            assert_eq!(said["level"], done.header("x-waypost-level").unwrap());
            assert_eq!(said["strategy"], done.header("x-waypost-strategy").unwrap());
            assert_eq!(said["reason"], done.header("x-waypost-reason").unwrap());
            asked += 1;
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for session in 0..12 {
        let session = format!("s-{session}");
        let said = explain(&["--model", "split", "--hint", &format!("session={session}"), prompt]);
        let done = gateway.chat(&[], &chat("split", prompt, json!({"waypost": {"session": session}})));
        assert_eq!(said["candidates"][0]["model"], done.model(), "{session}");
        seen.insert(done.model());
        asked += 1;
    }
    assert_eq!(seen.len(), 3, "the split splits");
    // What is not healthy is said, too; and the text form works.
    let open = json!({"model": "alpha", "action": "open"}).to_string();
    assert_eq!(gateway.post("/admin/breakers", &open).status, 200);
    let said = explain(&["--model", "cheap", prompt]);
    assert_eq!(said["excluded"][0]["reason"], "breaker_open");
    assert_eq!(said["candidates"][0]["model"], gateway.chat(&[], &chat("cheap", prompt, json!({}))).model());
    let text = gateway.folder.run(&["route", "--url", &format!("{url}/v1/"), "--model", "cheap", prompt]).good();
    assert!(text.starts_with("beta by route (cost)") && text.contains("breaker_open"), "{text}");
    // Explaining consumed nothing and recorded nothing.
    let folder = gateway.stop();
    assert_eq!(folder.ledger().recent(1000).unwrap().len(), asked + 1);
}

#[test]
fn route_sends_its_key_to_a_gateway_that_asks_for_one() {
    let gateway = Gateway::start(&format!("{CONFIG}\nkeys: [{{ id: a, secret: sk-a, models: [beta] }}]\n"));
    let url = gateway.url();
    let ran = gateway.folder.run(&["route", "--url", &url, "x"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("401"), "{ran:?}");
    let text = gateway.folder.run(&["route", "--url", &url, "--key", "sk-a", "x"]).good();
    assert!(text.starts_with("beta by auto"), "{text}");
}

#[test]
fn models_lists_the_registry() {
    let folder = Folder::new();
    folder.write("waypost.yaml", CONFIG);
    let table = folder.run(&["models"]).good();
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert_eq!(lines[0][..2], ["model", "providers"]);
    assert_eq!(lines[2][..5], ["beta", "sim", "1.0", "4.0", "16000"]);
    let json: Value = serde_json::from_str(&folder.run(&["models", "--json"]).good()).unwrap();
    let beta = &json.as_array().unwrap()[1];
    assert_eq!((&beta["id"], &beta["waypost"]["price"]["output"]), (&json!("beta"), &json!(4.0)));
    assert!(beta["waypost"]["capabilities"].as_array().unwrap().contains(&json!("vision")));
}

#[test]
fn reports_by_every_dimension_after_traffic() {
    let keyed = format!("{CONFIG}\nkeys: [{{ id: web, secret: sk-web, team: red, tags: {{ surface: shop }} }}]\n");
    let gateway = Gateway::start(&keyed);
    let mut client = gateway.client();
    let key = [("authorization", "Bearer sk-web")];
    for (model, prompt) in [
        ("cheap", "hello"),
        ("cheap", "simulate[fault=server_error,model=alpha] hello"),
        ("stage/review", "hello"),
        ("gamma", "hello"),
    ] {
        assert_eq!(client.chat(&key, &chat(model, prompt, json!({}))).status, 200);
    }
    assert_eq!(client.chat(&key, &chat("beta", "simulate[fault=rate_limit]", json!({}))).status, 429);
    // While the gateway runs, too.
    super::gateway::wait_until("every record is written", || {
        let report = gateway.folder.run(&["report", "--config", "gateway.yaml", "--json"]).good();
        serde_json::from_str::<Value>(&report).unwrap()["total"]["requests"] == 5
    });
    let folder = gateway.stop();
    folder.write("waypost.yaml", &keyed);
    for (by, groups) in [
        ("model", &["alpha", "beta", "gamma"][..]),
        ("provider", &["sim"]),
        ("route", &["cheap"]),
        ("stage", &["review"]),
        ("key", &["web"]),
        ("team", &["red"]),
        ("strategy", &["cost", "pin"]),
        ("tag", &["surface=shop"]),
    ] {
        let table = folder.run(&["report", "--by", by]).good();
        assert!(table.starts_with(&format!("last 24h by {by} ")), "{table}");
        let report: Value =
            serde_json::from_str(&folder.run(&["report", "--by", by, "--json", "--since", "7d"]).good()).unwrap();
        assert_eq!((&report["by"], &report["total"]["requests"]), (&json!(by), &json!(5)), "{report}");
        assert_eq!((&report["total"]["errors"], &report["total"]["attempts"]), (&json!(1), &json!(6)));
        // Four answers, one after a fallback, and a 429 that `max_retry_wait` does not let it repeat: six attempts.
        let names: Vec<&str> = report["groups"].as_array().unwrap().iter().filter_map(|g| g["name"].as_str()).collect();
        for group in groups {
            assert!(names.contains(group) && table.contains(group), "{by}: {group} is not in {table}");
        }
        assert!(report["total"]["cost_nano_usd"].as_i64().unwrap() > 0);
        assert!(table.contains("routing saved $"), "{table}");
    }
    let alpha: Value = serde_json::from_str(&folder.run(&["report", "--json"]).good()).unwrap();
    let alpha = alpha["groups"].as_array().unwrap().iter().find(|g| g["name"] == "alpha").unwrap().clone();
    assert_eq!((&alpha["attempts"], &alpha["errors"]), (&json!(2), &json!(1)), "{alpha}");
}

/// `--config`, then `$WAYPOST_CONFIG`, then `./waypost.yaml`, then the environment.
#[test]
fn which_configuration_a_command_means() {
    let only = |name: &str| {
        format!(
            "storage: memory\nproviders: {{ sim: {{ dialect: simulated, simulated: {{}} }} }}\nmodels: {{ {name}: {{ endpoints: [{{ provider: sim }}] }} }}\n"
        )
    };
    let folder = Folder::new();
    let models = |folder: &Folder, args: &[&str], variable: Option<&str>| -> Value {
        let mut command = folder.command(&[&["models", "--json"], args].concat());
        command.envs(variable.map(|v| ("WAYPOST_CONFIG", v)));
        let out = super::gateway::Ran::of(command.output().unwrap()).good();
        serde_json::from_str::<Value>(&out).unwrap()[0]["id"].clone()
    };
    folder.write("given.yaml", &only("given"));
    folder.write("variable.yaml", &only("variable"));
    assert_eq!(models(&folder, &[], Some("variable.yaml")), "variable");
    folder.write("waypost.yaml", &only("default"));
    assert_eq!(models(&folder, &[], None), "default");
    assert_eq!(models(&folder, &[], Some("variable.yaml")), "variable");
    assert_eq!(models(&folder, &["--config", "given.yaml"], Some("variable.yaml")), "given");
    // A file that is named and missing is never replaced by another.
    assert_eq!(folder.run(&["models", "--config", "missing.yaml"]).code, 1);
    // `serve` does the same.
    let gateway = Gateway::in_folder(folder, &[], &[]);
    assert_eq!(gateway.get("/v1/models").json()["data"][0]["id"], "default");
    let folder = gateway.stop();
    let gateway = Gateway::in_folder(folder, &[], &[("WAYPOST_CONFIG", "variable.yaml")]);
    assert_eq!(gateway.get("/v1/models").json()["data"][0]["id"], "variable");
}

#[test]
fn the_demo_prints_its_report_and_ends() {
    let folder = Folder::new();
    let ran = folder.run(&["demo", "--exit", "--requests", "60", "--listen", "127.0.0.1:0"]);
    let progress = ran.err.clone();
    let out = ran.good();
    assert!(out.contains(" of 60 requests were answered"), "{out}");
    for part in ["by model", "by route", "sim-small", "sim-medium", "best single model"] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    assert!(progress.contains("100 %: 60 of 60 requests") && progress.contains("listening on"), "{progress}");
    assert!(!out.contains('\u{1b}') && !progress.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(!folder.path("waypost.db").exists(), "the demo leaves nothing behind");
}
