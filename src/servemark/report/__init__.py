"""Reports: one format a file. Each is a function of a result or of its records; none computes a statistic."""
