"""The rule that gives a model its size tier, and with it a prior of quality until something better is measured:
small 0.55, medium 0.70, large 0.80, frontier 0.88.

It is a prior, not a verdict: it must only order models well enough that automatic routing is sensible on the first day.
In order:

1. Names that are no general chat model (embeddings, guards, OCR, speech, routers) have no tier.
2. FAMILIES: vendors whose names say how big a model is, each by its generation. The first pattern found decides.
   Where a new generation was cheaper or better than the old flagship, its small siblings move up with it: haiku 3 is
   small and haiku 3.5 medium; gemini 2.5 flash is medium and gemini 3 flash large.
3. Parameters in the name (`70b`, `8x22b`, `1.6t`; the active share `a3b` does not count): under 15 billion small, under 110 medium,
   else large. Parameters alone never make a frontier model. Families from before 2024 go one step down (OLD).
4. Words of size (mini, flash, large, ...).
5. The price of output in dollars per million tokens: under 0.5 small, under 2.5 medium, under 12 large, else frontier.
   Zero is no evidence. Nothing known: no tier.
"""

import re

SMALL, MEDIUM, LARGE, FRONTIER = TIERS = ("small", "medium", "large", "frontier")
PARAMETERS = "parameters"

NO_CHAT = re.compile(
    r"embed|rerank|guard|moderation|safety|ocr|tts|lyria|robotics|flux|container|router|^auto|computer-use"
    r"|whisper|sam-3|prover|minilm|^bge-|^gte-|^uae-|preset"
)

FAMILIES = [
    # OpenAI
    (r"gpt-oss", PARAMETERS),
    (r"gpt-3", SMALL),
    (r"gpt-4\.1-nano", SMALL),
    (r"gpt-4o-mini|gpt-4\.1-mini|gpt-audio-mini", MEDIUM),
    (r"gpt-4-?o|gpt-4\.|gpt-4-turbo|gpt-4-(0125|1106)|gpt-audio", LARGE),
    (r"gpt-4", MEDIUM),
    (r"gpt-[5-9].*nano", SMALL),
    (r"gpt-[5-9].*(mini|luna)", MEDIUM),
    (r"gpt-[5-9].*(terra|chat|search)", LARGE),
    (r"gpt-[5-9]|chat-latest", FRONTIER),
    (r"\bo1-mini|codex-mini", MEDIUM),
    (r"\bo[34]-mini", LARGE),
    (r"\bo[13]-pro|\bo3", FRONTIER),
    (r"\bo1\b", LARGE),
    # Anthropic
    (r"claude-instant|claude-v?[12]\b|claude-3-haiku", SMALL),
    (r"claude.*haiku|claude-3-sonnet", MEDIUM),
    (r"claude-3-opus", LARGE),
    (r"claude.*(opus|fable|mythos)", FRONTIER),
    (r"claude.*sonnet-(4[-.][5-9]|[5-9])", FRONTIER),
    (r"claude", LARGE),
    # Google
    (r"gemma", PARAMETERS),
    (r"gemini.*flash-lite", SMALL),
    (r"gemini-([3-9].*|omni.*)?flash(-latest)?", LARGE),
    (r"gemini.*flash|gemini-1\.0|gemini-pro$|medlm", MEDIUM),
    (r"gemini-1|gemini-exp|learnlm", LARGE),
    (r"gemini|^deep-research", FRONTIER),
    # xAI
    (r"grok.*(mini|code-fast)|grok-2|grok-build-0", MEDIUM),
    (r"grok.*(non-reasoning|fast|build)|grok-3|grok-1", LARGE),
    (r"grok", FRONTIER),
    # DeepSeek
    (r"deepseek.*(distill|-qwen)|deepseek-llm|deepseek-coder-\d+b", PARAMETERS),
    (r"deepseek.*lite", SMALL),
    (r"deepseek.*coder|deepseek.*v2", MEDIUM),
    (r"deepseek.*v[4-9].*pro", FRONTIER),
    (r"deepseek|mai-ds", LARGE),
    # Mistral
    (r"ministral|mistral-(tiny|nemo)|open-mistral|mathstral|mamba|voxtral-mini|mixtral-8x7b", SMALL),
    (r"mixtral|codestral|devstral-(small|medium|latest)|mistral-(small|code)|magistral-small|voxtral|vibe-cli-fast", MEDIUM),
    (r"mistral-(large|medium)|magistral|pixtral-large|vibe-cli", LARGE),
    # Moonshot
    (r"kimi-k[3-9]", FRONTIER),
    (r"kimi-(k2|latest)", LARGE),
    (r"moonshot-v1", MEDIUM),
    # Z.ai
    (r"glm-4-\d+b", PARAMETERS),
    (r"glm-4.*flash", SMALL),
    (r"glm-.*(flash|air|\dv)", MEDIUM),
    (r"glm-[4-9]", LARGE),
    # Alibaba
    (r"qwen.*(max|coder-plus)", LARGE),
    (r"qwen[\d.-]*turbo", SMALL),
    (r"qwen[\d.-]*(omni-)?(plus|flash|long)|qwen.*coder-(flash|next)|qwen-coder|qwen.*vl-plus|qwq", MEDIUM),
    # Cohere
    (r"command-r7b|command-.*light|command-text", SMALL),
    (r"command-a", LARGE),
    (r"command", MEDIUM),
    # Amazon
    (r"nova-micro|nova-lite|titan", SMALL),
    (r"nova-2-lite|nova-pro", MEDIUM),
    (r"nova-2-pro|nova-premier", LARGE),
    # Meta
    (r"llama-?4.*maverick", LARGE),
    (r"llama-?4.*scout", MEDIUM),
    (r"muse-wonder", FRONTIER),
    (r"muse-spark", LARGE),
    # Others
    (r"minimax.*flash", MEDIUM),
    (r"minimax", LARGE),
    (r"sonar.*(pro|reasoning|deep)", LARGE),
    (r"sonar", MEDIUM),
    (r"nemotron.*(ultra|super)", LARGE),
    (r"jamba.*large", MEDIUM),
    (r"jamba|\bj2-", SMALL),
    (r"mimo.*pro|\bbeam", LARGE),
    (r"mimo", MEDIUM),
    (r"phi-?[1-4]", SMALL),
]
FAMILIES = [(re.compile(pattern), tier) for pattern, tier in FAMILIES]

