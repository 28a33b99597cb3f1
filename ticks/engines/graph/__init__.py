"""The graph engine: a tick's calls of torch's kernels, traced once and run for many ticks.

    recording.py   records one eager tick: which operators it calls, on which memory
    elementwise.py takes calls of elementwise operators apart, into steps on one parameter each
    fusion.py      finds chains of such steps
    schedule.py    moves calls and chains to where they cost least
    chain_check.py compares a chain with torch's operators on this processor
    encoding.py    encodes a program's words
    program.py     writes the record as a program, a text
    trace.py       makes the program of a trainer's tick
    program.h      reads programs
    chain.h        runs a chain block by block, by the kernels of elementwise.h
    loop.cpp       runs programs for many ticks; compiled once per machine and torch, not per spec
    build_loop.py  finds or compiles the loop
    loop.py        loads and calls it
    engine.py      the engine: which rows, seeds and numbers each tick gets

The loop calls torch's dispatcher (`callBoxed`, the documented way to call any operator). The
alternatives fall short: TorchScript is deprecated; the C shim that torch keeps stable for
AOTInductor takes no Scalar (no `alpha`, no `value`, so no update) and looks up each name at every
call, at 0.35 us against 0.07; C++ generated for each spec takes seconds to compile; a Python loop
over the same calls is at most twice as fast as eager.
"""
