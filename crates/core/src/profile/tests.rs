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
