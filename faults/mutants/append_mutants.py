"""Mutants of appended datasets: what fits, what is shared, what it is called."""

from faults.mutants.mutant import Mutant, edit_once

API = "tests/test_api_dataset_append.py"
TICKS = "tests/test_ticks_appended_data.py"
SHARED = f"{API}::test_parts_are_shared_counted_once_and_kept_as_long_as_one_dataset_has_them"

MUTANTS = (
    Mutant(
        "appended-row-not-fitted",
        "a text is appended to a column of numbers",
        edit_once("jobs/datasets/append_scan.py",
                  "if column.type not in FITTING_KINDS:", "if True:"),
        (f"{API}::test_a_row_that_does_not_fit_refuses_all",),
    ),
    Mutant(
        "appended-class-not-counted",
        "a category gets more classes than one may have, and becomes a text",
        edit_once("jobs/datasets/append_scan.py",
                  'elif column.type == "category" and not', "elif False and not"),
        (f"{API}::test_a_row_that_does_not_fit_refuses_all",),
    ),
    Mutant(
        "appended-to-damaged-bytes",
        "a parent's damaged bytes get a digest of their own by an append",
        edit_once("jobs/datasets/append.py",
                  "if sha.hexdigest() != parent.dataset.sha256:", "if False:"),
        (f"{API}::test_a_damaged_part_is_told_by_every_reader",),
    ),
    Mutant(
        "shared-part-not-held",
        "a deleted parent takes its bytes with it",
        edit_once("jobs/store/lua/add_dataset.lua",
                  "for _, part in ipairs(unique_parts(h.parts)) do hold_part",
                  "for _, part in ipairs({ last }) do hold_part"),
        (SHARED,),
    ),
    Mutant(
        "shared-part-counted-again",
        "each append costs a tenant's quota the bytes of its parent once more",
        edit_once("jobs/store/lua/prelude.lua",
                  "(change > 0 and holders == 1)", "(change > 0)"),
        (SHARED,),
    ),
    Mutant(
        "part-not-restored",
        "a rebuilt store knows no reference to a shared part",
        edit_once("jobs/archive/restore.py",
                  "            for part in parts:\n", "            for part in parts[:1]:\n"),
        (SHARED,),
    ),
    Mutant(
        "appended-to-a-deleted-parent",
        "a dataset names parts that were deleted while its rows came in",
        edit_once("jobs/store/lua/add_dataset.lua",
                  "for n = 1, #h.parts - 1 do", "for n = 1, 0 do"),
        (f"{TICKS}::test_a_parent_deleted_while_rows_come_in_refuses_them",),
    ),
    Mutant(
        "header-in-the-middle",
        "a header stays between the rows of two files",
        edit_once("jobs/datasets/append.py",
                  "self._held = self._held[self._scan.header_bytes :]", "pass"),
        (f"{API}::test_an_appended_dataset_is_the_file_that_could_have_been_uploaded",),
    ),
    Mutant(
        "texts-of-a-scan-forgotten",
        "classes of the old rows are missing in the merged profile",
        edit_once("jobs/datasets/scan_state.py",
                  "{} if scan.given_up else cells", "{}"),
        (f"{TICKS}::test_rows_fit_exactly_where_no_type_would_change",),
    ),
)  # fmt: skip
