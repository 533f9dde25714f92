"""Reads the pickles in PyTorch's files without executing anything.

A pickle is a program for a small stack machine. Python's own machine imports and calls
whatever the program names, which malicious weight files exploit. This one knows the
instructions that describe data, and for "import" and "call" a short list: those that
`torch.save` writes for a dictionary of tensors. An import is a name, never an object; a
call makes one of our own records. Everything else is refused by name.

`pickletools.genops` splits the bytes into instructions; it imports and calls nothing.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

from pdm_tf.core.errors import UserError
from pdm_tf.interop.tensors import DTYPES, Storage, Tensor

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_ALLOWED = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    *(f"torch.{name}" for name in _STORAGES),
    *(f"torch.{name}" for name in DTYPES),
}
# Instructions that put their argument on the stack.
# fmt: off
_CONSTANTS = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4",
    "BINFLOAT", "FLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE",
    "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES",
}
# fmt: on
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MOST_INSTRUCTIONS = 5_000_000
_MARK = object()
# Errors from bytes that are no pickle, including lengths that exceed any memory.
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError)


class Name:
    """The name of something that the pickle would have imported."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def storage_dtype(name: Any) -> str:
    """The dtype of a storage class that a pickle names.

    Raises:
      UserError: it is not one that we read.
    """
    text = name.text if isinstance(name, Name) else repr(name)
    module, _, last = text.rpartition(".")
    if module != "torch" or last not in _STORAGES:
        raise UserError(
            f"A storage must be of one of {', '.join(_STORAGES)}. "
            f"Received: {text[:80]}."
        )
    return _STORAGES[last]


