use super::*;
use crate::registry::Tokenizer;
use crate::scan::{Role, Text, TextStats};
use crate::tokens;

/// A conversation's body and what a scan of it finds.
pub(crate) fn conversation(texts: &[(Role, &str)]) -> (Vec<u8>, Scan) {
    let (mut body, mut scan) = (b"{\"messages\":[".to_vec(), Scan { messages: texts.len() as u32, ..Scan::default() });
    for (role, text) in texts {
        body.extend(b"{\"content\":\"");
        let start = body.len();
        for c in text.chars() {
            match c {
                '\n' => body.extend(b"\\n"),
                '\t' => body.extend(b"\\t"),
                '"' | '\\' => body.extend([b'\\', c as u8]),
                c => body.extend(c.to_string().bytes()),
            }
        }
        scan.texts.push(Text { role: *role, range: start..body.len() });
        add(&mut scan.stats, &body[start..]);
        body.extend(b"\"},");
    }
    body.extend(b"]}");
    (body, scan)
}

fn add(stats: &mut TextStats, raw: &[u8]) {
    let count = |f: fn(&u8) -> bool| raw.iter().filter(|b| f(b)).count() as u64;
    let mut rest = raw;
    let mut escapes = 0;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        escapes += 1;
        rest = &rest[at + 2..];
    }
    stats.bytes += raw.len() as u64;
    stats.spaces += count(|b| *b == b' ');
    stats.digits += count(u8::is_ascii_digit);
    stats.punctuation += count(u8::is_ascii_punctuation) - escapes;
    stats.escapes += escapes;
    stats.two_byte += count(|b| (0xc0..0xe0).contains(b));
    stats.three_byte += count(|b| (0xe0..0xf0).contains(b));
    stats.four_byte += count(|b| *b >= 0xf0);
}

fn of(texts: &[(Role, &str)]) -> Profile {
    let (body, scan) = conversation(texts);
    profile(&body, &scan, Declared::default())
}

