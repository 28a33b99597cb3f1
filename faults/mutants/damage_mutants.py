"""Mutants of what is read before it is served or certified: a bit that changed on the disk."""

from faults.mutants.mutant import Mutant, edit_once

API = "tests/test_api_damaged_files.py"
VERIFY = "tests/test_workers_verify_damage.py"
REFUSED = (f"{API}::test_a_file_with_a_flipped_bit_is_refused_in_every_form_before_the_first_byte",)

MUTANTS = (
    Mutant(
        "damaged-download-completed",
        "a large download whose bytes are not those of its ETag is sent to its end",
        edit_once(
            "api/checked_files.py",
            "        if sha.hexdigest() != sha256:\n",
            "        if False:\n",
        ),
        (
            f"{API}::test_a_large_file_with_a_flipped_bit_is_cut_before_its_last_piece_and_then_refused",
        ),
    ),
    Mutant(
        "damage-forgotten",
        "a large file that was found damaged is sent again to the next who asks",
        edit_once(
            "api/checked_files.py",
            "        if known not in (None, sha256) or self._marks.has(version):\n",
            "        if False:\n",
        ),
        (
            f"{API}::test_a_large_file_with_a_flipped_bit_is_cut_before_its_last_piece_and_then_refused",
        ),
    ),
    Mutant(
        "range-unhashed",
        "a part of a damaged file is served, since the whole is never looked at",
        edit_once("api/checked_files.py", "        self.check(file, sha256)\n", ""),
        REFUSED,
    ),
    Mutant(
        "history-unhashed",
        "numbers of a damaged history file are served",
        edit_once(
            "jobs/history/column_reader.py",
            "                if digest is None or not self._digests.matches(file, digest):\n",
            "                if digest is None:\n",
        ),
        REFUSED,
    ),
    Mutant(
        "summary-row-not-checked",
        "a verify says equal of a history whose views show another minimum",
        edit_once(
            "workers/parent_job.py",
            "            check_rows(self._column_reader, extent, name, first, last)\n",
            "            pass\n",
        ),
        (
            f"{VERIFY}::test_a_summary_row_that_is_not_that_of_its_values_is_damage_whatever_its_digest",
        ),
    ),
    Mutant(
        "damaged-checkpoint-certified",
        "a verify says equal of a checkpoint whose file it never read",
        edit_once(
            "workers/parent_job.py",
            "        if names:\n            self.checkpoint(checkpoint.tick)\n",
            "        names = []\n",
        ),
        (
            f"{VERIFY}::test_a_flipped_bit_of_any_file_of_the_last_checkpoint_is_damage_though_the_ticks_are_equal",
        ),
    ),
    Mutant(
        "exported-net-in-float32",
        "model.py of a bfloat16 training computes other outputs than its trainer did",
        edit_once(
            "models/checkpoint_module.py",
            '    if CONFIG.get("precision") == "bfloat16":\n',
            "    if False:\n",
        ),
        (
            "tests/test_models_model_py.py::test_a_trainings_checkpoint_is_its_net_bit_for_bit_in_every_precision",
        ),
    ),
)
