"""What others call our keys and values, and where our keys are at home. Plain data, no imports.

Others are timm, torch, transformers, big_vision, lightly, solo-learn, mmpretrain and papers.
"""

# Ours, the likeliest first, and what others say. A word may stand in several lines. A dotted name
# of ours is that key of that block of the config, and of no other.
WORDS: tuple[tuple[str, str], ...] = (
    # Optimiser.
    ("lr base_lr", "learning_rate lrate lr0 peak_lr max_lr lr_max init_lr initial_lr eta rate"),
    ("base_lr lr", "base_learning_rate blr lr_base base_lrate scaled_lr"),
    ("end_lr", "min_lr final_lr eta_min lr_end lr_final min_learning_rate end_learning_rate lrf"),
    ("start schedule", "warmup_lr warmup_start_lr warmup_init_lr lr_start warmup_learning_rate"),
    ("weight_decay", "wd l2 l2_penalty l2_reg regularization weights_decay"),
    ("weight_decay decay momentum", "decay"),
    ("weight_decay_end", "wd_end weight_decay_final final_weight_decay end_weight_decay"),
    ("b1", "beta1 betas momentum mom"),
    ("momentum", "mom beta beta1 b1"),
    ("b2", "beta2"),
    ("eps", "epsilon layer_norm_eps norm_eps ln_eps"),
    (
        "clip",
        "clip_grad grad_clip gradient_clip clip_norm clip_grad_norm max_grad_norm max_norm "
        "gradient_clip_val gradient_clipping grad_norm clip_value clip_gradient clip_gradients "
        "grad_clip_norm global_clip_norm grad_norm_clip max_gradient_norm clipping clip_global",
    ),
    ("clip_by", "clip_mode gradient_clip_algorithm"),
    (
        "schedule",
        "lr_schedule scheduler sched lr_scheduler lr_scheduler_type lr_policy lr_decay decay_type "
        "lr_decay_style decay_lr annealing lr_schedule_type",
    ),
    (
        "layer_decay",
        "layerwise_decay llrd layer_wise_decay layer_lr_decay lr_layer_decay layerwise_lr_decay",
    ),
    ("lr_scale", "lr_mult lr_multiplier lr_mults lr_factor lr_multipliers"),
    (
        "freeze",
        "frozen freeze_layers frozen_layers freeze_backbone frozen_stages requires_grad trainable",
    ),
    (
        "no_decay",
        "no_weight_decay skip_decay exclude_from_weight_decay weight_decay_exclude wd_exclude "
        "no_decay_params wd_mults weight_decay_mask exclude_bias_n_norm_wd",
    ),
    ("late", "freeze_last_layer"),
    ("trust", "trust_coefficient trust_coef trust_ratio"),
    ("factor", "gamma lr_gamma decay_factor"),
    ("milestones", "lr_decay_steps lr_steps decay_epochs decay_steps lr_milestones"),
    # Length and loading.
    (
        "batch",
        "batch_size bs global_batch_size total_batch_size train_batch_size minibatch mini_batch "
        "per_device_train_batch_size batch_size_per_gpu samples_per_gpu device_batch_size",
    ),
    (
        "accumulate",
        "accumulation accumulation_steps accum_iter accum_steps grad_accum grad_accum_steps "
        "gradient_accumulation gradient_accumulation_steps accumulate_grad_batches update_freq "
        "grad_accumulation micro_batches accumulate_steps accum",
    ),
    (
        "duration",
        "epoch epochs max_epochs num_train_epochs steps max_steps train_steps num_training_steps "
        "max_iters max_iter iterations iters nb_epochs stop_epoch",
    ),
    (
        "warmup",
        "warmup_epochs warmup_steps warmup_iters warmup_ratio num_warmup_steps warm_up "
        "warmup_length warmup_proportion lr_warmup warmup_percent linear_warmup warmup_epoch",
    ),
    ("epoch_size", "images_per_epoch samples_per_epoch dataset_size train_size num_train_images"),
    (
        "image data.size monitor.size",
        "image_size img_size input_size imgsz resolution img_res input_shape image_resolution "
        "img input_resolution img_dim image_dim train_size crop_size",
    ),
    ("seed", "random_seed rng_seed manual_seed rng random_state prng"),
    ("threads", "workers dataloader_workers loader_threads dataloader_num_workers nworkers"),
    (
        "dtype",
        "precision amp fp16 bf16 mixed_precision half use_amp autocast compute_dtype torch_dtype "
        "half_precision float16 bfloat16 tf32 amp_dtype use_fp16 param_dtype",
    ),
    ("unreadable", "bad_images skip_bad max_share max_errors tolerance skip_errors"),
    ("mesh", "sharding devices parallel gpus distributed strategy num_gpus world_size"),
    ("mesh.fsdp", "zero full_shard"),
    ("mesh.tensor", "tensor_parallel tp model_parallel"),
    ("mesh.data", "data_parallel dp"),
    # Blocks.
    (
        "encoder",
        "model backbone arch architecture network net trunk model_type model_name model_arch",
    ),
    ("name", "arch architecture type model_name model_type kind _target_ class_name"),
    ("optimizer name", "opt optim"),
    ("objective", "method loss task pretext algorithm ssl_method criterion"),
    ("data", "dataset datasets data_set"),
    (
        "root",
        "path folder data_dir data_path data_root dataset_path dataset_dir imagenet_dir root_dir "
        "directory train_dir train_data_path",
    ),
    ("augment", "augmentation augmentations augs transforms transform aug data_augmentation"),
    ("crops", "random_resized_crop rrc cropping"),
    ("average", "ema model_ema ema_config polyak moving_average"),
    (
        "average.momentum target.momentum",
        "ema_decay ema_momentum model_ema_decay ema_rate ema_beta polyak_decay ema_coefficient",
    ),
    (
        "target.momentum",
        "moco_m moco_momentum momentum_teacher teacher_momentum base_tau base_momentum "
        "target_momentum momentum_encoder ema_teacher tau m",
    ),
    ("momentum", "decay_rate ema_decay"),
    ("end", "momentum_end final_tau final_momentum"),
    (
        "init_from",
        "pretrained resume finetune load_from pretrained_weights init_checkpoint ckpt_path "
        "checkpoint_path from_pretrained resume_from init_weights restore pretrained_model "
        "resume_from_checkpoint load_checkpoint start_from fine_tune_checkpoint",
    ),
    ("checkpoint", "ckpt checkpointing save saving checkpoints"),
    (
        "checkpoint.every",
        "save_every save_freq save_interval ckpt_every checkpoint_every checkpoint_freq "
        "checkpoint_interval saveckp_freq save_steps checkpoint_steps ckpt_freq ckpt_interval "
        "save_frequency save_every_n_steps ckpt_steps",
    ),
    (
        "checkpoint.keep",
        "max_to_keep keep_last keep_last_n save_total_limit max_keep_ckpts keep_ckpts save_top_k "
        "keep_checkpoints checkpoint_hist keep_n",
    ),
    ("checkpoint.keep_every", "keep_period keep_ckpt_steps keep_interval"),
    ("log", "logging logger"),
    (
        "log.every",
        "log_every log_freq log_interval print_freq logging_steps log_every_n_steps print_every "
        "log_steps log_every_steps log_training_steps logging_interval log_frequency",
    ),
    ("monitor", "evaluation eval knn evals evaluate"),
    ("validation", "validate val accuracy"),
    ("validation.patience", "early_stop early_stopping early_stopping_patience"),
    ("validation.metric", "metric_for_best_model monitor_metric best_metric"),
    (
        "monitor.every",
        "eval_every eval_freq eval_interval val_interval eval_steps evaluate_every validate_every "
        "check_val_every_n_epoch val_freq eval_frequency val_every knn_every val_check_interval "
        "test_every eval_period",
    ),
    ("monitor.k", "knn_k nb_knn neighbors neighbours n_neighbors"),
    ("every", "interval freq frequency period steps save_steps"),
    # Encoders and decoders.
    ("patch stride", "patch_size psize patchsize"),
    (
        "width channels",
        "hidden_size hidden_dim embed_dim embedding_dim d_model dim emb_dim n_embd "
        "dims embedding_size embed_dims hidden base_width",
    ),
    ("channels width", "channels"),
    ("hidden", "hidden_size hidden_dim proj_hidden_dim bottleneck hidden_channels mid_channels"),
    ("embed", "embed_dim embedding_dim embed_size"),
    ("depth depths layers", "layers n_layer n_layers num_hidden_layers blocks nlayers"),
    ("heads", "nhead num_attention_heads attention_heads nheads n_head"),
    (
        "mlp_ratio",
        "mlp_dim intermediate_size ffn_dim dim_feedforward mlp_hidden_dim feedforward_channels "
        "ffn_ratio d_ff hidden_mult expansion_ratio mlp_size feedforward_dim expansion ffn_hidden",
    ),
    (
        "drop_path",
        "stochastic_depth dpr drop drop_rate dropout_rate drop_connect path_dropout survival_prob "
        "stochastic_depth_prob droplayer",
    ),
    (
        "attention_dropout drop_path",
        "attn_drop attn_dropout attention_probs_dropout_prob att_dropout dropout "
        "attention_dropout_rate attn_pdrop",
    ),
    (
        "layer_scale",
        "init_values init_value layer_scale_init_value layerscale ls_init_value layer_scale_init "
        "layerscale_value layer_scale_init_values ls gamma_init",
    ),
    (
        "positions",
        "pos_embed position_embedding position_embeddings pos_embedding pos_emb posemb "
        "positional_encoding positional_embedding pos_encoding position_embedding_type "
        "use_abs_pos_emb abs_pos_embed pos_type use_pos_embed",
    ),
    (
        "relative_bias",
        "rel_pos_bias use_rel_pos_bias relative_position_bias use_relative_position_bias rel_pos "
        "relative_pos_bias use_shared_rel_pos_bias use_shared_relative_position_bias",
    ),
    ("class_token", "cls_token use_cls_token cls class_embed with_cls_token global_pool has_cls"),
    ("final_norm", "fc_norm ln_f last_norm final_ln with_fc_norm"),
    ("pre_norm", "norm_pre ln_pre pre_ln prenorm"),
    ("activation", "act act_layer hidden_act act_fn activation_function nonlinearity act_type"),
    ("qkv_bias", "attention_bias use_qkv_bias attn_bias add_bias_kv"),
    (
        "remat",
        "gradient_checkpointing grad_checkpointing activation_checkpointing use_checkpoint "
        "grad_checkpoint checkpoint_activations with_cp use_checkpointing rematerialize "
        "gradient_checkpoint",
    ),
    ("window", "window_size"),
    ("pretrained_window", "pretrained_window_size pretrained_window_sizes"),
    ("weight_init", "init initializer init_method initialization weight_initializer"),
    ("vocabulary", "vocab_size n_vocab num_tokens vocab"),
    (
        "vocabulary",
        "codebook_size n_embed num_embeddings num_codes codebook_n_emb codes",
    ),
    (
        "length",
        "max_length seq_len context_length max_position_embeddings sequence_length seq_length "
        "max_len max_seq_len context_size max_text_len max_txt_len",
    ),
    (
        "out",
        "out_dim output_dim proj_dim projection_dim out_features feat_dim embed_dim dim "
        "prototypes output_size nb_prototypes out_channels proj_output_dim",
    ),
    ("towers.category.size", "classes nb_classes categories"),
    ("objective.size", "queue_size queue_length queue_len moco_k negatives memory_size"),
    ("norm", "norm_layer norm_type normalization_layer use_bn"),
    # Objectives.
    ("hidden", "mask_ratio masking_ratio mask_rate masking_rate mask_prob mask_proportion masked"),
    ("hidden", "patch_drop"),  # MSN's own word
    ("temperature", "tau temp t student_temp softmax_temp temp_student moco_t logit_temperature"),
    ("target_temperature", "teacher_temp tau_teacher temp_teacher warmup_teacher_temp"),
    ("label_smoothing", "smoothing ls_eps label_smooth label_smooth_val smooth"),
    ("mixup", "mix_up"),
    ("cutmix", "cut_mix"),
    ("local", "local_crops local_crops_number small_crops n_small_crops multi_crop multicrop"),
    ("target.normalization", "norm_pix_loss norm_pix normalize_target patch_norm norm_pixel_loss"),
    ("off_diagonal", "lambd lambda lambda_param lamb scale_loss offdiag_coeff"),
    ("entropy_weight", "me_max me_max_weight memax_weight regularization_weight"),
    ("sharpen", "sharpening target_sharpen"),
    ("centring", "centering center center_momentum"),
    ("gradient_norm", "gradnorm grad_norm"),
    ("commitment", "beta commitment_cost commitment_weight commitment_beta"),
    ("normalization", "normalize mean std image_mean image_std pixel_mean normalisation"),
    # Views.
    ("flip", "hflip horizontal_flip hflip_prob random_flip horizontal_flip_prob"),
    ("scale", "crop_scale min_scale crop_min_scale global_crops_scale min_crop rrc_scale"),
    ("ratio", "aspect_ratio crop_ratio"),
    ("local_scale", "local_crops_scale small_crop_scale"),
    ("local_size", "local_crops_size local_crop_size small_crop_size"),
    ("blur", "gaussian_blur gaussian gaussian_prob random_blur"),
    ("sigma", "sigmas blur_sigma radius"),
    ("jitter", "color_jitter colour_jitter color_jitter_prob cj_prob jitter_prob"),
    ("grayscale", "gray greyscale random_grayscale gray_scale grey to_gray random_gray_scale"),
    ("solarize", "solarization solarise random_solarize"),
    ("erasing", "reprob re_prob random_erasing random_erase erase_prob erase cutout"),
    ("saturation", "sat"),
    ("rand_augment", "randaugment rand_aug aa auto_augment autoaugment randaug trivial_augment"),
    ("repeats", "repeated_aug num_repeats repeated_augmentation aug_repeats repeat"),
    ("interpolation", "train_interpolation resample resampling interp"),
    ("captions", "texts text caption tokenizer"),
    # Values.
    ("vit_ti16", "vit_tiny vit_ti deit_tiny deit_ti"),
    ("vit_s16", "vit_small vit_s deit_small deit_s deit3_small"),
    (
        "vit_b16",
        "vit_base vit_b deit_base deit_b beit_base beit_b deit3_base mae_vit_base "
        "vit_mae_base beitv2_base",
    ),
    (
        "vit_l16",
        "vit_large vit_l deit_large beit_large beit_l deit3_large mae_vit_large "
        "vit_mae_large beitv2_large",
    ),
    ("vit_h14", "vit_huge vit_h deit3_huge mae_vit_huge vit_mae_huge"),
    ("swin_v2_t", "swin_tiny swin_t swin_v2_tiny swinv2_cr_tiny"),
    ("swin_v2_s", "swin_small swin_s swin_v2_small swinv2_cr_small"),
    ("swin_v2_b", "swin_base swin_b swin_v2_base swinv2_cr_base"),
    ("swin_v2_l", "swin_large swin_l swin_v2_large swinv2_cr_large"),
    ("internimage_t", "internimage_tiny"),
    ("internimage_s", "internimage_small"),
    ("internimage_b", "internimage_base"),
    ("internimage_l", "internimage_large"),
    ("internimage_h", "internimage_huge"),
    ("resnet50", "resnet rn50 res50 r50"),
    ("resnet101", "rn101 res101 r101"),
    ("resnet18", "rn18 res18 r18"),
    ("resnet34", "rn34 res34 r34"),
    ("replknet_31b", "replknet replknet31b"),
    ("bert_base", "bert"),
    ("adamw", "adam adam_w adamw_torch fused_adamw torch_adamw"),
    ("sgd", "nesterov momentum sgdm"),
    (
        "cosine",
        "cos cosine_annealing cosine_decay cosine_annealing_lr cosine_with_warmup "
        "warmup_cosine cosine_schedule",
    ),
    ("milestones", "step multistep multi_step step_lr multi_step_lr"),
    ("constant", "none fixed flat constant_with_warmup constant_lr"),
    ("image_folder", "imagenet folder imagenet1k imagenet_1k in1k ilsvrc"),
    ("digit_scenes", "digits mnist"),
    ("classification", "supervised cross_entropy classifier"),
    ("mae", "masked_autoencoder"),
    ("simmim", "mim"),
    ("moco", "moco_v1 moco_v2 moco_v2_plus"),
    ("simclr", "ntxent nt_xent simclr_v2"),
    ("barlow_twins", "barlow"),
    ("mlp", "projection_head mlp_head"),
    ("linear", "fc dense"),
    ("mean", "gap avg average avg_pool global_avg"),
    ("class", "cls token cls_token class_token"),
    ("batch", "bn"),
    ("layer", "ln"),
    ("steps", "step iterations iteration iters iter it updates batches"),
    ("samples", "images examples imgs"),
    ("percent", "% pct percentage ratio"),
    ("epochs", "ep eps passes"),
    ("bfloat16", "bf16 half fp16 float16 mixed amp"),
    ("float32", "fp32 float single full tf32 f32"),
    ("gelu_tanh", "gelu_new gelu_pytorch_tanh gelu_fast gelu_approx"),
    ("quick_gelu", "gelu_quick"),
    ("pixels", "pixel rgb raw_pixels"),
)

