"""The graph engine: a tick's calls of torch's kernels, recorded once and run many ticks at a time.

    recording.py  watches one eager tick: which kernels it calls, on which memory
    program.py    writes that down as a program, a text
    making.py     makes the program of a trainer's tick
    program.h     reads programs
    loop.cpp      runs them for k ticks; compiled once a machine and torch, not a spec
    loop.py       compiles and calls it
    engine.py     the engine: which rows, seeds and numbers each tick gets

The carrier is a small C++ loop over torch's dispatcher (`callBoxed`, the documented way to call any
operator), since what else there is falls short: TorchScript is deprecated; the C shim that torch
keeps stable for AOTInductor takes no Scalar (no `alpha`, no `value`: no update) and looks each name
up anew, at 0.35 us a call against 0.07; C++ generated for each spec compiles for seconds a spec; a
Python loop over the same calls is no faster than twice eager.
"""
