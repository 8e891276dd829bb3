"""The widget in a real browser, embedded in another website under a strict Content-Security-Policy."""

import base64
import gzip
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import FilePayload, Page, expect

import src.api.webchat
from tests.browser.conftest import Website

WIDGET = Path(src.api.webchat.__file__).parent / "widget"
WIDGET_BYTES_MAX = 25_000
CHATS = {"webchat": {"cost": 25, "max": 4}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PATIENCE_MS = 15_000

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mMQiVpFU8QwasGoBaMWjFowasGoBaMWjF"
    "owasGoBaMWDBULAEHrYD0heYepAAAAAElFTkSuQmCC"
)

expect.set_options(timeout=PATIENCE_MS)


def test_the_widget_is_small() -> None:
    modules = sorted(WIDGET.glob("*.js"))
    assert len(modules) > 1
    assert WIDGET_BYTES_MAX >= sum(len(gzip.compress(each.read_bytes(), 9)) for each in modules)


def test_nothing_is_inline() -> None:
    for each in WIDGET.glob("*.js"):
        text = each.read_text("utf-8")
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=", "<style"):
            assert word not in text, f"{each.name}: {word}"


async def opened(page: Page) -> None:
    await page.get_by_role("button", name="在线客服").click()


async def say(page: Page, text: str) -> None:
    box = page.get_by_label("您的消息")
    await box.fill(text)
    await box.press("Enter")


async def texts(page: Page) -> list[str]:
    return await page.locator(".bubble").all_inner_texts()


async def kept(page: Page, number: int) -> None:
    """Wait until so many messages are kept, and none waits to be sent."""
    await expect(page.locator("li .meta", has_text="您 ·")).to_have_count(number)
    await expect(page.locator("li", has_text="发送中")).to_have_count(0)


async def accepted(website: Website, anna: Any) -> dict[str, Any]:
    offered: dict[str, Any] = (await anna.event("contact.offered"))["data"]
    assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
    return offered


