//! The phrases that tell what a request asks for and how hard it looks: one table, one automaton.
//!
//! In a table's phrases, `|` separates; a phrase matches whole words, or any ending where it ends in `*`. Case of ASCII does
//! not matter. A phrase that begins or ends outside ASCII (Chinese, Japanese, accents) needs no word boundary there, and
//! is also found written in `\uXXXX`. Weights: 1 is a hint, 3 by itself decides.

use super::Task;
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};
use std::sync::LazyLock;

/// What a phrase is a sign of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sign {
    /// A task, with a weight.
    For(Task, f32),
    /// A task, and a term of a hard field: the weight of each.
    HardFor(Task, f32, f32),
    /// Something trivial.
    Easy,
    /// A requirement on the answer: each occurrence counts.
    Constraint,
    /// Asks for thinking in steps.
    Think,
    /// Refers to what was said before.
    FollowUp,
    /// Opens or closes a conversation.
    Greeting,
    /// A quotation mark: what it encloses is material rather than instruction.
    Quote,
    /// Material follows, to the end of the text.
    Material,
}

use Sign::{Constraint, Easy, FollowUp, For, Greeting, HardFor, Material, Quote, Think};
use Task::{Classification, Code, Extraction, Math, Qa, Reasoning, Summary, Translation, Writing};

