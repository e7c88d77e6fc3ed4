"""The HTML page: self-contained, safe with any name or value, and alive in a browser."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from run_folders import HOSTILE, make_run, make_sweep

from made_exp.reporting.by_column import column_chart, column_table
from made_exp.reporting.charts import setting_chart
from made_exp.reporting.curves import thinned
from made_exp.reporting.discovery import find_runs
from made_exp.reporting.output import report
from made_exp.reporting.page import json_for_script
from made_exp.reporting.run_files import CurvePoint
from made_exp.reporting.summary import make_tables
from made_exp.reporting.swept import chart_kind, chart_settings

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
    "--enable-logging=stderr",
]
DRIVER = """
const errors = [];
window.onerror = (message) => errors.push(message);
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
const after = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
addEventListener("load", async () => {
  await after(1000);
  const table = document.querySelector("table.sortable");
  const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const column = (index) => rows().map((row) => row.cells[index].dataset.sort);
  const click = (index) => table.tHead.rows[0].cells[index].querySelector("button").click();
  const plots = Bokeh.documents.flatMap((document) => document.roots());
  const sources = (name) => plots.flatMap((plot) => plot.renderers.filter((r) => r.name === name));
  const drawn = [...document.querySelectorAll(".chart")].map((place) => place.firstElementChild);
  const charts = drawn.filter((view) => view.shadowRoot.childElementCount).length;
  const result = { errors, charts };
  result.heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const index = result.heads.indexOf("test NLL");
  click(index); result.up = column(index);
  click(index); result.down = column(index);
  click(result.heads.indexOf("run")); result.names = column(result.heads.indexOf("run"));
  result.line = sources("valid")[0].data_source.get("xs")[0].length;
  const curves = plots.find((plot) => plot.renderers.some((r) => r.name === "valid"));
  const limits = () => [curves.y_range.start, curves.y_range.end];
  result.near = limits();
  document.querySelector("input[name=whole]").click();
  result.whole = limits();
  result.train = [sources("train")[0].visible];
  document.querySelector("input[name=train]").click();
  result.train.push(sources("train")[0].visible);
  const valid = sources("valid")[0].data_source;
  const selected = () => valid.selected.indices.map((index) => valid.get("run")[index]);
  document.querySelector(".curves .legend li").dispatchEvent(new Event("pointerenter"));
  result.selected = selected();
  document.querySelector(".curves .legend li").dispatchEvent(new Event("pointerleave"));
  result.unselected = selected();
  const input = document.querySelector("input[type=search]");
  const type = async (text) => {
    input.value = text;
    input.dispatchEvent(new Event("input"));
    await after(50);
    return [rows().length, input.nextElementSibling.textContent, selected().length];
  };
  result.filtered = {};
  for (const text of TYPED) result.filtered[text] = await type(text);
  result.muted = sources("valid")[0].muted;
  await type("");
  // A box over the first axis, from below its middle to its lower end.
  const plot = plots.find((plot) => plot.tags.includes("seed"));
  const view = Bokeh.index.find_one(plot), { x_scale, y_scale } = view.frame;
  const place = view.canvas.events_el, box = place.getBoundingClientRect();
  place.setPointerCapture = () => {};
  const point = (kind, x, y) => place.dispatchEvent(new PointerEvent(kind, {
    clientX: box.left + x_scale.compute(x), clientY: box.top + y_scale.compute(y), bubbles: true,
    composed: true, pointerType: "mouse", isPrimary: true, pointerId: 1, buttons: 1,
  }));
  point("pointerenter", -0.2, 0.4); point("pointerdown", -0.2, 0.4);
  for (const share of [0.2, 0.5, 1]) point("pointermove", -0.2 + 0.4 * share, 0.4 - 0.4 * share);
  point("pointerup", 0.2, 0.0);
  await after(200);
  result.brushed = [input.value, rows().length, selected().length];
  result.failures = sources("failed").reduce((sum, r) => sum + r.data_source.get_length(), 0);
  const links = [...document.querySelectorAll("td.run a")];
  result.links = links.map((link) => link.getAttribute("href"));
  result.sideways = document.documentElement.scrollWidth > innerWidth;
  const loaded = performance.getEntriesByType("resource").map((resource) => resource.name);
  result.loaded = loaded.filter((name) => !name.startsWith("data:"));
  document.title = JSON.stringify(result);
});
"""
TYPED = {
    "lr<0.0005": 2,
    "lr=0.001|0.0003 seed=1": 2,
    '"test NLL">=81': 3,
    "test_nll<81": 1,
    "seed!=0": 3,
    "failed": 2,
    "STATUS=Completed 001_seed": 1,
    "nothing-has-this": 0,
}
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
    assert all(s.startswith(("data:", "#", "./0")) for s in sources if s)
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
    assert page.count("<h3>NLL by column") == 2  # chart and table
    assert HOSTILE not in page
    assert ">odd<" not in page
    runs = find_runs(tmp_path)
    table = column_table(runs, {run.name: run.name for run in runs})
    assert [row.cells["column"] for row in table.rows] == ["age", HOSTILE, "pay"]
    assert [column.title for column in table.columns] == ["column", "a", "by counting"]
    counting, dots = (r.data_source.data for r in column_chart(table).renderers)
    assert counting["nll"] == [2.0, 0.5]
    assert dots["nll"] == [2.5, 0.25, -1.0]
    assert dots["band"] == ["1. age", f"2. {HOSTILE}", "3. pay"]


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
    (tmp_path / "chromium.log").write_text(done.stderr)
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout


def drive(tmp_path, page, script):
    """What `script` has written into the title of `page`."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    script = f"const TYPED = {json.dumps(list(TYPED))};{script}"
    driven = tmp_path / "driven.html"
    driven.write_text(text.replace("<title>", f"<script>{script}</script><title>", 1))
    dom = chromium(tmp_path, "--window-size=1280,900", "--dump-dom", driven.as_uri())
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL).group(1)))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The folder of a sweep with its page."""
    folder = make_sweep(tmp_path_factory.mktemp("page") / "s")
    report(folder)
    return folder


@pytest.fixture(scope="module")
def driven(swept):
    """What `DRIVER` has found in the page of a sweep."""
    return drive(swept.parent, (swept / "report.html").read_text(), DRIVER)


@needs_chromium
def test_page_in_a_browser(driven, swept):
    result = driven
    assert result["errors"] == []
    assert result["charts"] == 4  # all settings, curves, lr, seed
    numbers = [float(value) for value in result["up"] if value]
    assert numbers == sorted(numbers)
    assert result["up"][4:] == result["down"][4:] == ["", ""]
    assert result["down"][:4] == result["up"][:4][::-1]
    assert result["names"] == sorted(result["names"])
    assert result["line"] == 20
    assert result["near"][1] < result["whole"][1]
    assert result["train"] == [False, True]
    assert result["selected"] == ["lr 0.001 · seed 0"]
    assert result["unselected"] == []
    assert result["loaded"] == []
    assert result["failures"] == 6  # two runs in each of three charts
    assert not result["sideways"]
    assert all((swept / unquote(link)).is_dir() for link in result["links"])


@needs_chromium
def test_rows_and_charts_are_filtered_by_typing_and_by_a_box_over_an_axis(driven):
    counts = {text: kept for text, (kept, _, _) in driven["filtered"].items()}
    assert counts == TYPED
    for text, (kept, told, in_curves) in driven["filtered"].items():
        assert told == f"{kept} of 6"
        assert in_curves <= kept
        assert in_curves == kept or "failed" in text or "seed!=0" in text
    assert driven["muted"]
    assert driven["brushed"] == ["lr=0.0003", 2, 2]


@needs_chromium
def test_hostile_page_in_a_browser_runs_nothing_and_draws(tmp_path, hostile_page):
    path = tmp_path / "page.html"
    path.write_text(hostile_page)
    dom = chromium(tmp_path, "--dump-dom", path.as_uri())
    assert dom.count('class="bk-Figure"') >= 2
    assert "<title>Report on runs</title>" in dom
    log = (tmp_path / "chromium.log").read_text()
    said = [line for line in log.splitlines() if "CONSOLE" in line and "[bokeh" not in line]
    assert said == []


@needs_chromium
def test_what_is_under_the_pointer_is_named_in_text(tmp_path, hostile_page):
    (name, *others) = drive(tmp_path, hostile_page, HOVER)
    assert name == [f"why {HOSTILE}", 0]
    shown = ["80.0000 ± 0.2500 nats", "80.1000 nats", "completed", "a_<img src=x onerror=alert(1)>"]
    assert others == [[text, 0] for text in shown]


@needs_chromium
def test_screenshot(tmp_path):
    page = report(make_sweep(tmp_path / "s")).page
    picture = tmp_path / "page.png"
    chromium(tmp_path, "--window-size=1280,2400", f"--screenshot={picture}", page.as_uri())
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size == (1280, 2400)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
