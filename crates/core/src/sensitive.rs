//! Personal data and secrets in a text, by shape and checksum: e-mail addresses, payment cards, IBANs, US social security
//! numbers, phone numbers with a country code, API keys and private keys. Deterministic, no allocation, linear time; run
//! only where a compliance rule asks. It errs towards silence: names, postal addresses and numbers without a checksum or a
//! context of their own are not found, and an operator who needs those declares the request sensitive.

use memchr::{memchr, memchr_iter, memmem};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A payment card number that satisfies Luhn's check.
    Card,
    /// An IBAN that satisfies its check digits.
    Iban,
    /// A US social security number, written with hyphens.
    Ssn,
    /// A phone number with `+` and a country code.
    Phone,
    /// An API key or token of a known format.
    Key,
    /// The header of a PEM private key.
    PrivateKey,
}

impl Kind {
    /// The name in configuration, records and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
            Self::Phone => "phone",
            Self::Key => "api_key",
            Self::PrivateKey => "private_key",
        }
    }
}

/// The first kind found in `text`: plain or the raw content of a JSON string. Kinds are tried in a fixed order, secrets
/// first, so that equal texts give equal answers.
pub fn detect(text: &[u8]) -> Option<Kind> {
    if private_key(text) {
        return Some(Kind::PrivateKey);
    }
    if KEYS.iter().any(|key| key.is_in(text)) {
        return Some(Kind::Key);
    }
    if memchr_iter(b'@', text).any(|at| email(text, at)) {
        return Some(Kind::Email);
    }
    numbers(text)
}

/// The fixed beginning of a key, and what follows it.
struct KeyFormat {
    prefix: &'static str,
    /// At least so many more of letters, digits, `-` and `_`.
    rest: usize,
}

const KEYS: [KeyFormat; 13] = [
    KeyFormat { prefix: "sk-", rest: 32 },
    KeyFormat { prefix: "sk_live_", rest: 16 },
    KeyFormat { prefix: "rk_live_", rest: 16 },
    KeyFormat { prefix: "AKIA", rest: 16 },
    KeyFormat { prefix: "ASIA", rest: 16 },
    KeyFormat { prefix: "AIza", rest: 35 },
    KeyFormat { prefix: "ghp_", rest: 36 },
    KeyFormat { prefix: "gho_", rest: 36 },
    KeyFormat { prefix: "github_pat_", rest: 40 },
    KeyFormat { prefix: "glpat-", rest: 20 },
    KeyFormat { prefix: "xoxb-", rest: 20 },
    KeyFormat { prefix: "xoxp-", rest: 20 },
    KeyFormat { prefix: "hf_", rest: 30 },
];

impl KeyFormat {
    fn is_in(&self, text: &[u8]) -> bool {
        memmem::find_iter(text, self.prefix).any(|at| {
            let rest = &text[at + self.prefix.len()..];
            let key =
                &rest[..rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count()];
            // Words with hyphens have no digits, digests no prefix.
            word_begins(text, at) && key.len() >= self.rest && key.iter().any(u8::is_ascii_digit)
        })
    }
}

fn private_key(text: &[u8]) -> bool {
    memmem::find_iter(text, b"-----BEGIN ").any(|at| {
        let line = &text[at + 11..text.len().min(at + 60)];
        memmem::find(line, b"PRIVATE KEY").is_some_and(|end| memchr(b'\\', &line[..end]).is_none())
    })
}

/// Whether the `@` at `at` is an address's: a local part, a domain, a top level of letters.
fn email(text: &[u8], at: usize) -> bool {
    let local = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-');
    let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    if at == 0 || !local(text[at - 1]) || text[at - 1] == b'.' {
        return false;
    }
    let rest = &text[at + 1..];
    let domain = &rest[..rest.iter().take(253).take_while(|b| host(**b)).count()];
    let mut labels = domain.split(|b| *b == b'.').filter(|l| !l.is_empty()).rev();
    let top = labels.next().unwrap_or_default();
    // `user@host` and `package@1.2.3` are none.
    labels.next().is_some() && top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic)
}

/// Cards, IBANs, social security and phone numbers: whatever begins with a digit, in one walk over runs.
fn numbers(text: &[u8]) -> Option<Kind> {
    let mut at = 0;
    while let Some(first) = text[at..].iter().position(u8::is_ascii_digit).map(|n| at + n) {
        let end = run_end(text, first);
        if let Some(kind) = number(text, first, end) {
            return Some(kind);
        }
        at = end;
    }
    None
}

