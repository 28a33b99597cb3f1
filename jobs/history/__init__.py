"""Reading a job's history: columns over ticks, summary rows, views, encodings."""
