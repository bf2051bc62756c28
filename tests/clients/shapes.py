"""Whether a request is one that its provider could have been sent: by the types of the provider's own packages.

The mock takes nearly everything. These do not: an unknown member, a wrong type, a missing one is a fault. Requests that
were translated have to pass; what a client sends to a provider of its own dialect is its own business.
"""

import sys
from functools import cache
from typing import List, Optional

import anthropic.types.message_create_params
import botocore.session
import openai.types.chat.completion_create_params
import openai.types.responses.response_create_params
from botocore.validate import ParamValidator
from google.genai import types as google
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from typing_extensions import is_typeddict


class Gemini(BaseModel):
    """The package has types for the members, but none for the whole, which it writes by hand."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    contents: List[google.Content]
    system_instruction: Optional[google.Content] = None
    tools: Optional[List[google.Tool]] = None
    tool_config: Optional[google.ToolConfig] = None
    safety_settings: Optional[List[google.SafetySetting]] = None
    generation_config: Optional[google.GenerationConfig] = None


CHAT = openai.types.chat.completion_create_params
RESPONSES = openai.types.responses.response_create_params
MESSAGES = anthropic.types.message_create_params
TYPES = {
    # Whole, streamed.
    "openai": (CHAT.CompletionCreateParamsNonStreaming, CHAT.CompletionCreateParamsStreaming),
    "azure": (CHAT.CompletionCreateParamsNonStreaming, CHAT.CompletionCreateParamsStreaming),
    "responses": (RESPONSES.ResponseCreateParamsNonStreaming, RESPONSES.ResponseCreateParamsStreaming),
    "anthropic": (MESSAGES.MessageCreateParamsNonStreaming, MESSAGES.MessageCreateParamsStreaming),
    "gemini": (Gemini, Gemini),
    "vertex": (Gemini, Gemini),
}


@cache
def adapter(place, stream):
    return TypeAdapter(TYPES[place][stream])


@cache
def converse():
    return botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape


def check(seen):
    """Raises where the request that was seen is none of its provider's."""
    if seen.place == "bedrock":
        report = ParamValidator().validate(seen.body | {"modelId": "in the path"}, converse())
        assert not report.has_errors(), report.generate_report()
        return
    body = completed(seen.body) if seen.place == "responses" else seen.body
    try:
        adapter(seen.place, body.get("stream", False) is True).validate_python(body)
    except ValidationError as e:
        # Of a union's faults those that lie deepest are of the member that was meant.
        faults = sorted(e.errors(include_url=False), key=lambda fault: -len(fault["loc"]))
        listed = [f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults[:5]]
        raise AssertionError("\n".join(["not a request of its API:", *listed])) from None


def completed(body):
    """The API takes an earlier answer without the members that the package's type demands."""

    def part(p):
        return p | {"annotations": p.get("annotations", [])} if p.get("type") == "output_text" else p

    def item(i):
        if i.get("role") != "assistant" or isinstance(i.get("content"), str):
            return i
        defaults = {"type": "message", "id": "msg_1", "status": "completed"}
        return defaults | i | {"content": [part(p) for p in i["content"]]}

    return body | {"input": [item(i) for i in body["input"]]} if isinstance(body["input"], list) else body


def tighten(package):
    """The packages' types allow more than they say: unknown members, and iterables that nobody looks into."""
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{package}.types"):
            for lazy in ("Iterable", "SequenceNotStr"):
                if hasattr(module, lazy):
                    setattr(module, lazy, List)
            for value in list(vars(module).values()):
                if is_typeddict(value):
                    value.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


tighten("openai")
tighten("anthropic")
