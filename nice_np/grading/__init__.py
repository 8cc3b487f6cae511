"""Grading: the checks of a tutorial run in one process, and the student's code in another one, which is locked.

`notebooks` finds exercises and checks.  `student` is the process that defines the student's functions and is called;
`remote` stands for those functions in the process that checks; `values` carries plain numbers from one to the other;
`lesson` grades files; `notes` says what a teacher should look at.  Read `remote` first.
"""
