//! Numbers: which one an answer gives, and whether it is the right one. Reads digits in their usual dress (signs,
//! thousands, decimals, percent, fractions, powers of ten, currencies, units); no numbers in words, no arithmetic.

use super::Grade;
use super::form::{announced, boxed, first_sentence};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What numbers are right, and how near is near enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    accepted: Vec<Value>,
    tolerance: f64,
    relative: f64,
    units: BTreeMap<String, f64>,
}

/// A task line's options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    tolerance: f64,
    #[serde(default)]
    relative_tolerance: f64,
    #[serde(default)]
    units: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Value {
    number: f64,
    percent: bool,
}

/// Beyond what is asked for: what double precision loses.
const EXACT: f64 = 1e-9;

impl Number {
    pub(super) fn new(options: Options, expected: &[serde_json::Value]) -> Result<Self, String> {
        let bad = |x: f64| !x.is_finite() || x < 0.0;
        if bad(options.tolerance) || bad(options.relative_tolerance) || options.relative_tolerance >= 1.0 {
            return Err("grader: tolerance is a number from 0, relative_tolerance one from 0 to below 1".to_owned());
        }
        if let Some((unit, by)) = options.units.iter().find(|(u, by)| u.is_empty() || !by.is_finite() || **by <= 0.0) {
            return Err(format!(
                "grader.units.{unit:?} is {by}; a unit is a word and what its numbers are multiplied by"
            ));
        }
        let units = options.units;
        let accepted = expected.iter().map(|v| {
            let read = match v {
                serde_json::Value::Number(n) => n.as_f64().map(|number| Value { number, percent: false }),
                serde_json::Value::String(s) => match numbers(s, &units).as_slice() {
                    [Some(one)] => Some(*one),
                    _ => None,
                },
                _ => None,
            };
            read.ok_or_else(|| format!("expected: {v} is no number; write 42, \"3/4\", \"1,234.5\" or \"25%\""))
        });
        let accepted = accepted.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { accepted, tolerance: options.tolerance, relative: options.relative_tolerance, units })
    }

    /// The number that the answer gives: that of the last `\boxed{}`; else what the last "answer is" announces; else the
    /// last number of the text. `None` where there is none, or something stands there that only looks like one (a range,
    /// a date, a power).
    pub fn read(&self, answer: &str) -> Option<f64> {
        self.value(answer).map(|v| if v.percent { v.number / 100.0 } else { v.number })
    }

    fn value(&self, answer: &str) -> Option<Value> {
        if let Some(inside) = boxed(answer) {
            return self.concluded(inside);
        }
        match announced(answer).as_slice() {
            [] => numbers(answer, &self.units).last().copied().flatten(),
            // Its sentence, or that below where its own line is empty.
            all => self.concluded(first_sentence(all.iter().rev().copied().flatten().next()?)),
        }
    }

    /// What stands after the last `=`, else the first number.
    fn concluded(&self, text: &str) -> Option<Value> {
        let after = text.rfind(['=', '≈']).map(|at| text[at..].trim_start_matches(['=', '≈']));
        let of_equation = after.and_then(|t| numbers(t, &self.units).first().copied());
        of_equation.or_else(|| numbers(text, &self.units).first().copied()).flatten()
    }

    /// 1 where the answer gives one of the accepted numbers. A percentage is also right as its number (`25%` for 25) and
    /// as its fraction (`25%` for 0.25).
    pub fn grade(&self, answer: &str) -> Grade {
        let wanted = || self.accepted.iter().map(|v| shown(*v)).collect::<Vec<_>>().join(" or ");
        match self.value(answer) {
            None => Grade::new(false, format!("no number is given as the answer; expected {}", wanted())),
            Some(found) => {
                let right = self.accepted.iter().any(|want| self.equal(found, *want));
                Grade::new(right, format!("found {}, expected {}", shown(found), wanted()))
            }
        }
    }

    fn equal(&self, found: Value, want: Value) -> bool {
        let near = |a: f64, b: f64| {
            let room = self.tolerance.max(self.relative * b.abs()).max(EXACT * b.abs().max(f64::MIN_POSITIVE));
            (a - b).abs() <= room * (1.0 + EXACT)
        };
        let (a, b) = (found.number, want.number);
        match (found.percent, want.percent) {
            (false, false) | (true, true) => near(a, b),
            (true, false) => near(a, b) || near(a / 100.0, b),
            (false, true) => near(a, b) || near(a, b / 100.0),
        }
    }
}

fn shown(value: Value) -> String {
    format!("{}{}", value.number, if value.percent { "%" } else { "" })
}

