"""What is wrong with a folder before anything is trained on it.

To add a check, give `report.Report` a field, fill it in `check_folder`, and say it in `lists`; what has pictures is
shown by page.html too.
"""
