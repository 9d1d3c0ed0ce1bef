"""Zero-shot and retrieval of a CLIP that transformers has saved, against its own logits."""

import numpy as np
import pytest
import tokenizers
from tokenizers import models as words
from tokenizers import pre_tokenizers, processors

from m3i_jax.evaluation import datasets, image_text, zero_shot
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.foreign import of_file
from tests.evaluation import toy_models

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
WORDS = "! a photo of the zero one two three four five six seven eight nine <start> <end>".split()
START, END = len(WORDS) - 2, len(WORDS) - 1
TEXTS = ["a photo of a two", "the seven", "a photo of the nine a photo of the nine"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(folder, model): a CLIP with a tokenizer whose token 0 is a word, as CLIP's own is."""
    folder = tmp_path_factory.mktemp("clip")
    ends = dict(bos_token_id=START, eos_token_id=END, pad_token_id=END)
    config = transformers.CLIPConfig(
        text_config=dict(**SIZES, vocab_size=len(WORDS), max_position_embeddings=9, **ends),
        vision_config=dict(**SIZES, image_size=16, patch_size=8),
        projection_dim=8,
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer = tokenizers.Tokenizer(
        words.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="!")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<start>", "<end>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", START), ("<end>", END)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder, model


def on_scenes(model, **how):
    source = datasets.of_run(toy_models.of_config("classification"))
    return Evaluation(model, source, batch=10, **how)


def test_images_and_texts_are_its_embeddings(saved):
    folder, theirs = saved
    evaluation = on_scenes(of_file(folder), test_limit=12)
    compared = image_text.of(evaluation, what="it")
    told = evaluation.mapped("test", compared.image, name=compared.name).features
    tokens = [[START, *(WORDS.index(w) for w in text.split())][:8] + [END] for text in TEXTS]
    tokens = torch.tensor([row + [END] * (9 - len(row)) for row in tokens])
    source = evaluation.source("test")
    images = np.stack([source[i].image for i in range(12)])
    processor = transformers.CLIPImageProcessor(do_resize=False, do_center_crop=False)
    with torch.no_grad():
        pixels = processor([*images], return_tensors="pt")["pixel_values"]
        logits = theirs(input_ids=tokens, pixel_values=pixels).logits_per_image.numpy()
    found = zero_shot.scores(told, compared.text(TEXTS))
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-5 * np.abs(logits).max())
    assert np.ptp(logits) > 1 and compared.tokens == 9
