"""Webhooks: who is called when something happens to a job, with what, and how that goes."""