/// End of a run of digits in groups: one space, hyphen, dot or bracket between digits.
fn run_end(text: &[u8], first: usize) -> usize {
    let mut end = first;
    loop {
        end += text[end..].iter().take_while(|b| b.is_ascii_digit()).count();
        match text[end..] {
            [b' ' | b'-' | b'.', next, ..] if next.is_ascii_digit() => end += 1,
            [b' ', b'(', next, ..] | [b')', b' ', next, ..] if next.is_ascii_digit() => end += 2,
            _ => return end,
        }
    }
}

fn number(text: &[u8], first: usize, end: usize) -> Option<Kind> {
    if first >= 2 && iban(text, first - 2) {
        return Some(Kind::Iban);
    }
    let run = &text[first..end];
    if text.get(end).is_some_and(u8::is_ascii_alphanumeric) || !word_begins(text, first) {
        return None;
    }
    let digits = run.iter().filter(|b| b.is_ascii_digit()).count();
    let plus = text[..first].ends_with(b"+") && word_begins(text, first - 1);
    if plus && (8..=15).contains(&digits) && run[0] != b'0' && !run.contains(&b'.') {
        return Some(Kind::Phone);
    }
    // Part of an identifier, a path, a version: joined to more on either side.
    let joins = |b: &u8| matches!(b, b'-' | b'.' | b'/' | b'_' | b'#');
    let joined_after = text.get(end).is_some_and(joins) && text.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
    if plus || text[..first].last().is_some_and(joins) || joined_after {
        return None;
    }
    if ssn(run) {
        return Some(Kind::Ssn);
    }
    card(run, digits).then_some(Kind::Card)
}

/// `AAA-GG-SSSS` with an area, group and serial that were ever issued.
fn ssn(run: &[u8]) -> bool {
    let [a, b, c, b'-', d, e, b'-', f, g, h, i] = run else { return false };
    let digits = [a, b, c, d, e, f, g, h, i];
    let area = [*a, *b, *c];
    digits.iter().all(|d| d.is_ascii_digit())
        && &area != b"000"
        && &area != b"666"
        && *a != b'9'
        && [*d, *e] != *b"00"
        && [*f, *g, *h, *i] != *b"0000"
}

/// 13 to 19 digits of an issuer's range, in one piece or in a card's groups, that satisfy Luhn's check.
fn card(run: &[u8], digits: usize) -> bool {
    if !(13..=19).contains(&digits) || run.contains(&b'.') || run.contains(&b'(') {
        return false;
    }
    let digit = |n: usize| run.iter().filter(|b| b.is_ascii_digit()).nth(n).map_or(0, |b| u32::from(b - b'0'));
    let two = digit(0) * 10 + digit(1);
    let issuer = match two {
        40..=49 => matches!(digits, 13 | 16 | 19),
        51..=55 => digits == 16,
        22..=27 => digits == 16,
        34 | 37 => digits == 15,
        30 | 36 | 38 | 39 => digits == 14,
        60 | 62 | 64 | 65 | 35 => (16..=19).contains(&digits),
        _ => false,
    };
    let groups = run.split(|b| !b.is_ascii_digit());
    let grouped = run.len() == digits || groups.map(<[u8]>::len).all(|len| (3..=6).contains(&len));
    let sum: u32 = run
        .iter()
        .rev()
        .filter(|b| b.is_ascii_digit())
        .enumerate()
        .map(|(n, b)| match (n % 2, u32::from(b - b'0')) {
            (0, d) => d,
            (_, d) if d > 4 => d * 2 - 9,
            (_, d) => d * 2,
        })
        .sum();
    issuer && grouped && sum.is_multiple_of(10)
}

/// Countries with their IBAN's length.
const IBAN_LENGTHS: &[u8] = b"AD24AE23AT20AZ28BA20BE16BG22BH22BR29CH21CR22CY28CZ24DE22DK18DO28EE20ES24FI18FO18FR27GB22GE22GI23\
GL18GR27GT28HR21HU28IE22IL23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21MC27MD24ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25QA29\
RO24RS22SA24SE24SI19SK24SM27TN24TR26UA29VA22VG24XK20";

