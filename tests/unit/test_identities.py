"""Where an identity means somebody, of which a person has one, and who vouches for it."""

import pytest

from src.profile.identities import TOKEN_TYPES, Identity, disagreement, needs_region, normalised, plain


@pytest.mark.parametrize("kind", ["external_id", "visitor", "sip_user", "call", "web_user"])
def test_what_means_something_at_one_account_only_is_another_at_the_next(kind: str) -> None:
    here, there = (normalised(Identity(kind, "1001"), account=each) for each in ("crm", "shop"))
    assert here.key != there.key
    assert here.key == normalised(Identity(kind, " 1001 "), account="crm").key
    shared = [normalised(Identity(kind, "1001", scope="group"), account=each) for each in ("crm", "shop")]
    assert shared[0].key == shared[1].key, "accounts that have the same numbers say so"


@pytest.mark.parametrize("kind", ["wechat_openid", "wechat_unionid", "wecom_external_userid", "member"])
def test_others_mean_the_same_person_everywhere(kind: str) -> None:
    here, there = (normalised(Identity(kind, "oMe"), account=each) for each in ("crm", "shop"))
    assert here.key == there.key


def test_a_gateway_gets_its_own_numbers_back() -> None:
    identity = normalised(Identity("external_id", "1001"), account="crm")
    assert ("1001", "1001@crm") == (identity.value, identity.key[1])
    assert "1001" == plain(identity.key[1], identity.scope)


def _told_apart(kind: str, one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two persons differ who hold these, each a value and the account that it came by."""
    held = []
    for value, account in (one, other):
        identity = normalised(Identity(kind, value), account=account)
        held.append([(identity.type, identity.key[1], identity.scope)])
    return disagreement(*held) is not None


@pytest.mark.parametrize(
    "kind", ["wechat_openid", "wechat_unionid", "wecom_external_userid", "external_id", "web_user"]
)
def test_two_of_a_kind_tell_apart_in_one_scope_only(kind: str) -> None:
    assert _told_apart(kind, ("u1", "a"), ("u2", "a"))
    assert not _told_apart(kind, ("u1", "a"), ("u1", "a"))
    assert not _told_apart(kind, ("u1", "a"), ("u2", "b")), "of two companies or gateways a person has one each"


@pytest.mark.parametrize("kind", sorted(TOKEN_TYPES))
def test_an_id_of_nobody_knows_whom_tells_nothing(kind: str) -> None:
    assert not _told_apart(kind, ("u1", ""), ("u2", ""))


@pytest.mark.parametrize(
    ("kind", "proven", "by_channel", "by_somebody"),
    [
        ("phone", None, True, False),
        ("phone", True, True, True),
        ("phone", False, False, False),
        ("member", None, True, False),
        ("email", None, False, False),
        ("email", True, True, True),
        ("wechat_unionid", None, True, True),
        ("external_id", None, True, True),
    ],
)
def test_who_vouches_for_it(kind: str, proven: bool | None, by_channel: bool, by_somebody: bool) -> None:
    value = {"phone": "13800138000", "email": "me@x.cn"}.get(kind, "uMe")
    identity = Identity(kind, value, proven=proven)
    assert by_channel == normalised(identity, default_region="CN").strong
    assert by_somebody == normalised(identity, default_region="CN", vouched=False).strong


def test_two_extensions_of_one_number_are_two() -> None:
    numbers = ("+86 10 6234 5678 ext. 5", "+861062345678;ext=6", "010-62345678")
    found = [normalised(Identity("phone", each), default_region="CN").value for each in numbers]
    assert ["+861062345678;ext=5", "+861062345678;ext=6", "+861062345678"] == found
    assert found[0] == normalised(Identity("phone", found[0])).value, "it is its own normal form"


@pytest.mark.parametrize(
    ("value", "depends"),
    [
        ("+86 138 0013 8000", False),
        ("tel:+1-201-555-0123;ext=5", False),
        ("tel:13800138000;phone-context=+86", False),
        (" ＋8613800138000 ", False),
        ("13800138000", True),
        ("0086 138 0013 8000", True),
        ("+0086 138 0013 8000", True),
        ("+999 1380 0138", True),
        ("nobody", True),
    ],
)
def test_where_a_number_is_read_matters_only_without_a_country_code(value: str, depends: bool) -> None:
    identity = Identity("phone", value)
    assert needs_region(identity) is depends
    if not depends:
        assert len({normalised(identity, default_region=each).value for each in (None, "CN", "US", "IT")}) == 1
    assert not needs_region(Identity("member", value))