OLD = re.compile(
    r"llama-?v?2\b|llama2|code-?llama|mixtral|qwen-?v?1|gemma-?[27]b|\byi-|falcon|vicuna|zephyr"
    r"|hermes-2|nous-|dolphin|phind|mythomax|starcoder|wizardlm|openchat|openorca|dbrx|jais|internlm|capybara|pplx-"
)

WORDS = [
    (re.compile(r"\b(nano|tiny|micro|lite|mini|small|lightning|instant)\b"), SMALL),
    (re.compile(r"\b(flash|fast|medium|air|plus)\b"), MEDIUM),
    (re.compile(r"\b(large|max|pro|ultra|super)\b"), LARGE),
]


def parameters(name):
    """Parameters in billions that `name` states, the most where it states several; None where it states none."""
    found = [float(a) * float(b) for a, b in re.findall(r"(\d+)x(\d+(?:\.\d+)?)b(?![a-z])", name)]
    for number, unit in re.findall(r"(?<![a-z0-9.])e?(\d+(?:\.\d+)?)([bt])(?![a-z0-9])", name):
        found.append(float(number) * (1000 if unit == "t" else 1))
    return max(found, default=None)


def by_parameters(name):
    """The tier by parameters, or None."""
    billions = parameters(name)
    if billions is None:
        return None
    step = 0 if billions < 15 else 1 if billions < 110 else 2
    return TIERS[max(step - 1, 0) if OLD.search(name) else step]


def by_price(output):
    """The tier by dollars per million output tokens, or None."""
    if not output:
        return None
    return next((tier for below, tier in ((0.5, SMALL), (2.5, MEDIUM), (12, LARGE)) if output < below), FRONTIER)


def tier(provider, name, output=None):
    """The tier of a chat model, or None. `output` is its price in dollars per million output tokens."""
    short = name.lower().rsplit("/", 1)[-1]
    if provider == "fireworks":  # writes 3.1 as 3p1
        short = re.sub(r"(?<=\d)p(?=\d)", ".", short)
    if NO_CHAT.search(short) or "preset/" in name:
        return None
    family = next((tier for pattern, tier in FAMILIES if pattern.search(short)), None)
    if family not in (None, PARAMETERS):
        return family
    word = next((tier for pattern, tier in WORDS if pattern.search(short)), None)
    return by_parameters(short) or word or by_price(output)
