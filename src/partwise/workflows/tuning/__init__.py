"""The tune job: what is measured at each setting, the rules, files, report."""
