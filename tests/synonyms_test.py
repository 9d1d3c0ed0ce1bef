"""What other libraries call a thing finds ours."""

import inspect

import pytest

from m3i_jax import data, decoders, encoders, framework, homes, methods, spelling, synonyms
from m3i_jax.augment import photometric
from m3i_jax.data import captions
from m3i_jax.data.views import crops
from m3i_jax.encoders import table
from m3i_jax.methods import compose
from m3i_jax.training import lengths, optimizer, schedules, schema
from m3i_jax.training.config import DTYPES, Config

# What has the keys of a block: {name: function}, {"": function} where the block names none.
BLOCKS = {
    "": {"": Config},
    "optimizer": optimizer.offered(),
    "encoder": encoders._VARIANTS,
    "towers.text": encoders._VARIANTS,
    "towers.category": {"table": table.Table},
    "objective": methods.METHODS,
    "target": compose.TARGETS,
    "crops": {"": crops.Crops},
    "data": data.SOURCES,
    "augment.a": {"": photometric},
    "captions": {"": captions.load, "train": captions.train},
    "average": {"": framework.ema},
    "mesh": {"": lambda *, data, fsdp, tensor: None},
    "spikes": {"": schema.Spikes},
    "log": {"": schema.Log},
    "checkpoint": {"": schema.Saves},
    "monitor": {"": schema.Monitor},
    "validation": {"": schema.Validation},
    **{
        f"decoders.{head}": decoders._DECODERS
        for head in "x projector predictor prototypes dense_heads image dense painter bottleneck "
        "class_branch text".split()
    },
    "towers.teacher": encoders._VARIANTS,
}
GIVEN = {
    "optimizer": "params batch total warmup",
    "encoder": "parent name",
    "towers.text": "parent name",
    "towers.teacher": "parent name",
    "augment.a": "key images normalize",
}
# The config in which all of it is written.
CONFIG = {
    "encoder": {"name": "vit_b16"},
    "towers": {"text": {"name": "clip_text"}},
    "objective": {"name": "mae"},
    "optimizer": {"name": "adamw"},
    "target": {"name": "pixels"},
    "data": {"name": "image_folder"},
}
# In a block (and its function): what timm, torch, transformers, big_vision, lightly, solo-learn and
# mmpretrain write, and ours; "config.x.y" where that is in another block.
KEYS = {
    ("", ""): """
        epoch duration, epochs duration, num_epoch duration, max_epochs duration, steps duration,
        total_steps duration, training_steps duration, num_train_epochs duration,
        max_steps duration, total_epochs duration, batch_size batch, batchSize batch, bs batch,
        train_batch_size batch, per_device_train_batch_size batch, global_batch_size batch,
        samples_per_gpu batch, gradient_accumulation_steps accumulate, grad_accum accumulate,
        accumulate_grad_batches accumulate, accum_iter accumulate, update_freq accumulate,
        warmup_epochs warmup, num_warmup_steps warmup, warmup_ratio warmup, imgsize image,
        img_size image, input_size image, imgsz image, image_size image, imageSize image,
        random_seed seed, manual_seed seed, num_threads threads, num_workers threads,
        workers threads, dataloader_num_workers threads, amp dtype, fp16 dtype, bf16 dtype,
        mixed_precision dtype, precision dtype, torch_dtype dtype, model encoder, arch encoder,
        backbone encoder, model_type encoder, model_name encoder, method objective,
        criterion objective, dataset data, ckpt checkpoint, pretrained init_from, resume init_from,
        load_from init_from, model_ema average, scheduler config.optimizer.schedule,
        augmentations augment, transform augment, opt optimizer,
        lr config.optimizer.lr, learning_rate config.optimizer.lr, blr config.optimizer.base_lr,
        min_lr config.optimizer.end_lr, wd config.optimizer.weight_decay,
        weight_decay config.optimizer.weight_decay, clip_grad config.optimizer.clip,
        betas config.optimizer.b1, patch config.encoder.patch, patch_size config.encoder.patch,
        drop_path_rate config.encoder.drop_path, embed_dim config.encoder.width,
        num_heads config.encoder.heads, mask_ratio config.objective.hidden,
        norm_pix_loss config.target.normalization, data_path config.data.root,
        eval_every config.monitor.every, eval_freq config.monitor.every,
        val_interval config.monitor.every, save_freq config.checkpoint.every,
        save_steps config.checkpoint.every, checkpoint_interval config.checkpoint.every,
        save_every config.checkpoint.every, max_to_keep config.checkpoint.keep,
        save_total_limit config.checkpoint.keep, log_interval config.log.every,
        logging_steps config.log.every, print_freq config.log.every,
        ema_decay config.average.momentum, fsdp config.mesh.fsdp, hflip config.crops.flip,
        color_jitter config.augment.a.jitter""",
    ("optimizer", "adamw"): """
        learning_rate lr, learningrate lr, learnin_rate lr, learningRate lr, lrate lr, peak_lr lr,
        init_lr lr, base_learning_rate base_lr, lr_min end_lr, eta_min end_lr, min_lr end_lr,
        weightDecay weight_decay, wd weight_decay, decay weight_decay, weight_decay_rate
        weight_decay, momentum b1, beta1 b1, beta_1 b1, betas b1, adam_beta1 b1, adam_beta2 b2,
        epsilon eps, adam_epsilon eps, opt_eps eps, gradclip clip, clip_grad clip, max_norm clip,
        max_grad_norm clip, gradient_clip_val clip, grad_clip_norm clip, frozen freeze,
        lr_decay schedule, lr_scheduler schedule, lr_policy schedule, layer_decay_rate layer_decay,
        llrd layer_decay, layerwise_decay layer_decay, no_weight_decay no_decay, optim name,
        warmup_epochs config.warmup, batch_size config.batch""",
    ("optimizer", "sgd"): "mom momentum, beta1 momentum, nesterov_momentum momentum",
    ("optimizer", "lars"): "trust_coefficient trust, trust_coef trust",
    ("average", ""): "decay momentum, ema_decay momentum, decay_rate momentum",
    ("encoder", "vit_b16"): """
        patch_siz patch, patch_size patch, patchSize patch, n_layers depth, num_layers depth,
        num_hidden_layers depth, n_layer depth, mlp_dim mlp_ratio, intermediate_size mlp_ratio,
        hidden_size width, embed_dim width, d_model width, num_heads heads, nhead heads,
        num_attention_heads heads, dpr drop_path, drop_path_rate drop_path,
        stochastic_depth drop_path, drop_rate drop_path, attn_drop_rate attention_dropout,
        pos_embed positions, use_abs_pos_emb positions, position_embedding_type positions,
        use_cls_token class_token, cls_token class_token, gradient_checkpointing remat,
        grad_checkpointing remat, use_checkpoint remat, with_cp remat, init_values layer_scale,
        layer_scale_init_value layer_scale, act_layer activation, hidden_act activation,
        use_rel_pos_bias relative_bias, img_size image, image_size image, model_type name,
        fc_norm final_norm, norm_pre pre_norm, layer_norm_eps eps""",
    ("encoder", "swin_v2_t"): "patch_size stride, window_size window, embed_dim width",
    ("towers.text", "clip_text"): """
        vocab_size vocabulary, context_length length, max_position_embeddings length,
        num_hidden_layers depth""",
    ("objective", "siglip"): "model_type name, mask_ratio hidden",
    ("objective", "dino"): """
        teacher_temp target_temperature, local_crops_number local, student_temp temperature,
        center_momentum centring""",
    ("objective", "msn"): "patch_drop hidden, me_max entropy_weight",
    ("objective", "moco"): "queue_size size, moco_k size, moco_t temperature",
    ("objective", "mixed_classification"): """
        mixup_alpha mixup, cutmix_alpha cutmix, smoothing label_smoothing""",
    ("objective", "barlow_twins"): "lambd off_diagonal",
    ("decoders.x", "mlp"): "hidden_dim hidden, num_layers layers, out_dim out, proj_dim out",
    ("decoders.x", "infill"): "embed_dim width, decoder_embed_dim width, decoder_depth depth",
    ("data", "image_folder"): "data_path root, data_dir root, path root",
    ("crops", ""): "hflip flip, min_scale scale, local_crops_size local_size, aspect_ratio ratio",
    ("augment.a", ""): """
        gaussian_blur blur, color_jitter jitter, random_grayscale grayscale, reprob erasing,
        solarization_prob solarize, gray_scale_prob grayscale""",
    ("checkpoint", ""): "max_to_keep keep, save_every every, keep_period keep_every",
    ("monitor", ""): "knn_k k, interval every, eval_freq every",
    ("log", ""): "log_interval every, print_freq every, freq every",
}  # fmt: skip
VALUES = {
    tuple(encoders.names()): """
        vit_base vit_b16, vit_base_patch16_224 vit_b16, ViT-B/16 vit_b16, vit_small vit_s16,
        google/vit-large-patch16-224 vit_l16, vit_huge vit_h14, deit_small vit_s16,
        deit_tiny_patch16_224 vit_ti16, mae_vit_base_patch16 vit_b16, swin_tiny swin_v2_t,
        swinv2_base_window8_256 swin_v2_b, swin_large swin_v2_l, resnet_50 resnet50,
        resnet50.a1_in1k resnet50, rn50 resnet50, internimage_base internimage_b,
        bert-base-uncased bert_base""",
    tuple(optimizer.offered()): "AdamW adamw, adam adamw, momentum sgd, SGD sgd",
    tuple(schedules.SCHEDULES): """
        cosine_annealing cosine, multistep milestones, step milestones, poly polynomial""",
    tuple(methods.METHODS): """
        mocov3 moco_v3, moco_v2 moco, barlow barlow_twins, beitv2 beit_v2, supervised
        classification, SimMIM simmim""",
    tuple(data.SOURCES): "imagenet image_folder, ImageFolder image_folder, digits digit_scenes",
    tuple(schema.WEIGHTINGS): "gradnorm gradient_norm, GradNorm gradient_norm",
    DTYPES: "bf16 bfloat16, fp32 float32, fp16 bfloat16, half bfloat16",
    lengths.UNITS: "iterations steps, iters steps, images samples, % percent, epoch epochs",
}  # fmt: skip


