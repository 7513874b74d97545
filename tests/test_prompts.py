"""What a target reads is the tokenizer's own ids of the whole text, and the article's tokens are found in it.

With a byte-level BPE, where a part tokenized alone gives other ids than it has in the whole.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from scipy.stats import chi2
from transformers import GenerationConfig

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters.lookup import LookupDrafter
from fastllm.targets.base import TargetError
from fastllm.targets.load import load_target
from fastllm.targets.pretrained import read_tokenizer
from fastllm.targets.seq2seq import prompt_of
from tests.barts import make_bart, train_byte_level
from tests.conftest import ARTICLE, TEXTS

TRICKY = [
    "Ferry lost power.",
    " leading blank",
    "\ttab\nand lines\n\n",
    "café — “naïve” 12 €",
    "漢字 and 🙂 and e\u0301",
    "...",
    "a",
    "</s> <s> is text here",
    "<pad><mask> <unk>",
]


@pytest.fixture(scope="session")
def bart_folder(tmp_path_factory):
    """A tiny BART on disk."""
    return make_bart(tmp_path_factory.mktemp("models") / "bart", positions=256)


@pytest.fixture(scope="session")
def bart(bart_folder):
    """The tiny BART as a target."""
    return load_target(str(bart_folder))


@pytest.mark.parametrize("text", [ARTICLE, *TRICKY])
def test_the_prompt_is_the_tokenizers_own_ids(bart, text):
    """Prefix, article and special tokens as one text: ``<s>`` first, ``</s>`` last, no word lost."""
    shown = text
    for token in bart.tokenizer.all_special_tokens:
        shown = shown.replace(token, token[0] + " " + token[1:])
    prompt = bart.read(text)
    assert list(prompt.ids) == bart.tokenizer("summarize: " + shown).input_ids
    assert prompt.ids[0] == bart.tokenizer.bos_token_id
    assert prompt.ids[-1] == bart.tokenizer.eos_token_id
    assert bart.tokenizer.decode(prompt.article).strip() == shown.strip()
    assert prompt.cut == ()


def test_an_article_is_not_tokenized_alone(bart):
    """The case that was reported: the first word after the prefix has other ids than alone, and is the article's."""
    alone = bart.tokenizer("ferry sails", add_special_tokens=False).input_ids
    inside = list(bart.read("ferry sails").article)
    assert alone != inside
    assert bart.tokenizer.decode(inside).strip() == "ferry sails"


@pytest.mark.parametrize("words", [1, 30, 60, 300])
def test_what_does_not_fit_is_cut_from_the_articles_end(bart, words):
    """`room` tokens at most, special tokens kept; read and cut are the article's tokens, in order."""
    prompt = bart.read(" ".join(["harbour"] * words))
    assert len(prompt.ids) <= bart.room
    assert prompt.ids[0] == bart.tokenizer.bos_token_id
    assert prompt.ids[-1] == bart.tokenizer.eos_token_id
    whole = bart.tokenizer("summarize: " + " ".join(["harbour"] * words)).input_ids
    assert [*prompt.ids[:-1], *prompt.cut, prompt.ids[-1]] == whole
    assert len(prompt.article) + len(prompt.cut) >= words


def test_offsets_decide_whose_a_token_is():
    """A token over the border is the article's; special tokens are nobody's; a cut longer than the article leaves
    none of it."""
    ids, offsets, special = (9, 1, 2, 3, 4, 8), ((0, 0), (0, 4), (4, 6), (6, 8), (8, 9), (0, 0)), (1, 0, 0, 0, 0, 1)
    assert prompt_of(ids, offsets, special, 5, 6).article == (2, 3, 4)
    cut = prompt_of(ids, offsets, special, 5, 4)
    assert (cut.ids, cut.article, cut.cut) == ((9, 1, 2, 8), (2,), (3, 4))
    gone = prompt_of(ids, offsets, special, 5, 1)
    assert (gone.ids, gone.article, gone.cut) == ((9, 1, 8), (), (2, 3, 4))


def test_several_articles_are_read_as_each_alone(bart, tiny):
    """Batches change nothing."""
    for target in (bart, tiny):
        assert target.read_many([*TEXTS, "", *TRICKY]) == [target.read(t) for t in [*TEXTS, "", *TRICKY]]
        assert target.read_many([]) == []


def test_pieces_read_as_text(bart):
    """Joined, the pieces of a text give it back: the signs of a byte-level alphabet are no text. A token that is half
    a character is shown as its byte, and as text in the decoded whole."""
    for text, shown in (("The ferry sails at 5.", "The ferry sails at 5."), ("naïve", "na‹c3›‹af›ve")):
        ids = bart.tokenizer(text, add_special_tokens=False).input_ids
        assert "".join(bart.piece(i) for i in ids) == shown
        assert bart.tokenizer.decode(ids) == text
    assert all("Ġ" not in bart.piece(i) for i in range(bart.legal_size))


