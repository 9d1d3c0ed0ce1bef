"""Lines of Python that use an export: in timm or in transformers, whose names it has, and in JAX.

Each ends with `features`, a row of numbers for the image "photo.jpg", the same in all of them.
"""

from typing import Any

from m3i_jax.interop import clip, convolutional, exporting, swin
from m3i_jax.interop.rename import Layout

JAX = """import m3i_jax

encoder = m3i_jax.load("."{options})
features = encoder.encode("photo.jpg")"""

TIMM = """import timm
import torch
from PIL import Image

model = timm.create_model("local-dir:.", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
image = Image.open("photo.jpg").convert("RGB")
with torch.no_grad():
    tokens = model.forward_features(transform(image)[None])
features = {features}"""

TRANSFORMERS = """import torch
import transformers
from PIL import Image

processor = transformers.AutoImageProcessor.from_pretrained(".", backend="pil")
model = transformers.AutoModel.from_pretrained(".").eval()
image = Image.open("photo.jpg").convert("RGB")
with torch.no_grad():
    tokens = model(**processor(image, return_tensors="pt")).last_hidden_state{norm}
features = {features}"""
# transformers' CLIP norms the class token alone.
NORM = """
    tokens = getattr(model, "vision_model", model).post_layernorm(tokens)"""


def snippets(module: Any, layout: Layout, *, pool: str) -> dict[str, str]:
    """By name of the library; `layout` says which of them can read the export.

    module: the encoder.  pool: of its tokens, "mean" or "cls".
    """
    made = {}
    features = _pooled(module, layout, pool)
    if layout in exporting.FORMATS["timm"]:
        made["timm"] = TIMM.format(features=features)
    if layout in exporting.FORMATS["huggingface"]:
        norm = NORM if layout is clip.HUGGING_FACE_IMAGE else ""
        made["transformers"] = TRANSFORMERS.format(features=features, norm=norm)
    options = "" if pool == "mean" else f', pool="{pool}"'  # an export of ours is read by the mean
    return made | {"JAX": JAX.format(options=options)}


def _pooled(module: Any, layout: Layout, pool: str) -> str:
    """One vector for each image of the other library's tokens, or of its map."""
    if pool == "cls":
        return "tokens[:, 0]"
    if layout in (convolutional.RESNET, convolutional.RESNET_HUGGING_FACE):
        return "tokens.mean((2, 3))"
    if layout is swin.TIMM:
        return "tokens.mean((1, 2))"
    return "tokens[:, 1:].mean(1)" if getattr(module, "class_token", False) else "tokens.mean(1)"
