"""In which precision a run trains: what was asked for, what `auto` chooses, what it began with."""

import logging

import torch

from made_exp.kernels.bfloat16 import choose_precision, has_bfloat16_products
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.settings.experiment import Settings

_log = logging.getLogger(__name__)


def settled_precision(
    settings: Settings, num_variables: int, device: torch.device, begun: RunDirectory | None = None
) -> str:
    """The `trainer.precision` of the settings, or what auto stands for.

    Args:
        settings: What was asked for.
        num_variables: Number of variables D.
        device: Where training runs.
        begun: The run that is continued, if one is; auto keeps the precision that it has, whatever
            this machine would choose.
    """
    precision = settings.trainer.precision
    if precision == "auto":
        widths = [num_variables, *settings.model.network().layer_sizes, num_variables]
        kept = load_checkpoint(begun.last).get("precision") if begun else None
        precision = kept or choose_precision(device, widths)
        why = "as the run began" if kept else "by the processor and the sizes of layers"
        _log.info("trainer.precision=auto: %s, %s", precision, why)
    if precision == "bf16" and device.type == "cpu" and not has_bfloat16_products():
        _log.warning(
            "trainer.precision=bf16: this CPU has no bfloat16 products (AMX); they are imitated, "
            "more slowly than fp32 and with other rounding than on a CPU that has them"
        )
    return precision
