"""Query and passage read together: scores as transformers gives them, or a reason why there are none."""

from __future__ import annotations

import json
import pickle
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasb_qdrant.encoder import CrossEncoder, load_cross_encoder
from tasb_qdrant.errors import (
    CorruptModelError,
    DeviceError,
    EncodingError,
    HubUnreachableError,
    InvalidInputError,
    ModelError,
    ModelNotFoundError,
    SettingsError,
    UnsafeWeightsError,
)
from tests.encoder.conftest import point_hub_at
from tests.encoder.model.fake_hub import COMMIT, FakeHub, silent_listener
from tests.encoder.model.test_weights import Canary, save, tensors_of, to_pickle
from tests.models import make_cross_encoder, minilm_folder
from tests.waiting import sooner_than

pytestmark = pytest.mark.usefixtures("hub_cache")

QUERY = "what do cats eat"
TEXTS = ["Cats eat mice.", "", "Dogs bark at night, " * 9, "no", "Naïve [SEP] 漢字 and more of it", "mouse " * 1000]


def load(folder: Path, **options: Any) -> CrossEncoder:
    return load_cross_encoder(folder, **({"device": "cpu", "precision": "fp32"} | options))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return make_cross_encoder(tmp_path_factory.mktemp("cross") / "bert")


@pytest.fixture(scope="module")
def scorer(bert: Path) -> CrossEncoder:
    return load(bert, batch_tokens=700)


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def change(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | entries))


