"""The tab in which the rule is tested and broken."""
