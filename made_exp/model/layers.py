"""Linear layers in which a unit sees only the units of lower or equal degree."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from made_exp.kernels.backends import (
    MAX_KEPT_MASK,
    SMALL_WEIGHT,
    check_backend,
    choose_backend,
    triton_is_usable,
)
from made_exp.kernels.dense import kept_mask_linear, make_mask
from made_exp.kernels.layout import BlockLayout
from made_exp.kernels.masked_linear import masked_linear
from made_exp.kernels.packed_linear import packed_linear
from made_exp.kernels.packing import PackedStructure, build_structure, pack, unpack
from made_exp.kernels.per_example import per_example_linear


class MaskedLinear(nn.Module):
    """y = x (W * M)^T + b with M[o, i] = [out_degrees[o] >= in_degrees[i]].

    With degrees given here the connectivity is fixed: units are kept sorted by degree and
    `weight` is a flat vector that holds little more than the visible weights, so the optimizer
    and its state shrink as well. Otherwise degrees come with each call and `weight` is (O, I),
    as it is in layers too small to gain.
    In both cases weights that the mask removes get no gradient; with fixed connectivity they
    are zero from the start and stay so under every optimizer.

    The state dict is the same in all cases: `weight` (O, I) and `bias` (O,), units in the
    caller's order. Other tensors of the weight's shape (an optimizer's state) are turned between
    the two by `dense_layout` and `stored_layout`. While `saves_blocks` is set, a state dict holds
    the blocks of a fixed connectivity instead, about half as much.

    Args:
        in_features: Number of inputs I.
        out_features: Number of outputs O.
        bias: Whether to add b.
        in_degrees: (I,) int64, fixed connectivity; None when degrees come with each call.
        out_degrees: (O,) int64, likewise.
        backend: Which kernel computes the product: auto, dense, staircase or triton.
        generator: Source of the initial weights, uniform within 1 / sqrt(I); bias starts at 0.

    Raises:
        ValueError: An unknown backend, or degrees of the wrong length or only one of the two.
    """

    in_degrees: Tensor | None
    out_degrees: Tensor | None
    _mask: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        in_degrees: Tensor | None = None,
        out_degrees: Tensor | None = None,
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_backend(backend)
        _check_degrees(in_features, out_features, in_degrees, out_degrees)
        self.in_features, self.out_features, self.backend = in_features, out_features, backend
        self.register_buffer("in_degrees", in_degrees, persistent=False)
        self.register_buffer("out_degrees", out_degrees, persistent=False)
        self._accepted: tuple[Tensor | None, Tensor | None] = (in_degrees, out_degrees)
        self._layout: BlockLayout | None = None
        self._cached: PackedStructure | None = None
        self.saves_blocks = False
        # In the smallest of these layers even the checks of a call would be felt.
        self._keeps_made_masks = (
            backend == "auto" and in_degrees is None and in_features * out_features <= MAX_KEPT_MASK
        )
        self._shared_shapes = (in_features,), (out_features,)
        self.register_buffer("_mask", None, persistent=False)
        if in_degrees is not None and out_degrees is not None:
            self._keep_structure(in_degrees, out_degrees)
        bound = 1 / math.sqrt(max(in_features, 1))
        dense = torch.empty(out_features, in_features)
        dense.uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(self.stored_layout(dense))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    @property
    def is_fixed(self) -> bool:
        """Whether the connectivity was fixed when the layer was built."""
        return self.in_degrees is not None

    @property
    def stores_blocks(self) -> bool:
        """Whether `weight` is the flat vector of visible blocks."""
        return self._layout is not None

    def kept_mask(self, in_degrees: Tensor | None, out_degrees: Tensor | None) -> Tensor | None:
        """The mask (O, I) of 0 and 1 by which a small layer multiplies on the CPU, else None."""
        if not self._keeps_made_masks or in_degrees is None or out_degrees is None:
            return self._mask
        shared = (in_degrees.shape, out_degrees.shape) == self._shared_shapes
        if not shared or not in_degrees.is_cpu:
            return None
        return make_mask(in_degrees, out_degrees, self.weight.dtype)

    def forward(
        self,
        x: Tensor,
        in_degrees: Tensor | None = None,
        out_degrees: Tensor | None = None,
        *,
        activation: str = "none",
        bias: Tensor | None = None,
    ) -> Tensor:
        """Map x (B, I) to (B, O).

        Args:
            x: (B, I).
            in_degrees: (I,), where the connectivity is not fixed; otherwise None or the same. Or
                (B, I), where every example has its own.
            out_degrees: (O,), likewise; or (B, O).
            activation: none or relu, applied to the result at less cost than afterwards.
            bias: (O,), used instead of the layer's own, at less cost than adding it afterwards.
        """
        bias = self.bias if bias is None else bias
        if self._keeps_made_masks and in_degrees is not None and out_degrees is not None:
            mask = self.kept_mask(in_degrees, out_degrees)
            if mask is not None:
                return kept_mask_linear(x, self.weight, bias, mask, activation)
        if in_degrees is None and out_degrees is None and self._layout is not None:
            return self._packed(x, bias, activation)
        in_degrees, out_degrees = self._degrees(in_degrees, out_degrees)
        if in_degrees.ndim == 2 or out_degrees.ndim == 2:
            y = per_example_linear(x, self.weight, bias, in_degrees, out_degrees)
            return y.relu() if activation == "relu" else y
        if self._mask is not None:
            return kept_mask_linear(x, self.weight, bias, self._mask, activation)
        if not self.stores_blocks:
            return masked_linear(
                x, self.weight, bias, in_degrees, out_degrees,
                backend=self.backend, activation=activation,
            )  # fmt: skip
        return self._packed(x, bias, activation)

    def masked_weight(
        self, in_degrees: Tensor | None = None, out_degrees: Tensor | None = None
    ) -> Tensor:
        """The (O, I) weight with zeros where the output does not see the input."""
        in_degrees, out_degrees = self._degrees(in_degrees, out_degrees)
        dense = self.dense_layout(self.weight)
        return torch.where(out_degrees[:, None] >= in_degrees[None, :], dense, 0)

    def dense_layout(self, stored: Tensor) -> Tensor:
        """The (O, I) form, units in the caller's order, of a tensor shaped like `weight`."""
        return stored if self._layout is None else unpack(stored, self._structure())

    def blocks_layout(self, stored: Tensor) -> Tensor:
        """The (num_stored,) blocks of `structure` of a tensor shaped like `weight`."""
        return stored if self._layout is not None else pack(stored, self.structure)

    @property
    def structure(self) -> PackedStructure:
        """The blocks of fixed connectivity, whether or not the layer stores its weight so."""
        if self._layout is not None:
            return self._structure()
        if self.in_degrees is None or self.out_degrees is None:
            raise ValueError("degrees: got none; only a fixed connectivity has blocks")
        if self._cached is None or self._cached.rows.device != self.in_degrees.device:
            self._cached = build_structure(self.in_degrees, self.out_degrees)
        return self._cached

    def stored_layout(self, dense: Tensor) -> Tensor:
        """The form of `weight` of a dense (O, I) tensor; fixed masks set zeros in it."""
        if self._layout is not None:
            return pack(dense, self._structure())
        if self.in_degrees is not None and self.out_degrees is not None:
            return torch.where(self.out_degrees[:, None] >= self.in_degrees, dense, 0)
        return dense

    def extra_repr(self) -> str:
        """Sizes and kernel, for print(model)."""
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, "
            f"fixed={self.is_fixed}, backend={self.backend}"
        )

    def _packed(self, x: Tensor, bias: Tensor | None, activation: str) -> Tensor:
        """`forward` with the stored blocks."""
        backend = self.backend
        if backend == "auto":
            backend = "staircase"
        elif backend == "triton" and not triton_is_usable(x.device):
            check_backend(backend, x.device)
        return packed_linear(
            x, self.weight, bias, self._structure(),
            backend=backend, activation=activation,
        )  # fmt: skip

    def _degrees(
        self, in_degrees: Tensor | None, out_degrees: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The degrees that hold in this call."""
        if self.in_degrees is None or self.out_degrees is None:
            if in_degrees is None or out_degrees is None:
                raise ValueError(
                    "in_degrees, out_degrees: got None; a layer whose connectivity is not fixed "
                    "needs both in each call"
                )
            return in_degrees, out_degrees
        same = self._accepted[0] is in_degrees and self._accepted[1] is out_degrees
        if not same and not torch.compiler.is_compiling():
            self._check_same("in_degrees", in_degrees, self.in_degrees)
            self._check_same("out_degrees", out_degrees, self.out_degrees)
            self._accepted = (in_degrees, out_degrees)
        return self.in_degrees, self.out_degrees

    def _check_same(self, name: str, given: Tensor | None, fixed: Tensor) -> None:
        if given is not None and not torch.equal(given.to(fixed.device), fixed):
            raise ValueError(
                f"{name}: got degrees that differ from those the layer was built with; "
                "a layer of fixed connectivity takes no others"
            )

    def _keep_structure(self, in_degrees: Tensor, out_degrees: Tensor) -> None:
        """Prepare fixed connectivity: a mask for small weights, blocks for large ones."""
        backend = self.backend
        if backend == "auto":
            backend = choose_backend(in_degrees.device, self.in_features, self.out_features)
        if backend == "dense":
            if self.in_features * self.out_features < SMALL_WEIGHT:
                mask = make_mask(in_degrees, out_degrees, torch.get_default_dtype())
                self.register_buffer("_mask", mask, persistent=False)
            return
        structure = build_structure(in_degrees, out_degrees)
        self._layout = structure.layout
        for name in _STRUCTURE_TENSORS:
            self.register_buffer("_" + name, getattr(structure, name), persistent=False)
        self.register_buffer("_sorted_in_degrees", structure.in_degrees, persistent=False)
        self.register_buffer("_sorted_out_degrees", structure.out_degrees, persistent=False)

    def _structure(self) -> PackedStructure:
        assert self._layout is not None
        kept: dict[str, Any] = self._buffers
        # Moving the layer to a device replaces its buffers, and the record must follow.
        if self._cached is not None and self._cached.rows is kept["_rows"]:
            return self._cached
        self._cached = PackedStructure(
            self._layout,
            kept["_sorted_in_degrees"],
            kept["_sorted_out_degrees"],
            *[kept["_" + name] for name in _STRUCTURE_TENSORS],
        )
        return self._cached

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        weight = self.weight if keep_vars else self.weight.detach()
        if self.saves_blocks and self.is_fixed:
            destination[prefix + "weight"] = self.blocks_layout(weight)
        elif self._layout is not None:
            destination[prefix + "weight"] = self.dense_layout(weight)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool,
        missing: Any, unexpected: Any, errors: list[str],
    ) -> None:  # fmt: skip
        key, shape = prefix + "weight", (self.out_features, self.in_features)
        dense = state_dict.get(key)
        fits = dense is not None and tuple(dense.shape) == shape
        if dense is not None and not fits:
            errors.append(f"size mismatch for {key}: got {tuple(dense.shape)}, allowed: {shape}")
        if fits and self.is_fixed:
            state_dict[key] = self.stored_layout(dense.to(self.weight.device))
        elif dense is not None and not fits:
            state_dict[key] = self.weight.detach()
        super()._load_from_state_dict(
            state_dict, prefix, metadata, strict, missing, unexpected, errors
        )
        if dense is not None:
            state_dict[key] = dense


_STRUCTURE_TENSORS = ("rows", "first_rows", "in_order", "out_order")


def _check_degrees(
    in_features: int, out_features: int, in_degrees: Tensor | None, out_degrees: Tensor | None
) -> None:
    if (in_degrees is None) != (out_degrees is None):
        raise ValueError("in_degrees, out_degrees: got only one; allowed: both or neither")
    for name, degrees, size in (
        ("in_degrees", in_degrees, in_features),
        ("out_degrees", out_degrees, out_features),
    ):
        if degrees is not None and tuple(degrees.shape) != (size,):
            raise ValueError(f"{name}: got shape {tuple(degrees.shape)}; allowed: ({size},)")
