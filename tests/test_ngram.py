"""N-gram drafters: the arrays against kenlm.Model, the distribution, the file, the session, the training step."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import kenlm
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from fastllm.config import PRESETS, Sampling, TargetPreset
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.ngram import FORMAT, NgramDrafter, decode_log10, encode_log10
from fastllm.sampling import Sampler, distribution
from fastllm.source import Source
from train import lmplz
from train.__main__ import main as train_main
from train.arpa import pack, read_arpa, save, without_mark
from train.steps import ngram

DATA = Path(__file__).parent / "data"  # how these files were made: README.md there
V, EOS = 64, 1
UNSEEN = [0, 2, *range(50, 64)]  # ids that the fixture's text does not hold
CORPUS = [[int(w) for w in line.split()] for line in (DATA / "ngram-corpus.txt").read_text().splitlines()]
ORDERS = (2, 3, 4, 5)
PRUNE = {2: (0, 0), 3: (0, 0, 0), 4: (0, 0, 1, 1), 5: (0, 1, 1, 1, 1)}

needs_lmplz = pytest.mark.skipif(not lmplz.LMPLZ.is_file(), reason="lmplz is not built here: run `make lmplz`")


def convert(arpa: Path, folder: Path, order: int) -> Path:
    """An ARPA file through the training step's own conversion."""
    arrays, _ = pack(*read_arpa(arpa, V), V)
    file = folder / f"ngram-{order}.safetensors"
    save(arrays, file, order, "baseline", "the fixture's text")
    return file


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[int, Path]:
    """``ngram-N.safetensors`` of the fixture's text, for N = 1 .. 5."""
    folder = tmp_path_factory.mktemp("ngram")
    made = {n: convert(DATA / f"ngram-{n}.arpa", folder, n) for n in ORDERS}
    made[1] = folder / "ngram-1.safetensors"
    save({"unigram": ngram.unigram_log10(CORPUS, V)}, made[1], 1, "baseline", "the fixture's text")
    return made


def contexts(count: int, seed: int = 0) -> list[list[int]]:
    """Prefixes as they come in decoding: parts of the text from its begin, with noise, and pure noise; some empty."""
    rng = random.Random(seed)
    out: list[list[int]] = [[]]
    while len(out) < count:
        prefix = list(rng.choice(CORPUS))
        prefix = prefix[: rng.randrange(len(prefix) + 1)]
        if rng.random() < 0.4:
            prefix += [rng.choice([t for t in range(V) if t != EOS]) for _ in range(rng.randrange(1, 4))]
        out.append(prefix)
    return out


def kenlm_vector(model: kenlm.Model, prefix: list[int]) -> np.ndarray:
    """log10 P of every token after begin of text and `prefix`, shape (V,), by one kenlm query each."""
    word = lambda t: "</s>" if t == EOS else str(t)  # noqa: E731
    state, after = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    for token in prefix:
        model.BaseScore(state, word(token), after)
        state, after = after, state
    return np.array([model.BaseScore(state, word(t), after) for t in range(V)])


def session(drafter: NgramDrafter, sampling: Sampling | None = None, seed: int = 0):
    return drafter.open(Source((), ()), Sampler(sampling or Sampling(), V, (EOS,), 0, seed))


