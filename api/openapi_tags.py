"""The tags of the published document, in the order in which the reference shows them."""

#: tag -> what its operations are about
TAGS = {
    "jobs": "Submit jobs, look at them, pause, resume, stop, cancel, fork, extend and verify them.",
    "history": "What a job recorded at each tick, and exports of it to experiment trackers.",
    "pictures": "A job's history drawn, and signed links that open it without a key.",
    "checkpoints": "Saved states of a job, and their files.",
    "answers": "What a trained net predicts, and how well, of rows, prompts and datasets.",
    "events": "What happened to jobs: as pages, and as streams of server-sent events.",
    "logs": "What a job's worker wrote.",
    "webhooks": "Addresses that are called when something happens to a job.",
    "datasets": "Files to train on: upload, append, look at and delete them.",
    "keys": "Access keys, their tenants and scopes.",
    "tenants": "Tenants: their quotas, rules of retention, usage and events.",
    "about": "The service itself: versions, families, workers, health, metrics, this document.",
    "pages": "Pages for people.",
}
