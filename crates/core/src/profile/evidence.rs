//! What the texts of a request say, as weighted signs: which windows are read, and what each phrase counts there.

use super::Task;
use super::cues::{CUES, Cues, Sign};
use super::typos;
use crate::scan::{Role, Scan};
use std::ops::Range;

/// What of the last user message is read: its beginning and its end, where instructions stand.
const HEAD: usize = 768;
const TAIL: usize = 320;
/// What of the first system text is read.
const SYSTEM: usize = 512;
/// What of an earlier user message is read, where the last one only follows up.
const EARLIER: usize = 384;
/// A last message up to this length may be a follow-up.
const SHORT: usize = 80;

/// Everything that the phrases of a request say.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Weight for each task, by index.
    pub(super) tasks: [f32; Task::COUNT],
    /// Weight of terms of hard fields; each counts once.
    pub(super) hard: f32,
    /// Signs of triviality.
    pub(super) easy: u32,
    /// Requirements, steps and questions.
    pub(super) constraints: u32,
    /// Asked to think in steps.
    pub(super) think: bool,
    /// The last message is about an earlier one.
    pub(super) follow_up: bool,
    /// Length of the last user message, in raw bytes.
    pub(super) last_len: usize,
    quantities: u32,
    questions: u32,
    greeting: bool,
    refers: bool,
    seen: Seen,
    seen_quoted: Seen,
}

/// A set of phrases by number.
#[derive(Debug)]
struct Seen([u64; Cues::MAX / 64]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; Cues::MAX / 64])
    }
}

