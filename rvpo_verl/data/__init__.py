"""Converts public data sets (rubrics, RLLA) into verl's parquet, checks them, and reports what was found.

    sources ─→ reader: rar | healthbench ─→ duplicates ─→ rows (parquet) ─→ report ─→ show
               schema, categories, polarity        findings: what was wrong, how often, what was done

`docs/data.md` describes the rows that come out.
"""
