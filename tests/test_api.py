"""Models behind an API: a real server, a proxy that breaks things, no answer lost, none paid twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from fourier_addition.answers import written_number
from fourier_addition.api.backoff import asked_wait, back_off
from fourier_addition.api.client import Transport, query
from fourier_addition.api.journal import Journal, journal_path
from fourier_addition.api.key import key_from_environment
from fourier_addition.api.pricing import Prices, counted_tokens, estimated_tokens, largest_tokens
from fourier_addition.api.request import MalformedResponse, api_prompts, api_request, reply_of
from fourier_addition.api.summary import HEADINGS, accuracy_of, api_table, bill, plan, predictions_table
from fourier_addition.errors import UserError
from fourier_addition.files.manifests import read_json
from fourier_addition.intervals import wilson_interval
from fourier_addition.pipeline.config import validated
from fourier_addition.tasks import Task, dataset
from hypothesis import given
from hypothesis import strategies as st
from openai_server import FaultyProxy, save_parrot, serving
from study import ROOT, copy_of_the_tree, snakemake

KEY = "sk-test-0a1b2c3d4e5f-never-written"
PRICES = Prices(prompt=1000.0, completion=2000.0, currency="EUR")
TASK = {
    "operation": "addition",
    "operands": [0, 8],
    "answer": "bare",
    "operand_order": "random",
    "fractions": [0.1, 0.2],
    "seed": 0,
}
QUICK = Transport(concurrency=4, timeout=300, retries=4, backoff=0.02, longest_wait=5)


@pytest.fixture(scope="module")
def examples():
    """A task of 45 pairs: 4 train, 9 validation, 32 test."""
    return dataset(Task.from_config("sums", TASK))


@pytest.fixture(scope="module")
def replies(examples):
    """What the model is taught to reply: mostly the sum, sometimes 10 less or more, 1 more, a word."""
    test = examples[examples["split"] == "test"]
    taught = {}
    for place, row in enumerate(test.itertuples()):
        wrong = {0: row.answer + (10 if row.answer < 10 else -10), 1: row.answer + 1, 2: "what"}
        taught[row.prompt.rstrip()] = str(wrong.get(place % 8, row.answer))
    return taught


@pytest.fixture(scope="module")
def upstream(replies, tmp_path_factory):
    """`transformers serve` with the taught model: its port and its model's name."""
    folder = tmp_path_factory.mktemp("server")
    # A chat asks the same text with a space after it, which the tokenizer drops.
    save_parrot(replies, folder / "model")
    with serving(folder / "model", folder / "log") as port:
        yield SimpleNamespace(port=port, model=str(folder / "model"))


@pytest.fixture()
def proxy(upstream):
    with FaultyProxy(upstream.port).running() as running:
        yield running


@pytest.fixture()
def ask(upstream, proxy, replies, tmp_path):
    """Sends the first `count` prompts; returns the tally and the journal."""
    requests = [
        api_request(prompt, base_url=proxy.url, model=upstream.model, endpoint="completions", max_tokens=4)
        for prompt in replies
    ]

    def send(count=8, transport=QUICK, key=KEY, **more):
        journal = Journal(tmp_path / "journal.jsonl")
        with journal:
            tally = query(
                requests[:count],
                journal,
                key=key,
                key_variable="TEST_KEY",
                prices=PRICES,
                transport=transport,
                **more,
            )
        return SimpleNamespace(tally=tally, journal=journal, requests=requests[:count])

    send.requests = requests
    send.path = tmp_path / "journal.jsonl"
    return send


def events(path):
    return Counter(json.loads(line)["event"] for line in path.read_text().splitlines())


def kept(journal):
    """Prompt -> reply of every answer."""
    return {
        line["request"]["body"]["prompt"]: reply_of(line["response"])[0] for line in journal.answers.values()
    }


# Replies to numbers


