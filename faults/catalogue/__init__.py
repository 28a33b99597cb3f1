"""The catalogue of faults, F1 to F31: attack functions by name.

A name is a letter and a number, and after a point the variant. The numbers are those of
docs/reliability.md. One module per group; importing this package fills `CATALOGUE`.
"""

from faults.catalogue import (
    broker,
    clients,
    disk,
    network,
    service,
    store,
    trainer,
    versions,
    worker,
)
from faults.catalogue.entries import CATALOGUE, CatalogueEntry

__all__ = [
    "CATALOGUE",
    "CatalogueEntry",
    "broker",
    "clients",
    "disk",
    "network",
    "service",
    "store",
    "trainer",
    "versions",
    "worker",
]
