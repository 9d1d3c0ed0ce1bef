"""What DINO's head shares with Deformable DETR against transformers', of random weights."""

import types

import jax
import numpy as np
import pytest

from m3i_jax.detection.box_sets import proposal_boxes
from m3i_jax.detection.boxes import to_centres
from m3i_jax.heads.box_decoder import BoxLayer, box_waves
from m3i_jax.nn.query_layers import DeformableLayer, centres
from tests.heads.transformer_layers import drawn_anew, linear_of, norm_of, normal
from tests.losses.detr_test import ANSWERS, CLASSES, RUN, THINGS

torch = pytest.importorskip("torch")
peers = pytest.importorskip("transformers.models.deformable_detr.modeling_deformable_detr")

WIDTH, GRIDS = 16, ((5, 4), (3, 2), (2, 2), (1, 1))
CELLS = sum(rows * columns for rows, columns in GRIDS)
CONFIG = peers.DeformableDetrConfig(
    d_model=WIDTH, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24,
    decoder_ffn_dim=24, num_feature_levels=4, two_stage=True, with_box_refine=True, num_labels=5,
)  # fmt: skip
CONFIG._attn_implementation = "eager"
PLACED = dict(
    spatial_shapes=torch.tensor(GRIDS), spatial_shapes_list=[*GRIDS], level_start_index=None
)


def deformable(layer):
    names = "value_proj", "output_proj", "sampling_offsets", "attention_weights"
    return {name: linear_of(getattr(layer, name)) for name in names}


def mlp(layer):
    return {"fc1": linear_of(layer.mlp.fc1), "fc2": linear_of(layer.mlp.fc2)}


def test_a_layer_of_the_encoder(same_shapes):
    peer = drawn_anew(torch, peers.DeformableDetrEncoderLayer(CONFIG))
    x, position = normal(2, CELLS, WIDTH), normal(1, CELLS, WIDTH, seed=1)
    around = peers.DeformableDetrEncoder.get_reference_points(GRIDS, torch.ones(2, 4, 2), "cpu")
    np.testing.assert_allclose(centres(GRIDS), around[0, :, 0].numpy(), rtol=1e-6)
    with torch.no_grad():
        given = dict(spatial_position_embeddings=torch.tensor(position), **PLACED)
        want = peer(torch.tensor(x), None, reference_points=around, **given)
    params = {
        "attn": deformable(peer.self_attn),
        "norm1": norm_of(peer.self_attn_layer_norm),
        "norm2": norm_of(peer.final_layer_norm),
        "mlp": mlp(peer),
    }
    module = DeformableLayer(2, 24, GRIDS)
    same_shapes(module, params, x, position, centres(GRIDS))
    run = jax.jit(lambda p: module.apply({"params": p}, x, position, centres(GRIDS))[0])
    np.testing.assert_allclose(run(params), want.numpy(), rtol=1e-4, atol=1e-4)


def test_a_layer_of_the_decoder(same_shapes):
    """With a mask: the first three queries do not see the last two."""
    peer = drawn_anew(torch, peers.DeformableDetrDecoderLayer(CONFIG))
    x, position, cells = normal(2, 5, WIDTH), normal(2, 5, WIDTH, seed=1), normal(2, CELLS, WIDTH)
    boxes = np.random.default_rng(3).uniform(0.1, 0.9, size=(2, 5, 4)).astype(np.float32)
    mask = np.ones((1, 1, 5, 5), bool)
    mask[..., :3, 3:] = False
    hidden = np.where(mask, 0, np.finfo(np.float32).min).astype(np.float32)
    with torch.no_grad():
        want = peer(
            torch.tensor(x),
            torch.tensor(position),
            torch.tensor(boxes)[:, :, None].expand(-1, -1, 4, -1),
            encoder_hidden_states=torch.tensor(cells),
            attention_mask=torch.tensor(hidden),
            **PLACED,
        )
    own = peer.self_attn
    params = {
        "self_attn": {name: linear_of(getattr(own, f"{name}_proj")) for name in "qkv"}
        | {"proj": linear_of(own.o_proj)},
        "cross_attn": deformable(peer.encoder_attn),
        "norm1": norm_of(peer.self_attn_layer_norm),
        "norm2": norm_of(peer.encoder_attn_layer_norm),
        "norm3": norm_of(peer.final_layer_norm),
        "mlp": mlp(peer),
    }
    module = BoxLayer(2, 24, GRIDS)
    same_shapes(module, params, x, position, boxes, cells, mask)
    run = jax.jit(lambda p: module.apply({"params": p}, x, position, boxes, cells, mask))
    np.testing.assert_allclose(run(params), want.numpy(), rtol=1e-4, atol=1e-4)


def test_where_proposals_begin_and_how_boxes_are_coded():
    model = peers.DeformableDetrModel
    nothing = types.SimpleNamespace(enc_output=lambda x: x, enc_output_norm=lambda x: x)
    cells = torch.ones(1, CELLS, WIDTH)
    kept, want = model.gen_encoder_output_proposals(
        nothing, cells, torch.zeros(1, CELLS, dtype=torch.bool), GRIDS
    )
    got, inside = (np.asarray(x[0]) for x in proposal_boxes(GRIDS))
    np.testing.assert_array_equal(inside, kept[0, :, 0].numpy() > 0)
    np.testing.assert_allclose(got[inside], want[0].numpy()[inside], rtol=1e-4, atol=1e-5)
    assert np.isinf(want[0].numpy()[~inside]).all()
    width = types.SimpleNamespace(config=types.SimpleNamespace(d_model=16))
    logits = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
    order = [1, 0, 2, 3]  # DINO begins with y
    want = model.get_proposal_pos_embed(width, torch.tensor(logits[..., order]))
    got = box_waves(1 / (1 + np.exp(-logits)), 8)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)


def test_losses_of_a_set_of_boxes():
    """Those of DINO but for what is noised, whose matching transformers has not."""
    peer = pytest.importorskip("transformers.loss.loss_deformable_detr")
    matcher = peer.DeformableDetrHungarianMatcher(class_cost=2.0, bbox_cost=5.0, giou_cost=2.0)
    criterion = peer.DeformableDetrImageLoss(matcher, CLASSES, 0.25, ["labels", "boxes"])
    corners, kinds = THINGS.corners / np.float32([20, 40, 20, 40]), THINGS.categories
    real = [kinds[b] >= 0 for b in range(2)]
    true = [
        {
            "class_labels": torch.tensor(np.int64(kinds[b, real[b]])),
            "boxes": torch.tensor(np.array(to_centres(corners[b, real[b]]))),
        }
        for b in range(2)
    ]
    want, outputs = 0.0, [tuple(x[:, layer] for x in ANSWERS.layers) for layer in range(2)]
    for categories, boxes in [*outputs, ANSWERS.proposals]:
        given = {"logits": torch.tensor(categories), "pred_boxes": torch.tensor(boxes)}
        found = criterion(given, true)
        want = want + np.array([found[f"loss_{name}"].item() for name in ("ce", "bbox", "giou")])
    got = RUN(ANSWERS._replace(noised=None), THINGS)
    np.testing.assert_allclose([x.mean() for x in got], want, rtol=1e-4)
