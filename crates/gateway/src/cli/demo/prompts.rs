//! The demo's traffic: chat requests of many kinds, made from templates and a seed.
//!
//! Names and cases are invented. What a template asks matters little to the simulated models; it matters to the router,
//! which must tell a proof from small talk.

use super::DemoRequest;
use serde_json::{Value, json};
use waypost_core::units::Rng;

/// `n` varied requests: the same for the same seed.
pub fn mixed_requests(seed: u64, n: usize) -> Vec<DemoRequest> {
    let mut rng = Rng::new(seed ^ 0x0064_656d_6f00);
    let total: usize = KINDS.iter().map(|kind| kind.share).sum();
    let draw = |_| {
        let mut at = rng.below(total);
        let kind = KINDS.iter().find(|kind| {
            let found = at < kind.share;
            at = at.saturating_sub(kind.share);
            found
        });
        request(kind.unwrap_or(&KINDS[0]), &mut rng)
    };
    (0..n).map(draw).collect()
}

/// One kind of traffic: how often it comes, how it is sent, and what it says.
struct Kind {
    /// Relative frequency.
    share: usize,
    /// Where it may be sent, each as likely; see [`target`].
    targets: &'static [&'static str],
    system: Option<&'static str>,
    extra: Extra,
    templates: &'static [&'static str],
}

/// What a kind asks for besides text.
#[derive(Clone, Copy, PartialEq)]
enum Extra {
    Nothing,
    /// A tool call, forced in half of the cases.
    Tools,
    /// An answer by a JSON schema.
    Schema,
    /// A picture beside the text.
    Image,
    /// Earlier turns of a conversation.
    History,
}

