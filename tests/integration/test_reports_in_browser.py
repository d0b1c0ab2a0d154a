"""``report.html`` in a real browser without a network: drawn in both themes and on a phone, sorted, printed, usable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dialect_servers import answering
from loadgen_servers import STREAM_HEAD, hang_up, saying, serving
from playwright.sync_api import Browser

from servemark.cli import main
from servemark.environments.chart_library import chart_library
from servemark.report.html.charts import Chart
from servemark.report.html.page import Block, Page, RunCharts, Section, page_text

from ..browser import axe_core, chromium, grave_faults, opened
from ..validity import until_valid

pytestmark = pytest.mark.slow
#: An answer of two tokens, of a server that closes its connection behind it.
TOKENS = (
    STREAM_HEAD + b"Connection: close\r\n\r\n",
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}],"usage":{"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
)
#: What axe-core asks of colours, which is all that is another in the other theme.
COLOURS = ("color-contrast", "link-in-text-block")
HOSTILE = "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=2>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, Path]:
    """Real results: of a closed loop, a profile of rates, a search, failures, and words of others'."""
    folder = tmp_path_factory.mktemp("reports")
    answers = {"GET /": (200, b"OK"), "GET /no": (500, HOSTILE.encode())}
    with answering(answers, service_s=0.002) as port:
        url = f"http://127.0.0.1:{port}"
        for name, words in {
            "closed": f"run http {url}/ -t 2 --duration 2 --warmup 0.5 --slo p99<1s",
            "rates": f"run http {url}/ --rate 20,60,40/1s --arrival poisson --warmup 0.5",
            "search": f"capacity http {url}/ --slo p90<500ms --by threads --search-budget 8 --duration 1 --warmup 0.2",
            "failing": f"run http {url}/no?{HOSTILE.replace(' ', '%20')} -t 1 -l 20 --max-errors 100%",
        }.items():
            until_valid([*words.split(), "--no-history"], folder / name)
        with serving(saying(*TOKENS, then=hang_up)) as server:
            words = f"run http http://127.0.0.1:{server.port}/ -t 4 -l 30 --tokens openai --no-history"
            until_valid(words.split(), folder / "tokens")
        until_valid(["run", "http", f"{url}/", "-t", "2", "--duration", "2", "--warmup", "0.5"], folder / "again")
    found = {path.name: path / "report.html" for path in folder.iterdir()}
    pages = {"comparison": folder / "comparison.html", "history": folder / "history.html"}
    main(
        ["compare", str(folder / "closed"), str(folder / "again"), "--force", "--html", str(pages["comparison"])],
        "servemark",
    )
    main(["history", "trend", "--html", str(pages["history"])], "servemark")
    return found | pages


@pytest.mark.parametrize("name", ["closed", "rates", "search", "failing", "tokens", "comparison", "history"])
@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 400)], ids=["light", "dark-phone"])
def test_every_chart_is_drawn_and_nothing_is_asked_for(browser, reports, name, dark, width):
    with opened(browser, reports[name], dark=dark, width=width) as found:
        assert found.said == []
        assert found.asked == []
        drawn, places = found.charts
        assert drawn == places
        assert places >= 1
        assert found.width <= width
        assert found.page.evaluate("window.hurt") is None


def test_the_theme_is_the_readers(browser, reports):
    colours = []
    for dark in (False, True):
        with opened(browser, reports["closed"], dark=dark) as found:
            page = found.page
            ink = "getComputedStyle(document.querySelector('.chart svg path[stroke*=\"series-1\"]')).stroke"
            colours.append((page.evaluate("getComputedStyle(document.body).backgroundColor"), page.evaluate(ink)))
    (light_page, light_line), (dark_page, dark_line) = colours
    assert light_page == "rgb(255, 255, 255)"
    assert light_page != dark_page
    assert light_line != dark_line


def test_what_is_printed_is_light_and_has_the_charts(browser, reports):
    with opened(browser, reports["closed"], dark=True) as found:
        found.page.emulate_media(media="print", color_scheme="dark")
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert len(found.page.pdf()) > 50_000
        assert found.charts[0] >= 1


