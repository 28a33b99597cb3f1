"""The rules that pydantic checks, in the words of all our errors: what a value must be."""

from collections.abc import Mapping
from typing import Any

#: by pydantic's type of error; a name in braces is of its context
RULES = {
    "extra_forbidden": "unknown field",
    "missing": "required",
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "literal_error": "one of {expected}",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
}
#: by a text's pattern: what it lets pass
PATTERN_RULES = {
    "^ds_[a-z0-9]{26}$": "the id of a dataset: ds_ and 26 of a-z and 0-9",
    "^job_[a-z0-9]{26}$": "the id of a job: job_ and 26 of a-z and 0-9",
    "^[^:]+$": "a text without a colon",
    "^[a-z0-9_]+(,[a-z0-9_]+)?$": "the name of a column, or of two with a comma between them",
    "^[a-z0-9_]+(,[a-z0-9_]+)*$": "names of columns, with commas between them",
    "^[a-z0-9_][a-z0-9_-]{0,63}$": "1 to 64 of a-z, 0-9, _ and -, the first one not -",
}


def describe_rule(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """Return the broken rule of an error of pydantic's, or of one of ours, which has its message.

    `kind` is its type, `context` its `ctx`, which errors of lists in pieces have as well.
    """
    if kind == "string_pattern_mismatch":
        return PATTERN_RULES.get(context["pattern"], f"a text of the form {context['pattern']}")
    if kind not in RULES or (kind == "too_long" and "max_length" not in context):
        return message.removeprefix("Value error, ")
    if kind == "literal_error" and " or " not in context["expected"]:
        return str(context["expected"])
    rule = RULES[kind].format(**context)
    return rule[:-1] if rule in ("at least 1 characters", "at least 1 items") else rule
