"""What is said to be in a block is there; papers' own names for a method's numbers find ours."""

import fnmatch

import pytest

from m3i_jax import cli, homes, spelling
from tests.synonyms_test import BLOCKS, names, pairs

# Of a config, written into its objective: what the method's own code calls a thing, and ours.
PAPERS = {
    "moco": """
        K size, queue size, queue_len size, moco_k size, m config.target.momentum, T temperature,
        moco_m config.target.momentum, moco_t temperature, dim config.decoders.projector.out,
        moco_dim config.decoders.projector.out, mlp config.decoders.projector.name,
        cos config.optimizer.schedule""",
    "moco_v3": """
        moco_dim config.decoders.projector.out, moco_mlp_dim config.decoders.projector.hidden,
        moco_m_cos config.target.end, stop_grad_conv1 config.optimizer.freeze,
        crop_min config.crops.scale""",
    "densecl": """
        queue_len size, feat_dim config.decoders.dense_heads.out, momentum
        config.target.momentum""",
    "simclr": """
        proj_out_dim config.decoders.projector.out,
        num_proj_layers config.decoders.projector.layers,
        hidden_norm config.decoders.projector.unit_norm, use_blur config.augment.a.blur""",
    "byol": """
        base_target_ema config.target.momentum, tau config.target.momentum,
        projector_hidden_size config.decoders.projector.hidden,
        predictor_hidden_size config.decoders.predictor.hidden,
        projector_output_size config.decoders.projector.out,
        moving_average_decay config.target.momentum""",
    "barlow_twins": """
        lambd off_diagonal, learning_rate_weights config.optimizer.base_lr,
        learning_rate_biases config.optimizer.lr_scale""",
    "dino": """
        out_dim config.decoders.prototypes.out, momentum_teacher config.target.momentum,
        norm_last_layer config.decoders.prototypes.lengths, teacher_temp target_temperature,
        warmup_teacher_temp target_temperature, student_temp temperature,
        use_bn_in_head config.decoders.projector.norm, freeze_last_layer config.optimizer.late,
        hidden_dim config.decoders.projector.hidden, local_crops_number local, ncrops local,
        bottleneck_dim config.decoders.projector.out, center_momentum centring""",
    "ibot": """
        pred_ratio hidden, pred_ratio_var spread, patch_out_dim config.decoders.prototypes.out,
        teacher_patch_temp target_temperature, local_crops_number local,
        momentum_teacher config.target.momentum""",
    "msn": """
        patch_drop hidden, num_proto config.decoders.prototypes.out, memax_weight entropy_weight,
        temperature config.decoders.prototypes.temperature, start_sharpen sharpen,
        focal_views local, focal_size config.crops.local_size,
        output_dim config.decoders.projector.out, hidden_dim config.decoders.projector.hidden,
        rand_crop_scale config.crops.scale, use_bn config.decoders.projector.norm""",
    "mae": """
        mask_ratio hidden, norm_pix_loss config.target.normalization,
        decoder_embed_dim config.decoders.image.width, decoder_depth config.decoders.image.depth,
        decoder_num_heads config.decoders.image.heads, dim config.encoder.width""",
    "simmim": "mask_ratio hidden, mask_patch_size unit",
    "beit": "num_mask_patches hidden, vocab_size vocabulary",
    "beit_v2": """
        codebook_size vocabulary, codebook_dim config.decoders.bottleneck.out,
        early_layers config.decoders.class_branch.layer,
        head_layers config.decoders.class_branch.depth""",
    "vq_kd": """
        codebook_n_emd vocabulary, codebook_emd_dim config.decoders.bottleneck.out,
        ema_decay decay, teacher_model_type config.towers.teacher.name, beta commitment""",
    "data2vec": """
        ema_decay config.target.momentum, ema_end_decay config.target.end,
        average_top_k_layers layers, target_layers layers, mask_prob hidden""",
    "siamese_im": """
        mm config.target.momentum, lambd negative_weight, mask_ratio hidden,
        decoder_embed_dim config.decoders.image.width""",
    "milan": "decoder_depth config.decoders.image.depth, teacher config.towers.teacher.name",
    "clip": """
        vision_width config.encoder.width, vision_layers config.encoder.depth,
        transformer_width config.towers.text.width, logit_scale config.decoders.text.logit_scale,
        context_length config.captions.length""",
    "siglip": "b config.decoders.text.logit_bias, t_init config.decoders.text.logit_start",
    "m3i": "cls_loss_weight category_weight, text_loss_weight text_weight, mask_ratio hidden",
    "classification": "smoothing label_smoothing, bce binary",
}  # fmt: skip


@pytest.mark.parametrize("block", homes.HOMES)
def test_a_key_is_at_home_where_a_function_takes_it_and_nowhere_else(block):
    functions = BLOCKS[block]
    for patterns, keys in homes.HOMES[block].items():
        for name in functions:
            fits = not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns.split())
            if name in functions and fits:
                missing = set(keys.split()) - set(names(block, name))
                assert not missing, f"{block}: {name} has no {missing}"
        for pattern in patterns.split():
            assert any(fnmatch.fnmatchcase(name, pattern) for name in functions), pattern


@pytest.mark.parametrize("method", PAPERS)
def test_what_a_methods_own_code_calls_its_numbers_finds_ours(method):
    config = cli.load(f"digit_scenes/{method}").to_dict()
    there = [*names("objective", method), "target"]
    for written, ours in pairs(PAPERS[method]):
        hint = spelling.meant(written, there, block="config.objective", config=config)
        right = ours if ours.startswith("config.") else f"'{ours}'"
        assert hint == f"; did you mean {right}?", written


@pytest.mark.parametrize(
    "method, written, right",
    [
        ("moco", "K", "config.objective.size"),
        ("m3i", "K", "config.monitor.k"),  # it has no queue
        ("moco", "k", "config.monitor.k"),
        ("mae", "mask_ratio", "config.objective.hidden"),
    ],
)
def test_what_stands_at_the_root_is_looked_for_in_blocks(method, written, right):
    config = cli.load(f"digit_scenes/{method}").to_dict()
    hint = spelling.meant(written, config, config=config)
    assert hint == f"; did you mean {right}?"


def test_a_share_that_is_hidden_is_no_width_of_a_layer():
    config = cli.load("digit_scenes/moco").to_dict()
    assert "hidden" not in spelling.meant("mask_ratio", config, config=config)
