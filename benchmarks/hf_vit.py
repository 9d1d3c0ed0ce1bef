"""ViT and ViTMAE of Hugging Face transformers, randomly initialised; nothing is downloaded."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class Classifier(nn.Module):
    """Cross-entropy of `ViTForImageClassification`."""

    def __init__(self, size):
        super().__init__()
        config = transformers.ViTConfig(**_shape(size), num_labels=size.classes)
        self.model = transformers.ViTForImageClassification(config)

    def forward(self, images, labels):
        """images (B, 3, H, W), labels (B,) -> loss."""
        logits = self.model(pixel_values=images).logits
        return F.cross_entropy(logits.float(), labels, label_smoothing=0.1)


class Mae(nn.Module):
    """Loss of `ViTMAEForPreTraining` on normalised pixels."""

    def __init__(self, size):
        super().__init__()
        config = transformers.ViTMAEConfig(
            **_shape(size),
            mask_ratio=size.hidden,
            norm_pix_loss=True,
            decoder_hidden_size=size.decoder_width,
            decoder_num_hidden_layers=size.decoder_depth,
            decoder_num_attention_heads=size.decoder_heads,
            decoder_intermediate_size=4 * size.decoder_width,
        )
        self.model = transformers.ViTMAEForPreTraining(config)

    def forward(self, images):
        """images (B, 3, H, W) -> loss."""
        return self.model(pixel_values=images).loss


def _shape(size):
    """Fields that both configurations share."""
    return dict(
        hidden_size=size.width,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        intermediate_size=round(size.width * size.mlp_ratio),
        image_size=size.image,
        patch_size=size.patch,
    )
