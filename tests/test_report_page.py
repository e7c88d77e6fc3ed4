"""The HTML page: self-contained, safe with any name or value, and alive in a browser."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import pytest
from run_folders import HOSTILE, make_run, make_sweep

from made_exp.reporting.charts import chart_kind, chart_settings, setting_chart, thinned
from made_exp.reporting.discovery import find_runs
from made_exp.reporting.output import report
from made_exp.reporting.page import json_for_script
from made_exp.reporting.run_files import CurvePoint
from made_exp.reporting.summary import make_tables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
]
DRIVER = """
window.onerror = (message) => { document.title = "error: " + message; };
addEventListener("load", () => setTimeout(() => {
  const table = document.querySelector("table.sortable");
  const column = (index) => [...table.tBodies[0].rows].map((row) => row.cells[index].dataset.sort);
  const click = (index) => table.tHead.rows[0].cells[index].querySelector("button").click();
  const plots = Bokeh.documents.flatMap((document) => document.roots());
  const sources = (name) => plots.flatMap((plot) => plot.renderers.filter((r) => r.name === name));
  const drawn = [...document.querySelectorAll(".chart")].map((place) => place.firstElementChild);
  const result = { charts: drawn.filter((view) => view.shadowRoot.childElementCount).length };
  result.heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const index = result.heads.indexOf("test NLL");
  click(index); result.up = column(index);
  click(index); result.down = column(index);
  click(result.heads.indexOf("run")); result.names = column(result.heads.indexOf("run"));
  result.line = sources("valid")[0].data_source.get("xs")[0].length;
  const limits = () => [plots[0].y_range.start, plots[0].y_range.end];
  result.near = limits();
  document.querySelector("input[name=whole]").click();
  result.whole = limits();
  result.train = [sources("train")[0].visible];
  document.querySelector("input[name=train]").click();
  result.train.push(sources("train")[0].visible);
  document.querySelector(".legend li").dispatchEvent(new Event("pointerenter"));
  const valid = sources("valid")[0].data_source;
  result.selected = valid.selected.indices.map((index) => valid.get("run")[index]);
  result.failures = sources("failed").reduce((sum, r) => sum + r.data_source.get_length(), 0);
  result.sideways = document.documentElement.scrollWidth > innerWidth;
  const loaded = performance.getEntriesByType("resource").map((resource) => resource.name);
  result.loaded = loaded.filter((name) => !name.startsWith("data:"));
  document.title = JSON.stringify(result);
}, 1000));
"""
HOVER = """
addEventListener("load", () => setTimeout(() => {
  const plots = Bokeh.documents.flatMap((document) => document.roots());
  const plot = plots.find((plot) => plot.renderers.some((r) => r.name === "runs"));
  const view = Bokeh.index.find_one(plot), { x_scale, y_scale } = view.frame;
  const source = plot.renderers.find((r) => r.name === "runs").data_source;
  const box = view.canvas.events_el.getBoundingClientRect();
  const clientX = box.left + x_scale.compute(source.get("x")[0]);
  const clientY = box.top + y_scale.compute(source.get("nll")[0]);
  const mouse = { clientX, clientY, bubbles: true, composed: true, pointerType: "mouse" };
  for (const kind of ["pointerenter", "pointermove"])
    view.canvas.events_el.dispatchEvent(new PointerEvent(kind, { ...mouse, isPrimary: true }));
  const values = (root) => [...root.querySelectorAll("*")].flatMap((element) => [
    ...("value" in element.dataset && element.closest("div.bk-tooltip-row-value") ? [element] : []),
    ...(element.shadowRoot ? values(element.shadowRoot) : []),
  ]);
  setTimeout(() => {
    const shown = values(document).map((element) => [element.textContent, element.children.length]);
    document.title = JSON.stringify(shown);
  }, 500);
}, 1000));
"""


class Elements(HTMLParser):
    """Start tags with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def hostile_page(tmp_path):
    """A page over runs whose every name and value tries to be markup."""
    root = tmp_path / "runs"
    override = f"notes.why={HOSTILE}"
    bad = {"notes": {"why": HOSTILE}, "overrides": [override], "dataset": f"x{HOSTILE}"}
    make_run(root / "a_<img src=x onerror=alert(1)>", **bad)
    make_run(root / 'b_"quoted"\'', **bad | {"notes": {"why": "</script><b>"}}, nll=81)
    make_run(root / "c_failed", **bad, status="failed")
    (root / "c_failed" / "config.json").unlink()
    return report(root).page.read_text()


def test_markup_in_names_and_values_stays_text(hostile_page):
    elements = Elements(hostile_page)
    assert len(elements.all("script")) == 2
    assert not [e for e in elements.all("img") if not e["src"].startswith("data:image/png;base64,")]
    assert not [e for _, attributes in elements.found for e in attributes if e.startswith("on")]
    assert "<script>alert" not in hostile_page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile_page


