"""Where the keys of a config are at home, for hints. Plain data, no imports."""

# {block: {patterns of the names of its functions, "" = all of them: keys}}: where a name is looked
# for that another block does not have. Only what is there for certain is ever named.
VIT, SWIN, RESNET, REPLK, INTERN = "vit_*", "swin_*", "resnet*", "replknet_*", "internimage_*"
TEXT = "bert_base clip_text siglip_text text_nano"
HOMES: dict[str, dict[str, str]] = {
    "": {
        "": "batch duration warmup seed image dtype accumulate epoch_size threads unreadable data "
        "crops captions augment encoder towers decoders objective target average weights "
        "init_from weighting optimizer spikes mesh log checkpoint monitor validation"
    },
    "optimizer": {
        "": "lr base_lr end_lr schedule weight_decay clip clip_by layer_decay lr_scale freeze "
        "no_decay late",
        "adamw lamb": "b1 b2",
        "adamw": "weight_decay_end",
        "lars sgd": "momentum",
        "lars": "trust",
    },
    "encoder": {
        f"{VIT} {SWIN} {RESNET} {REPLK} {INTERN}": "drop_path drop_path_schedule remat",
        f"{VIT} {SWIN} {REPLK} {INTERN}": "mlp_ratio scan",
        f"{VIT} {SWIN} {RESNET} {INTERN}": "width",
        f"{VIT} {SWIN}": "heads hide",
        f"{VIT} {INTERN}": "layer_scale",
        f"{SWIN} {RESNET} {REPLK} {INTERN}": "depths",
        VIT: "patch depth positions relative_bias class_token qkv_bias pre_norm activation "
        "attention_dropout weight_init",
        SWIN: "window stride",
        REPLK: "channels kernels lifted",
        RESNET: "stem zero_init",
    },
    "towers.text": {TEXT: "vocabulary pooler width depth heads"},
    "towers.teacher": {"?*": "name"},
    "towers.category": {"table": "size"},
    "objective": {
        "clip siglip mae pixio simmim maskfeat ijepa data2vec milan beit beit_v2 cae msn ibot "
        "dinov2 siamese_im table2 mim_global siamese_im_pixel m3i cim siamese_words": "hidden",
        "moco simclr supcon nnclr densecl dino ibot dinov2 swav table2 cim": "temperature",
        "dino ibot dinov2": "target_temperature",
        "dino": "centring",
        "ibot dinov2": "spread",
        "swav": "epsilon since",
        "dinov2": "untied koleo",
        "combine": "gram refresh",
        "dino ibot dinov2 swav msn lejepa visreg": "local",
        "classification mixed_classification m3i": "label_smoothing",
        "mixed_classification": "mixup cutmix",
        "siamese_im m3i": "negative_weight",
        "barlow_twins": "off_diagonal",
        "vicreg": "invariance variance covariance",
        "msn": "sharpen entropy_weight",
        "vq_kd vq_vae": "commitment decay",
        "moco nnclr densecl swav": "size",
        "pixio simmim": "unit",
        "data2vec": "layers",
        "cae cim lejepa visreg": "weight",
        "lejepa visreg": "slices",
        "ijepa": "blocks",
        "capi": "asked",
        "cappa": "words",
        "m3i": "category_weight text_weight",
        "classification mixed_classification": "binary",
        "vq_kd vq_vae beit beit_v2 cae cim siamese_words": "vocabulary",
    },
    "target": {"ema": "momentum end", "pixels": "normalization", "hog": "cell"},
    "decoders.projector": {
        "mlp": "out hidden layers norm unit_norm name",
        "projector": "depth width heads norm",
    },
    "decoders.predictor": {"mlp": "hidden layers norm"},
    "decoders.prototypes": {"prototypes": "out temperature lengths"},
    "decoders.dense_heads": {"dense_heads": "out hidden"},
    "decoders.image": {"infill prompt query predictor": "width depth heads"},
    "decoders.dense": {"infill": "width depth heads"},
    "decoders.painter": {"infill": "width depth heads"},
    "decoders.bottleneck": {"mlp": "out hidden layers"},
    "decoders.class_branch": {"class_branch": "layer depth"},
    "decoders.text": {"linear": "logit_scale logit_start logit_bias"},
    "crops": {
        "": "scale ratio flip local_size local_scale rand_augment repeats interpolation "
        "decode resize"
    },
    "data": {"image_folder": "root"},
    "augment.a": {
        "": "blur solarize grayscale jitter hue brightness contrast saturation sigma erasing"
    },
    "captions": {"": "length"},
    "average": {"": "momentum"},
    "mesh": {"": "data fsdp tensor"},
    "log": {"": "every"},
    "checkpoint": {"": "every keep keep_every compare compare_every"},
    "monitor": {"": "every bank queries k"},
    "spikes": {"": "factor window"},
    "validation": {"": "every metric branch patience size ratio batch predictions"},
}
