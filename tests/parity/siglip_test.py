"""Zero-shot and retrieval of SigLIPs of transformers and of open_clip, against their embeddings."""

import json

import jax
import numpy as np
import pytest
import tokenizers
from tokenizers import models as words
from tokenizers import normalizers, pre_tokenizers, processors

from m3i_jax.evaluation import datasets, foreign_text, image_text, zero_shot
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.foreign import of_file
from m3i_jax.interop import files, importing
from tests.evaluation import toy_models

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
save_file = pytest.importorskip("safetensors.torch").save_file

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
WORDS = "<pad> </s> <unk> a photo of the one two seven nine".split()
LENGTH, END = 7, 1
TEXTS = ["A photo, of a two!", "the seven", "", "a photo of the nine a photo of the nine"]
CANONICAL = ["a photo of a two", "the seven", "", "a photo of the nine a photo of the nine"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(folder, model): a SigLIP whose tokenizer pads with its end token and lowers all letters."""
    folder = tmp_path_factory.mktemp("siglip")
    config = transformers.SiglipConfig(
        text_config=dict(**SIZES, vocab_size=len(WORDS), max_position_embeddings=LENGTH),
        vision_config=dict(**SIZES, image_size=16, patch_size=8),
    )
    torch.manual_seed(0)
    model = transformers.SiglipModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
        model.logit_scale.fill_(5.0)  # beyond CLIP's limit, as SigLIP's may be
        model.logit_bias.fill_(-9.0)
    model.save_pretrained(folder)
    tokenizer_of().save(str(folder / "tokenizer.json"))
    return folder, model


def tokenizer_of():
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(words.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(tokenizers.Regex(r"[[:punct:]]"), "")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    tokenizer.enable_padding(pad_id=END, pad_token="</s>")
    return tokenizer


def ids(text):
    row = [WORDS.index(word) for word in text.split()][: LENGTH - 1] + [END]
    return row + [END] * (LENGTH - len(row))


def on_scenes(model, **how):
    source = datasets.of_run(toy_models.of_config("classification"))
    return Evaluation(model, source, batch=10, **how)


def test_images_texts_and_logits_are_its_own(saved):
    folder, theirs = saved
    evaluation = on_scenes(of_file(folder), test_limit=12)
    compared = image_text.of(evaluation, what="it")
    told = evaluation.mapped("test", compared.image, name=compared.name).features
    source = evaluation.source("test")
    pixels = np.stack([source[i].image for i in range(12)]).transpose(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        want = theirs(
            input_ids=torch.tensor([ids(text) for text in CANONICAL]),
            pixel_values=torch.from_numpy(np.float32(pixels)),
        )
    scale = np.exp(5.0)
    np.testing.assert_allclose(told / scale, want.image_embeds, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(compared.text(TEXTS), want.text_embeds, rtol=1e-5, atol=1e-5)
    bias = foreign_text.with_text(evaluation.model, what="it")[0].params["decoders"]["text"]
    logits = zero_shot.scores(told, compared.text(TEXTS)) + bias["logit_bias"]
    np.testing.assert_allclose(logits, want.logits_per_image, rtol=1e-5, atol=1e-5 * scale)
    assert np.ptp(want.logits_per_image.numpy()) > 1 and compared.tokens == LENGTH


def test_what_pads_is_said_beside_the_tokenizer_or_it_is_refused(saved, tmp_path):
    folder, _ = saved
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tokenizer = tokenizer_of()
    tokenizer.no_padding()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model = of_file(tmp_path)
    with pytest.raises(NotMeasurable, match="what short texts are padded with"):
        foreign_text.with_text(model, what="it")
    said = {"pad_token": {"content": "</s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    found, want = (
        foreign_text.with_text(m, what="it")[0].params["encoders"]["text"]["token_embed"]
        for m in (model, of_file(folder))
    )
    np.testing.assert_array_equal(found, want)


def test_the_image_tower_alone_has_the_same_features(saved, tmp_path):
    folder, theirs = saved
    theirs.vision_model.save_pretrained(tmp_path)
    alone, whole = of_file(tmp_path), of_file(folder)
    assert alone.block == whole.block and alone.pool == "mean"
    for path, x in importing.by_module(importing.read(folder).params)["encoders/image"].items():
        node = alone.params["encoders"]["image"]
        for name in path.split("/"):
            node = node[name]
        np.testing.assert_array_equal(np.ravel(node), np.ravel(x), err_msg=path)


class OpenClip(torch.nn.Module):
    """timm's own images beside torch's own transformer, under open_clip's names and in float64."""

    def __init__(self, timm, width=48):
        super().__init__()
        self.trunk = timm.create_model(
            TIMM, img_size=32, embed_dim=width, depth=2, num_classes=0, fix_init=False
        )
        layer = dict(dim_feedforward=96, dropout=0.0, activation="gelu", layer_norm_eps=1e-6)
        make = torch.nn.TransformerEncoderLayer
        layers = [make(width, 4, batch_first=True, norm_first=True, **layer) for _ in range(2)]
        self.blocks = torch.nn.ModuleList(layers)
        self.tokens = torch.nn.Embedding(len(WORDS), width)
        self.places = torch.nn.Parameter(torch.empty(LENGTH, width))
        self.ln_final = torch.nn.LayerNorm(width, eps=1e-6)
        self.projection = torch.nn.Linear(width, width)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn_like(parameter))

    def text(self, ids):
        x = self.tokens(ids) + self.places
        for block in self.blocks:
            x = block(x)
        return self.projection(self.ln_final(x)[:, -1])

    def saved(self):
        """The state dict of open_clip's CustomTextCLIP."""
        names = {"trunk.": "visual.trunk.", "tokens.": "text.token_embedding.",
                 "places": "text.positional_embedding", "ln_final.": "text.ln_final.",
                 "projection.": "text.text_projection.", "blocks.": "text.transformer.resblocks.",
                 ".self_attn.": ".attn.", ".norm1.": ".ln_1.", ".norm2.": ".ln_2.",
                 ".linear1.": ".mlp.c_fc.", ".linear2.": ".mlp.c_proj."}  # fmt: skip
        state = {"logit_scale": torch.tensor(5.0), "logit_bias": torch.tensor(-9.0)}
        for key, x in self.state_dict().items():
            for old, new in names.items():
                key = key if key.startswith("visual") else key.replace(old, new, 1)
            state[key] = x.contiguous()
        return state


