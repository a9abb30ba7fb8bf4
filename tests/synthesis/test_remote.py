"""An endpoint that limits, breaks, stalls and lies."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable

import pytest

from affinage.data.records import Message
from affinage.errors import InputError, RunError
from affinage.generation.chats import ChatSettings, NoAnswerError, RefusedError, Reply
from affinage.generation.endpoint import Endpoint
from affinage.generation.pauses import retry_after
from affinage.generation.remote import RemoteGenerator
from tests.synthesis.conftest import Serve
from tests.synthesis.server import Said

ASK = [[Message("user", "Say it.")]]
SETTINGS = ChatSettings(max_tokens=50, temperature=0.5, top_p=0.9, stop=("END",), seed=7)


def generator(url: str, key: str = "", **options: float) -> RemoteGenerator:
    return RemoteGenerator(Endpoint(url, key), "scripted", **{"retries": 3, "timeout": 5.0, **options})  # type: ignore[arg-type]


def test_a_request_says_what_was_asked_and_the_reply_what_was_used(serve: Serve) -> None:
    server = serve(lambda body, number: Said("Said.", finish="length", usage=(11, 5)))
    reply = generator(server.url).generate(ASK, SETTINGS)
    assert reply == [Reply("Said.", "length", 11, 5, "scripted")]
    assert server.requests == [
        {
            "model": "scripted", "messages": [{"role": "user", "content": "Say it."}], "max_tokens": 50,
            "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 7,
        }
    ]  # fmt: skip


def test_prompts_are_answered_in_order_by_the_named_models(serve: Serve) -> None:
    server = serve(lambda body, number: body["model"] + body["messages"][0]["content"])
    asked = [[Message("user", str(number))] for number in range(3)]
    replies = generator(server.url).generate(asked, SETTINGS, [None, "judge", None])
    assert [reply.text for reply in replies] == ["scripted0", "judge1", "scripted2"]


def test_usage_that_is_not_told_is_not_made_up(serve: Serve) -> None:
    server = serve(lambda body, number: Said("Said.", usage=None))
    (reply,) = generator(server.url).generate(ASK, SETTINGS)
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_trouble_that_passes_is_tried_again(serve: Serve, status: int) -> None:
    server = serve(lambda body, number: Said(status=status) if number < 2 else "Said.")
    teacher = generator(server.url)
    assert teacher.generate(ASK, SETTINGS)[0].text == "Said."
    assert (len(server.requests), teacher.retried) == (3, 2)


def test_pauses_double(serve: Serve) -> None:
    server = serve(lambda body, number: Said(status=500) if number < 3 else "Said.")
    generator(server.url).generate(ASK, SETTINGS)
    first, second, third = (later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False))
    assert first >= 0.0075
    assert second >= 0.015
    assert third >= 0.03


def test_a_rate_limit_is_waited_for_by_all_threads(serve: Serve) -> None:
    server = serve(lambda body, n: Said(status=429, headers={"Retry-After": "0.4"}) if n == 0 else "Said.")
    teacher = generator(server.url)
    began = time.monotonic()
    threads = [threading.Thread(target=teacher.generate, args=(ASK, SETTINGS)) for _ in range(3)]
    threads[0].start()
    time.sleep(0.2)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 4
    assert min(server.times[1:]) - began >= 0.4


def test_an_endpoint_that_stays_broken_is_given_up(serve: Serve) -> None:
    server = serve(lambda body, number: Said(status=503))
    with pytest.raises(NoAnswerError, match=r"^127\.0\.0\.1:\d+: 503: .*scripted trouble"):
        generator(server.url).generate(ASK, SETTINGS)
    assert len(server.requests) == 4


def test_a_slow_answer_is_asked_for_again(serve: Serve) -> None:
    server = serve(lambda body, number: Said("Said.", delay=1.0 if number == 0 else 0.0))
    assert generator(server.url, timeout=0.3).generate(ASK, SETTINGS)[0].text == "Said."
    assert len(server.requests) == 2


def test_nobody_at_the_address() -> None:
    with pytest.raises(NoAnswerError, match="no connection"):
        generator("http://127.0.0.1:9/v1", retries=1).generate(ASK, SETTINGS)


@pytest.mark.parametrize(
    "raw",
    [b"{not json", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": 3}]}', b"\xff\xfe", b"null",
     b'{"choices": [{"message": {"content": ["a"]}, "index": 0, "finish_reason": "stop"}]}', b"[" * 5000],
)  # fmt: skip
def test_what_is_not_of_the_protocol_is_never_a_traceback(serve: Serve, raw: bytes) -> None:
    server = serve(lambda body, number: Said(raw=raw) if number == 0 else "Said.")
    assert generator(server.url).generate(ASK, SETTINGS)[0].text == "Said."
    assert len(server.requests) == 2


def test_a_wrong_key_ends_it_and_is_not_shown(serve: Serve) -> None:
    error = {"message": "Incorrect API key provided: sk-very-secret."}
    server = serve(lambda body, number: Said(status=401, error=error))
    with pytest.raises(InputError, match="key is not accepted") as caught:
        generator(server.url, key="sk-very-secret").generate(ASK, SETTINGS)
    assert "sk-very-secret" not in str(caught.value)
    assert server.headers[0]["authorization"] == "Bearer sk-very-secret"
    assert len(server.requests) == 1
    assert "secret" not in repr(Endpoint(server.url, "sk-very-secret"))


def test_a_wrong_model_is_told_with_the_right_ones(serve: Serve) -> None:
    server = serve(lambda body, number: Said(status=404), models=("scripter", "other"))
    with pytest.raises(InputError, match=r"no model 'scripted'.*Did you mean 'scripter'\?") as caught:
        generator(server.url).generate(ASK, SETTINGS)
    assert caught.value.fix == "it serves: other, scripter"


def test_a_refused_request_is_not_tried_again(serve: Serve) -> None:
    server = serve(lambda body, number: Said(status=400, error={"message": "content filter"}))
    with pytest.raises(RefusedError, match="content filter"):
        generator(server.url).generate(ASK, SETTINGS)
    assert len(server.requests) == 1


def test_an_empty_account_ends_it(serve: Serve) -> None:
    server = serve(lambda body, number: Said(status=429, error={"message": "m", "code": "insufficient_quota"}))
    with pytest.raises(RunError, match="nothing left") as caught:
        generator(server.url).generate(ASK, SETTINGS)
    assert not isinstance(caught.value, NoAnswerError)
    assert len(server.requests) == 1


def test_a_very_long_pause_is_told_and_not_waited_for(serve: Serve) -> None:
    server = serve(lambda body, number: Said(status=429, headers={"Retry-After": "7200"}))
    with pytest.raises(RunError, match="asks to wait 7,200 s"):
        generator(server.url).generate(ASK, SETTINGS)


def test_settings_that_a_model_does_not_take_are_left_out(serve: Serve) -> None:
    def script(body: dict[str, object], number: int) -> Said | str:
        if "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Said(status=400, error={"message": said, "param": "max_tokens"})
        if "temperature" in body:
            return Said(status=400, error={"message": "Unsupported value", "param": "temperature"})
        return "Said."

    server = serve(script)
    teacher = generator(server.url)
    assert [teacher.generate(ASK, SETTINGS)[0].text for _ in range(2)] == ["Said.", "Said."]
    assert len(server.requests) == 4
    assert teacher.left_out == {"temperature"}
    assert server.requests[-1]["max_completion_tokens"] == 50


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    elsewhere = serve(lambda body, number: "Said.")
    target = f"{elsewhere.url}/chat/completions"
    server = serve(lambda body, number: Said(status=307, headers={"Location": target}))
    with pytest.raises(InputError, match="redirect"):
        generator(server.url).generate(ASK, SETTINGS)
    assert elsewhere.requests == []


def test_no_proxy_stands_before_this_machine(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(lambda body, number: "From afar."), serve(lambda body, number: "From here.")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert generator(server.url).generate(ASK, SETTINGS)[0].text == "From here."


def test_a_stop_ends_the_waiting(serve: Serve) -> None:
    server = serve(lambda body, number: Said(status=429, headers={"Retry-After": "60"}))
    teacher = generator(server.url)
    threading.Timer(0.2, teacher.stop.set).start()
    began = time.monotonic()
    with pytest.raises(NoAnswerError):
        teacher.generate(ASK, SETTINGS)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000/v1", True), ("http://localhost/v1", True), ("http://[::1]:80/v1", True),
        ("http://0.0.0.0:8000/v1", True), ("http://127.8.9.1/v1", True), ("http://models.localhost/v1", True),
        ("http://192.168.1.5:8000/v1", False), ("https://api.example.com/v1", False),
        ("http://localhost.example.com/v1", False), ("http://127.0.0.1.example.com/v1", False),
        ("http://[2001:db8::1]/v1", False),
    ],
)  # fmt: skip
def test_which_hosts_are_this_machine(url: str, here: bool) -> None:
    assert Endpoint(url).here is here


@pytest.mark.parametrize("url", ["ftp://host/v1", "http:///v1", "file:///etc/passwd"])
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(InputError, match="not the URL of an endpoint"):
        Endpoint(url)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        Endpoint("https://user:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "holds"),
    [
        ({"retry-after": "2.5"}, lambda s: s == 2.5),
        ({"retry-after-ms": "300", "retry-after": "2"}, lambda s: s == 0.3),
        ({"retry-after": "-3"}, lambda s: s == 0),
        ({"retry-after": "soon"}, lambda s: s is None),
        ({"retry-after": "nan"}, lambda s: s is None),
        ({}, lambda s: s is None),
    ],
)
def test_retry_after(headers: dict[str, str], holds: Callable[[float | None], bool]) -> None:
    assert holds(retry_after(headers))


def test_retry_after_as_a_date() -> None:
    asked = retry_after({"retry-after": email.utils.formatdate(time.time() + 60, usegmt=True)})
    assert asked is not None
    assert 40 < asked <= 61