@pytest.mark.parametrize(
    ("reply", "first", "last"),
    [
        ("108", 108, 108),
        ("The answer is 1,234.", 1234, 1234),
        ("1\u202f234\u202f567", 1234567, 1234567),
        ("-12", -12, -12),
        ("\u221212 degrees", -12, -12),
        ("15 and 93 make **108**.", 15, 108),
        ("108.0", 108, 108),
        ("7.5 or 8", 8, 8),
        ("1,23", 1, 23),
        ("15-3", 15, 3),
        ("9" * 400, None, None),
        ("I cannot say.", None, None),
        ("", None, None),
    ],
)
def test_replies_become_numbers(reply, first, last):
    assert (written_number(reply), written_number(reply, "last")) == (first, last)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "{:,}", "It is {}.", "= {:,} (sure)"]))
def test_a_written_number_is_read_back(number, form):
    assert written_number(form.format(number)) == number


# Requests, tokens, waits


def test_bodies_are_greedy_and_digests_tell_requests_apart():
    common = {"base_url": "http://host/v1", "model": "m"}
    chat = api_request("2 + 2", endpoint="chat", system="Only the number.", **common)
    assert chat.url == "http://host/v1/chat/completions"
    assert chat.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Only the number."},
            {"role": "user", "content": "2 + 2"},
        ],
        "temperature": 0,
        "max_tokens": 16,
        "seed": 0,
    }
    text = api_request("2 + 2", endpoint="completions", **common)
    assert text.body["prompt"] == "2 + 2" and text.url.endswith("/v1/completions")
    changed = api_request(
        "2 + 2", endpoint="completions", parameters={"max_tokens": None, "max_completion_tokens": 9}, **common
    )
    assert "max_tokens" not in changed.body and largest_tokens(changed.body)[1] == 9
    others = [
        api_request("2 + 3", endpoint="completions", **common),
        api_request("2 + 2", endpoint="completions", seed=1, **common),
        api_request("2 + 2", endpoint="completions", **common | {"model": "n"}),
        api_request("2 + 2", endpoint="completions", **common | {"base_url": "http://other/v1"}),
    ]
    assert len({each.digest for each in [chat, text, changed, *others]}) == 7
    again = api_request("2 + 2", endpoint="completions", **common | {"base_url": "http://host/v1/"})
    assert again == text


def test_prompts_carry_shots_and_end_as_asked(examples):
    keys = {"split": "test", "limit": 5, "seed": 1, "form": "bare", "separator": "\n"}
    asked = api_prompts(examples, shots=2, ending="stripped", **keys)
    test = examples[examples["split"] == "test"]
    assert asked["example"].tolist() == test["example"].tolist()[:5]
    for prompt, own in zip(asked["prompt"], test["prompt"], strict=False):
        *shots, last = prompt.split("\n")
        assert last == own.rstrip() and len(shots) == 2
        solved = examples[examples["split"] == "train"]
        assert set(shots) <= {f"{row.prompt}{row.answer}" for row in solved.itertuples()}
    exact = api_prompts(examples, shots=0, ending="exact", **keys)
    assert exact["prompt"].tolist() == test["prompt"].tolist()[:5]
    with pytest.raises(UserError, match="99 shots"):
        api_prompts(examples, shots=99, ending="exact", **keys)


def test_the_upper_bound_of_tokens_holds_for_the_servers_count(ask):
    sent = ask(6)
    for request in sent.requests:
        counted = counted_tokens(sent.journal.answers[request.digest]["response"])
        assert all(c <= most for c, most in zip(counted, largest_tokens(request.body), strict=True))
        likely = estimated_tokens(request.body)
        assert 0.5 * counted[0] < likely[0] < 2 * counted[0] and likely[1] == 4


def test_waits_double_jitter_and_stop_growing():
    assert [back_off(n, 1, 1000, 1.0) for n in range(4)] == [1, 2, 4, 8]
    assert [back_off(n, 1, 1000, 0.0) for n in range(4)] == [0.5, 1, 2, 4]
    assert back_off(500, 1, 30, 1.0) == 30
    assert len({back_off(3, 1, 1000) for _ in range(20)}) > 10


