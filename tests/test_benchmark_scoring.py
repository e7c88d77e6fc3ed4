"""The benchmark of scoring: the start is told apart from what each row costs."""

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture
def scoring(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarks import scoring

    return scoring


def test_the_start_is_no_part_of_what_a_row_costs(scoring):
    rates = scoring.rates([[(100, 3.0), (400, 7.0)], [(100, 2.5), (400, 5.5)]])
    assert rates["rows_per_second"] == pytest.approx(100)
    assert rates["start_seconds"] == pytest.approx(1.5)
    assert rates["rows_per_second_with_start"] == pytest.approx(400 / 5.5)


def test_the_file_is_there_as_often_as_is_asked(scoring, tmp_path):
    data = tmp_path / "rows.csv.gz"
    data.write_bytes(b"")
    folder = scoring._copies(data, tmp_path, 3)
    assert [path.name for path in sorted(folder.iterdir())] == [f"{n}.csv.gz" for n in range(3)]
    assert all(path.resolve() == data for path in folder.iterdir())