async def test_a_chat_from_the_first_word_to_the_stars(website: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.api.webchat.waiting.STAFFING_S", 0)
    await website.client.agent("anna", name="Anna", skills={}, channels=CHATS)
    async with website.visit() as (_, page):
        await opened(page)
        await expect(page.get_by_role("status")).to_contain_text("没有客服在线")
        await expect(page.get_by_label("您的消息")).to_be_focused()
        async with website.client.desktop("anna", status="available") as anna:
            await page.reload()
            await say_when_open(page, "我要退款\n订单 7 https://shop.example/7")
            offered = await accepted(website, anna)
            assert "我要退款\n订单 7 https://shop.example/7" == offered["contact"]["text"]
            await expect(page.get_by_role("status")).to_contain_text("Anna 正在为您服务")
            assert "https://shop.example/7" == await page.get_by_role("link").get_attribute("href")
            await page.get_by_label("您的消息").press_sequentially("在吗")
            while (await anna.frame())["type"] != "typing":
                pass
            await page.keyboard.press("Enter")
            assert "在吗" == (await anna.event("message.received"))["data"]["message"]["text"]
            await kept(page, 2)
            contact_id = offered["contact"]["id"]
            await anna.ask(type="typing", contact_id=contact_id)
            await expect(page.get_by_text("Anna 正在输入")).to_be_visible()
            await anna.ask(type="message", contact_id=contact_id, text="您好，请稍等")
            await expect(page.get_by_text("您好，请稍等")).to_be_visible()
            await expect(page.get_by_text("Anna 正在输入")).to_be_hidden()
            await anna.event("message.delivered")
            picture = FilePayload(name="照片.png", mimeType="image/png", buffer=PNG)
            await page.locator("input[type=file]").set_input_files(files=[picture])
            await expect(page.get_by_role("img", name="照片.png")).to_be_visible()
            program = FilePayload(name="照片.png", mimeType="image/png", buffer=b"MZ\x90\0")
            await page.locator("input[type=file]").set_input_files(files=[program])
            await expect(page.get_by_text("照片.png 无法发送：不支持此类文件")).to_be_visible()
            await anna.ask(type="complete", assignment_id=offered["assignment_id"])
        await expect(page.get_by_role("status").first).to_contain_text("本次对话已结束")
        await good(page)
        await page.get_by_label("4 分").check()
        await page.get_by_label("还有什么想对我们说的").fill("很好")
        await page.get_by_role("button", name="提交评价").click()
        await expect(page.get_by_text("感谢您的评价")).to_be_visible()
        contact = await website.client.call("GET", f"/v1/contacts/{offered['contact']['id']}")
        customer = await website.client.call("GET", f"/v1/customers/{contact['customer_id']}")
        assert {"rated": 1, "mean": 4} == customer["satisfaction"]
        assert contact["attributes"]["page"].startswith(website.origin)
        await page.get_by_role("button", name="重新咨询").click()
        await say(page, "还有一个问题")
        await kept(page, 4)
    assert 2 == len((await website.client.call("GET", "/v1/contacts"))["items"])


async def say_when_open(page: Page, text: str) -> None:
    if await page.locator(".panel").is_hidden():
        await opened(page)
    box = page.get_by_label("您的消息")
    await box.fill(text)
    await box.press("Enter")


@pytest.mark.parametrize("how", ["cut", "silent", "offline"])
async def test_the_network_drops_and_comes_back(website: Website, how: str) -> None:
    async with website.visit() as (context, page):
        await opened(page)
        await say(page, "一")
        await kept(page, 1)
        if how == "cut":
            await website.network.cut()
        elif how == "silent":
            website.network.silence()
        else:
            await context.set_offline(True)
        if how != "silent":
            await expect(page.get_by_role("alert").filter(has_text="网络已断开")).to_be_visible()
        contact = (await website.client.call("GET", "/v1/contacts"))["items"][0]
        answer = {"from": "agent", "text": "零"}
        await website.client.call("POST", f"/v1/contacts/{contact['id']}/messages", json=answer)
        await say(page, "二")
        await say(page, "三")
        await expect(page.locator("li", has_text="发送中")).to_have_count(2)
        assert ["一", "二", "三"] == await texts(page)
        if how == "offline":
            await context.set_offline(False)
        else:
            await website.network.heal()
        await kept(page, 3)
        await expect(page.get_by_role("alert").filter(has_text="网络已断开")).to_be_hidden()
        assert ["一", "零", "二", "三"] == await texts(page)
    contacts = (await website.client.call("GET", "/v1/contacts"))["items"]
    assert 1 == len(contacts)
    said = (await website.client.call("GET", f"/v1/contacts/{contacts[0]['id']}/messages"))["items"]
    assert ["一", "零", "二", "三"] == [each["text"] for each in said]


async def test_an_answer_that_was_swallowed_doubles_nothing(website: Website) -> None:
    async with website.visit() as (_, page):
        await opened(page)
        await say(page, "一")
        await kept(page, 1)
        website.network.deafen()
        await say(page, "二")
        await expect(page.locator("li", has_text="发送中")).to_have_count(1)
        await page.wait_for_timeout(500)
        await website.network.heal()
        await kept(page, 2)
        await page.reload()
        await expect(page.locator(".bubble")).to_have_count(2)
    contact = (await website.client.call("GET", "/v1/contacts"))["items"][0]
    said = (await website.client.call("GET", f"/v1/contacts/{contact['id']}/messages"))["items"]
    assert ["一", "二"] == [each["text"] for each in said]


async def test_what_was_written_before_a_reload_is_sent_after_it(website: Website) -> None:
    async with website.visit() as (context, page):
        await opened(page)
        await say(page, "一")
        await kept(page, 1)
        await context.set_offline(True)
        await say(page, "二")
        await context.set_offline(False)
        await page.reload()
        await opened(page)
        await kept(page, 2)
        assert ["一", "二"] == await texts(page)


async def test_what_was_written_too_fast_keeps_its_order_and_outlives_a_reload(website: Website) -> None:
    wanted = [str(number) for number in range(23)]
    async with website.visit() as (_, page):
        await opened(page)
        for each in wanted:
            await say(page, each)
        await expect(page.get_by_text("稍后会自动发出")).to_have_count(1)
        await page.reload()
        await opened(page)
        await kept(page, len(wanted))
        assert wanted == await texts(page)


async def test_half_a_character_holds_up_nothing(website: Website) -> None:
    async with website.visit() as (_, page):
        await opened(page)
        box = page.get_by_label("您的消息")
        await box.evaluate("each => { each.value = 'half \\ud83d' }")
        await box.press("Enter")
        await say(page, "二")
        await kept(page, 2)
        assert ["half \ufffd", "二"] == await texts(page)


async def test_what_one_tab_could_not_send_is_not_forgotten_by_another(website: Website) -> None:
    async with website.visit() as (context, one):
        await opened(one)
        await say(one, "一")
        await kept(one, 1)
        other = await context.new_page()
        await website.go(other)
        await opened(other)
        await expect(other.locator(".bubble")).to_have_count(1)
        await context.set_offline(True)
        await say(one, "二")
        await say(other, "三")
        await one.close()
        await context.set_offline(False)
        await other.reload()
        await opened(other)
        await kept(other, 3)
        assert ["一", "三", "二"] == sorted(await texts(other))


async def test_the_last_line_stays_in_sight_and_a_look_back_is_left_alone(website: Website) -> None:
    left = """() => {
        const body = document.querySelector('cordboard-chat').shadowRoot.querySelector('.body');
        return body.scrollHeight - body.scrollTop - body.clientHeight;
    }"""
    async with website.visit(viewport={"width": 360, "height": 500}) as (_, page):
        await opened(page)
        await say(page, "一")
        await kept(page, 1)
        contact = (await website.client.call("GET", "/v1/contacts"))["items"][0]

        async def told(text: str) -> None:
            body = {"from": "agent", "text": text}
            await website.client.call("POST", f"/v1/contacts/{contact['id']}/messages", json=body)
            await expect(page.get_by_text(text, exact=True)).to_have_count(1)

        for number in range(12):
            await told(f"答 {number}")
        await page.set_viewport_size({"width": 360, "height": 380})
        await page.wait_for_timeout(300)
        assert 2 > await page.evaluate(left)
        await page.locator(".body").hover()
        await page.mouse.wheel(0, -200)
        await page.wait_for_timeout(300)
        before = await page.evaluate(left)
        await told("又一条")
        assert before < await page.evaluate(left), "who reads what was said before goes on reading"


async def test_two_tabs_are_one_conversation(website: Website) -> None:
    async with website.visit() as (context, one):
        await opened(one)
        other = await context.new_page()
        await website.go(other)
        await opened(other)
        await expect(other.get_by_label("您的消息")).to_be_visible()
        await say(one, "一")
        await kept(one, 1)
        await expect(other.locator(".bubble")).to_have_count(1)
        await say(other, "二")
        await expect(one.locator(".bubble")).to_have_count(2)
        assert ["一", "二"] == await texts(one) == await texts(other)
    assert 1 == len((await website.client.call("GET", "/v1/contacts"))["items"])


async def test_the_form_and_the_keyboard_alone(website: Website) -> None:
    label = {"zh": "咨询类型", "en": "Topic"}
    fields = [
        {"name": "topic", "label": label, "kind": "choice", "options": ["物流", "退款"], "required": True},
        {"name": "email", "label": "邮箱", "kind": "email"},
    ]
    await website.account(
        form=fields, title={"zh": "好物商店", "en": "Shop"}, greeting={"zh": "您好！", "en": "Hello!"}
    )
    async with website.visit() as (_, page):
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="好物商店")
        await expect(dialog).to_be_visible()
        await expect(page.get_by_text("您好！")).to_be_visible()
        await expect(page.get_by_label("咨询类型")).to_be_visible()
        await page.get_by_label("咨询类型").focus()
        await page.get_by_role("button", name="开始咨询").press("Enter")
        await expect(page.get_by_role("alert").filter(has_text="请填写此项")).to_be_visible()
        await expect(page.get_by_label("咨询类型")).to_be_focused()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        await page.keyboard.type("li@shop.example")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("您的消息")).to_be_focused()
        await page.keyboard.type("你好")
        await page.keyboard.press("Enter")
        await kept(page, 1)
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("button", name="在线客服")).to_be_focused()
    contact = (await website.client.call("GET", "/v1/contacts"))["items"][0]
    assert {"topic": "退款", "email": "li@shop.example"} == {
        name: value for name, value in contact["attributes"].items() if name not in ("page", "left_message")
    }


