"""The tab of recorded figures."""
