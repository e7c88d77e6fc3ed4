"""Progress displays on a terminal, in a file, and off."""

import io
import os
import re

import pytest

from made_exp.reporting.progress import Progress, duration


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(progress, clock, *, steps=100, seconds=0.1):
    """Calls of `train_nll`, as a loop of `steps` steps with two evaluations makes them."""
    calls = []
    with progress:
        for step in range(1, steps + 1):
            clock.now += seconds
            progress.update(step, step / 10, lambda: calls.append(1) or 81.25)
            if step % (steps // 2) == 0:
                progress.evaluated(step, step / 10, 81.2, 82.0 + step / steps, step < steps)
        progress.message("see outputs/[x]")
    return calls


def test_plain_lines_one_an_evaluation():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(200, batch_size=50, stream=stream, clock=clock)
    assert train(progress, clock) == []
    first, second, message = stream.getvalue().splitlines()
    expected = "epoch 5.0 step 50/200 train 81.2000 valid 82.5000* nats 500 examples/s 15s left"
    assert " ".join(first.split()) == expected
    assert "83.0000 " in second
    assert message == "see outputs/[x]"


def test_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    clock, stream = Clock(), Terminal()
    progress = Progress(200, batch_size=50, stream=stream, clock=clock)
    calls = train(progress, clock)
    text = stream.getvalue()
    assert 10 < len(calls) < 50  # throttled: far fewer than the 100 steps
    for part in ("81.25", "82.5", "examples/s", "left", "see outputs/[x]"):
        assert part in text


def test_terminal_is_restored_after_an_error(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()

    def fail():
        with Progress(10, batch_size=1, stream=stream):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert stream.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in stream.getvalue()


def test_plain_on_a_terminal_when_asked():
    stream = Terminal()
    clock = Clock()
    train(Progress(100, batch_size=1, mode="plain", stream=stream, clock=clock), clock)
    assert "\x1b" not in stream.getvalue()


def test_off_is_silent():
    stream = io.StringIO()
    train(Progress(100, batch_size=1, mode="off", stream=stream), Clock())
    assert stream.getvalue() == ""


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'bars'"):
        Progress(1, batch_size=1, mode="bars")


def test_a_closed_pipe_does_not_end_the_run():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with Progress(1, batch_size=1, stream=stream) as progress:
        progress.message("x")
        progress.evaluated(1, 1.0, 1.0, 1.0, True)
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_resumed_run_counts_its_own_steps_only():
    clock, stream = Clock(), io.StringIO()
    with Progress(1000, batch_size=10, first_step=500, stream=stream, clock=clock) as progress:
        progress.evaluated(500, 5.0, 1.0, 1.0, False)
        clock.now += 10
        progress.evaluated(600, 6.0, 1.0, 1.0, False)
    unknown, known = stream.getvalue().splitlines()
    assert "left" not in unknown
    assert known.endswith("100 examples/s  40s left")


def test_speed_is_that_of_the_last_seconds():
    clock, stream = Clock(), io.StringIO()
    with Progress(10_000, batch_size=100, stream=stream, clock=clock) as progress:
        for step in range(1, 200):
            clock.now += 1.0 if step < 100 else 0.1
            progress.update(step, 0.0, lambda: 0.0)
        progress.evaluated(199, 0.0, 1.0, 1.0, False)
    speed = re.search(r"([\d ]+) examples/s", stream.getvalue()).group(1).replace(" ", "")
    assert float(speed) == pytest.approx(1000, rel=0.1)


def test_updates_cost_next_to_nothing():
    import time

    with Progress(100_000, batch_size=1, stream=io.StringIO()) as progress:
        start = time.perf_counter()
        for step in range(20_000):
            progress.update(step, 0.0, lambda: 0.0)
        assert (time.perf_counter() - start) / 20_000 < 20e-6


def test_duration():
    assert [duration(s) for s in (0.4, 59.4, 187, 3723)] == ["0s", "59s", "3:07", "1:02:03"]