const TABLE: &[(Sign, &str)] = &[
    // Code
    (
        For(Code, 3.0),
        "refactor*|unit test*|stack trace|traceback (most recent|exception in thread|segmentation fault|segfault*|\
        compile error|write a function|write a script|write a program|write a class|write code|code review|debug|debugging|\
        cannot read propert*|is not a function|undefined reference|nullpointerexception|borrow checker|merge conflict|\
        regex|regular expression*|docker-compose|dockerfile|eine funktion|une fonction en|una función|uma função|\
        sql query|pull request|implement a|implement the|implementiere*|fix the bug|fix this bug|fix this code|\
        写一个函数|写代码|代码|函数|関数|コード|функци*|напиши код",
    ),
    (
        For(Code, 2.0),
        "```*|python*|javascript|typescript|golang|kotlin|c++|c#|rust|java|php|ruby|perl|haskell|sql|bash|numpy|pandas|\
        pytorch|django|flask|fastapi|react|vue|angular|node.js|tokio|kubernetes|docker|terraform|css|html|\
        *.py|*.rs|*.js|*.ts|*.tsx|*.jsx|*.cpp|*.java|*.go|*.sh|*.sql|*.toml|*.rb|\
        *def *|*fn *|*();*|*});*|*=> {*|*#include*|public class|public static|select * from|console.log|println*|printf*|\
        *import *|typeerror*|valueerror*|keyerror*|syntaxerror*|attributeerror*|error[e*|git rebase|git merge|pip install|npm *|cargo *|\
        programm|codebase|source code|pseudocode",
    ),
    (
        For(Code, 1.2),
        "function|functions|code|script|bug|bugs|compile*|compiler*|api|endpoint|class|method|variable|array|loop|recursion|recursive*|\
        crash|crashes|crashing|exception|syntax|library|repository|backend|frontend|database|schema|query|json schema|async|await|\
        algorithm|linked list|binary tree|hash map|hashmap|lru cache|parser|cli|stdin|stdout",
    ),
    (
        HardFor(Code, 2.0, 1.6),
        "race condition*|data race*|deadlock*|lock-free|memory order*|happens-before|use-after-free|thread-safe*|\
        thread safe*|concurren*|mutex*|goroutine*|lifetimes|undefined behavio*|memory leak*|wait-free|atomics|semaphore*|nebenläufig*",
    ),
    (
        HardFor(Code, 1.2, 1.2),
        "dynamic programming|garbage collect*|type inference|query planner|transaction isolation|b-tree|simd|compiler pass|\
        kernel module|cache invalidation|segment tree|backtracking|scheduler|idempoten*|o(n log n)|o(1)|o(log n)|big-o|time complexity",
    ),
    // Distributed systems and design
    (
        HardFor(Reasoning, 1.5, 1.8),
        "linearizab*|serializab*|consensus|paxos|byzantine|crdt*|vector clock*|split brain|split-brain|\
        exactly-once|exactly once|two-phase commit|quorum*|network partition*|cap theorem|distributed system*|distributed transaction*|\
        eventual consistency|eventually consistent|leader election|failover|multi-region|verteilte* system*|分布式|分散システム",
    ),
    (
        HardFor(Reasoning, 1.2, 1.0),
        "raft|sharding|replication|event sourcing|system design|microservice*|architecture|trade-off*|tradeoff*|\
        threat model|scalab*|high availability|migration plan|root cause",
    ),
    // Mathematics
    (
        HardFor(Math, 3.0, 2.2),
        "prove|proof|proofs|disprove|prove or refute|prove or disprove|theorem*|lemma|conjecture|riemann*|\
        beweise|beweisen|beweis|zeige, dass|zeigen sie, dass|satz von|démontre*|prouve*|preuve|montrer que|montre que|demuestra*|demuestre*|\
        demostra*|dimostra*|prove que|demonstre*|证明|證明|証明|докажи*|докажите|доказать|доказательств*|定理",
    ),
    (
        HardFor(Math, 2.0, 1.4),
        "twin prime*|prime number*|primes|primzahl*|nombres premiers|nombre premier|números primos|numeri primi|素数|質数|простых чисел|простые числа|irrational|\
        infinitely many|infinite number|unendlich viele|une infinité|number theory|zahlentheorie|diophantin*|modular form*|elliptic curve*|\
        galois|homomorphis*|isomorphi*|homeomorph*|homotop*|manifold*|topolog*|abelian|eigenvalue*|eigenvector*|banach|hilbert|measure theory|\
        uncountable|cardinality|axiom of choice|differential equation*|differentialgleichung*|équation différentielle|ordinary differential|\
        partial derivative*|lebesgue|cauchy|martingale*|ergodic|markov chain*|generating function*|by induction|by contradiction|\
        convergen*|diverge*|uniformly|lagrang*|hessian|jacobian|fourier*|laplace*|tensor*|stochastic*|bijection|surjective|injective|\
        irreducib*|polynomial ring|finite field*|combinatori*|pigeonhole|euler*|fermat*|goldbach|微分方程|特征值|固有値",
    ),
    (
        HardFor(Math, 2.0, 0.7),
        "integral*|integrate|derivative*|differentiate|equation*|solve for|probabilit*|matrix|matrices|determinant|polynomial*|\
        modulo|factorial|logarithm*|trigonometr*|quadratic|limit of|series|gleichung*|wahrscheinlichkeit*|équation*|probabilité*|ecuación*|ecuaciones|\
        equazion*|equação|вероятност*|уравнени*|方程|積分|积分|概率|確率|sqrt*|√*|∑*|∫*|∂*|*\\\\frac*|*\\\\sum*|*\\\\int*|*\\\\mathbb*|permutation*|expected value|variance|standard deviation",
    ),
    (
        For(Math, 2.0),
        "calculate|compute the|how much is|what is the sum|square root|percent of|% of|berechne*|calcule*|calcula|calcola|计算|計算|вычисли*|посчитай*|\
        remainder|divided by|multiplied by|arithmetic|area of|volume of|perimeter",
    ),
    (
        For(Math, 3.0),
        "evaluate the integral|evaluate the limit|evaluate the sum|find the limit|find the derivative|find all integer*|find all real*|solve the equation",
    ),
    (For(Math, 0.8), "plus|minus|times|average|median|percent|percentage|how many"),
    // Medicine
    (
        HardFor(Reasoning, 1.8, 1.7),
        "year-old*|yo male|yo female|*-jährige*|jährige patient*|ans, *|st elevation|st-elevation|chest pain|mmhg|bp *|\
        ecg|ekg|troponin|differential diagnos*|diagnos*|contraindicat*|kontraindikation*|contre-indication*|presents with|presenting with|\
        shortness of breath|dyspn*|tachycard*|bradycard*|hypotens*|hypertens*|sepsis|septic|lactate|creatinine|gcs|anaphyla*|metasta*|\
        biopsy|warfarin|heparin|metformin|amiodarone|mg/dl|mg/kg|mmol/l|renal failure|kidney injury|pulmonary embol*|stroke|myocardial|\
        next step in management|clinical|symptom*|brustschmerz*|douleur thoracique|dolor torácico|胸痛|诊断|診断|患者|症状|диагноз*|dosage|dosing",
    ),
    (
        HardFor(Reasoning, 0.8, 0.9),
        "patient*|patiente*|paciente*|pregnan*|fever|vomiting|antibiotic*|next step|spo2|bpm|insulin|dose|pediatric|neonat*",
    ),
    // Law
    (
        HardFor(Reasoning, 1.8, 1.7),
        "jurisdiction*|plaintiff*|defendant*|statute*|tort|breach of contract|negligen*|fiduciary|indemnif*|\
        liable|liability|haftung|haftet|bgb|§*|gdpr|dsgvo|rgpd|constitutional*|case law|precedent|estoppel|force majeure|promissory|\
        statute of limitations|injunction|vertragsbruch|schadensersatz*|kündigungsschutz*|code civil|responsabilité civile|código civil|\
        intellectual property|patent infring*|antitrust|hearsay|misrepresentation|specific performance|under german law|under english law",
    ),
    (
        HardFor(Reasoning, 0.8, 0.5),
        "contract law|court|lawsuit|legal|clause|tenant|landlord|employer|compliance|regulat*|tax treaty",
    ),
    // Logic, science, finance
    (
        HardFor(Reasoning, 1.8, 1.5),
        "if and only if|valid argument|logically valid|modal logic|first-order|predicate logic|satisfiab*|syllogism|entail*|\
        knights and knaves|knight or a knave|truth-teller*|premise*|np-hard|np-complete|undecidab*|turing machine|halting problem|\
        gödel*|goedel*|invariant*|soundness|completeness|∀*|∃*|⊢*|counterexample*|decidab*|equivalence relation|game theory|nash equilibri*|\
        schrödinger*|schroedinger*|hamiltonian|quantum*|relativity|thermodynamic*|entropy|enthalpy|stoichiometr*|navier*|maxwell*|\
        black-scholes|arbitrage|confound*|causal*|identif* assumption*|instrumental variable*|statistical power|bayesian",
    ),
    (
        HardFor(Reasoning, 1.2, 1.1),
        "derive|derivation|derived|deriving|herleit*|paradox*|puzzle|riddle|logik*|logic|deduce|infer|optimi*|np|experiment design|\
        reaction mechanism|equilibrium|monte carlo|推导|推論|逻辑|論理",
    ),
    (For(Reasoning, 1.5), "design a|design an|plan|planning"),
    (
        For(Reasoning, 2.0),
        "analyze|analyse|analysiere*|analysez|analiza|evaluate|assess|compare|vergleiche*|comparez|compara|pros and cons|should we|should i|\
        what would happen if|why does|why do|why is|why are|explain why|argue|strategy|plan a|plan the|make a plan|decide|recommend|best approach|分析|比较|比較|сравни*|проанализируй*",
    ),
    // Extraction
    (
        For(Extraction, 3.0),
        "extract*|extrahier*|extrais|extraire|extrae|extraer|estrai|extraia|extrair|提取|抽取|抽出|извлеки*|извлечь|pull out|named entit*|\
        list all the|find all|identify all|return the fields|as json with|json with the keys|json with keys|with these fields|following fields|key-value pair*",
    ),
    (For(Extraction, 1.2), "invoice number|phone number*|email addresses|all dates|all names|entities|fields:|parse"),
    // Classification
    (
        For(Classification, 3.0),
        "classif*|clasific*|klassifizier*|categori*|kategorisier*|sentiment*|stimmung|spam or|spam?|is this spam|positive or negative|\
        positive, negative|one of the following|choose one of|which of these categories|label the|label this|label each|分类|分類|情感|классифицируй*|\
        tonalit*|true or false|answer yes or no|yes or no|intent of|toxic or|rate the following|hate speech",
    ),
    (
        For(Classification, 1.8),
        "label:*|labels:*|category:*|categories:*|sentiment:*|intent:*|class:*|one word:*|answer with only|only with the label|reply with only",
    ),
    // Summary
    (
        For(Summary, 3.0),
        "summar*|zusammenfass*|fasse|fass|résum*|resum*|riassum*|riassunto|总结|總結|摘要|概括|要約|まとめて|резюм*|кратко изложи*|суммируй*|tl;dr|tldr|condense|\
        key points|main points|main ideas|key takeaways|recap|in a nutshell|kernaussagen|shorten this|shorten the|executive summary",
    ),
    (
        For(Summary, 1.2),
        "in one sentence|in two sentences|in three sentences|bullet points|summary:*|abstract|gist|briefly",
    ),
    // Translation
    (
        For(Translation, 3.2),
        "translat*|übersetz*|Übersetz*|uebersetz*|tradui*|traduc*|traduz*|traduce|tradurre|翻译|翻譯|翻訳|訳して|перевед*|перевод*|번역*|vertaal*|przetłumacz*|\
        how do you say|wie sagt man|comment dit-on|cómo se dice|come si dice|como se diz|用英语怎么说|英語で何|как сказать",
    ),
    (
        For(Translation, 1.6),
        "into english|into german|into french|into spanish|into italian|into portuguese|into russian|into chinese|into japanese|into korean|\
        into dutch|into polish|to german|to french|to spanish|to english|to italian|to japanese|to chinese|to russian|to portuguese|ins englische|ins deutsche|ins französische|ins spanische|\
        auf englisch|auf deutsch|en anglais|en français|en allemand|al inglés|al español|in inglese|para inglês|на английский|на русский|на немецкий|成英文|成中文|英文に|英語に|日本語に|translation:*|german:*|french:*|english:*",
    ),
    // Writing
    (
        For(Writing, 3.0),
        "write a poem|write a story|write a short story|write an essay|write an email|write a letter|write a blog*|write an article|write a speech|\
        write a song|write a haiku|write a cover letter|write a post|write a tweet|write a product desc*|write a slogan|write a limerick|write me a|\
        draft a|draft an|cover letter|rewrite|rephrase|paraphrase|proofread|blog post|schreibe ein*|schreib ein*|verfasse*|écris*|rédige*|escribe*|redacta*|\
        scrivi*|escreva*|写一首|写一篇|写一封|作文|書いて|напиши письмо|напиши стих*|напиши рассказ|more formal|more concise|more friendly|slogan|tagline|screenplay|lyrics",
    ),
    (
        For(Writing, 1.5),
        "poem|haiku|essay|limerick|sonnet|e-mail to|email to|caption|gedicht|brief an|poème|poema|poesia|tone of voice|write about|write",
    ),
    (For(Writing, 0.8), "story|novel|letter|speech|creative|fiction|dialogue|draft|wording"),
    // Questions
    (
        For(Qa, 1.3),
        "what is|what's|what are|what was|who is|who was|who wrote|who won|when did|when was|when is|where is|where was|which country|which|how many|how old|how tall|how far|\
        what does|what year|was ist|was sind|wer ist|wer war|wann|wo ist|wo liegt|wie viele|wie heißt|welche*|quelle est|quel est|qu'est-ce|qui est|qui a|combien|où se|\
        cuál es|qué es|quién|cuántos|cuántas|dónde|qual è|cos'è|chi è|quanti|qual é|o que é|quem|quantos|onde fica|什么是|是什么|是谁|谁|哪个|多少|とは|何ですか|誰|どこ|いくつ|\
        что такое|кто такой|кто|когда|сколько|где находится|define|meaning of|stand for|explain what",
    ),
    (
        For(Qa, 2.0),
        "capital of|capitale de|capital de|hauptstadt*|首都|столица|population of|boiling point|chemical symbol|author of|president of|currency of|tallest|largest|longest|inventor of|invented",
    ),
    (
        Easy,
        "capital of|capitale de|capital de|hauptstadt*|首都|столица|in one word|one word|hello|hi|hey|boiling point|chemical symbol|how old|how tall|tell me a joke|joke|\
        what time|what day|how do you say|color|colour|hello world|simple|just|fun fact",
    ),
    // Conversation
    (
        Greeting,
        "hi|hello|hey|hey there|hiya|yo|good morning|good evening|good night|how are you|what's up|thanks|thank you|thx|ok|okay|great|cool|bye|goodbye|nice|\
        hallo|guten tag|guten morgen|danke|wie geht*|tschüss|bonjour|salut|merci|ça va|hola|gracias|buenos días|qué tal|ciao|grazie|buongiorno|olá|oi|obrigad*|bom dia|\
        你好|您好|谢谢|早上好|こんにちは|ありがとう|おはよう|안녕하세요|привет|здравствуй*|спасибо|как дела|tell me a joke|who are you|how is your day",
    ),
    (
        FollowUp,
        "and now|and in|now in|now|what about|how about|continue|go on|keep going|why|why not|more|again|same for|the same|instead|shorter|longer|simplify|elaborate|\
        und jetzt|und nun|weiter|warum|und in|et maintenant|continue*|pourquoi|y ahora|por qué|sigue|continúa|e ora|perché|e agora|继续|为什么|続けて|なぜ|продолж*|почему|а теперь|\
        explain that|explain it|that one|the second one|the first one|another one|try again|fix it|do it|yes|and|also",
    ),
    (
        Think,
        "step by step|step-by-step|think carefully|think hard|reason through|show your work|show your reasoning|show all steps|explain your reasoning|chain of thought|\
        schritt für schritt|étape par étape|paso a paso|passo dopo passo|passo a passo|一步一步|逐步|ステップ|пошагово|шаг за шагом|justify|rigorous*|carefully|begründe*|justifie*|in detail|thorough*",
    ),
    (
        Constraint,
        "must|must not|at least|at most|exactly|no more than|without|ensure|only if|unless|except|subject to|should not|do not|don't|require*|constraint*|assume|given that|such that|\
        first|then|finally|additionally|1. |2. |3. |4. |5. |a) |b) |c) |muss|mindestens|höchstens|genau|ohne|doit|au moins|sans|debe|al menos|sin|必须|至少|不得|必ず|以上|必須|должен|не менее|без",
    ),
    (Quote, "*\\\"*|*“*|*”*|*„*|*«*|*»*"),
    (Material, "*:\\n*|*: \\n*|*---\\n*|*<text>*|*<document>*|*<article>*"),
];

