"""A flow of the plane with one hidden unit per coupling, and sliders for its parameters: for lectures.

Read `one_unit` first, the flow and its knobs, then `panels`, the pictures, and `window` with the sliders.
"""
