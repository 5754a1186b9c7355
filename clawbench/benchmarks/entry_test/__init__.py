"""ClawBench Entry Test, form ``cases``: the bank, a run's seeded variants, and their scoring.

``load_bank`` reads ``cases/<dimension>/<id>.toml``; ``draw`` makes a run's cases from bank, pool, seed and the run's
secret, each a ``RunCase`` of what is public and the key to it; ``parse_artifact`` reads what an agent hands in, and
``score_case`` and ``score_run`` judge it. ``lint`` says what an author has to change.
"""
