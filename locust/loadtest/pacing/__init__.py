"""The open model: iterations begin at their intended times, whatever the response times."""
