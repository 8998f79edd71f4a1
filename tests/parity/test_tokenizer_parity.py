"""Our tokenizer against transformers: its Python BERT tokenizer, and AutoTokenizer on our files.

The Python one (tokenization_bert_legacy) is Google's algorithm with this Python's Unicode tables.
On real data the two never differ: no text is left out of the comparison. They can differ on
characters newer than the crate's Unicode tables and on Σ at the end of a word; of these the real
data hold a Σ alone, at the start of a word, where the two agree. The default run takes a sample of
every file, `-m slow` takes all of it.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.files import open_text
from hanmo.text.tokenizer import Tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

Ids = Callable[[str], list[int]]
TEXT = "中国 [MASK]人民\u2028[SEP] Hello café ΣΑΣ，한국 ㎏ 😀！ [unused1] [mask]"


@pytest.fixture(scope="session")
def google(data_dir: Path) -> Tokenizer:
    return Tokenizer.load(data_dir / "vocab")


@pytest.fixture(scope="session")
def python_ids(data_dir: Path) -> Ids:
    """Ids of the Python implementation, which treats no text as special."""
    from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer, WordpieceTokenizer

    pieces = (data_dir / "vocab" / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    basic = BasicTokenizer(do_lower_case=True)
    wordpiece = WordpieceTokenizer(vocab=vocab, unk_token="[UNK]")
    known: dict[str, list[int]] = {}

    def ids(text: str) -> list[int]:
        found: list[int] = []
        for word in basic.tokenize(text):
            if word not in known:
                known[word] = [vocab[piece] for piece in wordpiece.tokenize(word)]
            found.extend(known[word])
        return found

    return ids


@pytest.fixture(scope="session")
def auto_ids(google: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Ids:
    folder = tmp_path_factory.mktemp("checkpoint")
    google.save(folder, max_length=1 << 30)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    assert type(loaded).__name__ == "BertTokenizer"
    return lambda text: loaded(text, add_special_tokens=False)["input_ids"]


def real_files(folder: Path) -> list[Path]:
    skipped = {"configs", "tf1", "README.md", "SHA256SUMS"}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not skipped & {*path.relative_to(folder).parts}
    )


def sampled(lines: Iterable[str], one_in: int) -> Iterator[str]:
    """Lines chosen by their own bytes, so that the choice stays when the file grows."""
    for line in dict.fromkeys(lines):
        if zlib.crc32(line.encode()) % one_in == 0:
            yield line


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text).ids.tolist()


def compare(
    google: Tokenizer, python_ids: Ids, folder: Path, *, one_in: int, max_chars: int = -1
) -> int:
    """Compare lines of the start of every file; returns how many, every one of them equal."""
    compared = 0
    for path in real_files(folder):
        with open_text(path) as stream:
            texts = list(sampled(stream.read(max_chars).split("\n"), one_in))
        for text, encoding in zip(texts, google.encode_batch(texts), strict=True):
            assert encoding.ids.tolist() == python_ids(text), f"{path.name}: {text!a}"
            assert (encoding.spans[:, 0] < encoding.spans[:, 1]).all()
        compared += len(texts)
    return compared


def test_sample_of_all_real_data(google: Tokenizer, python_ids: Ids, data_dir: Path) -> None:
    assert compare(google, python_ids, data_dir, one_in=40, max_chars=150_000) > 5_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_real_data(google: Tokenizer, python_ids: Ids, data_dir: Path) -> None:
    assert compare(google, python_ids, data_dir, one_in=1) > 400_000


def test_final_sigma_is_the_crates(google: Tokenizer, python_ids: Ids) -> None:
    assert ids_of(google, "ΣΟΣ") == ids_of(google, "σοσ")
    assert python_ids("ΣΟΣ") == python_ids("σος") != python_ids("σοσ")


@given(st.text(st.sampled_from("中国人。，!a1Éßがｱ한\u0301\u200b \u3000\n😀[]MASK"), max_size=30))
def test_python_tokenizer_on_any_text(google: Tokenizer, python_ids: Ids, text: str) -> None:
    assert ids_of(google, text) == python_ids(text)


@given(st.text(max_size=30))
def test_auto_tokenizer_on_any_text(google: Tokenizer, auto_ids: Ids, text: str) -> None:
    assert google.encode(text, specials=True).ids.tolist() == auto_ids(text)


def test_auto_tokenizer_keeps_special_pieces_whole(google: Tokenizer, auto_ids: Ids) -> None:
    ids = auto_ids(TEXT)
    assert ids.count(google.mask_id) == 1
    assert ids.count(google.sep_id) == 1
    assert google.encode(TEXT, specials=True).ids.tolist() == ids
    assert not {google.mask_id, google.sep_id} & set(ids_of(google, TEXT))


def test_auto_tokenizer_frames_pairs_as_bert_does(google: Tokenizer, tmp_path: Path) -> None:
    google.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    pair = loaded("中国", "人")
    cls, sep = google.cls_id, google.sep_id
    assert pair["input_ids"] == [cls, *ids_of(google, "中国"), sep, *ids_of(google, "人"), sep]
    assert pair["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert (loaded.mask_token_id, loaded.pad_token_id) == (google.mask_id, google.pad_id)
    assert loaded.model_max_length == 512
    assert loaded.get_vocab() == google.id_of
