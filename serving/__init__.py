"""The whole service on one machine: embedded store, API and workers under one parent. No torch."""
