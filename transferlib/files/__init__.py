"""Files: written whole or not at all, verified, fetched. Knows nothing of images, networks or training.

`whole` writes and verifies, `tensors` keeps tensors, `download` fetches and unpacks, `template` fills in words;
`waiting` tells whoever waits, `room` refuses what memory cannot hold.
A file that another kind of thing needs is written through `whole.write_whole`.
"""
