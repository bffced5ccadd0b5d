"""Reporting: the files of a run, for people and machines, all made from the run's document, record.json.

A new file is a module that makes its text from the document, and a row in `loadtest.reporting.files`.
tests/unit/reporting/test_files.py tests the files together with the summary, test_run_page.py tests the data of the
charts, tests/native/test_report_page.py tests the page in a browser, and tests/native/test_report.py tests Locust's
files.
"""