@pytest.mark.parametrize("text", [ARTICLE, TEXTS[3]])
def test_greedy_text_is_that_of_generate_with_the_forced_first_token(bart, text):
    """``forced_bos_token_id`` is part of p: plain and speculative decoding both begin with it, as `generate` does."""
    settings = Settings(4, Sampling(no_repeat_ngram_size=3), 0, 24, top=0)
    session = bart.open(text)
    wanted = bart.model.generate(
        torch.tensor([session.source.prompt_ids]),
        generation_config=GenerationConfig(
            max_new_tokens=24,
            do_sample=False,
            num_beams=1,
            no_repeat_ngram_size=3,
            decoder_start_token_id=2,
            forced_bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        ),
    )[0, 1:].tolist()
    plain = [t for s in autoregressive(session, settings) for t in s.tokens]
    drafted = [t for s in speculative(session, LookupDrafter(bart.vocab_size), settings) for t in s.tokens]
    assert plain == drafted == wanted
    assert plain[0] == bart.first_id == 0


def test_other_first_tokens_and_none_are_obeyed(bart, bart_folder, tmp_path):
    """Another forced token comes first; without one, whatever the model says."""
    other = load_target(str(make_bart(tmp_path / "other", forced_bos_token_id=7)))
    free = load_target(str(make_bart(tmp_path / "free", forced_bos_token_id=None)))
    assert (other.first_id, free.first_id) == (7, None)
    settings = Settings(2, Sampling(1.0), 5, 4, top=0)
    first = [next(iter(autoregressive(t.open(ARTICLE), settings))).tokens[0] for t in (other, free)]
    assert first[0] == 7
    seeds = {
        next(iter(autoregressive(free.open(ARTICLE), dataclasses.replace(settings, seed=s)))).tokens[0]
        for s in range(12)
    }
    assert len(seeds) > 1


def test_sampled_second_tokens_are_distributed_as_p_after_the_forced_first(bart):
    """G-test over the second token, 600 speculative samples with a drafter that often disagrees, against p itself."""
    session = bart.open(TEXTS[1])
    sampling = Sampling(1.0, 12)
    settings = Settings(2, sampling, 0, 2, top=0)
    sampler = bart.sampler(settings)
    p = sampler.distribution(session.score([0]), [0])[0]
    drafter = Guess(bart, p)
    counts = torch.zeros_like(p)
    samples = 600
    for seed in range(samples):
        tokens = [t for s in speculative(session, drafter, dataclasses.replace(settings, seed=seed)) for t in s.tokens]
        assert tokens[0] == bart.first_id
        counts[tokens[1]] += 1
    kept = p * samples >= 5
    observed = torch.cat([counts[kept], counts[~kept].sum()[None]])
    expected = torch.cat([p[kept], p[~kept].sum()[None]]) * samples
    both = (observed > 0) & (expected > 0)
    assert not ((expected <= 0) & (observed > 0)).any()
    g = 2 * float((observed[both] * (observed[both] / expected[both]).log()).sum())
    assert chi2.sf(g, int((expected > 0).sum()) - 1) > 1e-3
    wrong = counts.roll(1)
    assert not torch.equal(wrong, counts)


class Guess(LookupDrafter):
    """Proposes the forced first token, then samples from a flattened p: sometimes right, often refused."""

    def __init__(self, target, p: torch.Tensor) -> None:
        super().__init__(target.vocab_size)
        self._target, self._p = target, p

    def open(self, source, sampler):
        """A session over the same flattened distribution."""
        from fastllm.drafters.base import DistributionSession

        p = self._p

        class Flat(DistributionSession):
            def next_logits(self, prefix):
                return (p + 0.02).log()

        return Flat(sampler)


def test_a_tokenizer_without_offsets_is_refused(tmp_path, monkeypatch):
    """A slow tokenizer cannot say where its tokens stand: refused when loaded, in one sentence."""
    folder = make_bart(tmp_path / "bart")
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.is_fast", property(lambda self: False))
    with pytest.raises(TargetError, match=r"does not tell where in the text.*tokenizer\.json"):
        read_tokenizer(folder)
    with pytest.raises(TargetError, match="does not tell where"):
        load_target(str(folder))


def test_a_really_slow_tokenizer_is_refused(tmp_path):
    """One of transformers' own that has no fast form: byte tokens without any vocabulary file."""
    from transformers import ByT5Tokenizer

    folder = make_bart(tmp_path / "bart")
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / file).unlink(missing_ok=True)
    ByT5Tokenizer().save_pretrained(folder)
    with pytest.raises(TargetError, match="tokenizer"):
        load_target(str(folder))


def test_a_tokenizer_that_adds_a_blank_before_the_text_is_read_rightly(tmp_path):
    """`add_prefix_space` moves no offset of the article."""
    folder = make_bart(tmp_path / "bart")
    train_byte_level(folder, add_prefix_space=True)
    target = load_target(str(folder))
    prompt = target.read("Ferry lost power.")
    assert list(prompt.ids) == target.tokenizer("summarize: Ferry lost power.").input_ids
    assert target.tokenizer.decode(prompt.article).strip() == "Ferry lost power."
