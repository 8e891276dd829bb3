"""What the tag finder promises: a shop's texts, the three rules, and agreement with a naive finder."""

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.errors import Malformed
from src.router.model import TagConfig
from src.router.tagging import KEYWORD_CHARS_MAX, PHRASES_MAX, TEXT_CHARS_MAX, TagFinder, fold

SHOP = {
    "order_query": ("订单", "查单", "order"),
    "return_policy": ("退换货政策", "无理由退货", "return policy"),
    "logistics": ("物流", "快递", "包裹", "签收", "parcel", "delivery"),
    "refund": ("退款", "退货", "换货", "refund"),
    "fault": ("故障", "坏了", "不转", "充不进电", "broken", "defect"),
    "digital": ("手机", "电脑", "续航", "phone", "laptop"),
    "install": ("安装", "上门", "install"),
    "invoice": ("发票", "开票", "invoice"),
    "price": ("降价", "差价", "优惠券", "满减", "coupon"),
    "complaint": ("投诉", "推诿", "没人理", "complaint"),
    "major_complaint": ("12315", "消协", "曝光", "lawyer"),
    "account_security": ("盗号", "异地登录", "密码", "hacked", "password"),
    "churn": ("注销", "退会", "再也不买", "close account"),
    "feedback": ("建议", "表扬", "great service"),
}
SHOP_EXCEPTIONS = {"complaint": ("不是来投诉",)}
SHOP_TEXTS = {
    "我的订单到哪一步了": {"order_query"},
    "七天无理由退货怎么规定": {"return_policy"},
    "快递三天没更新了": {"logistics"},
    "包裹显示签收但我没收到": {"logistics"},
    "昨天申请的退款还没到账": {"refund"},
    "尺码不对，想换货": {"refund"},
    "手机充不进电，发票也开错了": {"digital", "fault", "invoice"},
    "手机续航太短怎么办": {"digital"},
    "喂你好，洗衣机不转了": {"fault"},
    "空调什么时候上门安装": {"install"},
    "發票抬頭寫錯了，麻煩重開": {"invoice"},
    "刚买就降价，能补差价吗": {"price"},
    "满减优惠券用不了": {"price"},
    "我要投诉，客服互相推诿": {"complaint"},
    "再不解决就打12315曝光你们": {"major_complaint"},
    "账号异地登录，密码被改了": {"account_security"},
    "怀疑被盗号，快冻结": {"account_security"},
    "我要注销会员，再也不买了": {"churn"},
    "建议增加夜间客服": {"feedback"},
    "我不是来投诉的，只问快递到哪了": {"logistics"},
    "退货的快递费谁出": {"logistics", "refund"},
    "我的phone坏了，要refund": {"digital", "fault", "refund"},
    "Great service，love my headphones": {"feedback"},
    "你好，在吗": set(),
    "😡等了半小时没人理": {"complaint"},
}


def finder(
    keywords: Mapping[str, tuple[str, ...]], exceptions: Mapping[str, tuple[str, ...]] | None = None
) -> TagFinder:
    return TagFinder(
        {tag: TagConfig(tag, phrases, (exceptions or {}).get(tag, ())) for tag, phrases in keywords.items()}
    )


@pytest.mark.parametrize(("text", "tags"), SHOP_TEXTS.items(), ids=SHOP_TEXTS.keys())
def test_a_shops_texts_get_exactly_their_tags(text: str, tags: set[str]) -> None:
    assert tuple(sorted(tags)) == finder(SHOP, SHOP_EXCEPTIONS).find(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("my order, please", True),
        ("ORDER", True),
        ("ｏｒｄｅｒ", True),  # full width
        ("我的order呢", True),
        ("order单号", True),
        ("order_no 5", True),
        ("re-order", True),
        ("reorder", False),
        ("border", False),
        ("orders", False),
        ("order2", False),
        ("éorder", False),
        ("заorder", False),
        ("reorder the order", True),
    ],
)
def test_words_of_spaced_scripts_match_whole(text: str, found: bool) -> None:
    assert (("t",) if found else ()) == finder({"t": ("order",)}).find(text)


def test_only_the_spaced_end_of_a_mixed_keyword_needs_a_boundary() -> None:
    mixed = finder({"t": ("vip客户",)})
    assert ("t",) == mixed.find("我是VIP客户a")
    assert () == mixed.find("svip客户")


def test_a_longer_match_that_is_no_word_hides_no_shorter_one() -> None:
    nested = finder({"short": ("坏了",), "long": ("坏了app",)})
    assert ("short",) == nested.find("坏了apple")
    assert ("long",) == nested.find("坏了app")


def test_a_longer_keyword_hides_a_shorter_one_only_where_it_stands() -> None:
    nested = finder({"policy": ("退换货政策",), "refund": ("换货",)})
    assert ("policy",) == nested.find("退换货政策")
    assert ("policy", "refund") == nested.find("按退换货政策，我要换货")


def test_keywords_that_merely_overlap_all_count() -> None:
    assert ("a", "b") == finder({"a": ("退货",), "b": ("货的快递",)}).find("退货的快递")


def test_the_same_keyword_in_two_tags_gives_both() -> None:
    assert ("a", "b") == finder({"a": ("退货", "退貨"), "b": ("退货",)}).find("退货")