/// Words that are also recognised with one letter wrong, missing, added or swapped. What they are signs of is what the table
/// says of them.
pub(super) const MISSPELT: &str = "translate translation summarize summarise summary classify categorize sentiment extract calculate python javascript \
    typescript refactor function algorithm theorem prove lemma conjecture primes infinite irrational integral derivative equation probability \
    polynomial eigenvalue convergence diagnosis symptoms contraindicated jurisdiction plaintiff defendant liability negligence statute deadlock concurrency \
    linearizable consensus invariant premise syllogism derivation rewrite paraphrase essay poem capital hauptstadt übersetze zusammenfassung beweise";

/// One phrase of the table.
struct Cue {
    sign: Sign,
    open_start: bool,
    open_end: bool,
}

/// The compiled table.
pub(super) struct Cues {
    dfa: DFA,
    /// By pattern of the automaton.
    cues: Vec<Cue>,
}

pub(super) static CUES: LazyLock<Cues> = LazyLock::new(Cues::new);

impl Cues {
    /// At most so many phrases, spellings in escapes included; a test counts them.
    pub(super) const MAX: usize = 2048;

    fn new() -> Self {
        let (mut patterns, mut cues) = (Vec::new(), Vec::new());
        for (sign, phrases) in TABLE {
            for phrase in phrases.split('|') {
                let bare = phrase.strip_prefix('*').unwrap_or(phrase);
                let stem = bare.strip_suffix('*').unwrap_or(bare);
                let mut add = |pattern: String| {
                    let edge = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_alphanumeric());
                    let bytes = pattern.as_bytes();
                    let open_start = bare.len() < phrase.len() || edge(bytes.first());
                    let open_end = stem.len() < bare.len() || edge(bytes.last()) || escaped_end(&pattern);
                    patterns.push(pattern);
                    cues.push(Cue { sign: *sign, open_start, open_end });
                };
                add(stem.to_owned());
                if !stem.is_ascii() {
                    add(escape(stem));
                }
            }
        }
        let dfa = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .build(&patterns)
            .expect("a table of short phrases makes a small automaton");
        Self { dfa, cues }
    }

    /// Calls `found` with every phrase in `text`: its number, its sign and where it is.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(usize, Sign, std::ops::Range<usize>)) {
        let Ok(mut state) = self.dfa.start_state(Anchored::No) else { return };
        for (at, &b) in text.iter().enumerate() {
            state = self.dfa.next_state(Anchored::No, state, b);
            if !self.dfa.is_special(state) || !self.dfa.is_match(state) {
                continue;
            }
            for ix in 0..self.dfa.match_len(state) {
                let pattern = self.dfa.match_pattern(state, ix);
                let cue = &self.cues[pattern.as_usize()];
                let range = at + 1 - self.dfa.pattern_len(pattern)..at + 1;
                if (cue.open_start || word_begins(text, range.start)) && (cue.open_end || word_ends(text, range.end)) {
                    found(pattern.as_usize(), cue.sign, range);
                }
            }
        }
    }

    /// How many patterns there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.cues.len()
    }

    /// Bytes that the automaton takes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.dfa.memory_usage()
    }
}

/// No letter or digit before `at`, or one that belongs to an escape such as `\n`.
fn word_begins(text: &[u8], at: usize) -> bool {
    match &text[..at] {
        [.., b'\\', b'n' | b't' | b'r'] | [] => true,
        [.., last] => !last.is_ascii_alphanumeric(),
    }
}

fn word_ends(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|b| !b.is_ascii_alphanumeric())
}

/// Whether a pattern ends in `\uXXXX`.
fn escaped_end(pattern: &str) -> bool {
    pattern.len() >= 6 && pattern.as_bytes()[pattern.len() - 6..].starts_with(b"\\u")
}

/// With what is not ASCII written as JSON's `\uXXXX`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|u| out.push_str(&format!("\\u{u:04x}")));
        }
    }
    out
}