def test_data_for_charts_cannot_leave_its_element(hostile_page):
    data = re.search(r'id="data">(.*?)</script>', hostile_page, re.DOTALL).group(1)
    assert not set("<>&") & set(data)
    assert json.loads(data)
    tips = re.findall(r'"why ([^"]*)"', data)
    assert {json.loads(f'"{tip}"') for tip in tips} == {HOSTILE, "</script><b>"}


def test_json_for_script_round_trips():
    content = {"</script><!--": "&lt;\u2028\U0001f600"}
    text = json_for_script(content)
    assert json.loads(text) == content
    assert text.isascii()


def test_policy_allows_this_pages_own_code_only(hostile_page):
    (policy,) = [m["content"] for m in Elements(hostile_page).all("meta") if "http-equiv" in m]
    body = re.findall(r"<script>(.*?)</script>", hostile_page, re.DOTALL)
    (digest,) = [base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() for b in body]
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "style-src": "'unsafe-inline'",  # the charts make rules as they are drawn
        "script-src": f"'sha256-{digest}'",
    }


def test_page_needs_no_network(tmp_path):
    page = report(make_sweep(tmp_path / "s")).page.read_text()
    elements = Elements(page)
    assert not elements.all("link")
    sources = [a.get("src") or a.get("href") for _, a in elements.found]
    assert all(s.startswith(("data:", "#")) for s in sources if s)
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # Bokeh names its home
    assert "http" not in own.replace("http-equiv", "")


def test_page_holds_samples_of_the_best_runs_and_failures(tmp_path):
    page = report(make_sweep(tmp_path / "s")).page.read_text()
    images = Elements(page).all("img")
    assert len(images) == 4
    assert "seed-0_lr-0.001" in images[0]["alt"]
    assert page.count("<details>") == 2
    assert "Traceback (most recent call last)" in page


def test_the_first_picture_of_a_failed_run_is_no_sample_of_the_best(tmp_path):
    make_run(tmp_path / "good")
    picture = make_run(tmp_path / "bad", status="failed") / "samples" / "epoch_0000.png"
    picture.parent.mkdir()
    shutil.copy(tmp_path / "good" / "samples" / "final.png", picture)
    assert len(Elements(report(tmp_path).page.read_text()).all("img")) == 1


def test_a_picture_that_is_none_is_left_out(tmp_path):
    folder = make_run(tmp_path / "a")
    (folder / "samples" / "final.png").write_text("<svg onload=alert(1)>")
    assert not Elements(report(tmp_path).page.read_text()).all("img")


def test_columns_of_the_best_runs_stand_beside_counting(tmp_path):
    folder = make_run(tmp_path / "a")
    make_run(tmp_path / "b", nll=90.0)
    results = json.loads((folder / "results.json").read_text())
    results["test"]["columns"] = {"age": 2.5, HOSTILE: 0.25, "pay": -1.0, "odd": None}
    results["baselines"] = {"independent": 5.0, "columns": {"age": 2.0, HOSTILE: 0.5}}
    (folder / "results.json").write_text(json.dumps(results))
    page = report(tmp_path).page.read_text()
    assert page.count("NLL by column: ") == 1
    assert 'class="worse" style="width: 100.0%"></span><i style="left: 80.0%"></i>' in page
    assert 'class="better" style="width: 10.0%"></span><i style="left: 20.0%"></i>' in page
    assert 'class="better" style="width: 0.0%"></span></td>' in page
    assert HOSTILE not in page
    assert ">odd<" not in page


def test_rates_get_logarithmic_axes(tmp_path):
    for number, lr in enumerate((1e-3, 3e-4)):
        sizes = [[5], [5, 5]][number]
        make_run(tmp_path / str(number), lr=lr, seed=number, hidden_sizes=sizes, epochs=10 + number)
    make_run(tmp_path / "failed", lr=1e30, status="failed")
    runs = find_runs(tmp_path)
    kinds = {key: chart_kind(key, runs) for key in runs[0].settings}
    assert kinds["optimizer.lr"] == "log"
    assert kinds["optimizer.weight_decay"] == "linear"  # only zeros
    assert kinds["seed"] == kinds["trainer.epochs"] == "linear"
    assert kinds["model.hidden_sizes"] == kinds["optimizer.name"] == "band"
    (table,) = make_tables(runs)
    assert [s.key for s in chart_settings(runs)] == [c.key for c in table.settings]


def drawn(chart, name):
    (renderer,) = [r for r in chart.renderers if r.name == name]
    return renderer.data_source.data


