//! How `waypost serve` starts: on a file, on the environment, on nothing; and where it refuses to.

use super::gateway::{CONFIG, Folder, Gateway, Ran};
use super::http::{Client, chat};
use serde_json::{Value, json};
use std::process::Stdio;

fn ids(client: &mut Client) -> Vec<String> {
    let list = client.get("/v1/models").json();
    list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
}

/// A machine that runs Ollama offers its models in the zero-configuration start.
fn has_ollama() -> bool {
    std::net::TcpStream::connect(("127.0.0.1", 11434)).is_ok()
}

/// Results go to stdout and there are none; logs go to stderr, without colours where it is no terminal.
#[test]
fn serving_logs_to_stderr_only() {
    let folder = Folder::new();
    folder.write("waypost.yaml", CONFIG);
    let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    let out = folder.path("stdout");
    command.stdout(Stdio::from(std::fs::File::create(&out).unwrap()));
    let gateway = Gateway::spawned(folder, command);
    assert_eq!(gateway.chat(&[], &chat("auto", "hi", json!({}))).status, 200);
    gateway.signal("TERM");
    let (status, lines, _folder) = gateway.ended();
    assert!(status.success());
    assert_eq!(std::fs::read(&out).unwrap(), b"");
    assert!(lines.iter().any(|l| l.contains("draining")) && lines.iter().any(|l| l.contains("stopped")), "{lines:#?}");
    assert!(!lines.concat().contains('\u{1b}'));
}

#[test]
fn sigint_drains_too() {
    let gateway = Gateway::start(CONFIG);
    gateway.signal("INT");
    let (status, lines, _folder) = gateway.ended();
    assert!(status.success(), "{lines:#?}");
}

#[test]
fn without_any_key_it_simulates_and_says_so() {
    if has_ollama() {
        return;
    }
    let gateway = Gateway::in_folder(Folder::new(), &[], &[]);
    let mut client = gateway.client();
    for stream in [false, true] {
        let reply = client
            .chat(&[], &chat("auto", "simulate[first_token_ms=0,per_token_ms=0] hi", json!({ "stream": stream })));
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-waypost-simulated"), Some("true"));
        assert!(reply.text().contains("[simulated]") && reply.text().contains("waypost-simulated"), "{}", reply.text());
    }
    assert!(ids(&mut client).contains(&"auto".to_owned()));
    gateway.logged(0, "no configuration file; providers from the environment: simulated-small");
}

#[test]
fn a_key_in_the_environment_is_enough_and_nothing_is_called() {
    let gateway = Gateway::in_folder(Folder::new(), &[], &[("OPENAI_API_KEY", "sk-not-a-key")]);
    let mut client = gateway.client();
    let ids = ids(&mut client);
    assert!(ids.iter().any(|id| id.starts_with("gpt-")), "{ids:?}");
    assert!(!ids.iter().any(|id| id.starts_with("sim-")), "{ids:?}");
    let explained = client.post("/v1/route", &[], &chat("auto", "hi", json!({}))).json();
    let providers: Vec<&Value> = explained["candidates"].as_array().unwrap().iter().map(|c| &c["provider"]).collect();
    assert!(providers.iter().any(|p| **p == "openai"), "{explained}");
    #[cfg(target_os = "linux")]
    assert_eq!(connections_elsewhere(gateway.pid()), Vec::<String>::new());
    let log = gateway.logged(0, "providers from the environment");
    assert!(log.contains("openai") && !log.contains("sk-not-a-key"), "{log}");
}