/// All numbers of a text in order; `None` for what looks like one and is not: `40-42`, `2024-01-15`, `1,42`, `12:30`,
/// `3.1.4`, `2^10`. Digits inside of words (`H2O`) and ordinals (`3rd`) are passed over.
fn numbers(text: &str, units: &BTreeMap<String, f64>) -> Vec<Option<Value>> {
    let text = plain(text);
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let begins =
            chars[at].is_ascii_digit() || (chars[at] == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit));
        if !begins {
            at += 1;
            continue;
        }
        let start = at;
        while at < chars.len() && continues(&chars, at) {
            at += 1;
        }
        let token: String = chars[start..at].iter().collect();
        if start > 0 && (chars[start - 1].is_alphanumeric() || chars[start - 1] == '_') {
            continue;
        }
        let negative = is_negative(&chars, start);
        let value = token_value(&token);
        let after: String = chars[at..].iter().collect();
        let (suffixed, used) = suffix(value, &after, units);
        if let Suffixed::Word = suffixed {
            continue;
        }
        at += used;
        found.push(match suffixed {
            Suffixed::Value(v) => Some(Value { number: if negative { -v.number } else { v.number }, ..v }),
            _ => None,
        });
    }
    found
}

/// Typography made ASCII: LaTeX's fractions, spaces and commas, the minus sign, thin spaces, common fractions.
fn plain(text: &str) -> String {
    let mut out = text.to_owned();
    for (from, to) in [
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("{,}", ","),
        ("\\,", "\u{202f}"),
        ("\\%", "%"),
        ("\\$", "$"),
        ("\\!", ""),
        ("\u{2212}", "-"),
        ("\u{2013}", "~"),
        ("\u{2014}", " \u{2014} "),
        ("½", " 1/2"),
        ("¼", " 1/4"),
        ("¾", " 3/4"),
        ("\\times", "×"),
        ("\\cdot", "×"),
    ] {
        out = out.replace(from, to);
    }
    while let Some(at) = out.find("\\frac{") {
        let rest = &out[at + 6..];
        let parts = rest.split_once("}{").and_then(|(n, rest)| rest.split_once('}').map(|(d, tail)| (n, d, tail)));
        let Some((numerator, denominator, tail)) = parts else { break };
        let digits = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
        // What is no fraction of plain numbers stays visible as something that is no number.
        let made = if digits(numerator) && digits(denominator) {
            format!(" {numerator}/{denominator}")
        } else {
            format!(" x{numerator}x{denominator}x")
        };
        out = format!("{}{made}{tail}", &out[..at]);
    }
    out
}

/// Whether the character belongs to the token: digits, and marks between digits.
fn continues(chars: &[char], at: usize) -> bool {
    let digit = |i: Option<usize>| i.and_then(|i| chars.get(i)).is_some_and(char::is_ascii_digit);
    match chars[at] {
        c if c.is_ascii_digit() => true,
        '.' | ',' | '/' | ':' | '^' | '\'' | '_' | '\u{a0}' | '\u{202f}' | '-' | '~' => {
            digit(Some(at + 1)) && (digit(at.checked_sub(1)) || chars[at] == '.')
        }
        // A mixed number: `1 3/4`.
        ' ' => {
            digit(at.checked_sub(1)) && {
                let rest: String = chars[at + 1..].iter().take_while(|c| c.is_ascii_digit() || **c == '/').collect();
                let parts = rest.split_once('/');
                parts.is_some_and(|(n, d)| !n.is_empty() && !d.is_empty() && !d.contains('/'))
            }
        }
        _ => false,
    }
}

/// A sign stands before the number, or before its currency, and after nothing that could be subtracted from.
fn is_negative(chars: &[char], start: usize) -> bool {
    let mut at = start;
    while at > 0 && matches!(chars[at - 1], '$' | '€' | '£' | '¥') {
        at -= 1;
    }
    if at == 0 || chars[at - 1] != '-' {
        return false;
    }
    let before = at.checked_sub(2).map(|i| chars[i]);
    before.is_none_or(|c| !(c.is_alphanumeric() || c == ')'))
}

/// The value of digits with marks between them.
fn token_value(token: &str) -> Option<Value> {
    let plain = |number: f64| Some(Value { number, percent: false });
    if let Some((whole, fraction)) = token.split_once(' ') {
        return plain(decimal(whole)? + token_value(fraction)?.number);
    }
    if let Some((numerator, denominator)) = token.split_once('/') {
        let (n, d) = (decimal(numerator)?, decimal(denominator)?);
        return (d != 0.0).then(|| plain(n / d)).flatten();
    }
    plain(decimal(token)?)
}

