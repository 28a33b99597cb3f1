"""The catalogue of faults, F1 to F31: attack functions by name.

A name is a letter and a number, and after a point the variant. The numbers are those of
docs/reliability.md. One module per group; importing this package fills `CATALOGUE`.
"""

from importlib import import_module
from pkgutil import iter_modules

from faults.catalogue.entries import CATALOGUE, CatalogueEntry

__all__ = ["CATALOGUE", "CatalogueEntry"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
