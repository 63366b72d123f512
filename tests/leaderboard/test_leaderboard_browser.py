"""The report in headless Chromium, from disk: sorting, filtering, keyboard, dark mode, phone, no errors, speed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deocc_bench.core import images
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.leaderboard.build import LeaderboardRequest, make

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra `test`)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium and chromedriver on this machine"),
]
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    yield driver
    driver.quit()


def view(driver: Any, page: Path, width: int = 1280, dark: bool = False) -> float:
    """Open the page; returns the seconds until it is loaded and drawn."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    start = time.perf_counter()
    driver.get(page.as_uri())
    return time.perf_counter() - start


def names(driver: Any) -> list[str]:
    return driver.execute_script(
        "return [...document.querySelectorAll('.board tbody tr')].filter(r => !r.hidden)"
        ".map(r => r.querySelector('.name').textContent)"
    )


def errors(driver: Any) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def page(make_run: Any, tmp_path: Path) -> Path:
    runs = tuple(make_run(f"method {c}", q, seed=k) for k, (c, q) in enumerate(zip("abcd", (0.2, 0.0, 0.1, 0.3))))  # noqa: B905
    make(LeaderboardRequest(runs, tmp_path / "out", figures=False))
    return tmp_path / "out/leaderboard.html"


def test_sorts_and_filters_by_keyboard(browser: Any, page: Path) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    view(browser, page)
    assert names(browser) == ["method d", "method a", "method c", "method b"]
    button = browser.find_element("css selector", ".board th:nth-child(3) button")
    head = button.find_element("xpath", "./..")
    assert head.get_attribute("aria-sort") == "descending"
    button.send_keys(keys.ENTER)
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(browser) == ["method b", "method c", "method a", "method d"]
    browser.find_element("css selector", ".board th:nth-child(2) button").send_keys(keys.SPACE)
    assert head.get_attribute("aria-sort") == "none"
    assert names(browser) == ["method a", "method b", "method c", "method d"]
    browser.find_element("css selector", ".filter").send_keys("c")
    assert names(browser) == ["method c"]
    assert browser.find_element("css selector", ".bar .count").text == "1 of 4 runs"
    toggle = browser.find_element("css selector", ".intervals")
    toggle.send_keys(keys.SPACE)
    assert toggle.get_attribute("aria-pressed") == "false"
    assert not browser.find_element("css selector", ".ci").is_displayed()
    assert errors(browser) == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_fits_and_follows_the_colour_scheme(browser: Any, page: Path, width: int, dark: bool) -> None:
    view(browser, page, width, dark)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    channels = browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (max(channels) < 60) == dark
    contrast = browser.execute_script(
        """
        const part = (v) => v <= 10 ? v / 3294.6 : ((v / 255 + .055) / 1.055) ** 2.4;
        const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(part);
          return .2126 * r + .7152 * g + .0722 * b; };
        const back = light(getComputedStyle(document.body).backgroundColor);
        return [...document.querySelectorAll('h1, .quiet, .name, .v, .ci, thead button, .notes, a')]
          .filter((e) => e.offsetParent)
          .map((e) => { const l = light(getComputedStyle(e).color);
            return (Math.max(l, back) + .05) / (Math.min(l, back) + .05); }).sort((a, b) => a - b)[0];
        """
    )
    assert contrast >= 4.5
    # At half a pixel the sticky cells, painted apart, cover the lines between rows.
    tops = browser.execute_script(
        "return [...document.querySelectorAll('.board tr')].map(r => r.offsetTop % 1 || "
        "r.getBoundingClientRect().height % 1)"
    )
    assert set(tops) == {0}
    assert errors(browser) == []


def test_can_be_used_by_ear(browser: Any, page: Path) -> None:
    view(browser, page)
    unnamed = browser.execute_script(
        """
        return [...document.querySelectorAll('button, input, select, [role=img], [role=region], img')].filter((e) =>
          !(e.getAttribute('aria-label') || e.textContent.trim() || e.tagName === 'IMG' && e.hasAttribute('alt')
            || (e.labels && e.labels.length))).map((e) => e.outerHTML.slice(0, 80));
        """
    )
    assert unnamed == []
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    broken = browser.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].filter((a) => !document.querySelector(a.hash)).length"
    )
    assert broken == 0


def test_charts_matrix_and_samples_are_drawn(browser: Any, page: Path) -> None:
    view(browser, page)
    for panel in (".forest", ".pareto", ".breakdown"):
        assert (
            browser.execute_script(
                f"return document.querySelectorAll('{panel} .chart svg path, {panel} .chart svg circle').length"
            )
            >= 4
        )
    browser.execute_script("document.querySelector('.samples').scrollIntoView()")
    deadline = time.time() + 10
    while time.time() < deadline and not browser.find_elements("css selector", ".card"):
        time.sleep(0.05)
    assert len(browser.find_elements("css selector", ".card")) == 6
    shown = browser.find_elements("css selector", ".card h4")[0].text
    browser.find_element("css selector", ".order").send_keys("best")
    assert browser.find_elements("css selector", ".card h4")[0].text != shown
    browser.execute_script("document.querySelector('.more').click()")
    assert len(browser.find_elements("css selector", ".card")) == 18
    cell = browser.find_elements("css selector", ".matrix button")[0]
    assert "better" in cell.get_attribute("aria-label")
    browser.execute_script("arguments[0].click()", cell)
    assert "95 % interval" in browser.find_element("css selector", ".picked").text
    assert errors(browser) == []