/// Digits with an optional decimal point and whole groups of three.
fn decimal(token: &str) -> Option<f64> {
    let (whole, fraction) = token.split_once('.').map_or((token, None), |(w, f)| (w, Some(f)));
    if fraction.is_some_and(|f| f.is_empty() || !f.chars().all(|c| c.is_ascii_digit())) {
        return None;
    }
    let separators = [',', '\'', '_', '\u{a0}', '\u{202f}'];
    let mut groups = whole.split(separators);
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    let grouped = rest.is_empty() || ((1..=3).contains(&first.len()) && rest.iter().all(|g| g.len() == 3 && digits(g)));
    if !digits(first) || !grouped {
        return None;
    }
    if first.is_empty() && fraction.is_none() {
        return None;
    }
    format!("0{first}{}.{}", rest.concat(), fraction.unwrap_or("0")).parse().ok()
}

enum Suffixed {
    Value(Value),
    /// Looks like a number and is none.
    Unreadable,
    /// Part of a word: `3rd`, `2x`.
    Word,
}

/// What follows a number and belongs to it: powers of ten, percent, magnitudes, units. Gives how many characters it used.
fn suffix(value: Option<Value>, after: &str, units: &BTreeMap<String, f64>) -> (Suffixed, usize) {
    let word: String = after.chars().take_while(|c| c.is_alphanumeric()).collect();
    if matches!(word.to_ascii_lowercase().as_str(), "st" | "nd" | "rd" | "th" | "x") {
        return (Suffixed::Word, 0);
    }
    if after.starts_with("^") || after.starts_with("**") && after[2..].starts_with(|c: char| c.is_ascii_digit()) {
        let used = after.chars().take_while(|c| !c.is_whitespace()).count();
        return (Suffixed::Unreadable, used);
    }
    let Some(mut value) = value else { return (Suffixed::Unreadable, 0) };
    let mut used = 0;
    if let Some((exponent, length)) = power_of_ten(after) {
        value.number *= 10f64.powi(exponent);
        used = length;
    }
    let rest: String = after.chars().skip(used).collect();
    let spaces = rest.chars().take_while(|c| matches!(c, ' ' | '\u{a0}' | '\u{202f}')).count();
    let tail: String = rest.chars().skip(spaces).collect();
    if tail.starts_with('%') {
        return (Suffixed::Value(Value { percent: true, ..value }), used + spaces + 1);
    }
    let tail = tail.strip_prefix("\\text{").unwrap_or(&tail).trim_start();
    let word: String = tail.chars().take_while(|c| c.is_alphabetic() || matches!(c, '/' | '²' | '³' | '°')).collect();
    let magnitude = match word.to_ascii_lowercase().as_str() {
        "percent" | "per" if tail.to_ascii_lowercase().starts_with("per cent") || word.len() == 7 => {
            return (Suffixed::Value(Value { percent: true, ..value }), used);
        }
        "thousand" => 1e3,
        "million" => 1e6,
        "billion" => 1e9,
        "trillion" => 1e12,
        _ => units.get(word.as_str()).copied().unwrap_or(1.0),
    };
    value.number *= magnitude;
    (if value.number.is_finite() { Suffixed::Value(value) } else { Suffixed::Unreadable }, used)
}

/// `e-3`, `×10^5`, `x 10^{5}`, `*10**5` and their like, with their length in characters.
fn power_of_ten(after: &str) -> Option<(i32, usize)> {
    let number = |text: &str| {
        let braced = text.strip_prefix('{');
        let digits: String =
            braced.unwrap_or(text).chars().take_while(|c| c.is_ascii_digit() || matches!(c, '-' | '+')).collect();
        let exponent: i32 = digits.trim_start_matches('+').parse().ok().filter(|e: &i32| e.abs() <= 300)?;
        Some((exponent, digits.len() + if braced.is_some() { 2 } else { 0 }))
    };
    if let Some(rest) = after.strip_prefix(['e', 'E']) {
        let (exponent, length) = number(rest)?;
        let next = rest.chars().nth(length);
        return (!next.is_some_and(char::is_alphanumeric)).then_some((exponent, 1 + length));
    }
    let trimmed = after.trim_start_matches(' ');
    let rest = trimmed.strip_prefix(['×', 'x', '*', '·'])?.trim_start_matches(' ');
    let power = rest.strip_prefix("10")?;
    let power = power.strip_prefix('^').or_else(|| power.strip_prefix("**"))?;
    let (exponent, length) = number(power)?;
    Some((exponent, after.chars().count() - power.chars().count() + length))
}

#[cfg(test)]
mod tests;
