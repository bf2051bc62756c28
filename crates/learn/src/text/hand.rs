//! Features of a prompt that a person would name: its length and shape, its numbers, its options, what it asks for. One
//! pass over the bytes of a bounded window. Not a tokenizer, and no list of topics: words count by groups that change
//! what models get wrong (what is asked, arithmetic, hypotheticals, code, law, medicine).

use super::embedding::window;

/// The number of features.
pub const HAND: usize = SHAPE + GROUPS + ASKED;
const SHAPE: usize = 38;
const GROUPS: usize = Group::COUNT;
/// What of the groups is counted once more in the last sentence, where the question stands.
const ASKED: usize = ASKED_GROUPS.len();
const ASKED_GROUPS: [Group; 10] = [
    Group::Much,
    Group::Many,
    Group::Future,
    Group::Past,
    Group::Present,
    Group::Money,
    Group::Time,
    Group::Total,
    Group::Left,
    Group::Compare,
];

/// The features of a prompt, in a fixed order: its shape, counts of word groups, counts in the sentence that asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hand(pub [f32; HAND]);

/// Words that say something of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Group {
    What,
    Who,
    When,
    Where,
    Why,
    How,
    Which,
    Much,
    Many,
    Not,
    Statement,
    Each,
    Multiple,
    Percent,
    Total,
    Left,
    Compare,
    Future,
    Past,
    Present,
    Money,
    Time,
    Code,
    Solve,
    Maths,
    Exam,
    Passage,
    Law,
    Medicine,
    Science,
    People,
    Self_,
    Reason,
    Order,
    Write,
    Article,
}

impl Group {
    const COUNT: usize = Self::Article as usize + 1;

