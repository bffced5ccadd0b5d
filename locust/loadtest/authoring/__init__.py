"""Files that a person goes on writing: scenarios, empty or made from an OpenAPI document."""