def read_pickle(file: BinaryIO, find_storage: Callable[[Any], Storage]) -> Any:
    """Reads one pickle from where `file` stands to the pickle's end.

    Args:
      file: opened for reading bytes.
      find_storage: gets PyTorch's description of a storage (the persistent id).

    Returns:
      Dicts, lists, tuples, texts, numbers, None, and `Tensor` where PyTorch has one.

    Raises:
      UserError: an instruction, an import or a call that no dictionary of tensors
        needs, or a damaged pickle.
    """
    machine = _Machine(find_storage)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MOST_INSTRUCTIONS:
                raise UserError(
                    "A pickle of weights must have at most "
                    f"{_MOST_INSTRUCTIONS} instructions."
                )
            if opcode.name == "STOP":
                return machine.pop()
            machine.do(opcode.name, argument)
    except UserError:
        raise
    except _DAMAGE as error:
        raise UserError(
            f"The pickle is damaged: {type(error).__name__}: {str(error)[:120]}."
        ) from error
    raise UserError("The pickle is damaged: it has no end.")


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self, find_storage: Callable[[Any], Storage]) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._find_storage = find_storage

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def do(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _CONSTANTS:
            self._stack.append(argument)
        elif name in _VALUES:
            self._stack.append(_VALUES[name])
        else:
            method = getattr(self, f"_do_{name.lower()}", None)
            if method is None:
                raise UserError(
                    "A file of weights must be made of tensors, numbers, texts and "
                    f"dictionaries. Refused: the pickle instruction {name}. Nothing of "
                    "it was executed."
                )
            method(argument)

    def _marked(self) -> list[Any]:
        """Takes everything above the last mark."""
        for start in range(len(self._stack) - 1, -1, -1):
            if self._stack[start] is _MARK:
                values = self._stack[start + 1 :]
                del self._stack[start:]
                return values
        raise ValueError("no mark")

    def _do_proto(self, version: int) -> None:
        if version > 5:
            raise UserError(f"Pickles up to protocol 5 are read. Received: {version}.")

    def _do_frame(self, _: Any) -> None:
        """Skips the frame's length, a hint for reading ahead."""

    def _do_mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _do_pop(self, _: Any) -> None:
        self._stack.pop()

    def _do_put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    _do_binput = _do_long_binput = _do_put

    def _do_memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    _do_binget = _do_long_binget = _do_get

    def _do_empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def _do_empty_list(self, _: Any) -> None:
        self._stack.append([])

    def _do_empty_tuple(self, _: Any) -> None:
        self._stack.append(())

    def _do_tuple1(self, _: Any) -> None:
        self._tuple_of(1)

    def _do_tuple2(self, _: Any) -> None:
        self._tuple_of(2)

    def _do_tuple3(self, _: Any) -> None:
        self._tuple_of(3)

    def _tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def _do_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._marked()))

    def _do_list(self, _: Any) -> None:
        self._stack.append(self._marked())

    def _do_dict(self, _: Any) -> None:
        self._stack.append({})
        self._set_items(self._marked_below())

    def _marked_below(self) -> list[Any]:
        target = self._stack.pop()
        values = self._marked()
        self._stack.append(target)
        return values

    def _do_append(self, _: Any) -> None:
        self._extend([self.pop()])

    def _do_appends(self, _: Any) -> None:
        self._extend(self._marked())

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise ValueError("something is appended that has no list")
        target.extend(values)

    def _do_setitem(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set_items([key, value])

    def _do_setitems(self, _: Any) -> None:
        self._set_items(self._marked())

    def _set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError("an entry is set that has no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                raise ValueError(f"a key is a {type(key).__name__}, not a text")
            if isinstance(key, str) and key in target:
                raise UserError(
                    f"A name must come once in a file. Received: {key[:80]!r} twice."
                )
            target[key] = value

    def _do_global(self, argument: str) -> None:
        self._import(*argument.split(" ", 1))

    def _do_stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        self._import(module, name)

    def _import(self, module: Any, name: Any) -> None:
        text = f"{module}.{name}"
        if text not in _ALLOWED:
            raise UserError(
                "A file of weights must need nothing but tensors and dictionaries. "
                f"Refused: it wants to import {text[:120]}. Nothing of it was "
                "executed. If the file is a whole checkpoint or model that you trust, "
                "save only its state_dict with PyTorch."
            )
        self._stack.append(Name(text))

    def _do_reduce(self, _: Any) -> None:
        arguments, what = self.pop(), self.pop()
        text = what.text if isinstance(what, Name) else ""
        if not isinstance(arguments, tuple):
            raise ValueError("a call without arguments")
        if text == "collections.OrderedDict":
            self._stack.append({})
            for pair in arguments[0] if arguments else ():
                self._set_items(list(pair))
        elif text in (
            "torch._utils._rebuild_tensor",
            "torch._utils._rebuild_tensor_v2",
        ):
            self._stack.append(_tensor(arguments))
        elif text == "torch._utils._rebuild_parameter" and arguments:
            if not isinstance(arguments[0], Tensor):
                raise ValueError("a parameter without a tensor")
            self._stack.append(arguments[0])
        elif text == "torch.Size" and len(arguments) == 1:
            self._stack.append(tuple(arguments[0]))
        else:
            raise UserError(
                "A file of weights may call only what rebuilds tensors. Refused: a "
                f"call of {text or type(what).__name__}. Nothing of it was executed."
            )

    def _do_build(self, _: Any) -> None:
        """Drops an OrderedDict's attributes: PyTorch's `_metadata`, not needed here."""
        self.pop()
        if not isinstance(self._stack[-1], dict):
            raise UserError(
                "A file of weights may set attributes of dictionaries only. Refused: "
                f"of a {type(self._stack[-1]).__name__}. Nothing of it was executed."
            )

    def _do_binpersid(self, _: Any) -> None:
        self._stack.append(self._find_storage(self.pop()))


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    """(storage, offset, size, stride, ...) of `_rebuild_tensor` and `_v2`."""
    storage, offset, shape, strides = arguments[:4]
    is_made_of = isinstance(storage, Storage) and type(offset) is int
    if not is_made_of or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("a tensor is not made of a storage, an offset and sizes")
    return Tensor(storage, offset, shape, strides)
