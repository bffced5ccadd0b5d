"""The files of a run, for people and machines; all of them are made from the run's document, record.json.

A new file is a module that makes its text from the document, and a row in `loadtest.reporting.files`.
"""
