"""Reads the code out of a tool call's arguments while the model is still writing them."""

import json
import re

from services.run_orchestrator.replies import FaultyReply, storable

_OPENING = re.compile(r'"code"\s*:\s*"')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_ESCAPED = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^u])")
_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?")  # of a pair, so far


class CodeArgument:
    """The arguments ``{"code": "…"}`` as text that grows.

    ``feed`` returns what became readable of the code; the pieces add up to what ``finish``
    returns. Arguments that are not JSON at all count as the code itself: small models
    write that.
    """

    def __init__(self) -> None:
        self.code = ""
        self._raw = ""
        self._next = -1  # where in _raw the unread part of the code begins; -1 before the code
        self._closed = False

    def feed(self, piece: str) -> str:
        self._raw += piece
        new = self._raw[len(self.code) :] if self._bare else self._decode()
        self.code += new
        return new

    def finish(self) -> str:
        """Return the code.

        Raises:
            FaultyReply: the arguments end in the middle, or hold no code.
        """
        if self._bare:
            return self.code
        try:
            arguments = json.loads(self._raw, strict=False)
        except ValueError as error:
            raise FaultyReply(f"arguments of code_interpreter are not JSON: {error}") from None
        code = arguments.get("code") if isinstance(arguments, dict) else None
        if not isinstance(code, str) or storable(code) != self.code:
            raise FaultyReply("arguments of code_interpreter hold no code")
        return self.code

    @property
    def _bare(self) -> bool:
        return bool(self._raw.strip()) and not self._raw.lstrip().startswith("{")

    def _decode(self) -> str:
        if self._next < 0:
            opening = _OPENING.search(self._raw)
            if not opening:
                return ""
            self._next = opening.end()
        decoded = []
        while not self._closed and self._next < len(self._raw):
            character = self._raw[self._next]
            if character == '"':
                self._closed = True
            elif character != "\\":
                decoded.append(character)
                self._next += 1
            elif escape := self._escape():
                decoded.append(escape)
            else:
                break
        return "".join(decoded)

    def _escape(self) -> str:
        """Take one escape sequence; nothing if it is not complete yet."""
        text = self._raw[self._next : self._next + 12]
        found = _ESCAPED.match(text)
        if not found or _HALF.fullmatch(text):
            return ""
        self._next += found.end()
        if found[0][1] == "u":
            return storable(json.loads(f'"{found[0]}"'))
        return _ESCAPES.get(found[0][1], found[0][1])