@pytest.mark.parametrize(
    ("rates", "places"),
    [((1e-4, 1e-3, 1e-2, 1e-2),) * 2, ((0, 1e-3, 1e-2, 1e-2), ("0", "0.001", "0.01", "0.01"))],
)
def test_nll_is_drawn_at_its_setting_with_its_error(tmp_path, rates, places):
    for number, rate in enumerate(rates):
        make_run(tmp_path / str(number), lr=rate, nll=80 + number)
    make_run(tmp_path / "failed", lr=1e30, status="failed")
    runs = find_runs(tmp_path)
    settings = chart_settings(runs)
    chart = setting_chart(settings[0], runs, settings)
    dots, crosses = drawn(chart, "runs"), drawn(chart, "failed")
    assert dots["x"] == list(places)
    assert dots["nll"].tolist() == [80, 81, 82, 83]
    assert dots["below"].tolist() == [79.75, 80.75, 81.75, 82.75]
    assert dots["above"].tolist() == [80.25, 81.25, 82.25, 83.25]
    assert crosses["x"] == ["1e+30" if 0 in rates else chart.x_range.end]
    assert max(dots["above"]) < crosses["nll"][0] < chart.y_range.end
    if 0 not in rates:
        assert chart.xaxis[0].ticker.ticks == [1e-4, 1e-3, 1e-2]
        assert chart.xaxis[0].major_label_overrides[1e-4] == "0.0001"
    means = chart.renderers[0].data_source.data
    assert (list(means["x"]), list(means["y"])) == (list(places[:3]), [80, 81, 82.5])


def test_long_texts_keep_bands_of_their_own_and_huge_numbers_are_drawn(tmp_path):
    for number in range(2):
        options = {"path": f"/data/{'x' * 60}/{number}.npz", "context": "none"}
        notes = {"scale": [1e-320, 1e199][number]}
        make_run(tmp_path / str(number), notes=notes, dataset_options=options)
    runs = find_runs(tmp_path)
    settings = chart_settings(runs)
    charts = {s.key: setting_chart(s, runs, settings) for s in settings}
    assert len(set(charts["dataset.path"].x_range.factors)) == 2
    assert drawn(charts["notes.scale"], "runs")["x"] == [1e-320, 1e199]


def test_long_curves_are_thinned():
    curve = [CurvePoint(epoch, None, 1.0) for epoch in range(1001)]
    kept = thinned(curve)
    assert len(kept) <= 210
    assert (kept[0].epoch, kept[-1].epoch) == (0, 1000)
    assert thinned([]) == []


def chromium(tmp_path, *arguments):
    profile = tmp_path / "profile"
    command = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=20000",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout


def drive(tmp_path, page, script):
    """What `script` has written into the title of `page`."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    driven = tmp_path / "driven.html"
    driven.write_text(text.replace("<title>", f"<script>{script}</script><title>", 1))
    dom = chromium(tmp_path, "--window-size=1280,900", "--dump-dom", driven.as_uri())
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL).group(1)))


@needs_chromium
def test_page_in_a_browser(tmp_path):
    result = drive(tmp_path, report(make_sweep(tmp_path / "s")).page.read_text(), DRIVER)
    assert result["charts"] == 3  # curves, lr, seed
    numbers = [float(value) for value in result["up"] if value]
    assert numbers == sorted(numbers)
    assert result["up"][4:] == result["down"][4:] == ["", ""]
    assert result["down"][:4] == result["up"][:4][::-1]
    assert result["names"] == sorted(result["names"])
    assert result["line"] == 20
    assert result["near"][1] < result["whole"][1]
    assert result["train"] == [False, True]
    assert result["selected"] == ["lr 0.001 · seed 0"]
    assert result["loaded"] == []
    assert result["failures"] == 4  # two runs in each of two charts
    assert not result["sideways"]


@needs_chromium
def test_hostile_page_in_a_browser_runs_nothing_and_draws(tmp_path, hostile_page):
    path = tmp_path / "page.html"
    path.write_text(hostile_page)
    dom = chromium(tmp_path, "--dump-dom", path.as_uri())
    assert dom.count('class="bk-Figure"') >= 2
    assert "<title>Report on runs</title>" in dom


@needs_chromium
def test_what_is_under_the_pointer_is_named_in_text(tmp_path, hostile_page):
    (name, *others) = drive(tmp_path, hostile_page, HOVER)
    assert name == [f"why {HOSTILE}", 0]
    assert others == [["80.0000 ± 0.2500 nats", 0], ["80.1000 nats", 0], ["completed", 0]]


@needs_chromium
def test_screenshot(tmp_path):
    page = report(make_sweep(tmp_path / "s")).page
    picture = tmp_path / "page.png"
    chromium(tmp_path, "--window-size=1280,2400", f"--screenshot={picture}", page.as_uri())
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size == (1280, 2400)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
