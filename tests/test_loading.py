"""One load at a time in the whole process, each thing once, and no failure blamed on the wrong cause."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from fastllm.drafters import load_drafter
from fastllm.drafters.errors import DrafterError
from fastllm.loading import LOADING, lazy, loaded_once
from fastllm.targets.base import TargetError
from fastllm.targets.load import load_target
from fastllm.ui import models
from tests.conftest import make_t5

ROOT = Path(__file__).resolve().parent.parent
MANY = ["t5@distilled", "t5@baseline", "lstm@distilled", "cnn@baseline"]


@pytest.fixture(scope="module")
def mini():
    """The embedded target."""
    return load_target("mini")


def weights_of(drafter) -> list[torch.Tensor]:
    return list(drafter.model.parameters())


def test_drafters_and_targets_loaded_by_many_threads_at_once_all_have_weights(mini, tiny_folder):
    """Four families and another target, six threads, several tries: nothing is left on the meta device."""
    for _ in range(4):
        with ThreadPoolExecutor(6) as pool:
            drafters = [pool.submit(load_drafter, mini, spec) for spec in MANY]
            targets = [pool.submit(load_target, str(tiny_folder)) for _ in range(2)]
            found = [w for d in drafters for w in weights_of(d.result())]
            found += [w for t in targets for w in t.result().model.parameters()]
        assert found
        assert not any(w.is_meta for w in found)


def test_two_visitors_who_choose_t5_at_once_both_get_it(mini):
    """The case that was reported, over the page's own cache: both drafters draft, and later loads work, too."""
    for _ in range(2):
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(models.get_drafter, mini, s) for s in ["t5@distilled", "t5@baseline"] * 2]
            one, two, again, also = [a.result() for a in asked]
        assert one is again
        assert two is also
        assert not any(w.is_meta for d in (one, two) for w in weights_of(d))
    assert not any(w.is_meta for w in weights_of(load_drafter(mini, "t5@distilled")))


