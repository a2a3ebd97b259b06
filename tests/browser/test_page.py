"""The page in a browser: what it shows is what Python computes, whatever the texts hold."""

import json
import math

import numpy as np
import orjson
import pytest
import torch
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from rvpo_verl.core import RewardBatch, Settings, aggregations, compute
from rvpo_verl.report.content import Limits, gather
from rvpo_verl.report.page import render
from rvpo_verl.report.read import find_run
from rvpo_verl.report.select import conflicts
from tests.support import report_run
from tests.support.report_run import answer, write_dump, write_run

pytestmark = pytest.mark.browser


def make(folder, *runs, change=lambda index: None, **limits):
    content = gather([find_run(run) for run in runs], Limits(**limits))
    index = orjson.loads(content.index)
    change(index)
    content = type(content)(**{**vars(content), "index": orjson.dumps(index)})
    path = folder / "report.html"
    path.write_text(render(content, "test"), encoding="utf-8")
    return path


def wait(browser, condition):
    return WebDriverWait(browser, 20, poll_frequency=0.05).until(condition)


def text_at(browser, selector):
    """Read at once: an element may be replaced between finding and reading it."""
    return browser.execute_script("return document.querySelector(arguments[0])?.textContent", selector)


def group_of(browser, g):
    return browser.execute_script("return app.report.group(arguments[0])", g)


def number(value, digits=2, sign=False):
    text = f"{value:.{digits}f}"
    text = text.replace("-", "") if float(text) == 0 else text
    return ("+" if sign and float(text) > 0 else "") + text.replace("-", "\N{MINUS SIGN}")


def expected_cells(group, **settings):
    """Texts of the table of a group, computed by the modules that train."""
    vectors = [
        report_run.RewardVector(
            dict(zip(group["names"], row, strict=True)), dict(zip(group["names"], weights, strict=True))
        )
        for row, weights in zip(group["rewards"], group["weights"], strict=True)
    ]
    batch = RewardBatch.from_vectors(vectors, np.zeros(len(vectors)), torch.ones(len(vectors)))
    context = aggregations.AggregationContext(settings.get("k", 2.0))
    result = compute(batch, Settings(**settings, whitening="none"))
    mean = compute(batch, Settings(aggregation=aggregations.mean, whitening="none"))
    steps = result.steps
    share_BM = aggregations.shares(
        settings.get("aggregation", aggregations.softmin), steps.standardized.z_BM, steps.weight_BM, context
    )
    scores = np.array(group["scores"])
    grpo = (scores - scores.mean()) / (scores.std(ddof=1) + 1e-6)
    cells = {}
    for i, row in enumerate(group["rewards"]):
        for j, raw in enumerate(row):
            z, share = steps.standardized.z_BM[i, j].item(), share_BM[i, j].item()
            percent = math.floor(100 * share + 0.5)
            cells[i, j] = "missing" if raw is None else f"{number(raw)} {number(z, sign=True)} {percent}%"
        cells[i, "rvpo"] = number(result.advantages_B[i].item(), 3, True)
        cells[i, "gdpo"] = number(mean.advantages_B[i].item(), 3, True)
        cells[i, "grpo"] = number(grpo[i], 3, True)
        opposite = [
            name for name, value in (("gdpo", mean.advantages_B[i].item()), ("grpo", grpo[i]))
            if value * result.advantages_B[i].item() < 0
        ]  # fmt: skip
        for name in opposite:
            cells[i, name] += " ⇄"
    return cells


def shown_cells(browser):
    rows = browser.execute_script("""
        const text = (element) => [...element.childNodes].map((node) => node.textContent).filter(Boolean).join(" ");
        return [...document.querySelectorAll("#answers tbody tr")].flatMap((row) =>
          [...row.querySelectorAll("td")].map((cell) => [Number(row.dataset.row),
            cell.dataset.advantage ?? Number(cell.dataset.reward), text(cell)]));
    """)
    return {(i, what): text for i, what, text in rows if what != "trained"}


def move_slider(browser, place, event="input"):
    browser.execute_script(
        "const s = document.getElementById('slider'); s.value = arguments[0];"
        "s.dispatchEvent(new Event(arguments[1]));",
        place, event,
    )  # fmt: skip
    return float(browser.find_element("id", "k").get_attribute("value").replace("∞", "inf"))


