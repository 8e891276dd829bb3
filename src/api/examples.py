"""One body for each request that has one, as the OpenAPI document shows it. A test sends each to a running service."""

from collections.abc import Mapping
from typing import Any, Final

ID: Final = "0190c8f2-7a1b-7c3d-8e4f-5a6b7c8d9e0f"
"""Stands for an id that this service gave."""

_IDENTITY: Final = {"type": "phone", "value": "+8613800138000", "display_name": "Zhang San"}
_CONTACT: Final = {"channel": "voice", "external_id": "call-1", "identity": _IDENTITY, "text": "快递三天没更新"}

BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "post_contact": _CONTACT,
    "post_contacts": {"items": [_CONTACT]},
    "patch_contact": {"priority": 600},
    "cancel_contact": {"reason": "abandoned"},
    "post_message": {"from": "agent", "text": "您好，正在为您查询。"},
    "post_receipt": {"state": "delivered"},
    "transfer_contact": {"to": {"queue": "default"}, "reason": "refunds are settled there"},
    "return_contact": {"note": "settled: please go on"},
    "park_contact": {"until": "2027-03-01T09:00:00+08:00", "reason": "promised"},
    "resume_contact": {"reason": "requested"},
    "follow_up_contact": {"channel": "voice", "agent_id": "anna"},
    "escalate_contact": {"reason": "third call today"},
    "assign_contact": {"agent_id": "anna"},
    "take_back_contact": {"reason": "the desk is closed"},
    "pin_contact": {"agent_id": "anna"},
    "post_collaboration": {"tags": ["refund"], "respond_within_s": 600},
    "accept_collaboration": {"agent_id": "anna"},
    "reply_collaboration": {"kind": "feedback", "text": "The parcel left the warehouse today."},
    "close_collaboration": {"reason": "settled"},
    "put_agent": {
        "name": "Anna",
        "skills": {"logistics": 80},
        "languages": ["zh"],
        "channels": {"voice": {"cost": 100, "max": 1}, "webchat": {"cost": 25, "max": 4}},
    },
    "put_presence": {"status": "available"},
    "pause_agent": {"reason": "training"},
    "unpause_agent": {"reason": "training is over"},
    "decline": {"reason": "not mine"},
    "complete": {"resolved": True, "disposition": "refunded", "note": "The money is back in three days."},
    "patch_customer": {"tier": "vip"},
    "post_identity": {"type": "email", "value": "zhang@example.com"},
    "merge_customers": {"customer_id": ID},
    "unmerge_customer": {"customer_id": ID},
    "settle_conflict": {"verdict": "apart"},
    "settle_review": {"note": "Told the warehouse."},
    "put_satisfaction": {"score": 5},
    "put_common_problem": {"title": "已发货但物流三天未更新", "department": "warehouse", "tags": ["logistics"]},
    "link_common_problem": {"name": "parcels-stand-still"},
    "solve_common_problem": {"note": "The sorting centre works again: parcels move from tomorrow on."},
    "put_roster": {
        "shifts": [{"agent_id": "anna", "from": "2027-03-01T09:00:00+08:00", "to": "2027-03-01T17:00:00+08:00"}]
    },
    "post_progress_link": {"matters": "open", "ttl_s": 86_400},
    "put_queue": {"service_level": {"within_s": 30, "percent": 95}, "wrap_up_s": 30},
    "pause_queue": {"reason": "fire drill"},
    "resume_queue": {"reason": "over"},
    "put_tag": {"keywords": {"zh": ["快递", "物流"], "en": ["parcel"]}, "requires": {"logistics": 50}},
    "put_rule": {"when": {"channels": ["voice"]}, "then": {"priority": 60}},
    "put_pilot": {"percent": 50, "queues": {"default": {"wrap_up_s": 60}}},
    "put_department": {"teams": ["warehouse"], "deadlines": {"feedback_s": 3_600}},
    "put_settings": {"presence_grace_s": 30, "default_region": "CN"},
    "put_account": {"channel": "webchat", "settings": {"origins": ["https://shop.example"]}},
    "post_key": {"name": "mail gateway", "scopes": ["contacts:write"], "requests_per_s": 50},
    "rotate_key": {"overlap_s": 86_400},
    "post_token": {"agent_id": "anna", "role": "agent", "ttl_s": 3_600},
    "put_token_trust": {"algorithms": ["HS256", "RS256"], "jwks_url": "https://idp.example/jwks.json"},
    "rotate_token_secret": {"overlap_s": 86_400},
    "explain_routing": {"channel": "voice", "tags": ["logistics"]},
    "put_configuration": {
        "queues": {"refunds": {"wrap_up_s": 30}},
        "rules": {"refunds": {"when": {"tags_any": ["refund"]}, "then": {"queue": "refunds"}}},
    },
    "put_connector": {
        "url": "https://crm.example/customers/{identity.phone}",
        "secrets": {"Authorization": "Bearer secret"},
        "view": {"level": "/level"},
    },
    "put_webhook": {"url": "https://crm.example/events", "types": ["contact.closed", "sla.*"]},
    "rotate_webhook": {"overlap_s": 86_400},
    "replay_deliveries": {"seqs": [4711]},
    "post_directline_token": {"user": {"id": "dl_1"}},
    "post_directline_conversation": {"user": {"id": "dl_1"}},
    "post_directline_activity": {"type": "message", "text": "hello"},
    "post_session": {},
    "post_visitor_message": {"id": "message-one", "text": "hello"},
    "post_visitor_typing": {"typing": True},
    "post_visitor_seen": {"number": 1},
    "post_visitor_rating": {"score": 5},
}
"""By the name of the operation."""

FRAMES: Final[Mapping[str, Mapping[str, Any]]] = {
    "hello": {"token": "eyJhbGciOiJIUzI1NiJ9…", "after": 4711},
    "presence": {"status": "available", "ref": "1"},
    "accept": {"assignment_id": ID, "ref": "2"},
    "decline": {"assignment_id": ID, "reason": "not mine", "ref": "3"},
    "message": {"contact_id": ID, "text": "您好，正在为您查询。", "external_id": "desk-7-1", "ref": "4"},
    "typing": {"contact_id": ID, "typing": True},
    "complete": {"assignment_id": ID, "resolved": True, "disposition": "refunded", "ref": "5"},
    "wrap_up_done": {"assignment_id": ID, "ref": "6"},
    "subscribe": {"filter": {"types": ["contact.closed"], "queues": ["vip"]}, "ref": "7"},
    "ping": {},
}
"""What is said over `/v1/stream`, by the type of the frame."""

VISITOR_FRAMES: Final[Mapping[str, Mapping[str, Any]]] = {
    "hello": {"token": "eyJ2aXNpdG9yIjoi…", "after": 4711},
    "message": {"id": "a1b2c3d4", "text": "我的快递到哪了？", "language": "zh"},
    "typing": {"typing": True},
    "seen": {"number": 4790},
    "end": {"id": ID},
    "rating": {"id": ID, "score": 5, "comment": "Quick."},
    "sync": {},
    "ping": {},
}
"""What a visitor's browser says over its socket, by the type of the frame."""
