"""Digests of tensors, for the keys of what was computed from them."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def digest_of(tensor: Tensor) -> str:
    """Digest of a tensor's numbers, type and shape."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    state = hashlib.blake2b(flat.numpy().data, digest_size=16)
    state.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    return state.hexdigest()