fn user(text: &str) -> Profile {
    of(&[(Role::User, text)])
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Band {
    Low,
    Mid,
    High,
}

fn band(complexity: f32) -> Band {
    match complexity {
        c if c < 0.35 => Band::Low,
        c if c <= 0.6 => Band::Mid,
        _ => Band::High,
    }
}

mod prompts;

/// Every prompt of the table has its task and its band; all that differ are shown at once.
#[test]
fn prompts_have_their_task_and_band() {
    let mut wrong = Vec::new();
    for (prompt, task, expected) in prompts::PROMPTS {
        let p = user(prompt);
        let bands: Vec<&str> = expected.split('|').collect();
        let found = format!("{:?}", band(p.complexity)).to_lowercase();
        if p.task.name() != *task || !bands.contains(&found.as_str()) {
            wrong.push(format!(
                "{task} {expected}: {} {:.2} ({:.2}): {prompt}",
                p.task.name(),
                p.complexity,
                p.confidence
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong\n{}", wrong.len(), prompts::PROMPTS.len(), wrong.join("\n"));
}

/// Prompts that were written after the rules and are not to be fitted one by one: four in five must be right (three in four
/// were, at first).
#[test]
fn most_unseen_prompts_have_their_task() {
    let wrong: Vec<String> = prompts::UNSEEN
        .iter()
        .map(|(prompt, task)| (user(prompt), prompt, task))
        .filter(|(p, _, task)| p.task.name() != **task)
        .map(|(p, prompt, task)| format!("{task}: {} ({:.2}): {prompt}", p.task.name(), p.confidence))
        .collect();
    assert!(
        wrong.len() * 5 <= prompts::UNSEEN.len(),
        "{} of {}\n{}",
        wrong.len(),
        prompts::UNSEEN.len(),
        wrong.join("\n")
    );
}

#[test]
fn typos_keep_the_class() {
    let mut wrong = Vec::new();
    for (prompt, task, high) in prompts::TYPOS {
        let p = user(prompt);
        if p.task.name() != *task || *high && band(p.complexity) == Band::Low {
            wrong.push(format!("{task}: {} {:.2}: {prompt}", p.task.name(), p.complexity));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The estimate against the exact count, in per cent: each text within the tolerance of its kind, each kind's mean within 12
/// (Chinese, Japanese and Russian prose differ among themselves by more than any count of bytes shows), all together within 9.
#[test]
fn estimates_are_near_exact_counts() {
    let mut errors: Vec<(&str, f64)> = Vec::new();
    for sample in include_str!("samples.txt").split("=== ").filter(|s| !s.is_empty()) {
        let (kind, text) = sample.split_once('\n').unwrap();
        let (body, scan) = conversation(&[(Role::User, text.trim_end())]);
        let exact = f64::from(tokens::count_chat(&body, &scan, Tokenizer::O200k));
        let estimate = f64::from(profile(&body, &scan, Declared::default()).input_tokens);
        let error = (estimate / exact - 1.0) * 100.0;
        let tolerance = match kind {
            "english" | "code" | "json" => 12.0,
            "german" | "french" | "spanish" => 15.0,
            _ => 22.0,
        };
        assert!(error.abs() <= tolerance, "{kind}: {error:.1} %");
        errors.push((kind, error.abs()));
    }
    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
    for (kind, _) in &errors {
        let of_kind: Vec<f64> = errors.iter().filter(|e| e.0 == *kind).map(|e| e.1).collect();
        assert!(mean(&of_kind) < if *kind == "japanese" { 16.0 } else { 14.0 }, "{kind}: {:.1} %", mean(&of_kind));
    }
    let all: Vec<f64> = errors.iter().map(|e| e.1).collect();
    assert!(mean(&all) < 9.0, "{:.1} %", mean(&all));
}

#[test]
fn blobs_and_media_and_tools_have_a_price() {
    let (body, mut scan) = conversation(&[(Role::User, "describe this")]);
    let tokens = |scan: &Scan| profile(&body, scan, Declared::default()).input_tokens;
    let text = tokens(&scan);
    scan.images = 2;
    scan.images_low_detail = 1;
    assert_eq!(tokens(&scan) - text, 765 + 85);
    scan.tools = 1;
    scan.tools_bytes = 410;
    assert_eq!(tokens(&scan) - text, 765 + 85 + 12 + 100);
    scan.stats = TextStats { bytes: u64::MAX / 2, ..TextStats::default() };
    assert_eq!(tokens(&scan), u32::MAX);

    let blob: String = (0..4000u32).map(|n| char::from(b'a' + (n * n % 251 * 7 % 26) as u8)).collect();
    let (body, scan) = conversation(&[(Role::User, &blob)]);
    let exact = tokens::count_chat(&body, &scan, Tokenizer::O200k);
    let estimate = profile(&body, &scan, Declared::default()).input_tokens;
    assert!(estimate > exact * 3 / 4, "{estimate} {exact}");
}

#[test]
fn escaped_text_reads_like_plain_text() {
    let escaped = |text: &str| {
        let raw: String = text
            .encode_utf16()
            .map(|u| if u < 128 { char::from(u as u8).to_string() } else { format!("\\u{u:04X}") })
            .collect();
        let body = raw.into_bytes();
        let texts = vec![Text { role: Role::User, range: 0..body.len() }];
        let wide = text.chars().filter(|c| c.len_utf8() == 3).count() as u64;
        let two = text.chars().filter(|c| c.len_utf8() == 2).count() as u64;
        let stats = TextStats {
            bytes: body.len() as u64,
            spaces: text.matches(' ').count() as u64,
            escapes: wide + two,
            unicode_escapes: wide + two,
            three_byte: wide,
            two_byte: two,
            ..TextStats::default()
        };
        let scan = Scan { messages: 1, texts, stats, ..Scan::default() };
        (profile(&body, &scan, Declared::default()), tokens::count_chat(&body, &scan, Tokenizer::O200k))
    };
    for text in [
        "把这句话翻译成英文：今天天气很好。",
        "Übersetze ins Englische",
        "素数が無限に存在することを証明してください。",
    ] {
        let (plain_body, plain_scan) = conversation(&[(Role::User, text)]);
        let (profile, exact) = escaped(text);
        let plain = super::profile(&plain_body, &plain_scan, Declared::default());
        assert_eq!((profile.task, profile.complexity > 0.35), (plain.task, plain.complexity > 0.35), "{text}");
        assert!(profile.input_tokens.abs_diff(plain.input_tokens) <= 2, "{text}");
        assert_eq!(exact, tokens::count_chat(&plain_body, &plain_scan, Tokenizer::O200k), "{text}");
    }
}

#[test]
fn follow_ups_are_about_what_came_before() {
    use Role::{Assistant, System, User};
    let code = (User, "Write a Python function that merges two sorted lists.");
    let answer = (Assistant, "Here it is.");
    let cases: [(&[(Role, &str)], Task); 9] = [
        (&[code, answer, (User, "and now in Rust?")], Task::Code),
        (&[code, answer, (User, "why?")], Task::Code),
        (&[code, answer, (User, "continue")], Task::Code),
        (&[code, answer, (User, "thanks!")], Task::Chat),
        (&[(User, "hi"), (Assistant, "Hello!"), (User, "Prove that there are infinitely many primes.")], Task::Math),
        (&[code, answer, (User, "Now translate the comments into German: # merge two lists")], Task::Translation),
        (
            &[
                (System, "You are a translator. Translate everything into French."),
                (User, "Good morning, where is the station?"),
            ],
            Task::Translation,
        ),
        (
            &[
                (System, "Classify the sentiment of each message as positive or negative."),
                (User, "I love this chair, what is not to like"),
            ],
            Task::Classification,
        ),
        (&[(System, "You are a helpful coding assistant."), (User, "What is the capital of France?")], Task::Qa),
    ];
    for (texts, task) in cases {
        assert_eq!(of(texts).task, task, "{texts:?}");
    }
    let hard = of(&[(User, "hi"), (Assistant, "Hello!"), (User, "Prove that there are infinitely many primes.")]);
    assert_eq!(band(hard.complexity), Band::High, "the trivial first turn must not decide");
    let follow = of(&[(User, "Prove that there are infinitely many primes."), answer, (User, "why?")]);
    assert_eq!(band(follow.complexity), Band::High);
}

#[test]
fn more_context_is_more_complex() {
    let long = "The committee met again and discussed the same three points. ".repeat(4000);
    let (short, long) = (user("Summarize this: The committee met."), user(&format!("Summarize this: {long}")));
    assert_eq!((short.task, long.task), (Task::Summary, Task::Summary));
    assert!(long.complexity > short.complexity + 0.15, "{} {}", short.complexity, long.complexity);
    let last = user(&format!("{long:?} {}\n\nTranslate the above into German.", "It rained. ".repeat(500)));
    assert_eq!(last.task, Task::Translation);
}

#[test]
fn needs_are_what_the_request_has() {
    let (body, scan) = conversation(&[(Role::User, "hi")]);
    let needs = |change: fn(&mut Scan)| {
        let mut scan = scan.clone();
        change(&mut scan);
        profile(&body, &scan, Declared::default()).needs
    };
    type Change = fn(&mut Scan);
    let cases: [(Change, Capabilities); 12] = [
        (|_| {}, Capabilities::default()),
        (|s| s.images = 1, Capabilities::VISION),
        (|s| s.audio = 1, Capabilities::AUDIO),
        (|s| s.video = 1, Capabilities::VIDEO),
        (|s| s.documents = 1, Capabilities::DOCUMENTS),
        (|s| s.tools = 2, Capabilities::TOOLS),
        (|s| (s.tools, s.parallel_tool_calls) = (1, Some(false)), Capabilities::TOOLS),
        (
            |s| (s.tools, s.parallel_tool_calls) = (1, Some(true)),
            Capabilities::TOOLS.with(Capabilities::PARALLEL_TOOLS),
        ),
        (|s| s.tool_turns = 1, Capabilities::TOOLS),
        (|s| s.json_schema = true, Capabilities::STRUCTURED_OUTPUT),
        (|s| s.reasoning = true, Capabilities::REASONING),
        (|s| s.stream = Some((true, 0..4)), Capabilities::STREAMING),
    ];
    for (ix, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(needs(change), expected, "case {ix}");
    }
    let declared = Declared { class: Some(Class::Background), sensitive: true };
    let p = profile(&body, &scan, declared);
    assert_eq!((p.class, p.sensitive, p.n), (Class::Background, true, 1));
}

#[test]
fn nothing_to_read_is_no_failure() {
    let empty: [&[(Role, &str)]; 5] = [
        &[],
        &[(Role::User, "")],
        &[(Role::System, "x")],
        &[(Role::Assistant, "\\")],
        &[(Role::User, ""), (Role::User, "\u{301}")],
    ];
    for texts in empty {
        let p = of(texts);
        assert_eq!(p.task, Task::Chat);
        assert!((0.0..=0.35).contains(&p.complexity) && p.confidence < 0.5);
    }
}

#[test]
fn the_table_fits() {
    let (phrases, bytes) = cues::CUES.size();
    assert!(phrases <= cues::Cues::MAX, "{phrases}");
    assert!(bytes < 4 << 20, "{bytes}");
}