    /// The group of a lower-case word.
    #[rustfmt::skip]
    fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"what" => Self::What,
            b"who" | b"whom" | b"whose" => Self::Who,
            b"when" => Self::When,
            b"where" => Self::Where,
            b"why" => Self::Why,
            b"how" => Self::How,
            b"which" => Self::Which,
            b"much" => Self::Much,
            b"many" => Self::Many,
            b"not" | b"except" | b"false" | b"never" | b"no" | b"neither" | b"least" | b"incorrect" => Self::Not,
            b"statement" | b"statements" | b"true" | b"assertion" => Self::Statement,
            b"each" | b"per" | b"every" | b"apiece" | b"daily" | b"weekly" => Self::Each,
            b"half" | b"third" | b"quarter" | b"twice" | b"double" | b"triple" | b"times" | b"thrice" | b"fourth"
                | b"fifth" | b"doubled" => Self::Multiple,
            b"percent" | b"percentage" | b"ratio" | b"fraction" | b"average" | b"mean" | b"rate" | b"discount" => Self::Percent,
            b"total" | b"altogether" | b"sum" | b"combined" | b"all" | b"number" => Self::Total,
            b"left" | b"remaining" | b"remain" | b"remains" | b"rest" | b"already" | b"away" | b"still" => Self::Left,
            b"more" | b"less" | b"fewer" | b"than" | b"difference" | b"longer" | b"older" | b"younger" | b"larger" => Self::Compare,
            b"will" | b"would" | b"if" | b"could" | b"should" | b"going" | b"suppose" | b"assume" | b"might" => Self::Future,
            b"had" | b"was" | b"were" | b"did" | b"been" => Self::Past,
            b"is" | b"are" | b"does" | b"has" | b"have" | b"do" => Self::Present,
            b"pay" | b"cost" | b"costs" | b"spend" | b"spent" | b"buy" | b"bought" | b"price" | b"earn" | b"earns" | b"sell"
                | b"sells" | b"sold" | b"dollars" | b"dollar" | b"cents" | b"profit" | b"save" | b"money" | b"paid" | b"tax" => Self::Money,
            b"hour" | b"hours" | b"minute" | b"minutes" | b"day" | b"days" | b"week" | b"weeks" | b"month" | b"months"
                | b"year" | b"years" | b"old" | b"age" | b"long" => Self::Time,
            b"function" | b"python" | b"return" | b"returns" | b"list" | b"string" | b"array" | b"code" | b"def" | b"class"
                | b"import" | b"java" | b"sql" | b"input" | b"output" | b"tuple" | b"algorithm" | b"program" => Self::Code,
            b"prove" | b"show" | b"solve" | b"find" | b"evaluate" | b"simplify" | b"compute" | b"calculate" | b"determine"
                | b"express" | b"derive" => Self::Solve,
            b"equation" | b"polynomial" | b"triangle" | b"integer" | b"integers" | b"prime" | b"real" | b"matrix"
                | b"probability" | b"circle" | b"square" | b"angle" | b"radius" | b"digits" | b"divided" | b"positive"
                | b"sequence" | b"graph" | b"frac" | b"sqrt" | b"group" | b"ring" | b"field" => Self::Maths,
            b"best" | b"most" | b"likely" | b"following" | b"correct" | b"describes" | b"example" | b"called" | b"known" => Self::Exam,
            b"passage" | b"according" | b"author" | b"text" | b"refers" | b"information" | b"excerpt" | b"context" => Self::Passage,
            b"court" | b"law" | b"defendant" | b"plaintiff" | b"contract" | b"statute" | b"legal" | b"liable" | b"guilty"
                | b"murder" | b"property" | b"rights" => Self::Law,
            b"patient" | b"disease" | b"blood" | b"treatment" | b"medical" | b"clinical" | b"symptoms" | b"pain" | b"health"
                | b"drug" | b"cells" | b"cell" => Self::Medicine,
            b"energy" | b"force" | b"mass" | b"electron" | b"temperature" | b"reaction" | b"species" | b"gene" | b"velocity"
                | b"water" | b"light" | b"atom" | b"plants" => Self::Science,
            b"he" | b"she" | b"his" | b"her" | b"him" | b"they" | b"their" => Self::People,
            b"i" | b"you" | b"my" | b"me" | b"your" | b"we" | b"our" => Self::Self_,
            b"because" | b"therefore" | b"since" | b"thus" | b"so" | b"hence" | b"due" => Self::Reason,
            b"first" | b"second" | b"then" | b"after" | b"before" | b"next" | b"last" | b"finally" => Self::Order,
            b"write" | b"give" | b"explain" | b"describe" | b"summarize" | b"translate" | b"create" | b"generate" | b"list:"
                | b"please" | b"answer" => Self::Write,
            b"the" | b"a" | b"an" | b"of" | b"in" | b"to" | b"and" | b"for" => Self::Article,
            _ => return None,
        })
    }
}

/// What is counted on the way through the text.
#[derive(Default)]
struct Counts {
    bytes: u32,
    words: u32,
    letters_in_words: u32,
    long_words: u32,
    capitalised: u32,
    lines: u32,
    digits: u32,
    upper: u32,
    wide: u32,
    punctuation: u32,
    sentences: u32,
    numbers: u32,
    decimals: u32,
    years: u32,
    largest: f64,
    product: f64,
    symbols: Symbols,
    options: Options,
    groups: Groups,
    sentence: Sentence,
    asked: Sentence,
}

#[derive(Default)]
struct Symbols {
    operators: u32,
    dollars: u32,
    backslashes: u32,
    code: u32,
    questions: u32,
    blanks: u32,
    percents: u32,
    commas: u32,
    quotes: u32,
    dashes: u32,
    parentheses: u32,
    braces: u32,
}

/// Answers to choose from: lines that begin with a letter and a point or parenthesis.
#[derive(Default)]
struct Options {
    count: u32,
    bytes: u32,
    square: u64,
    longest: u32,
    numeric: u32,
    stem: Option<u32>,
}

/// How often words of each group stood.
#[derive(Clone, Copy)]
struct Groups([u16; GROUPS]);

