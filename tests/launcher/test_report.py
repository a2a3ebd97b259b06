"""A training through verl's launcher, its dumps, and the page that is made of them."""

import json

import pytest

from rvpo_verl.names import SETTINGS, TRAINED
from rvpo_verl.report.content import gather
from rvpo_verl.report.page import render
from rvpo_verl.report.read import find_run
from rvpo_verl.rewards.vector import KEY
from tests.launcher.conftest import ROLLOUTS
from tests.support.browser import chromium, open_page  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(700)]

TRAINERS = {
    # 24 rollouts in mini-batches of 16 are padded to 32 rows.
    "v1": ["actor_rollout_ref.actor.ppo_mini_batch_size=4"],
    # The recorder compares with gdpo, which needs its keys.
    "v0": ["trainer.use_v1=False", "+algorithm.gdpo_reward_keys=[tool_call_format,tool_call_correctness]"],
}


@pytest.fixture(scope="module", params=TRAINERS.values(), ids=list(TRAINERS))
def run(request, train, tmp_path_factory):
    """Folder of a run of three steps; the rollouts of the second are dumped, of four of its six prompts."""
    folder = tmp_path_factory.mktemp("run")
    train(
        *request.param,
        "+rvpo=tool_calling",
        "algorithm.rvpo.k=1.5",
        "algorithm.rvpo.whitening=none",  # what the page computes
        "algorithm.rvpo.dump_freq=2",
        "algorithm.rvpo.dump_groups=4",
        "trainer.total_training_steps=3",
        "trainer.test_freq=1",
        f"trainer.rollout_data_dir={folder / 'rollouts'}",
        f"trainer.validation_data_dir={folder / 'validation'}",
        env={"VERL_FILE_LOGGER_PATH": str(folder / "metrics.jsonl")},
    )
    return folder


def test_rollouts_are_dumped_with_what_they_were_trained_with(run):
    assert [path.name for path in (run / "rollouts").iterdir()] == ["2.jsonl"]
    rows = [json.loads(line) for line in (run / "rollouts/2.jsonl").read_text().splitlines()]
    groups = [row["uid"].rsplit("_", 2)[0] for row in rows]
    assert len(set(groups)) == 4 and all(groups.count(group) == ROLLOUTS for group in groups)
    assert len({row["uid"] for row in rows}) == len(rows)
    for row in rows:
        assert set(json.loads(row[KEY])["scores"]) == {"tool_call_format", "tool_call_correctness"}
        assert row[SETTINGS]["k"] == 1.5 and row[SETTINGS]["aggregation"] == "softmin"
        assert sum(json.loads(row[KEY])["scores"].values()) == pytest.approx(row["score"], abs=1e-5)
    assert any(row[TRAINED] for row in rows)


@pytest.mark.browser
def test_the_page_computes_the_advantages_that_were_trained_with(run, tmp_path, open_page):  # noqa: F811
    content = gather([find_run(run)])
    assert content.problems == []
    page = tmp_path / "report.html"
    page.write_text(render(content, "run"))
    browser = open_page(page, "#view=conflicts&kind=training")
    order = browser.execute_script("return app.order")
    assert len(order) == 4
    shown = []
    for g in order:
        browser = open_page(page, f"#view=group&group={g}")
        shown += browser.execute_script(
            "return [...document.querySelectorAll('#answers tbody tr')].map((row) => ['rvpo', 'trained'].map("
            "(name) => row.querySelector(`[data-advantage=${name}]`).textContent))"
        )
    assert len(shown) == 4 * ROLLOUTS and len(set(map(tuple, shown))) > 1
    assert all(computed == trained for computed, trained in shown)
    browser = open_page(page, "#view=time")
    steps = [element.text for element in browser.find_elements("css selector", ".moment header > b")]
    assert steps == ["step 1", "step 2", "step 3"]
    browser = open_page(page)
    assert "tool_call_format" in browser.find_element("css selector", ".chart h3").text
