"""The files of a run, for people and machines; all of them are made from the run's document, record.json.

A new file is a module that makes its text from the document, and a row in `loadtest.reporting.files`.
tests/unit/reporting/test_files.py tests them together with the summary, test_run_page.py with the data of its charts,
tests/native/test_report_page.py in a browser, tests/native/test_report.py with those of Locust.
"""
