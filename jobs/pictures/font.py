"""The letters of PNG pictures: X11's bitmap font 6x13 (-misc-fixed), which is in the public domain.

ASCII and Latin-1; any other character is drawn as a box.
"""

import base64
import zlib
from functools import cache

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, BASELINE = 6, 13, 11  # pixels
CODES = (*range(0x20, 0x7F), *range(0xA0, 0x100))
#: 13 bytes a character of CODES, a byte a row, the leftmost pixel its highest bit; zlib, base64
_GLYPHS = (
    "eNptViuY4yAQjkQiVyIjI1ciI5EnK1ciIyORkZVIZOXJlZEnK1dWViJvnkB7N/u12595ZF787TS9iGOZHIIQwqAKocIf"
    "n7gt5zjPTzJbS7DOh3KQyufs8/X4kmjN3TrnUZyzYATvKHCGZiUWN+ZQBz+UhcxQ6vSWb0RLYyCU9/tORyGhBArhLpkK"
    "Ir+YkgG7nUCFj9GYFCk5u4RwVGtJs++3UzUx7fsTwkXx4TIkWoqqwQ+b+khanJv85xLo8d5Z08uRiugUtT1RmQKAaym3"
    "fWvFVXgheK7rGuH11ERBOAPUrKqBevYnvOoI9uZzlRKSRKbQURaBNJ80K3tc2OzI3/lgs12ksuZeigZI51nK9SrREgvn"
    "Bh+GDEhKNKrR0Jhbm091upiSaItGow6hawpIYADHIUg6CDRAlXXBrKNXiVQPLKi1BrOJViVy46d/BSI4+3YWzZauX9Id"
    "LCk9VZN0PsaAEa5M01TRLKv3Ty8r1hYLdTuupbYXVuPS5jPZaaEB4YTAjAeEiss4RpA/2B0tZIgmg1AzHRGBjVfbiI9O"
    "jnwuVnw46XURDQbjHjAIwTWg80EAM2l9JRe9QVXv6Qem/41vH52eaIx8SGoioWP6v7hp2B0XS85FLib2+geyvkkCMYSY"
    "Jl2XqjTEhMgBwGVZ18VQpS/0GFO5n/ci+eMSbJ2t5pBzmPvaGDM4tgCP+/1x1wa88N/aOtv4sTLZOv+j5z57aoXQ7Vsb"
    "aCQPnN32APma55bP8k/PwNt/+x6aya4nBcVASfRQNDMf86dRYGdjPyWdvIqGpuB3XjHviMcqLZ8dwbIOYA4DCCNwtDcC"
    "pl8559tPzr9faBD4Fp5Tie0qP6cDeE4HELoD8IntytgRgE8H4NMB0e1D6BayTukszHwYrXGVHQFGawB8OggjkFvCl8TE"
    "K3wTlPOMO4VOY+g0hk5jtDezoHdhH6/55TgyUi/dBUy7sZgdAabdAKbdQBjAAuvaNTiVOeZ265kG8fuQ2qPMZ90LDQ6A"
    "OqLAj8xnRwA+HYBPA8FdbOc3yLoznw6oZ6BAB6Q+HYQRTHQV2+8VGBEMCOejA2pN7EAG1Pr2bqY0yIR/3nBCbEaavzWF"
    "Ug8="
)
_BOX = bytes([0, 0, *[0xF8], *[0x88] * 7, 0xF8, 0, 0])


def text_mask(text: str, *, is_bold: bool = False) -> npt.NDArray[np.bool_]:
    """Return the pixels of one line of text [13, 6 · length]; in bold [13, 7 · length]."""
    glyphs = _glyphs()
    rows = np.frombuffer(b"".join(glyphs.get(char, _BOX) for char in text), np.uint8)
    bits = np.unpackbits(rows.reshape(-1, HEIGHT, 1), axis=2)[:, :, : WIDTH + is_bold]
    if is_bold:
        bits[:, :, 1:] |= bits[:, :, :-1].copy()
    return bits.transpose(1, 0, 2).reshape(HEIGHT, -1).astype(np.bool_)


@cache
def _glyphs() -> dict[str, bytes]:
    data = zlib.decompress(base64.b64decode(_GLYPHS))
    return {chr(code): data[at * 13 : at * 13 + 13] for at, code in enumerate(CODES)}
