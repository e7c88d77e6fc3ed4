"""What a run shows: progress, TensorBoard, pictures while it trains; tables and pages afterwards.

Nothing here knows of models: figures take arrays, reports read the files of finished runs.
"""

from made_exp.reporting.output import Report, report

__all__ = ["Report", "report"]
