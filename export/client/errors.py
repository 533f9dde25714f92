"""Turns servers' error answers into one line with advice.

gRPC has status codes, HTTP has its own, and the texts carry the rest; here both become
the names of gRPC codes and one of two exceptions: `ServerError`, which every further
image would meet too, and `RequestError`, which concerns one image.
"""

import math
import re
from dataclasses import dataclass

from pdm_tf.core.errors import UserError

# HTTP statuses by the gRPC codes that TF Serving, Triton and KServe make them from.
HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    412: "FAILED_PRECONDITION",
    413: "RESOURCE_EXHAUSTED",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TOO_LARGE = re.compile(
    r"(Received|Sent) message larger than max \((\d+) vs\. (\d+)\)", re.IGNORECASE
)
_NOT_GRPC = re.compile(r"http1\.x server|failed parsing http/2", re.IGNORECASE)
_UNKNOWN_MODEL = re.compile(
    r"unknown model|servable not found|could not find any versions|does not exist"
    r"|is not at ready state|has no available versions",
    re.IGNORECASE,
)
_WRONG_NAMES = re.compile(
    r"input size does not match signature|unexpected inference input"
    r"|missing named input|tensor name .* not found|expected .* inputs but got",
    re.IGNORECASE,
)


class ServerError(UserError):
    """The server cannot be used as asked; other images would fail in the same way."""


class RequestError(UserError):
    """One image failed; another may not."""


@dataclass(frozen=True)
class Asked:
    """The request and its server, for the messages.

    Attributes:
      server: HOST:PORT. protocol: the flag's value. model: as in "model sr version 3".
      signature: name, or "" where the protocol has none.
      timeout: seconds. max_message_mb: 0 for none.
    """

    server: str
    protocol: str
    model: str
    signature: str
    timeout: float
    max_message_mb: int


def explain(code: str, text: str, asked: Asked, loaded: str = "") -> UserError:
    """Returns the exception for an answer of `asked.server`.

    Args:
      code: name of the gRPC status code.
      text: the server's (or the gRPC library's) words.
      asked: the request.
      loaded: the server's versions of this model, if known.
    """
    first = _first_line(text)
    says = f" The server says: {first}" if first else ""
    if _NOT_GRPC.search(text):
        return ServerError(
            f"{asked.server} speaks HTTP, not gRPC. Use --protocol=rest or "
            "kserve_rest, or the server's gRPC port."
        )
    if code == "NOT_FOUND" or _UNKNOWN_MODEL.search(text):
        has = f" It has {loaded}." if loaded else ""
        return ServerError(
            f"{asked.server} does not serve {asked.model}.{has} "
            f"Check --model_name, --version and --label.{says}"
        )
    if "queue" in text and code == "UNAVAILABLE":
        return RequestError(f"the server is busy; lower --parallel.{says}")
    if code == "UNAVAILABLE":
        return not_there(first, asked)
    if code == "UNIMPLEMENTED":
        return ServerError(
            f"{asked.server} does not know this call of --protocol={asked.protocol}"
            f"{', or not for one version' if ' version ' in asked.model else ''}.{says}"
        )
    if code == "DEADLINE_EXCEEDED":
        return too_slow(asked)
    if code == "RESOURCE_EXHAUSTED":
        return _too_large(text, asked) or RequestError(
            f"the server has too little memory for it; send smaller images.{says}"
        )
    if "signature key" in text.lower() or "signaturedef" in text.lower():
        return ServerError(
            f"{asked.model} has no signature {asked.signature!r}. Check --signature."
            f"{says}"
        )
    if "Unrecognized servable version label" in text:
        return ServerError(
            f"{asked.server} has no such label for {asked.model}. Check --label and "
            f"the server's models.config.{says}"
        )
    if _WRONG_NAMES.search(text):
        return ServerError(
            f"{asked.model} takes other inputs than its exporter writes; it is not one "
            f"of ours, or --signature is wrong.{says}"
        )
    if "padding is turned off" in text:
        return RequestError(
            "it met an image of another size in the server's batch. Use "
            "--signature=serving_bytes, or a server without --enable_batching."
        )
    return RequestError(f"the server refuses it ({code}).{says}")


def not_there(reason: str, asked: Asked) -> ServerError:
    """Returns the error for a server that cannot be reached."""
    # An HTTP library quotes what a gRPC port sends: bytes that are no text.
    reason = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
    if "Socket closed" in reason:
        reason += " Is it an HTTP port?"
    return ServerError(
        f"No server answers at {asked.server} for --protocol={asked.protocol}. Check "
        "that it runs, and the port (TF Serving: 8500 gRPC, 8501 REST; Triton: 8001 "
        f"gRPC, 8000 HTTP). Reason: {reason}"
    )


def unreadable(error: Exception) -> RequestError:
    """Returns the error for an answer that was taken apart in vain."""
    if isinstance(error, RequestError):
        return error
    return RequestError(
        f"the server's answer cannot be read ({type(error).__name__}: {error})"
    )


def too_slow(asked: Asked) -> RequestError:
    """Returns the error for an answer that did not come in time."""
    return RequestError(
        f"no answer within --timeout={asked.timeout:g} seconds; the first image of a "
        "size may need longer"
    )


def answer_too_large(size: int | None, asked: Asked) -> RequestError:
    """Returns the error for a message above our limit; `size` in bytes, if known."""
    limit = asked.max_message_mb
    named = "a message" if size is None else f"a message of {size} bytes"
    enough = min(2 * limit, 2047) if size is None else math.ceil(size / (1 << 20))
    return RequestError(
        f"{named} is above --max_message_mb={limit} ({limit << 20} bytes). "
        f"Set --max_message_mb={enough} or 0"
    )


def _too_large(text: str, asked: Asked) -> RequestError | None:
    """The error for a gRPC message above a limit, ours or the server's."""
    found = _TOO_LARGE.search(text)
    if not found:
        return None
    size, limit = int(found[2]), int(found[3])
    if limit == asked.max_message_mb << 20:
        return answer_too_large(size, asked)
    return RequestError(
        f"a message of {size} bytes is above the server's limit of {limit}. Raise the "
        "server's (KServe: --grpc_max_receive_message_length and "
        "--grpc_max_send_message_length), or send smaller images"
    )


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return (lines[0][:300].rstrip(".") + ".") if lines else ""
