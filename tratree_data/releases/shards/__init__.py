"""The files of a release: rows in order, as shards, made by one process or several, and sessions for trace viewers."""
