"""What is wrong with a folder before anything is trained on it.

To add a check, give `report.Report` a field, fill it in `check_folder`, and say it in `__str__`; `page` shows what
has pictures.
"""
