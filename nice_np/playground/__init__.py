"""A flow of the plane with one hidden unit in each coupling, and sliders for its parameters: for lectures.

Read `one_unit` first, the flow; `window` has the sliders, `panels` what they move.
"""
