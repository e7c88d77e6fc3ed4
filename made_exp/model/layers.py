"""Linear layers in which a unit sees only the units of lower or equal degree."""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from made_exp.kernels.backends import check_backend, choose_backend, compute_dtype
from made_exp.kernels.dense import MAX_KEPT_MASK, DenseProduct, make_mask, per_example_linear
from made_exp.kernels.masked_linear import check_degrees, product_of, product_of_blocks
from made_exp.kernels.packing import PackedStructure, build_structure, pack, unpack
from made_exp.kernels.product import MaskedProduct, Pullback, masked_product, product_vjp
from made_exp.masks.mask_set import visibility

CPU = torch.device("cpu")


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
    the two by `dense_layout` and `stored_layout`.

    Args:
        in_features: Number of inputs I.
        out_features: Number of outputs O.
        bias: Whether to add b.
        degrees: (I,) and (O,) int64, fixed connectivity; None when degrees come with each call.
        backend: Which kernel computes the product: auto, dense, staircase or triton.
        device: Where the layer will be used, and
        dtype: in which its products will be taken: whether auto stores blocks depends on both.
        generator: Source of the initial weights, uniform within 1 / sqrt(I); bias starts at 0.

    Raises:
        ValueError: An unknown backend, or degrees of the wrong length.
    """

    in_degrees: Tensor | None
    out_degrees: Tensor | None
    centre: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        degrees: tuple[Tensor, Tensor] | None = None,
        backend: str = "auto",
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_backend(backend)
        self.in_features, self.out_features, self.backend = in_features, out_features, backend
        in_degrees, out_degrees = degrees or (None, None)
        check_degrees(in_features, out_features, in_degrees, out_degrees)
        self.register_buffer("in_degrees", in_degrees, persistent=False)
        self.register_buffer("out_degrees", out_degrees, persistent=False)
        self._shapes = (in_features,), (out_features,)
        self._dtype = dtype if device.type == "cpu" else torch.float32  # blocks follow it
        self.is_fixed = degrees is not None  # felt where it looks at a buffer
        if backend == "auto":
            backend = choose_backend(device, in_features, out_features, dtype=dtype)
        self.stores_blocks = self.is_fixed and backend != "dense"
        self._structure: PackedStructure | None = None
        self._products: dict[torch.dtype | None, MaskedProduct] = {}
        self.weight = nn.Parameter(self.stored_layout(self._drawn(generator)))
        self.register_buffer("centre", None, persistent=False)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def _drawn(self, generator: torch.Generator | None) -> Tensor:
        """Initial weights (O, I)."""
        bound = 1 / math.sqrt(max(self.in_features, 1))
        dense = torch.empty(self.out_features, self.in_features)
        return dense.uniform_(-bound, bound, generator=generator)

    @torch.no_grad()
    def centre_at(self, weight: Tensor) -> None:
        """Add a dense (O, I) to the initial weights; penalties pull towards that, not to zero."""
        self.centre = self.stored_layout(weight.to(self.weight))
        self.weight.add_(self.centre)

    def forward(
        self,
        x: Tensor,
        *degrees: Tensor,
        activation: str = "none",
        bias: Tensor | None = None,
    ) -> Tensor:
        """Map x (B, I) to (B, O).

        Args:
            x: (B, I).
            *degrees: (I,) and (O,), where the connectivity is not fixed, and only there; or (B, I)
                and (B, O), where every example has its own.
            activation: none or relu, applied to the result at less cost than afterwards.
            bias: (O,), used instead of the layer's own, at less cost than adding it afterwards.
        """
        bias = self.bias if bias is None else bias
        if not self.is_fixed and any(one.ndim == 2 for one in degrees):
            y = per_example_linear(x, self.weight, bias, *self._in_use(degrees))
            return y.relu() if activation == "relu" else y
        return masked_product(self.product(x, *degrees), x, self.weight, bias, activation)

    def vjp(
        self, x: Tensor, *degrees: Tensor, activation: str = "none", bias: Tensor | None = None
    ) -> tuple[Tensor, Pullback]:
        """As `forward` outside autograd, with a bias only where it is given; and its pullback."""
        return product_vjp(self.product(x, *degrees), x, self.weight, bias, activation)

    def product(self, x: Tensor, *degrees: Tensor) -> MaskedProduct:
        """How x (B, I) is multiplied; degrees are those of `forward`, the same for all examples."""
        if degrees or not self.is_fixed:
            ins, outs = self._in_use(degrees)
            if (ins.shape, outs.shape) != self._shapes:
                check_degrees(self.in_features, self.out_features, ins, outs)
            return product_of(self.backend, x, self.weight, ins, outs)
        key = compute_dtype(x, self.weight) if x.is_cuda else None  # autocast may be on or off
        found = self._products.get(key)
        if found is None:
            found = self._products[key] = self._fixed_product(key or x.dtype)
        return found

    def masked_weight(self, *degrees: Tensor) -> Tensor:
        """The (O, I) weight with zeros where the output does not see the input."""
        mask = visibility(*self._in_use(degrees))
        return torch.where(mask, self.dense_layout(self.weight), 0)

    def dense_layout(self, stored: Tensor) -> Tensor:
        """The (O, I) form, units in the caller's order, of a tensor shaped like `weight`."""
        return unpack(stored, self.structure) if self.stores_blocks else stored

    @property
    def structure(self) -> PackedStructure:
        """The blocks of fixed connectivity, whether or not the layer stores its weight so."""
        if self._structure is None:
            self._structure = build_structure(*self._in_use(()), self._dtype)
        return self._structure

    def stored_layout(self, dense: Tensor) -> Tensor:
        """The form of `weight` of a dense (O, I) tensor; fixed masks set zeros in it."""
        if self.stores_blocks:
            return pack(dense, self.structure)
        return torch.where(visibility(*self._in_use(())), dense, 0) if self.is_fixed else dense

    def extra_repr(self) -> str:
        """Sizes and kernel, for print(model)."""
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, "
            f"fixed={self.is_fixed}, backend={self.backend}"
        )

    def _fixed_product(self, dtype: torch.dtype) -> MaskedProduct:
        """The product, taken in `dtype`, of a layer whose connectivity is fixed."""
        if self.stores_blocks:
            return product_of_blocks(self.backend, self.weight.device, dtype, self.structure)
        ins, outs = self._in_use(())
        is_small = self.weight.numel() <= MAX_KEPT_MASK
        return DenseProduct(
            ins, outs, make_mask(ins, outs, self.weight.dtype) if is_small else None
        )

    def _in_use(self, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The degrees that hold in a call to which these are given."""
        if self.in_degrees is not None and self.out_degrees is not None:
            if given:
                raise ValueError("got degrees; a layer of fixed connectivity takes none")
            return self.in_degrees, self.out_degrees
        if len(given) != 2:
            raise ValueError(
                f"got {len(given)} degrees; a layer whose connectivity is not fixed needs both in "
                "each call"
            )
        return given[0], given[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Forget what was made of the degrees where the layer moves or changes its dtype."""
        super()._apply(fn, recurse)
        self._structure = None
        self._products.clear()
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        weight = self.weight if keep_vars else self.weight.detach()
        if self.stores_blocks:
            destination[prefix + "weight"] = self.dense_layout(weight)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool,
        missing: Any, unexpected: Any, errors: list[str],
    ) -> None:  # fmt: skip
        dense = state_dict.get(prefix + "weight")
        if dense is not None and dense.shape == (self.out_features, self.in_features):
            state_dict[prefix + "weight"] = self.stored_layout(dense.to(self.weight.device))
        super()._load_from_state_dict(
            state_dict, prefix, metadata, strict, missing, unexpected, errors
        )
