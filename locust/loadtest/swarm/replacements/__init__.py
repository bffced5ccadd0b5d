"""What is replaced in Locust, one reason a module."""
