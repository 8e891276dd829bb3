"""The demonstration tenant as it ships: its texts get their tags, and somebody fits who may take them."""

import pytest

from src.cli.simulate.scenario import Line, Scenario, load
from src.dispatch.config import agent_config, queue_config, rule_config, tag_config
from src.router import classify
from src.router.board import need_of
from src.router.fit import Ability, misfit
from src.router.model import DEFAULT_QUEUE, NO_TERMS, TagRequest
from src.router.tagging import TagFinder

DEMO = load()
SAMPLES = [line for line in DEMO.lines() if line.text in DEMO.simulation.samples]
MORE = [line for line in DEMO.lines() if line.text not in DEMO.simulation.samples]
NOBODY_FITS = "手机充不进电，发票也开错了"


@pytest.fixture(scope="module")
def finder() -> TagFinder:
    return TagFinder({name: tag_config(name, tag.model_dump(by_alias=True)) for name, tag in DEMO.tags.items()})


def fitting(scenario: Scenario, line: Line, channel: str, tier: str | None = None) -> tuple[str, list[str]]:
    """The queue that the rules choose, and the agents who may take the contact."""
    tags = {name: tag_config(name, tag.model_dump(by_alias=True)) for name, tag in scenario.tags.items()}
    verdict = judged(scenario, channel, frozenset(line.tags), tier)
    queue = verdict.queue or DEFAULT_QUEUE
    required = classify.requirements_of([TagRequest(tag) for tag in line.tags], tags, 0)
    teams = queue_config(queue, scenario.queues[queue].model_dump()).teams
    need = need_of(channel, required, line.language, teams, NO_TERMS)
    fits = [
        agent_id
        for agent_id, agent in scenario.agents.items()
        if misfit(need, Ability.of(agent_config(agent_id, agent.model_dump()))) is None
    ]
    return queue, fits


def judged(scenario: Scenario, channel: str, tags: frozenset[str], tier: str | None) -> classify.Verdict:
    """What the demonstration's rules say of a contact."""
    rules = classify.Rules(rule_config(name, rule.model_dump()) for name, rule in scenario.rules.items())
    facts = classify.Facts(
        channel=channel,
        account="",
        tags=tags,
        tier=tier,
        language=None,
        attributes={},
        customer_attributes={},
        text=None,
        repeat=False,
        now=0,
    )
    return rules.judge(facts)


def test_it_has_the_twenty_five_texts_the_twelve_agents_and_the_three_channels() -> None:
    assert 25 == len(SAMPLES)
    assert 35 <= len(MORE)
    assert {"zh", "en"} == {line.language for line in MORE}
    assert [f"a{number}" for number in range(1, 13)] == list(DEMO.agents)
    assert {"wechat": 0.45, "webchat": 0.2, "voice": 0.35} == {
        name: mix.share for name, mix in DEMO.simulation.channels.items()
    }


@pytest.mark.parametrize("line", [*SAMPLES, *MORE], ids=lambda line: line.text)
def test_every_text_gets_exactly_its_tags(line: Line, finder: TagFinder) -> None:
    assert line.tags == finder.find(line.text)


@pytest.mark.parametrize("channel", DEMO.simulation.channels)
@pytest.mark.parametrize("line", [*SAMPLES, *MORE], ids=lambda line: line.text)
def test_every_text_but_the_seventh_has_an_agent_who_fits(line: Line, channel: str) -> None:
    _, fits = fitting(DEMO, line, channel)

    assert (line.text == NOBODY_FITS) == (not fits)


def test_the_seventh_text_fits_no_single_agent() -> None:
    assert NOBODY_FITS == SAMPLES[6].text
    assert ("tech", []) == fitting(DEMO, SAMPLES[6], "wechat")


@pytest.mark.parametrize(
    ("text", "tier", "queue", "agents"),
    [
        ("账号异地登录，密码被改了", None, "security", ["a2", "a11"]),
        ("账号异地登录，密码被改了", "vip", "security", ["a2", "a11"]),
        ("我要投诉，客服互相推诿", None, "complaints", ["a5", "a10"]),
        ("再不解决就打12315曝光你们", None, "complaints", ["a10"]),
        ("我的订单到哪一步了", "vip", "vip", ["a1", "a2", "a3", "a4", "a12"]),
        ("我的订单到哪一步了", "老客户", "frontline", ["a1", "a2", "a3"]),
        ("我要注销会员，再也不买了", None, "retention", ["a6", "a11"]),
        ("我的phone坏了，要refund", None, "tech", ["a8"]),
        ("退货的快递费谁出", None, "aftersales", ["a6"]),
        ("快递三天没更新了", None, "logistics", ["a4", "a5"]),
        ("你好，在吗", None, "frontline", ["a1", "a2", "a3"]),
    ],
)
def test_the_first_rule_in_the_order_of_the_queues_decides(
    text: str, tier: str | None, queue: str, agents: list[str]
) -> None:
    line = next(line for line in SAMPLES if line.text == text)

    assert (queue, agents) == fitting(DEMO, line, "wechat", tier)


def test_urgent_contacts_and_valued_customers_have_a_head_start() -> None:
    def priority(tags: set[str], tier: str | None) -> int:
        return judged(DEMO, "wechat", frozenset(tags), tier).priority

    assert 1800 == priority({"account_security"}, None)
    assert 600 == priority({"complaint"}, "普通")
    assert 660 == priority({"major_complaint"}, "老客户")
    assert 300 == priority(set(), "vip")
    assert 600 == priority(set(), "key")


def test_only_one_agent_names_its_languages() -> None:
    assert {"a2": ["zh", "en"]} == {name: agent.languages for name, agent in DEMO.agents.items() if agent.languages}


def test_more_agents_are_copies_in_turn() -> None:
    staff = DEMO.staff(26)

    assert 26 == len(staff)
    assert staff["a1-2"] == DEMO.agents["a1"]
    assert ["a1-3", "a2-3"] == list(staff)[24:]


def test_the_usual_rate_grows_with_the_agents() -> None:
    twelve, many = DEMO.rate_per_s(DEMO.staff(None)), DEMO.rate_per_s(DEMO.staff(120))

    assert many == pytest.approx(twelve * 10)


def test_a_faster_clock_shortens_what_the_service_times() -> None:
    wanted = DEMO.configuration(10)

    assert 3 == wanted.queues["tech"]["service_level"]["within_s"]
    assert 2 == wanted.queues["tech"]["offer_timeout_s"]
    assert 1 == wanted.queues["tech"]["wrap_up_s"]
    assert 0 == wanted.queues["logistics"]["wrap_up_s"]
    assert 3 == wanted.settings["presence_grace_s"]
    assert DEMO.settings.presence_grace_s == DEMO.configuration(1).settings["presence_grace_s"]
