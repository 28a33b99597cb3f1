"""Mutants of the readers of uploads: what damaged bytes may raise, take and cost."""

from faults.mutants.mutant import Mutant, edit_once

DAMAGE = "tests/test_jobs_dataset_damage.py"
PAGES = "tests/test_api_dataset_pages.py"

MUTANTS = (
    Mutant(
        "parser-error-let-through",
        "what a parser of others raises for damaged bytes is an internal error",
        edit_once(
            "jobs/datasets/formats/damage.py",
            "        if not _is_of_the_bytes(error):\n",
            "        if True:\n",
        ),
        (f"{DAMAGE}::test_what_a_parser_raises_is_a_fault_of_the_bytes",),
    ),
    Mutant(
        "broken-disk-called-bad-data",
        "an error of the operating system is told as a fault of the file",
        edit_once(
            "jobs/datasets/formats/damage.py",
            "        return not _is_of_the_machine(error)\n",
            "        return True\n",
        ),
        (f"{DAMAGE}::test_an_error_of_ours_and_of_the_machine_is_no_fault_of_the_bytes",),
    ),
    Mutant(
        "damaged-file-not-hashed",
        "a stored file that cannot be read any more is an internal error",
        edit_once("jobs/datasets/formats/damage.py", "_digest(file) == sha256", "True"),
        (f"{DAMAGE}::test_a_stored_file_is_damaged_if_its_digest_is_another",),
    ),
    Mutant(
        "members-not-bounded",
        "a zip's list of members is read whatever its size",
        edit_once(
            "jobs/datasets/formats/npz_directory.py",
            "    if directory > MAX_DIRECTORY_BYTES:\n",
            "    if False:\n",
        ),
        ("tests/test_jobs_dataset_npz.py::test_a_huge_list_of_members_is_refused_before_it_is_read",),
    ),
    Mutant(
        "record-of-64-bits-not-bounded",
        "a zip's record of 64 bits, which zipfile goes by, says any size",
        edit_once(
            "jobs/datasets/formats/npz_directory.py",
            '    if before[-LOCATOR_BYTES:].startswith(b"PK\\x06\\x07"):\n',
            "    if directory == 0xFFFFFFFF:\n",
        ),
        (f"{DAMAGE}::test_the_record_of_64_bits_bounds_the_list_of_members_where_there_is_one",),
    ),
    Mutant(
        "long-header-unpacked",
        "numpy reads as long a header of an array as the file says",
        edit_once(
            "jobs/datasets/formats/npz_members.py",
            "stream.read(PREFIX_BYTES + MAX_HEADER_BYTES)",
            "stream.read()",
        ),
        (f"{DAMAGE}::test_a_long_header_of_an_array_is_refused_before_it_is_unpacked",),
    ),
    Mutant(
        "cells-not-bounded",
        "rows that lack most names are cells without bound",
        edit_once(
            "jobs/datasets/profiling.py",
            "        if self._max_cells_per_byte is None:\n",
            "        if True:\n",
        ),
        (
            "tests/test_jobs_dataset_jsonl.py"
            "::test_rows_may_lack_most_names_of_the_first_within_bounds",
        ),
    ),
    Mutant(
        "gzip-copies-its-rest",
        "each byte that gzip asks for copies the piece that it is in",
        edit_once(
            "api/gzip_body.py",
            "        self._position += len(data)\n",
            "        self._piece, self._position = self._piece[self._position + len(data) :], 0\n",
        ),
        ("tests/test_api_upload_bodies.py::test_what_gzip_asks_for_byte_by_byte_is_not_copied",),
    ),
    Mutant(
        "open-quote-loses-a-row",
        "a CSV that ends within a quote is read without its last row",
        edit_once(
            "jobs/datasets/formats/cell_grid.py",
            "        if len(quotes) % 2:\n            return None\n",
            "",
        ),
        ("tests/test_jobs_dataset_formats.py::test_a_bad_csv_is_refused_with_row_and_column",),
    ),
    Mutant(
        "page-of-any-bytes",
        "a page of a list has as many items as were asked for, of any size",
        edit_once("jobs/store/page_budget.py", "or self._bytes <= 0", ""),
        (f"{PAGES}::test_a_list_of_wide_datasets_is_read_in_pages_of_bounded_bytes",),
    ),
)  # fmt: skip