@pytest.mark.parametrize(
    ("keyword", "exception", "text", "found"),
    [
        ("投诉", "不是来投诉", "我不是来投诉的", False),
        ("投诉", "不是来投诉", "我不是来投诉的，但现在要投诉", True),
        ("投诉你", "不是来投诉", "我不是来投诉你的", False),  # overlaps its end
        ("来投诉", "投诉建议箱", "我来投诉建议箱这里", False),  # overlaps its start
        ("我要投诉你们", "投诉", "我要投诉你们", True),  # the keyword is the more precise
        ("投诉", "投诉", "投诉", False),
        ("order", "in order to", "in order to pay", False),
        ("order", "in order to", "in order today", True),  # the exception is cut: not those words
        ("投诉", "快递", "快递投诉", True),  # side by side
    ],
)
def test_exceptions(keyword: str, exception: str, text: str, found: bool) -> None:
    assert (("t",) if found else ()) == finder({"t": (keyword,)}, {"t": (exception,)}).find(text)


def test_an_exception_speaks_for_its_own_tag_alone() -> None:
    both = finder({"refund": ("退货",), "policy": ("政策",)}, {"refund": ("退货政策",)})
    assert ("policy",) == both.find("退货政策是什么")


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("发票", "發票"),
        ("發票", "发票"),
        ("没有回复", "沒有回覆"),  # a phrase: the character alone would stay
        ("return policy", "Return\u3000 \n policy"),
        ("straße", "STRASSE"),
        (" 退货 ", "退货"),
        ("退款", "我要退 款"),
        ("退 款", "我要退款"),
        ("沒有回覆", "没有 回\n覆"),  # written over two lines, and still a phrase
        ("iphone坏了", "我的 iPhone 坏了"),
        ("5G 套餐", "5g套餐"),
        ("バッテリー", "バッ テリー"),
    ],
)
def test_spelling_does_not_matter(keyword: str, text: str) -> None:
    assert ("t",) == finder({"t": (keyword,)}).find(text)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("closeaccount", "close account"),
        ("close account", "closeaccount"),
        ("환불요청", "환불 요청"),
        ("退款", "退,款"),
    ],
)
def test_spaces_part_words_where_a_script_has_them(keyword: str, text: str) -> None:
    assert () == finder({"t": (keyword,)}).find(text)


def test_what_lies_beyond_the_limit_is_not_read() -> None:
    assert ("t",) == finder({"t": ("退货",)}).find("。" * (TEXT_CHARS_MAX - 2) + "退货")
    assert () == finder({"t": ("退货",)}).find("。" * (TEXT_CHARS_MAX - 1) + "退货")


@pytest.mark.parametrize("keyword", ["", " \n", "货" * (KEYWORD_CHARS_MAX + 1), "\ufdfa" * 4, " " * 100 + "a"])
def test_unusable_keywords_are_refused(keyword: str) -> None:
    with pytest.raises(Malformed) as refused:
        finder({"t": (keyword,)})
    assert {"field": "tags.t"} == refused.value.extra


def test_the_number_of_phrases_is_bounded() -> None:
    with pytest.raises(Malformed):
        finder({"t": tuple(str(number) for number in range(PHRASES_MAX + 1))})


def test_no_definitions_find_nothing() -> None:
    assert () == TagFinder({}).find("退货")
    assert () == TagFinder({"t": TagConfig("t")}).find("退货")


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_any_text_can_be_asked(text: str) -> None:
    shop = finder(SHOP, SHOP_EXCEPTIONS)
    assert set(shop.find(text)) <= SHOP.keys()
    assert shop.find(text) == shop.find(text)


PHRASES = st.text(alphabet="退货快ab1 ", min_size=1, max_size=4).filter(lambda phrase: bool(phrase.strip()))
SEVERAL = st.lists(PHRASES, max_size=4).map(tuple)
DEFINITIONS = st.dictionaries(
    st.sampled_from("xyz"), st.builds(TagConfig, name=st.just("t"), keywords=SEVERAL, except_=SEVERAL)
)


@settings(max_examples=1_000)
@given(definitions=DEFINITIONS, text=st.text(alphabet="退貨货快aAb1,é ", max_size=14))
def test_agrees_with_a_naive_finder(definitions: dict[str, TagConfig], text: str) -> None:
    assert naive(definitions, text) == TagFinder(definitions).find(text)


def naive(definitions: dict[str, TagConfig], text: str) -> tuple[str, ...]:
    """The three rules, word for word, in cubic time."""
    folded = fold(text)
    said = {(tag, at) for tag in definitions for at in places(definitions[tag].keywords, folded)}
    excepted = {(tag, at) for tag in definitions for at in places(definitions[tag].except_, folded)}
    hidden = {(tag, at) for (tag, at), (_, other) in product(said, said) if at < other}
    taken_out = {(tag, at) for (tag, at), (of, other) in product(said, excepted) if tag == of and at & other}
    taken_out -= {
        (tag, at) for tag, at in taken_out if all(other < at for of, other in excepted if of == tag and at & other)
    }
    return tuple(sorted({tag for tag, _ in said - hidden - taken_out}))


def places(phrases: tuple[str, ...], text: str) -> set[frozenset[int]]:
    """The character positions of each occurrence of each phrase that is not a part of a longer word."""
    found = set()
    for phrase, start in product({fold(phrase) for phrase in phrases}, range(len(text))):
        end = start + len(phrase)
        cut = any(spaced(text[edge - 1 : edge]) and spaced(text[edge : edge + 1]) for edge in (start, end))
        if text.startswith(phrase, start) and not (cut and start < end):
            found.add(frozenset(range(start, end)))
    return found


def spaced(char: str) -> bool:
    return char != "" and char in "ab1é"
