"""A gateway that is told to stop while clients are being answered."""

import openai
import pytest

from conftest import CLIENT_KEY, PATIENCE, eventually, said


@pytest.fixture
def own(start_gateway):
    """A gateway of this test's own, and a client of it."""
    with start_gateway() as process:
        url = f"{process.url}/v1"
        with openai.OpenAI(base_url=url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE) as client:
            yield process, client


def test_a_stream_in_progress_is_finished(own):
    process, client = own
    prompt = said("simulate[tokens=60,per_token_ms=10]")
    stream = client.chat.completions.create(model="sim", messages=prompt, stream=True)
    chunks = [next(stream)]
    process.child.terminate()
    eventually(lambda: "draining" in process.log.read_text())
    chunks += stream
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert process.child.wait(PATIENCE) == 0
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="sim", messages=said("too late"))