def type_k(browser, text):
    field = browser.find_element("id", "k")
    field.send_keys(Keys.CONTROL + "a" + Keys.NULL + text + Keys.TAB)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def test_the_numbers_of_a_group_are_those_of_python_at_every_k(run, tmp_path, open_page):
    for g in (12, 19, 25):  # behind those of validation
        browser = open_page(make(tmp_path, run), f"#view=group&group={g}")
        group = group_of(browser, g)
        assert shown_cells(browser) == expected_cells(group)
        for place in (0, 20, 55.5, 100):
            k = move_slider(browser, place)
            assert shown_cells(browser) == expected_cells(group, k=k)
        for text, k in (("0.75", 0.75), ("inf", math.inf)):
            type_k(browser, text)
            wait(
                browser, lambda browser, group=group, k=k: shown_cells(browser) == expected_cells(group, k=k)
            )
        browser.find_element("id", "reset").click()
        wait(browser, lambda browser, group=group: shown_cells(browser) == expected_cells(group))


def test_a_wrong_number_is_noticed(run, tmp_path, open_page):
    browser = open_page(make(tmp_path, run), "#view=group&group=12")
    expected = expected_cells(group_of(browser, 12))

    def change(index):
        first = 12 * len(report_run.NAMES)  # the groups of validation have one answer each
        index["answers"]["rewards"][first] = (index["answers"]["rewards"][first] or 0.0) + 0.25

    browser = open_page(make(tmp_path, run, change=change), "#view=group&group=12")
    assert shown_cells(browser) != expected


def test_the_aggregation_can_be_changed(run, tmp_path, open_page):
    browser = open_page(make(tmp_path, run), "#view=group&group=12&aggregation=mean&center=0")
    group = group_of(browser, 12)
    expected = expected_cells(group, aggregation=aggregations.mean, center_groups=False)
    expected = {key: text for key, text in expected.items() if key[1] != "gdpo"}  # it is centered
    assert {key: text for key, text in shown_cells(browser).items() if key[1] != "gdpo"} == expected


def test_groups_are_sorted_by_the_disagreement_that_python_computes(run, tmp_path, open_page):
    browser = open_page(make(tmp_path, run), "#view=conflicts&order=disagreement&kind=training")
    order = browser.execute_script("return app.order")
    answers = []
    for g in order:
        group = group_of(browser, g)
        vectors = [
            report_run.RewardVector(dict(zip(group["names"], row, strict=True))) for row in group["rewards"]
        ]
        answers.append([type("Answer", (), {"vector": vector}) for vector in vectors])
    values = list(conflicts(answers))
    assert values == sorted(values, reverse=True) and values[0] > values[-1]
    shown = browser.find_elements("css selector", "#list .row")
    assert number(values[0]) in shown[0].text


def test_neglect_is_a_high_sum_with_one_reward_at_the_bottom(tmp_path, open_page):
    harmless = [answer("fine", n, {"a": n, "b": n}) for n in range(4)]
    # The last answer has the highest sum by far and is the only one without b.
    neglected = [
        answer("bad", n, {"a": 9.0 if n == 3 else 0.0, "b": 0.0 if n == 3 else 1.0}) for n in range(4)
    ]
    write_dump(tmp_path / "run/rollouts/1.jsonl", [*harmless, *neglected])
    browser = open_page(make(tmp_path, tmp_path / "run"), "#view=conflicts")
    first, second = browser.find_elements("css selector", "#list .row")
    wait(browser, lambda _: "Question bad" in first.text)
    assert "1.50" in first.text and "b" in first.text.split("\n")
    assert "0.00" in second.text
    browser = open_page(tmp_path / "report.html", "#view=group")
    assert browser.find_element("css selector", "#answer h3").text.startswith("Answer #4")
    assert "⇄" in browser.find_element("css selector", "tr.current [data-advantage=grpo]").text


HOSTILE = {
    "markup": "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>",
    "end of the script": "</script><script>window.hacked=1</script><!-- --> ]]> {{ 7*7 }} &lt;b&gt;",
    "a template": "${window.hacked=1} `+window.hacked+`",
    "control characters": "a\x00b\x1b[31mc\x07\x7f\x85",
    "turned around": "abc \u202etxt.exe\u202c \u2066x\u2069 \ufeff\u200b",
    "tags without end": "<think>" * 3000 + "<tool_call>{\"name\": ",
    "a strange call":
        '<tool_call>{"name": "<b>x</b>", "arguments": {"__proto__": "<i>", "constructor": 1}}\n[1]</tool_call>',
    "a megabyte": "x" * 1_000_000 + "the end",
    "one word of many marks": "e" + "\u0301" * 5000,
    "empty": "",
}  # fmt: skip