/// Remote addresses of the process's TCP connections that are not on loopback.
#[cfg(target_os = "linux")]
fn connections_elsewhere(pid: u32) -> Vec<String> {
    let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| {
            Some(
                std::fs::read_link(fd.ok()?.path())
                    .ok()?
                    .to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    assert!(!inodes.is_empty(), "it listens at least");
    let tables = ["tcp", "tcp6", "udp", "udp6"]
        .map(|t| std::fs::read_to_string(format!("/proc/{pid}/net/{t}")).unwrap_or_default());
    let rows = tables.iter().flat_map(|t| t.lines().skip(1)).map(|l| l.split_whitespace().collect::<Vec<_>>());
    let mine = rows.filter(|row| inodes.iter().any(|i| i == row[9])).map(|row| row[2].to_owned());
    // Loopback and "nobody yet", in the kernel's byte order.
    mine.filter(|remote| {
        !remote.starts_with("0100007F:") && !remote.trim_end_matches(":0000").chars().all(|c| c == '0')
    })
    .collect()
}

#[test]
fn a_key_that_needs_a_file_is_said_clearly() {
    let gateway = Gateway::in_folder(Folder::new(), &[], &[("AWS_BEARER_TOKEN_BEDROCK", "bedrock-secret")]);
    let said = gateway.logged(0, "AWS_BEARER_TOKEN_BEDROCK");
    assert!(said.contains("WARN") && said.contains("bedrock") && said.contains("configuration file"), "{said}");
    assert!(!said.contains("bedrock-secret"));
    if !has_ollama() {
        let reply = gateway.chat(&[], &chat("auto", "simulate[first_token_ms=0,per_token_ms=0]", json!({})));
        assert_eq!(reply.header("x-waypost-simulated"), Some("true"));
    }
}

#[test]
fn beyond_loopback_it_needs_keys_or_an_explicit_word() {
    let folder = Folder::new();
    let open = CONFIG.replace("127.0.0.1:0", "0.0.0.0:0");
    folder.write("open.yaml", &open);
    folder.write("local.yaml", CONFIG);
    for args in [
        &["serve", "--config", "open.yaml"][..],
        &["serve", "--config", "local.yaml", "--listen", "0.0.0.0:0"],
        &["serve", "--config", "local.yaml", "--listen", "[::]:0"],
        &["serve", "--listen", "0.0.0.0:0"],
        &["check", "open.yaml"],
    ] {
        let ran = folder.run(args);
        assert_eq!(ran.code, 1, "{args:?}: {ran:?}");
        let said = ran.out + &ran.err;
        assert!(said.contains("beyond loopback needs `keys`, or `auth: none`"), "{said}");
    }
    // In use: said with the address.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = folder.run(&["serve", "--config", "local.yaml", "--listen", &address]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains(&format!("cannot listen on {address}")), "{ran:?}");

    folder.write("keyed.yaml", &format!("{CONFIG}\nkeys: [{{ id: a, secret: sk-a }}]\n"));
    let gateway = Gateway::in_folder(folder, &["--config", "keyed.yaml", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(gateway.get("/v1/models").status, 401);
    let folder = gateway.stop();
    folder.write("word.yaml", &open.replace("workers: 2", "workers: 2, auth: none"));
    let gateway = Gateway::in_folder(folder, &["--config", "word.yaml", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(gateway.get("/v1/models").status, 200);
}

#[test]
fn storage_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    folder.write("letter.txt", "Dear Sir or Madam, this is no database at all, however long it is read.");
    for (storage, said) in [
        ("sqlite:no/such/folder/waypost.db", "no/such/folder/waypost.db"),
        ("sqlite:letter.txt", "letter.txt is not an SQLite database"),
    ] {
        folder.write("waypost.yaml", &CONFIG.replace("sqlite:waypost.db", storage));
        for command in [&["serve"][..], &["report"]] {
            let ran = folder.run(command);
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
            assert!(ran.err.contains(said), "{command:?}: {ran:?}");
        }
    }
    folder.write("waypost.yaml", &CONFIG.replace("sqlite:waypost.db", "memory"));
    let ran = folder.run(&["report"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("only the running gateway can read it"), "{ran:?}");
}

/// A pipe that ends early (`| head -1`) is not a failure.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = Folder::new();
    let mut child = folder.command(&["schema"]).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}
