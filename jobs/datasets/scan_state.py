"""The state of a table's scan: what of it is kept with the profile, and a scan that goes on.

So rows are added to a profile without a look at those before. Counts, ranges, texts and gaps are
then those of one scan over all rows; means and deviations are combined from those of both, and
equal it up to the rounding of float64.
"""

from collections.abc import Sequence

from jobs.datasets.formats.cells import Cell, CellParser, Kind
from jobs.datasets.table_scanner import TableScanner
from jobs.spec.profiles import Column, ColumnScan, DatasetProfile


def save_scan(scanner: TableScanner) -> list[ColumnScan]:
    """Return the state of each column that its profile does not tell."""
    spellings = scanner.spellings
    return [
        ColumnScan(
            counts=scanner.counts[:, at].tolist(),
            first_rows=scanner.first_rows[:, at].tolist(),
            texts=spellings.samples[Kind.TEXT][at],
            times=spellings.samples[Kind.TIME][at],
            numbers=sorted(spellings.numbers[at]) if at in spellings.numbers else None,
            given_up=spellings.given_up.get(at),
            has_texts=_has_number_texts(scanner, at),
            is_settled=bool(scanner.is_settled[at]),
        )
        for at in range(scanner.counts.shape[1])
    ]


def _has_number_texts(scanner: TableScanner, at: int) -> bool:
    """Return whether a column is no number for the one reason that numbers in it are texts."""
    counts = scanner.counts[:, at]
    only_numbers = not (counts[Kind.TIME] or counts[Kind.TEXT])
    return bool(scanner.has_texts[at] and only_numbers)


def resume_scan(
    profile: DatasetProfile, parser: CellParser, *, has_typed_cells: bool
) -> TableScanner:
    """Return a scanner as it was after the rows of a profile, which has its `scan`."""
    assert profile.columns is not None and profile.scan is not None, "a table of this build"
    scanner = TableScanner(parser, len(profile.columns), has_typed_cells=has_typed_cells)
    scanner.rows = profile.rows or 0
    for at, (column, scan) in enumerate(zip(profile.columns, profile.scan, strict=True)):
        scanner.counts[:, at], scanner.first_rows[:, at] = scan.counts, scan.first_rows
        scanner.has_texts[at], scanner.is_settled[at] = scan.has_texts, scan.is_settled
        _resume_statistics(scanner, at, column, scan)
        _resume_texts(scanner, at, column, scan)
    patterns = None if profile.gaps is None else [(gap.columns, gap.rows) for gap in profile.gaps]
    scanner.gaps.restore(patterns, len(profile.columns))
    return scanner


def _resume_statistics(scanner: TableScanner, at: int, column: Column, scan: ColumnScan) -> None:
    if column.min is None or column.max is None:
        return
    assert column.mean is not None and column.deviation is not None, "they come together"
    kind = Kind.TIME if column.type == "datetime" else Kind.NUMBER
    statistics = scanner.times if kind == Kind.TIME else scanner.numbers
    statistics.restore(
        at, scan.counts[kind], (column.min, column.max), column.mean, column.deviation
    )


def _resume_texts(scanner: TableScanner, at: int, column: Column, scan: ColumnScan) -> None:
    texts: Sequence[str] = column.classes or column.spellings or list(map(str, column.whole or []))
    parser, spellings = scanner.parser, scanner.spellings
    cells: dict[str, Cell] = {text: parser.classify(text) for text in texts}
    numbers = None if scan.numbers is None else set(scan.numbers)
    samples = {Kind.TEXT: scan.texts, Kind.TIME: scan.times}
    spellings.restore(at, {} if scan.given_up else cells, scan.given_up, numbers, samples)
