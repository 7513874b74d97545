"""Target models: encode an article once, score a prefix and a draft. The only file that knows the target's KV cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from fastllm.checkpoints import folder_sha256
from fastllm.config import Settings, TargetPreset, preset_for
from fastllm.linear import speed_up
from fastllm.sampling import Sampler, common_prefix
from fastllm.source import Source
from fastllm.trace import Article


class TargetError(ValueError):
    """A target cannot be loaded or used; the message is one sentence that says what to do."""


class Target:
    """A T5-class encoder-decoder with its tokenizer. Holds no state of any run: sessions do.

    Attributes:
        preset: prompt prefix, lengths, drafters.
        vocab_size: columns of the logits, so the length of p and q.
        legal_size: ids below it have a piece; T5 pads its 32,100 pieces to 32,128 columns.
        eos_id, start_id: end-of-text token, decoder start token.
    """

    def __init__(self, preset: TargetPreset, model, tokenizer) -> None:
        self.preset = preset
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        self.vocab_size = model.config.vocab_size
        self.legal_size = min(len(tokenizer), self.vocab_size)
        self.eos_id = tokenizer.eos_token_id
        self.start_id = model.config.decoder_start_token_id
        self._prompt_ids = tuple(tokenizer(preset.prefix, add_special_tokens=False).input_ids) if preset.prefix else ()

    @cached_property
    def pieces(self) -> list[str]:
        """The text of each id; a leading space where the piece begins a word."""
        tokens = self.tokenizer.convert_ids_to_tokens(list(range(self.legal_size)))
        return [t.replace("▁", " ") for t in tokens]

    def piece(self, token: int) -> str:
        """The text of one id."""
        return self.pieces[token] if token < self.legal_size else f"<{token}>"

    def text(self, ids: Sequence[int]) -> str:
        """A summary's ids as text, special tokens left out."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    @cached_property
    def sha256(self) -> str:
        """Hash of the weight files, or the hub commit of a hub model."""
        folder = Path(self.preset.model)
        return folder_sha256(folder) if folder.is_dir() else getattr(self.model.config, "_commit_hash", None) or ""

    def read(self, article: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The article's ids, in two parts: what the encoder reads of them beside the prompt, and what is cut."""
        ids = self.tokenizer(self.preset.prefix + article, add_special_tokens=False, verbose=False).input_ids
        body = tuple(ids[len(self._prompt_ids) :])
        room = self.preset.max_article_tokens - len(self._prompt_ids) - 1
        return body[:room], body[room:]

    def open(self, article: str) -> TargetSession:
        """Encode an article, cut to what the encoder reads, and begin a session.

        Raises:
            TargetError: the article holds no token.
        """
        return TargetSession(self, article)

    def sampler(self, settings: Settings) -> Sampler:
        """A fresh sampler, seeded, for one run."""
        return Sampler(settings.sampling, self.legal_size, self.eos_id, self.start_id, settings.seed)


class CachedDecoder:
    """One prompt on one encoder-decoder: encoded once, keys and values kept, the cache following the tokens asked for.

    The target's sessions and those of a T5 drafter are both made of it.
    """

    @torch.inference_mode()
    def __init__(self, model, prompt_ids: Sequence[int], start_id: int) -> None:
        self._model, self._start_id = model, start_id
        self._device = next(model.parameters()).device
        input_ids = torch.tensor([prompt_ids], device=self._device)
        encoded = model.get_encoder()(input_ids=input_ids).last_hidden_state
        _synchronize(self._device)
        self._encoded = BaseModelOutput(last_hidden_state=encoded)
        # No config given: transformers 5.23 would size the caches by the encoder's number of layers.
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._held: list[int] = []  # the decoder tokens whose keys and values are in the cache

    @torch.inference_mode()
    def score(self, text: Sequence[int], wanted: int = 1) -> torch.Tensor:
        """Logits after `text` (without decoder start) and after its beginnings that lack 1 .. wanted - 1 tokens.

        Returns:
            shape (wanted, columns), float32, on the CPU; the last row follows the whole of `text`.
        """
        tokens = [self._start_id, *text]
        keep = min(common_prefix(self._held, tokens), len(tokens) - wanted)
        if keep < len(self._held):
            # Self-attention only: the cross-attention cache belongs to the article. crop() takes a negative count.
            self._cache.self_attention_cache.crop(keep - len(self._held))
        self._held = tokens
        out = self._model(
            encoder_outputs=self._encoded,
            decoder_input_ids=torch.tensor([tokens[keep:]], device=self._device),
            past_key_values=self._cache,
            use_cache=True,
        )
        # .cpu() waits for the device, so the caller's clock needs no synchronisation of its own.
        return out.logits[0, -wanted:].float().cpu()


class TargetSession:
    """One article on one target. Several runs over it, one after the other, are fine: the cache follows the prefix.

    Attributes:
        article: the text, how many tokens of it were read, how many cut.
        source: the same as token ids, for drafters.
        seconds_encode: the encoder's time.
    """

    def __init__(self, target: Target, text: str) -> None:
        self.target = target
        read, cut = target.read(text)
        if not read:
            raise TargetError("The article is empty: paste some text to summarise.")
        self.article = Article(text, len(read), len(cut))
        self.source = Source(read, (*target._prompt_ids, *read, target.eos_id))
        started = time.perf_counter()
        self._decoder = CachedDecoder(target.model, self.source.prompt_ids, target.start_id)
        self.seconds_encode = time.perf_counter() - started

    def score(self, prefix: Sequence[int], draft: Sequence[int] = ()) -> torch.Tensor:
        """Logits of the k + 1 positions after `prefix`, `prefix + draft[:1]`, ..., `prefix + draft`.

        One forward pass over whatever of this the cache does not hold yet.

        Returns:
            shape (k + 1, vocab_size), float32, on the CPU.
        """
        return self._decoder.score([*prefix, *draft], len(draft) + 1)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def choose_device(device: str | None = None) -> torch.device:
    """The device asked for, else CUDA where there is one, else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def choose_dtype(preset: TargetPreset, device: torch.device) -> torch.dtype:
    """bfloat16 on CUDA, float32 elsewhere, unless the preset names one.

    Raises:
        TargetError: float16 is asked for, in which T5's activations overflow.
    """
    if preset.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype = getattr(torch, preset.dtype, None)
    if dtype not in (torch.float32, torch.bfloat16):
        raise TargetError(
            f"The target's dtype must be float32 or bfloat16, not {preset.dtype}: T5 overflows in float16."
        )
    return dtype


def load_model(where: str, dtype: torch.dtype, device: torch.device):
    """An encoder-decoder by hub name or folder, its layers quick for few rows; errors are ``from_pretrained``'s."""
    model = AutoModelForSeq2SeqLM.from_pretrained(where, dtype=dtype).to(device)
    speed_up(model)
    return model


def load_target(name: str, device: str | None = None) -> Target:
    """Load a target by preset, folder or hub name through ``from_pretrained``.

    Raises:
        TargetError: it is not there, is no encoder-decoder, or cannot be read.
    """
    try:
        preset = preset_for(name)
    except ValueError as error:
        raise TargetError(str(error)) from None
    where = choose_device(device)
    if preset.name == "mini" and not Path(preset.model).is_dir():
        raise TargetError(
            f"The embedded target is missing at {preset.model}: run `make checkpoints` to train it again."
        )
    try:
        config = AutoConfig.from_pretrained(preset.model)
        if not config.is_encoder_decoder or getattr(config, "decoder_start_token_id", None) is None:
            raise TargetError(f"{name} is no encoder-decoder (a {config.model_type}); FastLLM needs a T5-class model.")
        tokenizer = AutoTokenizer.from_pretrained(preset.model)
        model = load_model(preset.model, choose_dtype(preset, where), where)
    except TargetError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise TargetError(
            f"The target {name} could not be loaded; check the name, and that its files are there or the hub can be "
            f"reached ({reason})."
        ) from error
    return Target(preset, model, tokenizer)
