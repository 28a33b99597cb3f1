"""The catalogue of faults, F1 to F31: each a function that attacks, under its name.

A name has a letter and a number, and after a point what kind of it this is. The numbers are those
of docs/reliability.md. A module a group; importing this package fills `CATALOGUE`.
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
