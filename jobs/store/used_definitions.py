"""What a Lua script uses of a prelude: whatever it defines is made anew at each call of the script.

A prelude is statements that begin at the start of a line; those that define no name always stay.
"""

import re

_STATEMENT = re.compile(r"(?m)^(?=(?!end\b)[a-z])")
_DEFINITION = re.compile(r"local function (\w+)|function (keys\.\w+)|(keys\.\w+) =|local (\w+) =")
_NAME = re.compile(r"keys\.\w+|\w+")
_COMMENT = re.compile(r"--[^\n]*")


def used_definitions(prelude: str, script: str) -> str:
    """Return the prelude without the definitions that neither the script nor what it uses needs."""
    statements = [(_defined_name(text), text) for text in _STATEMENT.split(prelude)]
    used, unread = set[str](), [script]
    unread += [text for name, text in statements if name is None]
    while unread:
        new = _names(unread.pop()) - used
        used |= new
        unread += [text for name, text in statements if name in new]
    return "".join(text for name, text in statements if name is None or name in used)


def _defined_name(statement: str) -> str | None:
    match = _DEFINITION.match(statement)
    return match and next(filter(None, match.groups()))


def _names(code: str) -> set[str]:
    """Return every word of some code, in its strings too, and `keys` for each key."""
    names = set(_NAME.findall(_COMMENT.sub("", code)))
    return names | {"keys"} if any(name.startswith("keys.") for name in names) else names
