"""Runs of the command line: presets, what a run folder holds, its figures, and a report that compares runs.

Read `folder` first, then `presets`; `figures` draws, `finished` reads runs back, `report` puts them on one page.
"""
