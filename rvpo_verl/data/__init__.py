"""Rows for verl from rubric data sets and RLLA: read, checked, written as parquet, shown.

    sources ─→ schema ─→ reader: rar | healthbench ─→ duplicates ─→ rows (parquet) ─→ report ─→ show
                          categories, polarity        findings: what was wrong, how often, what was done

`docs/data.md` describes the rows that come out.
"""
