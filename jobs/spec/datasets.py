"""A spec against the profiles of its datasets: every fault at submission, and the facts if none.

Reads profiles, never data. Who looks a dataset up by its id is the caller's affair.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from jobs.spec.data import DatasetData, window_faults
from jobs.spec.facts import Classes, Facts, Source
from jobs.spec.profiles import MOST_CLASSES, Column, DatasetProfile
from jobs.spec.rules import Fault
from jobs.spec.training import Validation


class Known(NamedTuple):
    """A dataset that a spec may use."""

    source: Source
    profile: DatasetProfile


LookUp = Callable[[str], Known | None]

UNKNOWN = "the id of a dataset of yours; there is none of this id"
FEW = f"at most {MOST_CLASSES:,} different whole numbers"


class Unfit(Exception):
    """A spec that its datasets do not fit; `faults` has all that were found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.faults = list(faults)


def nobody(_dataset_id: str) -> None:
    """Look a dataset up where there are none."""


def facts_of(
    data: object, validation: Validation | None, objective: str | None, look_up: LookUp
) -> Facts | None:
    """Look the datasets of a spec up and say what their columns become; None without any.

    Raises Unfit with every fault.
    """
    if not isinstance(data, DatasetData):
        if validation is not None and validation.id is not None:
            rule = "a fraction: only a job on a dataset can be validated on another"
            raise Unfit([Fault("/validation/id", rule, validation.id)])
        return None
    known = look_up(data.id)
    if known is None:
        raise Unfit([Fault("/data/id", UNKNOWN, data.id)])
    facts = _facts(data, known, objective)
    if validation is None or validation.id is None:
        return facts
    other = look_up(validation.id)
    if other is None:
        raise Unfit([Fault("/validation/id", UNKNOWN, validation.id)])
    if differences := list(_differences(data, facts, known.profile, other.profile)):
        raise Unfit([Fault("/validation/id", each, validation.id) for each in differences])
    return facts.model_copy(update={"validation": other.source})


def default_objective(data: DatasetData, known: Known) -> str:
    """What a target of this type is trained with, unless the spec says otherwise."""
    column = known.profile.column(data.target or "")
    is_class = column is not None and _type(data, column) == "category"
    return "cross_entropy" if is_class else "mse"


def _facts(data: DatasetData, known: Known, objective: str | None) -> Facts:
    profile = known.profile
    found = [Fault("/data" + at, rule, value) for at, rule, value in
             window_faults(data.window, is_text=profile.text is not None)]  # fmt: skip
    if profile.columns is None:
        found += _no_columns(data, "a text" if profile.text else "an NPZ file")
    if found:
        raise Unfit(found)
    if profile.text is not None:
        return Facts(data=known.source)
    as_classes = (objective or default_objective(data, known)) == "cross_entropy"
    return (_arrays if profile.columns is None else _table)(data, known, as_classes)


def _no_columns(data: DatasetData, what: str) -> list[Fault]:
    asked = {"target": data.target, "features": data.features, "types": data.types or None}
    rule = f"left out: this dataset is {what}, which has no named columns"
    return [Fault(f"/data/{name}", rule, value) for name, value in asked.items() if value]


def _arrays(_data: DatasetData, known: Known, as_classes: bool) -> Facts:
    inputs, targets = known.profile.inputs, known.profile.targets
    assert inputs is not None and targets is not None, "an NPZ file has both"
    outputs = targets.shape[1] if len(targets.shape) > 1 else 1
    classes = None
    if as_classes:
        classes = _numbers(known.profile.target_classes, "/objective", "cross_entropy", "targets")
    return Facts(data=known.source, numbers=inputs.shape[1], target=classes, outputs=outputs)


def _table(data: DatasetData, known: Known, as_classes: bool) -> Facts:
    profile = known.profile
    columns = {each.name: each for each in profile.columns or []}
    if found := list(_unknown(data, columns)):
        raise Unfit(found)
    names = data.features or [name for name in columns if name != data.target]
    if not names:
        rule = "not the only column: features are needed"
        raise Unfit([Fault("/data/target", rule, data.target)])
    assert data.target is not None, "_unknown asks for it"
    target = columns[data.target]
    used = [columns[name] for name in names]
    found = list(_misread(data, [*used, target]))
    is_class = as_classes or _type(data, target) == "category"
    classes = None
    try:
        classes = _target(target) if is_class else None
    except Unfit as error:
        found += error.faults
    if found:
        raise Unfit(found)
    read = [each for each in used if _type(data, each) == "category"]
    return Facts(
        data=known.source,
        numbers=len(used) - len(read),
        categories={each.name: _classes(each) for each in read},
        target=classes,
    )