class Loads:
    """A load that takes a while and counts itself; it fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.calls, self.failures = 0, failures

    def __call__(self, name: str) -> object:
        self.calls += 1
        time.sleep(0.05)
        if self.calls <= self.failures:
            raise OSError("no such file")
        return object()


def test_a_second_caller_waits_for_the_first_load():
    """Eight threads, one load, one object; another name is another load."""
    load = Loads()
    once = loaded_once(4)(load)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(once, ["mini"] * 8))
    assert load.calls == 1
    assert len({id(f) for f in found}) == 1
    assert once("other") is not found[0]


def test_a_failed_load_is_not_kept():
    """The next call tries again, whether it came later or was waiting."""
    load = Loads(failures=1)
    once = loaded_once(4)(load)
    with pytest.raises(OSError, match="no such file"):
        once("mini")
    assert once("mini") is once("mini")
    assert load.calls == 2


def test_what_is_loaded_never_waits_for_another_load():
    """While one thread loads, others get what is there."""
    once = loaded_once(4)(Loads())
    there = once("mini")
    with ThreadPoolExecutor(1) as pool:
        LOADING.acquire()
        try:
            assert pool.submit(once, "mini").result(timeout=5) is there
        finally:
            LOADING.release()


def test_the_longest_unused_goes_first():
    """Room for two: of three, the one not asked for is loaded again."""
    load = Loads()
    once = loaded_once(2)(load)
    for name in ("a", "b", "a", "c"):
        once(name)
    assert load.calls == 3
    once("a")
    assert load.calls == 3
    once("b")
    assert load.calls == 4


class Heavy:
    """One value computed lazily, by a computation that needs the lock of loads."""

    def __init__(self) -> None:
        self.calls = 0

    @lazy
    def value(self) -> object:
        """The value."""
        self.calls += 1
        with LOADING:
            return object()


def test_a_value_computed_under_the_lock_and_one_waiting_for_it_never_meet():
    """One thread holds LOADING and asks for the value; another computes the value of another instance, and waits for
    LOADING: with functools.cached_property of Python 3.11 both would wait for ever."""
    here, there = Heavy(), Heavy()
    inside = threading.Event()

    def other() -> object:
        inside.set()
        return there.value

    with ThreadPoolExecutor(1) as pool:
        with LOADING:
            waiting = pool.submit(other)
            inside.wait(5)
            time.sleep(0.1)  # let it come to the lock
            assert here.value is here.value
        assert waiting.result(timeout=10) is there.value
    assert (here.calls, there.calls) == (1, 1)
    assert Heavy.value.__doc__ == "The value."


def test_a_models_weights_are_asked_for_while_another_thread_loads(mini, tiny_folder):
    """The case itself: a checkpoint's torch model inside and outside the lock."""
    one, two = (load_target(str(tiny_folder)).checkpoint for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        with LOADING:
            waiting = pool.submit(lambda: two.model)
            time.sleep(0.1)
            assert one.model is one.model
        assert waiting.result(timeout=60) is two.model
    two.forget()
    assert next(two.model.parameters()).is_meta is False


def test_a_failed_load_of_the_page_says_what_failed(tmp_path, monkeypatch):
    """A target that could not be loaded for want of memory is not said to be misnamed, and loads the next time."""
    monkeypatch.setenv("ENGINE", "torch")
    folder = make_t5(tmp_path / "t5")
    real, calls = torch.nn.Module.to, []

    def fails_once(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("out of memory")
        return real(self, *args, **kwargs)

    monkeypatch.setattr("transformers.modeling_utils.PreTrainedModel.to", fails_once)
    with pytest.raises((TargetError, MemoryError)) as raised:
        models.get_target(str(folder))
    assert "hub" not in str(raised.value)
    assert "name" not in str(raised.value)
    assert models.get_target(str(folder)) is models.get_target(str(folder))


@pytest.mark.parametrize("spec", ["t5@distilled", "lstm@distilled"])
def test_a_load_that_fails_inside_the_library_is_not_blamed_on_name_or_hub(mini, monkeypatch, spec):
    """What transformers or safetensors say is passed on; the name was right and no hub was asked."""

    def broken(*args, **kwargs):
        raise RuntimeError("Cannot copy out of meta tensor")

    monkeypatch.setattr("transformers.AutoModelForSeq2SeqLM.from_pretrained", broken)
    monkeypatch.setattr("fastllm.targets.onnx_engine.OnnxEngine", broken)
    monkeypatch.setattr("fastllm.drafters.neural.load_file", broken)
    with pytest.raises(DrafterError, match="meta tensor") as raised:
        load_drafter(mini, spec)
    assert "hub" not in str(raised.value)
    assert "check the name" not in str(raised.value)


def test_a_module_built_while_another_thread_loads_has_memory(tiny_folder):
    """Training and drafting build modules of their own: where they do so under the lock, loading cannot touch them."""
    stop, wrong = threading.Event(), []

    def build() -> None:
        while not stop.is_set():
            with LOADING:
                wrong.extend(p for p in torch.nn.Linear(4, 4).parameters() if p.is_meta)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        for _ in range(3):
            load_target(str(tiny_folder))
    finally:
        stop.set()
        thread.join()
    assert not wrong


def loads_outside_the_lock(path: Path) -> Iterator[int]:
    """Lines of a file where something is loaded, or built on the meta device, outside ``with LOADING``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = set()
    for block in ast.walk(tree):
        if isinstance(block, ast.With) and any(getattr(i.context_expr, "id", "") == "LOADING" for i in block.items):
            inside |= {id(n) for n in ast.walk(block)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in inside:
            continue
        name = getattr(node.func, "attr", "")
        # `torch.from_numpy` and the like are no loads; a configuration is, because it may import a model's module.
        meta = any(isinstance(a, ast.Constant) and a.value == "meta" for a in node.args)
        if name in ("from_pretrained", "from_config") or (name == "device" and meta):
            yield node.lineno


@pytest.mark.parametrize("folder", ["fastllm", "train"])
def test_every_load_goes_through_the_lock(folder):
    """Over the syntax tree: no from_pretrained, from_config or meta device outside ``with LOADING``."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert [f"{f.relative_to(ROOT)}:{line}" for f in files for line in loads_outside_the_lock(f)] == []


def test_the_tree_test_sees_what_it_should(tmp_path):
    """A load outside the lock, a meta device outside it, and one inside."""
    file = tmp_path / "a.py"
    file.write_text(
        "m = Auto.from_pretrained(x)\nwith torch.device('meta'):\n    pass\nwith LOADING, torch.device('meta'):\n"
        "    m = Auto.from_pretrained(x)\n"
    )
    assert sorted(loads_outside_the_lock(file)) == [1, 2]
