"""What a run shows: progress, TensorBoard, pictures while it trains; tables and pages afterwards.

Nothing here knows of models: figures take arrays, `output.report` reads the files of runs. Nothing
is imported here, so that training does not wait for the page's library of charts.
"""