def _unknown(data: DatasetData, columns: dict[str, Column]) -> Iterator[Fault]:
    """Names of columns that the dataset has not got."""
    listed = ", ".join(list(columns)[:20]) + (", …" if len(columns) > 20 else "")
    rule = f"one of the dataset's columns: {listed}"
    if data.target not in columns:
        yield Fault("/data/target", rule, data.target)
    for at, name in enumerate(data.features or []):
        if name not in columns:
            yield Fault(f"/data/features/{at}", rule, name)
    for name in data.types:
        if name not in columns:
            yield Fault(_at_type(name), rule, name)


def _misread(data: DatasetData, used: Sequence[Column]) -> Iterator[Fault]:
    """Columns that cannot be read as the type that the spec names."""
    for column in used:
        wanted = data.types.get(column.name, column.type)
        if wanted == "number" and column.type == "category":
            yield Fault(_at_type(column.name), "category: its values are texts", wanted)
        if wanted == "category" and column.type == "number" and column.whole is None:
            yield Fault(_at_type(column.name), f"number: a category has {FEW}", wanted)


def _at_type(name: str) -> str:
    return "/data/types/" + name.replace("~", "~0").replace("/", "~1")


def _type(data: DatasetData, column: Column) -> str:
    return data.types.get(column.name, column.type)


def _target(column: Column) -> Classes:
    if column.type == "number":
        return _numbers(column.whole, "/data/target", column.name, "it")
    return _enough(_classes(column), "/data/target", column.name)


def _classes(column: Column) -> Classes:
    if column.classes is not None:
        return Classes(names=column.classes)
    return Classes(names=[str(value) for value in column.whole or []], numbers=True)


def _numbers(values: list[int] | None, where: str, value: str, what: str) -> Classes:
    if values is None:
        rule = f"cross_entropy needs classes as targets: {what} must be texts or have {FEW}"
        raise Unfit([Fault(where, rule, value)])
    return _enough(Classes(names=[str(each) for each in values], numbers=True), where, value)


def _enough(classes: Classes, where: str, value: str) -> Classes:
    if len(classes.names) < 2:
        raise Unfit([Fault(where, "at least 2 classes; all rows have the same one", value)])
    return classes


def _differences(
    data: DatasetData, facts: Facts, ours: DatasetProfile, other: DatasetProfile
) -> Iterator[str]:
    """In what a second dataset is not like the first, as far as the job uses that."""
    if [ours.text is None, ours.columns is None] != [other.text is None, other.columns is None]:
        yield "a dataset of the same kind as the one to train on: table, arrays or text"
    elif ours.inputs is not None:
        yield from _array_differences(facts, ours, other)
    elif ours.columns is not None:
        names = data.features or [each.name for each in ours.columns if each.name != data.target]
        for name in [*names, data.target or ""]:
            mine, theirs = ours.column(name), other.column(name)
            assert mine is not None, "the facts are made of columns there are"
            is_target = name == data.target
            classes = facts.target if is_target else facts.categories.get(name)
            yield from _column_differences(mine, theirs, classes)


def _array_differences(facts: Facts, ours: DatasetProfile, other: DatasetProfile) -> Iterator[str]:
    for name in ("inputs", "targets"):
        mine, theirs = getattr(ours, name).shape[1:], getattr(other, name).shape[1:]
        if mine != theirs:
            yield f"{name} of rows like those to train on: {mine}, not {theirs}"
    if facts.target is not None:
        yield from _new_classes(facts.target, other.target_classes, "targets")


def _column_differences(
    mine: Column, theirs: Column | None, classes: Classes | None
) -> Iterator[str]:
    if theirs is None:
        yield f"the column {mine.name!r}, which it lacks"
    elif classes is None and theirs.type != "number":
        yield f"numbers in the column {mine.name!r}, where it has texts"
    elif classes is not None:
        values = theirs.whole if classes.numbers else theirs.classes
        yield from _new_classes(classes, values, f"the column {mine.name!r}")


def _new_classes(classes: Classes, values: Sequence[object] | None, where: str) -> Iterator[str]:
    if values is None:
        kind = "whole numbers" if classes.numbers else "texts"
        yield f"{kind} as classes in {where}"
        return
    new = [str(each) for each in values if str(each) not in set(classes.names)]
    if new:
        listed = ", ".join(map(repr, new[:5])) + (", …" if len(new) > 5 else "")
        yield f"in {where} only classes that the data to train on have, not {listed}"
