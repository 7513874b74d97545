"""The tokenizer of `mini`: a SentencePiece unigram model (Kudo 2018), kept in the format that T5 uses on the hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from transformers import PreTrainedTokenizerBase, T5Tokenizer

EXTRA_IDS = 32
_LIMIT = re.compile(r"value <= (\d+)")  # in sentencepiece's complaint that there are too few words
# Letters and signs that names and prices need but that are too rare in the corpus to pass the coverage cut.
ACCENTED = "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßŠšžćčğńőśşÁÅÇÉÍÎÓÖØÚÜ€£¥°½–—‘’“”…&@#%$+=/*[]<>_"


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: Path) -> PreTrainedTokenizerBase:
    """Train a unigram tokenizer with T5's special ids (pad 0, eos 1, unk 2, sentinels last) and save it in `folder`.

    Args:
        texts: sentences or paragraphs; SentencePiece samples two million of them at most.
        vocab_size: size with specials and sentinels included.

    Raises:
        ValueError: the text has too few different words for so many pieces, or too many letters for so few.
    """
    import sentencepiece

    with tempfile.TemporaryDirectory() as scratch:
        prefix = str(Path(scratch) / "spiece")
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_prefix=prefix,
                model_type="unigram",
                vocab_size=vocab_size - EXTRA_IDS,
                character_coverage=0.9998,
                required_chars=ACCENTED,
                pad_id=0,
                eos_id=1,
                unk_id=2,
                bos_id=-1,
                input_sentence_size=120_000,
                shuffle_input_sentence=True,
                num_threads=2,
                minloglevel=1,
            )
        except RuntimeError as error:
            found = _LIMIT.search(str(error))
            bound = f"at most {int(found[1]) + EXTRA_IDS}" if found else f"more than the {EXTRA_IDS} special pieces and"
            bound += "" if found else " all letters of the text"
            raise ValueError(
                f"A vocabulary of {vocab_size} pieces cannot be made of this text: give {bound}."
            ) from error
        spm = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
        vocab = [(spm.id_to_piece(i), spm.get_score(i)) for i in range(spm.get_piece_size())]
        vocab += [(f"<extra_id_{i}>", 0.0) for i in reversed(range(EXTRA_IDS))]
        charsmap = _precompiled_charsmap(Path(prefix + ".model"))
    tokenizer = T5Tokenizer(vocab=vocab, extra_ids=EXTRA_IDS, _spm_precompiled_charsmap=charsmap)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _precompiled_charsmap(model_file: Path) -> bytes:
    """SentencePiece's NMT-NFKC character map, from the trained model's protobuf."""
    from sentencepiece import sentencepiece_model_pb2 as pb

    proto = pb.ModelProto()  # type: ignore[attr-defined]  # made at import, unseen by the checker
    proto.ParseFromString(model_file.read_bytes())
    return proto.normalizer_spec.precompiled_charsmap
