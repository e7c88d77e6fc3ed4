"""The choice of how a masked product is computed, and the product by degrees in one call.

Legend: B batch, I inputs, O outputs.
"""

import torch
from torch import Tensor

from made_exp.kernels.backends import ACTIVATIONS, check_backend, choose_backend, compute_dtype
from made_exp.kernels.dense import DenseProduct
from made_exp.kernels.packing import PackedStructure
from made_exp.kernels.product import MaskedProduct, masked_product
from made_exp.kernels.staircase import StaircaseProduct


def masked_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    *,
    backend: str = "auto",
    activation: str = "none",
) -> Tensor:
    """Map x (B, I) to (B, O); output o sees input i where out_degrees[o] >= in_degrees[i].

    Exact for any weights, also where the mask removes them, and for degrees in any order.

    Args:
        x: (B, I).
        weight: (O, I), the dtype of x unless autocast is on.
        bias: (O,) or None.
        in_degrees: (I,) int64.
        out_degrees: (O,) int64.
        backend: auto, dense, staircase (here as dense) or triton.
        activation: none or relu, applied to the result.

    Raises:
        ValueError: Shapes, dtypes or names that do not fit, or a backend that cannot run here.

    Examples:
        >>> x, ones = torch.tensor([[1.0, 10.0, 100.0]]), torch.ones(2, 3)
        >>> masked_linear(x, ones, None, torch.tensor([1, 2, 3]), torch.tensor([1, 2])).tolist()
        [[1.0, 11.0]]
    """
    num_out, num_in = weight.shape
    check_degrees(num_in, num_out, in_degrees, out_degrees)
    _check_size("bias", bias, num_out)
    if x.ndim != 2 or x.shape[1] != num_in:
        raise ValueError(f"x: got shape {tuple(x.shape)}; allowed: (batch, {num_in})")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: got {activation!r}; allowed: {', '.join(ACTIVATIONS)}")
    check_backend(backend, x.device)
    product = product_of(backend, x, weight, in_degrees, out_degrees)
    return masked_product(product, x, weight, bias, activation)


def product_of(
    backend: str, x: Tensor, weight: Tensor, in_degrees: Tensor, out_degrees: Tensor
) -> MaskedProduct:
    """The product of x (B, I) with a dense weight (O, I) for degrees that come with the call.

    To sort units in the call costs more than it saves: what is not triton is dense.
    """
    if backend == "auto":
        num_out, num_in = weight.shape
        backend = choose_backend(x.device, num_in, num_out, dtype=compute_dtype(x, weight))
    if backend == "triton":
        from made_exp.kernels.triton_linear import TritonProduct, dense_rows

        return TritonProduct(dense_rows(in_degrees, out_degrees))
    return DenseProduct(in_degrees, out_degrees)


def product_of_blocks(
    backend: str, device: torch.device, dtype: torch.dtype, structure: PackedStructure
) -> MaskedProduct:
    """The product with stored blocks; auto multiplies them one by one unless triton is best."""
    if backend == "auto":
        layout = structure.layout
        backend = choose_backend(device, layout.num_in, layout.num_out, dtype=dtype)
    if backend == "triton":
        check_backend(backend, device)
        from made_exp.kernels.triton_linear import TritonProduct, packed_rows

        return TritonProduct(packed_rows(structure), structure.in_order, structure.out_order)
    return StaircaseProduct(structure)


def check_degrees(
    num_in: int, num_out: int, in_degrees: Tensor | None, out_degrees: Tensor | None
) -> None:
    """Raise ValueError where degrees that are given are not (I,) and (O,)."""
    _check_size("in_degrees", in_degrees, num_in)
    _check_size("out_degrees", out_degrees, num_out)


def _check_size(name: str, tensor: Tensor | None, size: int) -> None:
    if tensor is not None and tuple(tensor.shape) != (size,):
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}; allowed: ({size},)")
