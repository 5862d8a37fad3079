"""Data that come with the course or are downloaded, each from one function that returns Splits.

To add a source, write its function here and give it a line in `data.SOURCES`.
"""
