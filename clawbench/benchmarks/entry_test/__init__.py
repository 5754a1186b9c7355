"""ClawBench Entry Test, form ``cases``: the bank, a run's seeded variants, and their scoring."""
