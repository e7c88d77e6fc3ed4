"""Masked layers in which every example has degrees of its own: it has its own ordering.

The masks differ from row to row, so there is no masked weight. Inputs of one degree are
multiplied together, and their product reaches the outputs that may see them.

Legend: B batch, I inputs, O outputs.
"""

import torch
from torch import Tensor
from torch.nn.functional import linear


def per_example_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, in_degrees: Tensor, out_degrees: Tensor
) -> Tensor:
    """y[b, o] = bias[o] + sum_i weight[o, i] x[b, i] [out_degrees[b, o] >= in_degrees[b, i]].

    Args:
        x: (B, I), or (1, I) for every example.
        weight: (O, I).
        bias: (O,) or None.
        in_degrees: (B, I) int64; neighbours are alike in all examples or in none, as the features
            of one variable are; or (I,), in any order.
        out_degrees: (B, O) or (O,).

    Returns:
        (B, O).
    """
    if in_degrees.ndim == 1:
        order = torch.argsort(in_degrees, stable=True)
        x, weight, in_degrees = x[:, order], weight[:, order], in_degrees[order][None]
    batch = max(len(x), len(in_degrees), len(out_degrees) if out_degrees.ndim == 2 else 1)
    sizes = torch.unique_consecutive(in_degrees[0], return_counts=True)[1].tolist()
    blocks = zip(x.split(sizes, 1), weight.split(sizes, 1), in_degrees.split(sizes, 1), strict=True)
    y = weight.new_zeros(batch, len(weight)) if bias is None else bias.expand(batch, -1)
    for values, weights, degrees in blocks:
        y = y + torch.where(out_degrees >= degrees[:, :1], linear(values, weights), 0)
    return y
