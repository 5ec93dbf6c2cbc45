"""Tables in, missing-data patterns out: reading, checking, grouping rows once."""
