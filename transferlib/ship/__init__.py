"""What leaves the course: ONNX with a model card, and maps that show where a network looked.

To add a format, write a module that takes a TransferModel and writes through `files.whole`.
"""