def test_servers_say_how_long_to_wait():
    assert asked_wait({"retry-after": "7"}) == 7
    assert asked_wait({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412470) == 10
    assert asked_wait({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert asked_wait({"retry-after": "soon"}) is None and asked_wait({}) is None
    assert asked_wait({"retry-after": "-3"}) == 0


def test_responses_without_a_choice_are_malformed():
    assert reply_of({"choices": [{"message": {"content": None}, "finish_reason": "length"}]}) == (
        "",
        "length",
    )
    parts = [{"type": "text", "text": "1"}, {"type": "text", "text": "08"}]
    assert reply_of({"choices": [{"message": {"content": parts}}]}) == ("108", None)
    for response in ({}, {"choices": []}, {"error": {"message": "no"}}, [], None):
        with pytest.raises(MalformedResponse):
            reply_of(response)


# The key


@pytest.mark.parametrize("value", ["", "two words", "line\n", "ключ"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(monkeypatch, value):
    monkeypatch.setenv("TEST_KEY", value)
    with pytest.raises(UserError, match="variable TEST_KEY holds no usable key") as raised:
        key_from_environment("TEST_KEY")
    assert not value or value not in str(raised.value)


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("TEST_KEY", raising=False)
    with pytest.raises(UserError, match="variable TEST_KEY is not set"):
        key_from_environment("TEST_KEY")
    assert key_from_environment(None) is None


@pytest.mark.parametrize(("base", "warned"), [("http://api.invalid/v1", True), ("http://127.0.0.1:9", False)])
def test_a_key_that_would_travel_in_the_clear_is_warned_of(tmp_path, caplog, base, warned):
    request = api_request("2 + 2", base_url=base, model="m", endpoint="chat")
    with Journal(tmp_path / "none.jsonl") as journal, pytest.raises(UserError, match="no connection"):
        query([request], journal, key=KEY, key_variable="TEST_KEY", transport=Transport(retries=0))
    assert ("without encryption" in caplog.text) == warned and KEY not in caplog.text


# Sending


def test_the_served_model_answers_as_taught(ask, proxy, replies):
    sent = ask(32)
    assert kept(sent.journal) == replies
    assert proxy.delivered == proxy.generated == Counter(list(replies))
    assert {header for *_, header in proxy.arrivals} == {f"Bearer {KEY}"}
    paid = sum(PRICES.cost(each["prompt_tokens"], each["completion_tokens"]) for each in proxy.usage)
    assert sent.journal.spent == pytest.approx(paid) and paid > 0
    # A second call has nothing to send.
    assert ask(32).tally.answered == 0 and len(proxy.arrivals) == 32


def test_a_chat_is_answered_too(upstream, proxy, replies, tmp_path):
    requests = [
        api_request(prompt, base_url=proxy.url, model=upstream.model, endpoint="chat", max_tokens=4)
        for prompt in list(replies)[:4]
    ]
    with Journal(tmp_path / "chat.jsonl") as journal:
        query(requests, journal, transport=QUICK)
    found = [reply_of(journal.answers[request.digest]["response"]) for request in requests]
    assert found == [(reply, "stop") for reply in list(replies.values())[:4]]
    assert {header for *_, header in proxy.arrivals} == {None}


def test_no_more_requests_are_under_way_than_allowed(ask, proxy):
    proxy.usual = "slow"
    ask(12, Transport(concurrency=3))
    assert proxy.most_under_way == 3


def test_every_fault_that_passes_is_survived(ask, proxy, replies):
    proxy.retry_after = "0.1"
    proxy.faults.extend(
        ["error", "drop", "limit", "cut", "malformed", "drop-after", "slow", "limit-bare", "error", "cut"]
    )
    sent = ask(16, Transport(concurrency=4, timeout=300, retries=9, backoff=0.02))
    asked = dict(list(replies.items())[:16])
    assert kept(sent.journal) == asked
    # Whole answers: one a request. What broke on the way was made, not received, and counts as spent.
    assert proxy.delivered == Counter(list(asked))
    broken = sum(proxy.generated.values()) - 16
    assert broken == 4 and sent.tally.lost == sent.journal.lost == 5
    assert sent.tally.retried == 9 and events(ask.path) == {"sent": 25, "response": 16, "unbilled": 4}
    paid = sum(PRICES.cost(each["prompt_tokens"], each["completion_tokens"]) for each in proxy.usage)
    assert sent.journal.spent >= paid
    assert Journal(ask.path).spent == pytest.approx(sent.journal.spent)


def test_a_time_out_is_retried_and_counts_as_spent(ask, proxy):
    proxy.slow = 3
    proxy.faults.append("slow")
    sent = ask(1, Transport(timeout=1, backoff=0.02))
    # On a machine that is slow itself more than one may be lost.
    assert sent.tally.lost == len(proxy.arrivals) - 1 >= 1 and len(sent.journal.answers) == 1
    assert sent.journal.spent > PRICES.cost(*largest_tokens(sent.requests[0].body))


def test_everyone_waits_as_long_as_the_server_asks(ask, proxy):
    proxy.retry_after = "0.7"
    proxy.faults.extend(["", "", "limit"])
    ask(12, Transport(concurrency=2, backoff=0.02))
    refused = next(moment for moment, _, fault, _ in proxy.arrivals if fault == "limit")
    later = [moment - refused for moment, *_ in proxy.arrivals if moment > refused + 0.1]
    # The one other request that was under way may have come in after the refusal, no more.
    early = [wait for wait in later if wait < 0.7]
    assert len(later) >= 9 and len(early) <= 1


def test_waits_grow_with_every_failure(ask, proxy, monkeypatch):
    waits = []

    def remembered(*arguments):
        waits.append(back_off(*arguments))
        return waits[-1]

    monkeypatch.setattr("fourier_addition.api.client.back_off", remembered)
    proxy.faults.extend(["error"] * 3)
    ask(1, Transport(backoff=0.2))
    moments = [moment for moment, *_ in proxy.arrivals]
    gaps = [after - before for before, after in pairwise(moments)]
    for attempt, (wait, gap) in enumerate(zip(waits, gaps, strict=True)):
        assert 0.1 * 2**attempt <= wait <= 0.2 * 2**attempt and wait <= gap
    assert len(gaps) == 3


def test_a_failure_that_stays_ends_the_call_and_keeps_the_answers(ask, proxy):
    ask(4)
    proxy.usual = "error"
    with pytest.raises(UserError, match=r"failed 3 times, last: HTTP 500: The server had an error; 0 of 4"):
        ask(8, Transport(concurrency=1, retries=2, backoff=0.01))
    proxy.usual = ""
    before = len(proxy.arrivals)
    ask(8)
    assert len(proxy.arrivals) - before == 4 and set(proxy.delivered.values()) == {1}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("unauthorised", r"refuses the key in TEST_KEY \(HTTP 401\); 0 of 6"),
        ("forbidden", r"refuses the key in TEST_KEY \(HTTP 403\)"),
        ("missing", r"is not there, or has no model '.*' \(HTTP 404\): The model does not exist"),
        ("bad", r"refuses the request \(HTTP 400\): Unsupported parameter, said Bearer \[key\]"),
        ("quota", r"refuses the request \(HTTP 429\): You exceeded your quota"),
        ("redirect", r"\(HTTP 302\)"),
    ],
)
def test_a_refusal_ends_the_call_at_once(ask, proxy, fault, sentence):
    proxy.usual = fault
    with pytest.raises(UserError, match=sentence) as raised:
        ask(6, Transport(concurrency=1))
    assert len(proxy.arrivals) == 1 and KEY not in str(raised.value)
    assert events(ask.path) == {"sent": 1, "unbilled": 1} and Journal(ask.path).spent == 0


def test_answers_under_way_are_kept_when_another_request_is_refused(ask, proxy):
    proxy.faults.extend(["slow", "slow", "bad"])
    with pytest.raises(UserError, match=r"HTTP 400.* 2 of 8"):
        ask(8, Transport(concurrency=3))
    assert len(Journal(ask.path).answers) == sum(proxy.delivered.values()) == 2


def test_a_wait_that_is_too_long_ends_the_call(ask, proxy):
    proxy.retry_after = "3600"
    proxy.usual = "limit"
    with pytest.raises(UserError, match=r"asks to wait 3600 s, longer than `longest_wait` \(5 s\)"):
        ask(2)


def test_a_server_that_is_not_there_costs_nothing(tmp_path):
    request = api_request("2 + 2", base_url="http://127.0.0.1:9/v1", model="m", endpoint="chat")
    with Journal(tmp_path / "none.jsonl") as journal:
        with pytest.raises(UserError, match="failed 2 times, last: no connection"):
            query([request], journal, prices=PRICES, transport=Transport(retries=1, backoff=0.01))
        assert journal.spent == 0 and journal.lost == 0


def test_a_nonsense_answer_is_paid_once_and_kept(ask, proxy):
    proxy.faults.append("nonsense")
    sent = ask(1)
    (reply,) = kept(sent.journal).values()
    assert reply == "I would rather not say." and written_number(reply) is None
    assert len(proxy.arrivals) == 1


def test_uncounted_answers_are_booked_at_their_upper_bound(ask, proxy):
    proxy.usual = "uncounted"
    sent = ask(2)
    expected = sum(PRICES.cost(*largest_tokens(request.body)) for request in sent.requests)
    assert sent.journal.spent == pytest.approx(expected)
    found = bill(sent.requests, sent.journal.answers, "EUR")
    assert found["uncounted"] == 2 and found["cost"] == pytest.approx(expected)


def test_the_key_is_in_no_file(ask, proxy, tmp_path, caplog):
    caplog.set_level("DEBUG")
    proxy.faults.extend(["echo", "error", "drop"])
    ask(4)
    proxy.usual = "bad"
    with pytest.raises(UserError):
        ask(8)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(KEY.encode() in path.read_bytes() for path in files)
    assert "You sent Bearer [key]." in kept(Journal(ask.path)).values()
    assert KEY not in caplog.text


# Money


def test_the_budget_stops_before_it_is_exceeded(ask, proxy):
    dearest = max(PRICES.cost(*largest_tokens(request.body)) for request in ask.requests)
    budget = 1.5 * dearest
    with pytest.raises(UserError, match=r"of the budget of .* EUR .* are spent: raise `budget` to go on; "):
        ask(32, budget=budget)
    spent = Journal(ask.path).spent
    paid = sum(PRICES.cost(each["prompt_tokens"], each["completion_tokens"]) for each in proxy.usage)
    assert spent == pytest.approx(paid) and budget - dearest < paid <= budget
    done = sum(proxy.delivered.values())
    assert 2 <= done < 32
    # What is under way is reserved at its dearest, so that no two requests share the last coins.
    assert proxy.most_under_way == 1
    ask(32, budget=100.0)
    assert len(proxy.arrivals) == 32 and set(proxy.delivered.values()) == {1}


def test_a_plan_counts_and_sends_nothing(ask, proxy):
    ask(3)
    answers = Journal(ask.path).answers
    before = len(proxy.arrivals)
    requests = [*ask.requests, ask.requests[0]]
    found = plan(requests, answers, PRICES)
    tokens = [estimated_tokens(request.body) for request in ask.requests[3:]]
    assert (found["requests"], found["from_cache"], found["to_send"]) == (32, 3, 29)
    assert found["prompt_tokens"] == sum(prompt for prompt, _ in tokens)
    assert found["completion_tokens"] == 4 * 29
    assert found["cost"] == pytest.approx(found["prompt_tokens"] * 1e-3 + 4 * 29 * 2e-3)
    assert found["at_most"] >= found["cost"] and len(proxy.arrivals) == before


# The journal

CLIENT = """
import json, sys
from fourier_addition.api.client import Transport, query
from fourier_addition.api.journal import Journal
from fourier_addition.api.pricing import Prices
from fourier_addition.api.request import Request
from fourier_addition.errors import UserError
path, requests = sys.argv[1], [Request(**each) for each in json.load(sys.stdin)]
try:
    with Journal(path) as journal:
        query(requests, journal, prices=Prices(1000.0, 2000.0, "EUR"), transport=Transport(concurrency=3))
except UserError as error:
    sys.exit(str(error))
"""


def interrupted(ask, proxy, number):
    """A client in a process of its own that gets a signal after some answers; its last words."""
    proxy.usual = "slow"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(ask.path)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    client.stdin.write(
        json.dumps([{"url": r.url, "body": dict(r.body), "digest": r.digest} for r in ask.requests])
    )
    client.stdin.close()
    while sum(proxy.delivered.values()) < 8 and client.poll() is None:
        time.sleep(0.01)
    client.send_signal(number)
    said = client.stderr.read()
    client.wait()
    while proxy.under_way:
        time.sleep(0.01)
    proxy.usual = ""
    return said


def test_a_killed_client_sends_only_what_is_missing(ask, proxy, replies):
    interrupted(ask, proxy, signal.SIGKILL)
    found = kept(Journal(ask.path))
    arrived = Counter(prompt for _, prompt, *_ in proxy.arrivals)
    assert 8 - 3 <= len(found) < 32 and max(arrived.values()) == 1
    # No whole answer was lost but those on the wire when the process died.
    assert 0 <= sum(proxy.delivered.values()) - len(found) <= 3
    before = len(proxy.arrivals)
    resumed = ask(32)
    sent = [prompt for _, prompt, *_ in proxy.arrivals[before:]]
    assert sorted(sent) == sorted(set(replies) - set(found)) and resumed.tally.answered == len(sent)
    assert kept(resumed.journal) == replies
    assert events(ask.path)["response"] == 32
    # The requests of unknown fate stay on the bill.
    paid = sum(PRICES.cost(each["prompt_tokens"], each["completion_tokens"]) for each in proxy.usage)
    assert resumed.journal.lost <= 3 and resumed.journal.spent >= paid - 1e-9


def test_a_terminated_client_waits_for_what_is_under_way(ask, proxy, replies):
    said = interrupted(ask, proxy, signal.SIGTERM)
    found = Journal(ask.path)
    assert "Stopped by SIGTERM" in said and f"{len(found.answers)} of 32 requests were answered" in said
    assert len(found.answers) == sum(proxy.delivered.values()) == len(proxy.arrivals) < 32
    assert found.lost == 0
    assert kept(ask(32).journal) == replies and len(proxy.arrivals) == 32


def test_a_half_written_line_is_dropped(ask, proxy):
    ask(3)
    whole = ask.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 6
    ask.path.write_bytes(b"".join(lines[:-1]) + lines[-1][:-20])
    assert len(Journal(ask.path).answers) == 2
    # Reading alone changes nothing: another job may be writing that line.
    assert ask.path.read_bytes().endswith(lines[-1][:-20])
    again = ask(3)
    assert len(again.journal.answers) == 3 and again.tally.answered == 1
    assert all(json.loads(line) for line in ask.path.read_text().splitlines())


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "unbilled", "digest": "a", "why": "x"}\nnot JSON\n')
    with pytest.raises(UserError, match=r"journal.jsonl, line 2 is not a line of a response journal"):
        Journal(path)


def test_two_writers_wait_for_each_other(tmp_path):
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys; from fourier_addition.api.journal import Journal\n"
        "with Journal(sys.argv[1]) as journal:\n"
        "    journal.sent('second', 1.0); print(sorted(journal.answers))"
    )
    answer = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.5}
    with Journal(path) as journal:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
        second = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        time.sleep(1)
        assert second.poll() is None and events(path) == {}
        journal.response("first", {}, {"choices": []}, **answer)
    # The second one reads again once it may write.
    assert second.communicate()[0].strip() == "['first']"
    assert events(path) == {"response": 1, "sent": 1}
    assert Journal(path).spent == 1.5


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.sent("a", 1.0)
        before = path.read_bytes()

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("fourier_addition.api.journal.os.fsync", full)
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            journal.sent("b", 1.0)
        monkeypatch.undo()
        assert path.read_bytes() == before
        journal.sent("c", 1.0)
    assert [json.loads(line)["digest"] for line in path.read_text().splitlines()] == ["a", "c"]


