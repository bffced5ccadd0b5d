"""The link between master and workers: encrypted, closed to strangers, and deaf to what makes no sense."""
