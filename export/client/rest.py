"""TF Serving over REST, and the HTTP calls that `client/kserve.py` shares.

Standard library only. Encoded files go as base64, which costs a third more than the
bytes; numbers go as JSON text, which costs about twenty bytes each.
"""

import base64
import http.client
import json
import urllib.error
import urllib.request
from typing import Any

import numpy as np

from export.client.errors import (
    HTTP_CODES,
    Asked,
    RequestError,
    ServerError,
    explain,
    not_there,
    too_large_answer,
    too_slow,
)
from export.client.grpc import is_loopback, versions_text
from export.client.service import Payload, checked_png, png_of_array
from export.signatures import SIGNATURES
from pdm_tf.core.images import to_float


class HttpCaller:
    """Requests to one server, whose errors are explained."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        proxies = urllib.request.ProxyHandler({} if is_loopback(asked.server) else None)
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
                self._check_size(int(answer.headers.get("Content-Length", 0)))
                found = {name.lower(): text for name, text in answer.headers.items()}
                return self._read(answer), found
        except urllib.error.HTTPError as error:
            code = HTTP_CODES.get(error.code, "INTERNAL")
            text = _error_text(error.read()) or f"HTTP {error.code} {error.reason}"
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
        """All of the body; one that does not tell its length is limited too."""
        limit = self.asked.max_message_mb << 20
        data = answer.read(limit + 1) if limit else answer.read()
        if limit and len(data) > limit:
            raise too_large_answer(None, self.asked)
        return data

    def _check_size(self, size: int) -> None:
        limit = self.asked.max_message_mb << 20
        if limit and size > limit:
            raise too_large_answer(size, self.asked)

    def close(self) -> None:
        """Ends the connection."""
        self._opener.close()


class TfServingRest:
    """A model on TF Serving's REST port; a `Service`."""

    def __init__(
        self, asked: Asked, *, model_name: str, version: int, label: str
    ) -> None:
        self._caller = HttpCaller(asked)
        self._name, self._version = model_name, version
        which = f"/versions/{version}" if version else ""
        which = f"/labels/{label}" if label else which
        self._path = f"/v1/models/{model_name}{which}:predict"
        self._signature = asked.signature

    def check(self) -> str:
        body, _ = self._caller.call(f"/v1/models/{self._name}")
        try:
            found = {
                int(status["version"]): str(status["state"])
                for status in json.loads(body)["model_version_status"]
            }
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError(
                f"{self._caller.asked.server} answers, but not as TF Serving does. "
                "Check --server and --protocol."
            ) from error
        if self._version and found.get(self._version) != "AVAILABLE":
            raise explain("NOT_FOUND", "", self._caller.asked, versions_text(found))
        return f"{self._name}: {versions_text(found)}"

    def upscale(self, payload: Payload) -> bytes:
        signature = SIGNATURES[self._signature]
        request: dict[str, Any] = {"signature_name": self._signature}
        if signature.dtype == "string":
            request["instances"] = [{"b64": base64.b64encode(payload.file).decode()}]
        else:
            image = payload.lr_u8
            image = image if signature.dtype == "uint8" else to_float(image)
            request["inputs"] = {signature.input: image[None].tolist()}
        body, _ = self._caller.call(
            self._path,
            json.dumps(request).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            answer = json.loads(body)
            if signature.dtype == "string":
                data = base64.b64decode(answer["predictions"][0]["b64"], validate=True)
            else:
                array = np.asarray(answer["outputs"], signature.dtype)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise RequestError(
                "the server's answer is not what this signature gives "
                f"({type(error).__name__}: {error})"
            ) from error
        if signature.dtype == "string":
            return checked_png(data, payload)
        return png_of_array(array, payload)

    def close(self) -> None:
        self._caller.close()


def _error_text(body: bytes) -> str:
    """The words in an error's body: JSON {"error": ...} or {"detail": ...}, or text."""
    text = body.decode("utf-8", errors="replace")
    try:
        answer = json.loads(text)
    except json.JSONDecodeError:
        return text
    if isinstance(answer, dict):
        return str(answer.get("error") or answer.get("detail") or text)
    return text
