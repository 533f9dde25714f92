"""What of the KServe server can be reached, without kserve: the ASGI door alone."""

import asyncio
import json

import pytest

from export.kserve_server import Door

LIMIT = 100
INFER = "/v2/models/sr/infer"


def _called(method, path, *bodies, stated=None):
    """Returns (status, answer, bytes that the application took) of one request."""
    taken, sent = [], []

    async def application(scope, receive, send):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            taken.append(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error": ""}'})

    left = list(bodies) or [b""]

    async def receive():
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    headers = [] if stated is None else [(b"content-length", stated)]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(Door(application, LIMIT)(scope, receive, send))
    starts = [one for one in sent if one["type"] == "http.response.start"]
    body = b"".join(one.get("body", b"") for one in sent)
    assert len(starts) == 1
    return starts[0]["status"], json.loads(body)["error"], len(b"".join(taken))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/health/ready", 200),
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/models/sr", 200),
        ("GET", "/v2/models/sr/ready", 200),
        ("GET", "/metrics", 200),
        ("POST", INFER, 200),
        ("POST", "/v2/models/sr/versions/1/infer", 200),
        ("POST", "/v2/repository/models/sr/unload", 404),
        ("POST", "/v2/repository/models/sr/load", 404),
        ("POST", "/v2/models/../repository/models/sr/unload", 404),
        ("POST", "/v1/models/sr:predict", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("DELETE", "/v2/models/sr", 404),
    ],
)
def test_only_what_clients_need_is_there(method, path, status):
    assert _called(method, path, b"x")[0] == status


@pytest.mark.parametrize(
    ("bodies", "stated", "status", "most_taken"),
    [
        ([b"x" * LIMIT], b"100", 200, LIMIT),
        ([b"x" * 50, b"x" * 50], None, 200, LIMIT),
        # Refused by what it states, before anything is read.
        ([b"x"], b"101", 413, 0),
        ([b"x"], b"9" * 30, 413, 0),
        ([b"x"], b"-1", 413, 0),
        # It states nothing, or too little: refused where it grows above the limit.
        ([b"x" * 60, b"x" * 60, b"x" * 60], None, 413, 60),
        ([b"x" * 60, b"x" * 60], b"10", 413, 60),
    ],
)
def test_a_body_above_the_limit_is_not_read(bodies, stated, status, most_taken):
    got, error, taken = _called("POST", INFER, *bodies, stated=stated)
    assert got == status and taken <= most_taken
    assert ("--max_message_mb" in error) == (status == 413)


def test_only_so_many_requests_wait():
    """Each may hold a body; health is asked for all the same, and the queue drains."""

    async def crowd():
        goes_on, statuses = asyncio.Event(), []

        async def application(scope, receive, send):
            if scope["method"] == "POST":
                await goes_on.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        door = Door(application, LIMIT)

        def asked(method, path):
            scope = {"type": "http", "method": method, "path": path, "headers": []}
            return door(scope, None, send)

        waiting = [asyncio.create_task(asked("POST", INFER)) for _ in range(40)]
        await asyncio.sleep(0)
        await asked("GET", "/v2/health/ready")
        goes_on.set()
        await asyncio.gather(*waiting)
        await asked("POST", INFER)
        return statuses

    statuses = asyncio.run(crowd())
    assert statuses[:9] == [503] * 8 + [200] and statuses[9:] == [200] * 33
