"""Class labels that a model is conditioned on."""

from torch import Tensor
from torch.nn.functional import one_hot


def one_hot_labels(
    labels: Tensor | None, num_examples: int, num_classes: int, *, is_checked: bool = False
) -> Tensor | None:
    """Labels as (B, num_classes) int64 of 0 and 1; None for a model without classes.

    Args:
        labels: (B,) whole numbers in 0..num_classes-1, or None.
        num_examples: How many there must be.
        num_classes: Classes of the model; 0 for none.
        is_checked: Whether the range of the labels is known to be right.

    Raises:
        ValueError: If labels are missing, not wanted, too many or too few, or out of range.
    """
    if labels is None and num_classes:
        raise ValueError(f"context: this model needs class labels 0..{num_classes - 1}")
    if labels is None:
        return None
    if not num_classes:
        raise ValueError("context: this model was built without classes, give None")
    if labels.shape != (num_examples,):
        raise ValueError(f"context must have shape ({num_examples},), got {tuple(labels.shape)}")
    if not is_checked and not _are_labels(labels, num_classes):
        raise ValueError(f"context must hold labels in 0..{num_classes - 1}")
    return one_hot(labels.long(), num_classes)


def _are_labels(context: Tensor, num_classes: int) -> bool:
    return not len(context) or 0 <= int(context.min()) <= int(context.max()) < num_classes
