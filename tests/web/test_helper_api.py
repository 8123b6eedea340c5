"""The helper's API takes exactly its messages."""

from __future__ import annotations

import base64
import json
import re

import pytest

from pkcs11_driver import wire
from tests.web.world import World

KEY = base64.b64encode(bytes(32)).decode()
SEEN = {"serial": "1", "label": "x", "user_pin": "ok", "so_pin": "ok"}
PROOF = {"signature": "", "certificate": "", "so_pin_in_force": "next", "user_pin_set": True}
JOB = "0" * 32
GOOD: dict[str, dict[str, object]] = {
    "/helper/v1/claim": {"code": "23456789", "public_key": KEY, "helper_version": "1"},
    f"/helper/v1/jobs/{JOB}/release": {"nonce": "ab" * 16, "token": SEEN},
    f"/helper/v1/jobs/{JOB}/report": {
        "epoch": 1, "nonce": "ab" * 16, "outcome": "done", "steps": ["so-login"], "proof": PROOF,
    },
}  # fmt: skip
BEARER = {"Authorization": "Bearer " + "x" * 43}
SEEN_TOKEN = wire.TokenSeen("1", "x", "ok", "ok")
EXAMPLES: dict[type, object] = {
    type(one): one
    for one in (
        wire.Claim("23456789", bytes(32), "1"), wire.Release("ab" * 16, SEEN_TOKEN), SEEN_TOKEN,
        wire.Released(1, "so_init_pin", b"", 60), wire.Proof(), wire.JobState("ready", "again"),
    )
}  # fmt: skip
ODD = [None, 1, True, 1.5, [], {}, ["x"], {"a": 1}, "x\0y", "\ud800"]


def _fields() -> list[tuple[str, str, object]]:
    return [(path, name, odd) for path, body in GOOD.items() for name in body for odd in ODD]


@pytest.mark.parametrize("path", GOOD)
def test_a_good_message_is_understood(shared: World, path: str) -> None:
    answer = shared.visitor().post(path, json=GOOD[path], headers=BEARER)
    assert answer.status_code == 403
    assert answer.json["type"] in ("pairing-code-refused", "job-refused")


def test_every_field_refuses_every_other_type(shared: World) -> None:
    """Peer failure 18."""
    visitor = shared.visitor()
    for path, name, odd in _fields():
        if name == "epoch" and odd == 1 and not isinstance(odd, bool):
            continue
        if (name, odd) in (("steps", []), ("steps", ["x"]), ("proof", {})):
            continue
        answer = visitor.post(path, json={**GOOD[path], name: odd}, headers=BEARER)
        assert (answer.status_code, answer.json["type"]) == (400, "bad-input"), (path, name, odd)
        detail = answer.json["detail"]
        assert detail.startswith((f"message.{name}", "message: This must be one JSON object")), (
            detail
        )
        assert re.search("This (must be .+|is unknown|is missing)[.]$", detail), detail


def test_missing_unknown_and_doubled_fields_are_refused(shared: World) -> None:
    visitor = shared.visitor()
    for path, body in GOOD.items():
        for name in body:
            less = {k: v for k, v in body.items() if k != name}
            assert visitor.post(path, json=less, headers=BEARER).status_code == 400
        assert visitor.post(path, json={**body, "more": 1}, headers=BEARER).status_code == 400
        twice = json.dumps(body)[:-1] + ', "nonce": "x", "code": "x"}'
        sent = {"data": twice, "content_type": "application/json", "headers": BEARER}
        assert visitor.client.post(path, base_url=visitor.base, **sent).status_code == 400  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"NaN", b'{"code": NaN}', b"[" * 60_000,
     "{}".encode("utf-16")],
)  # fmt: skip
def test_what_is_no_json_object_is_bad_input(shared: World, body: bytes) -> None:
    answer = shared.visitor().post("/helper/v1/claim", body, content_type="application/json")
    assert (answer.status_code, answer.json["type"]) == (400, "bad-input")


def test_a_problem_says_which_field_and_what_it_must_be(shared: World) -> None:
    claim = GOOD["/helper/v1/claim"]
    for changed, detail in (
        ({"code": 1}, "message.code: This must be text of at most 512 characters."),
        ({"code": "x" * 513}, "message.code: This must be text of at most 512 characters."),
        ({"public_key": KEY[:-4]},
         "message.public_key: This must be base64 (RFC 4648 section 4) of 32 bytes."),
        ({"more": 1}, "message.more: This is unknown."),
    ):  # fmt: skip
        answer = shared.visitor().post("/helper/v1/claim", json={**claim, **changed})
        assert (answer.status_code, answer.json["detail"]) == (400, detail)
        assert answer.json["field"] == detail.partition(":")[0]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_taken(shared: World, kind: str) -> None:
    body = json.dumps(GOOD["/helper/v1/claim"])
    answer = shared.visitor().post("/helper/v1/claim", body, content_type=kind)
    assert (answer.status_code, answer.json["type"]) == (415, "unsupported-type")


def test_cookies_play_no_part(world: World) -> None:
    visitor = world.logged_in()
    before = visitor.cookie()
    answer = visitor.post("/helper/v1/claim", json=GOOD["/helper/v1/claim"])
    assert "Set-Cookie" not in answer.headers
    assert visitor.cookie() == before


def _edges(schema: dict[str, object]) -> tuple[str, list[str]]:
    """A value of the greatest length that a field may have, and values that are just no more."""
    least, most = schema.get("minLength", 0), schema["maxLength"]
    assert isinstance(least, int)
    assert isinstance(most, int)
    if schema.get("contentEncoding") != "base64":
        return "x" * most, ["x" * (most + 1)]
    longest = KEY if most == len(KEY) else "AAAA" * (most // 4)
    shorter = ["AAAA" * (least // 4 - 1)] if least else []
    return longest, ["AAAA" * (most // 4 + 1), *shorter]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_openapi_document_and_the_parser_have_the_same_lengths(
    shared: World, kind: type
) -> None:
    told = shared.visitor().get("/helper/v1/openapi.json").json
    fields = told["components"]["schemas"][kind.__name__]["properties"]
    good = wire.to_json(EXAMPLES[kind])
    sized = {name: schema for name, schema in fields.items() if "maxLength" in schema}
    assert sized.keys() == {
        name
        for name, value in good.items()
        if isinstance(value, str) and "enum" not in fields[name]
    }
    for name, schema in sized.items():
        fits, breaks = _edges(schema)
        wire.from_json(kind, {**good, name: fits})
        for value in breaks:
            with pytest.raises(wire.WireError, match=f"message.{name}: must be"):
                wire.from_json(kind, {**good, name: value})


def test_the_openapi_document_describes_the_messages(shared: World) -> None:
    told = shared.visitor().get("/helper/v1/openapi.json").json
    schemas = told["components"]["schemas"]
    assert set(schemas["Claim"]["properties"]) == {"code", "public_key", "helper_version"}
    assert schemas["Report"]["properties"]["outcome"]["enum"] == list(wire.Outcome.__args__)  # type: ignore[attr-defined]
    assert schemas["Proof"]["required"] == []
    text = json.dumps(told)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= schemas.keys()
    rules = {r.rule for r in shared.public.url_map.iter_rules() if r.rule.startswith("/helper")}
    assert {p.replace("{job}", "<random:job>") for p in told["paths"]} == rules - {
        "/helper/v1/openapi.json"
    }
