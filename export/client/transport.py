"""Calls to a server by gRPC and by HTTP, whose errors are explained.

The message limits are the point of the gRPC side: gRPC refuses answers above 4 MiB
unless the client says otherwise, and a photograph x4 is larger. The HTTP side is the
standard library's.
"""

import http.client
import urllib.error
import urllib.request
from typing import Any

import grpc

from export.client.errors import (
    HTTP_CODES,
    Asked,
    answer_too_large,
    explain,
    not_there,
    too_slow,
)
from pdm_tf.core.stored import parse_json

_MOST_ERROR = 1 << 16  # bytes of an error that are read
_LOOPBACK = ("localhost:", "127.", "[::1]:")


class GrpcCaller:
    """One channel, and calls on it whose errors are explained."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        limit = (asked.max_message_mb << 20) or -1
        options = [
            ("grpc.max_send_message_length", limit),
            ("grpc.max_receive_message_length", limit),
        ]
        if _is_loopback(asked.server):  # a proxy could not reach it
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = grpc.insecure_channel(asked.server, options)

    def call(self, path: str, request: Any, answer: type, loaded: str = "") -> Any:
        """Calls the method at `path` ("/package.Service/Method").

        Raises:
          ServerError, RequestError: see `client/errors.explain`; `loaded` goes there.
        """
        size = request.ByteSize()
        if size >= 1 << 31:  # protobuf's own limit
            raise answer_too_large(size, self.asked)
        method = self._channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return method(request, timeout=self.asked.timeout)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details() or ""
            raise explain(code, text, self.asked, loaded) from error

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()


class HttpCaller:
    """Requests to one server, whose errors are explained."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        proxies = urllib.request.ProxyHandler(
            {} if _is_loopback(asked.server) else None
        )
        self._opener = urllib.request.build_opener(proxies)

    def call(
        self,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        loaded: str = "",
    ) -> tuple[bytes, dict[str, str]]:
        """Returns the answer's body and headers (names in lower case).

        A GET without a body, a POST with one.

        Raises:
          ServerError, RequestError: see `client/errors.explain`; `loaded` goes there.
        """
        if body is not None:
            self._check_size(len(body))
        request = urllib.request.Request(
            f"http://{self.asked.server}{path}", data=body, headers=headers or {}
        )
        try:
            with self._opener.open(request, timeout=self.asked.timeout) as answer:
                self._check_size(answer.length or 0)
                found = {name.lower(): text for name, text in answer.headers.items()}
                return self._read(answer), found
        except urllib.error.HTTPError as error:
            code = HTTP_CODES.get(error.code, "INTERNAL")
            text = (
                _error_text(error.read(_MOST_ERROR))
                or f"HTTP {error.code} {error.reason}"
            )
            raise explain(code, text, self.asked, loaded) from error
        except TimeoutError as error:
            raise too_slow(self.asked) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise too_slow(self.asked) from error
            raise not_there(str(error.reason), self.asked) from error
        except (http.client.HTTPException, ConnectionError) as error:
            reason = f"{type(error).__name__} {error}. Is it a gRPC port?"
            raise not_there(reason, self.asked) from error

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        """Reads all of the body; one that does not state its length is limited too."""
        limit = self.asked.max_message_mb << 20
        data = answer.read(limit + 1) if limit else answer.read()
        if limit and len(data) > limit:
            raise answer_too_large(None, self.asked)
        return data

    def _check_size(self, size: int) -> None:
        limit = self.asked.max_message_mb << 20
        if limit and size > limit:
            raise answer_too_large(size, self.asked)

    def close(self) -> None:
        """Ends the connection."""
        self._opener.close()


def _is_loopback(server: str) -> bool:
    """Whether HOST:PORT is this machine, which no proxy leads to."""
    return server.startswith(_LOOPBACK)


def _error_text(body: bytes) -> str:
    """The words in an error's body: JSON {"error": ...} or {"detail": ...}, or text."""
    text = body.decode("utf-8", errors="replace")
    try:
        answer = parse_json(text)
    except ValueError:
        return text
    if isinstance(answer, dict):
        return str(answer.get("error") or answer.get("detail") or text)
    return text
