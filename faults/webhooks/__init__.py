"""A hunt for lost webhooks: jobs, a sender that is killed, a receiver that fails by a seed."""