impl Default for Groups {
    fn default() -> Self {
        Self([0; GROUPS])
    }
}

impl Groups {
    fn count(&mut self, group: Group) {
        let count = &mut self.0[group as usize];
        *count = count.saturating_add(1);
    }
}

/// What is counted anew in each sentence.
#[derive(Default, Clone, Copy)]
struct Sentence {
    words: u16,
    groups: Groups,
}

impl Hand {
    /// The features of a text; a long one is read at its beginning and its end.
    pub fn of(text: &str) -> Self {
        let mut counts = Counts::default();
        let (head, tail) = window(text);
        counts.read(head.as_bytes());
        counts.read(tail.as_bytes());
        counts.end_sentence();
        counts.features(text.len())
    }
}

impl Counts {
    fn read(&mut self, text: &[u8]) {
        let mut at = 0;
        let mut line_start = true;
        while at < text.len() {
            if line_start {
                line_start = false;
                at += self.option(&text[at..]);
                if at >= text.len() {
                    break;
                }
            }
            let byte = text[at];
            if byte.is_ascii_alphabetic() || byte >= 0x80 {
                at += self.word(&text[at..]);
            } else if byte.is_ascii_digit() {
                at += self.number(&text[at..]);
            } else {
                if byte == b'\n' {
                    self.lines += 1;
                    line_start = true;
                }
                self.symbol(byte, text.get(at + 1).copied());
                at += 1;
            }
        }
        self.bytes += text.len() as u32;
    }

    /// An option's mark at the start of a line; the bytes of the mark.
    fn option(&mut self, line: &[u8]) -> usize {
        let skip = usize::from(line.first() == Some(&b'('));
        let [letter, close, ..] = line[skip..] else { return 0 };
        if !(letter.is_ascii_uppercase() && letter <= b'J' && matches!(close, b'.' | b')')) {
            return 0;
        }
        let rest = &line[skip + 2..];
        let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let options = &mut self.options;
        options.stem.get_or_insert(self.words);
        options.count += 1;
        options.bytes += length as u32;
        options.square += (length * length) as u64;
        options.longest = options.longest.max(length as u32);
        options.numeric += u32::from(rest[..length].iter().any(u8::is_ascii_digit));
        skip + 2
    }

    fn word(&mut self, text: &[u8]) -> usize {
        let mut lower = [0u8; 12];
        let mut length = 0;
        while let Some(&byte) = text.get(length)
            && (byte.is_ascii_alphabetic() || byte >= 0x80 || (byte == b'\'' && length > 0))
        {
            if let Some(slot) = lower.get_mut(length) {
                *slot = byte.to_ascii_lowercase();
            }
            self.upper += u32::from(byte.is_ascii_uppercase());
            self.wide += u32::from(byte >= 0x80);
            length += 1;
        }
        self.words += 1;
        self.sentence.words = self.sentence.words.saturating_add(1);
        self.letters_in_words += length as u32;
        self.long_words += u32::from(length > 9);
        self.capitalised += u32::from(text[0].is_ascii_uppercase() && self.sentence.words > 1);
        if let Some(group) = lower.get(..length).and_then(Group::of) {
            self.groups.count(group);
            self.sentence.groups.count(group);
        }
        length
    }

    fn number(&mut self, text: &[u8]) -> usize {
        let (mut value, mut length, mut scale) = (0f64, 0, 0.0);
        while let Some(&byte) = text.get(length) {
            let digit_follows = text.get(length + 1).is_some_and(u8::is_ascii_digit);
            match byte {
                b'0'..=b'9' if scale > 0.0 => {
                    value += f64::from(byte - b'0') * scale;
                    scale /= 10.0;
                }
                b'0'..=b'9' => value = value * 10.0 + f64::from(byte - b'0'),
                b',' if digit_follows => {}
                b'.' if digit_follows && scale == 0.0 => scale = 0.1,
                _ => break,
            }
            self.digits += u32::from(byte.is_ascii_digit());
            length += 1;
        }
        self.numbers += 1;
        self.decimals += u32::from(scale > 0.0);
        self.years += u32::from((1000.0..=2100.0).contains(&value) && scale == 0.0);
        self.largest = self.largest.max(value);
        if value > 1.0 {
            self.product = (self.product + value.ln()).min(60.0);
        }
        length
    }