def by_transformers(folder: Path, max_length: int, texts: list[str]) -> NDArray[np.float32]:
    """Logits (n, labels) of one padded batch, as transformers' own tokenizer and model give them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = tokenizer(
        [QUERY] * len(texts),
        texts,
        padding=True,
        truncation="only_second",
        max_length=max_length,
        return_tensors="pt",
        return_token_type_ids=model.config.model_type == "bert",
    )
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(**batch).logits.numpy()
    return logits


@pytest.mark.parametrize(
    ("family", "limit"), [("bert", 512), ("distilbert", 512), ("roberta", 129), ("deberta-v2", 512), ("llama", 512)]
)
def test_scores_are_those_of_transformers_on_a_padded_batch(tmp_path: Path, family: str, limit: int) -> None:
    folder = make_cross_encoder(tmp_path / family, family=family)
    if family == "llama":
        change(folder / "tokenizer_config.json", padding_side="left")
    scorer = load(folder, batch_tokens=300)
    scores = scorer.score(QUERY, TEXTS)
    assert scorer.identity.max_length == limit
    assert scores.dtype == np.float32
    assert (scores.shape, scorer.truncated) == ((len(TEXTS),), 1)
    assert np.ptp(scores) > 0.01
    np.testing.assert_allclose(scores, by_transformers(folder, limit, TEXTS)[:, 0], rtol=0, atol=2e-5)


def test_of_two_labels_the_second_one_means_relevant(tmp_path: Path) -> None:
    folder = make_cross_encoder(tmp_path / "two", labels=2)
    change(folder / "config.json", id2label={"0": "no", "1": "yes"}, label2id={"no": 0, "yes": 1})
    scorer = load(folder)
    logits = by_transformers(folder, 512, TEXTS)
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), logits[:, 1] - logits[:, 0], rtol=0, atol=1e-5)
    assert "A score is the logit of the model's label 1 (yes) minus that of label 0 (no)." in scorer.notes


def test_more_labels_are_no_score(tmp_path: Path) -> None:
    folder = make_cross_encoder(tmp_path / "three", labels=3)
    with pytest.raises(ModelError, match=r"has 3 labels \(LABEL_0, LABEL_1, LABEL_2\); .*one label, or with two"):
        load(folder)


@given(texts=st.lists(st.sampled_from([*TEXTS[:5], "one", "one more " * 20]), min_size=1, max_size=6), data=st.data())
@settings(max_examples=8, deadline=None)
def test_a_score_depends_on_neither_order_nor_neighbours(
    scorer: CrossEncoder, texts: list[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    done: list[int] = []
    scores = scorer.score(QUERY, texts, on_progress=done.append)
    assert (sum(done), scores.shape) == (len(texts), (len(texts),))
    shuffled = scorer.score(QUERY, [texts[index] for index in order])
    np.testing.assert_allclose(shuffled, scores[order], rtol=0, atol=1e-5)
    alone = [float(scorer.score(QUERY, [text])[0]) for text in texts]
    np.testing.assert_allclose(scores, alone, rtol=0, atol=1e-5)


def test_only_the_passage_is_cut_and_what_is_cut_off_counts_for_nothing(bert: Path) -> None:
    scorer = load(bert)
    room = 512 - len(QUERY.split()) - 3
    long = "mouse " * room
    scores = scorer.score(QUERY, [long + "end " * 5, long + "different end " * 50, long, long[:-6] + "end"])
    np.testing.assert_allclose(scores[1:3], scores[0], rtol=0, atol=1e-5)
    assert abs(scores[3] - scores[0]) > 1e-4
    assert scorer.truncated == 2
    assert scorer.notes[-1].startswith("Passages truncated so far: 2; with the query they had more than the 512")
    other = scorer.score(QUERY + " at night", [long + "end"])
    assert abs(other[0] - scores[0]) > 1e-4


def test_a_passage_of_megabytes_takes_no_longer_than_its_beginning(scorer: CrossEncoder) -> None:
    text = "漢字の文章。" * 700_000
    begin = time.process_time()  # which doesn't pass while others have the cores
    scores = scorer.score(QUERY, [text, text[:3000]])
    assert time.process_time() - begin < 3
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [10**30, None, 4096])
def test_a_tokenizer_that_states_too_much_does_not_lead_beyond_the_models_positions(copy: Path, length: object) -> None:
    change(copy / "tokenizer_config.json", model_max_length=length)
    scorer = load(copy)
    assert scorer.identity.max_length == 512
    assert np.isfinite(scorer.score(QUERY, TEXTS)).all()


def test_where_nothing_says_how_much_a_model_reads_that_is_noted(tmp_path: Path) -> None:
    folder = make_cross_encoder(tmp_path / "xlnet", family="xlnet")
    change(folder / "tokenizer_config.json", model_max_length=None)
    scorer = load(folder)
    assert scorer.identity.max_length == 512
    assert "Pairs are cut to 512 tokens: the model doesn't say how many it reads." in scorer.notes


def test_a_length_that_sentence_transformers_keeps_is_kept_to(copy: Path) -> None:
    change(copy / "sentence_bert_config.json", max_seq_length=64)
    scorer = load(copy)
    assert scorer.identity.max_length == 64
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), by_transformers(copy, 64, TEXTS)[:, 0], rtol=0, atol=1e-5)
    change(copy / "sentence_bert_config.json", max_seq_length=3)
    with pytest.raises(CorruptModelError, match="reads only 3 tokens, which leaves none for query and passage"):
        load(copy)


@pytest.mark.parametrize(
    ("query", "texts", "message"),
    [
        ("", ["a"], "the query is empty"),
        (" \n", [], "the query is empty"),
        (7, ["a"], "the query must be a string, found int"),
        ("\ud800", ["a"], "the query has half of a surrogate pair at offset 0"),
        (
            "cats " * 509,
            ["a"],
            r"the query \(2,545 characters\) leaves no room for the passage in the 512 tokens .*; shorten the query",
        ),
        ("漢字。" * 1_000_000, ["a"], "leaves no room for the passage in the 512 tokens"),
        ("x" * 9000, ["a"], "leaves no room for the passage in the 512 tokens"),
        ("cats", "a text", "found a single string"),
        ("cats", ["a", None], "text 1 must be a string"),
        ("cats", ["\udfff"], "text 0 has half of a surrogate pair"),
    ],
)
def test_what_can_not_be_scored_is_named(scorer: CrossEncoder, query: Any, texts: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        scorer.score(query, texts)


def test_a_query_that_leaves_one_token_for_the_passage_is_scored(scorer: CrossEncoder) -> None:
    assert np.isfinite(scorer.score("cats " * 508, ["a b", ""])).all()


def limited(scorer: CrossEncoder, room: int, failure: Callable[[], Exception]) -> CrossEncoder:
    """The same on a device whose memory holds `room` tokens, padding included."""

    def forward(pairs: Any, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        if len(rows) * pairs.lengths[rows].max() > room:
            raise failure()
        return scorer._forward(pairs, rows)

    return CrossEncoder(
        identity=scorer.identity,
        device="cpu",
        notes=(),
        tokenization=scorer._tokenize,
        forward=forward,
        batch_tokens=10_000,
    )


def torch_out_of_memory() -> Exception:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_full_memory_halves_the_batch_and_loses_nothing(scorer: CrossEncoder) -> None:
    small = limited(scorer, 520, torch_out_of_memory)
    np.testing.assert_allclose(small.score(QUERY, TEXTS), scorer.score(QUERY, TEXTS), rtol=0, atol=1e-5)
    assert any("instead of 10000: cpu ran out of memory" in note for note in small.notes)
    with pytest.raises(EncodingError, match=r"passage 5 and the query \(512 tokens\) alone don't fit") as caught:
        limited(scorer, 300, MemoryError).score(QUERY, TEXTS)
    assert caught.value.index == 5


def test_no_passages_have_no_scores(scorer: CrossEncoder) -> None:
    scores = scorer.score(QUERY, [])
    assert scores.dtype == np.float32
    assert scores.shape == (0,)


def test_any_other_failure_is_not_taken_for_full_memory(scorer: CrossEncoder) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        limited(scorer, 0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied")).score(QUERY, TEXTS)


def test_many_threads_score_at_once(scorer: CrossEncoder) -> None:
    before, expected = scorer.truncated, scorer.score(QUERY, TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(lambda _: scorer.score(QUERY, TEXTS), range(16)):
            np.testing.assert_array_equal(scores, expected)
    assert scorer.truncated == before + 17


def test_a_score_that_is_not_finite_is_refused_with_its_position(copy: Path) -> None:
    tensors = tensors_of(copy)
    tensors["bert.embeddings.word_embeddings.weight"][1037] = np.nan  # "a" of the vocabulary
    save(copy, tensors)
    scorer = load(copy)
    assert np.isfinite(scorer.score(QUERY, TEXTS[:4])).all()
    with pytest.raises(EncodingError, match="score of passage 2 is not finite in fp32; give precision fp32") as caught:
        scorer.score(QUERY, ["cats", "dogs and mice", "a", "birds"])
    assert caught.value.index == 2
    save(copy, {name: tensor * np.nan for name, tensor in tensors.items()})
    with pytest.raises(EncodingError, match="is not finite"):
        load(copy).score(QUERY, TEXTS)


def test_an_encoder_has_no_classifier_and_never_gets_a_random_one(tiny_original: Path) -> None:
    with pytest.raises(
        ModelError, match=r"is not a cross-encoder: .* lack the classifier's \(classifier\.bias and 3 more"
    ):
        load(tiny_original)
    with pytest.raises(ModelError, match="chains Transformer, Pooling, Normalize; a cross-encoder is"):
        load(minilm_folder())


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("classifier.bias", ModelError, r"lack the classifier's \(classifier\.bias\)"),
        ("bert.pooler.dense.weight", CorruptModelError, r"missing: bert\.pooler\.dense\.weight"),
        ("bert.encoder.layer.1.output.dense.bias", CorruptModelError, r"missing: bert\.encoder\.layer\.1"),
    ],
)
def test_a_missing_weight_is_never_filled_with_random_numbers(
    copy: Path, name: str, error: type[Exception], message: str
) -> None:
    tensors = tensors_of(copy)
    del tensors[name]
    save(copy, tensors)
    with pytest.raises(error, match=message):
        load(copy)


def test_a_weight_left_over_or_of_another_shape_is_refused_and_one_of_training_is_not(
    copy: Path, scorer: CrossEncoder
) -> None:
    import torch

    tensors = tensors_of(copy)
    save(copy, tensors | {"bert.encoder.layer.2.output.dense.bias": torch.zeros(32)})
    with pytest.raises(CorruptModelError, match=r"unexpected: bert\.encoder\.layer\.2"):
        load(copy)
    save(copy, tensors | {"classifier.weight": torch.zeros(2, 32)})
    with pytest.raises(CorruptModelError, match=r"of another shape: classifier\.weight"):
        load(copy)
    save(copy, tensors | {"cls.predictions.bias": torch.zeros(30522)})
    np.testing.assert_allclose(load(copy).score(QUERY, TEXTS), scorer.score(QUERY, TEXTS), rtol=0, atol=1e-5)


def test_pickle_weights_are_refused_without_a_word_of_allowing_them(copy: Path, hub: FakeHub, tmp_path: Path) -> None:
    trace = tmp_path / "the canary sang"
    to_pickle(copy).write_bytes(pickle.dumps(Canary(trace)))
    hub.repos["some/reranker"] = copy
    for model in (copy, "some/reranker"):
        with pytest.raises(
            UnsafeWeightsError, match="choose a safetensors version of the model, or save it as"
        ) as caught:
            load_cross_encoder(model)
        assert "--allow-pickle" not in str(caught.value)
    assert not trace.exists()
    assert hub.downloads() == []


def test_code_of_the_models_own_never_runs(copy: Path, tmp_path: Path) -> None:
    trace = tmp_path / "the canary sang"
    for name in ("configuration_own", "modeling_own", "tokenization_own"):
        (copy / f"{name}.py").write_text(f"import os\nos.mkdir({str(trace)!r})\n")
    own = {"AutoConfig": "configuration_own.Config", "AutoModelForSequenceClassification": "modeling_own.Model"}
    change(copy / "config.json", auto_map=own)
    change(copy / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_own.Tokenizer", None]})
    assert np.isfinite(load(copy).score(QUERY, TEXTS)).all()  # as transformers' own BERT, which it is
    change(copy / "config.json", model_type="own")
    with pytest.raises(
        ModelError, match=r"'own', which transformers doesn't know; code of the model's own .* never run"
    ):
        load(copy)
    assert not trace.exists()


@pytest.mark.parametrize("family", ["timm_wrapper", "t5gemma2_encoder"])
def test_an_architecture_without_a_classifier_is_named(copy: Path, family: str) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": family}))
    with pytest.raises(ModelError):
        load(copy)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"quantization_config": {"bits": 4}}, "sets quantization_config, which is not supported"),
        ({"is_encoder_decoder": True}, "sets is_encoder_decoder, which is not supported"),
    ],
)
def test_what_is_not_supported_is_named(copy: Path, entries: dict[str, Any], message: str) -> None:
    change(copy / "config.json", **entries)
    with pytest.raises(ModelError, match=message):
        load(copy)


def test_sentence_transformers_files_are_read(copy: Path, scorer: CrossEncoder) -> None:
    alone = [{"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]
    (copy / "modules.json").write_text(json.dumps(alone))
    change(copy / "config_sentence_transformers.json", activation_fn="torch.nn.modules.activation.Sigmoid")
    loaded = load(copy)
    assert (
        "Scores are logits: the model's own activation, Sigmoid, is not applied, which doesn't change the order."
        in (loaded.notes)
    )
    np.testing.assert_allclose(loaded.score(QUERY, TEXTS), scorer.score(QUERY, TEXTS), rtol=0, atol=1e-5)
    change(copy / "config_sentence_transformers.json", default_prompt_name="query")
    with pytest.raises(ModelError, match="default_prompt_name"):
        load(copy)
    (copy / "modules.json").write_text(
        json.dumps([*alone, {"path": "1_LogitScore", "type": "sentence_transformers.models.LogitScore"}])
    )
    with pytest.raises(ModelError, match="chains Transformer, LogitScore; a cross-encoder is a Transformer alone"):
        load(copy)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", r"has no config\.json"), ("model.safetensors", r"has no weights"), ("tokenizer", "no tokenizer")],
)
def test_a_missing_file_is_named(copy: Path, missing: str, message: str) -> None:
    for path in copy.glob(f"{missing}*"):
        path.unlink()
    if missing == "tokenizer":
        (copy / "vocab.txt").unlink()
    with pytest.raises(ModelNotFoundError, match=message):
        load(copy)


def test_a_tokenizer_of_another_model_is_refused(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | {"id": 30522, "content": "[NEW]"})
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CorruptModelError, match="ids up to 30522, but the model embeds 30522"):
        load(copy)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "int8"}, DeviceError, "has no precision int8; give auto, fp32, bf16, fp16"),
        ({"precision": "fp16"}, DeviceError, "fp16 needs a CUDA device"),
        ({"device": "cpu,cpu"}, DeviceError, "runs on one device, found cpu,cpu"),
        ({"device": "tpu"}, DeviceError, "no device 'tpu'"),
        ({"batch_tokens": 0}, SettingsError, "batch_tokens must be at least 1"),
        ({"revision": "main"}, ModelNotFoundError, "is a folder, which has no revisions"),
    ],
)
def test_options_that_can_not_be_are_named(
    bert: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(bert, **options)


def test_tas_b_is_no_cross_encoder_which_needs_no_download_to_know(hub: FakeHub) -> None:
    with pytest.raises(ModelError, match="tas-b gives vectors and is not a cross-encoder"):
        load_cross_encoder("tas-b")
    assert hub.requests == []


def test_bf16_gives_about_the_same_scores_and_does_not_round_them(bert: Path, scorer: CrossEncoder) -> None:
    half = load(bert, precision="bf16")
    scores, exact = half.score(QUERY, TEXTS[:5]), scorer.score(QUERY, TEXTS[:5])
    assert half.identity.precision == "bf16"
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, exact, rtol=0, atol=0.1 * float(np.ptp(exact)))
    assert (scores != exact).any()
    beyond_bf16 = scores.view(np.uint32) & 0xFFFF
    assert beyond_bf16.any(), "a score rounded to bf16 ties with its neighbours"


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
@pytest.mark.parametrize("precision", ["auto", "bf16", "fp32"])
def test_a_gpu_gives_about_the_scores_of_a_cpu(tmp_path: Path, family: str, precision: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    folder = make_cross_encoder(tmp_path / family, family=family)
    exact = load(folder).score(QUERY, TEXTS)
    scorer = load(folder, device="cuda", precision=precision)
    assert scorer.device == "cuda:0"
    assert scorer.identity.precision in (("fp16", "bf16") if precision == "auto" else (precision,))
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), exact, rtol=0, atol=0.1 * float(np.ptp(exact)))


def test_the_identity_names_model_and_weights(bert: Path, scorer: CrossEncoder) -> None:
    import hashlib

    identity = scorer.identity
    assert identity.model == str(bert.resolve())
    assert identity.weights == hashlib.sha256((bert / "model.safetensors").read_bytes()).hexdigest()
    assert (identity.revision, identity.precision, identity.max_length, scorer.device) == ("", "fp32", 512, "cpu")


def test_a_hub_repository_loads_and_its_cached_copy_serves_when_the_hub_is_gone(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeBERTa, because an encoder may not be one: what is cached must be asked for as a classifier."""
    hub.repos["some/reranker"] = make_cross_encoder(tmp_path / "deberta", family="deberta-v2")
    online = load_cross_encoder("some/reranker", device="cpu")
    assert (online.identity.model, online.identity.revision) == ("some/reranker", COMMIT)
    point_hub_at("http://127.0.0.1:9", monkeypatch)
    gone = load_cross_encoder("some/reranker", device="cpu")
    assert any("comes from the cache" in note for note in gone.notes)
    assert gone.identity == online.identity
    with pytest.raises(HubUnreachableError, match="to load another/reranker"):
        load_cross_encoder("another/reranker")


def test_a_hub_that_never_answers_is_noticed_in_time(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_listener() as url:
        point_hub_at(url, monkeypatch)
        with (
            sooner_than(10),  # which the hub's own library takes
            pytest.raises(HubUnreachableError, match="can't be reached to load some/reranker"),
        ):
            load_cross_encoder("some/reranker", hub_timeout=0.5)


def test_loading_and_scoring_print_nothing(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(bert).score(QUERY, TEXTS)
    assert capfd.readouterr() == ("", "")
