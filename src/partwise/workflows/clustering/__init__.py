"""The cluster job: options, stages, files, report."""