    fn symbol(&mut self, byte: u8, next: Option<u8>) {
        let s = &mut self.symbols;
        match byte {
            b'=' | b'+' | b'*' | b'^' | b'<' | b'>' | b'/' => s.operators += 1,
            b'$' => s.dollars += 1,
            b'\\' => s.backslashes += 1,
            b';' => s.code += 1,
            b'{' | b'}' | b'[' | b']' => s.braces += 1,
            b'_' => s.blanks += 1,
            b'%' => s.percents += 1,
            b',' => s.commas += 1,
            b'"' => s.quotes += 1,
            b'-' => s.dashes += 1,
            b'(' => s.parentheses += 1,
            b'?' => s.questions += 1,
            _ => {}
        }
        self.punctuation += u32::from(byte.is_ascii_punctuation());
        if matches!(byte, b'.' | b'?' | b'!' | b'\n') && next.is_none_or(|n| n.is_ascii_whitespace()) {
            self.sentences += u32::from(self.sentence.words > 0);
            self.end_sentence();
        }
    }

    /// The last sentence before any options is where the question stands.
    fn end_sentence(&mut self) {
        let sentence = std::mem::take(&mut self.sentence);
        if sentence.words > 0 && self.options.count == 0 {
            self.asked = sentence;
        }
    }

    fn features(&self, whole: usize) -> Hand {
        let log = |n: u32| (n as f32).ln_1p();
        let share = |n: u32| n as f32 / (self.bytes + 1) as f32;
        let of_words = |n: u32| n as f32 / (self.words + 1) as f32;
        let (s, o) = (&self.symbols, &self.options);
        let mean = o.bytes as f32 / o.count.max(1) as f32;
        let spread = (o.square as f32 / o.count.max(1) as f32 - mean * mean).max(0.0).sqrt();
        let shape: [f32; SHAPE] = [
            (whole as f32).ln_1p(),
            log(self.words),
            log(self.lines),
            of_words(self.letters_in_words),
            share(self.digits),
            share(self.punctuation),
            share(self.upper),
            share(self.wide),
            log(self.numbers),
            (self.largest as f32).min(1e12).ln_1p(),
            self.product as f32,
            log(self.decimals),
            log(self.years),
            log(s.operators),
            log(s.dollars),
            log(s.backslashes),
            log(s.code),
            log(s.braces),
            log(s.questions),
            log(s.blanks),
            log(s.percents),
            log(s.commas),
            log(s.quotes),
            log(s.dashes),
            log(s.parentheses),
            log(o.count),
            mean.ln_1p(),
            spread.ln_1p(),
            (o.longest as f32).ln_1p(),
            o.numeric as f32 / o.count.max(1) as f32,
            log(o.stem.unwrap_or(self.words)),
            of_words(self.long_words),
            of_words(self.capitalised),
            log(self.sentences),
            log(self.words / (self.sentences + 1)),
            log(u32::from(self.asked.words)),
            f32::from(u8::from(s.questions == 0)),
            f32::from(u8::from(o.count > 0)),
        ];
        let mut all = [0.0; HAND];
        all[..SHAPE].copy_from_slice(&shape);
        for (slot, count) in all[SHAPE..].iter_mut().zip(self.groups.0) {
            *slot = log(count.into());
        }
        for (slot, group) in all[SHAPE + GROUPS..].iter_mut().zip(ASKED_GROUPS) {
            *slot = log(self.asked.groups.0[group as usize].into());
        }
        Hand(all)
    }
}
