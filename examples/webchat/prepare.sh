#!/bin/sh
# Makes the account `shop` for pages of http://127.0.0.1:8080, and an agent; prints the agent's token.
set -eu
api=${CORDBOARD_URL:-http://127.0.0.1:8000}/v1

call() {
  curl --fail --silent --show-error -X "$1" "$api$2" -H "Authorization: Bearer $CORDBOARD_ADMIN_KEY" \
    -H 'content-type: application/json' -d "$3"
  echo
}

call PUT /channels/shop '{
  "channel": "webchat",
  "settings": {
    "origins": ["http://127.0.0.1:8080", "http://localhost:8080"],
    "title": {"zh": "好物商店客服", "en": "Shop support"},
    "greeting": {"zh": "您好，请问有什么可以帮您？", "en": "Hello, what can we do for you?"},
    "form": [{"name": "topic", "label": {"zh": "咨询类型", "en": "Topic"}, "kind": "choice",
              "options": ["物流", "退款", "其他"], "required": true}]
  }
}'
call PUT /agents/anna '{"name": "Anna", "skills": {}, "channels": {"webchat": {"cost": 25, "max": 4}}}'
call POST /tokens '{"agent_id": "anna"}'
