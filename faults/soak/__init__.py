"""A whole service in use for a long time, with its workers killed: does anything grow?"""