impl Seen {
    /// Whether it was new.
    fn insert(&mut self, ix: usize) -> bool {
        let (word, bit) = (&mut self.0[ix / 64], 1 << (ix % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// Whose text it is, which decides what its instructions count.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Last,
    System,
    Earlier,
}

impl Place {
    fn factor(self, task: Task) -> f32 {
        let standing = matches!(task, Task::Extraction | Task::Classification | Task::Summary | Task::Translation);
        match self {
            Self::Last => 1.0,
            // A system prompt that names a task of this kind is about every message; other words there set a scene.
            Self::System => {
                if standing {
                    0.9
                } else {
                    0.4
                }
            }
            Self::Earlier => 0.7,
        }
    }
}

impl Evidence {
    /// Reads the windows of a request.
    pub(super) fn gather(body: &[u8], scan: &Scan) -> Self {
        let mut evidence = Self::default();
        let text = |ix: usize| &body[scan.texts[ix].range.clone()];
        let last = last_user(scan);
        if let Some(last) = last.clone() {
            let (first, end) = (text(last.start), text(last.end - 1));
            evidence.last_len = scan.texts[last.clone()].iter().map(|t| t.range.len()).sum();
            if last.len() == 1 && first.len() <= HEAD + TAIL {
                evidence.read(first, Place::Last, true);
            } else {
                evidence.read(cut_end(first, HEAD), Place::Last, true);
                evidence.read(cut_start(end, TAIL), Place::Last, false);
            }
            if evidence.last_len < 400 {
                typos::find(first, |ix, sign| evidence.count(ix, sign, 0.8, Place::Last, false));
                evidence.arithmetic(first);
            }
        }
        let own = evidence.tasks;
        if let Some(system) = scan.texts.iter().position(|t| t.role == Role::System) {
            evidence.read(cut_end(text(system), SYSTEM), Place::System, true);
        }
        if let Some(last) = last {
            evidence.context(body, scan, last.start, own);
        }
        evidence.weigh(scan);
        evidence
    }

    /// Signs that count only together.
    fn weigh(&mut self, scan: &Scan) {
        if self.quantities >= 2 && scan.stats.digits >= 2 && self.last_len < 1500 {
            self.tasks[Task::Math.index()] += 0.8 + 0.5 * self.quantities.min(5) as f32;
            self.constraints += self.quantities / 2;
        }
        if self.questions > 0 {
            self.tasks[Task::Qa.index()] += 0.5;
        }
        if self.greeting && self.last_len < 200 {
            self.tasks[Task::Chat.index()] += if self.last_len < SHORT { 2.5 } else { 1.0 };
        }
        self.constraints += self.questions;
    }

    /// Where the last message is short and says little by itself, what came before says what it is about.
    fn context(&mut self, body: &[u8], scan: &Scan, before: usize, own: [f32; Task::COUNT]) {
        let strongest = own.iter().copied().fold(0.0, f32::max);
        if self.last_len > SHORT || strongest >= 2.9 || (self.greeting && !self.refers) {
            return;
        }
        let earlier = scan.texts[..before].iter().rev().filter(|t| t.role == Role::User).take(2);
        for text in earlier {
            self.follow_up = true;
            self.read(cut_end(&body[text.range.clone()], EARLIER), Place::Earlier, true);
        }
    }

    /// Reads one window; `whole_start` where it begins with its text.
    fn read(&mut self, text: &[u8], place: Place, whole_start: bool) {
        let (mut quoted, mut material, mut before) = (false, false, 0);
        CUES.find(text, |ix, sign, at| {
            if at.end < std::mem::replace(&mut before, at.end) {
                // Another spelling begins from the start.
                (quoted, material) = (false, false);
            }
            match sign {
                Sign::Quote => quoted = !quoted,
                // The end of a text instructs again.
                Sign::Material => material = true,
                sign => {
                    let instructs =
                        (!quoted && !material) || at.start + 120 > text.len() && !quoted && text.len() > 400;
                    let bonus = match start_of(text, &at, whole_start) {
                        // Many requests begin with "what is"; that alone says little.
                        Start::Text if matches!(sign, Sign::For(Task::Qa, _)) => 1.0,
                        Start::Text => 1.5,
                        Start::Sentence => 1.25,
                        Start::No if matches!(sign, Sign::For(Task::Qa, _)) && text.len() > 120 => 0.3,
                        Start::No => 1.0,
                    };
                    self.count(ix, sign, bonus, place, !instructs);
                }
            }
        });
        if place == Place::Last {
            self.questions += memchr::memchr_iter(b'?', text).take(4).count() as u32;
        }
    }

    fn count(&mut self, ix: usize, sign: Sign, bonus: f32, place: Place, quoted: bool) {
        if let Sign::Constraint = sign {
            self.constraints += u32::from(place != Place::Earlier);
            return;
        }
        let seen = if quoted { &mut self.seen_quoted } else { &mut self.seen };
        if !seen.insert(ix) {
            return;
        }
        let (task, weight, hard) = match sign {
            Sign::For(task, weight) => (task, weight, 0.0),
            Sign::HardFor(task, weight, hard) => (task, weight, hard),
            Sign::Easy if place == Place::Last => return self.easy += 1,
            Sign::Quantity if place == Place::Last => return self.quantities += 1,
            Sign::Think => return self.think = true,
            Sign::FollowUp if place == Place::Last => return self.refers = true,
            Sign::Greeting if place == Place::Last && !quoted => return self.greeting = true,
            _ => return,
        };
        let quoted = if quoted { 0.35 } else { 1.0 };
        self.tasks[task.index()] += weight * bonus * place.factor(task) * quoted;
        self.hard += hard * if place == Place::System { 0.4 } else { 1.0 };
    }

    /// `17 * 23` and the like.
    fn arithmetic(&mut self, text: &[u8]) {
        let mut before = 0;
        for triple in text.windows(3) {
            let operator = matches!(triple[1], b'*' | b'+' | b'^' | b'=' | b'/')
                && (triple[0].is_ascii_digit() || triple[0] == b' ' && before > 0)
                && (triple[2].is_ascii_digit() || triple[2] == b' ');
            if operator {
                self.tasks[Task::Math.index()] += 3.0;
                return;
            }
            before = if triple[0].is_ascii_digit() { 2 } else { i32::max(before - 1, 0) };
        }
    }
}

/// The texts of the last run of user messages (a message of several parts has several texts).
pub(super) fn last_user(scan: &Scan) -> Option<Range<usize>> {
    let last = scan.texts.iter().rposition(|t| t.role == Role::User)?;
    let first = scan.texts[..last].iter().rposition(|t| t.role != Role::User).map_or(0, |ix| ix + 1);
    Some(first..last + 1)
}

enum Start {
    Text,
    Sentence,
    No,
}

/// Whether a phrase begins the text or a sentence, politeness aside.
fn start_of(text: &[u8], at: &Range<usize>, whole_start: bool) -> Start {
    let before = &text[..at.start];
    let polite = |b: &[u8]| {
        let asks: [&[u8]; 6] = [b"please ", b"you ", b"bitte ", b"to ", b"and ", b"me "];
        b.len() < 24 && asks.iter().any(|p| b.len() >= p.len() && b[b.len() - p.len()..].eq_ignore_ascii_case(p))
    };
    match before {
        [] if whole_start => Start::Text,
        before if whole_start && polite(before) => Start::Text,
        [.., b'.' | b'?' | b'!' | b':', b' '] | [.., b'\\', b'n'] => Start::Sentence,
        [.., b'\x82'] | [] => Start::Sentence,
        _ => Start::No,
    }
}

/// The first `max` bytes.
fn cut_end(text: &[u8], max: usize) -> &[u8] {
    &text[..text.len().min(max)]
}

/// The last `max` bytes.
fn cut_start(text: &[u8], max: usize) -> &[u8] {
    &text[text.len() - text.len().min(max)..]
}
