"""What operators are given fits the service: settings exist, ports and probes agree, nothing internal is published."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs  # comes with schemathesis
import promql_parser
import pytest
import yaml

from src.api.ops import DATABASE_S_MAX
from src.config import Settings
from src.metrics import REGISTRY, shown

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "tests" / "fixtures" / "deploy"
SETTINGS = {f"CORDBOARD_{name.upper()}" for name in Settings.model_fields}
PATHS = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))["paths"]


def manifests() -> dict[str, dict[str, Any]]:
    text = (ROOT / "deploy" / "kubernetes" / "cordboard.yaml").read_text("utf-8")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def test_kubernetes_probes_ports_and_settings() -> None:
    found = manifests()
    spec = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in PATHS
        assert "http" == asked["port"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env.keys() - {"POD_IP"} <= SETTINGS
    assert f"{found['Service']['metadata']['name']}_PORT".upper() in SETTINGS, "Kubernetes would set it to tcp://..."
    assert spec["enableServiceLinks"] is False
    assert str(ports["internal"]) == env["CORDBOARD_INTERNAL_PORT"]
    assert f"http://$(POD_IP):{ports['internal']}" == env["CORDBOARD_INTERNAL_ADDRESS"]
    assert spec["terminationGracePeriodSeconds"] > float(env["CORDBOARD_DRAIN_S"] or 0) + 15 + 8
    secret = yaml.safe_load((ROOT / "deploy" / "examples" / "secret.yaml").read_text("utf-8"))
    assert secret["stringData"].keys() <= SETTINGS
    assert secret["metadata"]["name"] == container["envFrom"][0]["secretRef"]["name"]


def test_kubernetes_objects_mean_the_same_pods_and_publish_nothing_internal() -> None:
    found = manifests()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == found["Service"]["spec"]["selector"]
    for kind, selector in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert labels == found[kind]["spec"][selector]["matchLabels"]
    assert ["http"] == [each["targetPort"] for each in found["Service"]["spec"]["ports"]]
    _, internal = found["NetworkPolicy"]["spec"]["ingress"]
    assert [{"podSelector": {"matchLabels": labels}}] == internal["from"]
    scaled = found["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    adapter = yaml.safe_load((ROOT / "deploy" / "examples" / "prometheus-adapter.yaml").read_text("utf-8"))
    (metric,) = [each["pods"]["metric"]["name"] for each in scaled["metrics"]]
    (rule,) = [each for each in adapter["rules"]["custom"] if each["name"]["as"] == metric]
    assert rule["seriesQuery"].partition("{")[0].encode() in shown(), "the service tells what it is scaled by"
    assert "replicas" not in found["Deployment"]["spec"], "a new release would undo what the autoscaler did"


def test_compose_brings_three_processes_and_the_balancer_knows_them() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    processes = [name for name in services if name.startswith("cordboard-")]
    balancer = (ROOT / "deploy" / "haproxy.cfg").read_text("utf-8")
    assert 3 == len(processes)
    assert processes == re.findall(r"^\s+server \w+ ([\w-]+):8000$", balancer, re.MULTILINE)
    for name in processes:
        assert services[name]["environment"].keys() <= SETTINGS
        assert "ports" not in services[name]
    (published,) = services["balancer"]["ports"]
    assert published.endswith(":8000")
    assert services["balancer"]["depends_on"] == processes
    assert re.search(r"httpchk GET (\S+)", balancer).group(1) in PATHS  # type: ignore[union-attr]
    waits_s = re.search(r"^\s+timeout check (\d+)s$", balancer, re.MULTILINE)
    assert waits_s is not None, "HAProxy gives a check no longer than its interval"
    assert int(waits_s.group(1)) > DATABASE_S_MAX
    refused = re.search(
        r"http-error status 503 content-type (\S+) string '(.+)' hdr Retry-After \d+$", balancer, re.MULTILINE
    )
    assert refused is not None, "a 503 says when to come back, whoever says it"
    assert "application/problem+json" == refused.group(1)
    assert {"status": 503, "code": "unavailable"}.items() <= json.loads(refused.group(2)).items()
    assert "http-request deny if { path,url_dec -m beg /metrics }" in balancer, "the service takes /%6detrics too"


def _check(expression: str) -> None:
    """A query that Prometheus understands, of series that the service tells."""
    expression = expression.replace("$__rate_interval", "5m")
    promql_parser.parse(expression)
    named = re.findall(r"\b(?:cordboard|process)_\w+", expression)
    assert named
    assert set(named) <= SERIES, expression


SERIES = {
    each.name + end
    for each in REGISTRY.collect()
    for end in {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(each.type, [""])
}


def test_alerts_are_queries_of_what_the_service_tells() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql_parser.parse("sum(rate(cordboard_events_total[5m])")
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8"))
    (group,) = rules["groups"]
    for rule in group["rules"]:
        _check(rule["expr"])
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert label == "instance" or f"by ({label})" in rule["expr"]
    assert len({each["alert"] for each in group["rules"]}) == len(group["rules"])


def test_the_dashboard_shows_everything_that_the_service_counts() -> None:
    board = json.loads((ROOT / "deploy" / "grafana" / "cordboard.json").read_text("utf-8"))
    panels = [each for each in board["panels"] if each["type"] != "row"]
    queries = [target["expr"] for each in panels for target in each["targets"]]
    for each in queries:
        _check(each)
    shown_there = set(re.findall(r"\bcordboard_\w+", " ".join(queries)))
    for family in REGISTRY.collect():
        if family.name.startswith("cordboard_"):
            assert any(each.startswith(family.name) for each in shown_there), family.name
    assert len(board["panels"]) == len({each["id"] for each in board["panels"]})
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in board["panels"]]
    assert len(places) == len(set(places)), "no panel lies on another"


def kubernetes_schema(kind: str) -> jsonschema_rs.Validator:
    """What Kubernetes takes as an object of this kind; fields that it does not know are wrong."""
    found = json.loads((SCHEMAS / "kubernetes.json").read_text("utf-8"))
    return jsonschema_rs.validator_for({"$ref": f"#/$defs/{found['kinds'][kind]}", "$defs": found["$defs"]})


def test_kubernetes_takes_every_object() -> None:
    secret = yaml.safe_load((ROOT / "deploy" / "examples" / "secret.yaml").read_text("utf-8"))
    for each in (*manifests().values(), secret):
        kubernetes_schema(each["kind"]).validate(each)


def test_compose_takes_the_file() -> None:
    schema = jsonschema_rs.validator_for(json.loads((SCHEMAS / "compose.json").read_text("utf-8")))
    found = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    schema.validate(found)
    found["services"]["balancer"]["port"] = found["services"]["balancer"].pop("ports")
    assert not schema.is_valid(found)


@pytest.mark.parametrize("field", ["replica", "replicas"])
def test_the_schemas_know_a_misspelt_field_and_a_wrong_type(field: str) -> None:
    deployment = copy.deepcopy(manifests()["Deployment"])
    deployment["spec"][field] = "three"
    assert not kubernetes_schema("Deployment").is_valid(deployment)
