"""Events are read back with TensorBoard's own accumulator; no server is needed."""

import json
import logging
import threading

import numpy as np
import pytest

from made_exp.reporting.tracking import (
    Tracker,
    hparam_values,
    keep_event_order,
    tracking,
    truncate_metrics,
)

START, END = "_hparams_/session_start_info", "_hparams_/session_end_info"


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def read_lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_scalars_images_and_text_are_read_back(tmp_path):
    with tracking(tmp_path) as tracker:
        tracker.scalars(3, {"train/nll": 2.5, "valid/nll": 3})
        tracker.image("samples", np.full((4, 6, 3), 7, np.uint8), 3)
        tracker.image("mask", np.zeros((1, 5, 5)), 3)
        tracker.text("config", "a: 1\nb: '```<script>'")
    events = read_events(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("train/nll")] == [(3, 2.5)]
    image = events.Images("samples")[0]
    assert (image.height, image.width) == (4, 6)
    assert events.Images("mask")[0].width == 5
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.splitlines() == ["    a: 1", "    b: '```<script>'"]


def test_train_and_valid_share_a_chart(tmp_path):
    Tracker(tmp_path).close()
    layout = read_events(tmp_path).SummaryMetadata("custom_scalars__config__")
    assert layout.plugin_data.plugin_name == "custom_scalars"


def test_a_sweep_is_one_run_a_job_without_experiment(tmp_path):
    for job in range(3):
        folder = tmp_path / f"{job}"
        folder.mkdir()
        with tracking(folder) as tracker:
            tracker.hparams({"optimizer.lr": 10.0**-job, "model.hidden_sizes": [5, 5]})
            tracker.scalars(1, {"test/nll": job})
        tags = read_events(folder).summary_metadata
        assert START in tags
        assert END in tags
        assert "_hparams_/experiment" not in tags
        assert not [path for path in folder.iterdir() if path.is_dir()]
        assert len(list(folder.glob("events.*"))) == 1


def test_session_start_holds_the_settings(tmp_path):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    with tracking(tmp_path) as tracker:
        tracker.hparams({"optimizer.lr": 1e-3, "model.name": "made", "trainer.max_steps": None})
    content = read_events(tmp_path).SummaryMetadata(START).plugin_data.content
    start = HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 1e-3
    assert start.hparams["model.name"].string_value == "made"
    assert "trainer.max_steps" not in start.hparams


def test_only_a_completed_run_ends_its_session(tmp_path):
    tracker = Tracker(tmp_path)
    tracker.hparams({"seed": 0})
    tracker.close(is_finished=False)
    assert END not in read_events(tmp_path).summary_metadata


def test_an_exception_leaves_the_session_open(tmp_path):
    def fail():
        with tracking(tmp_path) as tracker:
            tracker.scalars(1, {"train/nll": 1.0})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    events = read_events(tmp_path)
    assert END not in events.summary_metadata
    assert len(events.Scalars("train/nll")) == 1


def test_resuming_leaves_one_clean_curve(tmp_path):
    first = Tracker(tmp_path)
    for step in range(1, 8):
        first.scalars(step, {"train/nll": -step})
        first.metrics({"step": step, "nll": -step})
    first.close(is_finished=False)
    with tracking(tmp_path, purge_step=5) as second:
        for step in range(5, 10):
            second.scalars(step, {"train/nll": step})
            second.metrics({"step": step, "nll": step})
    curve = [(e.step, e.value) for e in read_events(tmp_path).Scalars("train/nll")]
    expected = [(s, -s) for s in range(1, 5)] + [(s, s) for s in range(5, 10)]
    assert curve == expected
    assert [(line["step"], line["nll"]) for line in read_lines(tmp_path)] == expected


@pytest.mark.parametrize("stamps", [[500, 900], [1000], [1500, 1600, 1700], [999, 1000], []])
def test_a_new_event_file_sorts_last_whatever_the_clock_says(tmp_path, stamps):
    for stamp in stamps:
        (tmp_path / f"events.out.tfevents.{stamp:010d}.host.1.0").write_text(str(stamp))
    (tmp_path / "events.out.tfevents.odd").write_text("left alone")
    keep_event_order(tmp_path, 1000)
    paths = sorted(tmp_path.glob("events.out.tfevents.0*"))
    assert [int(path.read_text()) for path in paths] == stamps
    assert all(path.name < "events.out.tfevents.0000001000" for path in paths)