TIMM = "vit_base_patch16_siglip_224"  # of 12 heads


def test_open_clips_file_with_timms_names_says_what_its_parts_say(tmp_path):
    model = OpenClip(pytest.importorskip("timm")).eval()
    save_file(model.saved(), tmp_path / files.OPEN_CLIP)
    tokenizer_of().save(str(tmp_path / "tokenizer.json"))
    vision = dict(timm_model_name=TIMM, image_size=32, timm_pool="map", timm_proj="none")
    text = dict(heads=4, no_causal_mask=True, proj_bias=True, pool_type="last")
    text |= dict(norm_kwargs={"eps": 1e-6}, vocab_size=len(WORDS), tokenizer_kwargs={})
    half = dict(mean=[0.5] * 3, std=[0.5] * 3)
    said = dict(model_cfg=dict(vision_cfg=vision, text_cfg=text), preprocess_cfg=half)
    (tmp_path / files.OPEN_CLIP_CONFIG).write_text(json.dumps(said))
    evaluation = on_scenes(of_file(tmp_path), test_limit=12)
    compared = image_text.of(evaluation, what="it")
    told = evaluation.mapped("test", compared.image, name=compared.name).features
    pixels = evaluation.mapped("test", lambda _, x: x.astype("float32"), name="x").features
    pixels = pixels.transpose(0, 3, 1, 2) / np.float64(127.5) - 1
    with torch.no_grad():
        unit = [torch.nn.functional.normalize(x, dim=-1).numpy() for x in (
            model.double().trunk(torch.from_numpy(pixels)),
            model.text(torch.tensor([ids(text) for text in CANONICAL])),
        )]  # fmt: skip
    np.testing.assert_allclose(told / np.exp(5.0), unit[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(compared.text(TEXTS), unit[1], rtol=1e-5, atol=1e-5)
    bias = foreign_text.with_text(evaluation.model, what="it")[0].params["decoders"]["text"]
    logits = zero_shot.scores(told, compared.text(TEXTS)) + bias["logit_bias"]
    want = np.exp(5.0) * unit[0] @ unit[1].T - 9
    np.testing.assert_allclose(logits, want, rtol=1e-5, atol=1e-5 * np.exp(5.0))
    assert np.ptp(want, axis=0).min() > 1, "images and texts matter"
    torch.save(model.float().saved(), tmp_path / "open_clip_pytorch_model.bin")
    again = foreign_text.with_text(of_file(tmp_path / "open_clip_pytorch_model.bin"), what="it")[0]
    for name in ("image", "text"):
        jax.tree.map(
            np.testing.assert_array_equal,
            again.params["encoders"][name],
            foreign_text.with_text(evaluation.model, what="it")[0].params["encoders"][name],
        )


def test_timms_model_alone_has_its_tokens(tmp_path):
    timm = pytest.importorskip("timm")
    model, options = OpenClip(timm).trunk.eval(), dict(img_size=32, embed_dim=48, depth=2)
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True, model_args=options)
    evaluation = on_scenes(of_file(tmp_path), test_limit=4)
    found = evaluation.features("test", pool="tokens").features
    pixels = evaluation.mapped("test", lambda _, x: x.astype("float32"), name="x").features
    pixels = pixels.transpose(0, 3, 1, 2) / np.float64(127.5) - 1
    with torch.no_grad():
        want = model.double().forward_features(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-4)
