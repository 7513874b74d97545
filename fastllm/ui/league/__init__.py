"""The tab in which every drafter drafts along one text."""
