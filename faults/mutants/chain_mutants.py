"""Mutants of the graph engine's chains of elementwise operators: their bits and their memory."""

from faults.mutants.mutant import Mutant, edit_once

TESTS = "tests/test_ticks_graph_chains.py"
BITS = f"{TESTS}::test_a_chain_of_any_length_has_the_bits_of_torchs_operators"
DRAWN = f"{TESTS}::test_a_drawn_run_of_operators_leaves_what_torch_leaves"
CHAIN = "ticks/engines/graph/chain.h"
FUSION = "ticks/engines/graph/fusion.py"

MUTANTS = (
    Mutant(
        "chain-rounds-twice",
        "a chain rounds a product before it is added, where torch does not",
        edit_once(
            "ticks/engines/graph/elementwise.h",
            "FMA(number * b[i], c[i], a[i])",
            "a[i] + number * b[i] * c[i]",
        ),
        (f"{BITS}[1-adamw]",),
    ),
    Mutant(
        "chain-leaves-a-tail",
        "a chain leaves out the last elements, less than a vector",
        edit_once(
            CHAIN,
            "std::min(stage.length, block.count - at);",
            "std::min(stage.length, block.count - at) & ~int64_t{7};",
        ),
        (f"{BITS}[1-adamw]",),
    ),
    Mutant(
        "chain-on-one-of-two-threads",
        "each thread runs the first of its blocks alone",
        edit_once(
            CHAIN,
            "run_blocks(first, first + count, numbers);",
            "run_blocks(first, first + 1, numbers);",
        ),
        (f"{BITS}[2-adamw]",),
    ),
    Mutant(
        "chain-not-compared",
        "a chain is taken whatever bits it gives on this processor",
        edit_once("ticks/engines/graph/chain_check.py", "return difference is None", "return True"),
        (f"{TESTS}::test_a_chain_that_differs_from_torch_is_left_to_torch",),
        quick=True,
    ),
    Mutant(
        "chain-reads-an-old-number",
        "a chain multiplies by a number that an operator of the same run has yet to write",
        edit_once(
            FUSION,
            "if self.calls and (numbers & (written | self.written) or self.numbers & written):",
            "if False:",
        ),
        (DRAWN,),
    ),
    Mutant(
        "chain-over-shared-memory",
        "two views of one memory are in one chain",
        edit_once(FUSION, "and len(memory) == len(layouts) + len(numbers)", "and True"),
        (DRAWN,),
        quick=True,
    ),
    Mutant(
        "chain-over-two-orders",
        "tensors whose elements lie in different orders are in one chain",
        edit_once(FUSION, "flat_order(layout) for layout in layouts}) == 1", "1}) == 1"),
        (DRAWN,),
    ),
    Mutant(
        "chain-after-a-bad-loss",
        "what is written before the update, and read after it, is left out where the loss is bad",
        edit_once(
            "ticks/engines/graph/schedule.py",
            "is_limited_to(own - outputs - later,",
            "is_limited_to(own - outputs,",
        ),
        (f"{TESTS}::test_what_has_to_be_done_whatever_the_loss_is_stays_before_the_update",),
    ),
    Mutant(
        "update-before-the-last-use",
        "a large weight is updated before its layer has passed its gradient on",
        edit_once(
            "ticks/engines/graph/schedule.py",
            "placed[max(boundaries[0], *uses)]",
            "placed[max(boundaries[0], min(uses))]",
        ),
        ("tests/test_ticks_graph.py::test_large_values_are_made_anew_as_in_eager",),
    ),
    Mutant(
        "chain-keeps-no-results",
        "a chain's results are temporary although the tick goes on to use them",
        edit_once(FUSION, "if last_use[memory] < end}", "if memory not in self.outputs}"),
        (DRAWN,),
    ),
)
