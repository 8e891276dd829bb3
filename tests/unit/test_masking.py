"""What is masked for those who see no numbers, and what is left as it is."""

from typing import Any

import pytest

from src.profile.masking import masked, masked_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("电话13800138000谢谢", "电话*******8000谢谢"),
        ("call +86 138 0013 8000 or 010-62345678", "call +** *** **** 8000 or ***-****5678"),
        ("13800138000,13900139000", "*******8000,*******9000"),
        ("008613800138000", "***********8000"),
        ("+44 20 7946 0958", "+** ** **** 0958"),
        ("write to zhang.san@mail.example", "write to z***@mail.example"),
    ],
)
def test_numbers_and_addresses_in_a_text(text: str, shown: str) -> None:
    assert shown == masked_text(text, "CN")


@pytest.mark.parametrize(
    "text",
    ["2026-11-21 20:38:27", "order 20261121", "订单号 202611212345678901", "a@b", "10086", "", "13,800 and 138,000"],
)
def test_what_is_no_number_stays(text: str) -> None:
    assert text == masked_text(text, "CN")


def test_numbers_are_read_where_the_tenant_is() -> None:
    assert "07400 123456" == masked_text("07400 123456", "CN")
    assert "***** **3456" == masked_text("07400 123456", "GB")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"type": "phone", "value": "+8613800138000"}, {"type": "phone", "value": "+*********8000"}),
        ({"type": "phone", "value": "+861234567"}, {"type": "phone", "value": "+*****4567"}),
        ({"type": "email", "value": "me@x.cn"}, {"type": "email", "value": "m***@x.cn"}),
        ({"type": "wechat_openid", "value": "o13800138000"}, {"type": "wechat_openid", "value": "o13800138000"}),
        ({"type": "sip_user", "value": "13800138000"}, {"type": "sip_user", "value": "*******8000"}),
        ({"attributes": {"mobile": 13800138000, "user_id": "13800138000", "n": 7, "yes": True}},
         {"attributes": {"mobile": "*******8000", "user_id": "*******8000", "n": 7, "yes": True}}),
        ({"external": {"crm": {"data": {"tel": ["13800138000"]}, "as_of": "2026-11-21T20:38:27.068Z"}}},
         {"external": {"crm": {"data": {"tel": ["*******8000"]}, "as_of": "2026-11-21T20:38:27.068Z"}}}),
        ({"payload": {"media_id": "0199c1d2-3456-7890-8aaa-123456789012"}},
         {"payload": {"media_id": "0199c1d2-3456-7890-8aaa-123456789012"}}),
        ({"words": [{"id": "13800138000", "text": "13800138000"}]},
         {"words": [{"id": "13800138000", "text": "*******8000"}]}),
    ],
)  # fmt: skip
def test_values(value: Any, shown: Any) -> None:
    assert shown == masked(value, "CN")
