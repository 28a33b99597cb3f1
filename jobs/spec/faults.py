"""pydantic's errors as faults of a JSON body: pointer, rule, value. Knows no rule of its own."""

from typing import Any

from pydantic import ValidationError

from jobs.spec.rules import Fault


class InvalidSpec(Exception):
    """A body that breaks the schema or a rule between fields; `faults` has all that were found."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


#: plainer words than pydantic's own, by its type of error
RULES = {
    "extra_forbidden": "unknown field",
    "missing": "required",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
}
#: for a union that no branch fits: the field that names the branch
NAMED_BY = {
    "unknown_family": "/family",
    "unknown_optimizer": "/name",
    "unknown_source": "/source",
}


def faults_of(error: ValidationError, body: object) -> list[Fault]:
    """Translate each error; a union's tags, which pydantic's paths hold, are no part of a body."""
    found = [_fault(item, body) for item in error.errors(include_url=False, include_context=False)]
    return list({(fault.pointer, fault.detail): fault for fault in found}.values())


def _fault(item: Any, body: object) -> Fault:
    kind, value = item["type"], item["input"]
    where = pointer(item["loc"], body, missing=kind == "missing")
    rule = RULES.get(kind, item["msg"].removeprefix("Value error, "))
    if kind in NAMED_BY and isinstance(value, dict):
        name = NAMED_BY[kind]
        return Fault(where + name, rule, value.get(name[1:]))
    return Fault(where, rule, None if kind == "missing" else value)


def pointer(path: tuple[str | int, ...], body: object, *, missing: bool = False) -> str:
    """Make the JSON pointer (RFC 6901) of a pydantic path into `body`.

    A step that `body` has not got is a tag (the name of a union's branch, or of a type) and is left
    out; the last step of a `missing` field is its name.
    """
    parts: list[str] = []
    node = body
    for at, step in enumerate(path):
        if _holds(node, step):
            node = node[step]  # type: ignore[index]
        elif not (missing and at == len(path) - 1):
            continue
        parts.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join("/" + part for part in parts)


def _holds(node: object, step: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, dict) and step in node
