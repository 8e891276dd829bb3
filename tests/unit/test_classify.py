"""What rules, tags and steps promise: which rules hold, what they give together, and what a step leaves of a need."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import Malformed
from src.router.classify import Facts, Relaxed, Rules, Verdict, relaxed, requirements_of
from src.router.model import NO_TERMS, Requirement, RuleConfig, Step, TagConfig, TagRequest, Terms, TimeWindow
from src.router.tagging import PHRASES_MAX

SECOND = 1000
MONDAY_NOON = round(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000)

FACTS: dict[str, Any] = {
    "channel": "wechat",
    "account": "main",
    "tags": frozenset({"refund", "logistics"}),
    "tier": "vip",
    "language": "zh-CN",
    "attributes": {
        "page": "cart",
        "amount": 1,
        "gift": True,
        "coupon": None,
        "menu": ["pay", "late", 7, False],
        "order": {"state": "sent", "lines": [{"sku": "a1"}, {"sku": ["b2", "c3"]}, "loose"], "page": "inner"},
        "utm.source": "mail",
        "utm": {"source": "search", "term": "shoes"},
        "empty": [],
        "nested": [["pay"]],
    },
    "customer_attributes": {"since": 2019, "club": {"gold": True}},
    "text": "我要投诉，请马上 REFUND my order",
    "repeat": False,
    "now": MONDAY_NOON,
}


def rule(name: str = "r", order: int = 0, *, priority: int = 1, **conditions: Any) -> RuleConfig:
    return RuleConfig(name, order, priority=priority, **conditions)


def judge(*rules: RuleConfig, **facts: Any) -> Verdict:
    return Rules(rules).judge(Facts(**FACTS | facts))


# -- conditions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({}, True),
        ({"tags_any": ("price", "refund")}, True),
        ({"tags_any": ("price",)}, False),
        ({"tags_all": ("refund", "logistics")}, True),
        ({"tags_all": ("refund", "price")}, False),
        ({"tags_none": ("price",)}, True),
        ({"tags_none": ("price", "refund")}, False),
        ({"channels": ("voice", "wechat")}, True),
        ({"channels": ("voice",)}, False),
        ({"accounts": ("main",)}, True),
        ({"accounts": ("shop",)}, False),
        ({"customer_tiers": ("vip", "gold")}, True),
        ({"customer_tiers": ("gold",)}, False),
        ({"languages": ("zh",)}, True),
        ({"languages": ("ZH-Hant", "en")}, True),
        ({"languages": ("en",)}, False),
        ({"repeat": False}, True),
        ({"repeat": True}, False),
        ({"time": TimeWindow("Asia/Shanghai", (18 * 60, 22 * 60))}, True),
        ({"time": TimeWindow("Asia/Shanghai", (9 * 60, 18 * 60))}, False),
        ({"time": TimeWindow("UTC", (0, 1440), (0,))}, True),
        ({"time": TimeWindow("UTC", (0, 1440), (5, 6))}, False),
        ({"text": ("表扬", "投诉")}, True),
        ({"text": ("refund",)}, True),
        ({"text": ("ref",)}, False),  # a part of a word
        ({"text": ("表扬",)}, False),
        ({"tags_any": ("refund",), "channels": ("wechat",), "customer_tiers": ("vip",), "text": ("投诉",)}, True),
        ({"tags_any": ("refund",), "channels": ("wechat",), "customer_tiers": ("gold",), "text": ("投诉",)}, False),
    ],
    ids=str,
)
def test_every_condition_that_is_set_must_hold(condition: Mapping[str, Any], holds: bool) -> None:
    assert (("r",) if holds else ()) == judge(rule(**condition)).rules


@pytest.mark.parametrize(
    ("condition", "fact"),
    [
        ({"customer_tiers": ("vip",)}, {"tier": None}),
        ({"languages": ("zh",)}, {"language": None}),
        ({"text": ("投诉",)}, {"text": None}),
        ({"text": ("投诉",)}, {"text": ""}),
        ({"tags_any": ("refund",)}, {"tags": frozenset()}),
        ({"attributes": {"page": (None,)}}, {"attributes": {}}),
    ],
    ids=str,
)
def test_what_is_not_known_meets_no_condition(condition: Mapping[str, Any], fact: Mapping[str, Any]) -> None:
    assert () == judge(rule(**condition), **fact).rules


@pytest.mark.parametrize(
    ("name", "values", "holds"),
    [
        ("page", ("cart", "home"), True),
        ("page", ("home",), False),
        ("page", ("Cart",), False),
        ("amount", (1,), True),
        ("amount", (1.0,), True),
        ("amount", (True,), False),
        ("amount", ("1",), False),
        ("gift", (True,), True),
        ("gift", (1,), False),
        ("gift", ("true",), False),
        ("coupon", (None,), True),
        ("coupon", (False, 0, ""), False),
        ("missing", (None,), False),
        ("menu", ("pay",), True),
        ("menu", (7,), True),
        ("menu", (False,), True),
        ("menu", (0,), False),
        ("menu", ("cart",), False),
        ("empty", (None,), False),
        ("nested", ("pay",), False),
        ("order.state", ("sent",), True),
        ("order.state", ("paid",), False),
        ("order.state.deep", ("sent",), False),
        ("order.missing", (None,), False),
        ("order.lines.sku", ("a1",), True),
        ("order.lines.sku", ("c3",), True),
        ("order.lines.sku", ("loose",), False),
        ("order.lines", ("loose",), True),
        ("order", ("sent",), False),
        ("order.page", ("cart",), False),
        ("utm.source", ("mail",), True),
        ("utm.source", ("search",), False),
        ("utm.term", ("shoes",), True),
        ("page.x", ("cart",), False),
    ],
)
def test_attributes_are_compared_as_json_is(name: str, values: tuple[Any, ...], holds: bool) -> None:
    assert (("r",) if holds else ()) == judge(rule(attributes={name: values})).rules


def test_every_attribute_must_have_one_of_its_values() -> None:
    assert ("r",) == judge(rule(attributes={"page": ("cart",), "gift": (True,)})).rules
    assert () == judge(rule(attributes={"page": ("cart",), "gift": (False,)})).rules


def test_attributes_of_the_customer_are_not_those_of_the_contact() -> None:
    assert ("r",) == judge(rule(customer_attributes={"since": (2019,), "club.gold": (True,)})).rules
    assert () == judge(rule(customer_attributes={"page": ("cart",)})).rules
    assert () == judge(rule(attributes={"since": (2019,)})).rules


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
)


@given(st.sampled_from(["a", "a.b", "a.b.a"]), st.lists(json_values), st.dictionaries(st.just("a"), json_values))
def test_no_attributes_break_a_rule(name: str, values: list[Any], attributes: dict[str, Any]) -> None:
    judge(rule(attributes={name: tuple(values)}), attributes=attributes)


# -- texts -------------------------------------------------------------------------------------------------------------


def test_no_rule_hides_the_phrase_of_another() -> None:
    rules = [
        rule("a", text=("投诉",)),
        rule("b", text=("要投诉",)),
        rule("c", text=("我要投诉",)),
        rule("d", text=("诉",)),
    ]

    assert ("a", "b", "c", "d") == judge(*rules, text="我要投诉").rules
    assert ("a", "b", "d") == judge(*rules, text="他要投诉").rules


def test_phrases_inside_others_are_words_all_the_same() -> None:
    rules = [rule("a", text=("order",)), rule("b", text=("my order",)), rule("c", text=("reorder",))]

    assert ("a", "b") == judge(*rules, text="where is my order").rules
    assert ("c",) == judge(*rules, text="please reorder").rules


def test_rules_may_share_a_phrase_however_it_is_written() -> None:
    assert ("a", "b") == judge(rule("a", text=("Refund",)), rule("b", text=("ＲＥＦＵＮＤ",))).rules


@given(
    st.lists(st.text("ab投诉 ", min_size=1, max_size=4).filter(str.strip), max_size=6), st.text("ab投诉 ", max_size=12)
)
def test_a_rule_speaks_for_itself_whatever_other_rules_there_are(phrases: list[str], text: str) -> None:
    rules = [rule(f"r{number}", text=(phrase,)) for number, phrase in enumerate(phrases)]
    alone = tuple(name for each in rules for name in judge(each, text=text).rules)

    assert alone == judge(*rules, text=text).rules


class _Text(str):
    """A text that counts how often it is read."""

    __slots__ = ("reads",)
    reads: int

    def __getitem__(self, key: Any) -> str:
        self.reads += 1
        return super().__getitem__(key)


def test_the_text_is_searched_once_and_only_if_a_rule_asks() -> None:
    text = _Text("我要投诉")
    text.reads = 0

    judge(*(rule(f"r{number}", text=("投诉", str(number))) for number in range(9)), text=text)
    assert 1 == text.reads

    judge(rule("a"), rule("b", channels=("voice",), text=("投诉",)), text=text)
    assert 1 == text.reads


def test_too_many_phrases_are_refused_together() -> None:
    phrases = tuple(map(str, range(PHRASES_MAX)))
    Rules([rule("a", text=phrases)])

    with pytest.raises(Malformed, match="50000 phrases"):
        Rules([rule("a", text=phrases), rule("b", text=("one more",))])


# -- results -----------------------------------------------------------------------------------------------------------


def test_without_rules_nothing_is_said() -> None:
    assert Verdict() == judge()
    assert Verdict() == judge(rule(channels=("voice",), queue="q"))


def test_results_add_up_but_the_first_queue_and_the_first_agent_count() -> None:
    verdict = judge(
        rule("late", 2, priority=5, queue="second", preferred_agent_id="a2", add_tags=("x", "y")),
        rule("b-early", 1, priority=-10, queue="first", add_tags=("x", "refund")),
        rule("a-early", 1, priority=100, preferred_agent_id="a1"),
        rule("never", 0, priority=1000, channels=("voice",), queue="zeroth", preferred_agent_id="a0"),
    )

    assert Verdict("first", 95, ("x", "y"), ("a-early", "b-early", "late"), "a1", NO_TERMS) == verdict


def test_rules_run_by_order_then_name_however_they_were_put() -> None:
    rules = [rule("c", -1), rule("a", 1), rule("b", 1), rule("d", 0)]

    assert ("c", "d", "a", "b") == judge(*rules).rules == judge(*reversed(rules)).rules


def test_a_tag_that_a_rule_adds_is_seen_by_the_rules_after_it_and_not_before() -> None:
    rules = [
        rule("before", 0, tags_any=("urgent",)),
        rule("adds", 1, add_tags=("urgent",)),
        rule("after", 2, tags_all=("urgent", "refund")),
        rule("not after", 3, tags_none=("urgent",)),
    ]

    assert ("adds", "after") == judge(*rules).rules


def test_adding_tags_leaves_the_facts_and_the_next_judging_alone() -> None:
    rules = Rules([rule("before", 0, tags_any=("urgent",)), rule("adds", 1, add_tags=("urgent",))])
    facts = Facts(**FACTS)

    assert ("adds",) == rules.judge(facts).rules == rules.judge(facts).rules
    assert {"refund", "logistics"} == facts.tags


def test_terms_come_together() -> None:
    verdict = judge(
        rule("a", terms=Terms(not_agents=("a1",), teams=("night",))),
        rule("b", terms=Terms(agents=("a2", "a3"), not_agents=("a1", "a4"), not_teams=("new",))),
        rule("c", terms=Terms(agents=("a5",), teams=("day", "night"), not_teams=("new",))),
        rule("d", channels=("voice",), terms=Terms(agents=("a6",), not_agents=("a7",))),
    )

    assert Terms(("a2", "a3"), ("a1", "a4"), ("night", "day"), ("new",)) == verdict.terms


# -- requirements ------------------------------------------------------------------------------------------------------

SKILLS = {"quality": TagConfig("quality", requires={"digital": 60, "appease": 20}), "plain": TagConfig("plain")}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], ()),
        ([TagRequest("refund")], (Requirement("refund", "refund"),)),
        ([TagRequest("plain", 30)], (Requirement("plain", "plain", 30),)),
        (
            [TagRequest("quality", 40, required=False, weight=3)],
            (
                Requirement("quality", "digital", 60, required=False, weight=3),
                Requirement("quality", "appease", 40, required=False, weight=3),
            ),
        ),
        ([TagRequest("a", expires_after_s=30)], (Requirement("a", "a", lapses_at=1_030_000),)),
        # Of one skill, only what no other covers.
        ([TagRequest("a", 10), TagRequest("a", 50)], (Requirement("a", "a", 50),)),
        (
            [TagRequest("a", 50), TagRequest("b"), TagRequest("a", 10)],
            (Requirement("a", "a", 50), Requirement("b", "b")),
        ),
        ([TagRequest("a"), TagRequest("a")], (Requirement("a", "a"),)),
        (
            [TagRequest("a", 10), TagRequest("a", 50, expires_after_s=30)],
            (Requirement("a", "a", 10), Requirement("a", "a", 50, lapses_at=1_030_000)),
        ),
        ([TagRequest("a", 10, expires_after_s=30), TagRequest("a", 50)], (Requirement("a", "a", 50),)),
        (
            [TagRequest("a"), TagRequest("a", required=False)],
            (Requirement("a", "a"), Requirement("a", "a", required=False)),
        ),
        (
            [TagRequest("digital", 70), TagRequest("quality")],
            (Requirement("digital", "digital", 70), Requirement("quality", "appease", 20)),
        ),
    ],
    ids=str,
)
def test_tags_ask_for_skills(tags: Sequence[TagRequest], expected: tuple[Requirement, ...]) -> None:
    assert expected == requirements_of(tags, SKILLS, 1_000_000)


# -- steps -------------------------------------------------------------------------------------------------------------

NEED = (
    Requirement("refund", "refund", 60, weight=3),
    Requirement("quality", "digital", 40, lapses_at=9_000),
    Requirement("quality", "appease", 20, required=False),
)


def relax(step: Step, need: tuple[Requirement, ...] = NEED, **others: Any) -> Relaxed:
    given_ = {"language": "zh", "terms": NO_TERMS, "queue_teams": (), **others}
    return relaxed(step, need, **given_)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step(5), NEED),
        (Step(5, priority=60), NEED),
        (Step(5, drop=("other",), prefer=("other",), lower={"other": 1}), NEED),
        (Step(5, drop=("quality",)), NEED[:1]),
        (Step(5, drop=("*",)), ()),
        (Step(5, prefer=("refund",)), (NEED[0]._replace(required=False), *NEED[1:])),
        (Step(5, prefer=("*",)), tuple(each._replace(required=False) for each in NEED)),
        (Step(5, lower={"quality": 30}), (NEED[0], NEED[1]._replace(level=30), NEED[2])),
        (Step(5, lower={"*": 30}), (NEED[0]._replace(level=30), NEED[1]._replace(level=30), NEED[2])),
        (Step(5, lower={"*": 50, "quality": 10}), tuple(map(lambda r, n: r._replace(level=n), NEED, (50, 10, 10)))),
        (Step(5, lower={"*": 5, "refund": 50}), tuple(each._replace(level=5) for each in NEED)),
        (Step(5, drop=("refund",), prefer=("refund",), lower={"refund": 1}), NEED[1:]),
        (Step(5, prefer=("refund",), lower={"refund": 50}), (NEED[0]._replace(level=50, required=False), *NEED[1:])),
    ],
    ids=str,
)
def test_a_step_drops_prefers_and_lowers(step: Step, expected: tuple[Requirement, ...]) -> None:
    assert expected == relax(step).requirements


def test_what_a_step_makes_equal_is_there_once() -> None:
    need = (
        Requirement("a", "x", 60),
        Requirement("b", "x", 60, required=False),
        Requirement("c", "y", 70, lapses_at=9),
        Requirement("d", "y", 30),
    )

    assert (need[0]._replace(required=False), *need[2:]) == relax(Step(5, prefer=("a",)), need).requirements
    assert (*need[:2], need[3]) == relax(Step(5, lower={"c": 30}), need).requirements


def test_what_somebody_helps_with_is_kept_apart() -> None:
    need = (Requirement("a", "x", 60), Requirement("b", "x", 60, shared=True))

    assert tuple(each._replace(level=5) for each in need) == relax(Step(5, lower={"*": 5}), need).requirements


@pytest.mark.parametrize(
    ("step", "language"),
    [
        (Step(5, drop=("refund",)), "zh"),
        (Step(5, prefer=("*",), lower={"*": 1}), "zh"),
        (Step(5, any_language=True), None),
        (Step(5, drop=("language",)), None),
        (Step(5, drop=("*",)), None),
    ],
    ids=str,
)
def test_the_language_is_dropped_by_its_switch_or_as_a_tag(step: Step, language: str | None) -> None:
    assert language == relax(step).language
    assert relax(step, language=None).language is None


@pytest.mark.parametrize(
    ("step", "terms", "queue_teams", "any_team", "add_teams"),
    [
        (Step(5, add_teams=("b",)), NO_TERMS, ("a",), False, ("b",)),
        (Step(5, add_teams=("b", "a", "b")), NO_TERMS, ("a",), False, ("b",)),
        (Step(5, any_team=True), NO_TERMS, ("a",), True, ()),
        (Step(5, any_team=True, add_teams=("b",)), NO_TERMS, ("a",), True, ()),
        # Where every team may have it, none is to be added: that would be a limit.
        (Step(5, any_team=True, add_teams=("b",)), NO_TERMS, (), False, ()),
        (Step(5, any_team=True), Terms(teams=("*",)), ("a",), False, ()),
        (Step(5, add_teams=("b",)), Terms(teams=("*",)), ("a",), False, ()),
        (Step(5, add_teams=("b",)), Terms(teams=("c",)), (), False, ("b",)),
        (Step(5, add_teams=("b", "a")), Terms(teams=("b",)), ("a",), False, ("a",)),
        (Step(5, any_team=True), Terms(teams=("c",)), (), True, ()),
        (Step(5, add_teams=("b", "c")), Terms(not_teams=("b",)), ("a",), False, ("c",)),
    ],
)
def test_teams_are_joined_to_those_that_may_have_it(
    step: Step, terms: Terms, queue_teams: tuple[str, ...], any_team: bool, add_teams: tuple[str, ...]
) -> None:
    found = relax(step, terms=terms, queue_teams=queue_teams)

    assert (any_team, add_teams) == (found.any_team, found.add_teams)


names = st.sampled_from(["a", "b", "c"])
tuples_of_names = st.lists(names, max_size=3, unique=True).map(tuple)
tags_of_steps = st.lists(st.sampled_from(["a", "b", "c", "*", "language"]), max_size=2, unique=True).map(tuple)
levels = st.integers(1, 100)
steps = st.builds(
    Step,
    after_s=st.just(5),
    drop=tags_of_steps,
    prefer=tags_of_steps,
    lower=st.dictionaries(st.sampled_from(["a", "b", "c", "*"]), levels, max_size=2),
    any_language=st.booleans(),
    any_team=st.booleans(),
    add_teams=tuples_of_names,
)
needs = st.lists(
    st.builds(
        Requirement,
        names,
        names,
        levels,
        st.booleans(),
        st.integers(1, 3),
        st.none() | st.integers(0, 3),
        st.booleans(),
    ),
    max_size=4,
).map(tuple)
all_terms = st.builds(Terms, teams=tuples_of_names, not_teams=tuples_of_names)


def fits(
    skills: Mapping[str, int],
    teams: frozenset[str],
    need: tuple[Requirement, ...],
    language: str | None,
    terms: Terms,
    queue_teams: tuple[str, ...],
    now: int,
) -> bool:
    """Whether an agent of these skills and teams may have the contact as its lead. It speaks English."""
    meets = all(
        skills.get(each.skill, 0) >= each.level
        for each in need
        if each.required and not each.shared and (each.lapses_at is None or now <= each.lapses_at)
    )
    limit = terms.teams or queue_teams
    allowed = not limit or "*" in limit or not teams.isdisjoint(limit)
    return meets and allowed and language in {None, "en"} and teams.isdisjoint(terms.not_teams)


def after(found: Relaxed, terms: Terms, queue_teams: tuple[str, ...]) -> Terms:
    """The terms once the step is done."""
    if found.any_team:
        return replace(terms, teams=("*",))
    return replace(terms, teams=(*(terms.teams or queue_teams), *found.add_teams)) if found.add_teams else terms


@given(
    steps,
    needs,
    st.sampled_from([None, "en", "zh"]),
    all_terms,
    tuples_of_names,
    st.dictionaries(names, levels),
    st.frozensets(names),
    st.integers(0, 4),
)
def test_whoever_fitted_before_a_step_fits_after_it(
    step: Step,
    need: tuple[Requirement, ...],
    language: str | None,
    terms: Terms,
    queue_teams: tuple[str, ...],
    skills: Mapping[str, int],
    teams: frozenset[str],
    now: int,
) -> None:
    found = relaxed(step, need, language, terms, queue_teams)
    then = after(found, terms, queue_teams)

    fitted = fits(skills, teams, need, language, terms, queue_teams, now)
    assert not fitted or fits(skills, teams, found.requirements, found.language, then, queue_teams, now)


@given(steps, needs, st.sampled_from([None, "zh"]), all_terms, tuples_of_names)
def test_doing_a_step_twice_changes_nothing_more(
    step: Step, need: tuple[Requirement, ...], language: str | None, terms: Terms, queue_teams: tuple[str, ...]
) -> None:
    once = relaxed(step, need, language, terms, queue_teams)
    twice = relaxed(step, once.requirements, once.language, after(once, terms, queue_teams), queue_teams)

    assert Relaxed(once.requirements, once.language, any_team=False, add_teams=()) == twice