def test_a_table_of_steps_sorts_by_number(browser, reports):
    with opened(browser, reports["search"]) as found:
        table = found.page.locator("table.sorts")
        column = table.locator("thead th").all_inner_texts().index("measured")
        button = table.locator("thead th button").nth(column)
        orders = []
        for _ in range(2):
            button.click()
            cells = table.locator(f"tbody tr > *:nth-child({column + 1})").all_inner_texts()
            orders.append([int(cell.replace(",", "")) for cell in cells])
        assert orders[0] == sorted(orders[0])
        assert orders[1] == orders[0][::-1]
        assert len(set(orders[0])) > 1
        assert table.locator("thead th").nth(column).get_attribute("aria-sort") == "descending"


def test_a_table_sorts_where_nothing_is_drawn_too(browser, tmp_path):
    steps = Block(headings=("step", "measured"), rows=(("a", "10"), ("b", "9"), ("c", "1,000")))
    page = tmp_path / "report.html"
    section = Section(title="x", answers=(), steps=steps)
    page.write_text(page_text(Page(title="x", kind="result", sections=(section,)), ""))
    with opened(browser, page) as found:
        found.page.locator("thead th button").nth(1).click()
        assert found.page.locator("tbody tr > *:nth-child(2)").all_inner_texts() == ["9", "10", "1,000"]
        assert found.said == []


def test_a_table_sorts_by_the_numbers_within_words(browser, tmp_path):
    points = ("threads 1", "threads 16", "threads 2", "batch_size 16, workers 1", "batch_size 8, workers 2", "-", "1.5")
    steps = Block(headings=("point",), rows=tuple((point,) for point in points))
    page = tmp_path / "report.html"
    section = Section(title="x", answers=(), steps=steps)
    page.write_text(page_text(Page(title="x", kind="result", sections=(section,)), ""))
    with opened(browser, page) as found:
        found.page.locator("thead th button").click()
        assert found.page.locator("tbody tr > *").all_inner_texts() == [
            *(
                "1.5",
                "-",
                "batch_size 8, workers 2",
                "batch_size 16, workers 1",
                "threads 1",
                "threads 2",
                "threads 16",
            ),
        ]


def test_charts_of_runs_that_nobody_opened_are_on_paper_too(browser, tmp_path):
    encoding = {"x": {"field": "a", "type": "quantitative"}}
    chart = Chart("t", "d", {"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": encoding}, (), ())
    section = Section(title="x", answers=(), runs=(RunCharts("one", (chart, chart)), RunCharts("two", (chart,))))
    page = tmp_path / "report.html"
    page.write_text(page_text(Page(title="x", kind="result", sections=(section,)), chart_library()))
    with opened(browser, page) as found:
        drawn = "document.querySelectorAll('details.run .chart svg path').length > 0"
        found.page.evaluate(f"window.addEventListener('afterprint', () => {{ window.printed = {drawn} }})")
        assert found.page.evaluate(drawn) is False
        found.page.pdf()
        assert found.page.evaluate("window.printed") is True
        assert found.charts == (3, 3)


def test_times_of_tokens_have_charts_and_a_table(browser, reports):
    with opened(browser, reports["tokens"]) as found:
        titles = found.page.locator("figcaption").all_inner_texts()
        assert titles[-4] == "First token over time"
        assert titles[-1] == "Why answers ended"
        table = found.page.locator("h3", has_text="Tokens").locator("xpath=following-sibling::div[1]//tbody/tr/th")
        assert table.all_inner_texts() == ["first token", "per output token", "longest gap", "tail", "between content"]


def test_the_time_of_a_run_is_drawn_when_it_is_opened(browser, reports):
    with opened(browser, reports["search"]) as found:
        before = found.charts
        found.page.locator("details.run > summary").first.click()
        found.page.wait_for_selector("details.run[open] .chart[data-drawn] svg", timeout=120_000)
        found.page.wait_for_function("!document.querySelector('details.run[open] .chart:not([data-drawn])')")
        drawn, places = found.charts
        assert drawn == places
        assert places > before[1]
        assert found.said == []


@pytest.mark.parametrize(("dark", "rules"), [(False, ()), (True, COLOURS)], ids=["light", "dark"])
def test_everybody_can_use_it(browser, reports, tmp_path_factory, dark, rules):
    axe = axe_core(tmp_path_factory.mktemp("axe"))
    for name in ("closed", "search", "failing", "tokens", "comparison"):
        with opened(browser, reports[name], dark=dark) as found:
            runs = found.page.locator("details.run").all()
            for part in found.page.locator("details:not(.run)").all() + runs[:2]:  # those of a search are all alike
                part.evaluate("one => one.open = true")
            assert grave_faults(found.page, axe, rules) == [], name
