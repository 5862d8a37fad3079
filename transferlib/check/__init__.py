"""What is wrong with a folder before anything is trained on it.

To add a check, give `report.Report` an attribute, and say it in `lists`; what has pictures is
shown by page.html too.
"""
