"""A job's history: columns over ticks, summary rows, views, forms. Import modules, not this."""
