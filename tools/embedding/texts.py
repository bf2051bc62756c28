"""Texts on which the tokenizer in Rust is held to the published one. Each shows a rule or a trap."""

TEXTS = [
    "",
    " \t\r\n\u00a0\u2003\u3000",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog, and nobody in the unaffable neighbourhood notices.",
    "unaffable embeddings tokenization electroencephalographically",
    # Case, accents, composed and not; a dotted capital I, a sharp s, a final sigma, ligatures.
    "Crème BRÛLÉE, naïve façade, Ångström, e\u0301te\u0301, \u0301\u0302",
    "İstanbul IĞDIR ıssız Straße ẞ ﬁn ŒUVRE Æsir",
    "Οδυσσεύς ΣΊΣΥΦΟΣ ἀρχῇ \u037e \u0387 \u1fef",
    "Привет, МИР! Ёлка и йод — «кавычки».",
    "مرحبا بالعالم، كيف حالك؟ السَّلَامُ عَلَيْكُم",
    "שָׁלוֹם עולם",
    "नमस्ते दुनिया। ภาษาไทย தமிழ்",
    "你好，世界。漢字かな交じり文、カタカナ。ﾊﾝｶｸ ガ がぎ",
    "한국어 문장입니다.",
    "豈更 \uf900\U0002f800 \U00020000\U0002b820 中a文b",
    "Tiếng Việt: người dùng hỏi gì?",
    # Symbols: emoji with joiner, skin and flag; currency; mathematics; typography.
    "I \u2764\ufe0f this 😀👍🏽 👩\u200d💻 🇩🇪!",
    "€5 £10 ¥100 ¢ $1,234.56 50% №5 §3 ©®™ °C ±½ ×÷",
    "∑_{i=1}^n x_i² ≤ ∫₀^∞ e^{-x} dx → ∀ε>0 ∃δ, √2≈1.414",
    "“curly” ‘quotes’ – en — em … ‹› • · ¿Qué? ¡No! ´`¨^~",
    "0 12 123 12345 3.14159 1e-9 0xDEADBEEF 2026-11-27T16:41:48Z 1,000,000 ١٢٣ ①②",
    # Code and mark-up.
    "def fib(n: int) -> int:\n\treturn n if n < 2 else fib(n-1) + fib(n-2)  # O(2**n)",
    "fn main() { println!(\"{:?}\", vec![1u8; 3].iter().map(|x| x << 1)); }",
    "SELECT * FROM users WHERE name LIKE '%o\\'brien%' AND id != 0; -- <b>&amp;</b>",
    "https://example.org/path?q=a%20b&lang=en#frag user.name+tag@mail.example snake_case camelCase kebab-case",
    "{\"role\":\"user\",\"content\":null,\"n\":[1,2.5e3,true]}",
    "##ing ## #1 C# C++ .NET a##b",
    # Words at the limit, above it, and one whose accents bring it back under.
    "a" * 100,
    "a" * 101,
    "b" * 5000 + " and",
    "e\u0301" * 100 + " " + "e\u0301" * 101,
    "é" * 100,
    "汉" * 30,
    "я" * 101,
    "pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschifffahrtsgesellschaft",
    # Controls, formats and private use vanish, and so do not split.
    "con\u0000trol \u0007be\u001bll \u007fdel \u0085nel zero\u200bwidth so\u00adft bom\ufeff \ufffd \ue000pri\U000f0000vate",
    "left\u200eright\u202eover line\u2028para\u2029graph vt\u000bff\u000c fs\u001cgs",
    "\u1680ogham\u2000\u2001quad\u202fnarrow\u205fmath",
    # Nothing in the vocabulary: the word is one unknown, its neighbours are not.
    "known 𓀀𓀁 known aб𓀀 known ꙮ",
    "ﷺ ㍿ Ⅷ ℵ ﬀ ㎏ ＡＢＣ！ｄｅ",
    "x" * 50 + "𓀀" + "x" * 20,
    "Zalgo: h̷̛͎e̸͠l̴p̶̚ ok",
    "A\tB\nC\rD\r\nE",
    "don't can't I'm we'll rock'n'roll o’clock",
]