def test_untrusted_text_is_shown_as_text(tmp_path, open_page):
    rows = []
    for number_, text in enumerate(HOSTILE.values()):
        scores = {"__proto__": float(number_ % 2), "<b>bold</b>": float(number_ % 3)}
        rows.append(answer("g", number_, scores, output=text, input=text + "<b>prompt", gts=text, uid=f"g_{number_}_0",
                           failures={"r": text[:300]}, texts={"<i>note": text[:3000]}))  # fmt: skip
    write_dump(tmp_path / "run/rollouts/1.jsonl", rows)
    path = make(tmp_path, tmp_path / "run", chars=2_000_000)
    for number_, (name, text) in enumerate(HOSTILE.items()):
        browser = open_page(path, f"#view=group&answer={number_}")
        content = wait(
            browser, lambda browser: browser.find_element("id", "answer-text").get_attribute("textContent")
        )
        assert not browser.execute_script("return window.hacked")
        assert not browser.find_elements("css selector", "main img, main script, main b b, main i i")
        if name == "a megabyte":
            browser.find_element("css selector", "#answer-text button").click()
            content = browser.find_element("id", "answer-text").get_attribute("textContent")
            assert content == text
        elif name in ("markup", "end of the script", "a template"):
            assert content == text
        elif name in ("control characters", "turned around"):
            assert content == browser.execute_script("return visible(arguments[0])", text)
            assert content.isprintable()
        elif name == "a strange call":
            assert [e.text for e in browser.find_elements("css selector", ".call code")] == ["<b>x</b>"]
            assert [e.text for e in browser.find_elements("css selector", ".call dt")] == [
                "__proto__",
                "constructor",
            ]
    header = [e.text for e in browser.find_elements("css selector", "#answers thead button")]
    assert header[:2] == ["__proto__", "<b>bold</b>"]


def test_the_page_asks_nobody_for_anything_and_runs_nothing_else(run, tmp_path, open_page):
    path = make(tmp_path, run)
    browser = open_page(path)
    browser.get_log("performance")
    for view in ("conflicts", "group", "time", "run"):
        browser = open_page(path, f"#view={view}")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {
        message["params"]["request"]["url"].partition("#")[0]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith(("about:", "blob:", "data:"))} <= {path.as_uri()}
    with pytest.raises(JavascriptException, match="TrustedHTML"):
        browser.execute_script("document.body.innerHTML = '<b>x</b>'")
    browser.execute_async_script(
        "const done = arguments[0]; fetch('https://127.0.0.1:9/').then(() => done(1), () => done(0))"
    )
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_the_page_names_no_folder_of_the_machine(run, tmp_path):
    cause = f"FileNotFoundError: {tmp_path}/secret/key.txt; Authorization: Bearer abcdef0123456789"
    write_dump(run / "rollouts/9.jsonl", [answer("g", 0, {"a": None}, failures={"a": cause})])
    (run / "rollouts/10.jsonl").write_text("damaged\n")
    content = gather([find_run(run)])
    assert str(tmp_path).encode() not in content.index and b"abcdef0123456789" not in content.index
    assert b".../key.txt" in content.index and b"FileNotFoundError" in content.index
    assert str(tmp_path) not in render(content, "x")


def test_only_what_is_in_sight_is_in_the_document(tmp_path, open_page):
    run = write_run(tmp_path / "run", steps=10, groups=500, size=2, filler=40, validation=0)
    path = make(tmp_path, run, groups=5000)
    browser = open_page(path, "#view=conflicts")
    assert browser.execute_script("return app.order.length") == 5000
    assert len(browser.find_elements("css selector", "#list .row")) < 60
    parts = browser.execute_script(
        "return [app.report.texts.firsts.length, app.report.texts.parts.filter(Boolean).length]"
    )
    assert parts[0] > 1  # more texts than one part holds, unpacked only when they are in sight
    last = browser.execute_script("return app.order.at(-1)")
    browser.execute_script("const l = document.getElementById('list'); l.scrollTop = l.scrollHeight")
    wait(browser, lambda browser: browser.find_elements("css selector", f"[data-group='{last}']"))
    assert len(browser.find_elements("css selector", "#list .row")) < 60


def test_search_finds_groups_by_prompt_and_answer(run, tmp_path, open_page):
    browser = open_page(make(tmp_path, run), "#view=conflicts")
    for words, found in (("question 3-2:", 1), ("(2-4-7)", 1), ("no such words", 0), ("QUESTION V1", 4)):
        browser.find_element("id", "search").send_keys(Keys.CONTROL + "a" + Keys.NULL + words + Keys.ENTER)
        text = f"{found} group{'s' * (found != 1)}"
        wait(browser, lambda browser, text=text: text_at(browser, "#found") == text)


def press(browser, keys):
    browser.find_element("css selector", "body").send_keys(keys)