@pytest.mark.parametrize("order", ORDERS)
def test_agrees_with_kenlm(files, order):
    """Every token after each of 1,500 contexts has kenlm's log10 probability to 1e-4."""
    drafter = NgramDrafter.load(files[order], V)
    model = kenlm.Model(str(DATA / f"ngram-{order}.arpa"))
    for prefix in contexts(1500):
        theirs = kenlm_vector(model, prefix)
        if order == 2:  # no --vocab_pad: kenlm gives all of <unk>'s mass to whichever id is asked for
            theirs[UNSEEN] -= math.log10(len(UNSEEN))
        np.testing.assert_allclose(drafter.log_probs(prefix) / math.log(10), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("order", ORDERS)
def test_agrees_with_full_scores(files, order):
    """Whole sentences, ends included, have the probabilities of kenlm's full_scores, word for word."""
    drafter = NgramDrafter.load(files[order], V)
    model = kenlm.Model(str(DATA / f"ngram-{order}.arpa"))
    for ids in CORPUS:
        theirs = [score for score, _, _ in model.full_scores(" ".join(map(str, ids)))]
        ours = [drafter.log_probs(ids[:i])[t] / math.log(10) for i, t in enumerate([*ids, EOS])]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("order", [1, *ORDERS])
def test_sums_to_one(files, order):
    """After any context the probabilities of the vocabulary sum to 1 and none is zero."""
    drafter = NgramDrafter.load(files[order], V)
    for prefix in contexts(500, seed=1):
        logp = session(drafter).next_logits(prefix)
        assert logp.shape == (V,)
        assert logp.dtype == torch.float32
        assert torch.isfinite(logp).all()
        assert float(logp.double().exp().sum()) == pytest.approx(1, abs=2e-4)


def test_orders_look_as_far_back_as_they_should(files):
    """The token N places back changes nothing in an order-N model; the one N - 1 places back can."""
    rng = random.Random(3)
    for order in ORDERS:
        drafter = NgramDrafter.load(files[order], V)
        moved = 0
        for ids in CORPUS:
            tail = ids[1:order]
            if len(tail) < order - 1:
                continue
            near, far = rng.choice(CORPUS)[0], rng.choice(CORPUS)[0]
            plain = drafter.log_probs([9, *tail])
            assert np.array_equal(plain, drafter.log_probs([far, 4, 9, *tail]))
            moved += not np.array_equal(plain, drafter.log_probs([9, near, *tail[1:]]))
        assert moved > 20


def test_begin_of_text_is_a_context(files):
    """The first token is predicted after <s>: a frequent opening is likelier there than its unigram says."""
    opening = max({ids[0] for ids in CORPUS}, key=[ids[0] for ids in CORPUS].count)
    first = NgramDrafter.load(files[3], V).log_probs([])
    share = sum(ids[0] == opening for ids in CORPUS) / len(CORPUS)
    assert first.argmax() == opening
    assert math.exp(first[opening]) == pytest.approx(share, abs=0.05)
    assert first[opening] > NgramDrafter.load(files[1], V).log_probs([])[opening]


def test_argmax_is_the_most_frequent_successor(files):
    """After a frequent pair of tokens, the most probable next token is the one that most often followed it."""
    drafter = NgramDrafter.load(files[3], V)
    followers: dict[tuple[int, int], list[int]] = {}
    for ids in CORPUS:
        for a, b, c in zip(ids, ids[1:], [*ids[2:], EOS], strict=False):
            followers.setdefault((a, b), []).append(c)
    sure = {k: v for k, v in followers.items() if len(v) >= 15 and v.count(max(set(v), key=v.count)) > 0.6 * len(v)}
    assert len(sure) >= 5
    for pair, seen in sure.items():
        assert drafter.log_probs([3, *pair]).argmax() == max(set(seen), key=seen.count)


def test_unigram_by_hand():
    """Counts 3, 2, 1, 1 and an end of text (count 1): D = 3 / (3 + 2) = 0.6, T = 5, n = 8."""
    p = 10 ** ngram.unigram_log10([[5, 5, 5, 6, 6, 7, 8]], 20).astype(np.float64)
    shared = 0.6 * 5 / 20
    wanted = np.full(20, shared / 8)
    for token, count in {5: 3, 6: 2, 7: 1, 8: 1, EOS: 1}.items():
        wanted[token] = (count - 0.6 + shared) / 8
    np.testing.assert_allclose(p, wanted, rtol=1e-5)
    assert p.sum() == pytest.approx(1, abs=1e-6)


def test_rounding_of_probabilities():
    """Codes give log10 P back to 1e-4 down to -7, to 1e-6 next to 0, and the floor and 0 exactly."""
    x = np.linspace(-7, 0, 20001)
    error = np.abs(decode_log10(encode_log10(x, -7.0), -7.0) - x)
    assert error.max() < 1e-4
    assert error[-2:].max() < 1e-5
    assert error[[0, -1]].tolist() == [0, 0]


@pytest.mark.parametrize("order", [1, *ORDERS])
def test_greedy_draft_follows_the_argmax(files, order):
    """A greedy draft is the argmax after argmax, with no q, and logits that are the model's own."""
    drafter = NgramDrafter.load(files[order], V)
    prefix = CORPUS[4][:5]
    draft = session(drafter).propose(prefix, 6)
    ids = list(prefix)
    for i, token in enumerate(draft.ids):
        assert token == drafter.log_probs(ids).argmax()
        assert np.array_equal(draft.logits[i].numpy(), drafter.log_probs(ids))
        ids.append(token)
    assert draft.q is None
    assert len(draft.ids) == 6 or draft.ids[-1] == EOS


@pytest.mark.parametrize("order", [1, *ORDERS])
def test_the_likeliest_token_is_the_argmax_of_what_is_allowed(files, order):
    """Of 400 contexts, with every id allowed, some cut off, and the one to six likeliest blocked; ties go to the lowest
    id, as they do where a whole row is looked at."""
    drafter = NgramDrafter.load(files[order], V)
    flat = NgramDrafter(
        np.round(drafter._unigram),
        [
            replace(level, logp=np.round(level.logp), backoff=[0.0] * len(level.backoff))
            for level in drafter._successors
        ],
        "tied",
    )
    rng, tied = random.Random(order), 0
    for model in (drafter, flat):
        for prefix in contexts(400, seed=7):
            row = model.log_probs(prefix)
            blocked = np.argsort(-row)[: rng.randrange(7)].tolist()
            legal = rng.choice([V, V - 3, V // 2])
            allowed = row.copy()
            allowed[blocked] = -np.inf
            allowed[legal:] = -np.inf
            tied += (allowed == allowed.max()).sum() > 1
            assert model.likeliest(prefix, legal, blocked) == allowed.argmax()
    assert tied > 100


def test_sampled_draft(files):
    """A sampled draft carries the q it was drawn from, is reproduced by its seed, and differs between seeds."""
    drafter = NgramDrafter.load(files[3], V)
    sampling = Sampling(temperature=1.0, top_k=20)
    prefix = CORPUS[0][:3]
    draft = session(drafter, sampling, seed=5).propose(prefix, 4)
    assert draft.q.shape == draft.logits.shape == (len(draft.ids), V)
    for i, token in enumerate(draft.ids):
        logp = torch.from_numpy(drafter.log_probs([*prefix, *draft.ids[:i]]))
        assert torch.equal(draft.q[i], distribution(logp, sampling))
        assert draft.q[i, token] > 0
    assert session(drafter, sampling, seed=5).propose(prefix, 4).ids == draft.ids
    assert len({session(drafter, sampling, seed=s).propose(prefix, 4).ids for s in range(20)}) > 5


def test_sampled_tokens_have_the_models_frequencies(files):
    """4,000 draws at temperature 1 after one context have the model's probabilities, within four standard errors."""
    drafter = NgramDrafter.load(files[3], V)
    prefix = CORPUS[2][:2]
    p = np.exp(drafter.log_probs(prefix).astype(np.float64))
    drawing = session(drafter, Sampling(temperature=1.0), seed=1)
    counts = np.bincount([drawing.propose(prefix, 1).ids[0] for _ in range(4000)], minlength=V)
    assert (np.abs(counts / 4000 - p) <= 4 * np.sqrt(p * (1 - p) / 4000) + 1e-3).all()


def test_draft_ends_at_end_of_text(files):
    """After the last tokens of a training sentence the draft is short and ends with the end-of-text token."""
    drafter = NgramDrafter.load(files[5], V)
    ended = [d.ids for d in (session(drafter).propose(ids, 8) for ids in CORPUS[:60]) if EOS in d.ids]
    assert len(ended) > 10
    assert all(ids.index(EOS) == len(ids) - 1 for ids in ended)
    assert any(len(ids) < 8 for ids in ended)


def test_returned_logits_stay(files):
    """A vector handed out is not written to by later queries (the protocol's promise)."""
    for order in (1, 5):
        s = session(NgramDrafter.load(files[order], V))
        first = s.next_logits([5])
        kept = first.clone()
        other = s.next_logits([5, 9])
        other.zero_()
        assert torch.equal(first, kept)
        assert torch.equal(s.next_logits([5]), kept)


def test_loaded_drafter_says_what_it_is(files):
    """Order, kind, size and hash are known after loading."""
    drafter = NgramDrafter.load(files[4], V)
    assert (drafter.order, drafter.kind, drafter.name, drafter.vocab_size) == (4, "baseline", "ngram:4", V)
    assert drafter.size_bytes == files[4].stat().st_size
    assert len(drafter.sha256) == 64


def assert_one_sentence(error: pytest.ExceptionInfo, *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    for word in words:
        assert word in text


def test_missing_file(tmp_path):
    """A file that is not there: one sentence that names it and the command."""
    with pytest.raises(DrafterError) as error:
        NgramDrafter.load(tmp_path / "ngram-3.safetensors", V)
    assert_one_sentence(error, "ngram-3.safetensors", "python -m train ngram")


def test_wrong_vocabulary(files):
    """A model of another vocabulary: one sentence with both sizes."""
    with pytest.raises(DrafterError) as error:
        NgramDrafter.load(files[3], 32128)
    assert_one_sentence(error, "64", "32128")


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_cut_file(files, tmp_path, keep):
    """A file cut short anywhere is called damaged."""
    broken = tmp_path / "ngram-3.safetensors"
    broken.write_bytes(files[3].read_bytes()[:keep])
    with pytest.raises(DrafterError) as error:
        NgramDrafter.load(broken, V)
    assert_one_sentence(error, "damaged", str(broken))


def _late_token(a):
    a["3.token"][-1] = V  # still in ascending order


def _more_successors(a):
    a["3.count"][0] += 1


def _context_beyond(a):
    a["3.context"][-1] = len(a["2.token"])


def _contexts_swapped(a):
    a["2.context"][:2] = a["2.context"][:2][::-1].copy()


def _not_finite(a):
    a["2.backoff"][3] = np.nan


def _infinite_unigram(a):
    a["unigram"][3] = -np.inf


def _short_unigram(a):
    a["unigram"] = a["unigram"][:-1].copy()


def _wrong_type(a):
    a["2.code"] = a["2.code"].astype(np.int32)


def _without_codes(a):
    del a["3.code"]


@pytest.mark.parametrize(
    "damage",
    [
        _late_token,
        _more_successors,
        _context_beyond,
        _contexts_swapped,
        _not_finite,
        _infinite_unigram,
        _short_unigram,
        _wrong_type,
        _without_codes,
    ],
)
def test_damaged_arrays(files, tmp_path, damage):
    """A well-formed file whose arrays break the format is refused when it is loaded, not when it drafts."""
    arrays = {name: a.copy() for name, a in load_file(files[3]).items()}
    broken = tmp_path / "ngram-3.safetensors"
    save(arrays, broken, 3, "baseline", "")
    assert NgramDrafter.load(broken, V).order == 3
    damage(arrays)
    save(arrays, broken, 3, "baseline", "")
    with pytest.raises(DrafterError) as error:
        NgramDrafter.load(broken, V)
    assert_one_sentence(error, "damaged")


@pytest.mark.parametrize(
    "metadata",
    [
        {"order": "1", "vocab_size": "64"},
        {"format": "fastllm-ngram-0", "order": "1", "vocab_size": "64"},
        {"format": FORMAT, "order": "one", "vocab_size": "64"},
        {"format": FORMAT, "vocab_size": "64"},
        {"format": FORMAT, "order": "0", "vocab_size": "64"},
    ],
)
def test_other_safetensors(tmp_path, metadata):
    """A safetensors file of another kind, or with metadata that make no sense, is refused in one sentence."""
    file = tmp_path / "ngram-1.safetensors"
    save_file({"unigram": np.full(V, -math.log10(V), np.float32)}, file, metadata)
    with pytest.raises(DrafterError) as error:
        NgramDrafter.load(file, V)
    assert_one_sentence(error, "damaged")


def test_cut_arpa(tmp_path):
    """An ARPA file cut anywhere is refused, as is one whose words are not ids of the vocabulary."""
    whole = (DATA / "ngram-3.arpa").read_text()
    arpa = tmp_path / "cut.arpa"
    for keep in (0, 20, len(whole) // 2, len(whole) - 6):
        arpa.write_text(whole[:keep])
        with pytest.raises(ValueError, match=r"cut short|not an ARPA|no 3-gram|no 2-gram"):
            read_arpa(arpa, V)
    with pytest.raises(ValueError, match="ids below 30"):
        read_arpa(DATA / "ngram-3.arpa", 30)


# --- the training step ---


def pseudo_file(folder: Path, rows: list[dict]) -> Path:
    file = folder / "pseudo.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return file


def arguments(folder: Path, *extra: str) -> list[str]:
    return ["ngram", "--vocab-size", str(V), "--out", str(folder / "out"), *extra]


def test_step_estimates_unigram_without_lmplz(tmp_path, monkeypatch):
    """Order 1 needs no lmplz; ids end at end of text; the record says what the text was and what was cut."""
    monkeypatch.setattr(lmplz, "LMPLZ", tmp_path / "absent")
    rows = [{"id": "a", "summary": "", "ids": [5, 6, 1]}, {"id": "b", "summary": "", "ids": [5, 7]}]
    args = arguments(tmp_path, "--pseudo", str(pseudo_file(tmp_path, rows)), "--orders", "1")
    assert train_main([*args, "--pseudo-copies", "2"]) == 0
    drafter = NgramDrafter.load(tmp_path / "out" / "ngram-1.safetensors", V)
    assert drafter.kind == "distilled"
    wanted = ngram.unigram_log10([[5, 6], [5, 7, V]] * 2, V) * math.log(10)  # V marks a cut text
    np.testing.assert_allclose(drafter.log_probs([]), wanted, atol=1e-5)
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["kind"] == "distilled"
    assert record["text"] == [{"text": "pseudo-summaries", "rows": 2, "copies": 2, "cut": 1}]
    assert record["tokens"] == 10
    assert record["models"]["ngram-1.safetensors"]["sha256"] == drafter.sha256


def test_step_needs_lmplz(tmp_path, monkeypatch, capsys):
    """Without lmplz, order 2 ends with one sentence that says how to build it."""
    monkeypatch.setattr(lmplz, "LMPLZ", tmp_path / "absent")
    assert train_main(arguments(tmp_path, "--pseudo", "unused.jsonl", "--orders", "1,2")) == 2
    said = capsys.readouterr().err
    assert "make lmplz" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{", "Line 2"),
        ("[1, 2]", "Line 2"),
        ('{"id": "x"}', "summary"),
        ('{"summary": "", "ids": [5, 64]}', "below 64"),
        ('{"summary": "", "ids": "5 6"}', "below 64"),
        ('{"summary": "", "ids": [0, 5, 1]}', "decoder start"),
        ('{"summary": 7}', "summary"),
    ],
)
def test_bad_pseudo_rows(tmp_path, line, word):
    """A bad row of the pseudo-dataset is named by its line."""
    file = tmp_path / "pseudo.jsonl"
    file.write_text('{"summary": "", "ids": [5, 1]}\n' + line + "\n")
    with pytest.raises(ValueError, match=word):
        ngram.read_pseudo(file, V)


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        (["--orders", "6"], "--orders"),
        (["--orders", "3", "--prune", "0,0"], "--prune"),
        (["--orders", "1", "--prune", "1"], "--prune"),
        (["--pseudo", "a.jsonl", "--data", "b.jsonl"], "--mix-highlights"),
        (["--mix-highlights", "1"], "--pseudo"),
        (["--pseudo", "absent.jsonl", "--orders", "1"], "absent.jsonl"),
        (["--data", "absent.jsonl", "--orders", "1"], "absent.jsonl"),
    ],
)
def test_bad_arguments(tmp_path, capsys, extra, word):
    """Arguments that cannot be meant end with one sentence on stderr and leave nothing behind."""
    assert train_main(arguments(tmp_path, "--tokenizer", str(tmp_path / "none"), *extra)) == 2
    said = capsys.readouterr().err
    assert word in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_missing_tokenizer(tmp_path, capsys):
    """Text without ids and without a tokenizer: one sentence that names the option."""
    pseudo = pseudo_file(tmp_path, [{"id": "1", "summary": "Nobody was hurt."}])
    for name in (str(tmp_path / "none"), "checkpoints/none/target"):
        args = arguments(tmp_path, "--pseudo", str(pseudo), "--orders", "1", "--tokenizer", name)
        assert train_main(args) == 2
        said = capsys.readouterr().err
        assert "give --tokenizer" in said
        assert said.count("\n") == 1


def test_text_is_tokenized(tiny_folder, tmp_path, monkeypatch):
    """Highlights and pseudo-summaries without ids go through the target's tokenizer; the vocabulary is the target's."""
    from transformers import AutoTokenizer

    text = "Nobody was hurt and the ferry will sail again."
    article = "The harbour master said that a fuel pump had failed on the ferry. " * 8
    data = tmp_path / "pairs.jsonl"
    data.write_text(json.dumps({"id": "1", "article": article, "highlights": text}) + "\n")
    pseudo = pseudo_file(tmp_path, [{"id": "1", "summary": text}, {"id": "2", "summary": "Divers looked at the hull."}])
    args = ["ngram", "--pseudo", str(pseudo), "--data", str(data), "--mix-highlights", "3", "--orders", "1"]
    assert train_main([*args, "--tokenizer", str(tiny_folder), "--out", str(tmp_path / "out")]) == 0
    # A preset's name is as good as its folder.
    monkeypatch.setitem(PRESETS, "tiny", TargetPreset("tiny", str(tiny_folder), "tiny"))
    assert train_main([*args, "--tokenizer", "tiny", "--out", str(tmp_path / "named")]) == 0
    one, two = (load_file(tmp_path / name / "ngram-1.safetensors") for name in ("out", "named"))
    assert all(np.array_equal(one[k], two[k]) for k in one)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ids = [tokenizer(t, add_special_tokens=False).input_ids for t in (text, "Divers looked at the hull.")]
    drafter = NgramDrafter.load(tmp_path / "out" / "ngram-1.safetensors", 256)  # 240 pieces, 256 columns
    wanted = ngram.unigram_log10([ids[0]] * 4 + [ids[1]], 256) * math.log(10)
    np.testing.assert_allclose(drafter.log_probs([]), wanted, atol=1e-5)
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert [(p["text"], p["rows"], p["copies"]) for p in record["text"]] == [
        ("pseudo-summaries", 2, 1),
        ("highlights", 1, 3),
    ]


@needs_lmplz
@pytest.mark.parametrize("order", ORDERS)
def test_lmplz_gives_the_fixture(tmp_path, order):
    """lmplz, called as the step calls it, estimates the committed ARPA files again from their text."""
    arpa = tmp_path / "model.arpa"
    pad = V if order > 2 else 1  # a pad below the text's own vocabulary pads nothing
    ngram.run_lmplz(DATA / "ngram-corpus.txt", arpa, order, pad, PRUNE[order], True, "64M")
    ours, theirs = (pack(*read_arpa(f, V), V)[0] for f in (arpa, DATA / f"ngram-{order}.arpa"))
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, err_msg=name)


@needs_lmplz
def test_step_end_to_end(tmp_path):
    """All five orders from a pseudo-dataset: files, record, better predictions with longer contexts."""
    rows = [{"id": str(i), "summary": "", "ids": [*ids, EOS]} for i, ids in enumerate(CORPUS)]
    args = arguments(tmp_path, "--pseudo", str(pseudo_file(tmp_path, rows)), "--discount-fallback", "--memory", "64M")
    assert train_main(args) == 0
    drafters = [NgramDrafter.load(tmp_path / "out" / f"ngram-{n}.safetensors", V) for n in range(1, 6)]
    assert [d.order for d in drafters] == [1, 2, 3, 4, 5]
    values = [ngram.perplexity(d, CORPUS) for d in drafters]
    assert values[0] > 1.5 * values[1] > 1.5 * values[2]
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["models"]["ngram-3.safetensors"]["ngrams"]["3"] > 100


def _probabilities(arrays: dict, folder: Path, order: int, prefix: list[int]) -> np.ndarray:
    save(arrays, folder / "m.safetensors", order, "distilled", "test")
    return np.exp(NgramDrafter.load(folder / "m.safetensors", V).log_probs(prefix).astype(np.float64))


@needs_lmplz
@pytest.mark.parametrize("order", [2, 3, 5])
def test_mark_is_conditioned_away(tmp_path, order):
    """P without the mark is P(w | h, w is not the mark) for contexts seen and unseen, and sums to 1."""
    text, arpa = tmp_path / "text", tmp_path / "m.arpa"
    rows = [[*ids, V] if i % 4 else ids for i, ids in enumerate(CORPUS)]
    text.write_text("".join(" ".join(map(str, r)) + "\n" for r in rows))
    ngram.run_lmplz(text, arpa, order, V + 1, (0, 0, 1, 1, 1), True, "64M")
    model = kenlm.Model(str(arpa))
    ours = pack(*without_mark(*read_arpa(arpa, V + 1, EOS), V), V)[0]
    for prefix in contexts(20):
        q = _probabilities(ours, tmp_path, order, prefix)
        state, after = kenlm.State(), kenlm.State()
        model.BeginSentenceWrite(state)
        for token in prefix:
            model.BaseScore(state, str(token), after)
            state, after = after, state
        words = ["</s>" if t == EOS else str(t) for t in range(V)]
        p = np.array([10.0 ** model.BaseScore(state, w, after) for w in words])
        assert q.sum() == pytest.approx(1, abs=0.02)  # codes of 8 to 16 bits
        np.testing.assert_allclose(q / q.sum(), p / p.sum(), rtol=0.05, atol=1e-5)


@needs_lmplz
@pytest.mark.parametrize("kept", [1, 3, 9])
def test_cut_texts_teach_no_end(tmp_path, kept):
    """Of ten equal texts `kept` ended after 5 6 7 and the rest were cut there: what P(end) is comes from those that
    went on, not from the limit. Beside them as many texts go on with 8 and then end."""
    rows = [{"id": f"{i}", "summary": "", "ids": [5, 6, 7, EOS][: 4 if i % 10 < kept else 3]} for i in range(200)]
    rows += [{"id": f"x{i}", "summary": "", "ids": [5, 6, 7, 8, 9, EOS]} for i in range(200)]
    args = arguments(tmp_path, "--pseudo", str(pseudo_file(tmp_path, rows)), "--discount-fallback", "--memory", "64M")
    assert train_main([*args, "--orders", "1,2,3"]) == 0
    ended = 20 * kept
    for n in (2, 3):
        q = np.exp(NgramDrafter.load(tmp_path / "out" / f"ngram-{n}.safetensors", V).log_probs([5, 6, 7]))
        assert q[EOS] == pytest.approx(ended / (ended + 200), abs=0.03)
    unigram = np.exp(NgramDrafter.load(tmp_path / "out" / "ngram-1.safetensors", V).log_probs([]))
    assert unigram[EOS] == pytest.approx((ended + 200) / (600 + ended + 200 * 6), abs=0.01)


@needs_lmplz
@pytest.mark.parametrize("vocab_size", [8000, 32000, 49152])
def test_large_vocabulary(tmp_path, vocab_size):
    """Orders whose n-grams have no key in int64 load all the same, and say what followed; texts cut and not."""
    top = vocab_size - 1
    rows = [
        {"id": str(i), "summary": "", "ids": [top - t for t in ids] + [EOS] * (i % 2)} for i, ids in enumerate(CORPUS)
    ]
    args = ["ngram", "--vocab-size", str(vocab_size), "--out", str(tmp_path / "out"), "--discount-fallback"]
    args += ["--eos-id", str(EOS), "--memory", "64M", "--orders", "4,5"]
    assert train_main([*args, "--pseudo", str(pseudo_file(tmp_path, rows))]) == 0
    for n in (4, 5):
        drafter = NgramDrafter.load(tmp_path / "out" / f"ngram-{n}.safetensors", vocab_size)
        q = np.exp(drafter.log_probs([top - t for t in CORPUS[0][:4]]).astype(np.float64))
        assert q.sum() == pytest.approx(1, abs=0.02)
        assert q[vocab_size - V :].sum() > 0.9


@needs_lmplz
def test_text_too_small_for_discounts(tmp_path, capsys):
    """Where Kneser-Ney has no discounts, the sentence names the option that supplies some."""
    rows = [{"id": "1", "summary": "", "ids": [5, 6, 7, 1]}]
    args = arguments(tmp_path, "--pseudo", str(pseudo_file(tmp_path, rows)), "--orders", "3", "--memory", "64M")
    assert train_main(args) == 2
    assert "--discount-fallback" in capsys.readouterr().err


# --- building lmplz ---


def test_missing_programs_name_the_apt_line(tmp_path, monkeypatch, capsys):
    """Without cmake, the build stops at once with one sentence that holds the apt-get line."""
    monkeypatch.setattr(lmplz, "LMPLZ", tmp_path / "absent")
    monkeypatch.setattr(lmplz.shutil, "which", lambda program: None)
    assert lmplz.main() == 2
    said = capsys.readouterr().err
    assert "`apt-get install cmake g++`" in said
    assert said.count("\n") == 1


def test_broken_binary_does_not_count(tmp_path):
    """A file in lmplz's place that does not estimate a model does not count as built."""
    fake = tmp_path / "lmplz"
    assert not lmplz.works(fake)
    fake.write_text("#!/bin/sh\necho hello\n")
    fake.chmod(0o755)
    assert not lmplz.works(fake)
