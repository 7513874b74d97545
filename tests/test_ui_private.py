"""Whatever is sent to any endpoint, and however it fails: a sentence comes back and nothing of it reaches the log."""

from __future__ import annotations

import json
import logging
import uuid

import httpx
import pytest
from gradio_client import Client

from fastllm.ui.layout import build
from fastllm.ui.private import log_failure
from fastllm.ui.theme import launch_options
from fastllm.ui.watch.methods import KNOBS, MENUS
from tests.conftest import ARTICLE

SECRET = "Quillonbury"
PASTED = f"{ARTICLE} A person of {SECRET} said so."
ENDPOINTS = ("run", "league", "lab", "lab_article")


@pytest.fixture(scope="module")
def page(tiny):
    """The running page's address."""
    blocks = build(tiny)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    blocks.close()


@pytest.fixture(scope="module")
def lengths(page) -> dict[str, list[dict]]:
    """The parameters of each endpoint, as the page's own API names them."""
    named = Client(page, verbose=False, analytics_enabled=False).view_api(return_format="dict")["named_endpoints"]
    return {name.strip("/"): facts["parameters"] for name, facts in named.items()}


def answer(page: str, endpoint: str, data: object) -> str:
    """Everything that the server says to a call over plain HTTP: the refusal, or the stream of events."""
    begun = httpx.post(f"{page}gradio_api/call/{endpoint}", json={"data": data}, timeout=60)
    if begun.status_code != 200:
        return begun.text
    return httpx.get(f"{page}gradio_api/call/{endpoint}/{begun.json()['event_id']}", timeout=60).text


def default(parameter: dict) -> object:
    """A value for a parameter: its default, the article where text is wanted."""
    if parameter["label"] == "Article":
        return PASTED
    return parameter.get("parameter_default")


def assert_private(capfd, said: str = "") -> None:
    """The word stands in neither output stream; `said` does not quote it either."""
    out, err = capfd.readouterr()
    assert SECRET not in out
    assert SECRET not in err
    assert SECRET not in said