def test_the_keyboard_goes_through_groups_and_answers(run, tmp_path, open_page):
    browser = open_page(make(tmp_path, run))
    state = lambda name: browser.execute_script("return app[arguments[0]] ?? app.state[arguments[0]]", name)  # noqa: E731
    press(browser, "2")
    wait(browser, lambda browser: state("state")["view"] == "conflicts")
    press(browser, "/")
    assert browser.switch_to.active_element.get_attribute("id") == "search"
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    press(browser, "3")
    order = wait(browser, lambda browser: state("order"))
    press(browser, "n")
    wait(browser, lambda browser: state("state")["group"] == str(order[1]))
    press(browser, "p")
    wait(browser, lambda browser: state("state")["group"] == str(order[0]))
    rows, at = state("answerOrder"), state("answerOrder").index(state("answer"))
    press(browser, "k" if at else "j")
    wait(browser, lambda browser: state("answer") == rows[at - 1 if at else 1])
    press(browser, "?")
    assert browser.find_element("id", "help").is_displayed()


def test_a_prompt_is_followed_over_the_steps(run, tmp_path, open_page):
    browser = open_page(make(tmp_path, run), "#view=time")
    assert len(browser.find_elements("css selector", ".prompts button")) == 3
    steps = [element.text for element in browser.find_elements("css selector", ".moment header > b")]
    assert steps == ["step 1", "step 2", "step 3", "step 4"]
    wait(browser, lambda browser: browser.find_element("css selector", ".moment .text").text)
    assert "Answer 0 to v" in browser.find_element("css selector", ".moment .text").text


def test_the_run_shows_curves_warnings_and_what_was_left_out(run, tmp_path, open_page):
    (run / "rollouts/9.jsonl").write_text('{"input": "cut off')
    other = write_run(tmp_path / "other", seed=1)
    path = make(tmp_path, run)
    browser = open_page(path)
    titles = [
        element.text.partition("\n")[0] for element in browser.find_elements("css selector", ".chart h3")
    ]
    assert any(title.startswith("helpful") for title in titles) and any(title == "k" for title in titles)
    warning = browser.find_element("id", "warnings").text
    assert "steps 3 to 4" in warning and "neglected" in warning and "helpful" in warning
    assert "1 damaged line left out" in browser.find_element("css selector", ".problems").text
    browser = open_page(make(tmp_path, run, other))
    legend = text_at(browser, ".chart .legend")
    assert "run, validation" in legend and "other, validation" in legend


def test_calls_of_the_judge_are_with_the_answers_they_are_about(tmp_path, open_page):
    rows = [
        answer(group, n, {"rubric/Good/1": float(n)}, output=f"Yes {n}.") for group in "ab" for n in range(2)
    ]
    write_dump(tmp_path / "run/rollouts/1.jsonl", rows)
    calls = [
        report_run.judge_call(
            "Question a: what now?", "Yes 1.", "Mentions <b>tea</b>", reply="<i>sure</i>: true"
        ),
        report_run.judge_call(
            "Question a: what now?", "Yes 1.", "Is brief", verdict=None, reply=None, cause="timeout: 60 s"
        ),
        report_run.judge_call("Question a: what now?", "Yes 1.", "Of another step", step=2),
        report_run.judge_call("Question b: what now?", "Nobody said this", "Mentions tea"),
    ]
    write_dump(tmp_path / "run/judge-calls.jsonl", calls)
    path = make(tmp_path, tmp_path / "run")
    for group, shown in ((0, 2), (1, 0)):
        browser = open_page(path, f"#view=group&group={group}&answer=1")
        notes = browser.find_elements("css selector", ".call-of-judge")
        assert len(notes) == shown
    browser = open_page(path, "#view=group&group=0&answer=1")
    wait(browser, lambda browser: "Mentions <b>tea</b>" in browser.find_element("css selector", "aside").text)
    first, second = browser.find_elements("css selector", ".call-of-judge")
    assert "verdict true" in first.text and "timeout: 60 s" in second.text
    first.find_element("css selector", "summary").click()
    wait(browser, lambda browser: "<i>sure</i>: true" in first.text)


def test_columns_leave_out_what_all_names_of_a_group_begin_with(tmp_path, open_page):
    checks = "instructions/no_comma/1", "instructions/title/2"
    for rewards, shown in (
        (checks, ["no_comma/1", "title/2"]),
        ((*checks, "length"), [*checks, "length"]),
    ):
        run = tmp_path / str(len(rewards))
        write_dump(run / "rollouts/1.jsonl", [answer("a", n, dict.fromkeys(rewards, n)) for n in range(2)])
        browser = open_page(make(tmp_path, run), "#view=group")
        heads = wait(browser, lambda b: b.find_elements("css selector", "#answers thead th.vertical"))[
            : len(rewards)
        ]
        assert [head.get_attribute("title") for head in heads] == list(rewards)
        breaks = [head.get_property("textContent") for head in heads]
        assert [text.replace("\u200b", "") for text in breaks] == shown
        assert "no_\u200bcomma" in breaks[0]