def test_journals_are_told_apart_by_address_and_model(tmp_path):
    paths = {
        journal_path(tmp_path, base, model)
        for base in ("https://a.example/v1", "https://b.example/v1")
        for model in ("gpt-4", "gpt/4")
    }
    assert len(paths) == 4
    assert journal_path("x", "https://a.example/v1/", "m") == journal_path("x", "https://a.example/v1", "m")


# Summary


def test_shares_are_counted_with_their_intervals(examples):
    test = examples[examples["split"] == "test"].head(10)
    requests = [
        api_request(prompt, base_url="http://h/v1", model="m", endpoint="completions")
        for prompt in test["prompt"]
    ]
    said = [str(answer) for answer in test["answer"]]
    said[0], said[1] = str(test["answer"].iloc[0] + 20), str(test["answer"].iloc[1] - 10)
    said[2], said[3] = str(test["answer"].iloc[2] + 5), "no idea"
    answers = {
        request.digest: {
            "response": {"choices": [{"text": text, "finish_reason": "stop"}], "model": "m-2024"},
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "cost": 0.25,
            "received": "2026-01-01T00:00:00Z",
        }
        for request, text in zip(requests, said, strict=True)
    }
    table = predictions_table(test, requests, answers, "first")
    assert table["prediction"].isna().sum() == 1 and table["reply"].tolist() == said
    found = accuracy_of(table)
    low, high = wilson_interval(0.6, 10)
    assert found["accuracy"] == {"count": 6, "of": 10, "share": 0.6, "low": low, "high": high}
    assert (found["parsed"]["count"], found["parsed"]["of"]) == (9, 10)
    assert (found["multiples_of_10"]["count"], found["multiples_of_10"]["of"]) == (2, 3)
    costs = bill(requests, answers, "EUR")
    assert (costs["prompt_tokens"], costs["cost"], costs["served"]) == (100, 2.5, [["m-2024", None]])
    empty = accuracy_of(predictions_table(test, requests, {}, "first"))
    assert empty["accuracy"]["share"] is None