def pairs(text):
    return [tuple(entry.split()) for entry in text.split(",")]


def names(block, name):
    skipped = ("parent", *GIVEN.get(block, "name").split())
    found = inspect.signature(BLOCKS[block][name]).parameters
    return [key for key in found if key not in skipped] + ["name"] * bool(name)


def test_what_others_call_a_key_finds_ours():
    wrong, total = [], 0
    for (block, name), text in KEYS.items():
        path = ".".join(filter(None, ("config", block)))
        for written, ours in pairs(text):
            assert written not in names(block, name), (block, written)
            hint = spelling.meant(written, names(block, name), block=path, config=CONFIG)
            right = ours if ours.startswith("config.") else f"'{ours}'"
            total += 1
            if hint != f"; did you mean {right}?":
                wrong.append((path, written, hint, right))
    assert not wrong, wrong
    assert total >= 200


@pytest.mark.parametrize("there", VALUES, ids=lambda names: names[0])
def test_what_others_call_a_value_finds_ours(there):
    for written, ours in pairs(VALUES[there]):
        assert spelling.likeliest(written, there) == ours, written


@pytest.mark.parametrize(
    "objective, encoder",
    [("mae", "resnet50"), ("moco", "vit_b16"), ("dino", "dalle_encoder"), ("vq_vae", "swin_v2_t")],
)
def test_a_hint_names_only_keys_that_are_there_and_never_the_one_refused(objective, encoder):
    config = CONFIG | {"objective": {"name": objective}, "encoder": {"name": encoder}}
    config |= {"target": {}, "optimizer": {"name": "sgd"}, "data": {"name": "digit_scenes"}}
    config |= {"towers": {}}
    functions = {
        f"config.{b}".rstrip("."): names(b, config.get(b, {}).get("name", ""))
        for b in ("", "encoder", "objective", "optimizer", "average", "monitor", "data")
    }
    known = {word for _, theirs in synonyms.WORDS for word in theirs.split()}
    keys = {key for home in homes.HOMES.values() for keys in home.values() for key in keys.split()}
    for block, there in functions.items():
        for written in sorted((known | keys) - set(there))[::3]:
            hint = spelling.meant(written, there, block=block, config=config)
            if "did you mean config" not in hint:
                continue
            parent, _, key = hint.removeprefix("; did you mean ").removesuffix("?").rpartition(".")
            assert parent != block, (block, written, hint)
            if parent in functions:
                assert key in functions[parent], (block, written, hint)


def test_a_typo_in_what_others_say_is_understood_as_well():
    """One letter less or twice, in words of six letters or more."""
    right, total = 0, 0
    for (block, name), text in KEYS.items():
        path, there = ".".join(filter(None, ("config", block))), names(block, name)
        for written, ours in pairs(text):
            if len(written) < 6:
                continue
            for at in (2, len(written) // 2):
                for typo in (written[:at] + written[at + 1 :], written[:at] + written[at - 1 :]):
                    hint = spelling.meant(typo, there, block=path, config=CONFIG)
                    total += 1
                    right += ours in hint.removeprefix("; did you mean ").strip("'?")
    assert right >= 0.95 * total, f"{right} of {total}"