fn request(kind: &Kind, rng: &mut Rng) -> DemoRequest {
    let text = fill(pick(kind.templates, rng), rng);
    let mut messages = Vec::new();
    if let Some(system) = kind.system {
        messages.push(json!({ "role": "system", "content": system }));
    }
    if kind.extra == Extra::History {
        for (question, answer) in &HISTORY[..1 + rng.below(HISTORY.len())] {
            messages.push(json!({ "role": "user", "content": question }));
            messages.push(json!({ "role": "assistant", "content": answer }));
        }
    }
    let content = match kind.extra {
        Extra::Image => json!([
            { "type": "text", "text": text },
            { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{DOT}") } },
        ]),
        _ => json!(text),
    };
    messages.push(json!({ "role": "user", "content": content }));
    let mut body = json!({ "model": "auto", "messages": messages });
    let mut headers = Vec::new();
    match kind.extra {
        Extra::Tools => {
            body["tools"] = tools();
            body["tool_choice"] = json!(pick(&["auto", "required"], rng));
        }
        Extra::Schema => body["response_format"] = schema(),
        _ => {}
    }
    if rng.below(5) < 2 {
        body["stream"] = json!(true);
        if rng.below(2) == 0 {
            body["stream_options"] = json!({ "include_usage": true });
        }
    }
    if rng.below(4) == 0 {
        body["max_tokens"] = json!(pick(&[64, 150, 256, 400], rng));
    }
    target(pick(kind.targets, rng), &mut body, &mut headers, rng);
    DemoRequest { headers, body }
}

/// Addresses the request: a model name as it is, `support` by its tag, `stage:NAME` by header, and `auto` at times with
/// hints in the body or in headers.
fn target(target: &str, body: &mut Value, headers: &mut Vec<(&'static str, String)>, rng: &mut Rng) {
    if let Some(stage) = target.strip_prefix("stage:") {
        headers.push(("x-waypost-stage", stage.to_owned()));
        return;
    }
    match target {
        "support" => headers.push(("x-waypost-tags", format!("surface=support,team={}", pick(TEAMS, rng)))),
        "auto" => match rng.below(8) {
            0 => body["waypost"] = json!({ "hints": { "max_cost_usd": 0.002 } }),
            1 => {
                body["waypost"] = json!({ "hints": { "prefer": "quality" }, "session": format!("s-{}", rng.below(20)) })
            }
            2 => headers.push(("x-waypost-prefer", pick(&["cost", "latency", "quality"], rng).to_owned())),
            3 => headers.push(("x-waypost-min-quality", "0.85".to_owned())),
            _ => headers.push(("x-waypost-tags", format!("team={}", pick(TEAMS, rng)))),
        },
        model => body["model"] = json!(model),
    }
}

fn pick<T: Copy>(of: &[T], rng: &mut Rng) -> T {
    of[rng.below(of.len())]
}

/// Replaces each `{slot}` that has a table by one of its values; other braces stay as they are.
fn fill(template: &str, rng: &mut Rng) -> String {
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let slot = rest.find('}').map(|close| (&rest[1..close], close));
        let values = slot.and_then(|(name, close)| Some((SLOTS.iter().find(|(slot, _)| *slot == name)?.1, close)));
        match values {
            Some((values, close)) => {
                text.push_str(pick(values, rng));
                rest = &rest[close + 1..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text + rest
}

fn tools() -> Value {
    let function = |name: &str, description: &str, parameters: Value| json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } });
    json!([
        function(
            "order_status",
            "Looks up the state of an order.",
            json!({
            "type": "object", "required": ["order_id"], "additionalProperties": false,
            "properties": { "order_id": { "type": "string", "pattern": "^[A-Z]{2}-[0-9]{5}$" } } })
        ),
        function(
            "book_meeting",
            "Books a meeting in the calendar.",
            json!({
            "type": "object", "required": ["title", "date", "minutes", "guests"], "additionalProperties": false,
            "properties": {
                "title": { "type": "string" }, "date": { "type": "string", "format": "date" },
                "minutes": { "type": "integer", "minimum": 15, "maximum": 240 },
                "guests": { "type": "array", "items": { "type": "string", "format": "email" }, "minItems": 1 } } })
        ),
    ])
}

fn schema() -> Value {
    json!({ "type": "json_schema", "json_schema": { "name": "ticket", "strict": true, "schema": {
        "type": "object", "additionalProperties": false,
        "required": ["customer", "product", "category", "urgency", "amounts", "follow_up"],
        "properties": {
            "customer": { "type": "string" }, "product": { "type": "string" },
            "category": { "enum": ["billing", "delivery", "defect", "account", "other"] },
            "urgency": { "type": "integer", "minimum": 1, "maximum": 5 },
            "amounts": { "type": "array", "items": { "type": "number", "minimum": 0 } },
            "follow_up": { "type": ["string", "null"] },
        } } } })
}

const TEAMS: &[&str] = &["search", "billing", "clinic", "research", "legal"];

const KINDS: &[Kind] = &[
    Kind {
        share: 14,
        targets: &["auto", "auto", "coding", "route/coding", "sim-frontier", "stage:review"],
        system: Some("You are a careful programmer. Answer with code first, then with a short explanation."),
        extra: Extra::Nothing,
        templates: &[
            "Write a {language} function that parses an ISO 8601 duration such as `P3DT4H` and returns seconds. Include tests.",
            "This {language} service deadlocks about once a day. Here is the part that takes the locks:\n\n```\n{code}\n```\n\nFind the cause and propose the smallest fix.",
            "Review this change for correctness and style:\n\n```diff\n-    if total > limit {\n+    if total >= limit {\n         return Err(Error::Limit)\n```\n\nThe limit is inclusive in the specification.",
            "Refactor the following into smaller functions without changing what it does:\n\n```\n{code}\n```",
            "Why does this SQL query do a full table scan, and which index would help?\n\n```sql\nSELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE date(o.created_at) = '{date}' ORDER BY o.total DESC LIMIT {small};\n```",
            "Implement an LRU cache with a time to live in {language}. It must be safe for concurrent use.",
        ],
    },
    Kind {
        share: 9,
        targets: &["auto", "auto", "sim-frontier"],
        system: None,
        extra: Extra::Nothing,
        templates: &[
            "Prove that there are infinitely many primes congruent to 3 modulo 4.",
            "Let p be an odd prime. Show that the sum of the quadratic residues modulo p is divisible by p when p > {small}.",
            "A tank is filled by two pipes in {small} and {number} hours. A third one empties it in {number} hours. How long does it take with all three open? Show each step.",
            "Compute the integral of x^2 * exp(-x) from 0 to {small} and give the exact value.",
            "How many ways are there to place {small} indistinguishable balls into {number} boxes so that no box holds more than two?",
        ],
    },
    Kind {
        share: 11,
        targets: &["bulk", "route/bulk", "auto"],
        system: Some("Extract the fields that are asked for. Answer with JSON only."),
        extra: Extra::Schema,
        templates: &[
            "Extract customer, product, category, urgency, amounts and the next step from this letter:\n\n{letter}",
            "From the e-mail below, extract all fields of the ticket.\n\nSubject: {product}\n\n{letter}\n\nRegards, {name}",
        ],
    },
    Kind {
        share: 11,
        targets: &["bulk", "auto", "sim-small"],
        system: None,
        extra: Extra::Nothing,
        templates: &[
            "Classify the sentiment of this review as positive, neutral or negative. Answer with one word.\n\n\"{review}\"",
            "Which department should handle this: billing, delivery, technical, legal? One word.\n\n{letter}",
            "Is the following text spam? Answer yes or no.\n\n\"Dear friend, {name} has left you {amount}. Send your details before {date}.\"",
            "Label the language of each line (ISO 639-1):\n1. Guten Morgen, wie geht es Ihnen?\n2. ¿Dónde está la estación?\n3. 明日の会議は何時ですか。",
        ],
    },
    Kind {
        share: 9,
        targets: &["auto", "bulk", "stage:outline"],
        system: None,
        extra: Extra::Nothing,
        templates: &[
            "Summarise the following in three bullet points for a busy reader:\n\n{article}\n\n{article}",
            "TL;DR of this thread, please:\n\n{name}: {letter}\n\n{name}: {article}",
            "Condense these minutes to five lines and list the decisions:\n\n{article} {article} {article}",
        ],
    },
    Kind {
        share: 8,
        targets: &["auto", "auto", "sim-medium"],
        system: None,
        extra: Extra::Nothing,
        templates: &[
            "Translate into {tongue}: \"{review}\"",
            "Übersetze den folgenden Text ins Englische und behalte den Ton bei:\n\nSehr geehrte Damen und Herren, die am {date} gelieferte Ware ({product}) weist erhebliche Mängel auf. Ich bitte um Ersatz bis Ende des Monats.",
            "Traduis en anglais : « Le conseil a approuvé le budget de {amount} le {date}, sous réserve d'un second avis. »",
            "次の文を英語に翻訳してください：「{city}支店の会議は来週の月曜日に延期されました。」",
        ],
    },
    Kind {
        share: 8,
        targets: &["auto", "auto", "stage:review"],
        system: Some("You support qualified clinicians. State what is uncertain and what must be checked."),
        extra: Extra::Nothing,
        templates: &[
            "{case} Which diagnoses must be excluded first, and in which order would you examine?",
            "{case} She already takes warfarin and amiodarone. Which of the usual drugs are ruled out, and why?",
            "Compare two strategies of anticoagulation for this patient and weigh the risks. {case}",
        ],
    },
    Kind {
        share: 7,
        targets: &["auto", "sim-frontier"],
        system: None,
        extra: Extra::Nothing,
        templates: &[
            "Clause: \"{clause}\" Our client gave notice on {date} by e-mail only. Argue both sides on whether the notice is valid, then say which argument is stronger and why.",
            "We must choose between a lease and a purchase of {product} for {amount}. Build a decision tree with the assumptions that matter, and say at which point the decision turns.",
            "Five services start in an order that respects their dependencies: A needs B and C, B needs D, C needs D and E, E needs nothing. D fails one start in {small}. Plan a start-up procedure with retries and explain the worst case.",
        ],
    },
    Kind {
        share: 12,
        targets: &["support", "support", "route/support"],
        system: Some("You answer customers of a web shop. Be short and friendly."),
        extra: Extra::History,
        templates: &[
            "My {product} has not arrived. The order was placed on {date}. What can I do?",
            "I was charged {amount} twice for the {product}. Please help!",
            "How do I return the {product}? I no longer have the box.",
            "Can you ship a {product} to {city}, and what does it cost?",
            "Wo finde ich die Rechnung für meine Bestellung vom {date}?",
        ],
    },
    Kind {
        share: 7,
        targets: &["auto", "support"],
        system: Some("Use the functions where they help."),
        extra: Extra::Tools,
        templates: &[
            "Where is my order AB-{number}{number}? Please use order_status.",
            "Please use the tool book_meeting: {name} wants {small} minutes with {name} on {date} about the {product}.",
        ],
    },
    Kind {
        share: 3,
        targets: &["auto", "sim-medium"],
        system: None,
        extra: Extra::Image,
        templates: &["What is shown in this picture?", "Read the amount on this receipt and compare it with {amount}."],
    },
    Kind {
        share: 10,
        targets: &["auto", "auto", "sim-small"],
        system: None,
        extra: Extra::Nothing,
        templates: &[
            "Hi! How are you today?",
            "Thanks, that was all.",
            "Tell me a joke about a {product}.",
            "What is the capital of the country that {city} is in?",
            "¿Qué tiempo suele hacer en {city} en otoño?",
            "Who wrote \"The Count of Monte Cristo\"?",
            "Write a birthday card for {name}, who likes {product}s and walks in {city}.",
        ],
    },
    Kind {
        share: 6,
        targets: &["stage:outline", "auto"],
        system: None,
        extra: Extra::Nothing,
        templates: &[
            "Write an outline for a blog post about the {product} market in {city}.",
            "Draft a polite letter to {name} that declines the offer of {amount} and keeps the door open.",
            "Write a short story of about {number} words that begins in {city} and ends with a {product}.",
        ],
    },
];

const SLOTS: &[(&str, &[&str])] = &[
    ("name", &["Amara Osei", "Jonas Lindqvist", "Mei Tanaka", "Rosa Delgado", "Tom Becker", "Ivana Petrović"]),
    ("city", &["Lisbon", "Graz", "Osaka", "Nairobi", "Montreal", "Kraków", "Valparaíso"]),
    ("product", &["kettle", "road bike", "standing desk", "air purifier", "label printer", "rain jacket"]),
    ("small", &["3", "4", "5", "6", "7", "9"]),
    ("number", &["12", "15", "24", "36", "48", "60"]),
    ("amount", &["€49.90", "$1,250.00", "£312.45", "¥18,000", "CHF 79.00"]),
    ("date", &["2026-03-14", "2026-06-02", "2026-08-29", "2026-10-11"]),
    ("language", &["Rust", "Python", "Go", "TypeScript", "Kotlin"]),
    ("tongue", &["French", "German", "Spanish", "Japanese", "Polish", "Portuguese"]),
    (
        "letter",
        &[
            "I ordered a label printer on 2 June and paid 312.45. It prints every second label empty. I have sent two e-mails and nobody answered. I need a replacement this week, otherwise I want my money back. You can reach me in the afternoon.",
            "The rain jacket came in the wrong size again. I sent the first one back on 11 October and was told that 79.00 would be refunded, but only 49.90 arrived. Please check both parcels and tell me where the rest is.",
            "My account was locked after I moved. The invoice of August still shows the old address, and the delivery of the standing desk went there. The new tenant was kind enough to keep it, but who pays for the second transport?",
        ],
    ),
    (
        "article",
        &[
            "The council discussed the extension of the tram line for three hours. The engineers expect four years of work and a cost of 210 million, of which the region carries two thirds. Shopkeepers in the old town fear for their trade while the streets are open; the council promised a fund and a yearly review. A decision on the second section was postponed until the traffic count is available.",
            "In the second quarter, sales of the household division rose by four per cent while those of the office division fell by nine. Management names two late deliveries and a weak market in the north. The forecast for the year is unchanged, but the board asked for a plan for the case that the weakness lasts. Investments in the new warehouse continue as decided.",
            "The team moved the nightly import to a queue. Since then the import ends an hour earlier, but twice it stopped without an alarm because the monitor still watched the old process. It was agreed to move the alarm to the queue's age, to write down how to start the import by hand, and to test that once a month.",
        ],
    ),
    (
        "review",
        &[
            "The desk is sturdy and was easy to build, but the motor is louder than the seller says.",
            "Never again. Two weeks late, a scratch on the front, and nobody picks up the telephone.",
            "Does what it should. The manual could be better.",
            "Best kettle I have ever owned: quick, quiet, and it looks good too!",
        ],
    ),
    (
        "code",
        &[
            "fn transfer(a: &Mutex<Account>, b: &Mutex<Account>, n: u64) {\n    let mut from = a.lock().unwrap();\n    let mut to = b.lock().unwrap();\n    from.balance -= n;\n    to.balance += n;\n}",
            "def totals(rows):\n    out = {}\n    for r in rows:\n        if r['kind'] == 'sale':\n            if r['day'] in out:\n                out[r['day']] += r['net'] * 1.2\n            else:\n                out[r['day']] = r['net'] * 1.2\n        elif r['kind'] == 'refund':\n            out[r['day']] = out.get(r['day'], 0) - r['net'] * 1.2\n    return out",
            "func (q *Queue) Pop() *Job {\n\tq.mu.Lock()\n\tfor len(q.jobs) == 0 {\n\t\tq.cond.Wait()\n\t}\n\tj := q.jobs[0]\n\tq.jobs = q.jobs[1:]\n\tq.stats.Record(j) // takes q.mu\n\tq.mu.Unlock()\n\treturn j\n}",
        ],
    ),
    (
        "case",
        &[
            "A 67-year-old woman with atrial fibrillation and an eGFR of 28 ml/min presents with sudden abdominal pain out of proportion to the findings, lactate 5.1 mmol/l.",
            "A 34-year-old woman, 31 weeks pregnant, has had headaches for two days, blood pressure 164/108, platelets 92,000 and raised transaminases.",
            "A 58-year-old woman under chemotherapy has a temperature of 38.6 °C, neutrophils of 300 per microlitre and a new cough; the chest film is clear.",
        ],
    ),
    (
        "clause",
        &[
            "Either party may terminate this agreement with three months' notice to the end of a quarter. Notice must be given in writing and signed.",
            "Any notice under this agreement shall be deemed received on the second working day after dispatch, unless the sender knows that it did not arrive.",
        ],
    ),
];

/// Earlier turns of a conversation.
const HISTORY: &[(&str, &str)] = &[
    ("Hello, is anybody there?", "Hello! Yes, how can I help you?"),
    ("I have a question about an order.", "Of course. Please tell me what it is about and when you ordered."),
    ("One moment, I am looking for the number.", "Take your time."),
];

/// A picture of one pixel (PNG, base64).
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_gives_the_same_requests() {
        assert_eq!(mixed_requests(7, 50), mixed_requests(7, 50));
        assert_ne!(mixed_requests(7, 50), mixed_requests(8, 50));
        assert_eq!(mixed_requests(7, 50)[..], mixed_requests(7, 80)[..50]);
    }

    #[test]
    fn the_mix_is_mixed() {
        let requests = mixed_requests(1, 300);
        let texts: HashSet<_> = requests.iter().map(|r| r.body["messages"].to_string()).collect();
        assert!(texts.len() > 200, "only {} different conversations", texts.len());
        let share = |holds: &dyn Fn(&DemoRequest) -> bool| requests.iter().filter(|r| holds(r)).count();
        let has_header = |r: &DemoRequest, name: &str| r.headers.iter().any(|(n, _)| *n == name);
        for (what, count, least) in [
            ("streams", share(&DemoRequest::streams), 90),
            ("tools", share(&|r| r.body["tools"].is_array()), 8),
            ("structured", share(&|r| r.body["response_format"].is_object()), 15),
            ("pictures", share(&|r| r.body.to_string().contains("image_url")), 2),
            ("auto", share(&|r| r.body["model"] == "auto"), 100),
            ("coding", share(&|r| r.body["model"].as_str().is_some_and(|m| m.ends_with("coding"))), 5),
            ("bulk", share(&|r| r.body["model"].as_str().is_some_and(|m| m.ends_with("bulk"))), 20),
            ("support", share(&|r| r.headers.iter().any(|(_, v)| v.contains("surface=support"))), 10),
            ("stages", share(&|r| has_header(r, "x-waypost-stage")), 8),
            ("hints", share(&|r| r.body["waypost"].is_object()), 10),
        ] {
            assert!(count >= least, "{what}: {count} of 300");
        }
    }

    #[test]
    fn templates_know_their_slots() {
        let names: HashSet<_> = SLOTS.iter().map(|(name, _)| *name).collect();
        for template in KINDS.iter().flat_map(|kind| kind.templates) {
            for part in template.split('{').skip(1) {
                let name = part.split('}').next().unwrap();
                let code = name.chars().any(|c| !c.is_ascii_lowercase());
                assert!(code || names.contains(name), "{{{name}}} in {template:?}");
            }
        }
        assert_eq!(fill("a { b {nothing} {", &mut Rng::new(1)), "a { b {nothing} {");
    }
}
