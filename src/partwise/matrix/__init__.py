"""Kinds of data behind one contract: dense, sparse, and blocks that are read as they are needed."""