def test_all_endpoints_are_tried_here(lengths):
    """A new one has to be added to ENDPOINTS, so that these tests see it."""
    assert set(lengths) == set(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_too_few_values_are_told_and_not_logged(page, lengths, endpoint, capfd):
    """One value, and all but one: how many are needed, not what was sent."""
    wanted = len(lengths[endpoint])
    for data in ([PASTED], [PASTED] * (wanted - 2)):
        said = answer(page, endpoint, data)
        assert "values and has" in said
        assert_private(capfd, said)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("bad", [None, "twelve", [SECRET], {"x": SECRET}, True])
def test_numbers_that_are_none_are_told_by_name(page, lengths, endpoint, bad, capfd):
    """Null, a word, a list, an object and a truth value in place of each number in turn: its label, our sentence."""
    numbers = [i for i, p in enumerate(lengths[endpoint]) if p["component"] in ("Slider", "Number")]
    assert numbers
    for i in numbers:
        data = [default(p) for p in lengths[endpoint]]
        data[i] = bad
        said = json.loads(answer(page, endpoint, data).split("data:")[1].strip().splitlines()[0])
        sentence = said["error"] if isinstance(said, dict) else str(said)
        assert lengths[endpoint][i]["label"] in sentence
        assert "number" in sentence
        assert_private(capfd, sentence)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_should_not_hold_are_told(page, lengths, number, capfd):
    """Python's JSON reader takes them: they must not reach a run as numbers, nor end in the framework's own error."""
    for endpoint in ENDPOINTS:
        i = next(i for i, p in enumerate(lengths[endpoint]) if p["component"] == "Slider")
        data = [default(p) for p in lengths[endpoint]]
        data[i] = "@"
        body = json.dumps({"data": data}).replace('"@"', number)
        headers = {"content-type": "application/json"}
        begun = httpx.post(f"{page}gradio_api/call/{endpoint}", content=body, headers=headers, timeout=60)
        said = begun.text
        if begun.status_code == 200:
            said = httpx.get(f"{page}gradio_api/call/{endpoint}/{begun.json()['event_id']}", timeout=60).text
            assert "finite number" in said
        assert_private(capfd)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("data", [None, PASTED, {"article": PASTED}, [], [[PASTED]], [{"path": PASTED}]])
def test_bodies_of_another_form_are_not_logged(page, endpoint, data, capfd):
    """No list, no values, lists and objects in place of text: refused, and quoted nowhere in the log."""
    answer(page, endpoint, data)
    assert_private(capfd)


@pytest.mark.parametrize("endpoint", ["run", "league", "lab_article"])
def test_text_that_is_none_is_told(page, lengths, endpoint, capfd):
    """A number, a list or a file in the article's place."""
    i = next(i for i, p in enumerate(lengths[endpoint]) if p["label"] == "Article")
    for bad in (7, [PASTED], {"path": SECRET, "meta": {"_type": "gradio.FileData"}}):
        data = [default(p) for p in lengths[endpoint]]
        data[i] = bad
        said = answer(page, endpoint, data)
        assert "Article must be text" in said or "could not take" in said
        assert_private(capfd, said)


def test_the_queue_of_the_page_itself_is_as_quiet(page, capfd):
    """The route that the browser uses, for every function of the page: too few values, no session, odd events."""
    config = httpx.get(f"{page}config", timeout=30).json()
    for dependency in config["dependencies"]:
        body = {
            "data": [PASTED],
            "fn_index": dependency["id"],
            "session_hash": uuid.uuid4().hex[:10],
            "event_data": {"text": PASTED, "name": PASTED},
            "trigger_id": None,
        }
        if dependency["queue"]:
            begun = httpx.post(f"{page}gradio_api/queue/join", json=body, timeout=30)
            if begun.status_code == 200:
                url = f"{page}gradio_api/queue/data?session_hash={body['session_hash']}"
                with httpx.stream("GET", url, timeout=30) as stream:
                    for line in stream.iter_lines():
                        if "process_completed" in line or "close_stream" in line:
                            break
        else:
            httpx.post(f"{page}gradio_api/run/predict", json=body, timeout=30)
    assert_private(capfd)


def test_an_error_inside_a_function_is_logged_without_its_message(tiny, monkeypatch, capfd, caplog):
    """Model code may quote the article in what it raises: the log names the type and the lines, never the message."""

    def broken(*args, **kwargs):
        raise RuntimeError(f"cannot read {PASTED}")

    monkeypatch.setattr("fastllm.ui.models.open_session", broken)
    monkeypatch.setattr("fastllm.ui.models.reading", broken)
    blocks = build(tiny)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        with caplog.at_level(logging.DEBUG):
            usual = [*(menu.usual for menu in MENUS), *(knob.first for knob in KNOBS)]
            said = answer(url, "run", [PASTED, "lookup", 3, 4, 0, 1, 0, 16, None, *usual, None])
            config = httpx.get(f"{url}config", timeout=30).json()
            for d in config["dependencies"]:
                if not d["queue"] and d["backend_fn"]:
                    body = {"data": [PASTED] * len(d["inputs"]), "fn_index": d["id"], "session_hash": "abc"}
                    httpx.post(f"{url}gradio_api/run/predict", json=body, timeout=30)
    finally:
        blocks.close()
    assert "The run failed inside the model" in said
    assert "a run failed: RuntimeError" in caplog.text
    assert SECRET not in caplog.text
    assert_private(capfd, said)


def test_the_log_of_a_failure_names_the_place(caplog):
    """Type and line of code, for whoever mends it; neither message nor values."""
    try:
        raise KeyError(PASTED)
    except KeyError as error:
        log_failure(logging.getLogger("x"), "a call failed", error)
    assert "a call failed: KeyError" in caplog.text
    assert "test_ui_private.py" in caplog.text
    assert SECRET not in caplog.text


def test_a_refusal_of_gradios_own_is_not_printed(page, lengths, capfd):
    """A value above a slider's range is Gradio's sentence; it comes back and is not printed."""
    data = [default(p) for p in lengths["run"]]
    data[3] = 99
    said = answer(page, "run", data)
    assert "99" in said
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
