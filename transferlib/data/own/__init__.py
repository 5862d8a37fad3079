"""The reader's own data: a folder of photographs, a table of texts, a data set of another library.

To add a kind, write a function that returns Splits and give it a line in `data.SOURCES`.
"""