def test_a_cut_line_is_dropped_on_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n[]\n{"step": 9}\n{"step": 2, "nl')
    truncate_metrics(path, 9)
    assert path.read_bytes() == b'{"step": 1}\n'


def test_resume_before_anything_was_written(tmp_path):
    with tracking(tmp_path, purge_step=0) as tracker:
        tracker.metrics({"step": 0})
    assert read_lines(tmp_path) == [{"step": 0}]


def test_numbers_that_json_cannot_write_become_null(tmp_path):
    with tracking(tmp_path, tensorboard=False) as tracker:
        tracker.metrics({"step": 1, "nll": float("nan"), "more": {"a": [float("inf"), 1.5]}})
    assert read_lines(tmp_path) == [{"step": 1, "nll": None, "more": {"a": [None, 1.5]}}]


def test_without_tensorboard_there_are_no_events(tmp_path):
    with tracking(tmp_path, tensorboard=False) as tracker:
        tracker.scalars(1, {"a": 1})
        tracker.hparams({"a": 1})
        tracker.text("a", "b")
        tracker.image("a", np.zeros((1, 2, 2)), 1)
        tracker.flush()
    assert not list(tmp_path.iterdir())


def broken(*args, **kwargs):
    raise OSError(28, "No space left on device")


def test_tensorboard_that_cannot_start_warns_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", broken)
    with caplog.at_level(logging.WARNING), tracking(tmp_path) as tracker:
        tracker.scalars(1, {"a": 1})
        tracker.metrics({"step": 1})
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    assert read_lines(tmp_path) == [{"step": 1}]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_fills_up_ends_tensorboard_only(tmp_path, monkeypatch, caplog):
    from tensorboard.summary.writer.record_writer import RecordWriter

    before = set(threading.enumerate())
    tracker = Tracker(tmp_path)
    workers = set(threading.enumerate()) - before
    monkeypatch.setattr(RecordWriter, "write", broken)
    with caplog.at_level(logging.WARNING):
        for step in range(50):
            tracker.scalars(step, {"a": 1})
            tracker.text("t", "u", step)
            tracker.metrics({"step": step})
            tracker.flush()
        tracker.close()
    for worker in workers:
        worker.join(20)
    assert len(caplog.records) == 1
    assert len(read_lines(tmp_path)) == 50


def test_a_value_that_tensorboard_rejects_does_not_stop_the_run(tmp_path, caplog):
    with caplog.at_level(logging.WARNING), tracking(tmp_path) as tracker:
        tracker.image("a", np.zeros((3, 3)), 1)  # two axes only
        tracker.scalars(1, {"a": 1})
    assert len(caplog.records) == 1


def test_metrics_that_cannot_be_written_are_an_error(tmp_path):
    tracker = Tracker(tmp_path / "gone", tensorboard=False)
    with pytest.raises(OSError, match="gone"):
        tracker.metrics({"step": 1})


def test_hparam_types_are_stable():
    values = {"lr": 1e-3, "seed": 0, "flag": True, "sizes": [1, 2], "none": None, "path": None}
    values |= {"bad": float("inf"), "name": "made", "notes": {}}
    expected = {"lr": 1e-3, "seed": 0, "flag": "true", "sizes": "[1, 2]"}
    assert hparam_values(values) == expected | {"path": "none", "name": "made"}


@pytest.mark.slow
def test_tensorboard_lists_a_hundred_runs_quickly(tmp_path):
    import os
    import signal
    import socket
    import subprocess
    import sys
    import time
    import urllib.request

    for job in range(100):
        folder = tmp_path / f"{job:03d}_lr-{job}"
        folder.mkdir()
        with tracking(folder) as tracker:
            tracker.hparams({"optimizer.lr": 1e-5 * (job + 1), "optimizer.name": "adam", "seed": 0})
            for step in range(200):
                tracker.scalars(step, {"train/nll": step, "valid/nll": step})
            tracker.scalars(200, {"test/nll": job})
            tracker.image("samples", np.zeros((50, 50, 3), np.uint8), 200)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def get(path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/data/{path}", data=body)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with open(tmp_path / "server.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        started = None
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            try:
                runs = get("runs")
            except OSError:
                time.sleep(0.1)
                continue
            started = started or time.monotonic()
            if len(runs) == 100:
                break
            time.sleep(0.1)
        assert len(runs) == 100
        assert time.monotonic() - started < 5
        body = json.dumps({"experimentName": ""}).encode()
        infos = get("plugin/hparams/experiment", body)["hparamInfos"]
        differs = {info["name"]: info.get("differs", False) for info in infos}
        assert differs == {"optimizer.lr": True, "optimizer.name": False, "seed": False}
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.wait(20)
