"""A ViT classifier and a masked autoencoder in plain torch, as one would write them today."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Pre-norm transformer block with torch's own fused attention."""

    def __init__(self, width, heads, mlp_ratio):
        super().__init__()
        hidden = round(width * mlp_ratio)
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        """x (B, n, D) -> (B, n, D)."""
        batch, count, width = x.shape
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, width // self.heads))
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.proj(y)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module):
    """Patches with positions and a class token through the blocks and a norm."""

    def __init__(self, size):
        super().__init__()
        self.patch, self.cells = size.patch, (size.image // size.patch) ** 2
        self.embed = nn.Linear(3 * size.patch**2, size.width)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + self.cells, size.width))
        self.class_token = nn.Parameter(torch.zeros(1, 1, size.width))
        blocks = (Block(size.width, size.heads, size.mlp_ratio) for _ in range(size.depth))
        self.blocks, self.norm = nn.Sequential(*blocks), nn.LayerNorm(size.width, 1e-6)

    def patches(self, images):
        """(B, 3, H, W) -> (B, n, 3·p·p)."""
        return F.unfold(images, self.patch, stride=self.patch).transpose(1, 2)

    def forward(self, patches, keep=None):
        """Encodes all patches, or those whose cells `keep` (B, k) names."""
        places = self.positions[:, 1:].expand(len(patches), -1, -1)
        if keep is not None:
            patches, places = _pick(patches, keep), _pick(places, keep)
        first = (self.class_token + self.positions[:, :1]).expand(len(patches), -1, -1)
        return self.norm(self.blocks(torch.cat([first, self.embed(patches) + places], 1)))


class Classifier(nn.Module):
    """Cross-entropy of a linear map of the class token."""

    def __init__(self, size):
        super().__init__()
        self.encoder, self.head = Encoder(size), nn.Linear(size.width, size.classes)

    def forward(self, images, labels):
        """images (B, 3, H, W), labels (B,) -> loss."""
        x = self.encoder(self.encoder.patches(images))
        return F.cross_entropy(self.head(x[:, 0]).float(), labels, label_smoothing=0.1)


class Mae(nn.Module):
    """Mean squared error on the normalised pixels of hidden patches (He et al. 2022)."""

    def __init__(self, size):
        super().__init__()
        width = size.decoder_width
        self.encoder, cells = Encoder(size), (size.image // size.patch) ** 2
        self.keep = cells - round(cells * size.hidden)
        self.embed, self.token = (
            nn.Linear(size.width, width),
            nn.Parameter(torch.zeros(1, 1, width)),
        )
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + cells, width))
        blocks = (Block(width, size.decoder_heads, 4.0) for _ in range(size.decoder_depth))
        self.blocks, self.norm = nn.Sequential(*blocks), nn.LayerNorm(width, 1e-6)
        self.head = nn.Linear(width, 3 * size.patch**2)

    def forward(self, images):
        """images (B, 3, H, W) -> loss."""
        patches = self.encoder.patches(images)
        batch, cells, _ = patches.shape
        order = torch.rand(batch, cells, device=images.device).argsort(1)
        back, keep = order.argsort(1), order[:, : self.keep]
        x = self.embed(self.encoder(patches, keep))
        empty = self.token.to(x.dtype).expand(batch, cells - self.keep, -1)
        full = _pick(torch.cat([x[:, 1:], empty], 1), back)
        y = self.blocks(torch.cat([x[:, :1], full], 1) + self.positions)
        y = self.head(self.norm(y)[:, 1:]).float()
        variance, mean = torch.var_mean(patches, -1, keepdim=True)
        error = (y - (patches - mean) * (variance + 1e-6).rsqrt()).square().mean(-1)
        hidden = (back >= self.keep).float()
        return (error * hidden).sum() / hidden.sum()


def _pick(x, index):
    """Rows of x (B, n, D) at index (B, k)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
