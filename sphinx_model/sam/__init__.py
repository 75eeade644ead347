"""Masks of everything in a photo by a Segment Anything checkpoint of the user's own (Kirillov et al., 2304.02643).

`checkpoint` loads weights, `proposals` makes the masks of one picture, `folder` those of a folder. What is written is
SA-1B's published form, which ``sphinx-data`` reads as the format ``sa1b``. No released weights were at hand: the code
was run with random weights, and its numbers against the released code with the same random weights.
"""