/// A country, two check digits and what its banks add, in one piece or in groups of four.
fn iban(text: &[u8], at: usize) -> bool {
    let country = &text[at..at + 2];
    let Some(entry) = IBAN_LENGTHS.as_chunks::<4>().0.iter().find(|e| &e[..2] == country) else { return false };
    if !word_begins(text, at) {
        return false;
    }
    let length = usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0');
    let (mut chars, mut len, mut pos) = ([0u8; 34], 0, at);
    while len < length {
        match text.get(pos) {
            Some(&b) if b.is_ascii_uppercase() || b.is_ascii_digit() => {
                chars[len] = b;
                len += 1;
            }
            Some(b' ') if len % 4 == 0 && text[pos - 1] != b' ' => {}
            _ => return false,
        }
        pos += 1;
    }
    chars[2..4].iter().all(u8::is_ascii_digit)
        && !text.get(pos).is_some_and(u8::is_ascii_alphanumeric)
        && check_97(&chars[..length])
}

/// The number that an IBAN stands for, its first four characters last, is 1 modulo 97.
fn check_97(chars: &[u8]) -> bool {
    let rest = chars[4..].iter().chain(&chars[..4]).fold(0u32, |rest, &b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        _ => (rest * 100 + u32::from(b - b'A') + 10) % 97,
    });
    rest == 1
}

/// No letter or digit before `at`, or one that belongs to an escape such as `\n`.
fn word_begins(text: &[u8], at: usize) -> bool {
    match &text[..at] {
        [.., b'\\', b'n' | b't' | b'r'] | [] => true,
        [.., last] => !last.is_ascii_alphanumeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_names() {
        let found = [
            ("write to anna.lind+shop@example.co.uk today", Kind::Email),
            ("a@b.de", Kind::Email),
            ("card: 4111 1111 1111 1111, exp 12/28", Kind::Card),
            ("5555555555554444", Kind::Card),
            ("amex 378282246310005.", Kind::Card),
            ("6011-1111-1111-1117", Kind::Card),
            ("\\n4012888888881881\\n", Kind::Card),
            ("IBAN DE89370400440532013000", Kind::Iban),
            ("GB82 WEST 1234 5698 7654 32 IS MINE", Kind::Iban),
            ("FR14 2004 1010 0505 0001 3M02 606", Kind::Iban),
            ("her SSN is 123-45-6789.", Kind::Ssn),
            ("call +49 30 901820 now", Kind::Phone),
            ("+1 (415) 555-2671", Kind::Phone),
            ("tel:+4915112345678", Kind::Phone),
            ("key sk-abcdefghijklmnop1234567890abcdefABCDEF", Kind::Key),
            ("AKIAIOSFODNN7EXAMPLE", Kind::Key),
            ("token=ghp_0123456789abcdefghijABCDEFGHIJ012345", Kind::Key),
            ("-----BEGIN RSA PRIVATE KEY-----\\nMIIE", Kind::PrivateKey),
            ("-----BEGIN PRIVATE KEY-----", Kind::PrivateKey),
        ];
        for (text, kind) in found {
            assert_eq!(detect(text.as_bytes()), Some(kind), "{text}");
        }
    }

    #[test]
    fn stays_silent_on_look_alikes() {
        let silent = [
            "order 4111111111111112 shipped",
            "order number 1234567890123456",
            "id 550e8400-e29b-41d4-a716-446655440000",
            "123e4567-e89b-12d3-a456-426614174000 and 4000-8000-1234",
            "2026-11-20T09:14:55.123456Z",
            "1732093200000 1732093200123456",
            "version 10.0.19045.3693, 1.2.3",
            "ip 192.168.100.200:8080 and 2001:db8::1",
            "npm i left-pad@1.3.0 react@next",
            "@mention user@host a @ b",
            "#[derive(Debug)] @Override",
            "000-12-3456 666-12-3456 912-34-5678 123-00-4567",
            "part 12-345-6789 and 123-456-7890",
            "2 + 2 = 4, x +12345",
            "DE00370400440532013000",
            "PO12 3456 7890 1234 5678",
            "DE89370400440532013000XY DE8937040044053201300",
            "sk-learn sk-is-not-a-key-because-it-is-only-words-here",
            "-----BEGIN CERTIFICATE-----\\nPRIVATE",
            "-----BEGIN PUBLIC KEY-----",
            "3.14159265358979323846",
            "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "",
        ];
        for text in silent {
            assert_eq!(detect(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn ends_anywhere() {
        let text = "GB82 WEST 1234 5698 7654 32 +49 30 901820 a@b.co 123-45-6789 -----BEGIN RSA PRIVATE KEY";
        for from in 0..text.len() {
            for to in from..text.len() {
                let _ = detect(&text.as_bytes()[from..to]);
            }
        }
    }
}