# Configuration


def config(url, **api):
    """A study that asks a closed model and nothing else."""
    return {
        "models": {},
        "runs": {},
        "figures": {},
        "tasks": {
            "sums": {
                "operation": "addition",
                "operands": [0, 8],
                "fractions": [0.1, 0.2],
                "running_example": [3, 5],
            }
        },
        "apis": {
            "local": {
                "base_url": url,
                "model": "m",
                "endpoint": "completions",
                "key_variable": "TEST_API_KEY",
                "prices": {"prompt": 1000, "completion": 2000, "currency": "EUR"},
            }
            | api
        },
        "api_runs": {"zero": {"api": "local", "task": "sums", "label": "Parrot"}},
        "tables": {"closed": {"kind": "api", "runs": ["zero"]}},
    }


def test_defaults_send_nothing_and_ask_no_shots():
    found = validated(config("https://api.example/v1"))
    assert found["apis"]["local"]["send"] is False
    assert found["api_runs"]["zero"]["shots"] == 0 and found["api_runs"]["zero"]["split"] == "test"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"base_url": "https://me:secret@h/v1"}, r"`apis.local.base_url` must not hold a user name"),
        ({"base_url": "https://h/v1?key=secret"}, r"`apis.local.base_url` must not hold a user name"),
        ({"base_url": "ftp://h/v1"}, r"`apis.local.base_url`"),
        ({"key_variable": "sk-secret"}, r"`apis.local.key_variable` must be the name of an environment"),
        ({"budget": 1, "prices": {}}, r"`apis.local.budget` needs `prices`"),
        ({"budget": 1, "parameters": {"max_tokens": None}}, r"`apis.local.budget` needs a limit"),
        ({"parameters": {"stream": True}}, r"`apis.local.parameters.stream` is not allowed"),
        ({"key": "sk-secret"}, r"`apis.local.key` is not known"),
    ],
)
def test_faults_of_the_configuration_are_named_without_their_secrets(change, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        validated(config("https://api.example/v1", **change))
    assert "secret" not in str(raised.value)


def test_runs_and_tables_name_what_there_is():
    wrong = config("https://api.example/v1")
    wrong["api_runs"]["zero"]["api"] = "locale"
    with pytest.raises(UserError, match=r"`api_runs.zero.api` names the API 'locale'.*did you mean `local`"):
        validated(wrong)
    wrong = config("https://api.example/v1")
    wrong["tables"]["closed"]["runs"] = ["one"]
    with pytest.raises(UserError, match=r"`tables.closed.runs` names the API run 'one'"):
        validated(wrong)


# The whole workflow


@pytest.mark.workflow
@pytest.mark.system
def test_the_workflow_plans_then_sends_then_rests(upstream, proxy, replies, tmp_path):
    folder = copy_of_the_tree(tmp_path)
    study = config(proxy.url, model=upstream.model, concurrency=3, budget=5.0)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(study))
    environment = {"TEST_API_KEY": KEY}

    # Nothing is sent unless the configuration asks; not even a key is needed.
    said = snakemake(folder, "--cores", "1")
    assert "nothing sent: 32 requests" in said and proxy.arrivals == []
    table = (folder / "results/tables/closed.md").read_text()
    assert "| Parrot | 0 | 32 | - | - | - | - | 32 not sent | about " in table
    assert read_json(folder / "results/api/zero/accuracy.json")["complete"] is False

    study["apis"]["local"]["send"] = True
    (folder / "config/config.yaml").write_text(yaml.safe_dump(study))
    proxy.faults.extend(["", "error", "cut"])
    snakemake(folder, "--cores", "1", environment=environment)
    predictions = pd.read_parquet(folder / "results/api/zero/predictions.parquet")
    assert sorted(predictions["reply"]) == sorted(replies.values())
    assert predictions["correct"].sum() == 20 and predictions["prediction"].isna().sum() == 4
    found = read_json(folder / "results/api/zero/accuracy.json")
    assert found["complete"] and (found["sent_now"], found["lost_now"], found["retried_now"]) == (32, 1, 2)
    assert found["shares"]["accuracy"]["share"] == 20 / 32
    tens = found["shares"]["multiples_of_10"]
    assert (tens["count"], tens["of"]) == (4, 8)
    assert (found["shares"]["parsed"]["count"], found["bill"]["uncounted"]) == (28, 0)
    row = pd.read_csv(folder / "results/tables/closed.csv").iloc[0]
    assert row["accuracy"] == 20 / 32 and row["sent_now"] == 32 and row["currency"] == "EUR"
    cells = (folder / "results/tables/closed.md").read_text().splitlines()[2]
    assert cells.startswith("| Parrot | 0 | 32 | 62.5% |") and len(cells.split("|")) - 2 == len(HEADINGS)
    assert r"62.5\%" in (folder / "results/tables/closed.tex").read_text()
    assert proxy.delivered == Counter(list(replies))

    # Results that are gone come back from the cache, without a key and without a request.
    sent = len(proxy.arrivals)
    shutil.rmtree(folder / "results")
    snakemake(folder, "--cores", "1")
    again = read_json(folder / "results/api/zero/accuracy.json")
    assert len(proxy.arrivals) == sent and again["sent_now"] == 0
    assert again["shares"] == found["shares"] and again["bill"] == found["bill"]
    table, _ = api_table({"zero": again})
    assert table["from_cache"].tolist() == [32]

    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50 and not [path for path in files if KEY.encode() in path.read_bytes()]
