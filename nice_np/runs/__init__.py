"""Trained models in run folders: presets, scores, figures and reports.

Read `presets` first, then `folder` (what is saved where), `scoring`, `figures`, and `finished` and `report` (finished
runs side by side on a page).
"""
