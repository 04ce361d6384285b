"""What every room needs: threads, random generators, progress, atomic writes, memory, logging."""