# Words around a name that say nothing of their own.
BEFORE = (
    "adam adamw nesterov optim opt optimizer sgd lars train training trainer model "
    "encoder decoder vit net num n nb number total use with cfg config args hparams"
)
BEHIND = "prob p probability value val rate ratio coef coefficient num number count alpha type"

# {block: {patterns of the names of its functions, "" = all of them: keys}}: where a name is looked
# for that another block does not have. Only what is there for certain is ever named.
VIT, SWIN, RESNET, REPLK, INTERN = "vit_*", "swin_*", "resnet*", "replknet_*", "internimage_*"
TEXT = "bert_base clip_text siglip_text text_nano"
HOMES: dict[str, dict[str, str]] = {
    "": {
        "": "batch duration warmup seed image dtype accumulate epoch_size threads unreadable data "
        "crops captions augment encoder towers decoders objective target average weights "
        "init_from weighting optimizer mesh log checkpoint monitor validation"
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
    "towers.text": {TEXT: "vocabulary pooler"},
    "towers.category": {"table": "size"},
    "objective": {
        "clip siglip mae simmim data2vec milan beit beit_v2 msn siamese_im table2 mim_global "
        "siamese_im_pixel m3i cim siamese_words": "hidden",
        "moco simclr densecl dino table2 cim": "temperature",
        "dino": "target_temperature centring",
        "dino msn": "local",
        "classification mixed_classification m3i": "label_smoothing",
        "mixed_classification": "mixup cutmix",
        "siamese_im m3i": "negative_weight",
        "barlow_twins": "off_diagonal",
        "msn": "sharpen entropy_weight",
        "vq_kd vq_vae": "commitment",
        "vq_kd vq_vae beit beit_v2 cim siamese_words": "vocabulary",
    },
    "target": {"ema": "momentum", "pixels": "normalization"},
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
    "checkpoint": {"": "every keep keep_every"},
    "monitor": {"": "every bank queries k"},
    "validation": {"": "every metric branch patience size ratio batch predictions"},
}