@pytest.mark.parametrize(
    ("language", "device", "scheme"), [("zh-CN", {}, "light"), ("en-GB", PHONE, "dark"), ("zh-CN", PHONE, "light")]
)
async def test_axe_finds_nothing_serious(website: Website, language: str, device: dict[str, Any], scheme: str) -> None:
    fields = [{"name": "topic", "label": "Topic", "kind": "choice", "options": ["a"], "required": True}]
    await website.account(form=fields)
    async with website.visit(locale=language, color_scheme=scheme, **device) as (_, page):
        english = language.startswith("en")
        await page.evaluate("lang => { document.documentElement.lang = lang }", language)
        await page.evaluate(
            "() => { const chat = document.querySelector('cordboard-chat'); const again = chat.cloneNode();"
            " chat.replaceWith(again) }"
        )
        await good(page)
        await page.get_by_role("button", name="Chat with us" if english else "在线客服").click()
        await expect(page.get_by_label("Topic")).to_be_visible()
        await good(page)
        await page.get_by_label("Topic").select_option("a")
        await page.get_by_role("button", name="Start chat" if english else "开始咨询").click()
        box = page.get_by_label("Your message" if english else "您的消息")
        await box.fill("x" * 300)
        await box.press("Enter")
        await expect(page.locator("li .meta")).to_contain_text("You" if english else "您")
        await website.network.cut()
        await expect(page.get_by_role("alert").first).to_be_visible()
        await good(page)
        await website.network.heal()
        await expect(page.get_by_role("alert").first).to_be_hidden()
        await page.get_by_role("button", name="End chat" if english else "结束对话").click()
        await good(page)
        await page.get_by_role("button", name="End it" if english else "结束", exact=True).click()
        await expect(page.get_by_role("button", name="Start a new chat" if english else "重新咨询")).to_be_visible()
        await good(page)


async def good(page: Page) -> None:
    found = await Axe().run(page, options={"resultTypes": ["violations"]})
    serious = [each for each in found.response["violations"] if each["impact"] in ("serious", "critical", "moderate")]
    ours = [each for each in serious if each["id"] not in ("landmark-one-main", "region")]
    assert [] == [(each["id"], [node["html"] for node in each["nodes"]]) for each in ours]
