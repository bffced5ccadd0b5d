"""What a run leaves for people and machines. One truth: everything is made from the run's document, record.json."""