def test_hostile_names_do_nothing(browser: Any, make_run: Any, tmp_path: Path) -> None:
    bad = ["<script>window.hit = 1</script>", "</script><script>window.hit = 1</script>", "<img src=x onerror='hit=1'>"]
    runs = tuple(make_run(name, k / 10, seed=k, dataset={"name": bad[0]}) for k, name in enumerate(bad))
    make(LeaderboardRequest(runs, tmp_path / "out", title=bad[1], figures=False))
    view(browser, tmp_path / "out/leaderboard.html")
    assert browser.execute_script("return window.hit") is None
    assert set(names(browser)) == {n if len(n) <= 40 else n[:39] + "…" for n in bad}
    assert errors(browser) == []


@pytest.fixture
def pictured(make_run: Any, tmp_path: Path) -> tuple[Path, Any]:
    """A dataset of two samples with a run that has predictions."""
    from deocc_bench.core import masks
    from deocc_bench.core.files import atomic_write
    from deocc_bench.core.json_files import dump_json

    root = tmp_path / "data"
    amodal = np.zeros((64, 48), bool)
    amodal[8:60, 10:40] = True
    modal = amodal & (np.arange(48) < 28)
    entries: dict[str, list[Any]] = {"images": [], "annotations": []}
    run = make_run("painter", n=4)
    for k, sample in enumerate(("h0000-v0", "h0001-v1")):
        images.write_png(root / f"images/test/{sample}.png", np.full((64, 48, 3), 90 + k, np.uint8))
        images.write_png(run / f"predictions/masks/{sample}.png", np.roll(amodal, 3, axis=1))
        entries["images"].append(
            {"id": k, "file_name": f"images/test/{sample}.png", "height": 64, "width": 48, "group_id": sample}
        )
        entries["annotations"].append(
            {
                "id": k,
                "image_id": k,
                "sample_id": sample,
                "segmentation": masks.encode(amodal),
                "visible_mask": masks.encode(modal),
                "occlude_rate": 0.4,
            }
        )
    atomic_write(root / "annotations/test.json", dump_json(entries))
    atomic_write(root / "dataset.json", dump_json({"schema_version": 1, "name": "people", "fingerprint": "f" * 64}))
    return run, DatasetReader(root)


@pytest.mark.parametrize("link", [False, True])
def test_pictures_embedded_and_linked(browser: Any, pictured: Any, tmp_path: Path, link: bool) -> None:
    run, dataset = pictured
    out = tmp_path / f"out-{link}"
    make(LeaderboardRequest((run,), out, datasets=(dataset,), link=link, figures=False))
    moved = tmp_path / "moved elsewhere"
    shutil.move(out, moved)
    view(browser, moved / "leaderboard.html")
    browser.execute_script("document.querySelector('.samples').scrollIntoView()")
    script = (
        "return [...document.querySelectorAll('.shot img')]"
        ".map((i) => [i.complete && i.naturalWidth, i.src.slice(0, 5)])"
    )
    deadline = time.time() + 10
    while time.time() < deadline and (
        len(browser.execute_script(script)) < 10 or not all(w for w, _ in browser.execute_script(script))
    ):
        time.sleep(0.05)
    found = browser.execute_script(script)
    assert len(found) == 10
    assert all(width for width, _ in found)
    assert {source for _, source in found} == {"file:" if link else "data:"}
    slider = browser.find_element("css selector", ".reveal input")
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    slider.send_keys(keys.HOME)
    assert browser.execute_script("return getComputedStyle(document.querySelector('.card .layer')).opacity") == "0"
    assert errors(browser) == []


def test_budget_of_pictures_is_kept(pictured: Any, tmp_path: Path) -> None:
    run, dataset = pictured
    make(LeaderboardRequest((run,), tmp_path / "none", datasets=(dataset,), embed_bytes=0, figures=False))
    assert "data:image" not in (tmp_path / "none/leaderboard.html").read_text()


def test_fifty_methods_and_a_thousand_samples(browser: Any, make_run: Any, tmp_path: Path) -> None:
    runs = tuple(make_run(f"method {k:02d}", k / 200, n=1000, seed=k) for k in range(50))
    made = time.perf_counter()
    make(LeaderboardRequest(runs, tmp_path / "out", figures=False))
    print(f"made in {time.perf_counter() - made:.1f} s")
    page = tmp_path / "out/leaderboard.html"
    assert page.stat().st_size < 10 * 2**20
    opened = min(view(browser, page) for _ in range(3))
    sort = """
        const button = document.querySelector('.board th:nth-child(3) button'), start = performance.now();
        button.click(); document.body.offsetHeight; return (performance.now() - start) / 1000;
    """
    sorted_in = min(browser.execute_script(sort) for _ in range(3))
    print(f"{page.stat().st_size / 2**20:.2f} MiB, opened in {opened:.2f} s, sorted in {sorted_in:.3f} s")
    assert opened < 1.0
    assert sorted_in < 0.2
